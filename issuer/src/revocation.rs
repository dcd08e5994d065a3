//! Revocations: what is denied although it was signed, and what is not issued any more.
//!
//! A store keeps the documents, every replica follows it and holds a [`View`] in memory, and both the authorization
//! webhook and issuance ask that view. Login times are compared, not times of issue: a replica that learns late has
//! no window in which it could sign something that is not denied.

pub mod command;
pub mod directory;
pub mod kubernetes;
pub mod staleness;
pub mod store;
pub mod sweep;
mod view;

use std::sync::RwLock;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use gatepass_api::revocation::{RevocationSpec, TargetError};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub use view::{Denial, Holder, Login, Refused, View};

/// A view that is older than this many seconds is stale.
pub const MAX_AGE: i64 = 10;

/// What happens when the store cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Goes on with what is known, and says so.
    BestEffort,
    /// Decides and issues nothing by a stale view.
    Strict,
}

/// The view cannot be used: it is too old under [`Mode::Strict`], or there was none yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// The store was never read.
    #[error("the revocations were not read yet")]
    Never,
    /// Seconds since the store was last followed.
    #[error("the view of revocations is {0} s old")]
    Old(i64),
}

/// Why a document revokes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The target.
    #[error("spec.target: {0}")]
    Target(#[from] TargetError),
    /// A time.
    #[error("spec.{0} is not an RFC 3339 time")]
    Time(&'static str),
    /// No login time to compare with, and no time of creation.
    #[error("spec.loggedInBefore is missing, and a file has no time of creation that could stand for it")]
    NoLoginTime,
    /// The reason is too long.
    #[error("spec.reason is longer than 1 KiB")]
    Reason,
    /// Nobody presents a credential ID to be issued another.
    #[error("spec.blockIssuance means nothing for a credential ID: revoke its session or user")]
    BlockedCredential,
}

/// A document that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked<'a> {
    spec: &'a RevocationSpec,
    logged_in_before: i64,
    expires_at: Option<i64>,
}

impl<'a> Checked<'a> {
    /// Checks a document; `created` is its time of creation by the store's clock, in Unix seconds.
    pub fn new(spec: &'a RevocationSpec, created: Option<i64>) -> Result<Self, SpecError> {
        use gatepass_api::revocation::{MAX_REASON, Target};
        spec.target.check()?;
        if spec
            .reason
            .as_ref()
            .is_some_and(|reason| reason.len() > MAX_REASON)
        {
            return Err(SpecError::Reason);
        }
        if spec.block_issuance && matches!(spec.target, Target::CredentialId(_)) {
            return Err(SpecError::BlockedCredential);
        }
        let time = |text: &Option<String>, name| {
            text.as_deref()
                .map(|text| unix(text).ok_or(SpecError::Time(name)))
                .transpose()
        };
        let before = time(&spec.logged_in_before, "loggedInBefore")?;
        Ok(Self {
            spec,
            logged_in_before: before.or(created).ok_or(SpecError::NoLoginTime)?,
            expires_at: time(&spec.expires_at, "expiresAt")?,
        })
    }

    /// When it ends, in Unix seconds; `None` if it stands until somebody takes it away.
    pub fn expires_at(&self) -> Option<i64> {
        self.expires_at
    }

    /// Up to which login time it denies, without the leeway, in Unix seconds.
    pub fn logged_in_before(&self) -> i64 {
        self.logged_in_before
    }
}

/// RFC 3339 → Unix seconds.
pub fn unix(text: &str) -> Option<i64> {
    OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .map(OffsetDateTime::unix_timestamp)
}

/// What this replica knows, and how old that is.
#[derive(Debug)]
pub struct Revocations {
    mode: Mode,
    view: RwLock<View>,
    /// Unix seconds; [`NEVER`] before the first time.
    contact: AtomicI64,
    problems: AtomicUsize,
}

const NEVER: i64 = i64::MIN;

impl Revocations {
    /// Nothing known yet.
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            view: RwLock::default(),
            contact: AtomicI64::new(NEVER),
            problems: AtomicUsize::new(0),
        }
    }

    /// What happens when the store cannot be followed.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The view, to be asked; or that it must not be.
    ///
    /// A view that never was is no empty one: a replica that starts while it cannot reach the store would otherwise
    /// forget all that was ever revoked.
    pub fn ask<T>(&self, now: i64, ask: impl FnOnce(&View) -> T) -> Result<T, Stale> {
        let age = self.age(now).ok_or(Stale::Never)?;
        if self.mode == Mode::Strict && age > MAX_AGE {
            return Err(Stale::Old(age));
        }
        Ok(ask(&self
            .view
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner())))
    }

    /// Seconds since the store was last followed; `None` before the first time.
    ///
    /// A clock that was put back says nothing about how long ago that was: the view is as old as the clock went back, until the
    /// store is followed by the new time. Else one that is cut off would pass for new all that while.
    pub fn age(&self, now: i64) -> Option<i64> {
        match self.contact.load(Ordering::Acquire) {
            NEVER => None,
            at => Some(now.saturating_sub(at).saturating_abs()),
        }
    }

    /// How many revocations there are, those that have ended included until they are swept away.
    pub fn len(&self) -> usize {
        self.view
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Documents in the store that are not in force, because they cannot be read or mean nothing.
    pub fn problems(&self) -> usize {
        self.problems.load(Ordering::Relaxed)
    }

    /// Notes how many those are.
    pub fn set_problems(&self, problems: usize) {
        self.problems.store(problems, Ordering::Relaxed);
    }

    /// Whether a certificate is revoked by its credential ID, as far as is known: for whoever looks back at what was done
    /// already, a view that is old is better than none.
    pub fn is_known_bad(&self, credential_id: &str, now: i64) -> bool {
        self.view
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .denies_credential(credential_id, now)
            .is_some()
    }

    /// Changes what is known.
    pub fn change(&self, change: impl FnOnce(&mut View)) {
        change(&mut self.view.write().unwrap_or_else(|poisoned| poisoned.into_inner()));
    }

    /// Notes that the view is what the store holds at `now`, in Unix seconds.
    pub fn in_contact(&self, now: i64) {
        self.contact.store(now, Ordering::Release);
    }
}

#[cfg(test)]
mod tests;
