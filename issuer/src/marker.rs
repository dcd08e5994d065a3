//! The marker: the group that ties a certificate to a session, so that revocation by subject, session and login time
//! needs no list of certificates, and another signer in the client CA bundle cannot pretend to be this one.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};
use gatepass_api::Marker;

use crate::ids::{base32, each_field};
use crate::mapping::Identity;

/// What a marker key must have at least.
pub const MIN_KEY_BYTES: usize = 32;

/// A key that makes markers.
pub struct MarkerKey(Key);

impl MarkerKey {
    /// A key of at least [`MIN_KEY_BYTES`] bytes; `None` if there are fewer.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= MIN_KEY_BYTES).then(|| Self(Key::new(HMAC_SHA256, bytes)))
    }

    /// The tag of a marker, whatever tag it bears.
    fn tag<'a>(
        &self,
        cluster_id: &str,
        username: &str,
        groups: impl Iterator<Item = &'a str>,
        marker: &Marker<'_>,
    ) -> String {
        let (login_text, end_text) = (marker.login_time.to_string(), marker.not_after.to_string());
        let mut groups: Vec<&str> = groups.collect();
        groups.sort_unstable();
        let fixed = [
            "gatepass/marker/v1",
            cluster_id,
            username,
            marker.session,
            &login_text,
            &end_text,
        ];
        let mut context = Context::with_key(&self.0);
        each_field(fixed.into_iter().chain(groups), |bytes| context.update(bytes));
        base32(&context.sign().as_ref()[..16])
    }
}

/// The marker keys: the first makes markers, all verify.
#[derive(Debug)]
pub struct MarkerKeys {
    first: MarkerKey,
    others: Vec<MarkerKey>,
}

impl MarkerKeys {
    /// Keys in the order of the configuration; `None` if there is none.
    pub fn new(keys: Vec<MarkerKey>) -> Option<Self> {
        let mut keys = keys.into_iter();
        Some(Self {
            first: keys.next()?,
            others: keys.collect(),
        })
    }

    /// The marker of one certificate; times in Unix seconds.
    pub(crate) fn make(
        &self,
        cluster_id: &str,
        identity: &Identity,
        session: &str,
        login_time: i64,
        not_after: i64,
    ) -> String {
        let mut marker = Marker {
            session,
            login_time,
            not_after,
            tag: "",
        };
        let groups = identity.groups().iter().map(String::as_str);
        let tag = self.first.tag(cluster_id, identity.username(), groups, &marker);
        marker.tag = &tag;
        marker.to_string()
    }

    /// Whether one of the keys made `marker` for this name and exactly these groups (without the marker, in any order).
    pub(crate) fn verify<'a>(
        &self,
        cluster_id: &str,
        username: &str,
        groups: impl Iterator<Item = &'a str> + Clone,
        marker: &Marker<'_>,
    ) -> bool {
        std::iter::once(&self.first).chain(&self.others).any(|key| {
            let tag = key.tag(cluster_id, username, groups.clone(), marker);
            verify_slices_are_equal(tag.as_bytes(), marker.tag.as_bytes()).is_ok()
        })
    }
}

impl fmt::Debug for MarkerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MarkerKey(..)")
    }
}

#[cfg(test)]
mod tests;
