//! The file of this machine's log: only ever appended to, by one process at a time, and on the disk before anything rests on it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use super::error::BreakGlassError;
use crate::{
    lock::lock_within,
    paths::{Paths, create_private_dir},
};

/// How long another process may take to append.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where it lies.
pub fn path(paths: &Paths) -> PathBuf {
    paths.break_glass_dir().join("log.jsonl")
}

/// Its bytes; none if there is none.
pub fn read(path: &Path) -> Result<Vec<u8>, BreakGlassError> {
    match File::open(path) {
        Ok(mut file) => bytes(&mut file).map_err(|source| failed(path, source)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(path, error)),
    }
}

/// Appends what `next` makes of the bytes that are there.
pub fn append(
    path: &Path,
    next: impl FnOnce(&[u8]) -> Result<String, BreakGlassError>,
) -> Result<(), BreakGlassError> {
    if let Some(dir) = path.parent() {
        create_private_dir(dir)?;
    }
    let open = |path: &Path| {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path).map_err(|source| failed(path, source))
    };
    let locked = open(&path.with_extension("lock"))?;
    let _guard = lock_within(locked, PATIENCE).map_err(|source| failed(path, source))?;
    let mut file = open(path)?;
    let before = bytes(&mut file).map_err(|source| failed(path, source))?;
    let line = next(&before)?;
    let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|source| failed(path, source))
}

fn bytes(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn failed(path: &Path, source: io::Error) -> BreakGlassError {
    BreakGlassError::File {
        path: path.to_owned(),
        source,
    }
}
