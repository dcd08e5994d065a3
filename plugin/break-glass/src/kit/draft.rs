//! What is known of a kit before its keys are made.

use frost_ed25519::keys::PublicKeyPackage;
use serde::{Deserialize, Serialize};

use super::{
    Authority, Holder, KitError, Limits, Made, Payload,
    payload::{VERSION, bounds, check_quorum, check_recipients, check_texts, key_bytes, verifying_share},
};
use crate::name::Name;

/// What is known of a kit before its keys are made. In an init apart all holders have the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Draft {
    /// See [`Payload::cluster`].
    pub cluster: String,
    /// See [`Payload::issuer`].
    pub issuer: Option<String>,
    /// See [`Payload::server`].
    pub server: String,
    /// See [`Payload::server_ca`].
    pub server_ca: String,
    /// See [`Payload::made`].
    pub made: Made,
    /// See [`Payload::created`]; the authority begins a day before.
    pub created: i64,
    /// How long the authority lives, in days.
    pub authority_days: u32,
    /// See [`Payload::threshold`].
    pub threshold: u16,
    /// Name and recipients of each holder, who are numbered in this order.
    pub holders: Vec<(Name, Vec<String>)>,
    /// See [`Payload::limits`].
    pub limits: Limits,
}

const DAY: i64 = 24 * 60 * 60;

/// When a kit can have been made, in Unix seconds: 2020 to 2199. Whatever lies outside is a clock that is far off, or somebody's
/// attempt at a date that no certificate can hold.
const CREATED: std::ops::Range<i64> = 1_577_836_800..7_258_118_400;

/// How long an authority lives at most, in days.
const LONGEST_LIFE: u32 = 36_525;

impl Draft {
    /// The payload once the keys are known; checked.
    pub fn payload(&self, keys: &PublicKeyPackage) -> Result<Payload, KitError> {
        let payload = Payload {
            version: VERSION,
            revision: 1,
            previous: None,
            cluster: self.cluster.clone(),
            issuer: self.issuer.clone(),
            server: self.server.clone(),
            server_ca: self.server_ca.clone(),
            made: self.made,
            created: self.created,
            threshold: self.threshold,
            holders: holders(&self.holders, keys, self.created)?,
            limits: self.limits.clone(),
            authority: Authority {
                key: key_bytes(keys.verifying_key())?,
                not_before: self.created.saturating_sub(DAY),
                not_after: self
                    .created
                    .saturating_add(DAY.saturating_mul(self.authority_days.into())),
            },
        };
        payload.check()?;
        Ok(payload)
    }

    /// Checks what can be checked before the keys are made.
    pub fn check(&self) -> Result<(), KitError> {
        check_recipients(
            self.holders
                .iter()
                .map(|(name, recipients)| (name, recipients.as_slice())),
        )?;
        check_texts(
            &self.cluster,
            self.issuer.as_deref(),
            &self.server,
            &self.server_ca,
        )?;
        let names: Vec<_> = self.holders.iter().map(|(name, _)| name).collect();
        check_quorum(self.threshold, &names)?;
        if !CREATED.contains(&self.created) {
            return Err(bounds(format!(
                "it would be made at {} s after 1970; set the clock right where it is",
                self.created
            )));
        }
        if !(1..=LONGEST_LIFE).contains(&self.authority_days) {
            return Err(bounds(format!(
                "an authority lives for 1 to {LONGEST_LIFE} days, not {}",
                self.authority_days
            )));
        }
        self.limits.check()
    }
}

/// The holders numbered from 1, with their verifying shares.
fn holders(
    names: &[(Name, Vec<String>)],
    keys: &PublicKeyPackage,
    confirmed: i64,
) -> Result<Vec<Holder>, KitError> {
    let numbered = (1..).zip(names);
    numbered
        .map(|(identifier, (name, recipients))| {
            Ok(Holder {
                name: name.clone(),
                identifier,
                recipients: recipients.clone(),
                verifying_share: verifying_share(keys, identifier)?,
                confirmed,
            })
        })
        .collect()
}
