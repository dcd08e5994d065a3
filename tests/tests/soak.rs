//! Fifty sessions renew while two replicas restart in turn. `make soak` takes ten minutes; a test run takes one.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use e2e::idp::Idp;
use e2e::issuer::{Issuer, Prepared};
use e2e::machine::{Context, Machine, Run};
use e2e::parts::{Part, present, variable};
use e2e::world::Site;
use serde_json::json;

static SITE: Site = Site::new("soak");
const SESSIONS: usize = 50;
/// Between two commands of one person.
const PACE: Duration = Duration::from_secs(12);
/// Between two restarts; each replica is restarted every other time.
const BETWEEN_RESTARTS: Duration = Duration::from_secs(5);
/// Logins side by side.
const AT_ONCE: usize = 6;

fn duration() -> Duration {
    let seconds = variable("GATEPASS_SOAK_SECONDS").map(|text| {
        let text = text.into_string().expect("GATEPASS_SOAK_SECONDS is a number");
        text.parse().expect("GATEPASS_SOAK_SECONDS is a number")
    });
    Duration::from_secs(seconds.unwrap_or(60))
}

/// One person for each session, all logged in.
fn people(dir: &std::path::Path, idp: &Idp, issuer: &Issuer) -> Vec<Machine> {
    let next = AtomicUsize::new(0);
    let people = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= SESSIONS {
                        break;
                    }
                    let name = format!("user-{number}");
                    idp.user(&name, &json!({"groups": ["dev"]}));
                    let person = Machine::without_desktop(&dir.join(&name), &name, idp, None);
                    // Trace output of ten minutes would bury what failed.
                    person.configure(|config| config["log"] = "info".into());
                    person.accept(issuer);
                    person.kubeconfig(&[Context {
                        name: "here",
                        cluster: SITE.cluster(),
                        issuer,
                    }]);
                    person.get_credential(issuer).expect_ok();
                    people
                        .lock()
                        .expect("no thread panics while it holds this")
                        .push(person);
                }
            });
        }
    });
    people
        .into_inner()
        .expect("no thread panicked while it held this")
}

/// Works until the end: one command after another, each the API server's word on who asks. Gives the number of commands
/// and those that failed.
fn work(person: &Machine, first: Duration, end: &Receiver<()>) -> (usize, Vec<Run>) {
    let (mut commands, mut failures, mut wait) = (0, Vec::new(), first);
    while end.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        let begun = Instant::now();
        // Without a terminal: a renewal that would need a person is a failure.
        let run = person.kubectl_without_terminal(&["auth", "whoami", "-o", "json"]);
        commands += 1;
        if !run.ok {
            failures.push(run);
        }
        wait = PACE.saturating_sub(begun.elapsed());
    }
    (commands, failures)
}

#[test]
#[ignore = "waits for a minute: `make test` runs it beside all else, `make soak` for ten"]
fn fifty_sessions_renew_without_a_failure_while_two_replicas_restart_in_turn() {
    if !present(&[Part::ControlPlane, Part::IdentityProvider]) {
        return;
    }
    let dir = SITE.dir("world");
    let idp = Idp::start(&dir.join("idp"));
    let prepared = Prepared::init(&dir.join("issuer"), "soak", &idp);
    prepared.edit(|config| {
        config["certificate"]["ttl"] = "1m".into();
        // Each renewal is also a refresh, with a refresh token that works once.
        config["authentication"]["jwt"][0]["maxTokenAge"] = "1m".into();
    });
    SITE.cluster().trust(&prepared);
    let mut one = prepared.serve();
    let mut other = one.replica("other");
    let people = people(&dir, &idp, &one);
    let (issued, refreshed) = (one.issued() + other.issued(), idp.stats().refreshes());

    let (begun, whole, mut restarts) = (Instant::now(), duration(), 0);
    let (commands, failures) = std::thread::scope(|scope| {
        let working: Vec<_> = (0u32..)
            .zip(&people)
            .map(|(number, person)| {
                // Dropped at the end, or when a restart fails.
                let (go_on, end) = channel::<()>();
                let first = PACE * number / u32::try_from(SESSIONS).expect("small");
                (go_on, scope.spawn(move || work(person, first, &end)))
            })
            .collect();
        let (_never, pause) = channel::<()>();
        while begun.elapsed() < whole {
            assert_eq!(
                pause.recv_timeout(BETWEEN_RESTARTS),
                Err(RecvTimeoutError::Timeout)
            );
            if restarts % 2 == 0 {
                one.restart()
            } else {
                other.restart()
            }
            restarts += 1;
        }
        working
            .into_iter()
            .fold((0, Vec::new()), |(commands, mut failures), (go_on, thread)| {
                drop(go_on);
                let (more, failed) = thread.join().expect("a person's thread ends");
                failures.extend(failed);
                (commands + more, failures)
            })
    });

    let renewals = one.issued() + other.issued() - issued;
    let refreshes = idp.stats().refreshes() - refreshed;
    let line = format!(
        "soak: {} s, {SESSIONS} sessions, {commands} commands, {renewals} renewals, {refreshes} refreshes, {restarts} restarts, {} failures\n",
        begun.elapsed().as_secs(),
        failures.len()
    );
    // Past the test runner's capture; a closed terminal is no reason to fail.
    let _ = std::io::stderr().write_all(line.as_bytes());
    let first = failures.first().map(|run| &run.stderr);
    assert_eq!(first, None, "{line}");
    let logins: usize = people.iter().map(|person| person.browsed().len()).sum();
    assert_eq!(logins, SESSIONS, "nobody was asked to log in again");
    // A certificate lives for a minute at most; at the run's two ends part of a life is lost.
    let lives = usize::try_from(whole.as_secs() / 90).expect("small");
    assert!(renewals >= SESSIONS / 2 + SESSIONS * lives, "{line}");
    assert!(
        other.issued() > 0 && restarts >= 2,
        "both replicas took part: {line}"
    );
}
