//! Against a provider on a loopback listener, over real TLS.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use fakes::Idp;
use rcgen::{CertifiedIssuer, KeyPair};
use serde_json::json;
use std::sync::Mutex as StdMutex;
use tokio::net::TcpListener;
use tokio_rustls::rustls;

use super::*;
use crate::id_token::Algorithm;
use crate::mapping::{Mapping, PrefixedClaim};
use crate::server::{self, Limits, TlsVersion};

pub(crate) const METADATA: &str = "/.well-known/openid-configuration";

/// What the provider answers for a path: status, extra header, body.
type Answers = Arc<StdMutex<HashMap<String, (u16, Option<(&'static str, String)>, Vec<u8>)>>>;

pub(crate) struct Provider {
    pub(crate) idp: Idp,
    pub(crate) ca: String,
    answers: Answers,
    asked: Arc<AtomicUsize>,
}

impl Provider {
    pub(crate) async fn start() -> Self {
        // Another test may have been first.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &ca).unwrap();
        let tls = server::server_config(&certificate.pem(), &key.serialize_pem(), TlsVersion::V1_3, None);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("https://{}", listener.local_addr().unwrap());
        let (answers, asked) = (Answers::default(), Arc::new(AtomicUsize::new(0)));
        let router = {
            let (answers, asked) = (Arc::clone(&answers), Arc::clone(&asked));
            axum::Router::new().fallback(move |uri: axum::http::Uri| {
                let answer = answers.lock().unwrap().get(uri.path()).cloned();
                asked.fetch_add(usize::from(uri.path() == METADATA), Ordering::Relaxed);
                async move {
                    let (status, header, body) = answer.unwrap_or((404, None, Vec::new()));
                    let mut response = axum::http::Response::builder().status(status);
                    if let Some((name, value)) = header {
                        response = response.header(name, value);
                    }
                    response.body(axum::body::Body::from(body)).unwrap()
                }
            })
        };
        // Longer than any test moves the clock.
        let long = Duration::from_secs(1_000_000);
        let limits = Limits {
            connections: 16,
            handshake: long,
            header: long,
            connection: long,
            shutdown: long,
        };
        tokio::spawn(server::serve(
            listener,
            Some(Arc::new(arc_swap::ArcSwap::new(tls.unwrap()))),
            router,
            limits,
            std::future::pending(),
        ));
        let provider = Self {
            idp: Idp::new(&issuer),
            ca: ca.pem(),
            answers,
            asked,
        };
        provider.answer(
            METADATA,
            &provider.idp.metadata(&format!("{issuer}/jwks")).to_string(),
        );
        provider.answer("/jwks", &provider.idp.jwks().to_string());
        provider
    }

    pub(crate) fn answer(&self, path: &str, body: &str) {
        self.answer_with(path, 200, None, body);
    }

    pub(crate) fn answer_with(
        &self,
        path: &str,
        status: u16,
        header: Option<(&'static str, String)>,
        body: &str,
    ) {
        self.answers
            .lock()
            .unwrap()
            .insert(path.to_owned(), (status, header, body.into()));
    }

    pub(crate) fn times_asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn sources(&self) -> Arc<KeySources> {
        self.sources_trusting(Some(self.ca.clone()))
    }

    fn sources_trusting(&self, certificate_authority: Option<String>) -> Arc<KeySources> {
        Arc::new(KeySources::new(&[self.trusting(certificate_authority)]).unwrap())
    }

    fn trusting(&self, certificate_authority: Option<String>) -> IdentityProvider {
        let username = PrefixedClaim {
            claim: "sub".into(),
            prefix: String::new(),
        };
        IdentityProvider {
            issuer: self.idp.issuer().to_owned(),
            clients: Vec::new(),
            mapping: Mapping {
                username,
                groups: None,
                uid: None,
            },
            max_token_age: Duration::from_secs(600),
            certificate_authority,
        }
    }
}

fn has_keys(sources: &KeySources) -> bool {
    let snapshot = sources.snapshot();
    snapshot[0]
        .as_ref()
        .is_some_and(|keys| keys.find(Algorithm::Rs256, Some("rsa")).is_some())
}

/// Moves tokio's clock, and lets the network go on by the real one.
pub(crate) async fn wait(duration: Duration) {
    tokio::time::pause();
    tokio::time::advance(duration).await;
    tokio::time::resume();
}

#[tokio::test]
async fn keys_are_fetched_by_way_of_the_metadata() {
    let provider = Provider::start().await;
    let sources = provider.sources();
    assert!(!has_keys(&sources));
    assert_eq!(sources.without_keys(), [provider.idp.issuer()]);
    assert!(sources.refresh(0).await);
    assert!(has_keys(&sources));
    assert!(sources.without_keys().is_empty());
}

#[tokio::test]
async fn a_provider_of_another_authority_is_not_believed() {
    let provider = Provider::start().await;
    let other = Provider::start().await;
    for trusted in [Some(other.ca.clone()), None] {
        let sources = provider.sources_trusting(trusted);
        assert!(!sources.refresh(0).await);
        assert!(!has_keys(&sources));
    }
    assert_eq!(provider.times_asked(), 0);
}

/// Changes one answer and expects that no keys come of it.
async fn without_keys(change: impl FnOnce(&Provider)) {
    let provider = Provider::start().await;
    change(&provider);
    let sources = provider.sources();
    assert!(!sources.refresh(0).await);
    assert!(!has_keys(&sources));
}

#[tokio::test]
async fn metadata_of_another_issuer_is_refused() {
    without_keys(|provider| {
        let mut metadata = provider.idp.metadata(&format!("{}/jwks", provider.idp.issuer()));
        metadata["issuer"] = json!(format!("{}/", provider.idp.issuer()));
        provider.answer(METADATA, &metadata.to_string());
    })
    .await;
}

#[tokio::test]
async fn a_key_set_without_tls_is_not_fetched() {
    without_keys(|provider| {
        let plain = provider.idp.issuer().replace("https", "http");
        provider.answer(
            METADATA,
            &provider.idp.metadata(&format!("{plain}/jwks")).to_string(),
        );
    })
    .await;
}

#[tokio::test]
async fn redirects_are_not_followed() {
    for path in [METADATA, "/jwks"] {
        without_keys(|provider| {
            let body = provider.answers.lock().unwrap()[path].2.clone();
            provider.answer("/elsewhere", &String::from_utf8(body).unwrap());
            let location = format!("{}/elsewhere", provider.idp.issuer());
            provider.answer_with(path, 302, Some(("location", location)), "");
        })
        .await;
    }
}

#[tokio::test]
async fn documents_above_512_kib_are_refused() {
    without_keys(|provider| {
        let mut keys = provider.idp.jwks();
        keys["padding"] = json!("a".repeat(512 * 1024));
        provider.answer("/jwks", &keys.to_string());
    })
    .await;
}

#[tokio::test]
async fn errors_and_nonsense_give_no_keys() {
    without_keys(|provider| provider.answer_with(METADATA, 503, None, "{}")).await;
    without_keys(|provider| provider.answer(METADATA, "<html>")).await;
    without_keys(|provider| provider.answer("/jwks", "<html>")).await;
    without_keys(|provider| provider.answer("/jwks", "{}")).await;
}

#[tokio::test]
async fn a_crowd_fetches_once() {
    let provider = Provider::start().await;
    let sources = provider.sources();
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let sources = Arc::clone(&sources);
        crowd.spawn(async move { sources.refresh(0).await });
    }
    assert!(crowd.join_all().await.into_iter().all(|succeeded| succeeded));
    assert_eq!(provider.times_asked(), 1);
}

#[tokio::test]
async fn a_provider_is_left_alone_for_10_seconds_also_after_a_failure() {
    let provider = Provider::start().await;
    provider.answer_with(METADATA, 503, None, "");
    let sources = provider.sources();
    assert!(!sources.refresh(0).await);
    assert!(!sources.refresh(0).await);
    assert_eq!(provider.times_asked(), 1);
    wait(Duration::from_millis(9_500)).await;
    assert!(!sources.refresh(0).await);
    assert_eq!(provider.times_asked(), 1);
    provider.answer(
        METADATA,
        &provider
            .idp
            .metadata(&format!("{}/jwks", provider.idp.issuer()))
            .to_string(),
    );
    wait(Duration::from_secs(1)).await;
    assert!(sources.refresh(0).await);
    assert!(sources.refresh(0).await, "a success is remembered too");
    assert_eq!(provider.times_asked(), 2);
}

#[tokio::test]
async fn keys_outlive_an_outage_for_24_hours_and_no_longer() {
    let provider = Provider::start().await;
    let sources = provider.sources();
    assert!(sources.refresh(0).await);
    provider.answer_with(METADATA, 503, None, "");
    wait(Duration::from_secs(24 * 3600 - 5)).await;
    assert!(!sources.refresh(0).await);
    assert!(has_keys(&sources));
    wait(Duration::from_secs(10)).await;
    assert!(!has_keys(&sources));
}

#[tokio::test]
async fn a_withdrawn_key_goes_with_the_next_fetch() {
    let provider = Provider::start().await;
    let sources = provider.sources();
    assert!(sources.refresh(0).await);
    provider.answer("/jwks", r#"{"keys":[]}"#);
    wait(Duration::from_secs(11)).await;
    assert!(sources.refresh(0).await);
    assert!(!has_keys(&sources));
}

#[tokio::test]
async fn keys_are_fetched_at_start_and_again_within_10_minutes() {
    let provider = Provider::start().await;
    let sources = provider.sources();
    let fresh = tokio::spawn(Arc::clone(&sources).keep_fresh());
    until(|| has_keys(&sources)).await;
    let asked = provider.times_asked();
    wait(Duration::from_secs(10 * 60)).await;
    until(|| provider.times_asked() > asked).await;
    fresh.abort();
}

async fn until(done: impl Fn() -> bool) {
    let condition = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), condition)
        .await
        .expect("it happens in time");
}

#[tokio::test]
async fn what_is_known_of_a_provider_outlives_a_reload_that_leaves_it_as_it_was() {
    let (one, other) = (Provider::start().await, Provider::start().await);
    let idps = [&one, &other].map(|provider| provider.trusting(Some(provider.ca.clone())));
    let old = KeySources::new(&idps).unwrap();
    assert!(old.refresh(0).await && old.refresh(1).await);
    let [first, mut second] = idps;
    second.certificate_authority = Some(one.ca.clone());
    let new = KeySources::inheriting(&[second, first], &old).unwrap();
    let known: Vec<_> = new.snapshot().iter().map(Option::is_some).collect();
    assert_eq!(
        known,
        [false, true],
        "believed by other authorities, it starts anew"
    );
    assert!(new.refresh(1).await);
    assert_eq!(one.times_asked(), 1, "an attempt a moment ago still counts");
}
