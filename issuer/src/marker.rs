//! The marker: the group that ties a certificate to a session, so that revocation by subject, session and login time
//! needs no list of certificates, and another signer in the client CA bundle cannot pretend to be this one.

use std::fmt;

use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};

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

    /// The marker of one certificate; times in Unix seconds.
    pub(crate) fn make(
        &self,
        cluster_id: &str,
        identity: &Identity,
        session_id: &str,
        login_time: i64,
        not_after: i64,
    ) -> String {
        let (login_text, end_text) = (login_time.to_string(), not_after.to_string());
        let mut groups: Vec<&str> = identity.groups().iter().map(String::as_str).collect();
        groups.sort_unstable();
        let fixed = [
            "gatepass/marker/v1",
            cluster_id,
            identity.username(),
            session_id,
            &login_text,
            &end_text,
        ];
        let mut context = Context::with_key(&self.0);
        each_field(fixed.into_iter().chain(groups), |bytes| context.update(bytes));
        let tag = base32(&context.sign().as_ref()[..16]);
        format!("gatepass:session:{session_id}:{login_text}:{end_text}:{tag}")
    }
}

impl fmt::Debug for MarkerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MarkerKey(..)")
    }
}

#[cfg(test)]
mod tests;
