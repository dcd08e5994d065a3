//! The directory of revocations when things go wrong: writers that are killed, a full disk, several writers at once.
//!
//! Writers are this test program itself, run again with [`WRITE_INTO`] set: processes that can be killed and limited.

#![expect(clippy::unwrap_used, reason = "a test's functions are tests too")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gatepass_api::revocation::{Revocation, RevocationSpec, Target};
use gatepass_issuer::revocation::directory::Directory;
use gatepass_issuer::revocation::store::Existing;

/// Names the directory that a writer writes into; `WRITER` what it calls itself.
const WRITE_INTO: &str = "GATEPASS_TEST_WRITE_INTO";
const WRITER: &str = "GATEPASS_TEST_WRITER";
/// All write documents of this name, each with a later time than before.
const COMMON: &str = "common";

fn spec(user: &str, before: i64) -> RevocationSpec {
    let time = 1_790_000_000 + before;
    let (days, seconds) = (time / 86400, time % 86400);
    // 1790000000 lies in September 2026, whose first day is day 20697.
    let date = format!("2026-09-{:02}", days - 20697 + 1);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    RevocationSpec {
        target: Target::User(user.into()),
        logged_in_before: Some(format!("{date}T{hours:02}:{minutes:02}:{seconds:02}Z")),
        block_issuance: false,
        // Long enough for several writes to be needed, if somebody wrote without a buffer.
        reason: Some("r".repeat(1024)),
        expires_at: None,
    }
}

/// Writes documents until it is killed, and says on standard output which are written. No test of its own: it does nothing
/// unless it was told where.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "how a test talks to itself in another process"
)]
fn writer() {
    let (Ok(directory), Ok(name)) = (std::env::var(WRITE_INTO), std::env::var(WRITER)) else {
        return;
    };
    let directory = Directory::new(directory.into());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut stdout = std::io::stdout().lock();
    for n in 0.. {
        let own = format!("{name}-{n}");
        let result = runtime.block_on(async {
            directory.put(&own, &spec(&own, 0), Existing::Leave).await?;
            directory.put(COMMON, &spec(COMMON, n), Existing::Replace).await
        });
        match result {
            Ok(()) => writeln!(stdout, "\nwritten {n}").unwrap(),
            Err(error) => {
                writeln!(stdout, "\nfailed {n} {error}").unwrap();
                return;
            }
        }
    }
}

fn start(directory: &Path, name: &str, limit: Option<u64>) -> Child {
    let program = std::env::current_exe().unwrap();
    // The shell sets the limit; in bash it is counted in KiB, in dash in 512 bytes, so zero is all that is asked of it.
    let limit = limit.map_or(String::new(), |limit| {
        format!("trap '' XFSZ; ulimit -f {limit}; ")
    });
    Command::new("sh")
        .args(["-c", &format!("{limit}exec \"$0\" --exact writer --nocapture")])
        .arg(program)
        .env(WRITE_INTO, directory)
        .env(WRITER, name)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn kill(mut child: Child) {
    // SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Reads until `stop`, and panics at half of a document. Gives how many it has read.
fn read_on(directory: &Path, stop: &AtomicBool) -> usize {
    let mut whole = 0;
    while !stop.load(Ordering::Relaxed) {
        for entry in directory.read_dir().unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name.starts_with('.') {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let document: Revocation =
                serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}: {text}"));
            assert_eq!(format!("{}.json", document.metadata.name), name);
            whole += 1;
        }
    }
    whole
}

/// Expects all that was confirmed, whole, and nothing that cannot be read.
fn assert_kept(directory: &Path, confirmed: &[String]) {
    let listing = Directory::new(directory.to_owned()).list().unwrap();
    assert!(listing.faults.is_empty(), "{:?}", listing.faults);
    let is_kept = |name: &String| listing.documents.iter().any(|one| one.metadata.name == *name);
    let lost: Vec<&String> = confirmed.iter().filter(|name| !is_kept(name)).collect();
    assert!(lost.is_empty(), "confirmed and lost: {lost:?}");
}

fn common_time(directory: &Path) -> Option<String> {
    let listing = Directory::new(directory.to_owned()).list().unwrap();
    let common = listing
        .documents
        .into_iter()
        .find(|one| one.metadata.name == COMMON)?;
    common.spec.logged_in_before
}

#[test]
fn killed_at_any_moment_a_writer_leaves_nothing_half_and_loses_nothing() {
    const ROUNDS: usize = 60;
    let dir = tempfile::tempdir().unwrap();
    let (stop, mut confirmed, mut latest) = (AtomicBool::new(false), Vec::new(), -1);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_on(dir.path(), &stop));
        for round in 0..ROUNDS {
            let name = format!("round-{round}");
            let mut child = start(dir.path(), &name, None);
            let lines = BufReader::new(child.stdout.take().unwrap())
                .lines()
                .map_while(Result::ok);
            // In each round a little later, so at all points of a write.
            let mut child = Some(child);
            for line in lines {
                let Some(n) = line.strip_prefix("written ") else {
                    continue;
                };
                let n: i64 = n.parse().unwrap();
                confirmed.push(format!("{name}-{n}"));
                latest = latest.max(n);
                if n >= (round % 5) as i64
                    && let Some(child) = child.take()
                {
                    for n in 0..round * 5_000 {
                        std::hint::black_box(n);
                    }
                    kill(child);
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        let read = reader.join().unwrap();
        assert!(read > 100, "the reader has read {read} documents");
    });
    assert!(confirmed.len() >= ROUNDS);
    assert_kept(dir.path(), &confirmed);
    assert!(
        common_time(dir.path()) >= spec(COMMON, latest).logged_in_before,
        "the latest stays"
    );
    // What they left is swept, and their lock is nobody's.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let directory = Directory::new(dir.path().to_owned());
    assert_eq!(runtime.block_on(directory.sweep(0, 0)).unwrap(), 0);
    let left = dir.path().read_dir().unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_str().unwrap().starts_with('.') && name != ".lock"
    });
    assert_eq!(left.count(), 0);
    assert_kept(dir.path(), &confirmed);
}

