//! The exchange through the real router: one test per rejection, each with the exact status and code.

mod accepted;
mod audit;
mod authorize;
mod backchannel;
mod binding;
mod body;
mod certificate;
mod http;
mod keys;
mod login_token;
mod logout;
mod names;
mod proof;
mod revoked;
mod token;

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use arc_swap::ArcSwap;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use fakes::{CsrKey, Idp, Login};
use gatepass_api::revocation::Revocation;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::active::Active;
use crate::audit::Sink;
use crate::cli::{Cli, Command};
use crate::config::Config;
use crate::id_token::KeySet;
use crate::key_source::KeySources;
use crate::revocation::directory::Directory;

pub(in crate::routes) const NOW: i64 = 1_790_000_000;
pub(super) const ISSUER: &str = "https://idp.test";
pub(super) const OTHER_ISSUER: &str = "https://other-idp.test";
pub(super) const URL: &str = "https://gatepass.test:8443";
pub(super) const CLIENT: &str = "gatepass";

pub(super) static IDP: LazyLock<Idp> = LazyLock::new(|| Idp::new(ISSUER));
pub(super) static OTHER_IDP: LazyLock<Idp> = LazyLock::new(|| Idp::new(OTHER_ISSUER));
static CSR: LazyLock<String> = LazyLock::new(|| fakes::csr(CsrKey::P256));

/// Held by tests that take much memory, because one of them looks at how much there is.
pub(super) static MEMORY: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A sink that remembers, or refuses.
#[derive(Clone, Default)]
pub(super) struct Memory {
    pub(super) lines: Arc<Mutex<Vec<u8>>>,
    pub(super) broken: bool,
}

impl Sink for Memory {
    fn keep(&mut self, lines: &[u8]) -> std::io::Result<()> {
        if self.broken {
            return Err(std::io::Error::other("disk full"));
        }
        self.lines.lock().unwrap().extend_from_slice(lines);
        Ok(())
    }
}

impl Memory {
    pub(super) fn records(&self) -> Vec<Value> {
        let lines = self.lines.lock().unwrap();
        lines
            .split(|byte| *byte == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| serde_json::from_slice(l).unwrap())
            .collect()
    }
}

/// An issuer as `init` configures it, with the changes a test makes to `issuer.yaml`.
pub(in crate::routes) struct Issuance {
    pub(in crate::routes) app: App,
    pub(super) memory: Memory,
    pub(super) clock: Arc<AtomicI64>,
    pub(super) ca_pem: String,
    cluster_id: String,
    dir: tempfile::TempDir,
}

impl Issuance {
    pub(in crate::routes) fn new() -> Self {
        Self::configured(|yaml| yaml)
    }

    pub(super) fn configured(change: impl Fn(String) -> String) -> Self {
        Self::with_sink(change, Memory::default())
    }

    pub(super) fn with_sink(change: impl Fn(String) -> String, memory: Memory) -> Self {
        // Another test may have been first.
        drop(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider().install_default());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        let arguments = [
            "gatepass-issuer",
            "init",
            "--dir",
            path,
            "--url",
            URL,
            "--idp",
            ISSUER,
            "--client-id",
            CLIENT,
            "--username-claim",
            "preferred_username",
            "--username-prefix",
            "idp:",
            "--groups-claim",
            "groups",
        ];
        let Command::Init(options) = <Cli as clap::Parser>::parse_from(arguments).command else {
            panic!()
        };
        crate::init::init(&options, NOW, &SystemRandom::new()).unwrap();
        let yaml = std::fs::read_to_string(dir.path().join("issuer.yaml")).unwrap();
        let config = Config::parse(&change(yaml), dir.path(), NOW).unwrap();
        let keys = KeySources::with_keys(&config.issuer.idps, |issuer| {
            let idp = if issuer == ISSUER { &*IDP } else { &*OTHER_IDP };
            Some(KeySet::parse(idp.jwks().to_string().as_bytes()).unwrap())
        });
        let cluster_id = config.issuer.cluster.id.clone();
        let active = Active {
            issuer: Arc::new(config.issuer),
            keys: Arc::new(keys),
            webhook_clients: ["kube-apiserver".to_owned()].into(),
            detection: Arc::new(config.detection),
        };
        let revocations = Arc::new(Revocations::new(config.fixed.mode));
        revocations.in_contact(NOW);
        let clock = Arc::new(AtomicI64::new(NOW));
        let now = Arc::clone(&clock);
        let current = Arc::new(ArcSwap::from_pointee(active));
        let metrics = Arc::<Metrics>::default();
        let pace = crate::detection::Pace {
            first: Duration::from_millis(1),
            most: Duration::from_millis(20),
            give_up: Duration::from_secs(3),
        };
        let (outlet, _sending) = Outlet::start(Arc::clone(&current), Arc::clone(&metrics), pace);
        let app = App {
            current,
            outlet,
            metrics,
            revocations,
            store: Arc::new(Store::new(&config.fixed.store)),
            audit: AuditLog::start(memory.clone()).unwrap().0,
            clock: Arc::new(move || now.load(Ordering::Relaxed)),
            random: SystemRandom::new(),
            body_deadline: Duration::from_secs(1),
        };
        let ca_pem = std::fs::read_to_string(dir.path().join("ca.crt")).unwrap();
        Self {
            app,
            memory,
            clock,
            ca_pem,
            cluster_id,
            dir,
        }
    }

