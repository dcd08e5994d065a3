//! The wire between `kubectl-gatepass` and `gatepass-issuer`: paths, limits, requests, answers and error codes.
//!
//! `README.md` beside this crate is the protocol for people who write another client; this crate is the same in
//! types. Bodies are JSON in camelCase. Unknown members are refused in requests and ignored in answers, so that an
//! issuer may say more to tomorrow's plugin without breaking today's. Times are RFC 3339 UTC in whole seconds and
//! travel as text: parsing and clocks belong to the two ends.

mod code;
mod marker;
pub mod revocation;
mod token;

pub use code::Code;
pub use marker::{GROUP_PREFIX, Marker};
pub use token::Token;

use serde::{Deserialize, Serialize};

/// Paths below the issuer's URL.
pub mod path {
    /// `GET`: names the cluster and its identity providers ([`super::ClusterInfo`]).
    pub const CLUSTER: &str = "/v1/cluster";
    /// `POST`: a [`super::CertificateRequest`] for a [`super::CertificateResponse`].
    pub const CERTIFICATES: &str = "/v1/certificates";
    /// `POST`: a [`super::LogoutRequest`]; ends its session.
    pub const LOGOUT: &str = "/v1/logout";
    /// `POST`: a logout token (OpenID Connect Back-Channel Logout 1.0) from an identity provider.
    pub const BACKCHANNEL_LOGOUT: &str = "/v1/backchannel-logout";
    /// `POST`, for API servers: a SubjectAccessReview.
    pub const AUTHORIZE: &str = "/v1/authorize";
    /// `POST`, for API servers: an audit.k8s.io/v1 EventList.
    pub const AUDIT: &str = "/v1/audit";
}

/// Sizes above which the issuer answers `too_large` (bytes) or `malformed_…` (counts).
pub mod limit {
    /// A token, as it stands in the request.
    pub const TOKEN: usize = 64 * 1024;
    /// A request body.
    pub const BODY: usize = 256 * 1024;
    /// The value of the `DPoP` header.
    pub const PROOF: usize = 8 * 1024;
    /// The proof's `jti`.
    pub const JTI: usize = 256;
    /// The request's `reason`.
    pub const REASON: usize = 1024;
    /// Elements of any list in a body, token or proof.
    pub const LIST: usize = 1000;
    /// Nesting of JSON in a body, token or proof.
    pub const DEPTH: usize = 32;
}

/// The request header that carries the proof (RFC 9449 section 4.1).
pub const PROOF_HEADER: &str = "DPoP";
/// The proof's `typ` (RFC 9449 section 4.2).
pub const PROOF_TYPE: &str = "dpop+jwt";
/// Media type of refusals (RFC 9457 section 3).
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";
/// What a problem's `type` begins with; the code follows.
pub const PROBLEM_TYPE_PREFIX: &str = "urn:gatepass:problem:";

/// Bytes of a salt: 8 of login time, 24 of randomness.
pub const SALT_LEN: usize = 32;

/// The salt of one login: the login's Unix time by the issuer's clock (8 bytes, big-endian), then 24 random bytes.
///
/// The login time inside cannot be changed later, because the ID token's nonce commits to the whole salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salt([u8; SALT_LEN]);

impl Salt {
    /// A salt for a login that begins at `login_time`, in Unix seconds by the issuer's clock.
    pub fn new(login_time: u64, random: [u8; SALT_LEN - 8]) -> Self {
        let mut salt = [0; SALT_LEN];
        salt[..8].copy_from_slice(&login_time.to_be_bytes());
        salt[8..].copy_from_slice(&random);
        Self(salt)
    }

    /// The login time in Unix seconds.
    pub fn login_time(&self) -> u64 {
        let mut time = [0; 8];
        time.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(time)
    }

    /// The 32 raw bytes.
    pub fn as_bytes(&self) -> &[u8; SALT_LEN] {
        &self.0
    }

    /// The bytes whose SHA-256, in base64url without padding, is the nonce that binds an ID token to a session key:
    /// `"gatepass/v1" ‖ 0x00 ‖ jkt ‖ 0x00 ‖ salt`.
    ///
    /// `jkt` is the RFC 7638 SHA-256 thumbprint of the session key as base64url text (43 ASCII bytes).
    pub fn commitment_preimage(&self, jkt: &str) -> Vec<u8> {
        [b"gatepass/v1\0", jkt.as_bytes(), b"\0", &self.0].concat()
    }
}

impl From<[u8; SALT_LEN]> for Salt {
    fn from(bytes: [u8; SALT_LEN]) -> Self {
        Self(bytes)
    }
}

