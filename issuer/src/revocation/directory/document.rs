use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use gatepass_api::revocation::{self, Revocation};

use super::super::{Checked, SpecError};
use crate::escape::visible;

/// Greatest length of a document; the longest that can be made has some 20 KiB.
const MAX: u64 = 64 * 1024;
/// What a document's file is called after its name; the first is what is written.
const EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];

/// Why a file is not a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not there, or a link leads nowhere.
    #[error("it is not there")]
    Gone,
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// A directory, a pipe or the like.
    #[error("it is not a file")]
    NotAFile,
    /// Too long.
    #[error("it is longer than 64 KiB")]
    TooLarge,
    /// Neither YAML nor JSON, or a member is missing, unknown or of the wrong type.
    #[error("it is not a Revocation: {0}")]
    Form(String),
    /// Something else, or of another version.
    #[error("apiVersion and kind must be gatepass.dev/v1alpha1 and Revocation")]
    Version,
    /// Its name is not the file's.
    #[error(
        "metadata.name must be the file's name without its extension, in lower-case letters, digits, `-` and `.`"
    )]
    Name,
    /// It revokes nothing.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

/// What an entry of the directory is by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Document,
    /// Hidden, or in the making. A mounted ConfigMap has hidden directories, and links to what is in them.
    Ignored,
    Unknown,
}

pub(super) fn entry(file: &OsStr) -> Entry {
    let path = Path::new(file);
    if file.as_encoded_bytes().starts_with(b".") {
        return Entry::Ignored;
    }
    match path.extension().and_then(OsStr::to_str) {
        Some(extension) if EXTENSIONS.contains(&extension) => Entry::Document,
        Some("tmp") => Entry::Ignored,
        _ => Entry::Unknown,
    }
}

/// The files that a document of that name may lie in.
pub(super) fn files(name: &str) -> [OsString; EXTENSIONS.len()] {
    EXTENSIONS.map(|extension| format!("{name}.{extension}").into())
}

/// What changes when a file's content does. The inode, because what is moved over a file may have its length and its time;
/// the time of the last change of the inode, because nobody can set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// When the content was last written, in Unix seconds.
    pub(super) fn modified(&self) -> i64 {
        self.modified.0
    }
}

fn unreadable(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::NotFound => Fault::Gone,
        _ => Fault::Unreadable(error.to_string()),
    }
}

/// Links are followed.
pub(super) fn stamp(path: &Path) -> Result<Stamp, Fault> {
    let metadata = fs::metadata(path).map_err(|error| unreadable(&error))?;
    if !metadata.is_file() {
        return Err(Fault::NotAFile);
    }
    Ok(Stamp::of(&metadata))
}

/// Reads a file that [`stamp`] has found to be one: a pipe would be waited for here.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > MAX {
        return Err(Fault::TooLarge);
    }
    Ok(bytes)
}

/// Reads what a file says, and checks it.
pub(super) fn parse(file: &OsStr, bytes: &[u8]) -> Result<Revocation, Fault> {
    let form = |error: &dyn std::fmt::Display| Fault::Form(visible(&error.to_string(), 256).into_owned());
    let text = std::str::from_utf8(bytes).map_err(|error| form(&error))?;
    // JSON is YAML.
    let value: serde_json::Value = serde_saphyr::from_str(text).map_err(|error| form(&error))?;
    let document: Revocation = serde_json::from_value(value).map_err(|error| form(&error))?;
    if document.api_version != revocation::API_VERSION || document.kind != revocation::KIND {
        return Err(Fault::Version);
    }
    let name = &document.metadata.name;
    if Path::new(file).file_stem() != Some(OsStr::new(name)) || !revocation::is_name(name) {
        return Err(Fault::Name);
    }
    // A time of creation in a file is whatever somebody has written there.
    Checked::new(&document.spec, None)?;
    Ok(document)
}

/// All of the above.
pub(super) fn load(directory: &Path, file: &OsStr) -> Result<(Stamp, Revocation), Fault> {
    let path = directory.join(file);
    let stamp = stamp(&path)?;
    Ok((stamp, parse(file, &read(&path)?)?))
}