    /// Where its revocations are kept.
    pub(super) fn revocations(&self) -> PathBuf {
        self.dir.path().join("revocations")
    }

    /// What was revoked.
    pub(super) fn revoked(&self) -> Vec<Revocation> {
        let listing = Directory::new(self.revocations()).list().unwrap();
        assert!(listing.faults.is_empty());
        listing.documents
    }

    pub(super) fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Response {
        router(self.app.clone()).oneshot(request).await.unwrap()
    }

    /// Sends what a client at this issuer would send.
    pub(super) async fn ask(&self, ask: &Ask) -> Answer {
        self.ask_at("/v1/certificates", ask).await
    }

    /// The same to another path.
    pub(super) async fn ask_at(&self, path: &str, ask: &Ask) -> Answer {
        let body = ask.body();
        let mut request = Request::post(path).header("Content-Type", "application/json");
        for proof in ask.proofs_for(path, self.cluster_id(), &body) {
            request = request.header("DPoP", proof);
        }
        Answer::read(self.send(request.body(Body::from(body)).unwrap()).await).await
    }
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

impl Answer {
    pub(super) async fn read(response: Response) -> Self {
        let status = response.status();
        assert_eq!(response.headers()["cache-control"], "no-store");
        if status == StatusCode::NO_CONTENT {
            let body = Value::Null;
            return Self { status, body };
        }
        let media_type = if status.is_success() {
            "application/json"
        } else {
            "application/problem+json"
        };
        assert_eq!(response.headers()["content-type"], media_type);
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Self {
            status,
            body: serde_json::from_slice(&bytes).unwrap(),
        }
    }

    #[track_caller]
    pub(super) fn is_refused(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status.as_u16(), &self.body["code"]),
            (status, &json!(code)),
            "{}",
            self.body
        );
        assert_eq!(self.body["type"], format!("urn:gatepass:problem:{code}"));
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["requestId"].as_str().unwrap().len(), 32);
        assert_eq!(self.body["serverTime"], "2026-09-21T14:13:20Z");
        assert!(self.body["title"].is_string() && self.body["detail"].is_string());
    }

    #[track_caller]
    pub(super) fn is_issued(&self) -> &Value {
        assert_eq!(self.status, StatusCode::CREATED, "{}", self.body);
        &self.body
    }
}

/// A request, honest until a test changes it.
pub(super) struct Ask {
    pub(super) login: Login,
    /// Claims of the ID token.
    pub(super) claims: Value,
    pub(super) alg: &'static str,
    /// Sent in place of the token over `claims`.
    pub(super) token: Option<String>,
    /// Claims of the login token.
    pub(super) login_claims: Option<Value>,
    /// Sent in place of the token over `login_claims`.
    pub(super) login_token: Option<String>,
    /// Merged over the body; `null` removes.
    pub(super) members: Value,
    /// Sent in place of the body.
    pub(super) raw_body: Option<String>,
    /// Merged over the proof's claims; `null` removes.
    pub(super) proof_claims: Value,
    /// Merged over the proof's header; `null` removes.
    pub(super) proof_header: Value,
    /// Sent in place of the proof.
    pub(super) raw_proofs: Option<Vec<String>>,
}

