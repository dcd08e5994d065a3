//! Calls that may never come back, under a deadline of ours.

use std::{
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::StoreError;

/// Runs calls on a thread each, which is left behind if its call does not come back: neither libdbus nor a stopped
/// keyring can be interrupted.
#[derive(Debug)]
pub(super) struct Deadline {
    limit: Duration,
    hung: Mutex<Option<(Instant, StoreError)>>,
}

/// How long a keyring that has not answered is not asked again: what follows in the same command would wait as long for
/// the same nothing.
const REST: Duration = Duration::from_secs(30);

impl Deadline {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            hung: Mutex::new(None),
        }
    }

    /// Gives `call` the moment at which nobody waits for it any more, and waits until then.
    pub(super) fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce(Instant) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut hung = self.hung.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, error)) = hung.as_ref().filter(|(at, _)| at.elapsed() < REST) {
            return Err(error.clone());
        }
        let (answer, answered) = mpsc::sync_channel(1);
        let end = Instant::now() + self.limit;
        let worker = move || {
            // Nobody listens any more after the deadline: then the answer is dropped, and wiped where it is a secret.
            let _ = answer.send(call(end));
        };
        let failed = |reason: String| StoreError::Failed {
            store: "the keyring",
            reason,
        };
        thread::Builder::new()
            .name("keyring".into())
            .spawn(worker)
            .map_err(|error| failed(error.to_string()))?;
        let answer = match answered.recv_timeout(self.limit) {
            Ok(answer) => answer,
            Err(mpsc::RecvTimeoutError::Timeout) => Err(StoreError::Hung { after: self.limit }),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(failed("its thread ended".into())),
        };
        *hung = match &answer {
            Err(error @ StoreError::Hung { .. }) => Some((Instant::now(), error.clone())),
            _ => None,
        };
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_never_returns_ends_at_the_deadline_and_is_not_repeated() {
        let deadline = Deadline::new(Duration::from_millis(50));
        let (_open, never) = mpsc::channel::<()>();
        let begin = Instant::now();
        let answer = deadline.run(move |_| never.recv().map_err(|_| StoreError::Locked));
        assert_eq!(
            answer,
            Err(StoreError::Hung {
                after: Duration::from_millis(50)
            })
        );
        assert!(begin.elapsed() < Duration::from_secs(5));
        let again = deadline.run(|_| Ok(()));
        assert_eq!(
            again,
            Err(StoreError::Hung {
                after: Duration::from_millis(50)
            })
        );
    }

    #[test]
    fn answers_and_errors_pass() {
        let deadline = Deadline::new(Duration::from_secs(5));
        assert_eq!(
            deadline.run(|_| Err::<(), _>(StoreError::Locked)),
            Err(StoreError::Locked)
        );
        assert_eq!(deadline.run(|_| Ok(7)), Ok(7));
    }

    #[test]
    fn a_panic_is_an_error() {
        let answer =
            Deadline::new(Duration::from_secs(5)).run(|_| -> Result<(), _> { panic!("in the test") });
        assert!(matches!(answer, Err(StoreError::Failed { .. })));
    }
}
