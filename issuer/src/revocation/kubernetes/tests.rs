use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};

use gatepass_api::revocation::Target;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes, Frame};
use hyper::{Request, Response};
use tower::{Layer as _, Service, ServiceExt as _};

use super::contact::{Contact, Notes};
use super::document::{Document, Due, End};
use super::*;
use crate::revocation::{Holder, Mode};

const NOW: i64 = 1_790_000_000;
const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaa";

/// A body of frames that ends as HTTP says, or in an error.
struct Frames(VecDeque<Result<&'static str, &'static str>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        let next = self.0.pop_front();
        Poll::Ready(next.map(|frame| frame.map(|text| Frame::data(Bytes::from_static(text.as_bytes())))))
    }
}

/// An API server that answers everything with a status and a body.
#[derive(Clone)]
struct Server {
    status: u16,
    frames: Vec<Result<&'static str, &'static str>>,
    /// How long the answer takes.
    takes: i64,
    time: Arc<AtomicI64>,
}

impl Service<Request<()>> for Server {
    type Response = Response<Frames>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        self.time.fetch_add(self.takes, Ordering::SeqCst);
        let answer = Response::builder().status(self.status);
        let body = Frames(self.frames.clone().into());
        std::future::ready(Ok(answer.body(body).unwrap()))
    }
}

struct Followed {
    contact: Arc<Contact>,
    revocations: Arc<Revocations>,
    time: Arc<AtomicI64>,
}

const WATCHING: &str =
    "/apis/gatepass.dev/v1alpha1/revocations?&watch=true&timeoutSeconds=4&resourceVersion=7";

impl Followed {
    fn new() -> Self {
        let time = Arc::new(AtomicI64::new(NOW));
        let clock = Arc::clone(&time);
        let (contact, revocations) = (
            Arc::new(Contact::default()),
            Arc::new(Revocations::new(Mode::Strict)),
        );
        contact.tells(
            Arc::clone(&revocations),
            Arc::new(move || clock.load(Ordering::SeqCst)),
        );
        Self {
            contact,
            revocations,
            time,
        }
    }

    /// Sends a request whose answer takes `takes` seconds and whose body is read `lasts` seconds later.
    async fn send(
        &self,
        uri: &str,
        status: u16,
        frames: &[Result<&'static str, &'static str>],
        (takes, lasts): (i64, i64),
    ) {
        let service = Notes(Arc::clone(&self.contact)).layer(Server {
            status,
            frames: frames.to_vec(),
            takes,
            time: Arc::clone(&self.time),
        });
        let request = Request::builder().uri(uri).body(()).unwrap();
        let body = service.oneshot(request).await.unwrap().into_body();
        self.time.fetch_add(lasts, Ordering::SeqCst);
        let mut body = std::pin::pin!(body);
        while let Some(Ok(_)) = body.frame().await {}
    }

    /// As if the newest had been read at this very moment: the watch decides.
    fn age(&self) -> Option<i64> {
        let now = self.time.load(Ordering::SeqCst);
        self.contact.read(now, now);
        self.revocations.age(now)
    }
}

#[tokio::test]
async fn a_watch_that_came_to_its_end_is_contact_and_nothing_else_is() {
    let followed = Followed::new();
    followed.send(WATCHING, 200, &[Ok("{}\n")], (0, 4)).await;
    assert_eq!(followed.age(), Some(0), "it ended now");
    // From here on nothing is contact, and all of it takes time.
    let before = followed.time.load(Ordering::SeqCst);
    for (uri, status, frames) in [
        // An answer that is cut off in its middle.
        (WATCHING, 200, &[Ok("{}\n"), Err("reset")][..]),
        (WATCHING, 200, &[Err("timed out")]),
        // No watch.
        (WATCHING, 410, &[Ok("{}")]),
        (WATCHING, 503, &[]),
        (
            "/apis/gatepass.dev/v1alpha1/revocations?limit=500",
            200,
            &[Ok("{}")],
        ),
        (
            "/apis/gatepass.dev/v1alpha1/revocations/watch=true",
            200,
            &[Ok("{}")],
        ),
        (
            "/apis/gatepass.dev/v1alpha1/revocations?xwatch=true",
            200,
            &[Ok("{}")],
        ),
    ] {
        followed.send(uri, status, frames, (1, 1)).await;
        let since = followed.time.load(Ordering::SeqCst) - before;
        assert_eq!(followed.age(), Some(since), "{uri} {status}");
    }
}

