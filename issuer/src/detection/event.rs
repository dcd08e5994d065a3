use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::io::{BufReader, Read};

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::CREDENTIAL_ID;
use crate::revocation::unix;
use gatepass_api::revocation::CREDENTIAL_ID_PREFIX;

const API_VERSION: &str = "audit.k8s.io/v1";
const KIND: &str = "EventList";

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

/// Reads a list and hands each event on, `None` in place of one that cannot be read: what somebody has brought into one must
/// not hide the others. Gives how many there were.
///
/// No more than one is held at a time. Whoever sends requests decides how long their events are, and so how long a batch is:
/// one that was refused for its length would take the events of others with it.
pub fn read_events(
    list: impl Read,
    each: &mut dyn FnMut(Option<Event<'_>>),
) -> Result<usize, EventListError> {
    let mut reading = Reading {
        each,
        count: 0,
        is_of_another_kind: false,
    };
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(list));
    let outcome = json.deserialize_map(&mut reading).and_then(|()| json.end());
    match outcome {
        Ok(()) => Ok(reading.count),
        Err(_) if reading.is_of_another_kind => Err(EventListError::Kind),
        Err(_) => Err(EventListError::Malformed),
    }
}

struct Reading<'e> {
    each: &'e mut dyn FnMut(Option<Event<'_>>),
    count: usize,
    is_of_another_kind: bool,
}

impl<'de> Visitor<'de> for &mut Reading<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an EventList")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let (mut kind, mut version) = (false, false);
        while let Some(member) = list.next_key::<String>()? {
            // Go writes first what it is, so items of something else are not looked at; JSON knows no order.
            match member.as_str() {
                "kind" => kind = self.is(KIND, &list.next_value::<String>()?)?,
                "apiVersion" => version = self.is(API_VERSION, &list.next_value::<String>()?)?,
                "items" => list.next_value_seed(Items(self))?,
                _ => drop(list.next_value::<IgnoredAny>()?),
            }
        }
        if kind && version {
            Ok(())
        } else {
            Err(A::Error::custom("no kind"))
        }
    }
}

impl Reading<'_> {
    fn is<E: serde::de::Error>(&mut self, expected: &str, told: &str) -> Result<bool, E> {
        self.is_of_another_kind |= told != expected;
        if told == expected {
            Ok(true)
        } else {
            Err(E::custom("another kind"))
        }
    }
}

struct Items<'r, 'e>(&'r mut Reading<'e>);

impl<'de> DeserializeSeed<'de> for Items<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(event) = list.next_element::<Box<RawValue>>()? {
            self.0.count += 1;
            (self.0.each)(serde_json::from_str(event.get()).ok());
        }
        Ok(())
    }

    /// How Go writes an empty list.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
