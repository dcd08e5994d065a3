//! A credential: a certificate and its key, kept for minutes and given to kubectl.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

/// What the keyring keeps of a credential.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    version: u8,
    /// PEM, leaf first.
    pub certificate: String,
    /// PKCS#8, PEM.
    pub key: Zeroizing<String>,
    /// End of the certificate, Unix seconds by the issuer's clock.
    pub not_after: i64,
    /// When it was obtained, Unix seconds by the local clock.
    obtained: i64,
    /// When a renewal is due, Unix seconds by the issuer's clock.
    renew_at: i64,
    /// The issuer's clock minus ours, in seconds, as it was then.
    offset: i64,
    /// `X509SHA256=…`
    pub credential_id: String,
    /// Common name.
    pub username: String,
    /// UID attribute.
    pub uid: String,
    /// Groups, without the marker.
    pub groups: Vec<String>,
    /// Session id.
    pub session: String,
    /// End of the session, RFC 3339.
    pub session_end: String,
    /// Digests of the CAs of the API server that it was obtained for, and those that its predecessors were; empty where
    /// nobody said.
    #[serde(default)]
    clusters: BTreeSet<String>,
}

const VERSION: u8 = 1;

/// A credential with less than this left is not handed out: the request it is for must still be able to use it.
const LEAST_LEFT: i64 = 10;

/// How much of a life may pass before renewal, in permille: a window, so that fifty programs do not renew at once.
const RENEW_FROM: i64 = 700;
const RENEW_SPREAD: i64 = 150;

/// No certificate lives longer; in seconds.
const LONGEST_LIFE: i64 = 3600;

/// How long to wait with the next renewal after one failed, in seconds.
const POSTPONE: i64 = 30;

/// What to do with a kept credential.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Use {
    /// Hand it out.
    Serve,
    /// Renew it; hand it out if that fails.
    Renew,
    /// It has ended, or the clock cannot tell.
    Discard,
}

/// What an issuer's answer says about a certificate.
pub struct Issued {
    /// PEM, leaf first.
    pub certificate: String,
    /// End, Unix seconds by the issuer's clock.
    pub not_after: i64,
    /// `X509SHA256=…`
    pub credential_id: String,
    /// Common name.
    pub username: String,
    /// UID attribute.
    pub uid: String,
    /// Groups, without the marker.
    pub groups: Vec<String>,
    /// Session id.
    pub session: String,
    /// End of the session, RFC 3339.
    pub session_end: String,
}

impl Credential {
    /// A credential that was just issued. `now` is local, `offset` the issuer's clock minus ours, `jitter` any number.
    pub fn new(
        issued: Issued,
        key: Zeroizing<String>,
        now: OffsetDateTime,
        offset: Duration,
        jitter: u16,
    ) -> Self {
        let corrected = now.saturating_add(offset).unix_timestamp();
        let life = issued.not_after.saturating_sub(corrected).clamp(0, LONGEST_LIFE);
        let permille = RENEW_FROM + i64::from(jitter) * RENEW_SPREAD / i64::from(u16::MAX);
        Self {
            version: VERSION,
            certificate: issued.certificate,
            key,
            not_after: issued.not_after,
            obtained: now.unix_timestamp(),
            renew_at: corrected.saturating_add(life * permille / 1000),
            offset: offset.whole_seconds(),
            credential_id: issued.credential_id,
            username: issued.username,
            uid: issued.uid,
            groups: issued.groups,
            session: issued.session,
            session_end: issued.session_end,
            clusters: BTreeSet::new(),
        }
    }

    /// The same credential, obtained for an API server of that CA in place of `before`.
    pub fn obtained_for(mut self, cluster_ca: Option<&str>, before: Option<&Self>) -> Self {
        self.clusters.extend(
            before
                .into_iter()
                .flat_map(|before| before.clusters.iter().cloned()),
        );
        self.clusters.extend(cluster_ca.map(str::to_owned));
        self
    }

    /// Whether it may be for the API server with that CA. One that was built anew has another, and trusts other
    /// certificates, too. A second name of the same API server costs one renewal, since [`Self::obtained_for`] adds up.
    pub fn fits(&self, cluster_ca: Option<&str>) -> bool {
        cluster_ca.is_none_or(|ca| self.clusters.is_empty() || self.clusters.contains(ca))
    }