#[tokio::test]
async fn an_end_that_is_found_late_came_when_the_server_said() {
    let followed = Followed::new();
    // The process was stopped for an hour.
    followed.send(WATCHING, 200, &[], (0, 3600)).await;
    assert_eq!(followed.age(), Some(3600 - 4));
}

#[tokio::test]
async fn a_watch_that_says_that_it_forgot_is_no_contact() {
    let followed = Followed::new();
    followed.send(WATCHING, 200, &[], (0, 4)).await;
    let service = Notes(Arc::clone(&followed.contact)).layer(Server {
        status: 200,
        frames: vec![Ok("{\"type\":\"ERROR\"}\n")],
        takes: 0,
        time: Arc::clone(&followed.time),
    });
    let request = Request::builder().uri(WATCHING).body(()).unwrap();
    let mut body = std::pin::pin!(service.oneshot(request).await.unwrap().into_body());
    assert!(body.frame().await.is_some());
    assert!(followed.contact.lose(), "this is news");
    assert!(!followed.contact.lose(), "this is not");
    followed.time.fetch_add(3, Ordering::SeqCst);
    assert!(body.frame().await.is_none());
    assert_eq!(followed.age(), Some(3));
}

#[tokio::test]
async fn the_view_is_as_new_as_the_older_of_watch_and_read() {
    let followed = Followed::new();
    let (now, revocations) = (NOW, &followed.revocations);
    followed.contact.read(now, now);
    assert_eq!(revocations.age(now), None, "nothing was listed yet");
    followed.contact.listed(now - 3);
    assert_eq!(revocations.age(now), Some(3), "as new as the list's beginning");
    // An API server that is cut off from etcd answers watches, and no reads.
    followed.time.store(now + 20, Ordering::SeqCst);
    followed.send(WATCHING, 200, &[], (0, 4)).await;
    assert_eq!(revocations.age(now + 24), Some(24));
    followed.contact.read(now + 23, now + 24);
    assert_eq!(revocations.age(now + 24), Some(1));
    // One whose cache is behind etcd reads the list there when it has waited long enough.
    followed.time.store(now + 40, Ordering::SeqCst);
    followed.send(WATCHING, 200, &[], (0, 4)).await;
    followed.contact.read(now + 40, now + 43);
    assert_eq!(revocations.age(now + 44), Some(21));
    followed.contact.read(now + 41, now + 43);
    assert_eq!(revocations.age(now + 44), Some(3));
}

fn document(spec: serde_json::Value) -> Document {
    let object = json!({
        "apiVersion": "gatepass.dev/v1alpha1", "kind": "Revocation",
        "metadata": {
            "name": "a", "uid": "u", "resourceVersion": "7", "generation": 2,
            "creationTimestamp": "2026-09-21T14:13:20Z",
        },
        "spec": spec,
    });
    Document::new(serde_json::from_value(object).unwrap())
}

#[test]
fn an_object_denies_logins_up_to_its_creation_unless_it_says_when() {
    let plain = document(json!({"target": {"user": "alice"}}));
    assert_eq!(plain.checked().unwrap().logged_in_before(), NOW);
    let says = document(json!({"target": {"user": "alice"}, "loggedInBefore": "2026-09-21T14:13:19Z"}));
    assert_eq!(says.checked().unwrap().logged_in_before(), NOW - 1);
}

