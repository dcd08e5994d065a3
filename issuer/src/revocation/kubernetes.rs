//! Revocations as objects of the cluster: followed with a watch, written with the API.

mod contact;
mod document;
mod write;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::StreamExt as _;
use gatepass_api::revocation::{GROUP, KIND, PLURAL, VERSION};
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Config};
use serde_json::Value;
use tokio::sync::{Notify, OnceCell, mpsc};

use super::{Revocations, View};
use crate::routes::Clock;
use contact::{Contact, Notes, READ, WATCH};
use document::{Document, Due};

/// Objects in one answer to a list.
const PAGE: u32 = 1000;
/// Between two attempts to reach the API server: short, so that what was revoked meanwhile is soon known.
const PAUSES: std::ops::RangeInclusive<Duration> = Duration::from_millis(200)..=Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Above [`WATCH`], in which an open watch may be silent.
const READ_TIMEOUT: Duration = Duration::from_secs(6);
/// Statuses that wait to be written; what does not fit is written when its object is seen the next time.
const STATUSES: usize = 1024;

/// Objects of kind `Revocation`.
#[derive(Debug)]
pub struct Kubernetes {
    /// `None`: the service account of the pod.
    kubeconfig: Option<PathBuf>,
    api: OnceCell<Api<DynamicObject>>,
    contact: Arc<Contact>,
    state: Mutex<State>,
    statuses: mpsc::Sender<(String, Value)>,
    to_be_written: tokio::sync::Mutex<mpsc::Receiver<(String, Value)>>,
}

#[derive(Debug)]
struct State {
    /// What is being listed, until it takes the view's place.
    next: Option<Next>,
    /// Documents that are ignored: by UID, the generation that was told of.
    problems: HashMap<String, Option<i64>>,
    due: Due,
}

#[derive(Debug)]
struct Next {
    began: i64,
    view: View,
    problems: HashMap<String, Option<i64>>,
    due: Due,
    /// Written by ourselves meanwhile: the list may or may not have them.
    written: Vec<Document>,
}

