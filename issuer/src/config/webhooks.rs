//! `webhooks`: where API servers ask, and which of them may.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_rustls::rustls::ServerConfig;

use super::files::Files;
use super::section::Section;
use super::{Serving, Validity, serving};
use crate::ca::CertificateAuthority;
use crate::server::{ClientAuthority, TlsVersion, server_config};

/// A listener for API servers.
#[derive(Clone, Debug)]
pub struct Webhooks {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its TLS, which asks for a client certificate.
    pub tls: Arc<ServerConfig>,
    /// How long its serving certificate is valid.
    pub serving: Validity,
    /// Common names of the certificates that are answered.
    pub names: Arc<[String]>,
}

pub(super) fn read(
    mut section: Section<'_>,
    files: &Files,
    signer: Option<&CertificateAuthority>,
    listen: Option<Serving>,
    now: i64,
) -> Option<Webhooks> {
    let address = section.parsed(
        "address",
        "an IP address and port such as 127.0.0.1:8444 or [::]:8444",
    );
    let (authority, names) = section.section("clients").map_or((None, None), |mut clients| {
        let authority = clients.file("ca", |path| files.read(path));
        let authority = authority.and_then(|pem| {
            let authority = ClientAuthority::from_pem(&pem)
                .map_err(|error| clients.problem("ca", &error.to_string()))
                .ok()?;
            // Everybody who has ever logged in has a certificate by that one.
            if signer.is_some_and(|signer| authority.has_key(signer.public_key())) {
                clients.problem(
                    "ca",
                    "this is the authority that signs people's certificates: make another for API servers",
                );
            }
            Some(authority)
        });
        let names = clients.texts("names", true, "common names", |name| !name.is_empty());
        clients.finish();
        (authority, names)
    });
    let served = match section.optional_section("tls") {
        None => listen,
        Some(mut tls) => {
            let served = serving(&mut tls, files, now);
            tls.finish();
            served
        }
    };
    let tls = served
        .zip(authority)
        .and_then(|((certificate, key, validity), authority)| {
            // The API server speaks 1.3 in every version that has structured authorization.
            server_config(&certificate, &key, TlsVersion::V1_3, Some(authority))
                .map_err(|error| section.problem("tls", &error.to_string()))
                .ok()
                .zip(Some(validity))
        });
    section.finish();
    let (tls, serving) = tls?;
    Some(Webhooks {
        address: address?,
        tls,
        serving,
        names: names?.into(),
    })
}