pub(super) fn claims(login: &Login) -> Value {
    json!({
        "iss": ISSUER, "aud": CLIENT, "sub": "subject-1", "iat": NOW, "exp": NOW + 3600,
        "nonce": login.nonce(), "preferred_username": "alice", "groups": ["sre", "dev"],
    })
}

impl Ask {
    pub(super) fn new() -> Self {
        let login = Login::new(NOW.unsigned_abs());
        Self {
            claims: claims(&login),
            login,
            alg: "ES256",
            token: None,
            login_claims: None,
            login_token: None,
            members: json!({}),
            raw_body: None,
            proof_claims: json!({}),
            proof_header: json!({}),
            raw_proofs: None,
        }
    }

    /// An honest request whose ID token's claims are changed; `null` removes.
    pub(super) fn with_claims(changes: Value) -> Self {
        let mut ask = Self::new();
        merge(&mut ask.claims, &changes);
        ask
    }

    /// A request from a provider that drops the nonce at refresh: the login token is the grant.
    pub(super) fn with_login_token(changes: Value) -> Self {
        let mut ask = Self::with_claims(json!({"nonce": null}));
        let mut login_claims = claims(&ask.login);
        merge(&mut login_claims, &changes);
        ask.login_claims = Some(login_claims);
        ask
    }

    pub(super) fn with_proof_claims(changes: Value) -> Self {
        Self {
            proof_claims: changes,
            ..Self::new()
        }
    }

    pub(super) fn with_members(members: Value) -> Self {
        Self {
            members,
            ..Self::new()
        }
    }

    pub(super) fn with_token(token: String) -> Self {
        Self {
            token: Some(token),
            ..Self::new()
        }
    }

    pub(super) fn body(&self) -> String {
        if let Some(raw) = &self.raw_body {
            return raw.clone();
        }
        let token = self
            .token
            .clone()
            .unwrap_or_else(|| IDP.sign(self.alg, &self.claims));
        let mut body = json!({"idToken": token, "csr": *CSR});
        let login_token = self
            .login_claims
            .as_ref()
            .map(|claims| IDP.sign(self.alg, claims));
        if let Some(token) = self.login_token.clone().or(login_token) {
            body["loginToken"] = token.into();
        }
        merge(&mut body, &self.members);
        body.to_string()
    }

    fn proofs(&self, cluster_id: &str, body: &str) -> Vec<String> {
        self.proofs_for("/v1/certificates", cluster_id, body)
    }

    fn proofs_for(&self, path: &str, cluster_id: &str, body: &str) -> Vec<String> {
        if let Some(raw) = &self.raw_proofs {
            return raw.clone();
        }
        let url = format!("{URL}{path}");
        let mut claims = self.login.proof_claims(&url, cluster_id, body.as_bytes(), NOW);
        merge(&mut claims, &self.proof_claims);
        let mut header = self.login.key.proof_header();
        merge(&mut header, &self.proof_header);
        vec![self.login.key.proof_with_header(&header, &claims)]
    }
}

/// Puts `changes` over `target`; `null` removes.
pub(super) fn merge(target: &mut Value, changes: &Value) {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(name);
        } else {
            target[name] = value.clone();
        }
    }
}

/// Sends one request to a fresh issuer and expects a refusal.
pub(super) async fn refused(ask: Ask, status: u16, code: &str) {
    Issuance::new().ask(&ask).await.is_refused(status, code);
}

/// An issuer with a second provider whose users are called `other:…`.
pub(super) fn two_providers() -> Issuance {
    Issuance::configured(|yaml| {
        let second = format!(
            "  - issuer: {{url: {OTHER_ISSUER}, audiences: [{CLIENT}]}}\n    claimMappings:\n      \
             username: {{claim: preferred_username, prefix: 'other:'}}\n\n# Signs client"
        );
        yaml.replacen("\n# Signs client", &second, 1)
    })
}
