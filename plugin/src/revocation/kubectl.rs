//! Asks through kubectl, so that the operator's own kubeconfig, credential and rights are what counts.

use std::{ffi::OsStr, time::Duration};

use gatepass_api::revocation::{API_VERSION, PLURAL, Revocation};
use serde_json::Value;
use url::form_urlencoded::byte_serialize;

use super::{
    error::{Doing, Reason, RevocationError},
    list::Item,
    words::quoted,
};
use crate::{
    cli::Connection,
    kubectl::{self, KubectlError, REQUEST_TIMEOUT},
    prompt::Ui,
};

/// Longest wait for kubectl: a request, and before it a credential plugin that may have to renew.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);
/// Revocations in one answer.
const PAGE: usize = 500;

/// kubectl, with what the operator typed for it.
pub(super) struct Kubectl<'a> {
    /// The program; a plain name is looked up in PATH.
    pub(super) program: &'a OsStr,
    /// Which cluster, and as whom.
    pub(super) connection: &'a Connection,
    /// How long to wait for it.
    pub(super) deadline: Duration,
    /// Where its warnings go.
    pub(super) ui: &'a dyn Ui,
}

impl Connection {
    /// Its flags for commands that people are told to type, a blank before each.
    pub(super) fn to_copy(&self) -> String {
        let flags = self.flags();
        flags
            .iter()
            .map(|flag| format!(" {}", quoted(&flag.to_string_lossy())))
            .collect()
    }
}

/// The objects' URL. Asked for directly, without kubectl's discovery, which repeats each failure five times.
fn url(rest: &str) -> String {
    format!("/apis/{API_VERSION}/{PLURAL}{rest}")
}

impl Kubectl<'_> {
    /// Writes a revocation; what the API server made of it comes back. Members that it does not know are an error: a block
    /// that an older definition drops silently would be none.
    pub(super) async fn create(&self, revocation: &Revocation) -> Result<Revocation, RevocationError> {
        let document = serde_json::to_vec(revocation).expect("a revocation is plain JSON");
        let url = url("?fieldValidation=Strict&fieldManager=kubectl-gatepass");
        let answer = self
            .run(
                Doing::Create,
                &["create", "--raw", &url, "-f", "-"],
                Some(document),
            )
            .await?;
        parse(&answer)
    }

    /// One revocation, which must have been checked to be named by a name; `None` where there is none.
    pub(super) async fn get(&self, name: &str) -> Result<Option<Item>, RevocationError> {
        let answer = self
            .run(Doing::Get, &["get", "--raw", &url(&format!("/{name}"))], None)
            .await;
        match answer {
            Ok(answer) => parse(&answer).map(Some),
            Err(error) if error.reason() == Some(Reason::Missing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All of them.
    pub(super) async fn list(&self) -> Result<Vec<Item>, RevocationError> {
        #[derive(serde::Deserialize)]
        struct Page {
            metadata: Meta,
            items: Vec<Item>,
        }
        #[derive(serde::Deserialize)]
        struct Meta {
            #[serde(default)]
            r#continue: String,
        }
        let (mut all, mut next) = (Vec::new(), String::new());
        loop {
            let url = url(&format!("?limit={PAGE}{next}"));
            let page: Page = parse(&self.run(Doing::List, &["get", "--raw", &url], None).await?)?;
            all.extend(page.items);
            if page.metadata.r#continue.is_empty() {
                return Ok(all);
            }
            let token: String = byte_serialize(page.metadata.r#continue.as_bytes()).collect();
            next = format!("&continue={token}");
        }
    }

    /// Deletes one; false where it was gone already.
    pub(super) async fn delete(&self, name: &str) -> Result<bool, RevocationError> {
        let url = url(&format!("/{name}"));
        match self.run(Doing::Delete, &["delete", "--raw", &url], None).await {
            Ok(answer) => parse::<Value>(&answer).map(|_| true),
            Err(error) if error.reason() == Some(Reason::Missing) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn run(
        &self,
        doing: Doing,
        args: &[&str],
        input: Option<Vec<u8>>,
    ) -> Result<Vec<u8>, RevocationError> {
        let kubectl = kubectl::Kubectl {
            program: self.program,
            connection: self.connection,
            deadline: self.deadline,
        };
        let args: Vec<_> = args.iter().copied().chain([REQUEST_TIMEOUT]).collect();
        let answer = kubectl.run(&args, input).await.map_err(|error| match error {
            KubectlError::NotRun(error) => RevocationError::NoKubectl(error),
            KubectlError::Silent { seconds } => RevocationError::Silent { doing, seconds },
            KubectlError::Failed(said) => RevocationError::kubectl(doing, &said),
        })?;
        let said = answer.said;
        if !said.is_empty() {
            self.ui.say(&said);
        }
        Ok(answer.output)
    }
}

fn parse<T: serde::de::DeserializeOwned>(answer: &[u8]) -> Result<T, RevocationError> {
    serde_json::from_slice(answer).map_err(|error| RevocationError::Nonsense(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{prompt::Terminal, run::wait_for};

    #[cfg(unix)]
    #[test]
    fn a_kubectl_that_never_comes_back_is_waited_for_until_the_deadline_and_no_longer() {
        let connection = Connection::default();
        let kubectl = Kubectl {
            program: concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake/hanging/kubectl").as_ref(),
            connection: &connection,
            deadline: Duration::from_millis(300),
            ui: &Terminal { interactive: false },
        };
        let begin = std::time::Instant::now();
        let error = wait_for(async { Ok(kubectl.list().await?) }).unwrap_err();
        assert!(error.to_string().contains("gave no answer"), "{error}");
        assert!(begin.elapsed() < Duration::from_secs(30));
    }
}
