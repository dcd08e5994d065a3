//! Whoever holds a certificate and asks an API server with it, many times a second.

use std::time::{Duration, Instant};

use gatepass_api::Marker;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::http::Http;
use crate::issuer::Issuer;
use crate::machine::Machine;
use crate::pki::Identity;
use crate::process::until;

/// A certificate and its key at one API server.
pub struct Holder {
    /// The certificate and its key, PEM.
    pub identity: Identity,
    http: Http,
    url: String,
}

/// What the API server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The HTTP status.
    pub status: u16,
    /// The message of a refusal.
    pub message: String,
}

/// What a certificate says of itself.
#[derive(Clone, Debug)]
pub struct Facts {
    /// As the API server writes it.
    pub credential_id: String,
    /// The UID attribute.
    pub uid: String,
    /// The session id.
    pub session: String,
}

impl Holder {
    /// Whoever has this person's laptop, with the credential that its plugin serves.
    pub fn of(machine: &Machine, issuer: &Issuer, cluster: &Cluster) -> Self {
        let printed = machine.get_credential(issuer).expect_ok().json();
        let text = |name: &str| printed["status"][name].as_str().expect("PEM").to_owned();
        Self::new(
            Identity {
                certificate: text("clientCertificateData"),
                key: text("clientKeyData"),
                pin: String::new(),
            },
            cluster,
        )
    }

    /// Whoever holds `identity`.
    pub fn new(identity: Identity, cluster: &Cluster) -> Self {
        Self {
            http: Http::showing(&cluster.ca, &identity.certificate, &identity.key),
            identity,
            url: cluster.url.clone(),
        }
    }

    /// The same at another API server.
    pub fn at(&self, cluster: &Cluster) -> Self {
        Self::new(self.identity.clone(), cluster)
    }

    /// Asks for a path.
    pub fn get(&self, path: &str) -> Said {
        self.send("GET", path, Vec::new())
    }

    /// Sends a body of JSON, or none.
    pub fn send(&self, method: &str, path: &str, body: Vec<u8>) -> Said {
        let answer = self
            .http
            .send(
                method,
                &format!("{}{path}", self.url),
                &[("content-type", "application/json")],
                body,
            )
            .expect("the API server answers");
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        Said {
            status: answer.status,
            message: body["message"].as_str().unwrap_or_default().to_owned(),
        }
    }

    /// Lists pods in the default namespace.
    pub fn list_pods(&self) -> Said {
        self.get("/api/v1/namespaces/default/pods")
    }

    /// Asks until the answer has this status; how long that took since `start`, and what was said.
    pub fn until(&self, status: u16, start: Instant) -> (Duration, Said) {
        let said = until(
            &format!("the API server says {status}"),
            Duration::from_secs(30),
            || {
                let said = self.list_pods();
                (said.status == status).then_some(said)
            },
        );
        (start.elapsed(), said)
    }

    /// What its certificate says.
    pub fn facts(&self) -> Facts {
        let printed = super::pki::openssl(
            &["x509", "-noout", "-subject", "-nameopt", "multiline,utf8"],
            &self.identity.certificate,
        );
        let marker = printed
            .split_whitespace()
            .find_map(Marker::parse)
            .expect("a marker among the organizations");
        let uid = printed
            .lines()
            .find_map(|line| line.trim().strip_prefix("1.3.6.1.4.1.57683.2")?.split('=').nth(1))
            .expect("a UID")
            .trim()
            .to_owned();
        let der = super::pki::openssl_bytes(&["x509", "-outform", "der"], &self.identity.certificate);
        Facts {
            credential_id: format!(
                "X509SHA256={}",
                data_encoding::HEXLOWER.encode(&fakes::sha256(der))
            ),
            uid,
            session: marker.session.to_owned(),
        }
    }
}
