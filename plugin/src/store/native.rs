//! The keyrings of macOS (Keychain) and Windows (Credential Manager), by keyring-core's own stores, under our deadline.
//!
//! Compiled for both, and not yet run on either.

use std::{any::Any, collections::HashMap, sync::Arc, time::Duration};

use keyring_core::{
    CredentialStore, Entry,
    api::{CredentialApi, CredentialStoreApi},
};
use zeroize::Zeroizing;

use super::{Result, StoreError, deadline::Deadline};

#[cfg(target_os = "macos")]
mod platform {
    use super::*;

    pub(in super::super) const NAME: &str = "the macOS keychain";
    pub(super) const MODIFIERS: [(&str, &str); 0] = [];
    pub(super) const SEARCH: (&str, &str) = (super::super::SERVICE, super::super::APPLICATION);

    pub(super) fn open() -> Result<Arc<CredentialStore>> {
        Ok(apple_native_keyring_store::keychain::Store::new()?)
    }
}

#[cfg(windows)]
mod platform {
    use super::*;
    use crate::store::split::SplitStore;

    pub(in super::super) const NAME: &str = "the Windows Credential Manager";
    /// The default would roam: a session belongs to one machine.
    pub(super) const MODIFIERS: [(&str, &str); 1] = [("persistence", "Local")];
    /// Entries are called `<user>.<service>`.
    pub(super) const SEARCH: (&str, &str) = ("pattern", r"\.gatepass$");
    /// `CRED_MAX_CREDENTIAL_BLOB_SIZE`.
    const LONGEST: usize = 2560;

    pub(super) fn open() -> Result<Arc<CredentialStore>> {
        Ok(Arc::new(SplitStore::new(
            windows_native_keyring_store::Store::new()?,
            LONGEST,
        )))
    }
}

pub(super) use platform::NAME;

/// The platform's store; every call ends at the deadline, because the platform may ask a person.
#[derive(Debug)]
pub(super) struct NativeStore {
    inner: Arc<CredentialStore>,
    deadline: Arc<Deadline>,
}

impl NativeStore {
    pub(super) fn open(limit: Duration) -> Result<Self, StoreError> {
        let inner = platform::open().map_err(|error| StoreError::from_keyring(error, NAME))?;
        Ok(Self {
            inner,
            deadline: Arc::new(Deadline::new(limit)),
        })
    }
}

impl CredentialStoreApi for NativeStore {
    fn vendor(&self) -> String {
        self.inner.vendor()
    }

    fn id(&self) -> String {
        self.inner.id()
    }

    /// Our modifiers are left out: these stores know neither an end nor a label, and refuse what they do not know.
    fn build(&self, service: &str, user: &str, _: Option<&HashMap<&str, &str>>) -> Result<Entry> {
        let entry = self
            .inner
            .build(service, user, Some(&HashMap::from(platform::MODIFIERS)))?;
        let deadline = Arc::clone(&self.deadline);
        Ok(Entry::new_with_credential(Arc::new(NativeEntry {
            entry: Arc::new(entry),
            deadline,
        })))
    }

    fn search(&self, _: &HashMap<&str, &str>) -> Result<Vec<Entry>> {
        let inner = Arc::clone(&self.inner);
        self.deadline
            .run(move |_| Ok(inner.search(&HashMap::from([platform::SEARCH]))))?
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[derive(Debug)]
struct NativeEntry {
    entry: Arc<Entry>,
    deadline: Arc<Deadline>,
}

impl NativeEntry {
    fn run<T: Send + 'static>(&self, work: impl FnOnce(&Entry) -> Result<T> + Send + 'static) -> Result<T> {
        let entry = Arc::clone(&self.entry);
        self.deadline.run(move |_| Ok(work(&entry)))?
    }
}

impl CredentialApi for NativeEntry {
    fn set_secret(&self, secret: &[u8]) -> Result<()> {
        let secret = Zeroizing::new(secret.to_vec());
        self.run(move |entry| entry.set_secret(&secret))
    }

    fn get_secret(&self) -> Result<Vec<u8>> {
        let mut secret = self.run(|entry| entry.get_secret().map(Zeroizing::new))?;
        Ok(std::mem::take(&mut *secret))
    }

    fn delete_credential(&self) -> Result<()> {
        self.run(Entry::delete_credential)
    }

    fn get_credential(&self) -> Result<Option<Arc<keyring_core::Credential>>> {
        self.run(|entry| entry.get_credential().map(|_| None))
    }

    fn get_specifiers(&self) -> Option<(String, String)> {
        self.entry.get_specifiers()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
