//! What HTTP itself gives reason for.

use axum::body::Bytes;
use axum::http::Method;

use super::*;

async fn sent(request: Request<Body>) -> Answer {
    Answer::read(Issuance::new().send(request).await).await
}

fn post(content_type: Option<&str>, body: Body) -> Request<Body> {
    let mut request = Request::post("/v1/certificates");
    if let Some(content_type) = content_type {
        request = request.header("Content-Type", content_type);
    }
    request.body(body).unwrap()
}

#[tokio::test]
async fn another_path_is_not_found() {
    for path in [
        "/",
        "/v1",
        "/v1/cluster/",
        "/v1/certificates/x",
        "/livez",
        "/readyz",
        "/v1/authorize",
        "/v1//cluster",
    ] {
        sent(Request::get(path).body(Body::empty()).unwrap())
            .await
            .is_refused(404, "not_found");
    }
}

#[tokio::test]
async fn another_method_is_not_allowed() {
    for (method, path) in [
        (Method::GET, "/v1/certificates"),
        (Method::PUT, "/v1/certificates"),
        (Method::GET, "/v1/logout"),
        (Method::GET, "/v1/backchannel-logout"),
        (Method::POST, "/v1/cluster"),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        sent(request).await.is_refused(405, "method_not_allowed");
    }
}

#[tokio::test]
async fn a_body_that_is_not_json_by_its_type_is_refused() {
    for content_type in [
        None,
        Some("text/plain"),
        Some("application/jsonx"),
        Some("application/json; charset=latin1"),
        Some(""),
    ] {
        sent(post(content_type, Body::from("{}")))
            .await
            .is_refused(415, "unsupported_media_type");
    }
}

#[tokio::test]
async fn json_with_a_charset_is_json() {
    for content_type in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
    ] {
        sent(post(Some(content_type), Body::from("{}")))
            .await
            .is_refused(401, "missing_proof");
    }
}

#[tokio::test]
async fn a_body_above_256_kib_is_too_large_whether_announced_or_not() {
    let body = vec![b' '; 256 * 1024 + 1];
    sent(post(Some("application/json"), Body::from(body.clone())))
        .await
        .is_refused(413, "too_large");
    let mut announced = post(Some("application/json"), Body::empty());
    announced
        .headers_mut()
        .insert("content-length", "999999999".parse().unwrap());
    sent(announced).await.is_refused(413, "too_large");
    // A body of unknown length.
    let stream = Body::new(http_body_util::BodyExt::map_frame(
        http_body_util::Full::new(Bytes::from(body)),
        |f| f,
    ));
    let mut unannounced = post(Some("application/json"), stream);
    unannounced.headers_mut().remove("content-length");
    sent(unannounced).await.is_refused(413, "too_large");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let begun = tokio::time::Instant::now();
    sent(post(Some("application/json"), Body::new(Never)))
        .await
        .is_refused(400, "malformed_request");
    assert!(begun.elapsed() < Duration::from_secs(2));
}

struct Never;

impl axum::body::HttpBody for Never {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

#[tokio::test]
async fn the_cluster_is_named_as_documented() {
    let issuance = Issuance::new();
    let response = issuance
        .send(Request::get("/v1/cluster").body(Body::empty()).unwrap())
        .await;
    let answer = Answer::read(response).await;
    assert_eq!(answer.status, StatusCode::OK);
    let expected = json!({
        "clusterId": issuance.cluster_id(), "name": "demo", "url": URL, "serverTime": "2026-09-21T14:13:20Z",
        "identityProviders": [{
            "issuer": ISSUER, "clientId": CLIENT, "scopes": ["openid", "offline_access"], "flows": ["browser"],
            "binding": "required", "maxTokenAgeSeconds": 600,
        }],
        "certificate": {"maxTtlSeconds": 600}, "session": {"maxSeconds": 43200},
    });
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn each_client_is_an_element() {
    let answer = Answer::read(
        two_providers()
            .send(Request::get("/v1/cluster").body(Body::empty()).unwrap())
            .await,
    )
    .await;
    let issuers: Vec<_> = answer.body["identityProviders"]
        .as_array()
        .unwrap()
        .iter()
        .map(|idp| &idp["issuer"])
        .collect();
    assert_eq!(issuers, [ISSUER, OTHER_ISSUER]);
}

#[tokio::test]
async fn every_code_has_a_problem_of_its_status_and_5xx_have_no_detail() {
    let id = RequestId("r".into());
    for code in Code::ALL {
        let response = axum::response::IntoResponse::into_response(Problem::new(
            code.clone(),
            "secret cause".into(),
            &id,
            NOW,
        ));
        assert_eq!(response.status().as_u16(), code.status());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body: gatepass_api::Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!(body.code, *code);
        assert_eq!(body.detail == "secret cause", code.status() < 500);
    }
}
