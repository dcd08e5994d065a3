//! Why a request is refused, and the one mapping from reasons to the wire's codes.

use gatepass_api::Code;

use crate::issue::GrantError;
use crate::revocation::Stale;
use crate::revocation::store::WriteError;
use crate::{binding, ca, csr, id_token, mapping, proof, request};

/// Why an exchange ends without a certificate. `Display` is the problem's `detail`: nothing secret, and nothing that
/// was sent is repeated.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The body.
    #[error(transparent)]
    Request(#[from] request::Error),
    /// The ID token.
    #[error(transparent)]
    IdToken(#[from] id_token::Error),
    /// The proof.
    #[error(transparent)]
    Proof(#[from] proof::Error),
    /// The login token.
    #[error(transparent)]
    LoginToken(GrantError),
    /// Tokens and proof together.
    #[error(transparent)]
    Binding(#[from] binding::Error),
    /// The certificate request.
    #[error(transparent)]
    Csr(#[from] csr::Error),
    /// Name and groups.
    #[error(transparent)]
    Mapping(#[from] mapping::Error),
    /// Groups were asked for.
    #[error("no rule of this cluster grants groups on request")]
    NotPermitted,
    /// A revocation stands against this login.
    #[error("access was revoked{}{}", reason.as_deref().map_or("", |_| ": "), reason.as_deref().unwrap_or_default())]
    Revoked {
        /// Its reason, escaped.
        reason: Option<String>,
        /// A login after this time helps, in Unix seconds; `None` if none does.
        login_after: Option<i64>,
    },
    /// Nobody can say whether a revocation stands.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// A logout could not be kept.
    #[error(transparent)]
    Store(#[from] WriteError),
    /// The ID token ends within a minute.
    #[error("the ID token ends in less than 60 s")]
    TokenEnds,
    /// The session ends within a minute.
    #[error("the session ends in less than 60 s")]
    SessionEnds,
    /// The certificate authority ends within a minute.
    #[error("the certificate authority has expired")]
    AuthorityEnds,
    /// The authority failed.
    #[error(transparent)]
    Sign(#[from] ca::SignError),
    /// The audit record was refused: no record, no certificate.
    #[error("the audit record could not be written")]
    Audit,
}

impl Refusal {
    /// The code on the wire.
    pub fn code(&self) -> Code {
        match self {
            Self::Request(error) => request_code(error),
            Self::IdToken(error) => id_token_code(error),
            Self::Proof(error) => proof_code(error),
            Self::LoginToken(GrantError::Token(id_token::Error::TooLarge)) => Code::TooLarge,
            Self::LoginToken(_) => Code::LoginTokenInvalid,
            Self::Binding(error) => match error {
                binding::Error::Missing(_) => Code::BindingMissing,
                binding::Error::Mismatch(_) => Code::BindingMismatch,
                binding::Error::LoginTime => Code::LoginTimeInvalid,
                binding::Error::SessionEnded(_) => Code::SessionEnded,
            },
            Self::Csr(error) => match error {
                csr::Error::Malformed(_) => Code::MalformedCsr,
                csr::Error::BadSignature => Code::BadCsrSignature,
                csr::Error::WeakKey | csr::Error::SessionKey => Code::WeakKey,
            },
            Self::Mapping(error) => match error {
                mapping::Error::Claim(_) | mapping::Error::EmailNotVerified => Code::ClaimRuleFailed,
                mapping::Error::Forbidden(_) => Code::ForbiddenName,
            },
            Self::NotPermitted => Code::NotPermitted,
            Self::Revoked { .. } => Code::Revoked,
            Self::Stale(_) => Code::RevocationViewStale,
            Self::TokenEnds => Code::TokenExpired,
            Self::SessionEnds => Code::SessionEnded,
            Self::AuthorityEnds | Self::Sign(_) | Self::Store(_) => Code::Internal,
            Self::Audit => Code::AuditUnavailable,
        }
    }

    /// With [`Code::Revoked`]: a login after this time helps, in Unix seconds.
    pub fn login_after(&self) -> Option<i64> {
        match self {
            Self::Revoked { login_after, .. } => *login_after,
            _ => None,
        }
    }

    /// Whether fetching the provider's keys again may help.
    pub fn wants_keys(&self) -> bool {
        use id_token::Error::{KeysUnavailable, UnknownKey};
        matches!(
            self,
            Self::IdToken(UnknownKey | KeysUnavailable) | Self::LoginToken(GrantError::Token(UnknownKey))
        )
    }
}

fn request_code(error: &request::Error) -> Code {
    match error {
        request::Error::Json(_)
        | request::Error::Null
        | request::Error::Members
        | request::Error::LogoutMembers => Code::MalformedRequest,
        request::Error::ReasonTooLarge => Code::TooLarge,
    }
}

fn id_token_code(error: &id_token::Error) -> Code {
    use id_token::Error as E;
    match error {
        E::TooLarge => Code::TooLarge,
        E::Malformed(_) | E::Claim(_) => Code::MalformedToken,
        E::UnknownIdp => Code::UnknownIdp,
        E::KeysUnavailable => Code::IdpUnavailable,
        E::UnsupportedAlgorithm => Code::UnsupportedAlgorithm,
        E::UnknownKey => Code::UnknownKey,
        E::BadSignature => Code::BadSignature,
        E::NotAnIdToken(_) => Code::NotAnIdToken,
        E::WrongAudience => Code::WrongAudience,
        E::WrongParty => Code::WrongParty,
        E::Expired(_) => Code::TokenExpired,
        E::NotYetValid(_) => Code::TokenNotYetValid,
        E::NotFresh { .. } => Code::TokenNotFresh,
    }
}

fn proof_code(error: &proof::Error) -> Code {
    use proof::Error as E;
    match error {
        E::Missing => Code::MissingProof,
        E::TooLarge | E::IdTooLarge => Code::TooLarge,
        E::Several | E::Malformed(_) | E::Header(_) | E::Claim(_) => Code::MalformedProof,
        E::BadSignature => Code::BadProofSignature,
        E::WrongMethod | E::WrongUrl => Code::ProofWrongUrl,
        E::WrongCluster => Code::ProofWrongCluster,
        E::WrongBody => Code::ProofWrongBody,
        E::NotFresh => Code::ProofNotFresh,
    }
}
