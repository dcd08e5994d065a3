//! An issuer that is down, on its way down and up again, or without its audit sink: no wrong answer, nothing kept is lost.

use std::io::{Read as _, Write as _, pipe};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use e2e::clock::Clock;
use e2e::exchange::Login;
use e2e::idp::Idp;
use e2e::issuer::{Issuer, Prepared};
use e2e::machine::{Context, Machine};
use e2e::parts::{Part, present};
use e2e::process::until;
use e2e::world::{Site, World};
use gatepass_api::Code;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::json;

static SITE: Site = Site::new("outages");
const HOUR: i64 = 3600;
/// What an unmodified Linux lets into a pipe that nobody reads.
const PIPE: usize = 65_536;

#[test]
fn an_issuer_that_is_down_is_named_and_costs_nobody_a_session() {
    if !present(&[Part::ControlPlane, Part::IdentityProvider, Part::Faketime]) {
        return;
    }
    let mut world = World::at(&SITE, "down", Some(-HOUR));
    let clock = world.clock.as_ref().expect("this world has a clock");
    let dir = world.dir.join("alice");
    let alice = Machine::without_desktop(&dir, "alice", &world.idp, Some(clock));
    alice.accept(&world.issuer);
    alice.kubeconfig(&[Context {
        name: "here",
        cluster: world.cluster,
        issuer: &world.issuer,
    }]);
    alice.get_credential(&world.issuer).expect_ok();

    world.issuer.halt();
    clock.set(0);
    let begun = Instant::now();
    let refused = alice.kubectl(&["auth", "whoami"]);
    assert!(
        !refused.ok
            && refused.stderr.contains(&world.issuer.url)
            && refused.stderr.contains("cannot be reached"),
        "it names who is down: {}",
        refused.stderr
    );
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "and does not keep a person waiting"
    );
    world.issuer.resume();
    assert_eq!(alice.whoami()["username"], "alice");

    world.issuer.halt();
    assert_eq!(
        alice.whoami()["username"],
        "alice",
        "a live credential needs no issuer"
    );
    assert_eq!(alice.browsed().len(), 1, "the session outlived it all");
}

/// Whom a test's requests come from.
struct Crowd {
    dir: PathBuf,
    clock: Clock,
    idp: Idp,
    issuer: Issuer,
    people: Vec<Machine>,
}

impl Crowd {
    /// Ten people who logged in eight hours ago.
    fn new(name: &'static str) -> Self {
        let dir = SITE.dir(name);
        let clock = Clock::new(&dir, -8 * HOUR);
        let idp = Idp::start_at(&dir.join("idp"), Some(&clock));
        let prepared = Prepared::init_at(&dir.join("issuer"), name, &idp, Some(&clock));
        let issuer = prepared.serve_at(Some(&clock));
        let person = |number: usize| {
            let name = format!("user-{number}");
            idp.user(&name, &json!({"groups": ["dev"]}));
            let person = Machine::without_desktop(&dir.join(&name), &name, &idp, Some(&clock));
            person.accept(&issuer);
            person.get_credential(&issuer).expect_ok();
            person
        };
        let people = (0..10).map(person).collect();
        Self {
            dir,
            clock,
            idp,
            issuer,
            people,
        }
    }

    /// An hour later everybody needs a new certificate at once, while `restart` is done up to so many times; five times over.
    fn renews_while(&mut self, times: usize, mut restart: impl FnMut(&mut Issuer)) {
        for round in 1..=5 {
            self.clock.set((round - 8) * HOUR);
            let commands: Vec<_> = self
                .people
                .iter()
                .map(|person| (person, person.get_credential_command(&self.issuer)))
                .collect();
            let issuer = &mut self.issuer;
            std::thread::scope(|scope| {
                let running: Vec<_> = commands
                    .into_iter()
                    .map(|(person, mut command)| scope.spawn(move || person.run(&mut command)))
                    .collect();
                for _ in 0..times {
                    if running.iter().all(|one| one.is_finished()) {
                        break;
                    }
                    restart(issuer);
                }
                for one in running {
                    let printed = one.join().expect("its thread ends").expect_ok().json();
                    assert!(
                        printed["status"]["clientCertificateData"].is_string(),
                        "{printed}"
                    );
                }
            });
        }
        assert_eq!(self.idp.stats().logins(), 10, "nobody logged in again");
    }
}

