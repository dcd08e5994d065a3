//! Where secrets rest: the minutes-long credential of each cluster, the session of each identity provider, and the key of an
//! open break-glass window.
//!
//! Every place is a store behind keyring-core's interface: the kernel's keyring and the Secret Service (`kernel`,
//! `secret_service`) and plain files (`file`) are ours, because the ready-made ones unlock while reading, have no
//! deadline and no expiry; macOS and Windows bring keyring-core's own.

mod deadline;
mod error;
mod file;
#[cfg(target_os = "linux")]
mod kernel;
mod key;
#[cfg(any(target_os = "macos", windows))]
mod native;
#[cfg(target_os = "linux")]
mod secret_service;
#[cfg(any(windows, test))]
mod split;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use keyring_core::{CredentialStore, Entry as Handle, Error};
use zeroize::Zeroizing;

pub use error::StoreError;
pub use key::{Entry, SessionName};

/// Where secrets rest, as configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// The credential in the kernel's keyring where that is allowed, all else in the keyring of the desktop.
    Keyring,
    /// Everything in the kernel's keyring: gone when the machine restarts.
    Kernel,
    /// Everything in files that only their owner can read.
    File,
}

/// How long a keyring is waited for when nothing else is said.
pub const DEADLINE: Duration = Duration::from_secs(3);

/// Secrets of one home.
#[derive(Debug)]
pub struct Store {
    state_dir: PathBuf,
    /// Where credentials rest, first choice first.
    credentials: Vec<Place>,
    sessions: Place,
    /// The way out that a person was told last.
    told: Mutex<Option<String>>,
}

#[derive(Debug, Clone)]
struct Place {
    words: &'static str,
    store: Arc<CredentialStore>,
}

/// A secret, and where it was found.
pub struct Found {
    /// The secret.
    pub secret: Zeroizing<Vec<u8>>,
    /// Where it was, in words for people.
    pub place: &'static str,
}

impl Store {
    /// Opens nothing yet: places are looked at when an entry is asked for. `kernel_allowed` says whether
    /// [`StoreKind::Keyring`] may use the kernel's keyring, which user id 0 shares with every container; `deadline` ends
    /// every call that could hang.
    pub fn new(
        kind: StoreKind,
        kernel_allowed: bool,
        state_dir: &Path,
        deadline: Duration,
    ) -> Result<Self, StoreError> {
        let state_dir = state_dir.to_owned();
        let (credentials, sessions) = match kind {
            StoreKind::Keyring => {
                let desktop = desktop(deadline)?;
                let kernel = if kernel_allowed { kernel().ok() } else { None };
                (kernel.into_iter().chain([desktop.clone()]).collect(), desktop)
            }
            StoreKind::Kernel => {
                let kernel = kernel()?;
                (vec![kernel.clone()], kernel)
            }
            StoreKind::File => {
                let files = Place {
                    words: file::NAME,
                    store: Arc::new(file::FileStore::new(state_dir.join("secrets"))),
                };
                (vec![files.clone()], files)
            }
        };
        Ok(Self {
            state_dir,
            credentials,
            sessions,
            told: Mutex::new(None),
        })
    }