#[test]
fn on_a_full_disk_a_write_fails_and_what_was_there_stays() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let directory = Directory::new(dir.path().to_owned());
    let first = spec(COMMON, 0);
    runtime
        .block_on(directory.put(COMMON, &first, Existing::Leave))
        .unwrap();
    // No file of this process may become longer than 0: the kernel refuses each write with EFBIG, in the place where a full
    // disk would say ENOSPC.
    let mut child = start(dir.path(), "full", Some(0));
    let lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let said: Vec<String> = lines
        .filter(|line| line.starts_with("failed") || line.starts_with("written"))
        .collect();
    child.wait().unwrap();
    assert!(said.len() == 1 && said[0].starts_with("failed 0"), "{said:?}");
    assert_kept(dir.path(), &[COMMON.to_owned()]);
    assert_eq!(common_time(dir.path()), first.logged_in_before);
    let mut names: Vec<_> = dir
        .path()
        .read_dir()
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, [".lock", "common.json"], "nothing half is left");
}

#[test]
fn writers_at_once_lose_nothing_and_never_move_a_time_back() {
    const WRITERS: usize = 4;
    const EACH: i64 = 25;
    let dir = tempfile::tempdir().unwrap();
    let (stop, running) = (AtomicBool::new(false), AtomicUsize::new(WRITERS));
    let confirmed: Vec<Vec<String>> = std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_on(dir.path(), &stop));
        // Sweeping all the while, as each replica does, with nothing that has ended.
        let sweeper = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let directory = Directory::new(dir.path().to_owned());
            let mut before = None;
            while running.load(Ordering::Relaxed) > 0 {
                assert_eq!(runtime.block_on(directory.sweep(0, 0)).unwrap(), 0);
                let now = common_time(dir.path());
                assert!(now >= before, "{now:?} after {before:?}");
                before = now;
            }
        });
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (dir, running) = (dir.path(), &running);
                scope.spawn(move || {
                    let name = format!("writer-{writer}");
                    let mut child = start(dir, &name, None);
                    let lines = BufReader::new(child.stdout.take().unwrap())
                        .lines()
                        .map_while(Result::ok);
                    let mut confirmed = Vec::new();
                    for line in lines {
                        if line.starts_with("failed") {
                            break;
                        }
                        let Some(n) = line.strip_prefix("written ") else {
                            continue;
                        };
                        confirmed.push(format!("{name}-{n}"));
                        if n.parse::<i64>().unwrap() >= EACH {
                            break;
                        }
                    }
                    kill(child);
                    running.fetch_sub(1, Ordering::Relaxed);
                    confirmed
                })
            })
            .collect();
        let confirmed = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        sweeper.join().unwrap();
        stop.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
        confirmed
    });
    assert!(
        confirmed.iter().all(|written| written.len() as i64 > EACH),
        "a writer has failed"
    );
    assert_kept(dir.path(), &confirmed.concat());
    assert!(common_time(dir.path()) >= spec(COMMON, EACH).logged_in_before);
}

/// A file system of 128 KiB, unmounted with this value; `None` where mounting is not permitted.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=128k", "gatepass-test"])
            .arg(dir.path());
        let mounted = mount
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        mounted.then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.0.path()).status());
    }
}

#[test]
fn a_disk_that_really_fills_up_loses_nothing_that_was_confirmed() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!(
            "skipped: mounting a small disk is not permitted here; the same with a limit on files has its own test"
        );
        return;
    };
    let dir = disk.0.path();
    let mut child = start(dir, "full", None);
    let lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let (mut confirmed, mut failed) = (Vec::new(), String::new());
    for line in lines {
        match line.split_once(' ') {
            Some(("written", n)) => confirmed.push(format!("full-{n}")),
            Some(("failed", why)) => failed = why.to_owned(),
            _ => {}
        }
    }
    child.wait().unwrap();
    assert!(failed.contains("No space left on device"), "{failed}");
    assert!(confirmed.len() > 3, "{confirmed:?}");
    assert_kept(dir, &confirmed);
    assert!(common_time(dir) >= spec(COMMON, confirmed.len() as i64 - 1).logged_in_before);
    // Once there is room again, writing goes on.
    std::fs::remove_file(dir.join("full-0.json")).unwrap();
    std::fs::remove_file(dir.join("full-1.json")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let directory = Directory::new(dir.to_owned());
    assert!(
        runtime
            .block_on(directory.create("again", &spec("again", 0)))
            .unwrap()
    );
}
