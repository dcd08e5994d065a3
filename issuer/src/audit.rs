//! The audit record. A certificate leaves only for a [`Receipt`]: no record, no certificate.

mod sink;

use serde::Serialize;

use crate::ca::Leaf;
use crate::clock::rfc3339;
use crate::escape::visible;
use crate::id_token::Claims;
use crate::logout_token::LogoutToken;
use crate::mapping::Identity;
use crate::proof::Proof;

pub use sink::{AuditLog, Sink};

/// Shows that a record was written; only [`AuditLog`] makes one.
#[derive(Debug)]
pub struct Receipt(());

/// The sink refused a record, or did not take it in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit record could not be written")]
pub struct Unavailable;

/// What became known about a request while it was checked.
///
/// Verified facts, apart from `reason`, which is the asker's claim, and, until `subject` is there, `identity_provider`:
/// which of the configured ones the token names. Strings are escaped: a line of a log must
/// not be able to pretend that it is two, or to hide half of itself.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trail {
    /// Position of the identity provider in the configuration.
    #[serde(skip)]
    pub(crate) idp: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) identity_provider: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_issued: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_rfc3339")]
    pub(crate) login_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "escaped")]
    pub(crate) reason: Option<String>,
    /// A session that was ended; that of a certificate stands there.
    #[serde(rename = "session", skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<String>,
    #[serde(flatten)]
    certificate: Option<Certificate>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Certificate {
    username: String,
    groups: Vec<String>,
    uid: String,
    session: String,
    bound: bool,
    serial: String,
    credential_id: String,
    not_before: String,
    not_after: String,
}

/// How much of a string from outside goes into a record.
const SHOWN: usize = 1024;

impl Trail {
    pub(crate) fn token(&mut self, claims: &Claims) {
        self.client = Some(visible(claims.client_id(), SHOWN).into_owned());
        self.subject = Some(visible(claims.subject(), SHOWN).into_owned());
        self.token_id = claims
            .get("jti")
            .and_then(|id| id.as_str())
            .map(|id| visible(id, SHOWN).into_owned());
        self.token_issued = Some(rfc3339(claims.issued()));
    }

    pub(crate) fn logout_token(&mut self, token: &LogoutToken) {
        self.client = Some(visible(token.client_id(), SHOWN).into_owned());
        self.subject = Some(visible(token.subject(), SHOWN).into_owned());
        self.token_id = Some(visible(token.id(), SHOWN).into_owned());
        self.token_issued = Some(rfc3339(token.issued()));
    }

    pub(crate) fn proof(&mut self, proof: &Proof) {
        self.proof_id = Some(visible(proof.id(), SHOWN).into_owned());
        self.session_key = Some(proof.thumbprint().to_owned());
    }

    pub(crate) fn issued(&mut self, identity: &Identity, session: &str, leaf: &Leaf, not_after: i64) {
        self.certificate = Some(Certificate {
            username: identity.username().to_owned(),
            groups: identity.groups().to_vec(),
            uid: identity.uid().to_owned(),
            session: session.to_owned(),
            bound: true,
            serial: leaf.serial.clone(),
            credential_id: leaf.credential_id.clone(),
            not_before: rfc3339(leaf.not_before),
            not_after: rfc3339(not_after),
        });
    }
}

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A certificate was issued.
    CertificateIssued,
    /// None was.
    CertificateRefused,
    /// A person has ended a session.
    SessionEnded,
    /// A session was not ended for whoever asked for it.
    LogoutRefused,
    /// An identity provider has ended a subject's sessions.
    SubjectLoggedOut,
    /// A subject's sessions were not ended for whoever asked for it.
    BackchannelLogoutRefused,
}

impl Event {
    fn name(self) -> &'static str {
        match self {
            Self::CertificateIssued => "certificate.issued",
            Self::CertificateRefused => "certificate.refused",
            Self::SessionEnded => "session.ended",
            Self::LogoutRefused => "logout.refused",
            Self::SubjectLoggedOut => "subject.logged-out",
            Self::BackchannelLogoutRefused => "backchannel-logout.refused",
        }
    }
}

/// One line of the audit log.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record<'a> {
    time: String,
    event: &'static str,
    request_id: &'a str,
    remote: &'a str,
    cluster: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(flatten)]
    trail: &'a Trail,
}

impl<'a> Record<'a> {
    /// The record of an event.
    pub fn of(
        event: Event,
        now: i64,
        request_id: &'a str,
        remote: &'a str,
        cluster: &'a str,
        trail: &'a Trail,
    ) -> Self {
        Self {
            time: rfc3339(now),
            event: event.name(),
            request_id,
            remote,
            cluster,
            code: None,
            detail: None,
            trail,
        }
    }

    /// With the code of a refusal, and its words.
    #[must_use]
    pub fn because(mut self, why: Option<(String, String)>) -> Self {
        if let Some((code, detail)) = why {
            self.code = Some(code);
            self.detail = Some(visible(&detail, SHOWN).into_owned());
        }
        self
    }

    /// The record as one line of JSON, with its newline.
    fn line(&self) -> Result<Vec<u8>, Unavailable> {
        let mut line = serde_json::to_vec(self).map_err(|_| Unavailable)?;
        line.push(b'\n');
        Ok(line)
    }
}

fn escaped<S: serde::Serializer>(text: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    text.as_ref()
        .map(|text| visible(text, SHOWN * 8))
        .serialize(serializer)
}

fn as_rfc3339<S: serde::Serializer>(time: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(rfc3339).serialize(serializer)
}
