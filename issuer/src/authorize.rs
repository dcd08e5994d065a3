//! What an API server asks about each request of somebody with a certificate: deny it, or no opinion. Never "allow":
//! what a user may do is RBAC's to say.

use std::sync::Arc;

use gatepass_api::{GROUP_PREFIX, Marker};

use crate::marker::MarkerKeys;
use crate::revocation::{Holder, Login, View};

/// The group of certificates that a quorum signed when all else was down.
pub const BREAK_GLASS_GROUP: &str = "gatepass:break-glass";
/// What the API server adds to every authenticated user.
pub(crate) const AUTHENTICATED: &str = "system:authenticated";
/// Tolerated difference between this clock and the API server's.
pub(crate) const LEEWAY: i64 = 30;

/// Who asks, as the API server has authenticated them.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The username.
    pub user: &'a str,
    /// The UID; empty if there is none.
    pub uid: &'a str,
    /// The groups.
    pub groups: &'a [&'a str],
    /// Credential IDs, of which an X.509 certificate has one.
    pub credential_ids: &'a [&'a str],
}

/// What a credential's groups say about where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// Gatepass: the marker verifies.
    Gatepass(Marker<'a>),
    /// A quorum opened the glass.
    BreakGlass,
    /// Somebody else: there is nothing of Gatepass's in it.
    Foreign,
    /// Somebody who pretends: a marker that does not verify, or a group that nobody is given.
    Forged,
}

/// The answer to an API server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// No opinion: others decide.
    NoOpinion,
    /// Denied, whatever others say.
    Deny(Why),
}

/// Why a request is denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The marker does not verify for this name and these groups.
    Forged,
    /// The certificate ended so many seconds ago by this clock.
    Ended(i64),
    /// A revocation of this kind of target stands.
    Revoked {
        /// The kind of its target.
        target: &'static str,
        /// Its reason.
        reason: Option<Arc<String>>,
    },
}

impl<'a> Asker<'a> {
    /// Tells where the credential comes from.
    pub fn origin(&self, cluster_id: &str, keys: &MarkerKeys) -> Origin<'a> {
        let mut ours = self
            .groups
            .iter()
            .copied()
            .filter(|group| group.starts_with(GROUP_PREFIX));
        let marker = match (ours.next(), ours.next()) {
            (None, _) => return Origin::Foreign,
            (Some(BREAK_GLASS_GROUP), None) => return Origin::BreakGlass,
            (Some(group), None) => group,
            (Some(_), Some(_)) => return Origin::Forged,
        };
        let Some(parsed) = Marker::parse(marker) else {
            return Origin::Forged;
        };
        // One that the API server has added; a second one was in the certificate.
        let added = self.groups.iter().position(|group| *group == AUTHENTICATED);
        let groups = self
            .groups
            .iter()
            .enumerate()
            .filter(|(at, group)| Some(*at) != added && **group != marker)
            .map(|(_, group)| *group);
        if keys.verify(cluster_id, self.user, groups, &parsed) {
            Origin::Gatepass(parsed)
        } else {
            Origin::Forged
        }
    }
}

/// Judges one request; `now` is in Unix seconds.
pub fn judge(asker: &Asker<'_>, cluster_id: &str, keys: &MarkerKeys, view: &View, now: i64) -> Verdict {
    let origin = asker.origin(cluster_id, keys);
    let login = match origin {
        Origin::Forged => return Verdict::Deny(Why::Forged),
        Origin::Gatepass(marker) if now > marker.not_after.saturating_add(LEEWAY) => {
            return Verdict::Deny(Why::Ended(now - marker.not_after));
        }
        Origin::Gatepass(marker) => Some(Login {
            session: marker.session,
            subject_id: marker.subject_id(),
            time: marker.login_time,
        }),
        Origin::BreakGlass | Origin::Foreign => None,
    };
    let by_credential = asker
        .credential_ids
        .iter()
        .find_map(|id| view.denies_credential(id, now));
    let denial = by_credential.or_else(|| {
        // A planted revocation of a user or a group must not close the last way in.
        if origin == Origin::BreakGlass {
            return None;
        }
        let holder = Holder {
            user: asker.user,
            uid: asker.uid,
            groups: asker.groups,
            login,
        };
        view.denies(&holder, now)
    });
    match denial {
        Some(denial) => Verdict::Deny(Why::Revoked {
            target: denial.kind,
            reason: denial.reason,
        }),
        None => Verdict::NoOpinion,
    }
}

#[cfg(test)]
mod tests;