#[test]
fn ends_are_those_of_the_document_or_of_the_last_session() {
    let session = format!("{ID}-{ID}");
    for (spec, end) in [
        (
            json!({"target": {"user": "a"}, "expiresAt": "2026-09-21T14:13:21Z"}),
            Some(End::At(NOW + 1)),
        ),
        (json!({"target": {"user": "a"}}), None),
        (
            json!({"target": {"session": session}}),
            Some(End::WithSessionsBegunAt(NOW)),
        ),
        (
            json!({"target": {"session": session}, "expiresAt": "2026-09-21T14:13:22Z"}),
            Some(End::At(NOW + 2)),
        ),
        // What is ignored is left to whoever wrote it.
        (
            json!({"target": {"user": "system:a"}, "expiresAt": "2026-09-21T14:13:21Z"}),
            None,
        ),
        (json!("nonsense"), None),
    ] {
        assert_eq!(document(spec.clone()).end(), end, "{spec}");
    }
    let mut due = Due::NEVER;
    assert!(!due.is_come(i64::MAX - 1, 0));
    due.and(Some(End::WithSessionsBegunAt(NOW)));
    assert!(!due.is_come(NOW + 59, 60) && due.is_come(NOW + 60, 60));
    due.and(Some(End::At(NOW + 5)));
    assert!(!due.is_come(NOW + 4, 60) && due.is_come(NOW + 5, 60));
}

#[test]
fn a_status_is_written_once_and_only_on_the_state_it_speaks_of() {
    let mut ignored = document(json!({"target": {"group": "gatepass:x"}}));
    let patch = ignored.status_patch(NOW).unwrap();
    assert_eq!(patch["metadata"]["resourceVersion"], "7");
    let condition = &patch["status"]["conditions"][0];
    assert_eq!(condition["status"], "False");
    assert_eq!(condition["observedGeneration"], 2);
    assert_eq!(condition["lastTransitionTime"], "2026-09-21T14:13:20Z");
    let message = condition["message"].as_str().unwrap();
    assert!(
        message.starts_with("It is ignored: spec.target: groups that begin"),
        "{message}"
    );
    // Another replica, later, has nothing to add.
    ignored.status = patch["status"].clone();
    assert_eq!(ignored.status_patch(NOW + 9), None);
    // The rule is another one, but it is still ignored.
    ignored.status["conditions"][0]["message"] = "old".into();
    let patch = ignored.status_patch(NOW + 9).unwrap();
    assert_eq!(
        patch["status"]["conditions"][0]["lastTransitionTime"],
        "2026-09-21T14:13:20Z"
    );
    let mut fine = document(json!({"target": {"group": "x"}}));
    fine.status = ignored.status;
    let condition = &fine.status_patch(NOW + 9).unwrap()["status"]["conditions"][0];
    assert_eq!(condition["status"], "True");
    assert_eq!(condition["lastTransitionTime"], "2026-09-21T14:13:29Z");
}

#[test]
fn what_is_written_again_denies_no_less_than_before() {
    let old = document(json!({
        "target": {"user": "alice"}, "loggedInBefore": "2026-09-21T14:13:15Z", "expiresAt": "2026-09-21T15:00:00Z",
        "blockIssuance": true, "reason": "old",
    }));
    let spec = |before: &str, expires: Option<&str>| RevocationSpec {
        target: Target::User("alice".into()),
        logged_in_before: Some(before.into()),
        block_issuance: false,
        reason: None,
        expires_at: expires.map(str::to_owned),
    };
    let earlier = spec("2026-09-21T14:13:10Z", Some("2026-09-21T14:30:00Z"));
    assert_eq!(old.joined(&earlier, Existing::Replace), Ok(None));
    let later = spec("2026-09-21T14:13:20Z", Some("2026-09-21T14:30:00Z"));
    assert_eq!(old.joined(&later, Existing::Leave), Ok(None));
    let both = old.joined(&later, Existing::Replace).unwrap().unwrap();
    assert_eq!(both.logged_in_before.as_deref(), Some("2026-09-21T14:13:20Z"));
    assert_eq!(both.expires_at.as_deref(), Some("2026-09-21T15:00:00Z"));
    assert!(both.block_issuance);
    assert_eq!(both.reason.as_deref(), Some("old"));
    let forever = old
        .joined(&spec("2026-09-21T14:13:10Z", None), Existing::Leave)
        .unwrap();
    assert_eq!(forever.unwrap().expires_at, None);
    let mut other = later;
    other.target = Target::User("bob".into());
    assert!(old.joined(&other, Existing::Replace).is_err());
}

