//! What API servers report.

use std::sync::Mutex;

use axum::routing::post;
use gatepass_api::revocation::{RevocationSpec, Target};
use tokio::sync::mpsc;

use super::*;
use crate::revocation::Checked;
use crate::server::{self, Limits, TlsVersion};

const CREDENTIAL: &str = "X509SHA256=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn event(user: &str, groups: &[&str]) -> Value {
    json!({
        "level": "Metadata", "auditID": "0a1b", "stage": "ResponseComplete", "requestURI": "/api", "verb": "get",
        "user": {"username": user, "groups": groups, "extra": {"authentication.kubernetes.io/credential-id": [CREDENTIAL]}},
        "sourceIPs": ["192.0.2.7"], "userAgent": "kubectl", "requestReceivedTimestamp": "2026-09-21T14:13:20.123456Z",
    })
}

fn list(events: &[Value]) -> String {
    json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": events}).to_string()
}

async fn posted_by(issuance: &Issuance, name: Option<&str>, body: impl Into<Body>) -> Response {
    let mut request = Request::post("/v1/audit?timeout=30s").header("Content-Type", "application/json");
    if let Some(name) = name {
        request = request.extension(ClientName(name.into()));
    }
    let request = request.body(body.into()).unwrap();
    webhooks_router(issuance.app.clone())
        .oneshot(request)
        .await
        .unwrap()
}

async fn posted(issuance: &Issuance, body: impl Into<Body>) -> StatusCode {
    posted_by(issuance, Some("kube-apiserver"), body).await.status()
}

fn counted(issuance: &Issuance, line: &str) -> bool {
    let text = issuance.app.metrics.render(&issuance.app.revocations, NOW);
    text.lines().any(|counted| counted == line)
}

#[tokio::test]
async fn what_is_found_is_counted_once() {
    let issuance = Issuance::new();
    let mallory = event("idp:mallory", &["sre", "system:authenticated"]);
    let control_plane = event("system:kube-scheduler", &["system:authenticated"]);
    let body = list(&[mallory.clone(), json!({"user": 7}), control_plane, mallory]);
    assert_eq!(posted(&issuance, body.clone()).await, 200);
    assert_eq!(posted(&issuance, body).await, 200);
    for line in [
        r#"gatepass_findings_total{finding="foreign-certificate"} 1"#,
        r#"gatepass_findings_total{finding="unexpected-group"} 0"#,
        r#"gatepass_findings_total{finding="unexpected-username"} 0"#,
        "gatepass_audit_events_total 8",
        "gatepass_audit_events_unreadable_total 2",
    ] {
        assert!(counted(&issuance, line), "{line}");
    }
}

#[tokio::test]
async fn a_stale_view_still_knows_what_was_bad() {
    let issuance = Issuance::configured(|yaml| yaml.replace("mode: best-effort", "mode: strict"));
    let spec = RevocationSpec {
        target: Target::CredentialId(CREDENTIAL.into()),
        logged_in_before: None,
        block_issuance: false,
        reason: None,
        expires_at: None,
    };
    let revocations = &issuance.app.revocations;
    revocations.change(|view| view.put("r", &Checked::new(&spec, Some(NOW)).unwrap()));
    revocations.in_contact(NOW - 60);
    let body = list(&[event("system:kube-scheduler", &["system:authenticated"])]);
    assert_eq!(posted(&issuance, body).await, 200);
    assert!(counted(
        &issuance,
        r#"gatepass_findings_total{finding="known-bad-credential"} 1"#
    ));
}

