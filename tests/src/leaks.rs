//! Looking for secrets where none may be.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::process::nap;

/// The pieces of secret values that show a leak even where a log cuts or wraps a value: of a JWT its payload and its
/// signature (its header is no secret), of PEM every line, of anything else the whole.
pub fn pieces(values: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    let mut pieces = BTreeSet::new();
    for value in values {
        let parts: Vec<_> = value.split('.').collect();
        if value.contains("-----BEGIN") {
            pieces.extend(
                value
                    .lines()
                    .filter(|line| !line.starts_with("-----"))
                    .map(str::to_owned),
            );
        } else if parts.len() == 3 && parts[0].starts_with("eyJ") {
            pieces.extend(parts[1..].iter().map(|part| (*part).to_owned()));
        } else {
            pieces.insert(value);
        }
    }
    // Shorter pieces would be found by chance.
    pieces.retain(|piece| piece.len() >= 16);
    pieces
}

/// Where one of `pieces` shows in `text`, which is called `name`.
pub fn in_text(name: &str, text: &str, pieces: &BTreeSet<String>) -> Vec<String> {
    let found = pieces.iter().filter(|piece| text.contains(piece.as_str()));
    found.map(|piece| format!("{name}: {}…", &piece[..8])).collect()
}

/// Where one of `pieces` shows in a file below `dir`, apart from those that `expected` names.
pub fn in_files(dir: &Path, pieces: &BTreeSet<String>, expected: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let kind = entry.file_type().expect("the kind of an entry is known");
        if kind.is_dir() {
            found.extend(in_files(&path, pieces, expected));
        } else if kind.is_file() && !expected(&path) {
            let bytes = fs::read(&path).unwrap_or_default();
            found.extend(in_text(
                &path.display().to_string(),
                &String::from_utf8_lossy(&bytes),
                pieces,
            ));
        }
    }
    found
}

/// Looks at the arguments of every process on the machine, over and over, as any other user can.
pub struct ArgumentWatch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeSet<String>>,
}

impl ArgumentWatch {
    /// Begins to look.
    pub fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !stopped.load(Ordering::SeqCst) {
                for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
                    // A process that has just ended has no arguments any more.
                    let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                    seen.insert(String::from_utf8_lossy(&arguments).replace('\0', " "));
                }
                nap();
            }
            seen
        });
        Self { stop, thread }
    }

    /// Every command line that was seen.
    pub fn finish(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("the watch does not panic")
    }
}
