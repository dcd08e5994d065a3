//! The desktop's keyring: the Secret Service on the session bus (gnome-keyring, KWallet, KeePassXC).
//!
//! Nothing here asks anybody anything: what is locked is said to be locked. The session with the keyring is a plain one:
//! encrypting it costs 10 ms of big-number arithmetic, and any process of the same user that could watch the bus may ask
//! the keyring for the secret as well.

use std::{
    any::Any,
    cmp::Reverse,
    collections::HashMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use dbus_secret_service::{EncryptionType, Error as Fault, Item, SecretService};
use keyring_core::{
    Entry, Error,
    api::{CredentialApi, CredentialStoreApi},
};
use zeroize::Zeroizing;

use super::{LABEL, Result, SERVICE, StoreError, deadline::Deadline};

pub(super) const NAME: &str = "the Secret Service";

/// Items of the default collection, found by the attributes `service` and `username`.
#[derive(Debug)]
pub(super) struct SecretServiceStore {
    deadline: Arc<Deadline>,
}

impl SecretServiceStore {
    /// No call takes longer than `limit`. Nothing is connected before an entry is used.
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            deadline: Arc::new(Deadline::new(limit)),
        }
    }

    fn entry(&self, service: &str, user: &str, label: Option<&str>) -> Entry {
        Entry::new_with_credential(Arc::new(SecretServiceEntry {
            deadline: Arc::clone(&self.deadline),
            service: service.into(),
            user: user.into(),
            label: label.unwrap_or(user).into(),
        }))
    }
}

impl CredentialStoreApi for SecretServiceStore {
    fn vendor(&self) -> String {
        "freedesktop.org".into()
    }

    fn id(&self) -> String {
        "Secret Service".into()
    }

    /// The modifier `label` is what people see.
    fn build(&self, service: &str, user: &str, modifiers: Option<&HashMap<&str, &str>>) -> Result<Entry> {
        let label = modifiers.and_then(|modifiers| modifiers.get(LABEL)).copied();
        Ok(self.entry(service, user, label))
    }

