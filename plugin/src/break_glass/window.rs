//! An open window: the certificate that a quorum signed, until it ends.
//!
//! A window is a file of its own below the state directory, which holds nothing secret. Its key rests in the keyring, or,
//! where there is none and a person says so, in a file beside it.

mod error;
mod files;
mod sweep;

use std::collections::BTreeSet;

use gatepass_break_glass::kit::{Kit, KitHash};
use rcgen::KeyPair;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use x509_parser::pem::parse_x509_pem;

use crate::{certificate::credential_id, escape::Escaped, keys::sha256_base64url};

pub use error::{KeyStays, WindowError};
pub use files::{Found, Windows};

/// One open window. Nothing of it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    version: u8,
    /// The kit whose quorum signed.
    pub kit_hash: KitHash,
    /// What people call the cluster.
    pub cluster: String,
    /// URL of the issuer whose place it takes, where the kit names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// URL of the API server.
    pub server: String,
    /// The CA of the API server's certificate, PEM.
    pub server_ca: String,
    /// Digests of the API server's CA certificates.
    server_ca_digests: BTreeSet<String>,
    /// Who opened it, without `break-glass:`.
    pub who: String,
    /// Begin of the certificate, Unix seconds by the API server's clock.
    pub not_before: i64,
    /// End of the certificate, Unix seconds by the API server's clock.
    pub not_after: i64,
    /// When it was opened, Unix seconds by the local clock.
    opened: i64,
    /// The API server's clock minus ours, in seconds, as it was then.
    offset: i64,
    /// `X509SHA256=…`
    pub credential_id: String,
    /// PEM.
    pub certificate: String,
    /// Whether it is served even while identity provider and issuer answer.
    pub forced: bool,
    /// Where its key rests.
    key: KeyPlace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KeyPlace {
    Store,
    File,
}

const VERSION: u8 = 1;

/// A window with less than this left is not served: the request it is for must still be able to use it. In seconds.
const LEAST_LEFT: i64 = 10;

/// A clock that shows less than this before the opening was set back since; in seconds.
const SET_BACK: i64 = 60;

/// No window stays open for longer; in seconds. A clock that was off by more was wrong, and may have been set since.
const LONGEST: i64 = 3600;

/// kubectl asks again at the latest after this time: a program that runs for hours notices when a window was closed, or is
/// not needed any more.
const ASK_AGAIN: i64 = 300;

/// What a ceremony makes a window of.
pub struct Signed<'a> {
    /// The kit whose quorum signed.
    pub kit_hash: KitHash,
    /// What people call the cluster.
    pub cluster: &'a str,
    /// URL of the cluster's issuer, where the kit names one.
    pub issuer: Option<&'a str>,
    /// URL of the API server.
    pub server: &'a str,
    /// The API server's CA, PEM.
    pub server_ca: &'a str,
    /// Who opens, without `break-glass:`.
    pub who: &'a str,
    /// The certificate, PEM.
    pub certificate: &'a str,
    /// Whether it is to be served even while identity provider and issuer answer.
    pub forced: bool,
}

/// What a window is at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum State {
    /// Open for so long.
    Open(Duration),
    /// Over, and of no use any more.
    Ended,
    /// The local clock was set back to before the opening, and nobody can tell.
    ClockSetBack,
}

impl Window {
    /// `now` is local, `offset` the API server's clock minus ours, as far as is known.
    pub fn new(signed: &Signed<'_>, now: OffsetDateTime, offset: Duration) -> Result<Self, WindowError> {
        let (_, leaf) =
            parse_x509_pem(signed.certificate.as_bytes()).map_err(|_| WindowError::NoCertificate)?;
        let validity = leaf
            .parse_x509()
            .map_err(|_| WindowError::NoCertificate)?
            .validity()
            .clone();
        let server_ca_digests = digests(signed.server_ca);
        if server_ca_digests.is_empty() && signed.issuer.is_none() {
            return Err(WindowError::ForNoCluster);
        }
        Ok(Self {
            version: VERSION,
            kit_hash: signed.kit_hash,
            cluster: signed.cluster.into(),
            issuer: signed.issuer.map(str::to_owned),
            server: signed.server.into(),
            server_ca: signed.server_ca.into(),
            server_ca_digests,
            who: signed.who.into(),
            // The certificate's own times: the API server knows no others.
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
            opened: now.unix_timestamp(),
            offset: offset.whole_seconds(),
            credential_id: credential_id(&leaf.contents),
            certificate: signed.certificate.into(),
            forced: signed.forced,
            key: KeyPlace::Store,
        })
    }

