use std::{
    any::Any,
    sync::{Mutex, PoisonError},
};

use keyring_core::api::{CredentialApi, CredentialStoreApi};

use super::*;

const CREDENTIAL: Entry<'_> = Entry::Credential {
    issuer: "https://issuer.example.com",
    profile: "",
};
const SESSION: Entry<'_> = Entry::Session {
    idp: "https://idp.example.com",
    client_id: "gatepass",
    profile: "work",
};

fn files(state_dir: &Path) -> Store {
    Store::new(StoreKind::File, false, state_dir, DEADLINE).unwrap()
}

fn load(store: &Store, entry: &Entry<'_>) -> Option<Vec<u8>> {
    store.load(entry).unwrap().map(|secret| secret.to_vec())
}

#[test]
fn secrets_are_kept_and_forgotten() {
    let home = tempfile::tempdir().unwrap();
    let store = files(home.path());
    assert_eq!(load(&store, &SESSION), None);
    store.save(&SESSION, b"one", None).unwrap();
    store.save(&SESSION, b"two\n\0", None).unwrap();
    store
        .save(&CREDENTIAL, &[7; 10_000], Some(Duration::from_secs(600)))
        .unwrap();
    assert_eq!(load(&store, &SESSION).unwrap(), b"two\n\0");
    assert_eq!(load(&files(home.path()), &CREDENTIAL).unwrap(), [7; 10_000]);
    assert_eq!(store.find(&SESSION).unwrap().unwrap().place, "the file store");
    assert!(store.delete(&SESSION).unwrap());
    assert!(!store.delete(&SESSION).unwrap());
    assert_eq!(load(&store, &SESSION), None);
    assert!(load(&store, &CREDENTIAL).is_some());
}

#[test]
fn sessions_are_listed_by_home() {
    let homes = tempfile::tempdir().unwrap();
    let (alice, bob) = (
        files(&homes.path().join("alice")),
        files(&homes.path().join("bob")),
    );
    assert_eq!(alice.sessions().unwrap(), []);
    alice.save(&SESSION, b"s", None).unwrap();
    alice.save(&CREDENTIAL, b"c", None).unwrap();
    bob.save(&SESSION, b"b", None).unwrap();
    let name = SessionName {
        idp: "https://idp.example.com".into(),
        client_id: "gatepass".into(),
        profile: "work".into(),
    };
    assert_eq!(alice.sessions().unwrap(), [name]);
}

/// A place in memory that answers every call with the same error, where it has one.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    secrets: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    fault: Option<StoreError>,
    calls: Arc<Mutex<usize>>,
}

impl Memory {
    fn faulty(fault: StoreError) -> Self {
        Self {
            fault: Some(fault),
            ..Self::default()
        }
    }

    fn place(&self) -> Place {
        Place {
            words: "memory",
            store: Arc::new(self.clone()),
        }
    }

    fn calls(&self) -> usize {
        *self.calls.lock().unwrap()
    }

    pub(super) fn held(&self) -> Vec<Vec<u8>> {
        self.secrets.lock().unwrap().values().cloned().collect()
    }
}

impl CredentialStoreApi for Memory {
    fn vendor(&self) -> String {
        "test".into()
    }

    fn id(&self) -> String {
        "memory".into()
    }

