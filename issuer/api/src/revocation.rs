//! The `Revocation` document: a Kubernetes object of that kind, and the same text in a directory.

use serde::{Deserialize, Serialize};

/// API group of the custom resource.
pub const GROUP: &str = "gatepass.dev";
/// Its version.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` of a document.
pub const API_VERSION: &str = "gatepass.dev/v1alpha1";
/// `kind` of a document.
pub const KIND: &str = "Revocation";
/// Its name in URLs and RBAC rules.
pub const PLURAL: &str = "revocations";
/// Logins so many seconds after `loggedInBefore` count as before it: clocks differ.
pub const LOGIN_LEEWAY: i64 = 60;

/// A revocation, in the part of a Kubernetes object that matters here; members of others are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Revocation {
    /// [`API_VERSION`].
    pub api_version: String,
    /// [`KIND`].
    pub kind: String,
    /// Its name.
    pub metadata: Metadata,
    /// What it does.
    pub spec: RevocationSpec,
}

/// What a revocation is called.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Unique in its store; a DNS subdomain name (RFC 1123), as [`is_name`] says.
    pub name: String,
    /// When it was written, by the store's clock; a directory has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<String>,
}

/// Whether `text` can be a revocation's name: what Kubernetes takes, so that it is also a plain file name.
pub fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

impl Revocation {
    /// A document to be written.
    pub fn new(name: String, spec: RevocationSpec) -> Self {
        Self {
            api_version: API_VERSION.into(),
            kind: KIND.into(),
            metadata: Metadata {
                name,
                creation_timestamp: None,
            },
            spec,
        }
    }
}

/// What is revoked, for whom and until when.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RevocationSpec {
    /// Whose access ends.
    pub target: Target,
    /// Logins up to [`LOGIN_LEEWAY`] after this time are denied, RFC 3339; absent: the time of creation. A directory's
    /// documents must have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logged_in_before: Option<String>,
    /// Whether later logins are refused, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub block_issuance: bool,
    /// What those it denies are told. At most [`MAX_REASON`] bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// From when on it denies nothing and is swept away, RFC 3339; absent: never, save for a session, whose revocation
    /// ends when the session has ended anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// Greatest length of a revocation's reason in bytes.
pub const MAX_REASON: usize = 1024;
/// Greatest length of a target's text in bytes.
pub const MAX_TARGET: usize = 1024;

/// Whose access ends; compared exactly.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Target {
    /// A username, as the API server knows it.
    User(String),
    /// An account at an identity provider, whatever it is called.
    Subject(Subject),
    /// A UID, as the API server knows it.
    Uid(String),
    /// All members of a group.
    Group(String),
    /// A session id: one login.
    Session(String),
    /// One certificate: [`CREDENTIAL_ID_PREFIX`] and 64 lower-case hexadecimal digits.
    CredentialId(String),
}

/// What a credential ID of an X.509 certificate begins with; the SHA-256 of the leaf's DER follows.
pub const CREDENTIAL_ID_PREFIX: &str = "X509SHA256=";

/// An account at an identity provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subject {
    /// The provider's issuer identifier.
    pub issuer: String,
    /// `sub` of its tokens.
    pub subject: String,
}

/// Why a target cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Empty, or longer than [`MAX_TARGET`].
    #[error("{0} must have 1 to 1024 bytes")]
    Length(&'static str),
    /// Not a session id.
    #[error("a session id is two groups of 26 of the characters a-z and 2-7 with a `-` between them")]
    Session,
    /// Not a credential ID.
    #[error("a credential ID is `X509SHA256=` and 64 lower-case hexadecimal digits")]
    CredentialId,
    /// A name that a planted revocation could lock everybody out with.
    #[error(
        "{0} that begin with `system:` or `gatepass:` cannot be revoked: that could close the last way in"
    )]
    Reserved(&'static str),
}

