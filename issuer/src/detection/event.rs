use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::CREDENTIAL_ID;
use crate::revocation::unix;
use gatepass_api::revocation::CREDENTIAL_ID_PREFIX;

const API_VERSION: &str = "audit.k8s.io/v1";
const KIND: &str = "EventList";
/// Far above what an API server sends in one go (`--audit-webhook-batch-max-size`, 400 unless it is set).
const MAX_EVENTS: usize = 100_000;

/// An event of audit.k8s.io/v1, as far as it is read; all else in it is skipped unread, and may be anything.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event<'a> {
    /// Names the request.
    #[serde(borrow, rename = "auditID")]
    pub audit_id: Cow<'a, str>,
    /// Path and query.
    #[serde(borrow, rename = "requestURI")]
    pub request_uri: Cow<'a, str>,
    /// What was done.
    #[serde(borrow)]
    pub verb: Cow<'a, str>,
    /// Who was authenticated; empty if nobody was. Whom they impersonate is not looked at.
    #[serde(borrow)]
    pub user: User<'a>,
    /// Where the request came from.
    #[serde(borrow, rename = "sourceIPs")]
    pub source_ips: Vec<Cow<'a, str>>,
    /// What the client calls itself.
    #[serde(borrow)]
    pub user_agent: Cow<'a, str>,
    #[serde(borrow)]
    request_received_timestamp: Cow<'a, str>,
}

/// The user of an event.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct User<'a> {
    /// The name.
    #[serde(borrow)]
    pub username: Cow<'a, str>,
    /// The UID; empty if there is none.
    #[serde(borrow)]
    pub uid: Cow<'a, str>,
    /// The groups.
    #[serde(borrow)]
    pub groups: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    extra: HashMap<Cow<'a, str>, Vec<Cow<'a, str>>>,
}

impl User<'_> {
    /// Those of X.509 certificates.
    pub(super) fn credential_ids(&self) -> impl Iterator<Item = &str> {
        let ids = self.extra.get(CREDENTIAL_ID);
        ids.into_iter()
            .flatten()
            .map(|id| &**id)
            .filter(|id| id.starts_with(CREDENTIAL_ID_PREFIX))
    }
}

impl Event<'_> {
    /// When the API server received the request, by its clock, in Unix seconds.
    pub(super) fn received(&self) -> Option<i64> {
        unix(&self.request_received_timestamp)
    }
}

/// Why a body tells nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventListError {
    /// It is no JSON object with a list of items.
    #[error("the body is not an EventList")]
    Malformed,
    /// Another kind or version.
    #[error("this is not an EventList of audit.k8s.io/v1")]
    Kind,
}

/// A list of events, each read on its own: what somebody has brought into one must not hide the others.
#[derive(Debug)]
pub struct Events<'a>(Vec<&'a RawValue>);

impl<'a> Events<'a> {
    /// The events of a body.
    pub fn parse(body: &'a str) -> Result<Self, EventListError> {
        let list: List<'a> = serde_json::from_str(body).map_err(|_| EventListError::Malformed)?;
        if list.api_version != API_VERSION || list.kind != KIND {
            return Err(EventListError::Kind);
        }
        Ok(Self(list.items.0))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One after the other; `None` in place of one that cannot be read.
    pub fn iter(&self) -> impl Iterator<Item = Option<Event<'a>>> {
        self.0.iter().map(|event| serde_json::from_str(event.get()).ok())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    #[serde(borrow)]
    api_version: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    items: Items<'a>,
}

/// No more than [`MAX_EVENTS`]: a list of empty events would take up many times its length.
#[derive(Default)]
struct Items<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemsVisitor).map(Self)
    }
}

struct ItemsVisitor;

impl<'de> Visitor<'de> for ItemsVisitor {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX_EVENTS} events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            if items.len() == MAX_EVENTS {
                return Err(A::Error::invalid_length(MAX_EVENTS + 1, &self));
            }
            items.push(item);
        }
        Ok(items)
    }

    /// How Go writes an empty list.
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }
}
