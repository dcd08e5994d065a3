use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};

use gatepass_api::revocation::{RevocationSpec, Target};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes, Frame};
use hyper::{Request, Response};
use tower::{Layer as _, Service, ServiceExt as _};

use super::contact::{Contact, Notes};
use super::document::{Document, Due, End};
use super::*;
use crate::revocation::store::Existing;
use crate::revocation::{Holder, Mode};
use serde_json::json;

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
        while body.frame().await.is_some() {}
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

/// An API server with objects that are created, replaced under their version, and deleted under preconditions.
#[derive(Clone, Default)]
struct Objects(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    by_name: std::collections::BTreeMap<String, Value>,
    version: u64,
    requests: Vec<String>,
    /// Somebody else who writes an object between our reading and our writing it, so many times.
    rival: usize,
}

impl Held {
    fn keep(&mut self, name: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        object["metadata"]["uid"] = name.into();
        object["metadata"]["creationTimestamp"] = "2026-09-21T14:13:20Z".into();
        self.by_name.insert(name.to_owned(), object.clone());
        object
    }

    fn answer(&mut self, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
        let refused = |code: u16, reason: &str| {
            let status = json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason});
            (code, status)
        };
        let name = path.rsplit('/').next().unwrap().to_owned();
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        self.requests.push(format!("{method} {name}"));
        let old = self.by_name.get(&name).cloned();
        match (method, old) {
            ("GET", _) if name == PLURAL => {
                let items: Vec<_> = self.by_name.values().collect();
                (200, json!({"metadata": {"resourceVersion": "1"}, "items": items}))
            }
            ("POST", _) => {
                let name = body["metadata"]["name"].as_str().unwrap().to_owned();
                if self.by_name.contains_key(&name) {
                    return refused(409, "AlreadyExists");
                }
                (201, self.keep(&name, body))
            }
            ("GET", Some(old)) => (200, old),
            ("PUT" | "DELETE", Some(old)) => {
                if self.rival > 0 {
                    self.rival -= 1;
                    self.keep(&name, old.clone());
                }
                let now = &self.by_name[&name]["metadata"];
                let wanted = if method == "PUT" {
                    &body["metadata"]
                } else {
                    &body["preconditions"]
                };
                if wanted["resourceVersion"] != now["resourceVersion"] || wanted["uid"] != now["uid"] {
                    return refused(409, "Conflict");
                }
                if method == "PUT" {
                    return (200, self.keep(&name, body));
                }
                (200, self.by_name.remove(&name).unwrap())
            }
            _ => refused(404, "NotFound"),
        }
    }
}

impl Objects {
    fn store(&self) -> (Kubernetes, Arc<Revocations>) {
        let held = Arc::clone(&self.0);
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let held = Arc::clone(&held);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let (status, answer) =
                    held.lock()
                        .unwrap()
                        .answer(head.method.as_str(), head.uri.path(), &body);
                let body = kube::client::Body::from(answer.to_string().into_bytes());
                Ok::<_, Infallible>(Response::builder().status(status).body(body).unwrap())
            }
        });
        let store = Kubernetes::new(None);
        store
            .api
            .set(Kubernetes::objects(Client::new(service, "default")))
            .unwrap();
        let revocations = Arc::new(Revocations::new(Mode::BestEffort));
        store.contact.tells(Arc::clone(&revocations), Arc::new(|| NOW));
        (store, revocations)
    }

    fn spec(&self, name: &str) -> Value {
        self.0.lock().unwrap().by_name[name]["spec"].clone()
    }

    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().requests)
    }
}

fn alice(before: &str) -> RevocationSpec {
    serde_json::from_value(json!({"target": {"user": "alice"}, "loggedInBefore": before})).unwrap()
}

const EARLIER: &str = "2026-09-21T14:13:10Z";
const LATER: &str = "2026-09-21T14:13:30Z";