impl Target {
    /// The member's name in a document.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Subject(_) => "subject",
            Self::Uid(_) => "uid",
            Self::Group(_) => "group",
            Self::Session(_) => "session",
            Self::CredentialId(_) => "credentialId",
        }
    }

    /// Whether it can be used at all.
    pub fn check(&self) -> Result<(), TargetError> {
        let length = |text: &str, what| {
            if (1..=MAX_TARGET).contains(&text.len()) {
                Ok(())
            } else {
                Err(TargetError::Length(what))
            }
        };
        let free = |text: &str, what| {
            if ["system:", "gatepass:"]
                .iter()
                .any(|prefix| text.starts_with(prefix))
            {
                Err(TargetError::Reserved(what))
            } else {
                Ok(())
            }
        };
        match self {
            Self::User(user) => length(user, "a username").and_then(|()| free(user, "users")),
            Self::Group(group) => length(group, "a group").and_then(|()| free(group, "groups")),
            Self::Uid(uid) => length(uid, "a UID").and_then(|()| free(uid, "UIDs")),
            Self::Subject(subject) => length(&subject.issuer, "a subject's issuer")
                .and_then(|()| length(&subject.subject, "a subject")),
            Self::Session(session) if is_session_id(session) => Ok(()),
            Self::Session(_) => Err(TargetError::Session),
            Self::CredentialId(id) if is_credential_id(id) => Ok(()),
            Self::CredentialId(_) => Err(TargetError::CredentialId),
        }
    }
}

/// Whether `text` is a session id: subject id and login id, 16 bytes each in lower-case base32.
pub fn is_session_id(text: &str) -> bool {
    let is_id = |id: &str| id.len() == 26 && id.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'));
    text.split_once('-')
        .is_some_and(|(subject, login)| is_id(subject) && is_id(login))
}

/// Whether `text` is the credential ID of an X.509 certificate, as the API server writes it.
pub fn is_credential_id(text: &str) -> bool {
    text.strip_prefix(CREDENTIAL_ID_PREFIX)
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> Result<RevocationSpec, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn a_document_has_exactly_one_target_and_nothing_unknown() {
        let one = spec(r#"{"target": {"user": "alice"}, "blockIssuance": true}"#).unwrap();
        assert_eq!(one.target, Target::User("alice".into()));
        assert_eq!(
            serde_json::to_string(&one).unwrap(),
            r#"{"target":{"user":"alice"},"blockIssuance":true}"#
        );
        let subject = spec(r#"{"target": {"subject": {"issuer": "https://i", "subject": "s"}}}"#);
        assert_eq!(subject.unwrap().target.kind(), "subject");
        for wrong in [
            r#"{"target": {"user": "alice", "group": "dev"}}"#,
            r#"{"target": {}}"#,
            r#"{"target": {"name": "alice"}}"#,
            r#"{"target": {"user": "alice"}, "blockissuance": true}"#,
            r#"{"target": {"subject": {"issuer": "https://i"}}}"#,
            r#"{"reason": "none"}"#,
        ] {
            assert!(spec(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn targets_that_match_nothing_or_too_much_are_refused() {
        let hex = "a".repeat(64);
        let id = "a".repeat(26);
        for (target, allowed) in [
            (Target::User("alice".into()), true),
            (Target::User(String::new()), false),
            (Target::User("u".repeat(MAX_TARGET + 1)), false),
            (Target::User("system:kube-scheduler".into()), false),
            (Target::Group("gatepass:break-glass".into()), false),
            (Target::Group("system:authenticated".into()), false),
            (Target::Uid("system:x".into()), false),
            (Target::Session(format!("{id}-{id}")), true),
            (Target::Session(format!("{id}{id}-")), false),
            (Target::Session(format!("{id}-{}", "A".repeat(26))), false),
            (Target::CredentialId(format!("X509SHA256={hex}")), true),
            (
                Target::CredentialId(format!("X509SHA256={}", "A".repeat(64))),
                false,
            ),
            (Target::CredentialId(hex), false),
        ] {
            assert_eq!(target.check().is_ok(), allowed, "{target:?}");
        }
    }
}
