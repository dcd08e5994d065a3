//! Break-glass: a certificate for at most an hour that a quorum of people signs when everything else is gone.
//!
//! The certificate authority's key exists only as FROST shares (RFC 9591), one per holder; the public part is the [`kit`].

pub mod approver;
pub mod armor;
pub mod certificate;
pub mod identity;
pub mod keygen;
pub mod kit;
pub mod log;
pub mod name;
pub mod opener;
mod plugin;
pub mod recipient;
pub mod report;
pub mod request;
pub mod reshare;
pub mod share;
pub mod words;

#[cfg(test)]
mod tests;
