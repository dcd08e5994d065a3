//! Advisory locks, so that fifty processes refresh a session once, ask one person once and get one certificate.
//!
//! Who takes several takes them in this order: `login`, `issue`, `refresh`. That of break-glass windows is held for a few writes
//! of files, and nothing else is waited for meanwhile.
//!
//! They are locks on empty files, which the kernel lets go when a process ends, however it ends. The files stay: deleting
//! one while somebody waits for it would make two of it.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::PathBuf,
    sync::mpsc,
    thread,
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use tokio::sync::oneshot;

use crate::{
    paths::{PathsError, create_private_dir},
    store::Entry,
};

/// What a lock is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Refreshing the session at its identity provider, and changing what is kept of it; never held while a person or an
    /// issuer is asked.
    Refresh,
    /// Getting a certificate from one issuer. Not the session's lock: an issuer that does not answer must not keep the
    /// clusters of others waiting.
    Issue,
    /// Asking the person; the others wait for the result.
    Login,
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else holds it for too long.
    #[error("another process has held the lock {path} for {} s", .after.as_secs_f32(), path = path.display())]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// How long we waited.
        after: Duration,
    },
    /// The lock file cannot be used.
    #[error("cannot lock {path}: {source}", path = path.display())]
    Unusable {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory of lock files cannot be used.
    #[error(transparent)]
    Directory(#[from] PathsError),
}

/// The locks of one home.
#[derive(Debug, Clone)]
pub struct Locks {
    dir: PathBuf,
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
#[must_use = "the lock is let go when this is dropped"]
pub struct Guard(File);

impl Drop for Guard {
    /// Closing would do, were it not for a program that another thread is just starting: until it runs it has our files
    /// too. (Then it does not: Rust opens files close-on-exec.)
    fn drop(&mut self) {
        // What cannot be unlocked is unlocked when the file is closed, right after.
        let _ = self.0.unlock();
    }
}

impl Locks {
    /// Nothing is made before the first lock is taken.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Takes a lock if nobody holds it.
    pub fn try_acquire(&self, entry: &Entry<'_>, purpose: Purpose) -> Result<Option<Guard>, LockError> {
        let (path, file) = self.open(entry, purpose)?;
        try_lock(file).map_err(|source| LockError::Unusable { path, source })
    }

    /// Takes a lock as soon as it is free, waiting at most for `patience`.
    pub async fn acquire(
        &self,
        entry: &Entry<'_>,
        purpose: Purpose,
        patience: Duration,
    ) -> Result<Guard, LockError> {
        if let Some(guard) = self.try_acquire(entry, purpose)? {
            return Ok(guard);
        }
        let (path, file) = self.open(entry, purpose)?;
        let (give, taken) = oneshot::channel();
        // Only a blocking call wakes up the moment the lock is free. It has a thread of its own, because a runtime waits
        // for its blocking tasks when it ends; after the deadline the guard is given to nobody, which unlocks it.
        let wait = move || drop(give.send(lock(file)));
        let unusable = |source| LockError::Unusable {
            path: path.clone(),
            source,
        };
        thread::Builder::new()
            .name("lock".into())
            .spawn(wait)
            .map_err(unusable)?;
        match tokio::time::timeout(patience, taken).await {
            Ok(Ok(guard)) => guard.map_err(unusable),
            Ok(Err(_)) => Err(unusable(io::Error::other("its thread ended"))),
            Err(_) => Err(LockError::Busy {
                path,
                after: patience,
            }),
        }
    }

    fn open(&self, entry: &Entry<'_>, purpose: Purpose) -> Result<(PathBuf, File), LockError> {
        create_private_dir(&self.dir)?;
        let purpose = match purpose {
            Purpose::Refresh => "refresh",
            Purpose::Issue => "issue",
            Purpose::Login => "login",
        };
        // A digest, because names of files are shorter than URLs can be.
        let name = HEXLOWER.encode(digest(&SHA256, entry.key(&self.dir).as_bytes()).as_ref());
        let path = self.dir.join(format!("{name}.{purpose}"));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&path) {
            Ok(file) => Ok((path, file)),
            Err(source) => Err(LockError::Unusable { path, source }),
        }
    }
}

/// Locks a file if nobody holds it.
pub(crate) fn try_lock(file: File) -> io::Result<Option<Guard>> {
    match file.try_lock() {
        Ok(()) => Ok(Some(Guard(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(source),
    }
}

/// Locks a file that nobody holds for longer than a write takes; whoever holds it longer was stopped.
pub(crate) fn lock_within(file: File, patience: Duration) -> io::Result<Guard> {
    let (give, taken) = mpsc::sync_channel(0);
    // As in `Locks::acquire`: after the deadline the guard is given to nobody.
    let wait = move || drop(give.send(lock(file)));
    thread::Builder::new().name("lock".into()).spawn(wait)?;
    let late = |_| {
        let reason = "another process has held the lock beside it for too long; see whether one hangs";
        io::Error::new(io::ErrorKind::TimedOut, reason)
    };
    taken.recv_timeout(patience).map_err(late)?
}

fn lock(file: File) -> io::Result<Guard> {
    loop {
        match file.lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            locked => return locked.map(|()| Guard(file)),
        }
    }
}

#[cfg(test)]
mod tests;