    fn search(&self, spec: &HashMap<&str, &str>) -> Result<Vec<Entry>> {
        let service = spec.get(SERVICE).copied().unwrap_or_default().to_owned();
        let wanted = service.clone();
        let users = self.deadline.run(move |end| {
            call(end, |keyring| {
                let found = keyring.search_items(HashMap::from([(SERVICE, wanted.as_str())]))?;
                let users = found
                    .unlocked
                    .iter()
                    .chain(&found.locked)
                    .map(|item| Ok(item.get_attributes()?.remove(USERNAME)));
                users.collect::<Result<Vec<_>, Fault>>()
            })
        })?;
        Ok(users
            .iter()
            .flatten()
            .map(|user| self.entry(&service, user, None))
            .collect())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

const USERNAME: &str = "username";

#[derive(Debug)]
struct SecretServiceEntry {
    deadline: Arc<Deadline>,
    service: String,
    user: String,
    label: String,
}

impl SecretServiceEntry {
    /// Runs `work` with the entry's attributes, on the keyring, under the deadline.
    fn run<T: Send + 'static>(
        &self,
        work: impl Fn(&SecretService, HashMap<&str, &str>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T> {
        let (service, user) = (self.service.clone(), self.user.clone());
        let answer = self.deadline.run(move |end| {
            call(end, |keyring| {
                work(
                    keyring,
                    HashMap::from([(SERVICE, service.as_str()), (USERNAME, user.as_str())]),
                )
            })
        });
        Ok(answer?)
    }
}

impl CredentialApi for SecretServiceEntry {
    fn set_secret(&self, secret: &[u8]) -> Result<()> {
        let secret = Zeroizing::new(secret.to_vec());
        let label = self.label.clone();
        self.run(move |keyring, attributes| {
            let collection = keyring.get_default_collection()?;
            if collection.is_locked()? {
                return Err(Fault::Locked);
            }
            // Replacing is one call, so a crash leaves the old value or the new one.
            let kept = collection.create_item(&label, attributes.clone(), &secret, true, "text/plain")?;
            // Another item of this name, in whatever collection, would be taken for ours where it is written later.
            let found = keyring.search_items(attributes)?.unlocked;
            for other in found.iter().filter(|item| item.path != kept.path) {
                if let Err(error) = other.delete() {
                    tracing::debug!(%error, "cannot delete another item of the same name");
                }
            }
            Ok(())
        })
    }

    fn get_secret(&self) -> Result<Vec<u8>> {
        let secret = self.run(|keyring, attributes| {
            let found = keyring.search_items(attributes)?;
            match newest(&found.unlocked)? {
                Some(item) => Ok(Some(Zeroizing::new(item.get_secret()?))),
                None if found.locked.is_empty() => Ok(None),
                None => Err(Fault::Locked),
            }
        })?;
        secret
            .map(|mut secret| std::mem::take(&mut *secret))
            .ok_or(Error::NoEntry)
    }

    fn delete_credential(&self) -> Result<()> {
        let deleted = self.run(|keyring, attributes| {
            let found = keyring.search_items(attributes)?;
            if !found.locked.is_empty() {
                return Err(Fault::Locked);
            }
            found.unlocked.iter().try_for_each(Item::delete)?;
            Ok(!found.unlocked.is_empty())
        })?;
        if deleted { Ok(()) } else { Err(Error::NoEntry) }
    }

    fn get_credential(&self) -> Result<Option<Arc<keyring_core::Credential>>> {
        self.get_secret().map(Zeroizing::new).map(|_| None)
    }

    fn get_specifiers(&self) -> Option<(String, String)> {
        Some((self.service.clone(), self.user.clone()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The item written last. There is one, unless somebody copied it into another collection.
fn newest<'a, 'b>(items: &'a [Item<'b>]) -> Result<Option<&'a Item<'b>>, Fault> {
    match items {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        several => {
            let mut dated = several
                .iter()
                .map(|item| Ok((Reverse(item.get_modified()?), item)))
                .collect::<Result<Vec<_>, Fault>>()?;
            dated.sort_by_key(|(modified, _)| *modified);
            Ok(dated.first().map(|(_, item)| *item))
        }
    }
}

/// Connects and works, again if the keyring ends in the middle: gnome-keyring aborts once in ten thousand calls when
/// several clients open sessions at once, and whoever watches over it starts it again.
fn call<T>(end: Instant, work: impl Fn(&SecretService) -> Result<T, Fault>) -> Result<T, StoreError> {
    let mut was_there = false;
    loop {
        let began = Instant::now();
        // With no time to prompt, dbus-secret-service never prompts (it would print to stdout when it does).
        let keyring = SecretService::connect_with_max_prompt_timeout(EncryptionType::Plain, 0);
        was_there |= keyring.is_ok();
        let fault = match keyring.and_then(|keyring| work(&keyring)) {
            Ok(answer) => return Ok(answer),
            Err(fault) => Trouble::from(&fault),
        };
        was_there |= matches!(fault, Trouble::NoReply);
        let gone = matches!(fault, Trouble::NoReply | Trouble::NoService | Trouble::NoObject);
        let in_time = began.elapsed() < LIBRARY_TIMEOUT && Instant::now() + RESTART < end;
        if !(gone && was_there && in_time) {
            return Err(fault.into());
        }
        thread::park_timeout(RESTART);
    }
}

/// How long dbus-secret-service waits for each answer; then it says the same as when the keyring died.
const LIBRARY_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a keyring that died is given to come back.
const RESTART: Duration = Duration::from_millis(300);

/// What went wrong on the bus.
#[derive(Debug, PartialEq, Eq)]
enum Trouble {
    Locked,
    NoBus,
    NoService,
    NoCollection,
    /// An item, or our session, is gone since we heard of it.
    NoObject,
    /// Too late, or never because the keyring ended.
    NoReply,
    Denied,
    Other(String),
}

impl From<&Fault> for Trouble {
    fn from(fault: &Fault) -> Self {
        match fault {
            // Without time to prompt, a prompt is what a locked keyring asks for.
            Fault::Locked | Fault::Prompt => Self::Locked,
            Fault::NoResult => Self::NoCollection,
            Fault::Unavailable => Self::NoService,
            Fault::Dbus(error) => Self::named(error.name().unwrap_or_default(), || error.to_string()),
            other => Self::Other(other.to_string()),
        }
    }
}

impl Trouble {
    fn named(name: &str, words: impl FnOnce() -> String) -> Self {
        let (prefix, name) = name.rsplit_once('.').unwrap_or(("", name));
        match (prefix, name) {
            ("org.freedesktop.Secret.Error", "IsLocked") => Self::Locked,
            ("org.freedesktop.Secret.Error", "NoSession" | "NoSuchObject") => Self::NoObject,
            ("org.freedesktop.DBus.Error", "UnknownObject" | "UnknownMethod") => Self::NoObject,
            // Also what libdbus says when no address is set and there is no display to start a bus for.
            (
                "org.freedesktop.DBus.Error",
                "NotSupported" | "NoServer" | "FileNotFound" | "BadAddress" | "Disconnected" | "IOError",
            ) => Self::NoBus,
            ("org.freedesktop.DBus.Error", "ServiceUnknown" | "NameHasNoOwner") => Self::NoService,
            ("org.freedesktop.DBus.Error", "NoReply" | "Timeout" | "TimedOut") => Self::NoReply,
            ("org.freedesktop.DBus.Error", "AccessDenied" | "AuthFailed") => Self::Denied,
            ("org.freedesktop.DBus.Error.Spawn", _) => Self::NoService,
            _ => Self::Other(words()),
        }
    }
}

impl From<Trouble> for StoreError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Locked => Self::Locked,
            Trouble::NoBus => Self::NoBus,
            Trouble::NoService => Self::NoService,
            Trouble::NoCollection => Self::NoCollection,
            Trouble::NoReply => Self::Hung {
                after: LIBRARY_TIMEOUT,
            },
            Trouble::Denied => Self::Denied { store: NAME },
            Trouble::NoObject => Self::Failed {
                store: NAME,
                reason: "the item is gone".into(),
            },
            Trouble::Other(reason) => Self::Failed { store: NAME, reason },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_bus_says_is_told_apart() {
        for (name, expected) in [
            ("org.freedesktop.Secret.Error.IsLocked", Trouble::Locked),
            ("org.freedesktop.Secret.Error.NoSession", Trouble::NoObject),
            ("org.freedesktop.DBus.Error.NotSupported", Trouble::NoBus),
            ("org.freedesktop.DBus.Error.FileNotFound", Trouble::NoBus),
            ("org.freedesktop.DBus.Error.ServiceUnknown", Trouble::NoService),
            ("org.freedesktop.DBus.Error.Spawn.ChildExited", Trouble::NoService),
            ("org.freedesktop.DBus.Error.NoReply", Trouble::NoReply),
            ("org.freedesktop.DBus.Error.AccessDenied", Trouble::Denied),
            (
                "org.freedesktop.DBus.Error.LimitsExceeded",
                Trouble::Other("words".into()),
            ),
            ("", Trouble::Other("words".into())),
        ] {
            assert_eq!(Trouble::named(name, || "words".into()), expected, "{name}");
        }
        assert_eq!(Trouble::from(&Fault::Prompt), Trouble::Locked);
    }
}
