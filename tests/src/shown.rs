//! What a program prints while it runs, read as a person reads it: onwards.

use std::io::Read;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// All that has come so far, and up to where somebody has read.
#[derive(Debug)]
pub(crate) struct Shown {
    bytes: Arc<Mutex<Vec<u8>>>,
    read: usize,
    reader: JoinHandle<()>,
}

impl Shown {
    /// Reads to the end in a thread of its own.
    pub(crate) fn collect(mut from: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // A terminal that nobody has open any more reads as an error.
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                let mut bytes = into.lock().expect("no thread panics while it holds this");
                bytes.extend_from_slice(&buffer[..count]);
            }
        });
        Self {
            bytes,
            read: 0,
            reader,
        }
    }

    /// Whether nothing more can come.
    pub(crate) fn is_over(&self) -> bool {
        self.reader.is_finished()
    }

    /// All of it.
    pub(crate) fn so_far(&self) -> String {
        let bytes = self.bytes.lock().expect("no thread panics while it holds this");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What has come after the place read to.
    pub(crate) fn unread(&self) -> String {
        self.so_far().get(self.read..).unwrap_or_default().to_owned()
    }

    /// Reads on to the end of whichever of `texts` comes first, where one has come: its number, and what stands before it.
    pub(crate) fn read_to(&mut self, texts: &[&str]) -> Option<(usize, String)> {
        let unread = self.unread();
        let found = texts.iter().enumerate();
        let found = found.filter_map(|(number, text)| Some((unread.find(text)?, number)));
        let (at, number) = found.min()?;
        self.read += at + texts[number].len();
        Some((number, unread[..at].to_owned()))
    }
}
