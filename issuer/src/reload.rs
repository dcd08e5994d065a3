//! Reload: what is on disk replaces what is in force, without a restart and without a failed request.
//!
//! All files are read every few seconds, and at once on SIGHUP; what was read is compared, not the files' times. A change
//! takes effect when two looks in a row have seen the same, because whoever writes a file, or two that belong together,
//! may be in the middle of it; on SIGHUP somebody says that they are done. What does not load, and another cluster's
//! configuration, is refused whole: what was in force stays. What cannot change in a running program is named, and the
//! rest takes effect.

mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::signal::unix::Signal;
use tokio::task::JoinSet;

use crate::active::{Active, Current};
use crate::config::{Config, ConfigError, Contents, Fixed, Validity};
use crate::key_source::KeySources;
use crate::routes::{Clock, ConfigurationStatus};
use crate::server::ListenerTls;
use watch::{Step, Watch};

/// How often files are read.
const POLL: Duration = Duration::from_secs(5);
/// After a change was seen: how long until it must still look the same.
const SETTLE: Duration = Duration::from_secs(1);

/// What a running issuer was started with, and where a reload puts what replaces it.
pub struct Running {
    /// The configuration file.
    pub path: PathBuf,
    /// The clock.
    pub clock: Clock,
    /// What stays until a restart.
    pub fixed: Fixed,
    /// Validity of the serving certificates.
    pub serving: Vec<Validity>,
    /// What was read at the start.
    pub contents: Contents,
    /// What decides about requests.
    pub current: Current,
    /// What new connections are served with.
    pub tls: ListenerTls,
    /// The same for API servers, where a listener of theirs is open.
    pub webhook_tls: Option<ListenerTls>,
    /// What health tells.
    pub status: Arc<ArcSwap<ConfigurationStatus>>,
}

/// Reloads a running issuer, and keeps the keys of the providers in force fresh.
pub struct Reloader {
    running: Running,
    watch: Watch,
    /// Whether the serving certificate's end was warned about.
    warned: bool,
    /// One task, which ends with this value.
    fetching: JoinSet<()>,
}

/// A configuration that can replace the one in force.
struct Candidate {
    config: Config,
    keys: KeySources,
}

impl Reloader {
    /// Must be called within a runtime; begins to fetch keys.
    pub fn new(running: Running) -> Self {
        let mut reloader = Self {
            watch: Watch::new(running.contents),
            running,
            warned: false,
            fetching: JoinSet::new(),
        };
        reloader.keep_keys_fresh();
        reloader
    }

    /// Looks again and again, for ever.
    pub async fn run(mut self, mut hangup: Signal) {
        let mut wait = Duration::ZERO;
        loop {
            let asked = tokio::select! {
                Some(()) = hangup.recv() => true,
                () = tokio::time::sleep(wait) => false,
            };
            wait = self.look(asked).await;
        }
    }

    /// Looks once; says how long to wait until the next time.
    async fn look(&mut self, asked: bool) -> Duration {
        let now = (self.running.clock)();
        let (path, active, known) = (
            self.running.path.clone(),
            self.running.current.load_full(),
            self.watch.active(),
        );
        // Files may lie on a slow disk.
        let looked = tokio::task::spawn_blocking(move || {
            let look = Config::look(&path, now);
            let outcome = look.outcome.and_then(|config| {
                if look.contents == known {
                    return Ok(None);
                }
                let problem = |problem| ConfigError::new(&path, vec![problem]);
                let (old, new) = (&active.issuer.cluster.id, &config.issuer.cluster.id);
                if old != new {
                    return Err(problem(format!(
                        "cluster.id: \"{new}\" is another cluster's: this issuer serves \"{old}\" until it is restarted"
                    )));
                }
                let keys = KeySources::inheriting(&config.issuer.idps, &active.keys)
                    .map_err(|error| problem(error.to_string()))?;
                Ok(Some(Candidate { config, keys }))
            });
            (look.contents, outcome)
        });
        let Ok((contents, outcome)) = looked.await else {
            tracing::error!("looking at the configuration failed; what was loaded before stays in force");
            return POLL;
        };
        match self.watch.step(contents, outcome, asked) {
            Step::Unchanged => {
                self.say(|status| status.problems = 0);
                if asked {
                    tracing::info!("asked to reload: nothing has changed");
                }
            }
            Step::LookAgain => return SETTLE,
            Step::StillRefused => {}
            Step::Refuse(error) => {
                let problems = error.problems().len();
                self.say(|status| status.problems = problems);
                tracing::error!(%error, problems, "not reloaded: what was loaded before stays in force");
            }
            Step::Apply(candidate) => self.apply(candidate, now),
        }
        self.warn_of_the_end(now);
        POLL
    }

    fn apply(&mut self, Candidate { config, keys }: Candidate, now: i64) {
        let needs_restart = self.running.fixed.differing(&config.fixed);
        let names = config
            .webhooks
            .as_ref()
            .map(|webhooks| Arc::clone(&webhooks.names));
        let active = Active {
            issuer: Arc::new(config.issuer),
            keys: Arc::new(keys),
            // Without the section the listener stays until a restart. That it suddenly refused API servers would lock out
            // everybody whom they ask about.
            webhook_clients: names
                .unwrap_or_else(|| Arc::clone(&self.running.current.load().webhook_clients)),
            detection: Arc::new(config.detection),
        };
        let identity_providers = active.issuer.idps.len();
        self.running.current.store(Arc::new(active));
        self.running.tls.store(config.tls);
        self.running.serving = vec![config.serving];
        if let Some(webhooks) = config.webhooks {
            self.running.serving.push(webhooks.serving);
            if let Some(tls) = &self.running.webhook_tls {
                tls.store(webhooks.tls);
            }
        }
        self.warned = false;
        self.keep_keys_fresh();
        let restart = needs_restart.join(", ");
        self.say(|status| {
            *status = ConfigurationStatus {
                loaded_at: now,
                problems: 0,
                needs_restart,
            }
        });
        tracing::info!(identity_providers, "reloaded");
        if !restart.is_empty() {
            tracing::warn!(
                keys = restart,
                "these keep their value until a restart; all else is in force"
            );
        }
    }

    /// Before the log says so: whoever reads the line finds that `/readyz` agrees.
    fn say(&self, change: impl FnOnce(&mut ConfigurationStatus)) {
        let mut status = ConfigurationStatus::clone(&self.running.status.load());
        change(&mut status);
        self.running.status.store(Arc::new(status));
    }

    /// Sources that were inherited are asked again no sooner than their pause allows.
    fn keep_keys_fresh(&mut self) {
        let keys = Arc::clone(&self.running.current.load().keys);
        self.fetching = JoinSet::new();
        self.fetching.spawn(keys.keep_fresh());
    }

    fn warn_of_the_end(&mut self, now: i64) {
        let end = self.running.serving.iter().find_map(|one| one.near_end(now));
        if let (false, Some(end)) = (self.warned, end) {
            tracing::warn!(%end, "a serving certificate ends soon: replace it; the new one is picked up by itself");
            self.warned = true;
        }
    }
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloader")
            .field("path", &self.running.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