    fn build(&self, _: &str, user: &str, _: Option<&HashMap<&str, &str>>) -> Result<Handle> {
        Ok(Handle::new_with_credential(Arc::new(MemoryEntry {
            memory: self.clone(),
            user: user.into(),
        })))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[derive(Debug)]
struct MemoryEntry {
    memory: Memory,
    user: String,
}

impl MemoryEntry {
    fn with<T>(&self, work: impl FnOnce(&mut HashMap<String, Vec<u8>>) -> T) -> Result<T> {
        *self.memory.calls.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        match &self.memory.fault {
            Some(fault) => Err(fault.clone().into()),
            None => Ok(work(
                &mut self.memory.secrets.lock().unwrap_or_else(PoisonError::into_inner),
            )),
        }
    }
}

impl CredentialApi for MemoryEntry {
    fn set_secret(&self, secret: &[u8]) -> Result<()> {
        self.with(|secrets| drop(secrets.insert(self.user.clone(), secret.into())))
    }

    fn get_secret(&self) -> Result<Vec<u8>> {
        self.with(|secrets| secrets.get(&self.user).cloned())?
            .ok_or(Error::NoEntry)
    }

    fn delete_credential(&self) -> Result<()> {
        self.with(|secrets| secrets.remove(&self.user))?
            .map(drop)
            .ok_or(Error::NoEntry)
    }

    fn get_credential(&self) -> Result<Option<Arc<keyring_core::Credential>>> {
        Ok(None)
    }

    fn get_specifiers(&self) -> Option<(String, String)> {
        None
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn over(kernel: &Memory, desktop: &Memory) -> Store {
    Store {
        told: Mutex::default(),
        state_dir: "/home/alice".into(),
        credentials: vec![kernel.place(), desktop.place()],
        sessions: desktop.place(),
    }
}

#[test]
fn a_credential_in_the_first_place_is_read_there_alone() {
    let (kernel, desktop) = (Memory::default(), Memory::default());
    let store = over(&kernel, &desktop);
    store.save(&CREDENTIAL, b"c", None).unwrap();
    assert_eq!(load(&store, &CREDENTIAL).unwrap(), b"c");
    assert_eq!(desktop.calls(), 0);
}

#[test]
fn sessions_never_touch_the_kernel_keyring() {
    let (kernel, desktop) = (Memory::default(), Memory::default());
    let store = over(&kernel, &desktop);
    store.save(&SESSION, b"s", None).unwrap();
    assert_eq!(load(&store, &SESSION).unwrap(), b"s");
    assert!(store.delete(&SESSION).unwrap());
    assert_eq!(kernel.calls(), 0);
}

#[test]
fn where_the_kernel_cannot_the_desktop_keeps_the_credential() {
    for fault in [
        StoreError::Denied { store: "kernel" },
        StoreError::Full { store: "kernel" },
        StoreError::Unsupported { store: "kernel" },
        StoreError::TooLong {
            store: "kernel",
            bytes: 40_000,
        },
    ] {
        let (kernel, desktop) = (Memory::faulty(fault), Memory::default());
        let store = over(&kernel, &desktop);
        store.save(&CREDENTIAL, b"c", None).unwrap();
        assert_eq!(load(&store, &CREDENTIAL).unwrap(), b"c");
        assert!(store.delete(&CREDENTIAL).unwrap());
        assert_eq!(load(&store, &CREDENTIAL), None);
    }
}

#[test]
fn a_full_kernel_keyring_keeps_no_older_credential() {
    /// Refuses what is new, and still holds what is old.
    #[derive(Debug)]
    struct Full(Memory);
    impl CredentialStoreApi for Full {
        fn vendor(&self) -> String {
            self.0.vendor()
        }
        fn id(&self) -> String {
            self.0.id()
        }
        fn build(&self, _: &str, user: &str, modifiers: Option<&HashMap<&str, &str>>) -> Result<Handle> {
            let saving = modifiers.is_some_and(|modifiers| modifiers.contains_key(EXPIRES_IN));
            let fault = saving.then_some(StoreError::Full { store: "kernel" });
            Memory {
                fault,
                ..self.0.clone()
            }
            .build("", user, None)
        }
        fn as_any(&self) -> &dyn Any {
            self
        }
    }
    let (kernel, desktop) = (Memory::default(), Memory::default());
    over(&kernel, &desktop).save(&CREDENTIAL, b"old", None).unwrap();
    let full = Place {
        words: "kernel",
        store: Arc::new(Full(kernel.clone())),
    };
    let store = Store {
        credentials: vec![full, desktop.place()],
        ..over(&kernel, &desktop)
    };
    store
        .save(&CREDENTIAL, b"new", Some(Duration::from_secs(600)))
        .unwrap();
    assert_eq!(kernel.held(), Vec::<Vec<u8>>::new());
    assert_eq!(load(&store, &CREDENTIAL).unwrap(), b"new");
}

#[test]
fn what_the_last_place_says_is_reported() {
    let (kernel, desktop) = (Memory::default(), Memory::faulty(StoreError::Locked));
    let store = over(&kernel, &desktop);
    assert_eq!(store.load(&CREDENTIAL).unwrap_err(), StoreError::Locked);
    assert_eq!(store.save(&SESSION, b"s", None).unwrap_err(), StoreError::Locked);
    store.save(&CREDENTIAL, b"c", None).unwrap();
    assert_eq!(load(&store, &CREDENTIAL).unwrap(), b"c");
    // The credential is gone from where it was, and the other place could not be looked at.
    assert_eq!(store.delete(&CREDENTIAL).unwrap_err(), StoreError::Locked);
    assert_eq!(kernel.held(), Vec::<Vec<u8>>::new());
}
