//! One sentence and one next step for every code of the issuer.

use gatepass_api::Code;

/// What a code means to a person, and what to do next.
pub fn of(code: &Code) -> (&'static str, &'static str) {
    const UPDATE: &str =
        "update kubectl-gatepass; if that does not help, give the request id to whoever runs the issuer";
    const OPERATOR: &str = "ask whoever runs the issuer; the request id is in its log";
    const LOGIN: &str = "log in again: kubectl-gatepass login";
    const WAIT: &str = "try again in a minute; if it stays, ask whoever runs the issuer";
    match code {
        Code::MalformedRequest
        | Code::MalformedProof
        | Code::MalformedCsr
        | Code::BadCsrSignature
        | Code::WeakKey => ("the issuer does not understand this program's request", UPDATE),
        Code::NotFound | Code::MethodNotAllowed | Code::UnsupportedMediaType => (
            "the issuer does not know this request",
            "check the issuer's URL, then update kubectl-gatepass",
        ),
        Code::MissingProof | Code::BadProofSignature | Code::ProofWrongBody => (
            "the issuer did not get the proof as it was sent",
            "check for a proxy that changes requests, then update kubectl-gatepass",
        ),
        Code::MalformedToken | Code::UnsupportedAlgorithm | Code::NotAnIdToken => {
            ("the issuer cannot use the identity provider's ID token", OPERATOR)
        }
        Code::UnknownIdp | Code::WrongAudience | Code::WrongParty => (
            "the issuer does not accept tokens of this identity provider and client",
            OPERATOR,
        ),
        Code::UnknownKey | Code::BadSignature => (
            "the issuer cannot verify the ID token",
            "log in again: kubectl-gatepass login; if it stays, ask whoever runs the issuer",
        ),
        Code::TokenExpired | Code::TokenNotFresh => ("the ID token is too old", LOGIN),
        Code::TokenNotYetValid => ("the issuer's clock is behind the identity provider's", OPERATOR),
        Code::ProofWrongUrl | Code::ProofWrongCluster => (
            "the issuer is not the one that was accepted",
            "look at what changed and accept it: kubectl-gatepass login <issuer URL> --accept-change",
        ),
        Code::ProofNotFresh => (
            "this machine's clock and the issuer's differ",
            "set this machine's clock, then try again",
        ),
        Code::BindingMissing => (
            "the identity provider left the nonce out of the ID token, so the token is not bound to this machine",
            OPERATOR,
        ),
        Code::BindingMismatch | Code::LoginTokenInvalid => ("the issuer does not accept this session", LOGIN),
        Code::LoginTimeInvalid => ("the issuer's clock and the identity provider's differ", OPERATOR),
        Code::SessionEnded => ("the session has ended", LOGIN),
        Code::ClaimRuleFailed | Code::NoRule => (
            "the cluster's rules give this account no access",
            "ask whoever runs the issuer for access",
        ),
        Code::ForbiddenName => ("the account's name or groups may never be issued", OPERATOR),
        Code::NotPermitted => (
            "the cluster's rules do not permit what was asked",
            "ask for less, or ask whoever runs the issuer",
        ),
        Code::StepUpRequired => ("the cluster asks for a stronger or fresher login", LOGIN),
        Code::Revoked => ("access was revoked", "ask whoever runs the cluster"),
        Code::TooLarge => ("the request is larger than the issuer takes", OPERATOR),
        Code::RateLimited => ("the issuer gets too many requests", WAIT),
        Code::Internal | Code::AuditUnavailable | Code::IdpUnavailable | Code::RevocationViewStale => {
            ("the issuer cannot issue now", WAIT)
        }
        // `Code` is non-exhaustive: what a newer issuer says is shown as it came.
        _ => ("the issuer refused", UPDATE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_this_version_has_words_of_its_own() {
        for code in Code::ALL {
            assert_ne!(of(code).0, of(&Code::Other("new".into())).0, "{code}");
        }
    }
}
