//! The API server of kubectl's current context.

use std::ffi::OsStr;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::Value;

use super::{error::BreakGlassError, files::read_text};
use crate::{cli::Connection, kubectl::Kubectl, run::wait_for};

/// How long kubectl is waited for: it only reads a file.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(10);

/// What a kubeconfig says of a cluster.
pub struct Context {
    /// The name of its entry.
    pub cluster: String,
    /// URL of the API server.
    pub server: String,
    /// CA of its certificate, PEM.
    pub server_ca: String,
    /// URL of its issuer, where the entry names one.
    pub issuer: Option<String>,
}

#[derive(Deserialize)]
struct View {
    #[serde(default)]
    clusters: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    cluster: Entry,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Entry {
    #[serde(default)]
    server: String,
    certificate_authority: Option<String>,
    certificate_authority_data: Option<String>,
    #[serde(default)]
    extensions: Vec<Extension>,
}

#[derive(Deserialize)]
struct Extension {
    name: String,
    extension: Value,
}

impl Context {
    /// Asks kubectl.
    pub fn current() -> Result<Self, BreakGlassError> {
        let connection = Connection::default();
        let kubectl = Kubectl {
            program: OsStr::new("kubectl"),
            connection: &connection,
            deadline: DEADLINE,
        };
        let args = ["config", "view", "--minify", "--raw", "--flatten", "-o", "json"];
        let answer = wait_for(async { Ok(kubectl.run(&args, None).await) });
        let answer = answer.map_err(|error| BreakGlassError::Context(error.to_string()))?;
        let answer = answer.map_err(|error| BreakGlassError::Context(error.to_string()))?;
        Self::read(&answer.output)
    }

    fn read(json: &[u8]) -> Result<Self, BreakGlassError> {
        let wrong = |what: &str| BreakGlassError::Context(what.to_owned());
        let view: View =
            serde_json::from_slice(json).map_err(|error| BreakGlassError::Context(error.to_string()))?;
        let [Named { name, cluster }] =
            <[Named; 1]>::try_from(view.clusters).map_err(|_| wrong("it names no cluster"))?;
        let server_ca = match (cluster.certificate_authority_data, cluster.certificate_authority) {
            (Some(data), _) => BASE64_STANDARD
                .decode(data)
                .ok()
                .and_then(|pem| String::from_utf8(pem).ok())
                .ok_or_else(|| wrong("its certificate-authority-data is no PEM"))?,
            (None, Some(path)) => read_text(path.as_ref())?,
            (None, None) => return Err(wrong("it names no CA of the API server")),
        };
        let issuer = cluster.extensions.into_iter().find_map(|extension| {
            let ours = extension.name == "client.authentication.k8s.io/exec";
            let issuer = extension.extension.get("issuer")?.as_str()?.to_owned();
            ours.then_some(issuer)
        });
        Ok(Self {
            cluster: name,
            server: cluster.server,
            server_ca,
            issuer,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_tells_server_ca_and_issuer() {
        let json = r#"{"clusters":[{"name":"prod","cluster":{"server":"https://h:6443","certificate-authority-data":"UEVN",
            "extensions":[{"name":"client.authentication.k8s.io/exec","extension":{"issuer":"https://i"}}]}}]}"#;
        let context = Context::read(json.as_bytes()).unwrap();
        assert_eq!(context.cluster, "prod");
        assert_eq!(context.server, "https://h:6443");
        assert_eq!(context.server_ca, "PEM");
        assert_eq!(context.issuer.as_deref(), Some("https://i"));
    }

    #[test]
    fn what_is_missing_is_named() {
        for (json, missing) in [
            (r#"{"clusters":null}"#, "null"),
            (r#"{"clusters":[]}"#, "no cluster"),
            (
                r#"{"clusters":[{"name":"a","cluster":{"server":"https://h"}}]}"#,
                "no CA",
            ),
        ] {
            let error = Context::read(json.as_bytes()).err().unwrap().to_string();
            assert!(error.contains(missing), "{error}");
        }
    }
}