/// Claims of the proof: RFC 9449's `htm`, `htu`, `iat`, `jti`, and Gatepass's own.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ProofClaims {
    /// HTTP method of the request.
    pub htm: String,
    /// The issuer's URL as pinned, followed by the path; compared byte for byte.
    pub htu: String,
    /// When the proof was made, in Unix seconds by the issuer's clock.
    pub iat: i64,
    /// Unique name of this proof; recorded, not compared.
    pub jti: String,
    /// Id of the cluster the request is meant for.
    pub cluster: String,
    /// The session's [`Salt`], base64url without padding.
    pub salt: String,
    /// SHA-256 of the request body's bytes, base64url without padding.
    pub body: String,
}

/// Answer to `GET /v1/cluster`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterInfo {
    /// Stable id of the cluster; part of every proof and of the session id.
    pub cluster_id: String,
    /// What people call the cluster.
    pub name: String,
    /// The issuer's own URL; must equal the URL that was asked.
    pub url: String,
    /// The issuer's clock, RFC 3339.
    pub server_time: String,
    /// One element per client of each identity provider.
    pub identity_providers: Vec<IdentityProvider>,
    /// Limits of certificates.
    pub certificate: CertificateLimits,
    /// Limits of sessions.
    pub session: SessionLimits,
}

/// One client at one identity provider that the issuer accepts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityProvider {
    /// Issuer identifier (OpenID Connect Core section 2), compared exactly.
    pub issuer: String,
    /// Gatepass's own client id there.
    pub client_id: String,
    /// Scopes to ask for.
    pub scopes: Vec<String>,
    /// Flows this client may use, most preferred first; see [`Flow`]. Names unknown to this version are kept.
    pub flows: Vec<Flow>,
    /// Whether tokens must be bound to the session key.
    pub binding: Binding,
    /// Greatest age of an ID token, in seconds since its `iat`.
    pub max_token_age_seconds: u64,
}

/// A way to get an ID token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Flow {
    /// Authorization code with PKCE in a browser on this machine.
    Browser,
    /// A flow this version does not know.
    #[serde(untagged)]
    Other(String),
}

/// Whether a token must be bound to the session key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Binding {
    /// The nonce must commit to the session key.
    Required,
    /// A value this version does not know.
    #[serde(untagged)]
    Other(String),
}

/// Limits of the certificates a cluster issues.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateLimits {
    /// Longest life of a certificate, in seconds.
    pub max_ttl_seconds: u64,
}

/// Limits of the sessions a cluster serves.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionLimits {
    /// Longest life of a session, in seconds since the login time.
    pub max_seconds: u64,
}

/// Body of `POST /v1/certificates`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateRequest {
    /// The latest ID token.
    pub id_token: Token,
    /// The ID token that the login returned; needed where the identity provider drops `nonce` at refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_token: Option<Token>,
    /// Certificate signing request, PEM. Only its public key is used.
    pub csr: String,
    /// On-request groups to add.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    /// Why the person asks; goes into the audit record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Wished life in seconds; only ever shortens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
}

/// Body of `POST /v1/logout`, which is answered by 204.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogoutRequest {
    /// The session's token that carries the nonce: the login token, or the ID token where the provider keeps the nonce.
    pub token: Token,
}

/// Answer 201 to `POST /v1/certificates`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateResponse {
    /// PEM: the leaf, then intermediates.
    pub certificate: String,
    /// RFC 3339.
    pub not_before: String,
    /// RFC 3339.
    pub not_after: String,
    /// `X509SHA256=<hex SHA-256 of the leaf DER>`.
    pub credential_id: String,
    /// The certificate's common name.
    pub username: String,
    /// The certificate's UID attribute.
    pub uid: String,
    /// The certificate's groups, without the marker.
    pub groups: Vec<String>,
    /// Session id.
    pub session: String,
    /// When the session ends, RFC 3339.
    pub session_end: String,
    /// Whether the tokens were bound to the session key.
    pub bound: bool,
    /// The issuer's clock, RFC 3339.
    pub server_time: String,
}

/// Any refusal (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// [`PROBLEM_TYPE_PREFIX`] followed by the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// Stable code; see [`Code`].
    pub code: Code,
    /// What failed in this request. Nothing secret.
    pub detail: String,
    /// Names the request in the issuer's log.
    pub request_id: String,
    /// The issuer's clock, RFC 3339.
    pub server_time: String,
    /// With `revoked`: a login after this time helps; absent when blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_after: Option<String>,
}

#[cfg(test)]
mod tests;
