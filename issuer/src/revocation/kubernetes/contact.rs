//! How old the view is: a quiet watch and a dead one look the same, so each must prove that it is alive.
//!
//! Two things together say that the view was what the store held at some time:
//!
//! - *A watch came to its end.* The server ends each after [`WATCH`]. A body that ends as HTTP says it does was read to its
//!   end, so everything that the server had sent until then is in the view; one that was cut off ends in an error, and one
//!   that is frozen does not end. That a watch was answered proves less: the server may still have to say that it has
//!   forgotten where we were, and then the view is as old as before.
//! - *The server's own cache, which watches are served from, was as new as etcd.* A server that is cut off from etcd goes on
//!   answering watches. A list that names no resource version must be the newest there is: the server asks etcd which that
//!   is, and waits until its cache has it. So a list of one name that nobody has is read every [`READ`]. A server whose cache
//!   does not get there within three seconds reads the list from etcd instead: an answer that took so long proves nothing.
//!
//! The view is as new as the older of the two: when the watch ended, but never later than [`WATCH`] after it was asked for
//! (a process that was stopped finds an end that came long ago), and when the list was asked for. While all is well that is
//! never more than some five seconds ago, and nothing has to happen in the store for it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use hyper::{Request, Response};
use tower::{Layer, Service};

use crate::revocation::Revocations;
use crate::routes::Clock;

/// How long the server leaves a watch open.
pub(super) const WATCH: u32 = 4;
/// How often the store is read.
pub(super) const READ: Duration = Duration::from_secs(2);
/// After so many seconds an answer may come from etcd although the server's cache is behind.
const CACHE_WAIT: i64 = 3;

/// Notes when the view was what the store held.
#[derive(Default)]
pub(super) struct Contact {
    known: OnceLock<(Arc<Revocations>, Clock)>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the watch that is open was asked for, where nothing was wrong with it so far.
    open: Option<i64>,
    followed: Option<i64>,
    read: Option<i64>,
    lost: bool,
}

impl std::fmt::Debug for Contact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.state.fmt(f)
    }
}

impl Contact {
    /// Says whose age is told; once, before anything is followed.
    pub(super) fn tells(&self, revocations: Arc<Revocations>, clock: Clock) {
        let _ = self.known.set((revocations, clock));
    }

    /// What is told of, and the clock.
    pub(super) fn known(&self) -> Option<&(Arc<Revocations>, Clock)> {
        self.known.get()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn now(&self) -> Option<i64> {
        self.known.get().map(|(_, clock)| clock())
    }

    /// A whole list that was begun at `began` is the view now.
    pub(super) fn listed(&self, began: i64) {
        let mut state = self.state();
        state.followed = Some(began);
        state.read = state.read.max(Some(began));
        self.tell(state);
    }

    /// The newest state was read by a request that was made at `asked`, and answered at `now`.
    pub(super) fn read(&self, asked: i64, now: i64) {
        if now - asked >= CACHE_WAIT {
            return;
        }
        let mut state = self.state();
        state.read = Some(asked);
        self.tell(state);
    }

    /// A watch cannot be had, or the open one said that something is wrong; whether that is news.
    pub(super) fn lose(&self) -> bool {
        let mut state = self.state();
        state.open = None;
        !std::mem::replace(&mut state.lost, true)
    }

    fn opened(&self, asked: i64) {
        self.state().open = Some(asked);
    }

    fn cut(&self) {
        self.state().open = None;
    }

    fn ended(&self) {
        let mut state = self.state();
        if let (Some(asked), Some(now)) = (state.open.take(), self.now()) {
            state.followed = Some(now.min(asked + i64::from(WATCH)));
            if std::mem::take(&mut state.lost) {
                tracing::info!("the revocations are followed again");
            }
            self.tell(state);
        }
    }

    fn tell(&self, state: MutexGuard<'_, State>) {
        if let (Some((revocations, _)), Some(at)) = (self.known.get(), state.followed.min(state.read)) {
            revocations.in_contact(at);
        }
    }
}

/// Sees watches come and go.
#[derive(Clone, Debug)]
pub(super) struct Notes(pub(super) Arc<Contact>);

impl<S> Layer<S> for Notes {
    type Service = Noting<S>;

    fn layer(&self, inner: S) -> Noting<S> {
        Noting {
            inner,
            contact: Arc::clone(&self.0),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Noting<S> {
    inner: S,
    contact: Arc<Contact>,
}

impl<S, A, B> Service<Request<A>> for Noting<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<Noted<B>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let query = request.uri().query().unwrap_or_default();
        let is_watch = query.split('&').any(|parameter| parameter == "watch=true");
        let asked = is_watch.then(|| self.contact.now()).flatten();
        let contact = Arc::clone(&self.contact);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            let asked = asked.filter(|_| answer.status().is_success());
            if let Some(asked) = asked {
                contact.opened(asked);
            }
            let contact = asked.map(|_| contact);
            Ok(answer.map(|body| Noted { body, contact }))
        })
    }
}

/// A body whose end is noted.
pub(super) struct Noted<B> {
    body: B,
    /// Where it is that of a watch.
    contact: Option<Arc<Contact>>,
}

impl<B: Body + Unpin> Body for Noted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match (&frame, &self.contact) {
            (None, Some(contact)) => contact.ended(),
            (Some(Err(_)), Some(contact)) => contact.cut(),
            (Some(Ok(_)), Some(_)) | (_, None) => {}
        }
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
