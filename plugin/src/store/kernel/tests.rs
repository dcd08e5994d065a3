use std::{collections::HashSet, io::Write as _, thread, time::Instant};

use super::*;

/// Entries of one test, deleted with it.
struct Scratch {
    service: String,
    users: HashSet<String>,
}

impl Scratch {
    /// Nothing where the kernel keyring is missing or forbidden, as in most containers.
    fn new(test: &str) -> Option<Self> {
        let scratch = Self {
            service: format!("gatepass-test-{}-{test}", std::process::id()),
            users: HashSet::new(),
        };
        let Err(error) = scratch.entry("probe").set_secret(b"probe") else {
            scratch.entry("probe").delete_credential().unwrap();
            return Some(scratch);
        };
        // Not eprintln!: the harness would swallow it.
        let _ = writeln!(
            std::io::stderr(),
            "skipped {test}: the kernel keyring cannot be used here: {error}"
        );
        None
    }

    fn entry(&self, user: &str) -> KernelEntry {
        KernelEntry::new(&self.service, user, None)
    }

    fn set(&mut self, user: &str, secret: &[u8], expires_in: Option<Duration>) {
        self.users.insert(user.into());
        KernelEntry {
            expires_in,
            ..self.entry(user)
        }
        .set_secret(secret)
        .unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for user in &self.users {
            let _ = self.entry(user).delete_credential();
        }
    }
}

#[test]
fn keeps_replaces_and_forgets() {
    let Some(mut scratch) = Scratch::new("keeps") else {
        return;
    };
    let entry = scratch.entry("a");
    assert!(matches!(entry.get_secret(), Err(Error::NoEntry)));
    scratch.set("a", b"one", None);
    scratch.set("a", &[7; 10_000], None);
    scratch.set("b", b"other", None);
    assert_eq!(entry.get_secret().unwrap(), [7; 10_000]);
    entry.delete_credential().unwrap();
    assert!(matches!(entry.get_secret(), Err(Error::NoEntry)));
    assert!(matches!(entry.delete_credential(), Err(Error::NoEntry)));
    assert_eq!(scratch.entry("b").get_secret().unwrap(), b"other");
}

#[test]
fn is_shared_by_threads() {
    let Some(mut scratch) = Scratch::new("shared") else {
        return;
    };
    scratch.set("a", b"one", None);
    let entry = scratch.entry("a");
    assert_eq!(
        thread::spawn(move || entry.get_secret().unwrap()).join().unwrap(),
        b"one"
    );
}

#[test]
fn the_kernel_forgets_in_time_also_what_was_replaced() {
    let Some(mut scratch) = Scratch::new("forgets") else {
        return;
    };
    scratch.set("a", b"for ever", None);
    scratch.set("a", b"for a second", Some(Duration::from_secs(1)));
    assert_eq!(scratch.entry("a").get_secret().unwrap(), b"for a second");
    let begin = Instant::now();
    while scratch.entry("a").get_secret().is_ok() {
        assert!(begin.elapsed() < Duration::from_secs(10), "it is still there");
        thread::park_timeout(Duration::from_millis(50));
    }
    scratch.set("a", b"again", None);
    assert_eq!(scratch.entry("a").get_secret().unwrap(), b"again");
}

#[test]
fn nobody_else_may_read() {
    let Some(mut scratch) = Scratch::new("permissions") else {
        return;
    };
    scratch.set("a", b"one", None);
    let permissions = scratch
        .entry("a")
        .find()
        .unwrap()
        .metadata()
        .unwrap()
        .get_perms()
        .bits();
    // The possessor all, the user view, read and search, group and others nothing.
    assert_eq!(permissions, 0x3f0b_0000);
}

#[test]
fn entries_are_listed() {
    let Some(mut scratch) = Scratch::new("listed") else {
        return;
    };
    let user = "session:https%3A//idp:gatepass:/home";
    scratch.set(user, b"one", None);
    let found = KernelStore
        .search(&HashMap::from([(SERVICE, scratch.service.as_str())]))
        .unwrap();
    let specifiers: Vec<_> = found.iter().filter_map(Entry::get_specifiers).collect();
    assert_eq!(specifiers, [(scratch.service.clone(), user.to_owned())]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let entry = KernelEntry::new("gatepass-test", "long", None);
    let error = StoreError::from_keyring(entry.set_secret(&[0; MAX_PAYLOAD + 1]).unwrap_err(), NAME);
    assert_eq!(
        error,
        StoreError::TooLong {
            store: NAME,
            bytes: MAX_PAYLOAD + 1
        }
    );
}

#[test]
fn lines_of_proc_keys() {
    let line = "09a2e28d I--Q---     1 9m 3f0b0000  1000  1000 user      gatepass:session:a:b:: 5";
    assert_eq!(user_of(line, "gatepass"), Some("session:a:b:"));
    assert_eq!(user_of(line, "gate"), None);
    assert_eq!(
        user_of(
            "3f2c3a1b I------ 2 perm 1f030000 0 65534 keyring _uid.0: 7",
            "_uid.0"
        ),
        None
    );
    assert_eq!(user_of("", "gatepass"), None);
}

#[test]
fn what_the_kernel_says_is_told_apart() {
    for missing in [
        KeyError::KeyDoesNotExist,
        KeyError::KeyExpired,
        KeyError::KeyRevoked,
    ] {
        assert!(matches!(error(missing), Error::NoEntry));
    }
    for (said, expected) in [
        (KeyError::AccessDenied, StoreError::Denied { store: NAME }),
        (KeyError::PermissionDenied, StoreError::Denied { store: NAME }),
        (KeyError::QuotaExceeded, StoreError::Full { store: NAME }),
        (
            KeyError::Unknown(38),
            StoreError::Unsupported {
                store: "kernel keyring",
            },
        ),
    ] {
        assert_eq!(StoreError::from_keyring(error(said), NAME), expected);
        assert!(expected.falls_through());
    }
}
