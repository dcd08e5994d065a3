//! Once more with keys that were fetched anew.

use super::App;
use crate::active::Active;
use crate::error::Refusal;
use crate::{id_token, logout_token};

/// What can go wrong for want of a key.
pub(super) trait Keyless {
    /// Whether fetching the provider's keys again may help.
    fn wants_keys(&self) -> bool;
    /// What to say where the provider cannot be asked, so that "unknown" would be a guess.
    fn without_provider(self) -> Self;
}

impl Keyless for Refusal {
    fn wants_keys(&self) -> bool {
        Refusal::wants_keys(self)
    }

    fn without_provider(self) -> Self {
        match self {
            Self::IdToken(id_token::Error::UnknownKey) => id_token::Error::KeysUnavailable.into(),
            other => other,
        }
    }
}

impl Keyless for logout_token::Error {
    fn wants_keys(&self) -> bool {
        use id_token::Error::{KeysUnavailable, UnknownKey};
        matches!(self, Self::Token(UnknownKey | KeysUnavailable))
    }

    fn without_provider(self) -> Self {
        match self {
            Self::Token(id_token::Error::UnknownKey) => id_token::Error::KeysUnavailable.into(),
            other => other,
        }
    }
}

/// Attempts something at a time; a second time with new keys where the first failed for want of one, because a key that is
/// not known may be a new one. Fetching is cooled down. The attempt also says whose keys it needs, by position.
pub(super) async fn with_keys<T: Send, E: Keyless + Send>(
    app: &App,
    active: &Active,
    mut attempt: impl FnMut(i64) -> (Option<usize>, Result<T, E>) + Send,
) -> (i64, Result<T, E>) {
    let now = (app.clock)();
    let (provider, outcome) = attempt(now);
    let (Err(error), Some(provider)) = (&outcome, provider) else {
        return (now, outcome);
    };
    if !error.wants_keys() {
        return (now, outcome);
    }
    let is_published = active.keys.refresh(provider).await;
    let now = (app.clock)();
    let (_, outcome) = attempt(now);
    let outcome = match outcome {
        Err(error) if !is_published => Err(error.without_provider()),
        outcome => outcome,
    };
    (now, outcome)
}
