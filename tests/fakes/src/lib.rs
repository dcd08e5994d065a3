//! Signs tokens, proofs and certificate requests as an identity provider or a client would — an honest or a hostile
//! one — with keys made at run time.
//!
//! It depends on neither product crate, so what it computes is a second opinion on the protocol:
//!
//! ```
//! use serde_json::json;
//!
//! let idp = fakes::Idp::new("https://idp.test");
//! let login = fakes::Login::new(1_790_000_000);
//! let token = idp.sign("RS256", &json!({"iss": "https://idp.test", "sub": "alice", "nonce": login.nonce()}));
//! let csr = fakes::csr(fakes::CsrKey::P256);
//! let body = json!({"idToken": token, "csr": csr}).to_string();
//! let proof = login.proof("https://issuer.test/v1/certificates", "cluster-1", body.as_bytes(), 1_790_000_001);
//! assert_eq!(proof.split('.').count(), 3);
//! ```

mod csr;
mod idp;
mod jose;
mod login;

pub use csr::{CsrKey, csr, csr_der, pem};
pub use idp::{Idp, SigningKey};
pub use jose::{b64, compact, sha256, unb64, unsigned};
pub use login::{Login, SessionKey, nonce, salt};
