//! Issuers that a person accepted, and what was pinned then.
//!
//! Like ssh's `known_hosts`: nothing is sent to an issuer before its URL, CA, cluster id, identity provider, client id
//! and scopes were shown to a person and kept here, and what is in use never changes silently.

mod error;
mod file;

use std::collections::{BTreeMap, BTreeSet};

use gatepass_api::{Binding, ClusterInfo, Flow, IdentityProvider};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::{
    escape::{Escaped, is_plain},
    issuer_client::LARGEST_OFFSET,
    settings::IssuerUrl,
};

pub use error::{AcceptError, CA};
pub use file::AcceptedFile;

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
    /// By profile, the login that this issuer refused as soon as it was made.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub spent: BTreeMap<String, Spent>,
    /// By profile, the login that was last shown to this issuer, noted before it was: a logout ends it there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shown: BTreeMap<String, String>,
}

/// A login that an issuer refused as soon as it was made. It may be shown again, because refusals end; nobody is asked to
/// log in once more because of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Which login.
    pub login: String,
    /// When it was refused, Unix seconds by the local clock.
    pub at: i64,
    /// The time after which a login helps, as the issuer said when it refused; Unix seconds by its clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login_after: Option<i64>,
}

/// After a working day a refusal may well have another reason, such as the session's end, against which a login helps.
const SPENT: Duration = Duration::hours(8);

impl Spent {
    /// Whether it says at a local time that another login than `login` would be of no use.
    pub fn holds(&self, login: &str, now: OffsetDateTime) -> bool {
        let age = now.unix_timestamp().saturating_sub(self.at);
        self.login == login && (0..SPENT.whole_seconds()).contains(&age)
    }
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
    /// A client of an identity provider that no accepted issuer names any more: known to the keyring alone.
    pub fn unpinned(issuer: &str, client_id: &str) -> Self {
        Self {
            issuer: issuer.into(),
            client_id: client_id.into(),
            scopes: Vec::new(),
            certificate_authority: None,
            max_token_age_seconds: 0,
        }
    }

    /// Whether one session serves both: one login is at one client of one identity provider.
    pub fn serves_same_session(&self, other: &Self) -> bool {
        self.issuer == other.issuer && self.client_id == other.client_id
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
        spent: BTreeMap::new(),
        shown: BTreeMap::new(),
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
