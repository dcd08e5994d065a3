//! What two of three holders' programs and the opener's compute for one certificate, beside one plain Ed25519 signature.

use std::time::{Duration, Instant};

use aws_lc_rs::signature::Ed25519KeyPair;
use frost_ed25519::keys::KeyPackage;
use gatepass_break_glass::{
    approver::Approval,
    keygen::side_by_side,
    kit::{Draft, Kit, Limits, Made},
    log::Head,
    name::{Name, Reason},
    opener::{Granted, Opening},
    request::Request,
    share::Share,
};
use rand_core::OsRng;

const NOW: i64 = 1_795_000_000;
const ROUNDS: usize = 200;

#[expect(clippy::print_stdout, reason = "a benchmark's output is its purpose")]
fn main() {
    let (kit, shares) = side_by_side(&draft(), &mut OsRng).expect("a kit");
    let subject = rcgen::KeyPair::generate().expect("a key");
    let plain = Ed25519KeyPair::generate().expect("a key");
    let (mut ceremonies, mut signatures) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ceremonies.push(timed(|| ceremony(&kit, &shares[..2], subject.public_key_raw())));
        signatures.push(timed(|| {
            std::hint::black_box(plain.sign(&[0; 600]));
        }));
    }
    let (ceremony, signature) = (median(ceremonies), median(signatures));
    println!(
        "a certificate by 2 of 3 shares, all programs together: {:.2} ms (goal: 10 ms); {:.0} plain Ed25519 signatures of {:.1} µs",
        ceremony.as_secs_f64() * 1e3,
        ceremony.as_secs_f64() / signature.as_secs_f64(),
        signature.as_secs_f64() * 1e6
    );
}

fn ceremony(kit: &Kit, shares: &[(Name, KeyPackage)], key: &[u8]) {
    let reason = Reason::try_from("bench".to_owned()).expect("a reason");
    let request = Request::certificate(kit, name("alice"), reason, 3600, key);
    let mut opening = Opening::begin(kit, request.clone()).expect("a request");
    let mut committed = Vec::new();
    for (holder, key) in shares {
        let share = Share::of(kit, holder.clone(), key.clone());
        let approval = Approval::begin(kit, share, request.clone()).expect("a request that may be granted");
        let (one, text) = approval.commit(head(), &mut OsRng);
        let _progress = opening.commitment(&text).expect("a commitment");
        committed.push(one);
    }
    let signing = opening.sign(NOW - 300, head()).expect("a quorum").clone();
    for one in committed {
        let text = one.sign(&signing, NOW, None, head()).expect("a signature share");
        let _progress = opening.signature_share(&text).expect("a signature share");
    }
    assert!(matches!(opening.finish(), Ok(Granted::Certificate(_))));
}

fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn name(name: &str) -> Name {
    Name::try_from(name.to_owned()).expect("a name")
}

fn head() -> Head {
    Head {
        machine: "bench".into(),
        entries: 1,
        hash: String::new(),
    }
}

fn draft() -> Draft {
    Draft {
        cluster: "bench".into(),
        issuer: None,
        server: "https://server".into(),
        server_ca: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into(),
        made: Made::OneMachine,
        created: NOW,
        authority_days: 7300,
        threshold: 2,
        holders: ["alice", "bob", "carol"]
            .map(|holder| (name(holder), vec![holder.into()]))
            .into(),
        limits: Limits {
            longest_seconds: 3600,
            openers: Vec::new(),
            recertify_days: 180,
        },
    }
}