/// The API server cannot be talked to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not in a pod with a service account.
    #[error(
        "there is no service account of a pod: {0}. Outside of the cluster name a kubeconfig, revocation.kubernetes.kubeconfig"
    )]
    InCluster(#[from] kube::config::InClusterError),
    /// The file.
    #[error("the kubeconfig cannot be used: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// Certificates or keys in it.
    #[error("no client can be made: {0}")]
    Client(#[from] kube::Error),
}

impl Kubernetes {
    /// The objects that the API server in `kubeconfig` holds; `None` for that of the pod's own cluster.
    pub fn new(kubeconfig: Option<PathBuf>) -> Self {
        let (statuses, to_be_written) = mpsc::channel(STATUSES);
        Self {
            kubeconfig,
            api: OnceCell::new(),
            contact: Arc::default(),
            state: Mutex::new(State {
                next: None,
                problems: HashMap::new(),
                due: Due::NEVER,
            }),
            statuses,
            to_be_written: tokio::sync::Mutex::new(to_be_written),
        }
    }

    /// Reads what says where the API server is and who we are; no connection is made.
    pub async fn connect(&self) -> Result<(), ConnectError> {
        self.api().await.map(|_| ())
    }

    async fn api(&self) -> Result<&Api<DynamicObject>, ConnectError> {
        let make = async || {
            let mut config = match &self.kubeconfig {
                Some(path) => {
                    let kubeconfig = Kubeconfig::read_from(path)?;
                    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?
                }
                None => Config::incluster()?,
            };
            config.connect_timeout = Some(CONNECT_TIMEOUT);
            config.read_timeout = Some(READ_TIMEOUT);
            config.write_timeout = Some(READ_TIMEOUT);
            // The time that a connection was idle must not count against the next answer on it.
            config.reset_reader_on_write = true;
            // Waiting and trying again is done here, where it is counted.
            config.default_retry = false;
            let client = ClientBuilder::try_from(config)?.with_layer(&Notes(Arc::clone(&self.contact)));
            Ok(Self::objects(client.build()))
        };
        self.api.get_or_try_init(make).await
    }

    fn objects(client: Client) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk(GROUP, VERSION, KIND);
        Api::all_with(client, &ApiResource::from_gvk_with_plural(&kind, PLURAL))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) async fn follow(&self, revocations: &Arc<Revocations>, clock: &Clock) {
        self.contact.tells(Arc::clone(revocations), Arc::clone(clock));
        let api = loop {
            match self.api().await {
                Ok(api) => break api,
                Err(error) => tracing::error!(%error, "the revocations cannot be read"),
            }
            tokio::time::sleep(*PAUSES.end()).await;
        };
        let anew = Notify::new();
        tokio::join!(
            self.watch(api, &anew, revocations, clock),
            self.read(api, &anew, clock),
            self.write_statuses(api)
        );
    }

    async fn watch(&self, api: &Api<DynamicObject>, anew: &Notify, revocations: &Revocations, clock: &Clock) {
        let config = watcher::Config::default().timeout(WATCH).page_size(PAGE);
        let mut pause = *PAUSES.start();
        loop {
            let mut events = pin!(watcher(api.clone(), config.clone()));
            loop {
                let event = tokio::select! {
                    event = events.next() => event,
                    () = anew.notified() => break,
                };
                match event {
                    Some(Ok(event)) => self.take(event, api, revocations, clock).await,
                    Some(Err(error)) => {
                        if self.contact.lose() {
                            pause = *PAUSES.start();
                            let next = code(&error).and_then(next);
                            tracing::error!(error = %reason(&error), next, "the revocations cannot be followed");
                        }
                        tokio::time::sleep(scattered(pause)).await;
                        pause = (pause * 2).min(*PAUSES.end());
                        if is_lost_for_good(&error) {
                            break;
                        }
                    }
                    None => break,
                }
            }
        }
    }

    /// Asks for the newest state, so that the server has to look it up; see [`contact`].
    async fn read(&self, api: &Api<DynamicObject>, anew: &Notify, clock: &Clock) {
        // No object can be called so.
        let nothing = ListParams::default().fields("metadata.name=-");
        let (mut version, mut is_told): (u64, bool) = (0, false);
        loop {
            let asked = clock();
            match api.list(&nothing).await {
                Ok(list) => {
                    let now = list.metadata.resource_version.and_then(|text| text.parse().ok());
                    // Where the store was put back to an earlier state, its numbers run anew from there, and the watch
                    // would wait for those that it has seen already.
                    if now.is_some_and(|now| now < version) {
                        tracing::warn!("the store went back to an earlier state: all is read anew");
                        anew.notify_one();
                    }
                    version = now.unwrap_or(version);
                    self.contact.read(asked, clock());
                    is_told = false;
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_told, true) {
                        let next = status_code(&error).and_then(next);
                        tracing::error!(
                            error = words(&error),
                            next,
                            "the newest revocations cannot be read"
                        );
                    }
                }
            }
            tokio::time::sleep(READ).await;
        }
    }

    async fn take(
        &self,
        event: Event<DynamicObject>,
        api: &Api<DynamicObject>,
        revocations: &Revocations,
        clock: &Clock,
    ) {
        match event {
            // What is known stays in force until all of the new list is there.
            Event::Init => {
                self.state().next = Some(Next {
                    began: clock(),
                    view: View::default(),
                    problems: HashMap::new(),
                    due: Due::NEVER,
                    written: Vec::new(),
                });
            }
            Event::InitApply(object) => {
                let document = Document::new(object);
                let State { next, problems, .. } = &mut *self.state();
                if let Some(next) = next {
                    if let Ok(checked) = document.checked() {
                        next.view.put(&document.name, &checked);
                    }
                    if is_ignored(&document, problems.get(&document.uid)) {
                        next.problems.insert(document.uid.clone(), document.generation);
                    }
                    next.due.and(document.end());
                }
                self.tell(&document, clock);
            }
            Event::InitDone => {
                let Some(mut next) = self.state().next.take() else {
                    return;
                };
                next.view.shrink();
                // The old one is dropped after the lock.
                revocations.change(|view| std::mem::swap(view, &mut next.view));
                {
                    let mut state = self.state();
                    state.due = next.due;
                    state.problems = next.problems;
                    revocations.set_problems(state.problems.len());
                }
                self.contact.listed(next.began);
                self.look_after(next.written, api, revocations).await;
            }
            Event::Apply(object) => {
                let document = Document::new(object);
                match document.checked() {
                    // A target cannot change (the definition says so), so this takes the place of what was there.
                    Ok(checked) => revocations.change(|view| view.put(&document.name, &checked)),
                    Err(_) => self.forget(&document, revocations),
                }
                let mut state = self.state();
                if is_ignored(&document, state.problems.get(&document.uid)) {
                    state.problems.insert(document.uid.clone(), document.generation);
                } else {
                    state.problems.remove(&document.uid);
                }
                state.due.and(document.end());
                revocations.set_problems(state.problems.len());
                drop(state);
                self.tell(&document, clock);
            }
            Event::Delete(object) => {
                let document = Document::new(object);
                self.forget(&document, revocations);
                let mut state = self.state();
                state.problems.remove(&document.uid);
                revocations.set_problems(state.problems.len());
            }
        }
    }

    fn forget(&self, document: &Document, revocations: &Revocations) {
        if let Some(target) = document.target() {
            revocations.change(|view| view.remove(&document.name, target));
        }
    }

    /// Takes out what we wrote while the list was read, where it was deleted again before the watch began.
    async fn look_after(&self, written: Vec<Document>, api: &Api<DynamicObject>, revocations: &Revocations) {
        for document in written {
            if let Ok(None) = api.get_opt(&document.name).await {
                self.forget(&document, revocations);
            }
        }
    }

    /// Lets the status say what becomes of a document.
    fn tell(&self, document: &Document, clock: &Clock) {
        if let Some(patch) = document.status_patch(clock()) {
            let _full = self.statuses.try_send((document.name.clone(), patch));
        }
    }

    /// One after the other, apart from the watch: nothing waits for a status.
    async fn write_statuses(&self, api: &Api<DynamicObject>) {
        let mut to_be_written = self.to_be_written.lock().await;
        let mut is_told = false;
        while let Some((name, patch)) = to_be_written.recv().await {
            match api
                .patch_status(&name, &PatchParams::default(), &Patch::Merge(patch))
                .await
            {
                Ok(_) => is_told = false,
                // Another replica was faster, or it has changed or gone since.
                Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => {}
                Err(error) => {
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::warn!(
                            error = words(&error),
                            "the status of revocations cannot be written"
                        );
                    }
                }
            }
        }
    }
}