#[test]
fn replicas_that_restart_in_turn_lose_none_of_fifty_requests() {
    if !present(&[Part::IdentityProvider, Part::Faketime]) {
        return;
    }
    let mut crowd = Crowd::new("replicas");
    let mut other = crowd.issuer.replica("other");
    let mut turn = 0;
    crowd.renews_while(usize::MAX, |one| {
        if turn % 2 == 0 {
            one.restart()
        } else {
            other.restart()
        }
        turn += 1;
    });
    let issued = crowd.issuer.issued() + other.issued();
    assert!(
        issued >= 60,
        "{issued}: each was answered by the issuer; see {}",
        crowd.dir.display()
    );
    assert!(other.issued() > 0, "both replicas took part");
}

#[test]
fn an_only_issuer_that_restarts_loses_none_of_fifty_requests() {
    if !present(&[Part::IdentityProvider, Part::Faketime]) {
        return;
    }
    let mut crowd = Crowd::new("only");
    crowd.renews_while(1, Issuer::restart);
    assert!(crowd.issuer.issued() >= 60, "see {}", crowd.dir.display());
}

/// Reads a pipe to its end in a thread; what came so far.
fn drain(mut reader: std::io::PipeReader) -> Arc<Mutex<Vec<u8>>> {
    let read = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&read);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            let mut keep = keep.lock().expect("no thread panics while it holds this");
            keep.extend(&buffer[..count]);
        }
    });
    read
}

#[test]
fn without_its_audit_sink_nothing_is_issued_and_the_next_call_after_it_is_back_works() {
    if !present(&[Part::IdentityProvider, Part::Faketime]) {
        return;
    }
    let dir = SITE.dir("sink");
    let clock = Clock::new(&dir, -HOUR);
    let idp = Idp::start_at(&dir.join("idp"), Some(&clock));
    let prepared = Prepared::init_at(&dir.join("issuer"), "sink", &idp, Some(&clock));
    let (mut reader, mut writer) = pipe().expect("a pipe");
    let issued = prepared.serve_into(
        writer.try_clone().expect("a handle can be duplicated").into(),
        Some(&clock),
    );
    let alice = Machine::without_desktop(&dir.join("alice"), "alice", &idp, Some(&clock));
    alice.accept(&issued);
    alice.get_credential(&issued).expect_ok();
    let mut record = Vec::new();
    while record.last() != Some(&b'\n') {
        let mut byte = [0];
        reader.read_exact(&mut byte).expect("the record of the login");
        record.push(byte[0]);
    }

    // Whoever collects standard output has stopped reading.
    writer
        .write_all(&[b'\n'; PIPE])
        .expect("the pipe takes that much");
    clock.set(0);
    let begun = Instant::now();
    let refused = alice.get_credential(&issued);
    assert!(
        !refused.ok && refused.stderr.contains(Code::AuditUnavailable.as_str()),
        "its words name the sink: {}",
        refused.stderr
    );
    assert!(
        refused.stdout.is_empty(),
        "no record, no certificate: {}",
        refused.stdout
    );
    assert!(begun.elapsed() < Duration::from_secs(60), "and it ends");
    // Who asks the issuer itself sees the protocol's answer.
    let bob = Login::new(&idp, "bob");
    bob.request(&issued)
        .send(&bob.keys.key, &issued)
        .expect_refused(&Code::AuditUnavailable);

    let read = drain(reader);
    let served = until("the sink is back", Duration::from_secs(30), || {
        Some(alice.get_credential(&issued)).filter(|run| run.ok)
    });
    assert_eq!(alice.browsed().len(), 1, "the session outlived it");
    let printed = served.json();
    let certificate = printed["status"]["clientCertificateData"].as_str().expect("PEM");
    let der = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate");
    let id = HEXLOWER.encode(digest(&SHA256, &der).as_ref());
    let lines = read.lock().expect("no thread panics while it holds this").clone();
    let lines = String::from_utf8(lines).expect("text");
    assert!(
        lines
            .lines()
            .any(|line| line.contains(&id) && line.contains("certificate.issued")),
        "the certificate's record left before it: {lines}"
    );
}

#[test]
fn a_sink_that_takes_nothing_does_not_keep_the_issuer_from_ending() {
    if !present(&[Part::IdentityProvider]) {
        return;
    }
    let dir = SITE.dir("stuck");
    let idp = Idp::start(&dir.join("idp"));
    let prepared = Prepared::init(&dir.join("issuer"), "stuck", &idp);
    prepared.edit(|config| config["limits"]["shutdownTimeout"] = "1s".into());
    let (_nobody_reads, mut writer) = pipe().expect("a pipe");
    writer
        .write_all(&[b'\n'; PIPE])
        .expect("the pipe takes that much");
    let issuer = prepared.serve_into(writer.into(), None);
    let alice = Login::new(&idp, "alice");
    alice
        .request(&issuer)
        .send(&alice.keys.key, &issuer)
        .expect_refused(&Code::AuditUnavailable);
    assert!(issuer.stop().success());
}
