//! kubectl's side of the exec plugin protocol: `KUBERNETES_EXEC_INFO` in, `ExecCredential` out.
//!
//! This module is the only one that writes to stdout when kubectl is listening.

use std::io::{self, Write};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::keys::sha256_base64url;

/// API versions of `client.authentication.k8s.io` that kubectl 1.22 and later speak.
const VERSIONS: [&str; 2] = [
    "client.authentication.k8s.io/v1",
    "client.authentication.k8s.io/v1beta1",
];

/// What kubectl said in `KUBERNETES_EXEC_INFO`.
#[derive(Debug, PartialEq)]
pub struct ExecInfo {
    /// The version asked, which the answer must repeat.
    api_version: &'static str,
    /// Whether a person is at the terminal. `interactiveMode: Never` looks the same as no terminal.
    pub interactive: bool,
    /// A digest of the API server's CA, where `provideClusterInfo` hands it over.
    pub cluster_ca: Option<String>,
    /// URL of the API server, where `provideClusterInfo` hands it over.
    pub server: Option<String>,
    /// The same CA, base64 of PEM.
    cluster_ca_data: Option<String>,
    /// The cluster's extension `client.authentication.k8s.io/exec`, where `provideClusterInfo` hands it over.
    pub extension: Option<Value>,
}

/// Why `KUBERNETES_EXEC_INFO` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExecInfoError {
    /// Not JSON, or not an ExecCredential.
    #[error("KUBERNETES_EXEC_INFO is not an ExecCredential: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A version that this program does not speak.
    #[error("KUBERNETES_EXEC_INFO asks for {0}; this program speaks {v1} and {v1beta1}", v1 = VERSIONS[0], v1beta1 = VERSIONS[1])]
    Version(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    api_version: String,
    #[serde(default)]
    spec: Spec,
}

#[derive(Default, Deserialize)]
struct Spec {
    #[serde(default)]
    interactive: bool,
    // The rest of `cluster` is left unread: insecure-skip-tls-verify is about the API server, and so is its CA, which
    // only tells one API server from another here and is trusted for nothing.
    cluster: Option<Cluster>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: Option<String>,
    certificate_authority_data: Option<String>,
    config: Option<Value>,
}

impl ExecInfo {
    /// Reads the variable's value; `None` means a person typed the command, who is answered in v1.
    pub fn parse(text: Option<&str>, is_terminal: bool) -> Result<Self, ExecInfoError> {
        let Some(text) = text else {
            return Ok(Self {
                api_version: VERSIONS[0],
                interactive: is_terminal,
                cluster_ca: None,
                server: None,
                cluster_ca_data: None,
                extension: None,
            });
        };
        let input: Input = serde_json::from_str(text)?;
        let Some(api_version) = VERSIONS.into_iter().find(|version| *version == input.api_version) else {
            return Err(ExecInfoError::Version(input.api_version));
        };
        let cluster = input.spec.cluster.unwrap_or_default();
        let ca = cluster.certificate_authority_data;
        let extension = cluster.config.filter(|config| !config.is_null());
        Ok(Self {
            api_version,
            interactive: input.spec.interactive,
            cluster_ca: ca.as_ref().map(|ca| sha256_base64url(ca.as_bytes())),
            server: cluster.server,
            cluster_ca_data: ca,
            extension,
        })
    }

    /// The API server's CA, PEM, which tells one API server from another and is trusted for nothing.
    pub fn server_ca(&self) -> Option<String> {
        let pem = STANDARD.decode(self.cluster_ca_data.as_ref()?).ok()?;
        String::from_utf8(pem).ok()
    }

    /// Writes the credential. `expires` is by the local clock and lies ahead of it: client-go runs the plugin again
    /// for every request otherwise, and closes its connections each time.
    pub fn write(
        &self,
        out: &mut impl Write,
        certificate: &str,
        key: &str,
        expires: OffsetDateTime,
    ) -> io::Result<()> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer<'a> {
            api_version: &'a str,
            kind: &'a str,
            status: Status<'a>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Status<'a> {
            client_certificate_data: &'a str,
            client_key_data: &'a str,
            expiration_timestamp: String,
        }
        let expiration_timestamp = expires.format(&Rfc3339).map_err(io::Error::other)?;
        let status = Status {
            client_certificate_data: certificate,
            client_key_data: key,
            expiration_timestamp,
        };
        let answer = Answer {
            api_version: self.api_version,
            kind: "ExecCredential",
            status,
        };
        serde_json::to_writer(&mut *out, &answer)?;
        out.write_all(b"\n")?;
        out.flush()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    fn info(text: &str) -> ExecInfo {
        ExecInfo::parse(Some(text), false).unwrap()
    }

    #[test]
    fn what_kubectl_sends_is_read() {
        let text = r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1","spec":{"cluster":
            {"server":"https://h:6443","insecure-skip-tls-verify":true,"config":{"issuer":"https://i"}},"interactive":true}}"#;
        let info = info(text);
        assert_eq!(info.api_version, "client.authentication.k8s.io/v1beta1");
        assert!(info.interactive);
        assert_eq!(info.extension, Some(json!({"issuer": "https://i"})));
    }

    #[test]
    fn a_cluster_without_extension_has_none() {
        let text = r#"{"apiVersion":"client.authentication.k8s.io/v1","spec":{"cluster":{"server":"s","config":null}}}"#;
        assert_eq!(info(text).extension, None);
        assert!(!info(text).interactive);
    }

    #[test]
    fn another_version_is_named() {
        let text = r#"{"apiVersion":"client.authentication.k8s.io/v1alpha1","spec":{}}"#;
        let error = ExecInfo::parse(Some(text), false).unwrap_err();
        assert!(error.to_string().contains("v1alpha1"), "{error}");
    }

    #[test]
    fn the_answer_repeats_the_version_and_holds_the_pair_and_no_token() {
        let info = info(r#"{"apiVersion":"client.authentication.k8s.io/v1beta1","spec":{}}"#);
        let mut out = Vec::new();
        info.write(&mut out, "CERT", "KEY", datetime!(2026-11-22 01:02:03 UTC))
            .unwrap();
        let answer: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            answer,
            json!({"apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential", "status": {
                "clientCertificateData": "CERT", "clientKeyData": "KEY", "expirationTimestamp": "2026-11-22T01:02:03Z"}})
        );
    }
}
