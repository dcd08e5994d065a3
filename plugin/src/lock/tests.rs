use std::{
    env,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, Command, Stdio},
    time::Instant,
};

use super::*;

const SESSION: Entry<'_> = Entry::Session {
    idp: "https://idp",
    client_id: "gatepass",
    profile: "",
};
const SOON: Duration = Duration::from_secs(20);

fn scratch() -> (tempfile::TempDir, Locks) {
    let dir = tempfile::tempdir().unwrap();
    let locks = Locks::new(dir.path().canonicalize().unwrap());
    (dir, locks)
}

fn taken(locks: &Locks, purpose: Purpose) -> bool {
    locks.try_acquire(&SESSION, purpose).unwrap().is_none()
}

#[test]
fn is_held_until_dropped() {
    let (_dir, locks) = scratch();
    let guard = locks.try_acquire(&SESSION, Purpose::Refresh).unwrap();
    assert!(guard.is_some() && taken(&locks, Purpose::Refresh));
    drop(guard);
    assert!(!taken(&locks, Purpose::Refresh));
}

#[test]
fn purposes_and_sessions_have_their_own() {
    let (_dir, locks) = scratch();
    let _refresh = locks.try_acquire(&SESSION, Purpose::Refresh).unwrap();
    assert!(!taken(&locks, Purpose::Login));
    let other = Entry::Session {
        idp: "https://idp",
        client_id: "gatepass",
        profile: "work",
    };
    assert!(locks.try_acquire(&other, Purpose::Refresh).unwrap().is_some());
}

#[tokio::test]
async fn waiting_ends_when_it_is_free() {
    let (_dir, locks) = scratch();
    let guard = locks.acquire(&SESSION, Purpose::Login, SOON).await.unwrap();
    let holder = async {
        tokio::task::yield_now().await;
        drop(guard);
    };
    let (waited, ()) = tokio::join!(locks.acquire(&SESSION, Purpose::Login, SOON), holder);
    let _guard = waited.unwrap();
    assert!(taken(&locks, Purpose::Login));
}

#[tokio::test]
async fn waiting_ends_at_the_deadline_and_holds_nothing_afterwards() {
    let (_dir, locks) = scratch();
    let guard = locks.try_acquire(&SESSION, Purpose::Login).unwrap();
    let waited = locks
        .acquire(&SESSION, Purpose::Login, Duration::from_millis(50))
        .await;
    assert!(matches!(waited, Err(LockError::Busy { .. })));
    drop(guard);
    // The thread that still waits gets the lock now, and lets it go.
    let _guard = locks.acquire(&SESSION, Purpose::Login, SOON).await.unwrap();
}

/// Another process; it holds the lock of `SESSION` in its working directory if it finds it free, says which, and stays.
fn another_process(locks: &Locks) -> (Child, String) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "lock::tests::holds_a_lock_until_its_input_ends",
            "--ignored",
            "--nocapture",
        ])
        .current_dir(&locks.dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = lines
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once("lock: ")?.1.to_owned()));
    (child, said.unwrap())
}

#[test]
#[ignore = "the other process of the tests below"]
fn holds_a_lock_until_its_input_ends() {
    let locks = Locks::new(env::current_dir().unwrap());
    let guard = locks.try_acquire(&SESSION, Purpose::Refresh).unwrap();
    let mut out = std::io::stdout();
    writeln!(out, "lock: {}", if guard.is_some() { "held" } else { "busy" }).unwrap();
    out.flush().unwrap();
    let _ = std::io::stdin().read(&mut [0]);
}

#[tokio::test]
async fn the_lock_of_a_killed_process_is_free() {
    let (_dir, locks) = scratch();
    let (mut holder, said) = another_process(&locks);
    assert_eq!(said, "held");
    assert!(taken(&locks, Purpose::Refresh));
    let begin = Instant::now();
    let killing = async {
        tokio::task::yield_now().await;
        holder.kill().unwrap();
        holder.wait().unwrap();
    };
    let (waited, ()) = tokio::join!(locks.acquire(&SESSION, Purpose::Refresh, SOON), killing);
    let _guard = waited.unwrap();
    assert!(begin.elapsed() < SOON);
}

#[cfg(unix)]
#[test]
fn programs_that_are_started_do_not_inherit_it() {
    let (_dir, locks) = scratch();
    let guard = locks.try_acquire(&SESSION, Purpose::Refresh).unwrap().unwrap();
    assert!(
        rustix::io::fcntl_getfd(&guard.0)
            .unwrap()
            .contains(rustix::io::FdFlags::CLOEXEC)
    );
}

#[test]
fn another_process_finds_it_taken() {
    let (_dir, locks) = scratch();
    let _guard = locks.try_acquire(&SESSION, Purpose::Refresh).unwrap();
    let (mut other, said) = another_process(&locks);
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(said, "busy");
}

#[cfg(unix)]
#[test]
fn a_place_that_cannot_be_used_is_named() {
    let locks = Locks::new("/dev/null/locks".into());
    let error = locks.try_acquire(&SESSION, Purpose::Login).unwrap_err();
    assert!(error.to_string().contains("/dev/null/locks"), "{error}");
}

#[test]
fn a_file_that_somebody_holds_is_not_waited_for_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        File::options()
            .create(true)
            .append(true)
            .open(dir.path().join("f"))
    };
    let held = lock_within(open().unwrap(), Duration::from_secs(5)).unwrap();
    let late = lock_within(open().unwrap(), Duration::from_millis(50)).unwrap_err();
    assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    drop(held);
    assert!(lock_within(open().unwrap(), Duration::from_secs(5)).is_ok());
}
