//! The store on a real Secret Service in every state it can be in, and on none.
//!
//! The ignored tests need the state they are named for: `tests/keyring/every-state.sh` runs each in its own.
#![cfg(target_os = "linux")]

use std::{
    env,
    os::unix::net::UnixListener,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use kubectl_gatepass::store::{Entry, SessionName, Store, StoreError, StoreKind};

const DEADLINE: Duration = Duration::from_millis(1500);
const SESSION: Entry<'_> = Entry::Session {
    idp: "https://idp.example.com",
    client_id: "gatepass",
    profile: "test",
};
const CREDENTIAL: Entry<'_> = Entry::Credential {
    issuer: "https://issuer.example.com",
    profile: "test",
};

fn store(home: &Path) -> Store {
    Store::new(StoreKind::Keyring, false, home, DEADLINE).expect("opening touches nothing")
}

type Call = fn(&Store) -> Result<(), StoreError>;

/// Every call ends in time, with the error of this state.
fn all_fail(fails: impl Fn(&StoreError) -> bool + Sync) {
    let calls: [(&str, Call); 4] = [
        ("load", |store| store.load(&SESSION).map(drop)),
        ("save", |store| store.save(&SESSION, b"s3cret", None)),
        ("delete", |store| store.delete(&SESSION).map(drop)),
        ("sessions", |store| store.sessions().map(drop)),
    ];
    thread::scope(|scope| {
        for (name, call) in calls {
            let fails = &fails;
            scope.spawn(move || {
                let begin = Instant::now();
                let error = call(&store(Path::new("/home/test"))).expect_err("this state has no keyring");
                let took = begin.elapsed();
                eprintln!("{name} ended after {took:?}: {error}; {}", error.hint());
                assert!(fails(&error), "{name}: {error:?}");
                assert!(took < DEADLINE + Duration::from_secs(1), "{name}: {took:?}");
            });
        }
    });
}

#[test]
#[ignore = "needs an unlocked Secret Service: run by make test"]
fn unlocked() {
    let home = tempfile::tempdir().unwrap();
    let store = store(home.path());
    assert_eq!(store.load(&SESSION).unwrap(), None);
    assert!(!store.delete(&SESSION).unwrap());
    let long = "0123456789".repeat(1024);
    for secret in ["one", "two", &long] {
        store.save(&SESSION, secret.as_bytes(), None).unwrap();
        assert_eq!(
            store.load(&SESSION).unwrap().unwrap().as_slice(),
            secret.as_bytes()
        );
    }
    store
        .save(&CREDENTIAL, b"credential", Some(Duration::from_secs(600)))
        .unwrap();
    let name = SessionName {
        idp: "https://idp.example.com".into(),
        client_id: "gatepass".into(),
        profile: "test".into(),
    };
    assert_eq!(store.sessions().unwrap(), [name]);

    // One item each, which other programs find too.
    let found = Command::new("secret-tool")
        .args(["search", "--all", "service", "gatepass"])
        .output()
        .unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    assert_eq!(
        found
            .matches("label = Gatepass session at https://idp.example.com\n")
            .count(),
        1,
        "{found}"
    );
    assert_eq!(
        found
            .matches("label = Gatepass credential for https://issuer.example.com\n")
            .count(),
        1,
        "{found}"
    );

    let elsewhere = tempfile::tempdir().unwrap();
    let other = Store::new(StoreKind::Keyring, false, elsewhere.path(), DEADLINE).unwrap();
    assert_eq!(other.load(&SESSION).unwrap(), None);
    assert_eq!(other.sessions().unwrap(), []);

    assert!(store.delete(&SESSION).unwrap());
    assert_eq!(store.load(&SESSION).unwrap(), None);
    assert_eq!(
        store.load(&CREDENTIAL).unwrap().unwrap().as_slice(),
        b"credential"
    );
    assert!(store.delete(&CREDENTIAL).unwrap());
}