/// What the watcher tells, put in by hand.
struct Told {
    store: Kubernetes,
    api: Api<DynamicObject>,
    revocations: Arc<Revocations>,
}

impl Told {
    fn new() -> Self {
        let nobody = tower::service_fn(async |_: Request<kube::client::Body>| {
            Ok::<_, Infallible>(
                Response::builder()
                    .status(404)
                    .body(kube::client::Body::empty())
                    .unwrap(),
            )
        });
        Self {
            store: Kubernetes::new(None),
            api: Kubernetes::objects(Client::new(nobody, "default")),
            revocations: Arc::new(Revocations::new(Mode::BestEffort)),
        }
    }

    async fn tell(&self, event: Event<DynamicObject>) {
        let clock: Clock = Arc::new(|| NOW);
        self.store.take(event, &self.api, &self.revocations, &clock).await;
    }

    fn denies(&self, user: &str) -> bool {
        let holder = Holder {
            user,
            uid: "",
            groups: &[],
            login: None,
        };
        self.revocations.in_contact(NOW);
        let denial = self.revocations.ask(NOW, |view| view.denies(&holder, NOW));
        denial.unwrap().is_some()
    }
}

fn object(user: &str) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "gatepass.dev/v1alpha1", "kind": "Revocation",
        "metadata": {"name": user, "uid": user, "resourceVersion": "7", "generation": 1,
            "creationTimestamp": "2026-09-21T14:13:20Z"},
        "spec": {"target": {"user": user}},
    }))
    .unwrap()
}

#[tokio::test]
async fn while_all_is_read_anew_what_was_known_stays_in_force() {
    let told = Told::new();
    for event in [Event::Init, Event::InitApply(object("alice")), Event::InitDone] {
        assert!(!told.denies("alice"), "before the list is complete");
        told.tell(event).await;
    }
    assert!(told.denies("alice"));
    told.tell(Event::Apply(object("bob"))).await;
    told.tell(Event::Init).await;
    assert!(told.denies("alice") && told.denies("bob"));
    told.tell(Event::InitApply(object("bob"))).await;
    assert!(told.denies("alice") && told.denies("bob"));
    told.tell(Event::InitDone).await;
    assert!(!told.denies("alice"), "it was taken away meanwhile");
    assert!(told.denies("bob"));
    told.tell(Event::Delete(object("bob"))).await;
    assert!(!told.denies("bob"));
}

#[tokio::test]
async fn what_does_not_check_is_counted_as_long_as_it_is_there() {
    let told = Told::new();
    told.tell(Event::Init).await;
    told.tell(Event::InitApply(object("system:a"))).await;
    told.tell(Event::InitDone).await;
    assert_eq!(told.revocations.problems(), 1);
    assert!(!told.denies("system:a"));
    let mut nonsense = object("b");
    nonsense.data = json!({"spec": 7});
    told.tell(Event::Apply(nonsense)).await;
    assert_eq!(told.revocations.problems(), 2);
    told.tell(Event::Apply(object("b"))).await;
    assert_eq!(told.revocations.problems(), 1);
    told.tell(Event::Delete(object("system:a"))).await;
    assert_eq!(told.revocations.problems(), 0);
}

#[test]
fn a_watch_is_begun_anew_only_where_trying_again_cannot_help() {
    let answered = |code| {
        let status = kube::core::Status {
            code,
            ..kube::core::Status::default()
        };
        watcher::Error::WatchStartFailed(kube::Error::Api(Box::new(status)))
    };
    for (code, lost) in [
        (410, true),
        (404, true),
        (401, false),
        (403, false),
        (429, false),
        (503, false),
    ] {
        assert_eq!(is_lost_for_good(&answered(code)), lost, "{code}");
    }
    assert!(!is_lost_for_good(&watcher::Error::NoResourceVersion));
}
