//! The API server of kubectl's current context.

use std::ffi::OsStr;

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{entry::DEADLINE, error::BreakGlassError, files::read_text};
use crate::{
    cli::Connection,
    kubeconfig::{Config, NamedCluster},
    kubectl::Kubectl,
    run::wait_for,
};

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

impl Context {
    /// Asks kubectl.
    pub fn current() -> Result<Self, BreakGlassError> {
        let connection = Connection::default();
        let kubectl = Kubectl {
            program: OsStr::new("kubectl"),
            connection: &connection,
            deadline: DEADLINE,
        };
        let config = wait_for(async { Ok(Config::current(&kubectl).await) });
        let config = config.map_err(|error| BreakGlassError::Context(error.to_string()))?;
        Self::of(config.map_err(|error| BreakGlassError::Context(error.to_string()))?)
    }

    fn of(config: Config) -> Result<Self, BreakGlassError> {
        let wrong = |what: &str| BreakGlassError::Context(what.to_owned());
        let [NamedCluster { name, cluster }] =
            <[NamedCluster; 1]>::try_from(config.clusters).map_err(|_| wrong("it names no cluster"))?;
        let issuer = cluster.issuer().map(str::to_owned);
        let server_ca = match (cluster.certificate_authority_data, cluster.certificate_authority) {
            (Some(data), _) => BASE64_STANDARD
                .decode(data)
                .ok()
                .and_then(|pem| String::from_utf8(pem).ok())
                .ok_or_else(|| wrong("its certificate-authority-data is no PEM"))?,
            (None, Some(path)) => read_text(path.as_ref())?,
            (None, None) => return Err(wrong("it names no CA of the API server")),
        };
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
        let context = Context::of(serde_json::from_str(json).unwrap()).unwrap();
        assert_eq!(context.cluster, "prod");
        assert_eq!(context.server, "https://h:6443");
        assert_eq!(context.server_ca, "PEM");
        assert_eq!(context.issuer.as_deref(), Some("https://i"));
    }

    #[test]
    fn what_is_missing_is_named() {
        for (json, missing) in [
            (r#"{"clusters":null}"#, "no cluster"),
            (r#"{"clusters":[]}"#, "no cluster"),
            (
                r#"{"clusters":[{"name":"a","cluster":{"server":"https://h"}}]}"#,
                "no CA",
            ),
        ] {
            let config = serde_json::from_str(json).unwrap();
            let error = Context::of(config).err().unwrap().to_string();
            assert!(error.contains(missing), "{error}");
        }
    }
}
