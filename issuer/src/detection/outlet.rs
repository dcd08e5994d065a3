use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::seen::{Seen, Sight};
use super::{Event, Examined, Finding, Report};
use crate::active::Current;
use crate::metrics::Metrics;

/// How many findings of one kind wait for the webhook. Each kind has room of its own: whoever makes many of one must not
/// crowd out another.
const ROOM: usize = 200;

/// How patiently findings are sent.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Wait after the first failure; it doubles.
    pub first: Duration,
    /// Longest wait.
    pub most: Duration,
    /// How long after it was found a finding is tried; at least once.
    pub give_up: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            most: Duration::from_secs(30),
            give_up: Duration::from_secs(15 * 60),
        }
    }
}

/// Where findings go: the log, the counters, and the webhook where one is configured. Never makes anybody wait.
#[derive(Clone, Debug)]
pub struct Outlet(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    seen: Mutex<Seen>,
    queue: mpsc::Sender<Queued>,
    waiting: Arc<Waiting>,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Queued {
    report: Report,
    found: Instant,
}

/// How many of each kind wait.
#[derive(Debug, Default)]
struct Waiting([AtomicUsize; Finding::ALL.len()]);

impl Waiting {
    fn of(&self, finding: Finding) -> &AtomicUsize {
        &self.0[finding as usize]
    }
}

impl Outlet {
    /// Must be called within a runtime. The task sends to the webhook that is in force at that moment, and ends when the
    /// last clone of the outlet is gone and everything queued was tried.
    pub fn start(current: Current, metrics: Arc<Metrics>, pace: Pace) -> (Self, JoinHandle<()>) {
        let (queue, reports) = mpsc::channel(ROOM * Finding::ALL.len());
        let waiting = Arc::new(Waiting::default());
        let sender = Sender {
            current,
            metrics: Arc::clone(&metrics),
            waiting: Arc::clone(&waiting),
            pace,
        };
        let inner = Inner {
            seen: Mutex::new(Seen::new()),
            queue,
            waiting,
            metrics,
        };
        (Self(Arc::new(inner)), tokio::spawn(sender.run(reports)))
    }

    /// Reports what is new; `send` is whether there is a webhook, `now` in Unix seconds.
    pub fn report(&self, event: &Event<'_>, examined: &Examined<'_>, cluster: &str, send: bool, now: i64) {
        for finding in &examined.findings {
            let sight = {
                let mut seen = self
                    .0
                    .seen
                    .lock()
                    .unwrap_or_else(|poisoned| poisoned.into_inner());
                seen.note(*finding, examined.credential_id, &event.user.username, now)
            };
            match sight {
                Sight::Again => continue,
                Sight::New => {}
                Sight::NewAndFull => self.0.metrics.forgotten(),
            }
            self.0.metrics.found(*finding);
            let report = Report::new(*finding, event, examined, cluster, now);
            report.log();
            if send {
                self.queue(report);
            }
        }
    }

    fn queue(&self, report: Report) {
        let finding = report.which;
        let waiting = self.0.waiting.of(finding);
        let queued = waiting.fetch_add(1, Ordering::AcqRel) < ROOM && {
            let found = Instant::now();
            self.0.queue.try_send(Queued { report, found }).is_ok()
        };
        if !queued {
            waiting.fetch_sub(1, Ordering::AcqRel);
            self.0.metrics.dropped(finding);
            tracing::error!(
                finding = finding.name(),
                "the findings webhook was not told: too many wait for it; the log has all of them"
            );
        }
    }
}

struct Sender {
    current: Current,
    metrics: Arc<Metrics>,
    waiting: Arc<Waiting>,
    pace: Pace,
}

impl Sender {
    async fn run(self, mut reports: mpsc::Receiver<Queued>) {
        while let Some(queued) = reports.recv().await {
            let finding = queued.report.which;
            if !self.send(&queued).await {
                self.metrics.dropped(finding);
            }
            self.waiting.of(finding).fetch_sub(1, Ordering::AcqRel);
        }
    }

    async fn send(&self, queued: &Queued) -> bool {
        let mut wait = self.pace.first;
        loop {
            // Asked again each time: what a reload has put right helps those that wait, too.
            let Some(webhook) = self.current.load().detection.webhook.clone() else {
                return false;
            };
            let Err(error) = webhook.send(&queued.report).await else {
                return true;
            };
            let finding = queued.report.which.name();
            if queued.found.elapsed() + wait > self.pace.give_up {
                tracing::error!(%error, finding, "the findings webhook was not told; the log has the finding");
                return false;
            }
            tracing::warn!(%error, finding, "the findings webhook was not told yet; it is tried again");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(self.pace.most);
        }
    }
}