    /// Reads what the keyring kept; `None` for what this version cannot use.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes)
            .ok()
            .filter(|credential: &Self| credential.version == VERSION)
    }

    /// What the keyring keeps.
    pub fn write(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(serde_json::to_vec(self).expect("a credential is plain JSON"))
    }

    /// What to do with it at a local time.
    pub fn judge(&self, now: OffsetDateTime) -> Use {
        // The local clock was set back since: the correction kept with the credential is worth nothing.
        if now.unix_timestamp() < self.obtained.saturating_sub(60)
            || self.left(now) < Duration::seconds(LEAST_LEFT)
        {
            Use::Discard
        } else if now.unix_timestamp().saturating_add(self.offset) < self.renew_at {
            Use::Serve
        } else {
            Use::Renew
        }
    }

    /// The same credential, with its renewal put off for a moment because one just failed.
    pub fn postponed(mut self, now: OffsetDateTime) -> Self {
        self.renew_at = now
            .unix_timestamp()
            .saturating_add(self.offset)
            .saturating_add(POSTPONE);
        self
    }

    /// How much is left of it at a local time.
    pub fn left(&self, now: OffsetDateTime) -> Duration {
        Duration::seconds(
            self.not_after
                .saturating_sub(self.offset)
                .saturating_sub(now.unix_timestamp()),
        )
    }

    /// The end that kubectl is told, by the local clock: a little early, so that no request is sent with a
    /// certificate that ends on the way, and never in the past while [`Use::Discard`] does not say so.
    pub fn expires(&self) -> OffsetDateTime {
        let early = self
            .not_after
            .saturating_sub(self.offset)
            .saturating_sub(LEAST_LEFT / 2);
        OffsetDateTime::from_unix_timestamp(early).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-22 00:00:00 UTC);

    fn credential(offset: i64, jitter: u16) -> Credential {
        let issued = Issued {
            certificate: "C".into(),
            not_after: NOW.unix_timestamp() + offset + 600,
            credential_id: String::new(),
            username: String::new(),
            uid: String::new(),
            groups: Vec::new(),
            session: String::new(),
            session_end: String::new(),
        };
        Credential::new(
            issued,
            Zeroizing::new("K".into()),
            NOW,
            Duration::seconds(offset),
            jitter,
        )
    }

    fn after(credential: &Credential, seconds: i64) -> Use {
        credential.judge(NOW + Duration::seconds(seconds))
    }

    #[test]
    fn it_is_served_renewed_ahead_of_its_end_and_then_discarded_whatever_the_clock_is_off() {
        for offset in [0, 600, -600] {
            let credential = credential(offset, 0);
            assert_eq!(after(&credential, 0), Use::Serve);
            assert_eq!(after(&credential, 419), Use::Serve);
            assert_eq!(after(&credential, 420), Use::Renew);
            assert_eq!(after(&credential, 590), Use::Renew);
            assert_eq!(after(&credential, 591), Use::Discard);
        }
    }

    #[test]
    fn a_credential_fits_the_clusters_that_it_and_its_predecessors_were_obtained_for() {
        let typed = credential(0, 0);
        assert!(typed.fits(Some("a")) && typed.fits(None), "nobody said for whom");
        let first = typed.obtained_for(Some("a"), None);
        assert!(first.fits(Some("a")) && first.fits(None) && !first.fits(Some("b")));
        let second = credential(0, 0).obtained_for(Some("b"), Some(&first));
        assert!(second.fits(Some("a")) && second.fits(Some("b")) && !second.fits(Some("c")));
        assert!(Credential::read(&second.write()).unwrap().fits(Some("b")));
    }

    #[test]
    fn renewals_are_spread() {
        assert_eq!(after(&credential(0, u16::MAX), 509), Use::Serve);
        assert_eq!(after(&credential(0, u16::MAX), 510), Use::Renew);
    }

    #[test]
    fn a_failed_renewal_is_not_tried_again_at_once_and_does_not_lengthen_its_life() {
        let credential = credential(600, 0).postponed(NOW + Duration::seconds(500));
        assert_eq!(after(&credential, 529), Use::Serve);
        assert_eq!(after(&credential, 530), Use::Renew);
        assert_eq!(
            after(&credential.postponed(NOW + Duration::seconds(585)), 591),
            Use::Discard
        );
    }

    #[test]
    fn a_clock_set_back_discards_it() {
        assert_eq!(after(&credential(0, 0), -61), Use::Discard);
    }

    #[test]
    fn kubectl_is_told_an_end_that_lies_ahead_by_the_local_clock() {
        for offset in [0, 600, -600] {
            let credential = credential(offset, 0);
            assert_eq!(credential.expires(), NOW + Duration::seconds(595));
            assert!(credential.expires() > NOW + Duration::seconds(590));
        }
    }

    #[test]
    fn numbers_beyond_all_clocks_do_no_harm() {
        for extreme in [i64::MIN, i64::MAX] {
            let mut credential = credential(0, 0);
            (credential.not_after, credential.obtained, credential.offset) = (extreme, extreme, extreme);
            let _ = (credential.judge(NOW), credential.left(NOW), credential.expires());
        }
    }

    #[test]
    fn it_survives_the_keyring_and_junk_does_not() {
        let one = credential(5, 9);
        assert_eq!(Credential::read(&one.write()).unwrap().not_after, one.not_after);
        assert!(Credential::read(b"{}").is_none());
    }
}
