//! Issuance in process, beside the sum of its primitives by the same crypto library.
//!
//! Every figure is a ratio of medians taken in one run, the candidates interleaved round by round, in CPU time of this
//! one thread where the kernel tells it. Absolute times mean nothing on a shared machine.

use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey,
};
use fakes::{CsrKey, Idp, Login, SigningKey};
use gatepass_issuer::audit::Trail;
use gatepass_issuer::cli::{Cli, Command};
use gatepass_issuer::config::Config;
use gatepass_issuer::id_token::KeySet;
use gatepass_issuer::issue::{Issuer, KeySets, Known, Received};
use gatepass_issuer::revocation::{Mode, Revocations};
use serde_json::json;

const NOW: i64 = 1_790_000_000;
const ROUNDS: usize = 11;
/// The kernel counts a running thread's time in ticks of some milliseconds: long enough that they do not matter.
const BATCH: u32 = 1000;

struct Request {
    body: String,
    proof: String,
}

fn issuer() -> Issuer {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().to_str().expect("a path in UTF-8");
    let arguments = [
        "gatepass-issuer",
        "init",
        "--dir",
        path,
        "--idp",
        "https://idp.test",
        "--client-id",
        "gatepass",
    ]
    .into_iter()
    .chain([
        "--username-claim",
        "preferred_username",
        "--groups-claim",
        "groups",
    ]);
    let Command::Init(options) = <Cli as clap::Parser>::parse_from(arguments).command else {
        unreachable!()
    };
    gatepass_issuer::init::init(&options, NOW, &SystemRandom::new()).expect("init");
    Config::load(&dir.path().join("issuer.yaml"), NOW)
        .expect("a configuration")
        .issuer
}

fn request(issuer: &Issuer, idp: &Idp, with_login_token: bool) -> Request {
    let login = Login::new(NOW.unsigned_abs());
    let groups: Vec<String> = (0..20).map(|n| format!("engineering-team-{n:0>10}")).collect();
    let mut claims = json!({
        "iss": "https://idp.test", "aud": "gatepass", "sub": "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0", "iat": NOW,
        "exp": NOW + 3600, "nonce": login.nonce(), "preferred_username": "alice@example.com", "groups": groups,
        "auth_time": NOW, "jti": "6e0f2b7c-1c2d-4f7e-9d53-5a4b3c2d1e0f", "name": "Alice Example", "azp": "gatepass",
    });
    let mut body = json!({"csr": fakes::csr(CsrKey::P256)});
    if with_login_token {
        body["loginToken"] = json!(idp.sign("RS256", &claims));
        claims["jti"] = json!("2");
    }
    body["idToken"] = json!(idp.sign("RS256", &claims));
    let body = body.to_string();
    let url = format!("{}/v1/certificates", issuer.cluster.url);
    let proof = login.proof(&url, &issuer.cluster.id, body.as_bytes(), NOW);
    Request { body, proof }
}

/// CPU time of this thread, or the clock where the kernel does not tell it.
fn spent(work: impl Fn()) -> Duration {
    let cpu = || {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    };
    let (begun, before) = (Instant::now(), cpu());
    (0..BATCH).for_each(|_| work());
    let (elapsed, after) = (begun.elapsed(), cpu());
    let total = before
        .zip(after)
        .map_or(elapsed, |(before, after)| after.saturating_sub(before));
    total / BATCH
}

struct Candidate<'a> {
    name: &'a str,
    work: Box<dyn Fn() + 'a>,
    times: Vec<Duration>,
}

impl<'a> Candidate<'a> {
    fn new(name: &'a str, work: impl Fn() + 'a) -> Self {
        Self {
            name,
            work: Box::new(work),
            times: Vec::new(),
        }
    }

    fn median(&self) -> Duration {
        self.times[self.times.len() / 2]
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark's output is its purpose")]
fn main() {
    let issuer = issuer();
    let idp = Idp::new("https://idp.test");
    let keys: KeySets = vec![Some(
        KeySet::parse(idp.jwks().to_string().as_bytes())
            .expect("keys")
            .into(),
    )];
    let random = SystemRandom::new();
    let revocations = Revocations::new(Mode::BestEffort);
    revocations.in_contact(NOW);
    let exchange = |request: &Request| {
        let received = Received {
            proofs: &[&request.proof],
            body: request.body.as_bytes(),
        };
        let known = Known {
            keys: &keys,
            revocations: &revocations,
            now: NOW,
        };
        let issued = issuer.exchange(received, known, &random, &mut Trail::default());
        assert!(std::hint::black_box(issued).is_ok());
    };
    let (plain, with_login) = (request(&issuer, &idp, false), request(&issuer, &idp, true));

    let message = plain.body.as_bytes();
    let SigningKey::Rsa(rsa) = SigningKey::rsa() else {
        unreachable!()
    };
    let rsa_signature = {
        let mut signature = vec![0; rsa.public_modulus_len()];
        rsa.sign(&signature::RSA_PKCS1_SHA256, &random, message, &mut signature)
            .expect("signing");
        signature
    };
    let rsa_key =
        ParsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, rsa.public_key()).expect("a key");
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
    let p256_signature = p256.sign(&random, message).expect("signing");
    let p256_point = p256.public_key().as_ref();
    let rsa_verify = || rsa_key.verify_sig(message, &rsa_signature).expect("a signature");
    let p256_verify = || {
        // Proof and CSR bring keys never seen before, so parsing them is part of verifying.
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, p256_point).expect("a key");
        key.verify_sig(message, p256_signature.as_ref())
            .expect("a signature");
    };
    let primitives = |rsa_verifies: u32| {
        (0..rsa_verifies).for_each(|_| rsa_verify());
        p256_verify();
        p256_verify();
        std::hint::black_box(p256.sign(&random, message).expect("signing"));
    };

    let mut candidates = [
        Candidate::new("exchange", || exchange(&plain)),
        Candidate::new(
            "its primitives: 1 RSA verify, 2 P-256 verify, 1 P-256 sign",
            || primitives(1),
        ),
        Candidate::new("exchange with login token", || exchange(&with_login)),
        Candidate::new(
            "its primitives: 2 RSA verify, 2 P-256 verify, 1 P-256 sign",
            || primitives(2),
        ),
    ];
    for round in 0..=ROUNDS {
        for candidate in &mut candidates {
            let time = spent(&candidate.work);
            // The first round warms up.
            if round > 0 {
                candidate.times.push(time);
            }
        }
    }
    for candidate in &mut candidates {
        candidate.times.sort_unstable();
        let (median, fastest, slowest) = (
            candidate.median(),
            candidate.times[0],
            candidate.times[candidate.times.len() - 1],
        );
        println!(
            "{:<62} {:>7.1} us  {:>6.0} per second and core   (fastest {:.1}, slowest {:.1} us)",
            candidate.name,
            median.as_secs_f64() * 1e6,
            1.0 / median.as_secs_f64(),
            fastest.as_secs_f64() * 1e6,
            slowest.as_secs_f64() * 1e6
        );
    }
    for pair in candidates.chunks(2) {
        let ratio = pair[1].median().as_secs_f64() / pair[0].median().as_secs_f64();
        println!(
            "{}: {:.0} % of the rate of its primitives (goal: 80 %)",
            pair[0].name,
            ratio * 100.0
        );
    }
}
