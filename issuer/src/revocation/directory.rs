//! A directory of revocations: one document a file, `NAME.yaml`, `NAME.yml` or `NAME.json`.
//!
//! Several processes share it: replicas, `gatepass-issuer revoke`, and people with an editor. Who reads takes no lock,
//! because a document only ever appears whole: it is written under a hidden name, made durable, and then given its own.
//! Who writes or removes holds the lock on `.lock`, which the kernel frees when a process dies: so nobody takes
//! away what another has just put in an ended document's place, and of two logout tokens for one subject the later one
//! stays. A lock on the directory itself would need no file, but NFS refuses it.

mod document;
mod look;
mod write;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use gatepass_api::revocation::{Revocation, RevocationSpec};

use super::Revocations;
use super::store::{Existing, WriteError};
use crate::routes::Clock;
use look::Followed;
use write::{Ifs, Written};

pub use document::Fault;

/// How often the directory is looked at: a part of the two seconds that a revocation may take.
const POLL: Duration = Duration::from_millis(250);
/// How long a writer waits for another.
const LOCK_DEADLINE: Duration = Duration::from_secs(5);
/// How often it tries.
const LOCK_RETRY: Duration = Duration::from_millis(10);

/// A directory of documents.
#[derive(Clone)]
pub struct Directory {
    path: Arc<Path>,
    followed: Arc<Mutex<Followed>>,
    /// Writers of this process queue here, so that at most one of them tries for the lock again and again.
    writing: Arc<tokio::sync::Mutex<()>>,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Directory").field(&self.path).finish()
    }
}

/// What a directory holds.
#[derive(Debug, Default)]
pub struct Listing {
    /// By name.
    pub documents: Vec<Revocation>,
    /// Files that are no documents, and why.
    pub faults: BTreeMap<OsString, Fault>,
}

impl Directory {
    /// The directory at `path`.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path: path.into(),
            followed: Arc::default(),
            writing: Arc::default(),
        }
    }

    /// Keeps a document; it is kept for good, and in force here, when this returns.
    pub async fn put(&self, name: &str, spec: &RevocationSpec, existing: Existing) -> Result<(), WriteError> {
        let ifs = match existing {
            Existing::Leave => Ifs::Leave,
            Existing::Replace => Ifs::Extend,
        };
        self.write(name, spec, ifs).await.map(|_| ())
    }

    /// Keeps a new document; false if there is one of that name.
    pub async fn create(&self, name: &str, spec: &RevocationSpec) -> Result<bool, WriteError> {
        Ok(self.write(name, spec, Ifs::Refuse).await? == Written::Yes)
    }

    async fn write(&self, name: &str, spec: &RevocationSpec, ifs: Ifs) -> Result<Written, WriteError> {
        let (name, spec) = (name.to_owned(), spec.clone());
        self.locked(move |path, followed| {
            lock(followed).device_unless_unmounted(path)?;
            let written = write::put(path, &name, &spec, ifs)?;
            look_again(followed, path, document::files(&name));
            Ok(written)
        })
        .await
    }

    /// Takes the document of that name away; false if there is none.
    pub async fn remove(&self, name: &str) -> Result<bool, WriteError> {
        let name = name.to_owned();
        self.locked(move |path, followed| {
            let removed = write::remove(path, &name)?;
            look_again(followed, path, document::files(&name));
            Ok(removed)
        })
        .await
    }

    /// Takes away what has ended at `now`, and what killed writers have left; says how many documents went.
    ///
    /// The revocation of a session that says no end stands for `session_max` seconds.
    pub async fn sweep(&self, now: i64, session_max: i64) -> Result<usize, WriteError> {
        self.locked(move |path, followed| {
            let swept = write::sweep(path, now, session_max)?;
            let count = swept.len();
            look_again(followed, path, swept);
            Ok(count)
        })
        .await
    }

    /// All documents, in the order of their names.
    pub fn list(&self) -> io::Result<Listing> {
        let mut listing = Listing::default();
        for file in look::entries(&self.path)?.documents {
            match document::load(&self.path, &file) {
                Ok((_, document)) => listing.documents.push(document),
                Err(Fault::Gone) => {}
                Err(fault) => drop(listing.faults.insert(file, fault)),
            }
        }
        listing
            .documents
            .sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        Ok(listing)
    }

    /// Does `work` as the only writer.
    async fn locked<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path, &Mutex<Followed>) -> io::Result<T> + Send + 'static,
    ) -> Result<T, WriteError> {
        let failed = |error: io::Error| WriteError(format!("{}: {error}", self.path.display()));
        let _queue = self.writing.lock().await;
        let lock = tokio::time::timeout(LOCK_DEADLINE, self.lock())
            .await
            .map_err(|_| {
                let seconds = LOCK_DEADLINE.as_secs();
                WriteError(format!(
                    "{}: another process has been writing for {seconds} s; is it stopped?",
                    self.path.display()
                ))
            })?
            .map_err(failed)?;
        let (path, followed) = (Arc::clone(&self.path), Arc::clone(&self.followed));
        // A request that goes away does not stop this in the middle.
        blocking(move || {
            let done = work(&path, &followed);
            drop(lock);
            done
        })
        .await
        .map_err(failed)
    }

    async fn lock(&self) -> io::Result<File> {
        loop {
            let path = Arc::clone(&self.path);
            if let Some(lock) = blocking(move || write::try_lock(&path)).await? {
                return Ok(lock);
            }
            tokio::time::sleep(LOCK_RETRY).await;
        }
    }

    pub(super) async fn follow(&self, revocations: &Arc<Revocations>, clock: &Clock) {
        lock(&self.followed).begin(Arc::clone(revocations));
        let mut said = None;
        loop {
            let begun = Instant::now();
            // What is true of the directory when a look begins is known when it ends, and not the other way round.
            let now = clock();
            let (path, followed) = (Arc::clone(&self.path), Arc::clone(&self.followed));
            match blocking(move || lock(&followed).look(&path)).await {
                Ok(()) => {
                    revocations.in_contact(now);
                    if said.take().is_some() {
                        tracing::info!(directory = %self.path.display(), "the revocations can be read again");
                    }
                }
                Err(error) => {
                    let error = error.to_string();
                    if said.as_ref() != Some(&error) {
                        tracing::error!(
                            error, directory = %self.path.display(),
                            "cannot read the revocations: what was known before stays; make or mount the directory"
                        );
                        said = Some(error);
                    }
                }
            }
            // Of a directory that takes long to look at, no more than half of a processor's time.
            tokio::time::sleep(POLL.max(begun.elapsed())).await;
        }
    }
}

fn look_again(followed: &Mutex<Followed>, path: &Path, files: impl IntoIterator<Item = OsString>) {
    let mut followed = lock(followed);
    for file in files {
        followed.look_at(path, file);
    }
}

fn lock(followed: &Mutex<Followed>) -> MutexGuard<'_, Followed> {
    followed.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Disks and network mounts may take their time.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod tests;
