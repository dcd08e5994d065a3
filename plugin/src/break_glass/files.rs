//! Files that people name: read with a bound, written whole or not at all, and never over another.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::error::BreakGlassError;

/// Above any kit, share file, identity or log of texts.
const LARGEST: u64 = 4 * 1024 * 1024;

/// Reads a file, which may hold a secret.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, BreakGlassError> {
    let read = || {
        let mut bytes = Zeroizing::new(Vec::new());
        File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > LARGEST {
            true => Err(io::Error::other("it is longer than any file of this kind")),
            false => Ok(bytes),
        }
    };
    read().map_err(|source| file_error(path, source))
}

/// Reads a text.
pub(super) fn read_text(path: &Path) -> Result<String, BreakGlassError> {
    let bytes = read(path)?;
    String::from_utf8(bytes.to_vec()).map_err(|_| file_error(path, io::Error::other("it is no text")))
}

/// That files can be written into a directory, before people have done their part.
pub(super) fn writable(dir: &Path) -> Result<(), BreakGlassError> {
    tempfile::tempfile_in(dir)
        .map(drop)
        .map_err(|source| file_error(dir, source))
}

/// Writes a new file; one that exists is left alone.
pub(super) fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), BreakGlassError> {
    write(path, text, mode, false)
}

/// Writes a file in place of the one that is there.
pub(super) fn replace(path: &Path, text: &str, mode: u32) -> Result<(), BreakGlassError> {
    write(path, text, mode, true)
}

fn write(path: &Path, text: &str, mode: u32, over: bool) -> Result<(), BreakGlassError> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(std::fs::Permissions::from_mode(mode));
    }
    #[cfg(not(unix))]
    let _ = mode;
    let failed = |source| file_error(path, source);
    let mut file = builder.tempfile_in(dir).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    let kept = match over {
        true => file.persist(path),
        false => file.persist_noclobber(path),
    };
    match kept {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(BreakGlassError::Exists(path.to_owned()))
        }
        Err(error) => Err(failed(error.error)),
    }
}

fn file_error(path: &Path, source: io::Error) -> BreakGlassError {
    BreakGlassError::File {
        path: PathBuf::from(path),
        source,
    }
}
