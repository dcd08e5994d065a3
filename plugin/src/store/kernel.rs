//! The kernel's user keyring: gone at the latest when the machine restarts, and earlier where an entry has an end.

use std::{
    any::Any,
    collections::{BTreeSet, HashMap},
    fs,
    sync::Arc,
    time::Duration,
};

use keyring_core::{
    CredentialPersistence, Entry, Error,
    api::{CredentialApi, CredentialStoreApi},
};
use linux_keyutils::{Key, KeyError, KeyPermissionsBuilder, KeyRing, KeyRingIdentifier, Permission};
use zeroize::Zeroizing;

use super::{EXPIRES_IN, Result, SERVICE, StoreError};

pub(super) const NAME: &str = "the kernel keyring";

/// Entries in `@u`, which every process of this user shares.
#[derive(Debug)]
pub(super) struct KernelStore;

impl CredentialStoreApi for KernelStore {
    fn vendor(&self) -> String {
        "Linux kernel".into()
    }

    fn id(&self) -> String {
        "user keyring".into()
    }

    /// The modifier `expires-in` (whole seconds) makes the kernel forget what is set.
    fn build(&self, service: &str, user: &str, modifiers: Option<&HashMap<&str, &str>>) -> Result<Entry> {
        let expires_in = match modifiers.and_then(|modifiers| modifiers.get(EXPIRES_IN)) {
            None => None,
            Some(text) => {
                let seconds = text
                    .parse()
                    .map_err(|_| Error::Invalid(EXPIRES_IN.into(), (*text).into()))?;
                Some(Duration::from_secs(seconds))
            }
        };
        Ok(Entry::new_with_credential(Arc::new(KernelEntry::new(
            service, user, expires_in,
        ))))
    }

    /// Entries of `service`. The list is read from procfs: the crate's own panics on any program's key with a long name.
    fn search(&self, spec: &HashMap<&str, &str>) -> Result<Vec<Entry>> {
        let service = spec.get(SERVICE).copied().unwrap_or_default();
        let keys = fs::read_to_string("/proc/keys").unwrap_or_default();
        // Keys that were deleted, replaced or have ended stay listed until the kernel collects them.
        let users: BTreeSet<_> = keys.lines().filter_map(|line| user_of(line, service)).collect();
        let entries = users
            .into_iter()
            .map(|user| KernelEntry::new(service, user, None));
        let live = entries.filter(|entry| entry.find().is_ok());
        Ok(live
            .map(|entry| Entry::new_with_credential(Arc::new(entry)))
            .collect())
    }

    fn persistence(&self) -> CredentialPersistence {
        CredentialPersistence::UntilReboot
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The user of `service` that a line of `/proc/keys` names: nine columns, the last of them `description: length`.
fn user_of<'a>(line: &'a str, service: &str) -> Option<&'a str> {
    let mut columns = line.split_ascii_whitespace().skip(7);
    if columns.next() != Some("user") {
        return None;
    }
    columns
        .next()?
        .strip_suffix(':')?
        .strip_prefix(service)?
        .strip_prefix(':')
}

#[derive(Debug)]
struct KernelEntry {
    service: String,
    user: String,
    expires_in: Option<Duration>,
}

impl KernelEntry {
    fn new(service: &str, user: &str, expires_in: Option<Duration>) -> Self {
        Self {
            service: service.into(),
            user: user.into(),
            expires_in,
        }
    }

    fn description(&self) -> String {
        format!("{}:{}", self.service, self.user)
    }

    fn find(&self) -> Result<Key, KeyError> {
        user_keyring()?.search(&self.description())
    }
}

impl CredentialApi for KernelEntry {
    /// A crash leaves the old value or the new one, never one without its end: the key is finished in the thread's own
    /// keyring, and linking it into the user's displaces the old key in one step.
    fn set_secret(&self, secret: &[u8]) -> Result<()> {
        if secret.is_empty() || secret.len() > MAX_PAYLOAD {
            return Err(StoreError::TooLong {
                store: NAME,
                bytes: secret.len(),
            }
            .into());
        }
        let put = || {
            let user = user_keyring()?;
            let thread = KeyRing::from_special_id(KeyRingIdentifier::Thread, true)?;
            let key = thread.add_key(&self.description(), secret)?;
            let linked = finish(key, self.expires_in).and_then(|()| user.link_key(key));
            let unlinked = thread.unlink_key(key);
            linked.and(unlinked)
        };
        put().map_err(error)
    }

    fn get_secret(&self) -> Result<Vec<u8>> {
        let key = self.find().map_err(error)?;
        match read(key) {
            // In a session without `@u` only possession opens keys that other programs of this user have put there.
            Err(KeyError::AccessDenied) => possess_user_keyring().and_then(|()| read(key)),
            other => other,
        }
        .map_err(error)
    }

    fn delete_credential(&self) -> Result<()> {
        self.find()
            .and_then(|key| user_keyring()?.unlink_key(key))
            .map_err(error)
    }

    fn get_credential(&self) -> Result<Option<Arc<keyring_core::Credential>>> {
        self.find().map(|_| None).map_err(error)
    }

    fn get_specifiers(&self) -> Option<(String, String)> {
        Some((self.service.clone(), self.user.clone()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What a `user` key holds at most, see user-keyring(7).
const MAX_PAYLOAD: usize = 32_767;

fn user_keyring() -> Result<KeyRing, KeyError> {
    KeyRing::from_special_id(KeyRingIdentifier::User, false)
}

fn possess_user_keyring() -> Result<(), KeyError> {
    KeyRing::from_special_id(KeyRingIdentifier::Thread, true)?.link_keyring(user_keyring()?)
}

fn finish(key: Key, expires_in: Option<Duration>) -> Result<(), KeyError> {
    if let Some(expires_in) = expires_in {
        // Zero would mean for ever; the kernel reads 32 bits.
        let seconds = u32::try_from(expires_in.as_secs()).unwrap_or(u32::MAX).max(1);
        key.set_timeout(usize::try_from(seconds).unwrap_or(usize::MAX))?;
    }
    // Any process of the same user could link `@u` and possess the key: letting it read at once gives nothing away, and
    // spares sessions without `@u` (cron, su, containers) the link.
    let user = Permission::VIEW | Permission::READ | Permission::SEARCH;
    key.set_perms(
        KeyPermissionsBuilder::builder()
            .posessor(Permission::ALL)
            .user(user)
            .build(),
    )
}

fn read(key: Key) -> Result<Vec<u8>, KeyError> {
    let mut buffer = Zeroizing::new(vec![0; 8 * 1024]);
    loop {
        let length = key.read(&mut buffer)?;
        if length <= buffer.len() {
            buffer.truncate(length);
            return Ok(std::mem::take(&mut buffer));
        }
        buffer = Zeroizing::new(vec![0; length]);
    }
}

fn error(error: KeyError) -> Error {
    // 38: ENOSYS, which the crate has no name for.
    match error {
        KeyError::KeyDoesNotExist | KeyError::KeyExpired | KeyError::KeyRevoked => Error::NoEntry,
        KeyError::AccessDenied | KeyError::PermissionDenied => StoreError::Denied { store: NAME }.into(),
        KeyError::QuotaExceeded => StoreError::Full { store: NAME }.into(),
        KeyError::OperationNotSupported | KeyError::Unknown(38) => StoreError::Unsupported {
            store: "kernel keyring",
        }
        .into(),
        other => StoreError::Failed {
            store: NAME,
            reason: format!("{other:?}"),
        }
        .into(),
    }
}

#[cfg(test)]
mod tests;
