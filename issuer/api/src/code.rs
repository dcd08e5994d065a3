use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $status:literal $text:literal $title:literal,)*) => {
        /// Stable code of a refusal.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $variant,)*
            /// A code this version does not know, from a newer issuer.
            Other(String),
        }

        impl Code {
            /// Every code of this version.
            pub const ALL: &[Code] = &[$(Code::$variant,)*];

            /// The code as it stands in the problem document.
            pub fn as_str(&self) -> &str {
                match self { $(Self::$variant => $text,)* Self::Other(text) => text }
            }

            /// HTTP status the issuer sends with it; 500 for an unknown code.
            pub fn status(&self) -> u16 {
                match self { $(Self::$variant => $status,)* Self::Other(_) => 500 }
            }

            /// The code in words: the problem document's `title`.
            pub fn title(&self) -> &str {
                match self { $(Self::$variant => $title,)* Self::Other(text) => text }
            }
        }

        impl From<String> for Code {
            fn from(text: String) -> Self {
                match text.as_str() { $($text => Self::$variant,)* _ => Self::Other(plain(text)) }
            }
        }
    };
}

codes! {
    /// The body is not the JSON of a request.
    MalformedRequest = 400 "malformed_request" "The request body is not in the expected form",
    /// The ID token is not a compact JWS of the expected form.
    MalformedToken = 400 "malformed_token" "The ID token is not in the expected form",
    /// The proof is not a compact JWS of the expected form.
    MalformedProof = 400 "malformed_proof" "The proof is not in the expected form",
    /// The CSR is not a PEM certification request.
    MalformedCsr = 400 "malformed_csr" "The certificate request is not in the expected form",
    /// The CSR was not signed by its own key.
    BadCsrSignature = 400 "bad_csr_signature" "The certificate request is not signed by its own key",
    /// The CSR's key is of a kind or size that is not accepted, or is the session key.
    WeakKey = 400 "weak_key" "The certificate request's key is not acceptable",

    /// No configured identity provider has the token's `iss`.
    UnknownIdp = 401 "unknown_idp" "The ID token comes from an identity provider that is not configured",
    /// The token's `alg` is not accepted.
    UnsupportedAlgorithm = 401 "unsupported_algorithm" "The ID token's algorithm is not accepted",
    /// No published key fits the token's `kid` and `alg`.
    UnknownKey = 401 "unknown_key" "The ID token's signing key is not published by the identity provider",
    /// The signature does not verify.
    BadSignature = 401 "bad_signature" "The ID token's signature does not verify",
    /// The token is something other than an ID token.
    NotAnIdToken = 401 "not_an_id_token" "The token is not an ID token",
    /// `aud` does not name a client of this issuer.
    WrongAudience = 401 "wrong_audience" "The ID token is meant for another audience",
    /// `azp` is not the client id, or is missing where several audiences demand it.
    WrongParty = 401 "wrong_party" "The ID token was issued to another party",
    /// `exp` has passed, or less than a minute of it would remain.
    TokenExpired = 401 "token_expired" "The ID token has expired",
    /// `nbf` or `iat` lies ahead.
    TokenNotYetValid = 401 "token_not_yet_valid" "The ID token is not valid yet",
    /// `iat` is further back than `maxTokenAge`.
    TokenNotFresh = 401 "token_not_fresh" "The ID token is too old",

    /// No proof was sent.
    MissingProof = 401 "missing_proof" "The request carries no proof",
    /// The proof's signature does not verify by the key in its header.
    BadProofSignature = 401 "bad_proof_signature" "The proof's signature does not verify",
    /// `htu` or `htm` is not this request's.
    ProofWrongUrl = 401 "proof_wrong_url" "The proof was made for another URL or method",
    /// `cluster` is not this cluster's id.
    ProofWrongCluster = 401 "proof_wrong_cluster" "The proof was made for another cluster",
    /// `body` is not the digest of this body.
    ProofWrongBody = 401 "proof_wrong_body" "The proof was made for another request body",
    /// `iat` is not within 60 s of the issuer's clock.
    ProofNotFresh = 401 "proof_not_fresh" "The proof was made too long ago, or ahead of the issuer's clock",

    /// Neither token carries a nonce.
    BindingMissing = 401 "binding_missing" "The ID token is not bound to a session key",
    /// A nonce does not commit to the proof's key and salt.
    BindingMismatch = 401 "binding_mismatch" "The ID token is bound to another session key",
    /// The login token fails a check.
    LoginTokenInvalid = 401 "login_token_invalid" "The login token is not valid for this request",
    /// The salt's time lies after the token that commits to it.
    LoginTimeInvalid = 401 "login_time_invalid" "The login time lies after the token that commits to it",
    /// The session is over.
    SessionEnded = 401 "session_ended" "The session has ended",

    /// A claim or user validation rule refused.
    ClaimRuleFailed = 403 "claim_rule_failed" "The claims do not satisfy the cluster's rules",
    /// A mapped name may not be issued.
    ForbiddenName = 403 "forbidden_name" "The claims map to a name that is never issued",
    /// No rule matches the user.
    NoRule = 403 "no_rule" "No rule grants this user anything",
    /// A group was asked for that no rule grants.
    NotPermitted = 403 "not_permitted" "The request asks for something that is not permitted",
    /// A rule asks for a stronger or fresher login.
    StepUpRequired = 403 "step_up_required" "A stronger or fresher login is needed",
    /// A revocation stands against the credential.
    Revoked = 403 "revoked" "Access was revoked",

    /// No such path.
    NotFound = 404 "not_found" "There is nothing at this path",
    /// The path exists, the method does not.
    MethodNotAllowed = 405 "method_not_allowed" "The method is not allowed here",
    /// Something is above its limit.
    TooLarge = 413 "too_large" "The request is too large",
    /// The body's media type is not `application/json`.
    UnsupportedMediaType = 415 "unsupported_media_type" "The request body must be application/json",
    /// Too many requests.
    RateLimited = 429 "rate_limited" "Too many requests",

    /// Something failed inside the issuer.
    Internal = 500 "internal" "The issuer failed",
    /// The audit record could not be written: no record, no certificate.
    AuditUnavailable = 503 "audit_unavailable" "The audit record could not be written",
    /// The identity provider's keys are not known and cannot be fetched.
    IdpUnavailable = 503 "idp_unavailable" "The identity provider's keys cannot be fetched",
    /// The view of revocations is too old.
    RevocationViewStale = 503 "revocation_view_stale" "The issuer's view of revocations is too old",
}

/// A code is a plain word, whoever sent it: it is shown on terminals and in logs.
fn plain(text: String) -> String {
    let is_plain = !text.is_empty()
        && text.len() <= 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if is_plain { text } else { "unknown".into() }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}