#[tokio::test]
async fn what_is_no_list_of_events_is_refused() {
    let issuance = Issuance::new();
    for body in [
        "",
        "{",
        "[]",
        r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v2","items":[]}"#,
        r#"{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1"}"#,
    ] {
        assert_eq!(posted(&issuance, body).await, 400, "{body}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_utf_8_hides_nothing() {
    let issuance = Issuance::new();
    let body = list(&[
        json!({"requestObject": "PATCH"}),
        event("idp:mallory", &["system:authenticated"]),
    ]);
    let at = body.find("PATCH").unwrap();
    let mut body = body.into_bytes();
    body[at] = 0xff;
    assert_eq!(posted(&issuance, body).await, 200);
    assert!(counted(
        &issuance,
        r#"gatepass_findings_total{finding="foreign-certificate"} 1"#
    ));
}

/// Whoever sends requests decides how long their events are: they must not take those of others with them.
#[tokio::test]
async fn a_batch_of_any_length_is_read_and_only_an_event_that_is_too_long_ends_it() {
    let long = |length: usize| json!({"requestURI": "x".repeat(length)});
    let mallory = event("idp:mallory", &["system:authenticated"]);
    let found = r#"gatepass_findings_total{finding="foreign-certificate"} 1"#;
    const MIB: usize = 1024 * 1024;
    let _alone = MEMORY.lock().await;
    let mut batch = vec![long(6 * MIB); 12];
    batch.push(mallory.clone());
    let issuance = Issuance::new();
    assert_eq!(posted(&issuance, list(&batch)).await, 200);
    assert!(counted(&issuance, found));

    let issuance = Issuance::new();
    assert_eq!(
        posted(&issuance, list(&[mallory.clone(), long(33 * MIB)])).await,
        400
    );
    assert!(counted(&issuance, found), "what came before it was looked at");
}

#[tokio::test]
async fn characters_that_are_cut_by_the_parts_of_a_body_stay_whole() {
    let mut mallory = event("idp:mällory😀", &["system:authenticated"]);
    mallory["requestObject"] = json!("PATCH");
    let mut body = list(&[mallory]).into_bytes();
    let at = body.windows(5).position(|window| window == b"PATCH").unwrap();
    body[at] = 0xf0;
    for length in 1..7 {
        let issuance = Issuance::new();
        let parts: Vec<_> = body
            .chunks(length)
            .map(|part| Ok::<_, std::convert::Infallible>(axum::body::Bytes::copy_from_slice(part)))
            .collect();
        let body = Body::from_stream(futures_util::stream::iter(parts));
        assert_eq!(posted(&issuance, body).await, 200, "{length}");
        let found = r#"gatepass_findings_total{finding="foreign-certificate"} 1"#;
        assert!(counted(&issuance, found), "{length}");
    }
}

/// A body that never comes.
struct Never;

impl hyper::body::Body for Never {
    type Data = axum::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn only_four_bodies_are_held_at_once() {
    let issuance = Issuance::new();
    let router = webhooks_router(issuance.app.clone());
    let send = |body: Body| {
        let request = Request::post("/v1/audit")
            .header("Content-Type", "application/json")
            .extension(ClientName("kube-apiserver".into()));
        router.clone().oneshot(request.body(body).unwrap())
    };
    let begun = tokio::time::Instant::now();
    let waiting: Vec<_> = (0..4).map(|_| tokio::spawn(send(Body::new(Never)))).collect();
    tokio::task::yield_now().await;
    let fifth = send(Body::from(list(&[]))).await.unwrap();
    assert_eq!((fifth.status().as_u16(), begun.elapsed().as_secs()), (429, 10));
    for one in waiting {
        assert_eq!(one.await.unwrap().unwrap().status(), 400);
    }
    assert_eq!(begun.elapsed().as_secs(), 30);
    assert_eq!(send(Body::from(list(&[]))).await.unwrap().status(), 200);
}

#[tokio::test]
async fn only_named_api_servers_may_report() {
    let issuance = Issuance::new();
    for name in [None, Some("kube-apiserver2"), Some("")] {
        let answer = posted_by(&issuance, name, list(&[])).await;
        Answer::read(answer).await.is_refused(403, "not_permitted");
    }
    // Nor anybody where people ask.
    let request = Request::post("/v1/audit").extension(ClientName("kube-apiserver".into()));
    let answer = issuance.send(request.body(Body::empty()).unwrap()).await;
    Answer::read(answer).await.is_refused(404, "not_found");
}

/// Somebody who is told of findings, over TLS.
struct Receiver {
    url: String,
    ca: String,
    told: mpsc::UnboundedReceiver<(Value, String)>,
    /// Statuses of the next answers; 204 after that.
    answers: Arc<Mutex<Vec<u16>>>,
}

impl Receiver {
    async fn start() -> Self {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &ca).unwrap();
        let tls =
            server::server_config(&certificate.pem(), &key.serialize_pem(), TlsVersion::V1_3, None).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/secret-path", listener.local_addr().unwrap());
        let (tell, told) = mpsc::unbounded_channel();
        let answers = Arc::new(Mutex::new(Vec::new()));
        let next = Arc::clone(&answers);
        let elsewhere = format!("{url}2");
        let answer = async move |request: Request<Body>| {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let path = parts.uri.path().to_owned();
            tell.send((serde_json::from_slice(&body).unwrap_or_default(), path))
                .unwrap();
            let status = next.lock().unwrap().pop().unwrap_or(204);
            let response = Response::builder().status(status).header("Location", elsewhere);
            response.body(Body::empty()).unwrap()
        };
        let router = Router::new()
            .route("/secret-path", post(answer.clone()))
            .fallback(answer);
        let limits = Limits {
            connections: 8,
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            connection: Duration::from_secs(60),
            shutdown: Duration::from_secs(1),
        };
        let tls = Some(Arc::new(ArcSwap::new(tls)));
        tokio::spawn(server::serve(
            listener,
            tls,
            router,
            limits,
            std::future::pending(),
        ));
        Self {
            url,
            ca: ca.pem(),
            told,
            answers,
        }
    }

    /// An issuer that tells it, and trusts these authorities for that; the system's where none is named.
    fn told_by(&self, authorities: Option<&str>) -> Issuance {
        let file = tempfile::NamedTempFile::new().unwrap();
        let authority = authorities.map_or(String::new(), |pem| {
            std::fs::write(file.path(), pem).unwrap();
            format!(", certificateAuthority: {}", file.path().display())
        });
        let webhook = format!("  findings: {{webhook: {{url: \"{}\"{authority}}}}}\n", self.url);
        Issuance::configured(|yaml| yaml + &webhook)
    }

    async fn next(&mut self) -> (Value, String) {
        let next = tokio::time::timeout(Duration::from_secs(20), self.told.recv());
        next.await.expect("it is told").unwrap()
    }
}

#[tokio::test]
async fn a_webhook_is_told_of_each_finding_once() {
    let mut receiver = Receiver::start().await;
    let issuance = receiver.told_by(Some(&receiver.ca));
    let first = event("idp:mallory", &["sre", "system:authenticated"]);
    let second = event("idp:eve", &["system:masters", "system:authenticated"]);
    let body = list(&[first.clone(), first, second]);
    assert_eq!(posted(&issuance, body).await, 200);
    let told = [
        receiver.next().await,
        receiver.next().await,
        receiver.next().await,
    ]
    .map(|(document, path)| {
        assert_eq!(path, "/secret-path");
        assert_eq!(document["cluster"], issuance.cluster_id());
        (
            document["user"].as_str().unwrap().to_owned(),
            document["finding"].as_str().unwrap().to_owned(),
        )
    });
    let expected = [
        ("idp:mallory", "foreign-certificate"),
        ("idp:eve", "foreign-certificate"),
        ("idp:eve", "unexpected-group"),
    ];
    assert_eq!(
        told,
        expected.map(|(user, finding)| (user.to_owned(), finding.to_owned()))
    );
    assert!(receiver.told.try_recv().is_err());
}

#[tokio::test]
async fn a_webhook_that_fails_is_tried_again_and_no_redirect_is_followed() {
    let mut receiver = Receiver::start().await;
    *receiver.answers.lock().unwrap() = vec![307, 404, 500];
    let issuance = receiver.told_by(Some(&receiver.ca));
    assert_eq!(posted(&issuance, list(&[event("idp:mallory", &[])])).await, 200);
    for _ in 0..4 {
        let (document, path) = receiver.next().await;
        assert_eq!(
            (document["user"].as_str().unwrap(), path.as_str()),
            ("idp:mallory", "/secret-path")
        );
    }
    // The next one comes when the first was taken.
    assert_eq!(posted(&issuance, list(&[event("idp:eve", &[])])).await, 200);
    assert_eq!(receiver.next().await.0["user"], "idp:eve");
    assert!(counted(
        &issuance,
        r#"gatepass_findings_dropped_total{finding="foreign-certificate"} 0"#
    ));
}

#[tokio::test]
async fn a_webhook_whose_authority_is_not_named_is_told_nothing() {
    let mut receiver = Receiver::start().await;
    let another = Receiver::start().await.ca;
    for issuance in [receiver.told_by(None), receiver.told_by(Some(&another))] {
        assert_eq!(posted(&issuance, list(&[event("idp:mallory", &[])])).await, 200);
        // It gives up after three seconds, having tried many times.
        let dropped = r#"gatepass_findings_dropped_total{finding="foreign-certificate"} 1"#;
        let begun = tokio::time::Instant::now();
        while !counted(&issuance, dropped) {
            assert!(begun.elapsed() < Duration::from_secs(60));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert!(receiver.told.try_recv().is_err());
}

#[tokio::test]
async fn many_findings_of_one_kind_crowd_out_no_other_and_nobody_waits() {
    let mut receiver = Receiver::start().await;
    // It takes nothing for now.
    *receiver.answers.lock().unwrap() = vec![503; 100_000];
    let issuance = receiver.told_by(Some(&receiver.ca));
    let flood: Vec<_> = (0..300).map(|n| event(&format!("idp:m{n}"), &[])).collect();
    assert_eq!(posted(&issuance, list(&flood)).await, 200);
    let glass = event("break-glass:bob", &["gatepass:break-glass"]);
    assert_eq!(posted(&issuance, list(&[glass])).await, 200);
    assert!(counted(
        &issuance,
        r#"gatepass_findings_dropped_total{finding="foreign-certificate"} 100"#
    ));
    assert!(counted(
        &issuance,
        r#"gatepass_findings_total{finding="foreign-certificate"} 300"#
    ));
    receiver.answers.lock().unwrap().clear();
    loop {
        if receiver.next().await.0["finding"] == "break-glass-used" {
            break;
        }
    }
}
