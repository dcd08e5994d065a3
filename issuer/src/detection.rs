//! Who uses a certificate that nobody should have: what an API server's audit events say of its X.509 users → findings.
//!
//! An authority in the API server's client CA bundle can make anybody. What Gatepass signs carries a marker that only its
//! issuers can make, and has names that the mapping gives; whoever comes with anything else was signed by somebody else,
//! and is reported at the first use.

mod event;
mod outlet;
mod report;
mod rules;
mod seen;
mod webhook;

use gatepass_api::Marker;

use crate::authorize::{AUTHENTICATED, Asker, BREAK_GLASS_GROUP, LEEWAY, Origin};
use crate::mapping::reserved;
use crate::marker::MarkerKeys;

pub use event::{Event, EventListError, read_events};
pub use outlet::{Outlet, Pace};
pub use report::Report;
pub use rules::{Allowed, Pattern, PatternError, Patterns, Rules};
pub use webhook::Webhook;

/// The key under which the API server says which credential it has seen.
pub(crate) const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";
/// What a break-glass certificate's name begins with.
const BREAK_GLASS_NAME: &str = "break-glass:";

/// What the configuration says about detection.
#[derive(Clone, Debug, Default)]
pub struct Detection {
    /// What is expected.
    pub rules: Rules,
    /// Where findings are sent, besides the log.
    pub webhook: Option<Webhook>,
}

/// What is wrong with a use of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Finding {
    /// A name that is reserved, or not among those that are expected.
    UnexpectedUsername,
    /// A group that is reserved, or not among those that are expected.
    UnexpectedGroup,
    /// A certificate that is revoked by its credential ID.
    KnownBadCredential,
    /// A certificate that Gatepass has not signed.
    ForeignCertificate,
    /// A quorum's certificate.
    BreakGlassUsed,
}

impl Finding {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::UnexpectedUsername,
        Self::UnexpectedGroup,
        Self::KnownBadCredential,
        Self::ForeignCertificate,
        Self::BreakGlassUsed,
    ];

    /// What it is called in logs, metrics and documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnexpectedUsername => "unexpected-username",
            Self::UnexpectedGroup => "unexpected-group",
            Self::KnownBadCredential => "known-bad-credential",
            Self::ForeignCertificate => "foreign-certificate",
            Self::BreakGlassUsed => "break-glass-used",
        }
    }
}

/// What an event is judged by.
pub struct Known<'a> {
    /// What is expected.
    pub rules: &'a Rules,
    /// The cluster's id.
    pub cluster_id: &'a str,
    /// The keys that make markers.
    pub markers: &'a MarkerKeys,
    /// Whether a credential ID is revoked.
    pub is_revoked: &'a dyn Fn(&str) -> bool,
}

impl std::fmt::Debug for Known<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known")
            .field("cluster_id", &self.cluster_id)
            .finish_non_exhaustive()
    }
}

/// A use of a certificate that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined<'a> {
    /// The certificate.
    pub credential_id: &'a str,
    /// The session it belongs to, where its marker verifies.
    pub session: Option<String>,
    /// What is wrong; each kind at most once.
    pub findings: Vec<Finding>,
}

/// Looks at one event; `now` is in Unix seconds. `None` if its user has no certificate: a token, or nobody at all.
pub fn examine<'a>(event: &'a Event<'_>, known: &Known<'_>, now: i64) -> Option<Examined<'a>> {
    let user = &event.user;
    let credential_ids: Vec<&'a str> = user.credential_ids().collect();
    let credential_id = credential_ids.first().copied()?;
    let groups: Vec<&str> = user.groups.iter().map(|group| &**group).collect();
    let asker = Asker {
        user: &user.username,
        uid: &user.uid,
        groups: &groups,
        credential_ids: &credential_ids,
    };
    let origin = asker.origin(known.cluster_id, known.markers);
    let (mut findings, mut session) = (Vec::new(), None);
    match origin {
        Origin::BreakGlass => broken_glass(&user.username, &groups, &mut findings),
        Origin::Foreign => match known.rules.allowed(&user.username) {
            Some(allowed) => control_plane(&allowed, &groups, &mut findings),
            None => {
                findings.push(Finding::ForeignCertificate);
                people(known.rules, &user.username, &groups, &mut findings);
            }
        },
        Origin::Forged => {
            findings.push(Finding::ForeignCertificate);
            people(known.rules, &user.username, &groups, &mut findings);
        }
        Origin::Gatepass(marker) => {
            // The API server has compared the certificate's own end with the clock that this time is by. So this is not
            // the certificate that the marker was made for: somebody has put it into one that lives longer.
            if event.received().unwrap_or(now) > marker.not_after.saturating_add(LEEWAY) {
                findings.push(Finding::ForeignCertificate);
            }
            people(known.rules, &user.username, &groups, &mut findings);
            session = Some(marker.session.to_owned());
        }
    }
    if credential_ids.iter().any(|id| (known.is_revoked)(id)) {
        findings.push(Finding::KnownBadCredential);
    }
    Some(Examined {
        credential_id,
        session,
        findings,
    })
}

/// A name that needs no marker: the control plane's. One group more than it needs may well be `system:masters`.
fn control_plane(allowed: &[&Patterns], groups: &[&str], findings: &mut Vec<Finding>) {
    let is_allowed = |group: &str| allowed.iter().any(|patterns| patterns.matches(group));
    if !in_certificate(groups).all(is_allowed) {
        findings.push(Finding::UnexpectedGroup);
    }
}

/// A quorum signs this name and this group, and no other.
fn broken_glass(username: &str, groups: &[&str], findings: &mut Vec<Finding>) {
    findings.push(Finding::BreakGlassUsed);
    if username.strip_prefix(BREAK_GLASS_NAME).is_none_or(str::is_empty) {
        findings.push(Finding::UnexpectedUsername);
    }
    if in_certificate(groups).any(|group| group != BREAK_GLASS_GROUP) {
        findings.push(Finding::UnexpectedGroup);
    }
}

/// Names as the mapping gives them.
fn people(rules: &Rules, username: &str, groups: &[&str], findings: &mut Vec<Finding>) {
    if reserved(username).is_some() || !rules.expects_username(username) {
        findings.push(Finding::UnexpectedUsername);
    }
    let is_expected = |group: &str| reserved(group).is_none() && rules.expects_group(group);
    // The one marker that a certificate has is no group of anybody's; whether it is right is another question.
    let mut without_marker = without_first(in_certificate(groups), |group| Marker::parse(group).is_some());
    if !without_marker.all(is_expected) {
        findings.push(Finding::UnexpectedGroup);
    }
}

/// The groups without the one that the API server has added; a second one of that name was in the certificate.
fn in_certificate<'a>(groups: &[&'a str]) -> impl Iterator<Item = &'a str> {
    without_first(groups.iter().copied(), |group| group == AUTHENTICATED)
}

fn without_first<'a>(
    groups: impl Iterator<Item = &'a str>,
    is_it: impl Fn(&str) -> bool,
) -> impl Iterator<Item = &'a str> {
    let mut seen = false;
    groups.filter(move |group| {
        let first = !seen && is_it(group);
        seen |= first;
        !first
    })
}

#[cfg(test)]
mod tests;
