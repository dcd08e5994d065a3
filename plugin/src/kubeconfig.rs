//! What kubectl says of the kubeconfig: its files merged as kubectl merges them.

use std::path::Path;

use serde::{Deserialize, Deserializer};

use crate::kubectl::{Kubectl, KubectlError};

/// The name of a cluster entry's extension that kubectl hands to a credential plugin.
pub(crate) const EXTENSION: &str = "client.authentication.k8s.io/exec";

/// A kubeconfig, as far as this program cares.
#[derive(Deserialize)]
pub(crate) struct Config {
    /// API servers.
    #[serde(default, deserialize_with = "list")]
    pub(crate) clusters: Vec<NamedCluster>,
    /// Which user is whom where.
    #[serde(default, deserialize_with = "list")]
    pub(crate) contexts: Vec<NamedContext>,
    /// Credentials.
    #[serde(default, deserialize_with = "list")]
    pub(crate) users: Vec<NamedUser>,
}

#[derive(Deserialize)]
pub(crate) struct NamedCluster {
    pub(crate) name: String,
    pub(crate) cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Cluster {
    #[serde(default)]
    pub(crate) server: String,
    pub(crate) certificate_authority: Option<String>,
    pub(crate) certificate_authority_data: Option<String>,
    #[serde(default, deserialize_with = "list")]
    extensions: Vec<Extension>,
}

#[derive(Deserialize)]
struct Extension {
    name: String,
    extension: serde_json::Value,
}

#[derive(Deserialize)]
pub(crate) struct NamedContext {
    pub(crate) name: String,
    pub(crate) context: Context,
}

#[derive(Deserialize)]
pub(crate) struct Context {
    #[serde(default)]
    pub(crate) cluster: String,
    #[serde(default)]
    pub(crate) user: String,
}

#[derive(Deserialize)]
pub(crate) struct NamedUser {
    pub(crate) name: String,
    pub(crate) user: User,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct User {
    pub(crate) exec: Option<Exec>,
    pub(crate) token: Option<String>,
    #[serde(rename = "tokenFile")]
    pub(crate) token_file: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) client_certificate: Option<String>,
    pub(crate) client_certificate_data: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Exec {
    pub(crate) command: String,
    #[serde(default, deserialize_with = "list")]
    pub(crate) args: Vec<String>,
    #[serde(default, deserialize_with = "list")]
    env: Vec<Variable>,
    #[serde(default)]
    pub(crate) api_version: String,
    #[serde(default)]
    pub(crate) provide_cluster_info: bool,
    pub(crate) interactive_mode: Option<String>,
}

#[derive(Deserialize)]
struct Variable {
    name: String,
    #[serde(default)]
    value: String,
}

/// An empty list is `null` to kubectl.
fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Why there is no kubeconfig to look at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KubeconfigError {
    /// kubectl gave none.
    #[error(transparent)]
    Kubectl(#[from] KubectlError),
    /// kubectl gave something else.
    #[error("what kubectl shows of the kubeconfig cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

impl Config {
    /// All of it but secrets, which kubectl keeps to itself, and authorities' certificates, which it leaves out.
    pub(crate) async fn read(kubectl: &Kubectl<'_>) -> Result<Self, KubeconfigError> {
        Self::view(kubectl, &["config", "view", "-o", "json"]).await
    }

    /// What belongs to the current context, with the certificates.
    pub(crate) async fn current(kubectl: &Kubectl<'_>) -> Result<Self, KubeconfigError> {
        let args = ["config", "view", "--minify", "--raw", "--flatten", "-o", "json"];
        Self::view(kubectl, &args).await
    }

    async fn view(kubectl: &Kubectl<'_>, args: &[&str]) -> Result<Self, KubeconfigError> {
        let answer = kubectl.run(args, None).await?;
        Ok(serde_json::from_slice(&answer.output)?)
    }

    /// Whether some context lets kubectl run this program for an API server, or for the clusters of an issuer.
    pub(crate) fn runs_us_for(&self, server: &str, issuer: Option<&str>) -> bool {
        let same = |url: &str, other: &str| url.trim_end_matches('/') == other.trim_end_matches('/');
        self.contexts.iter().any(|named| {
            let user = self.users.iter().find(|user| user.name == named.context.user);
            let exec = user.and_then(|user| user.user.exec.as_ref());
            let (Some(exec), Some(cluster)) = (exec, self.cluster(&named.context)) else {
                return false;
            };
            let names =
                |named: Option<&str>| issuer.is_some_and(|own| named.is_some_and(|named| same(named, own)));
            // What stands in the cluster's entry is told to a plugin that asks for it.
            let told =
                exec.provide_cluster_info && (same(&cluster.server, server) || names(cluster.issuer()));
            exec.gives_credentials() && (told || names(exec.issuer()))
        })
    }

    /// The API server of a context.
    pub(crate) fn cluster(&self, context: &Context) -> Option<&Cluster> {
        let named = self.clusters.iter().find(|named| named.name == context.cluster);
        named.map(|named| &named.cluster)
    }
}

impl Cluster {
    /// URL of the issuer that the entry names.
    pub(crate) fn issuer(&self) -> Option<&str> {
        let ours = self
            .extensions
            .iter()
            .find(|extension| extension.name == EXTENSION)?;
        ours.extension.get("issuer")?.as_str()
    }
}

/// How an entry runs this program.
pub(crate) enum Ours {
    /// By itself.
    Directly,
    /// Through kubectl.
    AsPlugin,
}

impl Exec {
    /// How it runs this program; `None` if it runs another.
    pub(crate) fn ours(&self) -> Option<Ours> {
        let name = Path::new(&self.command).file_stem()?.to_str()?;
        match (name, self.args.first().map(String::as_str)) {
            ("kubectl-gatepass", _) => Some(Ours::Directly),
            ("kubectl", Some("gatepass")) => Some(Ours::AsPlugin),
            _ => None,
        }
    }

    /// Whether it runs this program for a credential.
    fn gives_credentials(&self) -> bool {
        let args = match self.ours() {
            None => return false,
            Some(Ours::Directly) => &self.args[..],
            Some(Ours::AsPlugin) => self.args.get(1..).unwrap_or_default(),
        };
        args.first().is_some_and(|arg| arg == "get-credential")
    }

    /// URL of the issuer that its arguments or its environment name.
    pub(crate) fn issuer(&self) -> Option<&str> {
        let behind = |pair: &'_ [String]| pair[0] == "--issuer";
        let apart = self
            .args
            .windows(2)
            .find(|pair| behind(pair))
            .map(|pair| &*pair[1]);
        let joined = || self.args.iter().find_map(|arg| arg.strip_prefix("--issuer="));
        let variable = || {
            let named = self
                .env
                .iter()
                .find(|variable| variable.name == "GATEPASS_ISSUER");
            named.map(|variable| &*variable.value)
        };
        apart.or_else(joined).or_else(variable)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn config(exec: Value, extension: Value) -> Config {
        let config = json!({
            "users": [{"name": "g", "user": {"exec": exec}}, {"name": "other", "user": {"token": "REDACTED"}}],
            "clusters": [{"name": "prod", "cluster": {"server": "https://api.example.com:6443", "extensions": extension}}],
            "contexts": [{"name": "x", "context": {"cluster": "gone", "user": "g"}},
                         {"name": "prod", "context": {"cluster": "prod", "user": "g"}}],
        });
        serde_json::from_value(config).unwrap()
    }

    #[test]
    fn a_context_runs_us_for_its_api_server_and_for_its_issuer() {
        const ISSUER: &str = "https://issuer.example.com/";
        let exec = |args: Value, env: Value| json!({"command": "/usr/bin/kubectl-gatepass", "args": args, "env": env, "provideClusterInfo": true});
        let plain = || exec(json!(["get-credential"]), Value::Null);
        let extension = json!([{"name": EXTENSION, "extension": {"issuer": "https://issuer.example.com"}}]);
        let elsewhere = "https://elsewhere.example.com";
        assert!(config(plain(), Value::Null).runs_us_for("https://api.example.com:6443/", None));
        assert!(!config(plain(), Value::Null).runs_us_for(elsewhere, Some(ISSUER)));
        assert!(config(plain(), extension).runs_us_for(elsewhere, Some(ISSUER)));
        for (args, env) in [
            (json!(["get-credential", "--issuer", ISSUER]), json!(null)),
            (
                json!(["get-credential", format!("--issuer={ISSUER}")]),
                json!(null),
            ),
            (
                json!(["get-credential"]),
                json!([{"name": "GATEPASS_ISSUER", "value": ISSUER}]),
            ),
        ] {
            let config = config(exec(args.clone(), env), Value::Null);
            assert!(config.runs_us_for(elsewhere, Some(ISSUER)), "{args}");
            assert!(
                !config.runs_us_for(elsewhere, Some("https://another.example.com")),
                "{args}"
            );
        }
        let mut blind = plain();
        blind["provideClusterInfo"] = json!(false);
        assert!(!config(blind, Value::Null).runs_us_for("https://api.example.com:6443", None));
        let mut login = plain();
        login["args"] = json!(["login"]);
        assert!(!config(login, Value::Null).runs_us_for("https://api.example.com:6443", None));
        let mut another = plain();
        another["command"] = json!("kubelogin");
        assert!(!config(another, Value::Null).runs_us_for("https://api.example.com:6443", None));
    }

    #[test]
    fn an_empty_kubeconfig_runs_us_nowhere() {
        let empty = json!({"kind": "Config", "clusters": null, "users": null, "contexts": null});
        let empty: Config = serde_json::from_value(empty).unwrap();
        assert!(!empty.runs_us_for("https://api.example.com", None));
    }
}
