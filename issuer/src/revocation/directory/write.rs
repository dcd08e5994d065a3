//! Changing the directory, by whoever holds its lock.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use gatepass_api::revocation::{Revocation, RevocationSpec, Target};

use super::super::Checked;
use super::document::{self, Fault, Stamp};
use crate::revocation::store::{Existing, joined};

/// Held by who changes something; never removed, because two could then lock two files of that name.
pub(super) const LOCK: &str = ".lock";
/// What a document is called until it is whole.
const TEMPORARY: &str = ".new-";

/// What becomes of a document of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ifs {
    /// Nothing is written if it revokes what is asked for at least as long; else both are made one.
    Leave,
    /// Nothing is written if it revokes all that is asked for; else both are made one.
    Extend,
    /// Nothing is written.
    Refuse,
}

/// Whether something was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Yes,
    /// What is there stays.
    No,
}

/// The lock, or `None` while another has it.
pub(super) fn try_lock(directory: &Path) -> io::Result<Option<File>> {
    let path = directory.join(LOCK);
    let made = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o660)
        .open(&path);
    let lock = match made {
        Ok(lock) => {
            hand_over(&lock, directory, 0o660)?;
            lock
        }
        // Not `create`: root must not be led by a link to make a file somewhere else.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            OpenOptions::new().read(true).write(true).open(&path)?
        }
        Err(error) => return Err(error),
    };
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Gives a file to the directory's owner and a mode that no umask narrows: root's `revoke` must write what the issuer,
/// who is somebody else, can read.
fn hand_over(file: &File, directory: &Path, mode: u32) -> io::Result<()> {
    let (ours, theirs) = (file.metadata()?, fs::metadata(directory)?);
    if ours.uid() == 0 && theirs.uid() != 0 {
        fchown(file, Some(theirs.uid()), Some(theirs.gid()))?;
    }
    file.set_permissions(Permissions::from_mode(mode))
}

/// A hidden file, removed with this value.
struct Temporary {
    path: PathBuf,
    file: File,
}

impl Temporary {
    fn create(directory: &Path) -> io::Result<Self> {
        let mut number = 0;
        loop {
            let path = directory.join(format!("{TEMPORARY}{number}.tmp"));
            match OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
            {
                Ok(file) => return Ok(Self { path, file }),
                // Whoever left it is dead, for this one has the lock; the next sweep removes it.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 10_000 => number += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // It may have its own name by now.
        let _gone = fs::remove_file(&self.path);
    }
}

pub(super) fn put(directory: &Path, name: &str, spec: &RevocationSpec, ifs: Ifs) -> io::Result<Written> {
    let there: Vec<OsString> = document::files(name)
        .into_iter()
        .filter(|file| directory.join(file).symlink_metadata().is_ok())
        .collect();
    if ifs == Ifs::Refuse && !there.is_empty() {
        return Ok(Written::No);
    }
    let mut spec = spec.clone();
    for file in &there {
        // What cannot be read revokes nothing for those who start now, so it does not count.
        let Ok((_, old)) = document::load(directory, file) else {
            continue;
        };
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
        if old.spec.target != spec.target {
            return Err(invalid(format!("{name} is there already, with another target")));
        }
        let existing = match ifs {
            Ifs::Refuse | Ifs::Leave => Existing::Leave,
            Ifs::Extend => Existing::Replace,
        };
        match joined(&old.spec, None, &spec, existing).map_err(|error| invalid(error.to_string()))? {
            None => return Ok(Written::No),
            Some(joined) => spec = joined,
        }
    }
    let document = Revocation::new(name.to_owned(), spec);
    let mut bytes = serde_json::to_vec_pretty(&document)?;
    bytes.push(b'\n');
    let [file, ..] = document::files(name);
    let path = directory.join(&file);
    let mut temporary = Temporary::create(directory)?;
    temporary.file.write_all(&bytes)?;
    hand_over(&temporary.file, directory, 0o644)?;
    temporary.file.sync_all()?;
    if there.is_empty() {
        // Unlike a rename, this fails where somebody without the lock, such as an editor, has just made one.
        fs::hard_link(&temporary.path, &path)?;
    } else {
        fs::rename(&temporary.path, &path)?;
        for other in there.iter().filter(|other| **other != file) {
            fs::remove_file(directory.join(other))?;
        }
    }
    drop(temporary);
    sync(directory)?;
    Ok(Written::Yes)
}

/// True if there was one.
pub(super) fn remove(directory: &Path, name: &str) -> io::Result<bool> {
    let mut removed = false;
    for file in document::files(name) {
        match fs::remove_file(directory.join(file)) {
            Ok(()) => removed = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    sync(directory)?;
    Ok(removed)
}

/// Gives the files of the documents it has removed.
pub(super) fn sweep(directory: &Path, now: i64, session_max: i64) -> io::Result<Vec<OsString>> {
    let mut swept = Vec::new();
    let mut failed = None;
    for entry in directory.read_dir()? {
        let file = entry?.file_name();
        // Who makes one holds the lock, and that is us: it was left by one that was killed.
        let is_left = file.as_encoded_bytes().starts_with(TEMPORARY.as_bytes());
        let is_over = || {
            document::entry(&file) == document::Entry::Document
                && has_ended(&document::load(directory, &file), now, session_max)
        };
        if !is_left && !is_over() {
            continue;
        }
        match fs::remove_file(directory.join(&file)) {
            Ok(()) if !is_left => swept.push(file),
            Ok(()) => {}
            // One that cannot be removed does not keep the others.
            Err(error) => failed = Some(error),
        }
    }
    if !swept.is_empty() {
        sync(directory)?;
    }
    match failed {
        Some(error) if swept.is_empty() => Err(error),
        Some(_) | None => Ok(swept),
    }
}

/// A document that cannot be read has no end.
fn has_ended(loaded: &Result<(Stamp, Revocation), Fault>, now: i64, session_max: i64) -> bool {
    let Ok((stamp, document)) = loaded else {
        return false;
    };
    let Ok(checked) = Checked::new(&document.spec, None) else {
        return false;
    };
    let end = match (checked.expires_at(), &document.spec.target) {
        (Some(end), _) => Some(end),
        // The session began before somebody revoked it. The file's time is the store's; what the document says may be earlier.
        (None, Target::Session(_)) => Some(
            checked
                .logged_in_before()
                .max(stamp.modified())
                .saturating_add(session_max),
        ),
        (
            None,
            Target::User(_)
            | Target::Subject(_)
            | Target::Uid(_)
            | Target::Group(_)
            | Target::CredentialId(_),
        ) => None,
    };
    end.is_some_and(|end| end <= now)
}

/// Makes durable which names the directory has.
fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