    /// What it is at a local time.
    ///
    /// The clock's error as it was at the opening counts, so that a wrong clock neither hides nor prolongs a window. Where the
    /// clock was set since, which shows when it was far off or when it now shows a time before the opening, it is taken at
    /// its word.
    pub fn state(&self, now: OffsetDateTime) -> State {
        let now = now.unix_timestamp();
        let set_back = now < self.opened.saturating_sub(SET_BACK);
        let left = self.not_after.saturating_sub(self.offset).saturating_sub(now);
        if !set_back && left >= LEAST_LEFT {
            return State::Open(Duration::seconds(left));
        }
        let by_its_word = self.not_after.saturating_sub(now);
        let may_be_set = set_back || self.offset.saturating_abs() > LONGEST;
        if may_be_set && now >= self.not_before && by_its_word >= LEAST_LEFT {
            return State::Open(Duration::seconds(by_its_word));
        }
        if set_back {
            State::ClockSetBack
        } else {
            State::Ended
        }
    }

    /// When kubectl is to ask again, by the local clock: ahead of it, and before the end.
    pub fn expires(&self, now: OffsetDateTime) -> OffsetDateTime {
        let left = match self.state(now) {
            State::Open(left) => left.whole_seconds().saturating_sub(LEAST_LEFT / 2),
            State::Ended | State::ClockSetBack => 0,
        };
        now.saturating_add(Duration::seconds(left.min(ASK_AGAIN)))
    }

    /// Whether a quorum of that kit signed it. Which revision of the kit that was does not matter: they have one authority,
    /// whose name ends with a digest of its key.
    pub fn is_of(&self, kit: &Kit) -> bool {
        let Ok((_, leaf)) = parse_x509_pem(self.certificate.as_bytes()) else {
            return false;
        };
        let leaf = leaf.parse_x509();
        leaf.is_ok_and(|leaf| leaf.issuer().as_raw() == kit.authority_subject())
    }

    /// Whether it is for the cluster of that issuer.
    pub fn is_for_issuer(&self, issuer: &str) -> bool {
        let own = self.issuer.as_deref().map(|own| own.trim_end_matches('/'));
        own == Some(issuer.trim_end_matches('/'))
    }

    /// Whether it is for the API server with that URL.
    pub fn is_for_server(&self, server: &str) -> bool {
        self.server.trim_end_matches('/') == server.trim_end_matches('/')
    }

    /// Whether it is for an API server of that CA (PEM): one certificate in common is enough, because a CA is replaced by a
    /// time of two.
    pub fn is_for_server_ca(&self, ca: &str) -> bool {
        !self.server_ca_digests.is_disjoint(&digests(ca))
    }

    /// The line that people read at each use.
    pub fn announcement(&self) -> String {
        format!(
            "BREAK-GLASS: {} as break-glass:{} until {}; every use is logged; close it with: kubectl gatepass break-glass \
             close",
            Escaped(&self.cluster),
            Escaped(&self.who),
            clock_time(self.not_after)
        )
    }

    fn fits(&self, key: &str) -> bool {
        let Ok(key) = KeyPair::from_pem(key) else {
            return false;
        };
        let Ok((_, leaf)) = parse_x509_pem(self.certificate.as_bytes()) else {
            return false;
        };
        let leaf = leaf.parse_x509();
        leaf.is_ok_and(|leaf| leaf.public_key().subject_public_key.data == key.public_key_raw())
    }
}

/// A time of day in words.
pub(super) fn clock_time(unix: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(unix).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!("{:02}:{:02} UTC", time.hour(), time.minute())
}

/// A digest of each certificate in a PEM text, so that it does not matter how the text is written.
fn digests(pem: &str) -> BTreeSet<String> {
    let blocks = pem::parse_many(pem).unwrap_or_default();
    let certificates = blocks.iter().filter(|block| block.tag() == "CERTIFICATE");
    certificates
        .map(|block| sha256_base64url(block.contents()))
        .collect()
}

#[cfg(test)]
pub(crate) mod tests;
