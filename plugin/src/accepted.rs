//! Issuers that a person accepted, and what was pinned then.
//!
//! Like ssh's `known_hosts`: nothing is sent to an issuer before its URL, CA, cluster id, identity provider, client id
//! and scopes were shown to a person and kept here, and what is in use never changes silently.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use gatepass_api::{Binding, ClusterInfo, Flow, IdentityProvider};
use serde::{Deserialize, Serialize};
use time::Duration;

use crate::{
    escape::{Escaped, is_plain},
    issuer_client::LARGEST_OFFSET,
    paths::create_private_dir,
    settings::IssuerUrl,
};

/// One accepted issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// The issuer's URL.
    pub url: String,
    /// PEM of its private CA; `None` is the system's CAs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_authority: Option<String>,
    /// The cluster's id.
    pub cluster_id: String,
    /// What people call the cluster.
    pub cluster_name: String,
    /// The identity provider in use.
    pub identity_provider: PinnedIdp,
    /// Profiles that have used this issuer.
    #[serde(default)]
    pub profiles: BTreeSet<String>,
    /// The issuer's clock minus ours when they last spoke. Used for this issuer alone.
    #[serde(default)]
    pub clock_offset_seconds: i64,
}

impl Accepted {
    /// The issuer's clock minus ours.
    pub fn clock_offset(&self) -> Duration {
        Duration::seconds(self.clock_offset_seconds).clamp(-LARGEST_OFFSET, LARGEST_OFFSET)
    }
}

/// The identity provider in use at an issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PinnedIdp {
    /// Issuer identifier.
    pub issuer: String,
    /// Gatepass's client id there.
    pub client_id: String,
    /// Scopes to ask for.
    pub scopes: Vec<String>,
    /// PEM of the provider's private CA, where `login --idp-ca` gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_authority: Option<String>,
    /// Greatest age of an ID token in seconds: not pinned, kept for renewals.
    pub max_token_age_seconds: u64,
}

impl PinnedIdp {
    /// Whether one session serves both: one login is at one client of one identity provider.
    pub fn serves_same_session(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.client_id == other.client_id
    }
}

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
            Self::File { .. } => return None,
        })
    }
}

/// The file of accepted issuers.
pub struct AcceptedFile {
    path: PathBuf,
}

#[derive(Default, Serialize, Deserialize)]
struct Document {
    issuers: Vec<Accepted>,
}

impl AcceptedFile {
    /// `accepted.json` in the state directory.
    pub fn new(state_dir: &Path) -> Self {
        Self {
            path: state_dir.join("accepted.json"),
        }
    }

