//! Whether the group of break-glass certificates may still do anything in the cluster.

use std::{ffi::OsStr, time::Duration};

use gatepass_break_glass::certificate::GROUP;
use serde::Deserialize;
use url::form_urlencoded::byte_serialize;

use super::context::Context;
use crate::{
    cli::Connection,
    escape::Escaped,
    kubectl::{Kubectl, REQUEST_TIMEOUT},
    run::wait_for,
};

/// Whether a ClusterRoleBinding names the group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Binding {
    /// These do.
    Bound(Vec<String>),
    /// None does: a certificate would open the door to an empty room.
    NotBound,
    /// Why nobody can tell; escaped.
    CannotTell(String),
}

impl Binding {
    /// What people are told.
    pub fn words(&self) -> String {
        match self {
            Self::Bound(names) => format!(
                "The group {GROUP} is bound in the cluster of kubectl's current context, by {}.",
                names.join(", ")
            ),
            Self::NotBound => format!(
                "WARNING: no ClusterRoleBinding in the cluster of kubectl's current context names the group {GROUP}: whoever \
                 breaks the glass may do nothing there (RoleBindings in namespaces were not looked at).\n  next: \
                 from Gatepass's repository: kubectl apply -k deploy/break-glass"
            ),
            Self::CannotTell(why) => {
                format!("Whether the group {GROUP} is still bound in the cluster could not be seen: {why}")
            }
        }
    }
}

/// Asks the cluster of kubectl's current context, if that is this API server's; the answer in words.
pub fn words(server: &str) -> String {
    let here = Context::current().map(|context| context.server);
    if let Ok(here) = here
        && here.trim_end_matches('/') != server.trim_end_matches('/')
    {
        let why = format!(
            "kubectl's current context names another API server ({})",
            Escaped(&here)
        );
        return Binding::CannotTell(why).words();
    }
    match wait_for(async { Ok(binding(&Connection::default()).await) }) {
        Ok(binding) => binding.words(),
        Err(error) => Binding::CannotTell(error.to_string()).words(),
    }
}

/// Longest wait for kubectl, and for all pages together.
const DEADLINE: Duration = Duration::from_secs(20);
/// Bindings in one answer.
const PAGE: usize = 500;
/// More answers than this are no list of bindings.
const MOST_PAGES: usize = 100;

#[derive(Deserialize)]
struct Page {
    metadata: Meta,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    r#continue: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Item {
    metadata: Meta,
    #[serde(default)]
    subjects: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    kind: String,
    name: String,
}

/// Asks with the person's own kubectl.
pub async fn binding(connection: &Connection) -> Binding {
    ask(&Kubectl {
        program: OsStr::new("kubectl"),
        connection,
        deadline: DEADLINE,
    })
    .await
}

async fn ask(kubectl: &Kubectl<'_>) -> Binding {
    match tokio::time::timeout(kubectl.deadline, list(kubectl)).await {
        Ok(Ok(names)) if names.is_empty() => Binding::NotBound,
        Ok(Ok(names)) => Binding::Bound(names),
        Ok(Err(why)) => Binding::CannotTell(why),
        Err(_) => Binding::CannotTell(format!(
            "kubectl gave no answer within {} s",
            kubectl.deadline.as_secs()
        )),
    }
}

/// The names of those that name the group, escaped.
async fn list(kubectl: &Kubectl<'_>) -> Result<Vec<String>, String> {
    let (mut names, mut next) = (Vec::new(), String::new());
    for _ in 0..MOST_PAGES {
        let url = format!("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings?limit={PAGE}{next}");
        let answer = kubectl
            .run(&["get", "--raw", &url, REQUEST_TIMEOUT], None)
            .await
            .map_err(|error| error.to_string())?;
        let page: Page = serde_json::from_slice(&answer.output)
            .map_err(|error| format!("kubectl's answer is no list of ClusterRoleBindings: {error}"))?;
        let ours = page.items.iter().filter(|item| item.names_the_group());
        names.extend(ours.map(|item| Escaped(&item.metadata.name).to_string()));
        if page.metadata.r#continue.is_empty() {
            return Ok(names);
        }
        let token: String = byte_serialize(page.metadata.r#continue.as_bytes()).collect();
        next = format!("&continue={token}");
    }
    Err("the list of ClusterRoleBindings has no end".into())
}

impl Item {
    fn names_the_group(&self) -> bool {
        self.subjects
            .iter()
            .any(|subject| subject.kind == "Group" && subject.name == GROUP)
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use serde_json::{Value, json};

    use super::*;

    /// What is said of a kubectl that answers with these pages.
    fn asked(pages: &[Value]) -> Binding {
        let dir = tempfile::tempdir().unwrap();
        for (number, page) in pages.iter().enumerate() {
            fs::write(dir.path().join(number.to_string()), page.to_string()).unwrap();
        }
        let script = "#!/bin/sh\ncase $3 in\n*continue=*) cat \"${0%/*}/${3##*continue=}\" ;;\n\
             /apis/rbac.authorization.k8s.io/v1/clusterrolebindings\\?limit=*) cat \"${0%/*}/0\" ;;\nesac\n";
        run(dir.path(), script)
    }

    fn run(dir: &std::path::Path, script: &str) -> Binding {
        let program = dir.join("kubectl");
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        let kubectl = Kubectl {
            program: program.as_os_str(),
            connection: &Connection::default(),
            deadline: Duration::from_secs(10),
        };
        wait_for(async { Ok(ask(&kubectl).await) }).unwrap()
    }

    fn page(items: Value, next: &str) -> Value {
        json!({"kind": "ClusterRoleBindingList", "metadata": {"continue": next}, "items": items})
    }

    fn item(name: &str, kind: &str, subject: &str) -> Value {
        json!({"metadata": {"name": name}, "roleRef": {}, "subjects": [
            {"kind": "User", "name": "x"}, {"kind": kind, "name": subject, "apiGroup": "rbac.authorization.k8s.io"}]})
    }

    #[test]
    fn all_pages_are_looked_at() {
        let first = page(
            json!([item("one", "Group", GROUP), {"metadata": {"name": "none"}}]),
            "1",
        );
        let second = page(json!([item("t\u{1b}wo", "Group", GROUP)]), "");
        assert_eq!(
            asked(&[first, second]),
            Binding::Bound(vec!["one".into(), "t\\u{1b}wo".into()])
        );
    }

    #[test]
    fn a_user_or_another_group_of_that_name_is_none() {
        let others = json!([
            item("one", "User", GROUP),
            item("two", "Group", "gatepass:break-glas")
        ]);
        assert_eq!(asked(&[page(others, "")]), Binding::NotBound);
    }

    #[test]
    fn what_kubectl_does_not_tell_nobody_can() {
        let dir = tempfile::tempdir().unwrap();
        for (script, words) in [
            (
                "#!/bin/sh\necho 'Error from server (Forbidden): \u{1b}no' >&2\nexit 1\n",
                "(Forbidden): \\u{1b}no",
            ),
            ("#!/bin/sh\necho nonsense\n", "is no list"),
            (
                "#!/bin/sh\necho '{\"metadata\":{\"continue\":\"x\"},\"items\":[]}'\n",
                "no end",
            ),
        ] {
            let Binding::CannotTell(why) = run(dir.path(), script) else {
                panic!("{script}")
            };
            assert!(why.contains(words), "{why}");
            assert!(Binding::CannotTell(why).words().contains(words));
        }
    }
}
