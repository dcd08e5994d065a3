//! The issuer: turns a verified ID token and a certificate request into a client certificate that lives for minutes.
//!
//! A request takes this way, and everything points inward:
//!
//! ```text
//! server      listener, TLS, limits, shutdown
//!  └ routes   HTTP only: paths, media types, problem documents
//!     ├ issue          the use case: every check in order, then the signature; no HTTP, clock or network
//!     │  ├ request     body bytes → request            (strict_json)
//!     │  ├ id_token    text → verified claims          (jws, strict_json, id_token::keys)
//!     │  ├ proof       text → verified proof           (jws, strict_json)
//!     │  ├ binding     claims + proof → login time, session end
//!     │  ├ csr         PEM → public key whose holder asked
//!     │  ├ mapping     claims → username, groups, UID that may be issued
//!     │  ├ ids, marker session id, and the group that ties a certificate to it
//!     │  └ ca          signs one profile of certificate
//!     ├ logout         the use cases that end sessions  (id_token, proof, binding; logout_token)
//!     ├ authorize      what an API server asks, and the verdict
//!     ├ revocation     who is locked out, and the stores that say so
//!     ├ key_source     the providers' published keys, over HTTPS
//!     └ audit          no record, no certificate
//! detection  audit events → findings                      (authorize, revocation)
//! metrics    what Prometheus is told
//! config     the file → all of the above, or all that is wrong with it
//! reload     looks at the file and all it names again, and replaces what is `active`
//! init       writes a configuration and keys to begin with
//! ```
//!
//! The protocol for people who write other clients is in `issuer/api/README.md`; operation in `issuer/README.md`.

pub mod active;
pub mod audit;
pub mod authorize;
pub mod binding;
pub mod ca;
pub mod cli;
pub mod clock;
pub mod config;
pub mod csr;
pub mod detection;
pub mod error;
mod escape;
pub mod https;
pub mod id_token;
pub mod idp;
mod ids;
pub mod init;
pub mod issue;
pub mod jws;
pub mod key_source;
pub mod logout;
pub mod logout_token;
pub mod mapping;
pub mod marker;
pub mod metrics;
pub mod proof;
pub mod reload;
pub mod request;
pub mod revocation;
pub mod routes;
pub mod run;
pub mod server;
pub mod strict_json;