#[tokio::test]
async fn what_is_put_is_in_force_at_once_and_kept_by_one_object() {
    let objects = Objects::default();
    let (store, revocations) = objects.store();
    store.put("a", &alice(EARLIER), Existing::Leave).await.unwrap();
    assert_eq!(revocations.len(), 1, "before any watch has told of it");
    assert_eq!(objects.requests(), ["POST revocations"]);
    store.put("a", &alice(LATER), Existing::Leave).await.unwrap();
    assert_eq!(objects.requests(), ["POST revocations", "GET a"]);
    assert_eq!(objects.spec("a")["loggedInBefore"], EARLIER);

    // Somebody else writes it at the same time, twice.
    objects.0.lock().unwrap().rival = 2;
    store.put("a", &alice(LATER), Existing::Replace).await.unwrap();
    let requests = objects.requests();
    assert_eq!(
        requests.iter().filter(|one| *one == "PUT a").count(),
        3,
        "{requests:?}"
    );
    assert_eq!(objects.spec("a")["loggedInBefore"], LATER);
    store.put("a", &alice(EARLIER), Existing::Replace).await.unwrap();
    assert_eq!(objects.spec("a")["loggedInBefore"], LATER, "never less");
    assert_eq!(revocations.len(), 1);

    // An object of that name that revokes somebody else is no success.
    let bob: RevocationSpec = serde_json::from_value(json!({"target": {"user": "bob"}})).unwrap();
    let refused = store.put("a", &bob, Existing::Leave).await.unwrap_err();
    assert_eq!(refused.0, "a is there already, with another target");
    // Nor is one that others keep writing.
    objects.0.lock().unwrap().rival = usize::MAX;
    let even_later = alice("2026-09-21T14:13:40Z");
    let refused = store.put("a", &even_later, Existing::Replace).await.unwrap_err();
    assert_eq!(refused.0, "others keep writing a");
}

#[tokio::test]
async fn what_is_put_while_all_is_read_anew_is_not_lost_and_what_is_deleted_then_does_not_stay() {
    let objects = Objects::default();
    let (store, revocations) = objects.store();
    let api = store.api().await.unwrap();
    let clock: Clock = Arc::new(|| NOW);
    store.take(Event::Init, api, &revocations, &clock).await;
    // The list was answered before these were written.
    store.put("a", &alice(EARLIER), Existing::Leave).await.unwrap();
    store.put("b", &alice(EARLIER), Existing::Leave).await.unwrap();
    objects.0.lock().unwrap().by_name.remove("b");
    store.take(Event::InitDone, api, &revocations, &clock).await;
    assert_eq!(revocations.len(), 1);
}

#[tokio::test]
async fn a_sweep_deletes_what_has_ended_as_it_was_seen_and_reads_nothing_before() {
    let objects = Objects::default();
    let (store, revocations) = objects.store();
    let api = store.api().await.unwrap();
    let clock: Clock = Arc::new(|| NOW);
    let (soon, session) = ("2026-09-21T14:14:20Z", format!("{ID}-{ID}"));
    for (name, spec) in [
        ("ends", json!({"target": {"user": "a"}, "expiresAt": soon})),
        ("extended", json!({"target": {"user": "b"}, "expiresAt": soon})),
        (
            "later",
            json!({"target": {"user": "c"}, "expiresAt": "2026-09-22T14:14:20Z"}),
        ),
        ("never", json!({"target": {"user": "d"}})),
        ("session", json!({"target": {"session": session}})),
        (
            "ignored",
            json!({"target": {"user": "system:x"}, "expiresAt": soon}),
        ),
    ] {
        let object = objects
            .0
            .lock()
            .unwrap()
            .keep(name, json!({"metadata": {"name": name}, "spec": spec}));
        let event = Event::Apply(serde_json::from_value(object).unwrap());
        store.take(event, api, &revocations, &clock).await;
    }
    objects.requests();
    assert_eq!(store.sweep(NOW + 59, 3600).await, Ok(0));
    assert!(objects.requests().is_empty(), "nothing is due");
    // Whoever makes the first that is due last longer does so after it was listed.
    objects.0.lock().unwrap().rival = 1;
    assert_eq!(store.sweep(NOW + 60, 3600).await, Ok(1));
    let left = |objects: &Objects| {
        objects
            .0
            .lock()
            .unwrap()
            .by_name
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(left(&objects), ["ends", "ignored", "later", "never", "session"]);
    // That one is looked at again.
    assert_eq!(store.sweep(NOW + 60, 3600).await, Ok(1));
    assert_eq!(store.sweep(NOW + 3599, 3600).await, Ok(0));
    assert_eq!(store.sweep(NOW + 3600, 3600).await, Ok(1));
    assert_eq!(left(&objects), ["ignored", "later", "never"]);
}
