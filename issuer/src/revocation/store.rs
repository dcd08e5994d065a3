//! Where revocations are kept: a place that every replica follows, and writes to when it ends a session itself.

use std::sync::Arc;
use std::time::Duration;

use gatepass_api::revocation::RevocationSpec;
use tokio::task::JoinSet;

use super::directory::Directory;
use super::kubernetes::{ConnectError, Kubernetes};
use super::{Checked, Revocations, SpecError};
use crate::clock::rfc3339;
use crate::config::StoreConfig;
use crate::routes::Clock;

/// After what follows the store has failed in a way that nobody thought of.
const AGAIN: Duration = Duration::from_secs(1);

/// What becomes of a document of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays; what is asked for is there already.
    Leave,
    /// It is replaced, but denies no less than before: never logins up to an earlier time, and for no shorter time.
    Replace,
}

/// The store did not take a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the revocation could not be written: {0}")]
pub struct WriteError(pub String);

/// A store.
#[derive(Debug)]
pub enum Store {
    /// Files in a directory.
    Directory(Directory),
    /// Objects of the cluster.
    Kubernetes(Box<Kubernetes>),
}

impl Store {
    /// The store that the configuration names.
    pub fn new(config: &StoreConfig) -> Self {
        match config {
            StoreConfig::Directory(path) => Self::Directory(Directory::new(path.clone())),
            StoreConfig::Kubernetes { kubeconfig } => {
                Self::Kubernetes(Box::new(Kubernetes::new(kubeconfig.clone())))
            }
        }
    }

    /// Finds out where the store is, so that a mistake is told at the start. Whether it answers is seen later.
    pub async fn connect(&self) -> Result<(), ConnectError> {
        match self {
            Self::Directory(_) => Ok(()),
            Self::Kubernetes(kubernetes) => kubernetes.connect().await,
        }
    }

    /// What it is called in logs and health.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Directory(_) => "directory",
            Self::Kubernetes(_) => "kubernetes",
        }
    }

    /// Keeps a document; it is kept for good when this returns.
    pub async fn put(&self, name: &str, spec: &RevocationSpec, existing: Existing) -> Result<(), WriteError> {
        match self {
            Self::Directory(directory) => directory.put(name, spec, existing).await,
            Self::Kubernetes(kubernetes) => kubernetes.put(name, spec, existing).await,
        }
    }

    /// Takes away what has ended at `now`, in Unix seconds, and says how many; the revocation of a session that says no end
    /// stands for `session_max` seconds from when it was written.
    pub async fn sweep(&self, now: i64, session_max: i64) -> Result<usize, WriteError> {
        match self {
            Self::Directory(directory) => directory.sweep(now, session_max).await,
            Self::Kubernetes(kubernetes) => kubernetes.sweep(now, session_max).await,
        }
    }

    /// Keeps `revocations` what the store holds, for ever: what panics begins anew. Else the view would grow old until
    /// somebody restarts a program that looks well.
    pub async fn follow(self: Arc<Self>, revocations: Arc<Revocations>, clock: Clock) {
        loop {
            // Ends what it holds when it is dropped.
            let mut following = JoinSet::new();
            following.spawn(Arc::clone(&self).follow_once(Arc::clone(&revocations), Arc::clone(&clock)));
            if let Some(Err(error)) = following.join_next().await {
                tracing::error!(%error, "following the revocations failed: a bug, please report it; it begins anew");
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn follow_once(self: Arc<Self>, revocations: Arc<Revocations>, clock: Clock) {
        match self.as_ref() {
            Self::Directory(directory) => directory.follow(&revocations, &clock).await,
            Self::Kubernetes(kubernetes) => kubernetes.follow(&revocations, &clock).await,
        }
    }
}

/// `new` and what the document of the same name and target says, in one, so that nothing is denied less; `None` if nothing
/// has to be written. `created` is when `old` was written, by the store's clock.
pub(super) fn joined(
    old: &RevocationSpec,
    created: Option<i64>,
    new: &RevocationSpec,
    existing: Existing,
) -> Result<Option<RevocationSpec>, SpecError> {
    let is = Checked::new(new, created)?;
    let Ok(was) = Checked::new(old, created) else {
        // It denies nothing.
        return Ok(Some(new.clone()));
    };
    let end = |checked: &Checked<'_>| checked.expires_at().unwrap_or(i64::MAX);
    let is_long_enough = end(&was) >= end(&is);
    let denies_all = match existing {
        Existing::Leave => true,
        Existing::Replace => {
            was.logged_in_before() >= is.logged_in_before() && (old.block_issuance || !new.block_issuance)
        }
    };
    if is_long_enough && denies_all {
        return Ok(None);
    }
    let says_when = old.logged_in_before.is_some() || new.logged_in_before.is_some();
    let before = was.logged_in_before().max(is.logged_in_before());
    let end = end(&was).max(end(&is));
    Ok(Some(RevocationSpec {
        target: new.target.clone(),
        logged_in_before: says_when.then(|| rfc3339(before)),
        block_issuance: old.block_issuance || new.block_issuance,
        reason: new.reason.clone().or_else(|| old.reason.clone()),
        expires_at: (end != i64::MAX).then(|| rfc3339(end)),
    }))
}
