//! Keeps each identity provider's published keys: the adapter between the network and [`KeySets`].

mod fetch;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::id_token::KeySet;
use crate::idp::IdentityProvider;
use crate::issue::KeySets;

pub use fetch::{ClientError, FetchError, Fetcher};

/// After an attempt, successful or not, the provider is left alone for so long.
const COOLDOWN: Duration = Duration::from_secs(10);
/// A key set is fetched again in the background after so long, so that withdrawn keys go.
const REFETCH: Duration = Duration::from_secs(5 * 60);
/// How long a key set outlives the last successful fetch.
const OUTLIVES: Duration = Duration::from_secs(24 * 60 * 60);

struct Kept {
    keys: Arc<KeySet>,
    fetched: Instant,
}

struct Attempt {
    at: Instant,
    succeeded: bool,
}

struct Source {
    issuer: String,
    certificate_authority: Option<String>,
    fetcher: Fetcher,
    kept: ArcSwapOption<Kept>,
    /// Held while a fetch is in flight, so that there is never a second.
    last: Mutex<Option<Attempt>>,
}

/// The keys of all identity providers.
pub struct KeySources {
    sources: Vec<Arc<Source>>,
}

impl KeySources {
    /// One source per provider; nothing is fetched yet.
    pub fn new(idps: &[IdentityProvider]) -> Result<Self, ClientError> {
        Self::inheriting(idps, &Self { sources: Vec::new() })
    }

    /// One source per provider, those of `old` where the provider is the same: what was fetched stays known, and an
    /// attempt a moment ago still counts. A provider that is now to be believed by other authorities starts anew, because
    /// its keys were vouched for by those that may have been removed for a reason.
    pub fn inheriting(idps: &[IdentityProvider], old: &Self) -> Result<Self, ClientError> {
        let source = |idp: &IdentityProvider| {
            let same = |source: &&Arc<Source>| {
                source.issuer == idp.issuer && source.certificate_authority == idp.certificate_authority
            };
            if let Some(known) = old.sources.iter().find(same) {
                return Ok(Arc::clone(known));
            }
            Ok(Arc::new(Source {
                issuer: idp.issuer.clone(),
                certificate_authority: idp.certificate_authority.clone(),
                fetcher: Fetcher::new(&idp.issuer, idp.certificate_authority.as_deref())?,
                kept: ArcSwapOption::empty(),
                last: Mutex::new(None),
            }))
        };
        Ok(Self {
            sources: idps.iter().map(source).collect::<Result<_, _>>()?,
        })
    }

    /// Sources that hold these keys already and reach nobody.
    #[cfg(test)]
    pub(crate) fn with_keys(idps: &[IdentityProvider], keys: impl Fn(&str) -> Option<KeySet>) -> Self {
        let sources = Self::new(idps).expect("HTTPS clients");
        for source in &sources.sources {
            let kept = keys(&source.issuer).map(|keys| Kept {
                keys: Arc::new(keys),
                fetched: Instant::now(),
            });
            source.kept.store(kept.map(Arc::new));
            // As if fetched a moment ago, so that nothing goes over the network.
            let last = source.last.try_lock().map(|mut last| {
                *last = Some(Attempt {
                    at: Instant::now(),
                    succeeded: true,
                })
            });
            last.expect("nobody else has it yet");
        }
        sources
    }

    /// The keys known now.
    pub fn snapshot(&self) -> KeySets {
        self.sources.iter().map(|source| source.current()).collect()
    }

    /// Issuers of the providers whose keys are not known now.
    pub fn without_keys(&self) -> Vec<&str> {
        self.sources
            .iter()
            .filter(|source| source.current().is_none())
            .map(|source| source.issuer.as_str())
            .collect()
    }

    /// Fetches the keys of the provider at `position`, unless that was tried a moment ago; false if the last attempt
    /// failed, so that nobody can say which keys are published now.
    pub async fn refresh(&self, position: usize) -> bool {
        match self.sources.get(position) {
            Some(source) => Source::refresh(Arc::clone(source)).await,
            None => false,
        }
    }

    /// Keeps the keys of all providers fresh, for ever.
    pub async fn keep_fresh(self: Arc<Self>) {
        let mut tasks = tokio::task::JoinSet::new();
        for position in 0..self.sources.len() {
            let sources = Arc::clone(&self);
            tasks.spawn(async move {
                loop {
                    let wait = if sources.refresh(position).await {
                        REFETCH
                    } else {
                        COOLDOWN
                    };
                    tokio::time::sleep(wait).await;
                }
            });
        }
        tasks.join_all().await;
    }
}

impl Source {
    fn current(&self) -> Option<Arc<KeySet>> {
        let kept = self.kept.load();
        let kept = kept.as_ref().filter(|kept| kept.fetched.elapsed() < OUTLIVES)?;
        Some(Arc::clone(&kept.keys))
    }

    /// Fetches in a task of its own: if a request that goes away took its fetch with it, a stranger could begin one after
    /// each cooldown, break it off, and keep the issuer from learning new keys.
    async fn refresh(source: Arc<Self>) -> bool {
        tokio::spawn(async move { source.fetch().await })
            .await
            .unwrap_or(false)
    }

    async fn fetch(&self) -> bool {
        let mut last = self.last.lock().await;
        // Those who waited for somebody else's fetch find it here.
        if let Some(attempt) = last.as_ref().filter(|attempt| attempt.at.elapsed() < COOLDOWN) {
            return attempt.succeeded;
        }
        let fetched = self.fetcher.fetch().await;
        let succeeded = fetched.is_ok();
        *last = Some(Attempt {
            at: Instant::now(),
            succeeded,
        });
        match fetched {
            Ok(keys) => {
                if keys.is_empty() {
                    tracing::warn!(issuer = %self.issuer, "the identity provider publishes no usable signing key");
                }
                tracing::debug!(issuer = %self.issuer, keys = keys.len(), "fetched keys");
                self.kept.store(Some(Arc::new(Kept {
                    keys: Arc::new(keys),
                    fetched: Instant::now(),
                })));
            }
            Err(error) => {
                tracing::warn!(issuer = %self.issuer, %error, "cannot fetch the identity provider's keys")
            }
        }
        succeeded
    }
}

impl std::fmt::Debug for KeySources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.sources.iter().map(|source| &source.issuer))
            .finish()
    }
}

#[cfg(test)]
pub(crate) mod tests;
