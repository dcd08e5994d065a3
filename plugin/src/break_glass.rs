//! Break-glass on this machine: what stands around the ceremony of the crate `gatepass-break-glass`.
//!
//! A certificate that a quorum signed is kept as a [`window`], which `get-credential` serves ([`serve`]) until it ends or the
//! normal way is open again ([`outage`]). The API server is asked for its time and whom it trusts ([`server`]), and what the
//! certificates may do ([`binding`]).

pub mod binding;
pub mod outage;
pub mod serve;
pub mod server;
pub mod window;
