use std::sync::Mutex;

use super::*;
use crate::audit::{Event, Trail};

/// A sink that fails while told to, and tears a line in two then.
#[derive(Clone, Default)]
struct Flaky {
    written: Arc<Mutex<Vec<u8>>>,
    broken: Arc<Mutex<bool>>,
}

impl Sink for Flaky {
    fn keep(&mut self, lines: &[u8]) -> io::Result<()> {
        if *self.broken.lock().unwrap() {
            self.written
                .lock()
                .unwrap()
                .extend_from_slice(&lines[..lines.len() / 2]);
            return Err(io::Error::other("disk full"));
        }
        self.written.lock().unwrap().extend_from_slice(lines);
        Ok(())
    }
}

async fn record(log: &AuditLog, id: &str) -> Result<Receipt, Unavailable> {
    log.record(&Record::of(
        Event::CertificateIssued,
        0,
        id,
        "",
        "c",
        &Trail::default(),
    ))
    .await
}

#[tokio::test]
async fn a_receipt_means_that_the_line_is_kept() {
    let sink = Flaky::default();
    let (log, _writer) = AuditLog::start(sink.clone()).unwrap();
    record(&log, "one").await.unwrap();
    let written = sink.written.lock().unwrap();
    assert!(written.ends_with(b"\n") && String::from_utf8_lossy(&written).contains(r#""requestId":"one""#));
}

#[tokio::test]
async fn a_refused_line_gives_no_receipt_and_the_next_record_is_whole() {
    let sink = Flaky::default();
    let (log, _writer) = AuditLog::start(sink.clone()).unwrap();
    *sink.broken.lock().unwrap() = true;
    assert_eq!(record(&log, "torn").await.unwrap_err(), Unavailable);
    *sink.broken.lock().unwrap() = false;
    record(&log, "whole").await.unwrap();
    let written = sink.written.lock().unwrap();
    let last = written
        .split(|byte| *byte == b'\n')
        .rfind(|line| !line.is_empty())
        .unwrap();
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(last).unwrap()["requestId"],
        "whole"
    );
}

struct Stuck;

impl Sink for Stuck {
    fn keep(&mut self, _: &[u8]) -> io::Result<()> {
        loop {
            std::thread::park();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_hangs_is_not_waited_for() {
    let (log, _writer) = AuditLog::start(Stuck).unwrap();
    assert_eq!(record(&log, "one").await.unwrap_err(), Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once() {
    let (log, _writer) = AuditLog::start(Stuck).unwrap();
    let trail = Trail::default();
    // One batch may be with the sink already.
    for _ in 0..QUEUE + BATCH {
        log.note(&Record::of(Event::CertificateRefused, 0, "", "", "c", &trail));
    }
    assert_eq!(record(&log, "one more").await.unwrap_err(), Unavailable);
}

#[tokio::test]
async fn a_file_keeps_what_was_there_and_the_writer_ends_with_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.log");
    std::fs::write(&path, "before\n").unwrap();
    let file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    let (log, writer) = AuditLog::start(file).unwrap();
    record(&log, "one").await.unwrap();
    drop(log);
    writer.join().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("before\n{") && text.ends_with("}\n"), "{text}");
}

#[tokio::test]
async fn a_full_device_refuses() {
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else {
        return;
    };
    let (log, _writer) = AuditLog::start(full).unwrap();
    assert_eq!(record(&log, "one").await.unwrap_err(), Unavailable);
}
