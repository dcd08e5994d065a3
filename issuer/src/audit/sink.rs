//! Where records go: a thread of its own writes them, so a slow disk never blocks the others' requests.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Receipt, Record, Unavailable};

/// Records that may wait; beyond, requests are refused instead of memory filled.
const QUEUE: usize = 1024;
/// Records that one flush may confirm.
const BATCH: usize = 256;
/// How long a request waits for its record.
const DEADLINE: Duration = Duration::from_secs(5);

/// Something that keeps lines.
pub trait Sink: Send + 'static {
    /// Writes whole lines and does not return before they are kept.
    fn keep(&mut self, lines: &[u8]) -> io::Result<()>;
}

impl Sink for File {
    fn keep(&mut self, lines: &[u8]) -> io::Result<()> {
        self.write_all(lines)?;
        self.sync_data()
    }
}

impl Sink for io::Stdout {
    fn keep(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut locked = self.lock();
        locked.write_all(lines)?;
        locked.flush()
    }
}

struct Entry {
    line: Vec<u8>,
    written: Option<oneshot::Sender<bool>>,
}

/// The audit log.
#[derive(Clone, Debug)]
pub struct AuditLog {
    queue: Arc<SyncSender<Entry>>,
}

impl AuditLog {
    /// Starts the writer; it ends when the last clone of the log is gone and everything queued was tried.
    pub fn start(sink: impl Sink) -> io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (queue, entries) = sync_channel(QUEUE);
        let writer = std::thread::Builder::new()
            .name("audit".into())
            .spawn(move || write_all(sink, &entries))?;
        Ok((
            Self {
                queue: Arc::new(queue),
            },
            writer,
        ))
    }

    /// Writes a record and waits until it is kept.
    pub async fn record(&self, record: &Record<'_>) -> Result<Receipt, Unavailable> {
        let (written, answer) = oneshot::channel();
        let entry = Entry {
            line: record.line()?,
            written: Some(written),
        };
        self.queue.try_send(entry).map_err(|_| Unavailable)?;
        match tokio::time::timeout(DEADLINE, answer).await {
            Ok(Ok(true)) => Ok(Receipt(())),
            _ => Err(Unavailable),
        }
    }

    /// Writes a record if there is room, without waiting: for refusals and logouts, which must not wait for a full disk.
    pub fn note(&self, record: &Record<'_>) {
        let sent = record
            .line()
            .is_ok_and(|line| self.queue.try_send(Entry { line, written: None }).is_ok());
        if !sent {
            tracing::warn!("an audit record that nothing waits for was dropped");
        }
    }
}

fn write_all(mut sink: impl Sink, entries: &Receiver<Entry>) {
    // After a failure half a line may stand there; a newline keeps the next record whole.
    let mut torn = false;
    while let Ok(first) = entries.recv() {
        let mut batch = vec![first];
        batch.extend(entries.try_iter().take(BATCH - 1));
        let mut lines = if torn { b"\n".to_vec() } else { Vec::new() };
        lines.extend(batch.iter().flat_map(|entry| &entry.line));
        let kept = sink.keep(&lines);
        torn = kept.is_err();
        if let Err(error) = kept {
            tracing::error!(%error, records = batch.len(), "the audit sink refused records");
        }
        for waiting in batch.into_iter().filter_map(|entry| entry.written) {
            // The request may have given up meanwhile; then nobody gets the certificate either.
            let _gone = waiting.send(!torn);
        }
    }
}

#[cfg(test)]
mod tests;
