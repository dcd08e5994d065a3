//! What was seen of the directory, and what is in the view for it.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use gatepass_api::revocation::Target;

use super::super::{Checked, Revocations};
use super::document::{self, Entry, Fault, Stamp};

#[derive(Default)]
pub(super) struct Followed {
    into: Option<Arc<Revocations>>,
    /// The file system the directory was on at the last look.
    device: Option<u64>,
    files: HashMap<OsString, Seen>,
    /// Whether everything was looked at once.
    has_looked: bool,
    /// Files of other kinds, which were warned about.
    warned: HashSet<OsString>,
}

#[derive(Default)]
struct Seen {
    stamp: Option<Stamp>,
    /// Whether two looks have read the same under one stamp. A file system's clock stands still for milliseconds, so what is
    /// read in the middle of a write may have the stamp of the whole.
    settled: bool,
    /// Whether it was not there at the last look. An editor may move a file away and write it anew: once is not gone.
    missing: bool,
    /// Digest of what was read, or of why it could not be.
    content: Option<[u8; 32]>,
    is_faulty: bool,
    /// What is in the view.
    put: Option<Target>,
}

/// The directory's entries by kind.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) documents: Vec<OsString>,
    unknown: Vec<OsString>,
}

pub(super) fn entries(directory: &Path) -> io::Result<Entries> {
    let mut entries = Entries::default();
    for entry in directory.read_dir()? {
        let file = entry?.file_name();
        match document::entry(&file) {
            Entry::Document => entries.documents.push(file),
            Entry::Ignored => {}
            Entry::Unknown => entries.unknown.push(file),
        }
    }
    Ok(entries)
}

impl Followed {
    /// From now on what is seen goes there.
    pub(super) fn begin(&mut self, revocations: Arc<Revocations>) {
        self.into = Some(revocations);
    }

    /// Looks at everything.
    pub(super) fn look(&mut self, directory: &Path) -> io::Result<()> {
        let Some(into) = self.into.clone() else {
            return Ok(());
        };
        let device = self.device_unless_unmounted(directory)?;
        let entries = entries(directory)?;
        self.device = Some(device);
        for file in entries.unknown {
            if !self.warned.contains(&file) {
                tracing::warn!(file = %directory.join(&file).display(), "ignored: its name ends in none of .yaml, .yml and .json");
                self.warned.insert(file);
            }
        }
        let mut there = HashSet::with_capacity(entries.documents.len());
        for file in entries.documents {
            let seen = self.files.entry(file.clone()).or_default();
            if seen.update(directory, &file, &into, self.has_looked) {
                there.insert(file);
            }
        }
        self.files.retain(|file, seen| {
            let is_gone = !there.contains(file) && seen.missing;
            seen.missing = !there.contains(file);
            if is_gone {
                seen.take_out(file, &into);
            }
            !is_gone
        });
        self.count(&into);
        if !self.has_looked {
            tracing::debug!(revocations = into.len(), "the revocations were read");
            self.has_looked = true;
        }
        Ok(())
    }

    /// Where a file system was mounted and is no more there is an empty directory: to believe it would let everybody in again,
    /// and what is written there is lost when the other comes back.
    pub(super) fn device_unless_unmounted(&self, directory: &Path) -> io::Result<u64> {
        let device = fs::metadata(directory)?.dev();
        let mut known = self.files.keys().peekable();
        let is_elsewhere = self.device.is_some_and(|before| before != device);
        if is_elsewhere && known.peek().is_some() && known.all(|file| !directory.join(file).exists()) {
            return Err(io::Error::other(
                "it is on another file system than before, and all revocations are gone: was it unmounted? Mount it again; \
                 if they are to be gone, restart",
            ));
        }
        Ok(device)
    }

    /// Looks at one file that this process has just changed.
    pub(super) fn look_at(&mut self, directory: &Path, file: OsString) {
        let Some(into) = self.into.clone() else { return };
        let mut seen = self.files.remove(&file).unwrap_or_default();
        seen.settled = false;
        if seen.update(directory, &file, &into, true) {
            self.files.insert(file, seen);
        } else {
            seen.take_out(&file, &into);
        }
        self.count(&into);
    }

    /// As if the file had been read while it had this stamp.
    #[cfg(test)]
    pub(super) fn pretend_stamp(&mut self, file: &str, stamp: Stamp) {
        self.files.entry(file.into()).or_default().stamp = Some(stamp);
    }

    /// As if another file system had been mounted at the last look.
    #[cfg(test)]
    pub(super) fn pretend_device(&mut self) {
        self.device = self.device.map(|device| device + 1);
    }

    fn count(&self, into: &Revocations) {
        into.set_problems(self.files.values().filter(|seen| seen.is_faulty).count());
    }
}

impl Seen {
    /// Reads the file if it may have changed; false if it is not there. What a first look finds is no news.
    fn update(&mut self, directory: &Path, file: &OsStr, into: &Revocations, is_news: bool) -> bool {
        let path = directory.join(file);
        let stamp = match document::stamp(&path) {
            Ok(stamp) => stamp,
            Err(Fault::Gone) => return false,
            Err(fault) => {
                self.stamp = None;
                self.complain(&path, &fault, digest_of(fault.to_string().as_bytes()));
                return true;
            }
        };
        let is_same = self.stamp == Some(stamp);
        if is_same && self.settled {
            return true;
        }
        self.stamp = Some(stamp);
        self.settled = is_same;
        let bytes = match document::read(&path) {
            Ok(bytes) => bytes,
            Err(Fault::Gone) => return false,
            Err(fault) => {
                // Whether it can be read may change without the file.
                self.settled = false;
                self.complain(&path, &fault, digest_of(fault.to_string().as_bytes()));
                return true;
            }
        };
        let content = digest_of(&bytes);
        if self.content == Some(content) {
            return true;
        }
        let document = match document::parse(file, &bytes) {
            Ok(document) => document,
            Err(fault) => {
                self.complain(&path, &fault, content);
                return true;
            }
        };
        self.content = Some(content);
        self.is_faulty = false;
        // A file has no time of creation; see `document::parse`.
        if let Ok(checked) = Checked::new(&document.spec, None) {
            let (name, old) = (file.to_string_lossy(), self.put.take());
            into.change(|view| {
                if let Some(old) = old {
                    view.remove(&name, &old);
                }
                view.put(&name, &checked);
            });
            if is_news {
                // Not `target`: that is the module in every line.
                let revoked = document.spec.target.kind();
                tracing::info!(name = %document.metadata.name, revoked, "a revocation is in force");
            }
            self.put = Some(document.spec.target);
        }
        true
    }

    /// What a file revoked before stays revoked: an edit that is only half done must not let anybody in.
    fn complain(&mut self, path: &Path, fault: &Fault, content: [u8; 32]) {
        self.is_faulty = true;
        if self.content == Some(content) {
            return;
        }
        self.content = Some(content);
        tracing::error!(
            file = %path.display(), %fault,
            "this document is not in force, and what it revoked before stays revoked: correct or remove it"
        );
    }

    fn take_out(&mut self, file: &OsStr, into: &Revocations) {
        if let Some(target) = self.put.take() {
            into.change(|view| view.remove(&file.to_string_lossy(), &target));
            tracing::info!(file = %file.display(), "a revocation is gone");
        }
    }
}

fn digest_of(bytes: &[u8]) -> [u8; 32] {
    let mut content = [0; 32];
    content.copy_from_slice(digest(&SHA256, bytes).as_ref());
    content
}
