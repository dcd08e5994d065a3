use gatepass_api::Marker;
use serde::Serialize;

use super::{Event, Examined, Finding};
use crate::clock::rfc3339;
use crate::escape::visible;

const SHORT: usize = 256;
const LONG: usize = 1024;
/// How many groups and addresses are told.
const MANY: usize = 64;

/// A finding as it is logged and sent. What came from outside is escaped and cut: a log and a chat show it to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    api_version: &'static str,
    kind: &'static str,
    /// When the API server received the request, RFC 3339.
    pub time: String,
    /// The cluster's id.
    pub cluster: String,
    #[serde(skip)]
    pub(super) which: Finding,
    finding: &'static str,
    /// The username.
    pub user: String,
    /// The groups without the marker, whose tag is nobody's business.
    pub groups: Vec<String>,
    /// The certificate.
    pub credential_id: String,
    /// The session it belongs to, where its marker verifies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    #[serde(rename = "sourceIPs")]
    source_ips: Vec<String>,
    user_agent: String,
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    #[serde(rename = "auditID")]
    audit_id: String,
}

impl Report {
    /// Of one finding in an event; `now` is in Unix seconds.
    pub fn new(
        finding: Finding,
        event: &Event<'_>,
        examined: &Examined<'_>,
        cluster: &str,
        now: i64,
    ) -> Self {
        let short = |text: &str| visible(text, SHORT).into_owned();
        let groups = event.user.groups.iter().map(|group| &**group);
        Self {
            api_version: "gatepass.dev/v1alpha1",
            kind: "Finding",
            time: rfc3339(event.received().unwrap_or(now)),
            cluster: cluster.to_owned(),
            which: finding,
            finding: finding.name(),
            user: visible(&event.user.username, LONG).into_owned(),
            groups: groups
                .filter(|group| Marker::parse(group).is_none())
                .take(MANY)
                .map(short)
                .collect(),
            credential_id: short(examined.credential_id),
            session: examined.session.clone(),
            source_ips: event.source_ips.iter().take(MANY).map(|ip| short(ip)).collect(),
            user_agent: short(&event.user_agent),
            verb: short(&event.verb),
            request_uri: visible(&event.request_uri, LONG).into_owned(),
            audit_id: short(&event.audit_id),
        }
    }

    pub(super) fn log(&self) {
        tracing::warn!(
            finding = self.finding,
            user = self.user,
            groups = self.groups.join(","),
            credential_id = self.credential_id,
            session = self.session,
            source_ips = self.source_ips.join(","),
            user_agent = self.user_agent,
            verb = self.verb,
            request_uri = self.request_uri,
            audit_id = self.audit_id,
            first_seen = self.time,
            "a certificate was used that should not be"
        );
    }
}
