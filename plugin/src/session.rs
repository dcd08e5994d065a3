//! A session: one login of one account at one identity provider on this machine.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use gatepass_api::{SALT_LEN, Salt, Token};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use crate::keys::{KeyError, SessionKey, sha256_base64url};

/// What the keyring keeps of a session. All of it is secret.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    version: u8,
    /// The account's `sub` at the identity provider.
    pub subject: String,
    key: Zeroizing<String>,
    salt: KeptSalt,
    /// The ID token that the login returned, which carries the nonce.
    pub login_token: Token,
    /// The latest ID token, where a refresh returned one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refreshed: Option<IdToken>,
    /// `iat` of the login token, in Unix seconds.
    login_token_iat: i64,
    /// Why it cannot be refreshed any more, escaped for people. The refresh token stays, so that a logout can revoke it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cannot_refresh: Option<String>,
    /// The refresh token, where the identity provider gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<Token>,
    /// Where refreshes go: from the identity provider's own metadata, at login.
    pub token_endpoint: String,
    /// Where a logout revokes the refresh token: from the same metadata, where that names such a place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_endpoint: Option<String>,
}

/// A refreshed ID token.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdToken {
    /// The token.
    pub token: Token,
    /// Its `iat`, in Unix seconds by the identity provider's clock.
    pub iat: i64,
    /// Whether it still carries the login's nonce.
    pub has_nonce: bool,
}

/// A salt as base64url text.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct KeptSalt(Salt);

impl TryFrom<String> for KeptSalt {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| "the salt is not base64url")?;
        let bytes = <[u8; SALT_LEN]>::try_from(bytes).map_err(|_| "the salt is not 32 bytes")?;
        Ok(Self(Salt::from(bytes)))
    }
}

impl From<KeptSalt> for String {
    fn from(KeptSalt(salt): KeptSalt) -> Self {
        URL_SAFE_NO_PAD.encode(salt.as_bytes())
    }
}

const VERSION: u8 = 1;

/// A session key goes after so long, whatever issuers would accept.
const LONGEST_KEPT: Duration = Duration::days(30);

/// Share of the greatest age at which an ID token is refreshed.
const REFRESH_AT: f64 = 0.8;

impl Session {
    /// A session that has just begun.
    pub fn new(
        subject: String,
        pkcs8: &[u8],
        salt: &Salt,
        login: IdToken,
        refresh_token: Option<Token>,
        token_endpoint: String,
        revocation_endpoint: Option<String>,
    ) -> Self {
        Self {
            version: VERSION,
            subject,
            key: Zeroizing::new(STANDARD.encode(pkcs8)),
            salt: KeptSalt(*salt),
            login_token: login.token,
            login_token_iat: login.iat,
            refreshed: None,
            cannot_refresh: None,
            refresh_token,
            token_endpoint,
            revocation_endpoint,
        }
    }

    /// Reads what the keyring kept; `None` for what this version cannot use and for what is too old, which a login then
    /// replaces.
    pub fn read(bytes: &[u8], now: OffsetDateTime) -> Option<Self> {
        Self::of_any_age(bytes).filter(|session| !session.left(now).is_zero())
    }

    /// The same, however old it is: what a logout ends.
    pub fn of_any_age(bytes: &[u8]) -> Option<Self> {
        let session: Self = serde_json::from_slice(bytes).ok()?;
        (session.version == VERSION && session.key().is_ok()).then_some(session)
    }

    /// What the keyring keeps.
    pub fn write(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(serde_json::to_vec(self).expect("a session is plain JSON"))
    }

    /// How long it may still be kept.
    pub fn left(&self, now: OffsetDateTime) -> std::time::Duration {
        let login_time = i64::try_from(self.salt.0.login_time()).unwrap_or_default();
        let left = LONGEST_KEPT - Duration::seconds(now.unix_timestamp().saturating_sub(login_time));
        left.max(Duration::ZERO).min(LONGEST_KEPT).unsigned_abs()
    }

    /// The session key.
    pub fn key(&self) -> Result<SessionKey, KeyError> {
        SessionKey::from_pkcs8(&Zeroizing::new(
            STANDARD.decode(self.key.as_bytes()).unwrap_or_default(),
        ))
    }

    /// The login's salt.
    pub fn salt(&self) -> Salt {
        self.salt.0
    }

    /// The nonce that the login committed to.
    pub fn nonce(&self) -> Result<String, KeyError> {
        Ok(self.key()?.commitment(&self.salt()))
    }

    /// Takes in what a refresh returned.
    pub fn refreshed(&mut self, id_token: Option<IdToken>, refresh_token: Option<Token>) {
        self.refreshed = id_token.or(self.refreshed.take());
        self.refresh_token = refresh_token.or(self.refresh_token.take());
    }

