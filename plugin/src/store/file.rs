//! Unencrypted files that only their owner can read, for who asks for them in so many words.

use std::{
    any::Any,
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use keyring_core::{
    Entry, Error,
    api::{CredentialApi, CredentialStoreApi},
};
use zeroize::Zeroizing;

use super::{Result, SERVICE, StoreError};
use crate::paths::{PathsError, create_private_dir};

pub(super) const NAME: &str = "the file store";

/// One file per entry, in a directory of their own.
#[derive(Debug)]
pub(super) struct FileStore {
    dir: PathBuf,
}

impl FileStore {
    /// Nothing is made before something is stored.
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    fn entry(&self, service: &str, user: &str) -> FileEntry {
        let name = digest(&SHA256, format!("{service}:{user}").as_bytes());
        FileEntry {
            path: self.dir.join(HEXLOWER.encode(name.as_ref())),
            dir: self.dir.clone(),
            service: service.into(),
            user: user.into(),
        }
    }
}

impl CredentialStoreApi for FileStore {
    fn vendor(&self) -> String {
        "Gatepass".into()
    }

    fn id(&self) -> String {
        self.dir.display().to_string()
    }

    fn build(&self, service: &str, user: &str, _: Option<&HashMap<&str, &str>>) -> Result<Entry> {
        Ok(Entry::new_with_credential(Arc::new(self.entry(service, user))))
    }

    fn search(&self, spec: &HashMap<&str, &str>) -> Result<Vec<Entry>> {
        let service = spec.get(SERVICE).copied().unwrap_or_default();
        let files = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            files => files.map_err(|error| failed(&self.dir, &error))?,
        };
        let mut found = Vec::new();
        for path in files.flatten().map(|file| file.path()) {
            let Ok(Some(content)) = read_private(&path) else {
                continue;
            };
            let Some((name, _)) = parse(&content) else {
                continue;
            };
            let Some(user) = name.strip_prefix(service).and_then(|rest| rest.strip_prefix(':')) else {
                continue;
            };
            let entry = self.entry(service, user);
            if entry.path == path {
                found.push(Entry::new_with_credential(Arc::new(entry)));
            }
        }
        Ok(found)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[derive(Debug)]
struct FileEntry {
    /// The name is a digest: names of files are shorter than URLs can be.
    path: PathBuf,
    dir: PathBuf,
    service: String,
    user: String,
}

impl FileEntry {
    fn name(&self) -> String {
        format!("{}:{}", self.service, self.user)
    }
}

impl CredentialApi for FileEntry {
    /// Written beside, flushed, renamed: a crash leaves the old value or the new one.
    fn set_secret(&self, secret: &[u8]) -> Result<()> {
        create_private_dir(&self.dir).map_err(|error| match error {
            PathsError::Untrusted { path, fault } => StoreError::Untrusted { path, fault },
            PathsError::Unusable { path, source } => StoreError::Io {
                path,
                kind: source.kind(),
            },
            PathsError::NoHome { .. } => StoreError::Unsupported {
                store: "home directory",
            },
        })?;
        let write = || {
            let mut file = tempfile::Builder::new()
                .prefix(UNFINISHED)
                .tempfile_in(&self.dir)?;
            write!(file, "{MAGIC}{}\n{}\n", self.name(), secret.len())?;
            file.write_all(secret)?;
            file.as_file().sync_all()?;
            sweep(&self.dir, file.as_file());
            file.persist(&self.path).map_err(|error| error.error)?;
            #[cfg(unix)]
            File::open(&self.dir)?.sync_all()?;
            Ok(())
        };
        write().map_err(|error: io::Error| failed(&self.path, &error).into())
    }

    /// A file that is not whole or not this entry's is deleted, and then there is none.
    fn get_secret(&self) -> Result<Vec<u8>> {
        let content = read_private(&self.path)?.ok_or(Error::NoEntry)?;
        match parse(&content) {
            Some((name, secret)) if name == self.name() => Ok(secret.to_vec()),
            _ => {
                tracing::warn!(path = %self.path.display(), "deleted a stored entry that was not readable");
                fs::remove_file(&self.path).map_err(|error| failed(&self.path, &error))?;
                Err(Error::NoEntry)
            }
        }
    }

    fn delete_credential(&self) -> Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NoEntry),
            deleted => deleted.map_err(|error| failed(&self.path, &error).into()),
        }
    }

    fn get_credential(&self) -> Result<Option<Arc<keyring_core::Credential>>> {
        self.get_secret().map(Zeroizing::new).map(|_| None)
    }

    fn get_specifiers(&self) -> Option<(String, String)> {
        Some((self.service.clone(), self.user.clone()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// First line of a file; then the entry's name, the length of the secret, and the secret.
const MAGIC: &str = "gatepass 1\n";
const UNFINISHED: &str = ".unfinished-";
/// No secret is longer; more than this is not ours.
const MAX_FILE: u64 = 1024 * 1024;

fn parse(content: &[u8]) -> Option<(&str, &[u8])> {
    let mut lines = content
        .strip_prefix(MAGIC.as_bytes())?
        .splitn(3, |&byte| byte == b'\n');
    let name = str::from_utf8(lines.next()?).ok()?;
    let length: usize = str::from_utf8(lines.next()?).ok()?.parse().ok()?;
    let secret = lines.next()?;
    (secret.len() == length).then_some((name, secret))
}

/// Reads a file that nobody else could have written or read; `None` if there is none.
fn read_private(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true);
    // A link would be somebody's wish that we read elsewhere, a pipe that we wait.
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        options.custom_flags(i32::try_from(flags.bits()).unwrap_or_default());
    }
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) => {
            tracing::debug!(%error, "a link where a stored entry would be");
            return Err(StoreError::Untrusted {
                path: path.into(),
                fault: "it is a link",
            });
        }
        file => file.map_err(|error| failed(path, &error))?,
    };
    let metadata = file.metadata().map_err(|error| failed(path, &error))?;
    if let Some(fault) = fault(&metadata) {
        return Err(StoreError::Untrusted {
            path: path.into(),
            fault,
        });
    }
    let mut content = Zeroizing::new(Vec::with_capacity(16 * 1024));
    file.take(MAX_FILE)
        .read_to_end(&mut content)
        .map_err(|error| failed(path, &error))?;
    Ok(Some(content))
}

fn fault(metadata: &fs::Metadata) -> Option<&'static str> {
    if !metadata.is_file() {
        return Some("it is not a file");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Some("it belongs to somebody else");
        }
        if metadata.mode() & 0o077 != 0 {
            return Some("others may read or write it");
        }
    }
    None
}

/// Deletes what writers that died have left. Old is what is older than the file just written: no clock is asked.
fn sweep(dir: &Path, just_written: &File) {
    const OLD: Duration = Duration::from_secs(60);
    let written = |metadata: io::Result<fs::Metadata>| metadata.and_then(|metadata| metadata.modified());
    let (Ok(now), Ok(files)) = (written(just_written.metadata()), fs::read_dir(dir)) else {
        return;
    };
    for file in files.flatten() {
        let unfinished = file
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(UNFINISHED));
        let old = || {
            let then = written(file.metadata()).ok()?;
            Some(now.duration_since(then).ok()? > OLD)
        };
        if unfinished && old() == Some(true) {
            // Another process may be quicker; what stays is tried again with the next write.
            let _ = fs::remove_file(file.path());
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Io {
        path: path.into(),
        kind: error.kind(),
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
