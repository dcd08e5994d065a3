//! Files: read with a bound, written whole or not at all.
//!
//! What people name may be whatever a shell hands over, a pipe too. What lies at a place of this program's own, or turns up in a
//! directory, must be a file: it is read without anybody having asked for it, and nobody must have to wait for it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::error::BreakGlassError;

/// As large as a log may be; kits, share files and keys are far smaller.
const LARGEST: u64 = 16 * 1024 * 1024;

/// What names begin with that no writer has finished.
pub(super) const UNFINISHED: &str = ".unfinished-";

/// Reads what somebody has named, which may hold a secret.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, BreakGlassError> {
    let bytes = File::open(path).and_then(whole);
    bytes.map_err(|source| file_error(path, source))
}

/// Reads a text that somebody has named.
pub(super) fn read_text(path: &Path) -> Result<String, BreakGlassError> {
    text(path, &read(path)?)
}

/// Reads a text that was found.
pub(super) fn read_found_text(path: &Path) -> Result<String, BreakGlassError> {
    let bytes = open_found(path, OpenOptions::new().read(true)).and_then(whole);
    text(path, &bytes.map_err(|source| file_error(path, source))?)
}

/// Reads what was found, which may hold a secret, and no more than `most` bytes of it.
pub(super) fn read_found(path: &Path, most: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    let file = open_found(path, OpenOptions::new().read(true))?;
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens what was found. Whatever is no file is refused, without a wait for whoever is at the other end of a pipe.
pub(super) fn open_found(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default());
    }
    let file = options.open(path).map_err(|error| {
        // "Is a directory" is clear enough; that a socket has "no such device" is not.
        let is_no_file = fs::metadata(path).and_then(is_file);
        match error.kind() {
            io::ErrorKind::NotFound => error,
            _ => is_no_file.err().unwrap_or(error),
        }
    })?;
    is_file(file.metadata()?)?;
    Ok(file)
}

fn is_file(metadata: fs::Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(());
    }
    #[cfg(unix)]
    let is_pipe = std::os::unix::fs::FileTypeExt::is_fifo(&kind);
    #[cfg(not(unix))]
    let is_pipe = false;
    Err(io::Error::other(match (kind.is_dir(), is_pipe) {
        (true, _) => "it is a directory, and no file",
        (_, true) => "it is a pipe, and no file",
        _ => "it is a socket or a device, and no file",
    }))
}

fn whole(file: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > LARGEST {
        true => Err(io::Error::other("it is longer than any file of this kind")),
        false => Ok(bytes),
    }
}

fn text(path: &Path, bytes: &[u8]) -> Result<String, BreakGlassError> {
    let text = String::from_utf8(bytes.to_vec());
    text.map_err(|_| file_error(path, io::Error::other("it is no text")))
}

/// That something to read lies at a path. It is not read: a pipe gives what it holds once.
pub(super) fn is_there(path: &Path) -> Result<(), BreakGlassError> {
    let found = path.metadata().and_then(|found| match found.is_dir() {
        true => Err(io::ErrorKind::IsADirectory.into()),
        false => Ok(()),
    });
    found.map_err(|source| file_error(path, source))
}

/// That files can be written into a directory, before people have done their part.
pub(super) fn writable(dir: &Path) -> Result<(), BreakGlassError> {
    tempfile::tempfile_in(dir)
        .map(drop)
        .map_err(|source| file_error(dir, source))
}

/// Writes a new file; one that exists is left alone.
pub(super) fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), BreakGlassError> {
    let file = unfinished(path, text.as_bytes(), mode).map_err(|source| file_error(path, source))?;
    match file.persist_noclobber(path) {
        Ok(_) => {
            settle(path);
            Ok(())
        }
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(BreakGlassError::Exists(path.to_owned()))
        }
        Err(error) => Err(file_error(path, error.error)),
    }
}

/// Writes a file in place of the one that is there.
pub(super) fn replace(path: &Path, text: &str, mode: u32) -> Result<(), BreakGlassError> {
    put(path, text.as_bytes(), mode).map_err(|source| file_error(path, source))
}

/// The same, of any bytes.
pub(super) fn put(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    unfinished(path, content, mode)?.persist(path)?;
    settle(path);
    Ok(())
}

/// A file beside the one that it becomes when it is renamed: a crash leaves the one before, or this one.
fn unfinished(path: &Path, content: &[u8], mode: u32) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(mode));
    }
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = builder.tempfile_in(dir(path))?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Brings a file's name to the disk as well. The file is there, whatever comes of it, and not every file system can.
fn settle(path: &Path) {
    #[cfg(unix)]
    if let Err(error) = File::open(dir(path)).and_then(|dir| dir.sync_all()) {
        tracing::info!(%error, path = %dir(path).display(), "a directory was not flushed");
    }
    #[cfg(not(unix))]
    let _ = path;
}

fn dir(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

fn file_error(path: &Path, source: io::Error) -> BreakGlassError {
    BreakGlassError::File {
        path: PathBuf::from(path),
        source,
    }
}

#[cfg(test)]
#[cfg(unix)]
pub(super) mod tests;