    /// All of them.
    pub fn all(&self) -> Result<Vec<Accepted>, AcceptError> {
        match fs::read(&self.path) {
            Ok(bytes) => {
                let document: Document =
                    serde_json::from_slice(&bytes).map_err(|error| self.error(error.into()))?;
                Ok(document.issuers)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(self.error(error)),
        }
    }

    /// One of them.
    pub fn find(&self, url: &IssuerUrl) -> Result<Option<Accepted>, AcceptError> {
        Ok(self
            .all()?
            .into_iter()
            .find(|accepted| accepted.url == url.as_str()))
    }

    /// Keeps an issuer, in place of what was accepted under its URL, or under the URL that it `replaces`.
    ///
    /// A cluster id that was accepted under any other URL is refused: proofs for one would be valid at the other.
    pub fn keep(
        &self,
        accepted: Accepted,
        url: &IssuerUrl,
        replaces: Option<&str>,
    ) -> Result<(), AcceptError> {
        self.change(|issuers| {
            issuers.retain(|other| other.url != accepted.url && Some(other.url.as_str()) != replaces);
            if let Some(other) = issuers
                .iter()
                .find(|other| other.cluster_id == accepted.cluster_id)
            {
                let (id, other) = (accepted.cluster_id.clone(), other.url.clone());
                return Err(AcceptError::SameCluster {
                    url: url.clone(),
                    id,
                    other,
                });
            }
            issuers.push(accepted);
            Ok(())
        })
    }

    /// Notes something beside the pins of an issuer that is still accepted.
    pub fn note(&self, url: &str, note: impl FnOnce(&mut Accepted)) -> Result<(), AcceptError> {
        self.change(|issuers| {
            if let Some(accepted) = issuers.iter_mut().find(|accepted| accepted.url == url) {
                note(accepted);
            }
            Ok(())
        })
    }

    fn change(
        &self,
        change: impl FnOnce(&mut Vec<Accepted>) -> Result<(), AcceptError>,
    ) -> Result<(), AcceptError> {
        let _lock = self.lock().map_err(|error| self.error(error))?;
        let mut issuers = self.all()?;
        change(&mut issuers)?;
        self.write(&Document { issuers })
            .map_err(|error| self.error(error))
    }

    /// Two programs that accept at once must not lose each other's entry.
    fn lock(&self) -> io::Result<File> {
        if let Some(dir) = self.path.parent() {
            create_private_dir(dir).map_err(io::Error::other)?;
        }
        let file = File::options()
            .create(true)
            .append(true)
            .open(self.path.with_extension("lock"))?;
        file.lock()?;
        Ok(file)
    }

    fn write(&self, document: &Document) -> io::Result<()> {
        let dir = self.path.parent().ok_or(io::ErrorKind::NotFound)?;
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(&serde_json::to_vec_pretty(document)?)?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }

    fn error(&self, source: io::Error) -> AcceptError {
        AcceptError::File {
            path: self.path.clone(),
            source,
        }
    }
}

/// What an issuer's answer would pin: the choice among its identity providers included.
///
/// `idp` is the person's choice; it is needed only where several can be used.
pub fn proposal(
    url: &IssuerUrl,
    ca: Option<&str>,
    info: &ClusterInfo,
    idp: Option<&str>,
    idp_ca: Option<String>,
) -> Result<Accepted, AcceptError> {
    let no_idp = |problem: &str| AcceptError::NoIdp {
        url: url.clone(),
        problem: problem.into(),
    };
    let mut usable = Vec::new();
    for offered in &info.identity_providers {
        if idp.is_none_or(|wanted| wanted == offered.issuer) {
            usable.push(offered);
        }
    }
    if usable.is_empty() {
        return Err(no_idp(
            idp.map_or("the list is empty", |_| "the one asked for is not in its list"),
        ));
    }
    usable.retain(|offered| supports(offered));
    // Several clients of one provider: the first, as the issuer prefers.
    usable.dedup_by(|later, first| later.issuer == first.issuer);
    let chosen = match usable.as_slice() {
        [] => {
            return Err(no_idp(
                "this version logs in by browser, with tokens bound to this machine",
            ));
        }
        [one] => one,
        several => {
            let choices = several
                .iter()
                .map(|offered| Escaped(&offered.issuer).to_string())
                .collect();
            return Err(AcceptError::WhichIdp {
                url: url.clone(),
                choices,
            });
        }
    };
    let texts = [&info.cluster_id, &chosen.issuer, &chosen.client_id];
    if !texts.into_iter().chain(&chosen.scopes).all(|text| is_plain(text))
        || !chosen.issuer.starts_with("https://")
    {
        return Err(no_idp(
            "its names hold control characters, or the identity provider is not https",
        ));
    }
    Ok(Accepted {
        url: url.as_str().into(),
        certificate_authority: ca.map(str::to_owned),
        cluster_id: info.cluster_id.clone(),
        cluster_name: info.name.clone(),
        identity_provider: PinnedIdp {
            issuer: chosen.issuer.clone(),
            client_id: chosen.client_id.clone(),
            scopes: chosen.scopes.clone(),
            certificate_authority: idp_ca,
            max_token_age_seconds: chosen.max_token_age_seconds,
        },
        profiles: BTreeSet::new(),
        clock_offset_seconds: 0,
    })
}

fn supports(offered: &IdentityProvider) -> bool {
    offered.flows.contains(&Flow::Browser) && offered.binding == Binding::Required
}

/// Compares an issuer's answer with what was pinned. What is new beside it stays unused; what is in use must not differ.
///
/// Returns the identity provider in use as the issuer describes it now.
pub fn check<'i>(
    pinned: &Accepted,
    url: &IssuerUrl,
    ca: Option<&str>,
    info: &'i ClusterInfo,
) -> Result<&'i IdentityProvider, AcceptError> {
    let changed = |what, was: &str, now: &str| {
        Err(AcceptError::Changed {
            url: url.clone(),
            what,
            was: Escaped(was).to_string(),
            now: Escaped(now).to_string(),
        })
    };
    if let Some(ca) = ca
        && pinned.certificate_authority.as_deref() != Some(ca)
    {
        let was = if pinned.certificate_authority.is_some() {
            "another CA"
        } else {
            "the system's CAs"
        };
        return changed(CA, was, "the one given");
    }
    if pinned.cluster_id != info.cluster_id {
        return changed("the cluster id", &pinned.cluster_id, &info.cluster_id);
    }
    let idp = &pinned.identity_provider;
    let same = info
        .identity_providers
        .iter()
        .find(|offered| offered.issuer == idp.issuer && offered.client_id == idp.client_id);
    let Some(same) = same else {
        let now: Vec<_> = info
            .identity_providers
            .iter()
            .map(|i| format!("{} ({})", i.issuer, i.client_id))
            .collect();
        return changed(
            "the identity provider",
            &format!("{} ({})", idp.issuer, idp.client_id),
            &now.join(", "),
        );
    };
    if !supports(same) {
        return changed(
            "the way to log in",
            "browser, bound to this machine",
            "something this version cannot do",
        );
    }
    if !idp.scopes.iter().all(|scope| same.scopes.contains(scope)) {
        return changed("the scopes", &idp.scopes.join(" "), &same.scopes.join(" "));
    }
    Ok(same)
}

#[cfg(test)]
mod tests;