/// Whether a document is ignored; says so once for each generation of it.
fn is_ignored(document: &Document, told: Option<&Option<i64>>) -> bool {
    let Err(problem) = document.checked() else {
        return false;
    };
    if told != Some(&document.generation) {
        tracing::error!(name = document.name, %problem, "a revocation is ignored");
    }
    true
}

/// Whether trying the same watch again cannot help: the server does not know the place any more where we were.
fn is_lost_for_good(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => {
            !matches!(status.code, 401 | 403 | 429 | 500..)
        }
        watcher::Error::WatchStartFailed(_)
        | watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchError(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => false,
    }
}

/// What an operator can do where the API server has said why it does not answer.
fn next(status: u16) -> Option<&'static str> {
    match status {
        401 => Some(
            "the API server does not accept this credential: look at the service account or the kubeconfig",
        ),
        403 => Some(
            "this account needs the role gatepass-issuer and a binding to it, as in deploy/base/rbac.yaml",
        ),
        404 => Some("install the kind Revocation: kubectl apply -f deploy/base/crd.yaml"),
        _ => None,
    }
}

fn code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::WatchStartFailed(error)
        | watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchFailed(error) => status_code(error),
        watcher::Error::WatchError(status) => Some(status.code),
        watcher::Error::NoResourceVersion => None,
    }
}

fn status_code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

fn reason(error: &watcher::Error) -> String {
    match error {
        watcher::Error::WatchStartFailed(error)
        | watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchFailed(error) => words(error),
        watcher::Error::WatchError(status) => status.message.clone(),
        watcher::Error::NoResourceVersion => error.to_string(),
    }
}

/// What the API server says, or what else is wrong down to its cause.
fn words(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return status.message.clone();
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        source = error.source();
    }
    text
}

/// Between half of `pause` and all of it, so that replicas do not come back as one.
fn scattered(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    let part = u32::try_from(random % 512).expect("below 512");
    pause / 2 + pause * part / 1024
}

#[cfg(test)]
mod tests;