    /// The latest ID token.
    pub fn id_token(&self) -> &Token {
        self.refreshed
            .as_ref()
            .map_or(&self.login_token, |latest| &latest.token)
    }

    /// The login token to send beside the latest ID token: needed where that one lacks the nonce.
    pub fn login_token_to_send(&self) -> Option<&Token> {
        self.refreshed
            .as_ref()
            .filter(|latest| !latest.has_nonce)
            .map(|_| &self.login_token)
    }

    /// Whether the latest ID token is so old that it should be refreshed. `now` is by the issuer's clock.
    pub fn wants_refresh(&self, now: OffsetDateTime, max_token_age: Duration) -> bool {
        self.age(now) >= max_token_age * REFRESH_AT
    }

    /// Whether this is the same login as `other`: each has a salt of its own.
    pub fn is_same_login(&self, other: &Self) -> bool {
        self.salt.0 == other.salt.0
    }

    /// Whether `other` holds the same ID token.
    pub fn has_same_token(&self, other: &Self) -> bool {
        self.id_token().expose() == other.id_token().expose()
    }

    /// Tells this login from others, and nothing else about it.
    pub fn fingerprint(&self) -> String {
        sha256_base64url(self.salt.0.as_bytes())
    }

    /// Whether the latest ID token is older than the issuer takes. `now` is by the issuer's clock.
    pub fn is_older(&self, now: OffsetDateTime, max_token_age: Duration) -> bool {
        self.age(now) > max_token_age
    }

    fn age(&self, now: OffsetDateTime) -> Duration {
        let iat = self
            .refreshed
            .as_ref()
            .map_or(self.login_token_iat, |latest| latest.iat);
        Duration::seconds(now.unix_timestamp() - iat)
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn session() -> Session {
        let (_, pkcs8) = SessionKey::generate().unwrap();
        let login = IdToken {
            token: Token::new("login".into()),
            iat: 1000,
            has_nonce: true,
        };
        Session::new(
            "sub".into(),
            &pkcs8,
            &Salt::new(990, [1; 24]),
            login,
            None,
            "https://idp/token".into(),
            None,
        )
    }

    const NOW: OffsetDateTime = datetime!(1970-01-01 00:16:40 UTC);

    #[test]
    fn a_session_survives_the_keyring() {
        let one = session();
        let two = Session::read(&one.write(), NOW).unwrap();
        assert_eq!(one.key().unwrap().thumbprint(), two.key().unwrap().thumbprint());
        assert_eq!(two.salt().login_time(), 990);
    }

    #[test]
    fn a_session_from_before_there_was_a_revocation_endpoint_is_still_one() {
        let text = String::from_utf8(session().write().to_vec()).unwrap();
        assert!(!text.contains("revocationEndpoint"));
        assert_eq!(
            Session::read(text.as_bytes(), NOW).unwrap().revocation_endpoint,
            None
        );
    }

    #[test]
    fn foreign_and_corrupt_entries_are_no_session() {
        assert!(Session::read(b"junk", NOW).is_none());
        let text = String::from_utf8(session().write().to_vec()).unwrap();
        assert!(Session::read(text.replace("\"version\":1", "\"version\":9").as_bytes(), NOW).is_none());
        assert!(Session::read(text.replace("\"salt\":\"", "\"salt\":\"A").as_bytes(), NOW).is_none());
    }

    #[test]
    fn a_session_is_kept_for_thirty_days() {
        let bytes = session().write();
        let login = datetime!(1970-01-01 00:16:30 UTC);
        assert!(Session::read(&bytes, login + Duration::days(30) - Duration::SECOND).is_some());
        assert!(Session::read(&bytes, login + Duration::days(30)).is_none());
        assert!(
            Session::of_any_age(&bytes).is_some(),
            "a logout ends it all the same"
        );
    }

    #[test]
    fn the_login_token_goes_along_only_where_the_latest_token_lost_the_nonce() {
        let mut session = session();
        assert!(session.login_token_to_send().is_none());
        session.refreshed(
            Some(IdToken {
                token: Token::new("r".into()),
                iat: 2000,
                has_nonce: true,
            }),
            None,
        );
        assert!(session.login_token_to_send().is_none());
        session.refreshed(
            Some(IdToken {
                token: Token::new("r".into()),
                iat: 2000,
                has_nonce: false,
            }),
            None,
        );
        assert_eq!(session.login_token_to_send().unwrap().expose(), "login");
        assert_eq!(session.id_token().expose(), "r");
    }

    #[test]
    fn a_token_is_refreshed_at_80_percent_of_its_greatest_age() {
        let start = datetime!(1970-01-01 00:16:40 UTC);
        let age = Duration::seconds(600);
        assert!(!session().wants_refresh(start + Duration::seconds(479), age));
        assert!(session().wants_refresh(start + Duration::seconds(480), age));
    }
}