#[test]
#[ignore = "needs an unlocked Secret Service: run by make test"]
fn unlocked_in_parallel() {
    let home = tempfile::tempdir().unwrap();
    store(home.path()).save(&SESSION, b"s3cret", None).unwrap();
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let patient =
                    Store::new(StoreKind::Keyring, false, home.path(), Duration::from_secs(20)).unwrap();
                assert_eq!(patient.load(&SESSION).unwrap().unwrap().as_slice(), b"s3cret");
            });
        }
    });
    assert!(store(home.path()).delete(&SESSION).unwrap());
}

#[test]
#[ignore = "needs a locked Secret Service: run by make test"]
fn locked() {
    // What is not there is not there, locked or not; storing needs the lock.
    let store = store(Path::new("/home/test"));
    let begin = Instant::now();
    assert_eq!(store.load(&SESSION).unwrap(), None);
    assert_eq!(
        store.save(&SESSION, b"s3cret", None).unwrap_err(),
        StoreError::Locked
    );
    assert!(begin.elapsed() < DEADLINE, "{:?}", begin.elapsed());
}

#[test]
#[ignore = "needs an unlocked Secret Service, which it locks: run by make test"]
fn unlocked_then_locked() {
    let store = store(Path::new("/home/test"));
    store.save(&SESSION, b"s3cret", None).unwrap();
    let lock = "--session --print-reply --dest=org.freedesktop.secrets /org/freedesktop/secrets \
                org.freedesktop.Secret.Service.Lock array:objpath:/org/freedesktop/secrets/collection/login";
    assert!(
        Command::new("dbus-send")
            .args(lock.split_ascii_whitespace())
            .output()
            .unwrap()
            .status
            .success()
    );
    for result in [
        store.load(&SESSION).map(drop),
        store.save(&SESSION, b"new", None),
        store.delete(&SESSION).map(drop),
    ] {
        assert_eq!(result.unwrap_err(), StoreError::Locked);
    }
    assert_eq!(store.sessions().unwrap().len(), 1);
}

#[test]
#[ignore = "needs a Secret Service without collections: run by make test"]
fn no_login() {
    let store = store(Path::new("/home/test"));
    assert_eq!(store.load(&SESSION).unwrap(), None);
    assert_eq!(
        store.save(&SESSION, b"s3cret", None).unwrap_err(),
        StoreError::NoCollection
    );
}

#[test]
#[ignore = "needs a session bus without a Secret Service: run by make test"]
fn no_service() {
    all_fail(|error| *error == StoreError::NoService);
}

#[test]
#[ignore = "needs a place without a session bus: run by make test"]
fn no_bus() {
    all_fail(|error| *error == StoreError::NoBus);
}

#[test]
#[ignore = "needs a Secret Service that is stopped: run by make test"]
fn hung() {
    all_fail(|error| matches!(error, StoreError::Hung { .. }));
}

#[test]
#[ignore = "needs a bus that lets nobody speak to the Secret Service: run by make test"]
fn denied() {
    all_fail(|error| matches!(error, StoreError::Denied { .. }));
}

/// Runs one of the tests above in a process with another bus.
fn with_bus(address: Option<&str>, home: &Path, test: &str) {
    let mut child = Command::new(env::current_exe().expect("tests are files"));
    child
        .args(["--ignored", "--exact", test])
        .env("XDG_RUNTIME_DIR", home);
    match address {
        Some(address) => child.env("DBUS_SESSION_BUS_ADDRESS", address),
        None => child.env_remove("DBUS_SESSION_BUS_ADDRESS"),
    };
    let output = child.env_remove("DISPLAY").output().expect("tests can be run");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn a_bus_that_never_answers_ends_at_the_deadline() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("bus");
    let _listener = UnixListener::bind(&socket).unwrap();
    with_bus(
        Some(&format!("unix:path={}", socket.display())),
        home.path(),
        "hung",
    );
}

#[test]
fn a_bus_that_is_not_there_is_named() {
    let home = tempfile::tempdir().unwrap();
    with_bus(
        Some(&format!("unix:path={}", home.path().join("bus").display())),
        home.path(),
        "no_bus",
    );
}

#[test]
fn without_a_bus_nothing_is_started() {
    let home = tempfile::tempdir().unwrap();
    with_bus(None, home.path(), "no_bus");
}