    /// Whether a person was told the way out of this fault before; from now on they were.
    pub fn told(&self, error: &StoreError) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let hint = error.hint();
        let known = told.as_ref() == Some(&hint);
        *told = Some(hint);
        known
    }

    /// The secret of an entry; `None` if there is none.
    pub fn load(&self, entry: &Entry<'_>) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        Ok(self.find(entry)?.map(|found| found.secret))
    }

    /// Like [`Store::load`], and says where it was.
    ///
    /// A second place is looked at only when the first has nothing, so a credential that the kernel holds costs nothing
    /// else.
    pub fn find(&self, entry: &Entry<'_>) -> Result<Option<Found>, StoreError> {
        for place in self.places(entry) {
            match self.handle(place, entry, None)?.get_secret() {
                Ok(secret) => {
                    return Ok(Some(Found {
                        secret: Zeroizing::new(secret),
                        place: place.words,
                    }));
                }
                Err(Error::NoEntry) => {}
                Err(error) => match StoreError::from_keyring(error, place.words) {
                    error if error.falls_through() && !self.is_last(place, entry) => {
                        tracing::debug!(%error, "looking for the credential in the next place");
                    }
                    error => return Err(error),
                },
            }
        }
        Ok(None)
    }

    /// Stores a secret in place of the old one. The kernel forgets it after `expires_in`.
    pub fn save(
        &self,
        entry: &Entry<'_>,
        secret: &[u8],
        expires_in: Option<Duration>,
    ) -> Result<(), StoreError> {
        for place in self.places(entry) {
            match self.handle(place, entry, expires_in)?.set_secret(secret) {
                Ok(()) => return Ok(()),
                Err(error) => match StoreError::from_keyring(error, place.words) {
                    error if error.falls_through() && !self.is_last(place, entry) => {
                        // What the first place still holds would hide what the second is given.
                        let _ = self.handle(place, entry, None)?.delete_credential();
                        tracing::debug!(%error, "storing the credential in the next place");
                    }
                    error => return Err(error),
                },
            }
        }
        Ok(())
    }

    /// Deletes an entry wherever it is; says whether there was one.
    pub fn delete(&self, entry: &Entry<'_>) -> Result<bool, StoreError> {
        let mut deleted = false;
        let mut fault = None;
        for place in self.places(entry) {
            match self.handle(place, entry, None)?.delete_credential() {
                Ok(()) => deleted = true,
                Err(Error::NoEntry) => {}
                Err(error) => match StoreError::from_keyring(error, place.words) {
                    // Where nothing can be stored, nothing is.
                    error if error.falls_through() && !self.is_last(place, entry) => {}
                    error => fault = Some(error),
                },
            }
        }
        fault.map_or(Ok(deleted), Err)
    }

    /// The sessions of this home.
    pub fn sessions(&self) -> Result<Vec<SessionName>, StoreError> {
        let found = self
            .sessions
            .store
            .search(&HashMap::from([(SERVICE, APPLICATION)]));
        let entries = match found {
            Ok(entries) => entries,
            Err(Error::NoEntry) => Vec::new(),
            Err(error) => return Err(StoreError::from_keyring(error, self.sessions.words)),
        };
        let keys = entries.iter().filter_map(Handle::get_specifiers);
        let mut names: Vec<_> = keys
            .filter_map(|(_, key)| key::session(&key, &self.state_dir))
            .collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn places(&self, entry: &Entry<'_>) -> &[Place] {
        match entry {
            // Both end within the hour.
            Entry::Credential { .. } | Entry::BreakGlass { .. } => &self.credentials,
            Entry::Session { .. } | Entry::Trial => std::slice::from_ref(&self.sessions),
        }
    }

    fn is_last(&self, place: &Place, entry: &Entry<'_>) -> bool {
        self.places(entry)
            .last()
            .is_some_and(|last| Arc::ptr_eq(&last.store, &place.store))
    }

    fn handle(
        &self,
        place: &Place,
        entry: &Entry<'_>,
        expires_in: Option<Duration>,
    ) -> Result<Handle, StoreError> {
        let label = entry.label();
        let seconds = expires_in.map(|expires_in| expires_in.as_secs().to_string());
        let mut modifiers = HashMap::from([(LABEL, label.as_str())]);
        if let Some(seconds) = &seconds {
            modifiers.insert(EXPIRES_IN, seconds);
        }
        let key = entry.key(&self.state_dir);
        let built = place.store.build(APPLICATION, &key, Some(&modifiers));
        built.map_err(|error| StoreError::from_keyring(error, place.words))
    }
}

/// What keyring-core's interface returns.
type Result<T, E = Error> = std::result::Result<T, E>;

/// The attribute, and its value, by which `secret-tool` finds what is ours.
const SERVICE: &str = "service";
const APPLICATION: &str = "gatepass";
/// Modifiers that our stores know.
const LABEL: &str = "label";
const EXPIRES_IN: &str = "expires-in";

#[cfg(target_os = "linux")]
fn kernel() -> Result<Place, StoreError> {
    Ok(Place {
        words: kernel::NAME,
        store: Arc::new(kernel::KernelStore),
    })
}

#[cfg(not(target_os = "linux"))]
fn kernel() -> Result<Place, StoreError> {
    Err(StoreError::Unsupported {
        store: "kernel keyring",
    })
}

#[cfg(target_os = "linux")]
fn desktop(deadline: Duration) -> Result<Place, StoreError> {
    let store = secret_service::SecretServiceStore::new(deadline);
    Ok(Place {
        words: secret_service::NAME,
        store: Arc::new(store),
    })
}

#[cfg(any(target_os = "macos", windows))]
fn desktop(deadline: Duration) -> Result<Place, StoreError> {
    let store = native::NativeStore::open(deadline)?;
    Ok(Place {
        words: native::NAME,
        store: Arc::new(store),
    })
}

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
fn desktop(_: Duration) -> Result<Place, StoreError> {
    Err(StoreError::Unsupported { store: "keyring" })
}

#[cfg(test)]
mod tests;
