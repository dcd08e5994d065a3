use std::{io, path::PathBuf};

use crate::{escape::Escaped, settings::IssuerUrl};

/// What changed, where it is the issuer's CA.
pub const CA: &str = "its CA";

/// Why an issuer is not used.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// Nobody accepted it yet.
    #[error("issuer_not_accepted: the issuer {0} was not accepted on this machine; nothing was sent to it")]
    NotAccepted(IssuerUrl),
    /// A person said no.
    #[error("the issuer {0} was not accepted; nothing was stored")]
    Declined(IssuerUrl),
    /// Something pinned is different now.
    #[error("the issuer {url} is not as it was accepted: {what} was {was}, now is {now}")]
    Changed {
        /// Which issuer.
        url: IssuerUrl,
        /// What changed.
        what: &'static str,
        /// The pinned value, escaped.
        was: String,
        /// The new value, escaped.
        now: String,
    },
    /// Another URL was accepted for the same cluster.
    #[error("the issuer {url} claims the cluster id {}, which was accepted under {other}", Escaped(.id))]
    SameCluster {
        /// Which issuer.
        url: IssuerUrl,
        /// The id it claims.
        id: String,
        /// The URL under which it was accepted.
        other: String,
    },
    /// The configuration file expects another cluster id.
    #[error("the issuer {url} answers for cluster {}, the configuration file expects {expected}", Escaped(.answered))]
    OtherCluster {
        /// Which issuer.
        url: IssuerUrl,
        /// What the file says.
        expected: String,
        /// What the issuer says.
        answered: String,
    },
    /// Several identity providers and no choice.
    #[error("the issuer {url} names several identity providers: {}", choices.join(", "))]
    WhichIdp {
        /// Which issuer.
        url: IssuerUrl,
        /// What it offers, escaped.
        choices: Vec<String>,
    },
    /// No identity provider that this version can use.
    #[error("the issuer {url} names no identity provider that this program can use: {problem}")]
    NoIdp {
        /// Which issuer.
        url: IssuerUrl,
        /// What is missing.
        problem: String,
    },
    /// The file of accepted issuers.
    #[error("cannot use {path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl AcceptError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotAccepted(url) | Self::Declined(url) => {
                format!("if you trust it, type: kubectl-gatepass login {url}")
            }
            Self::Changed { url, what: CA, .. } => format!(
                "if whoever runs the issuer announced this, type: kubectl-gatepass login {url} --issuer-ca <FILE> \
                 --accept-change"
            ),
            Self::Changed { url, .. } => format!(
                "if whoever runs the issuer announced this, type: kubectl-gatepass login {url} --accept-change"
            ),
            Self::SameCluster { url, other, .. } => format!(
                "an issuer that claims another's cluster may be trying to use its proofs; if the issuer moved, type: \
                 kubectl-gatepass login {url} --replaces {other}"
            ),
            Self::OtherCluster { .. } => {
                "correct clusterId in the configuration file, or the issuer's URL".into()
            }
            Self::WhichIdp { url, .. } => format!("choose one: kubectl-gatepass login {url} --idp <URL>"),
            Self::NoIdp { .. } => "ask whoever runs the issuer".into(),
            Self::File { path, .. } => format!(
                "see that it can be read and written; if its content is broken, move {} away: each issuer is then asked \
                 about again",
                path.display()
            ),
        })
    }
}
