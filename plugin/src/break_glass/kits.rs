//! The kits that this machine keeps: public files, verified each time they are read.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use gatepass_break_glass::kit::Kit;

use super::{
    error::BreakGlassError,
    files::{read_text, replace},
};
use crate::paths::{Paths, create_private_dir};

/// Where kits lie.
pub struct Kits {
    dir: PathBuf,
}

/// A kit that is kept, or why it cannot be used.
pub type Kept = (PathBuf, Result<Kit, BreakGlassError>);

const EXTENSION: &str = "kit";

impl Kits {
    /// Nothing is made or read yet.
    pub fn new(paths: &Paths) -> Self {
        Self { dir: paths.kit_dir() }
    }

    /// The kit that `--kit` names, else the only one that is kept.
    pub fn kit(&self, named: Option<&Path>) -> Result<Kit, BreakGlassError> {
        match named {
            Some(path) => read(path),
            None => read(&self.only()?),
        }
    }

    /// All that are kept, whether they can be used or not.
    pub fn all(&self) -> Result<Vec<Kept>, BreakGlassError> {
        let paths = self.paths()?.into_iter();
        Ok(paths.map(|path| (path.clone(), read(&path))).collect())
    }

    /// Keeps a kit, in place of an earlier revision of it.
    pub fn keep(&self, kit: &Kit) -> Result<PathBuf, BreakGlassError> {
        create_private_dir(&self.dir)?;
        let path = self.dir.join(file_name(kit, EXTENSION));
        if let Ok(kept) = read(&path)
            && kept.payload().revision > kit.payload().revision
        {
            return Err(BreakGlassError::Typed(format!(
                "this machine keeps revision {} of this kit, and this is revision {}; nothing was changed",
                kept.payload().revision,
                kit.payload().revision
            )));
        }
        replace(&path, &kit.write(), 0o644)?;
        Ok(path)
    }

    fn only(&self) -> Result<PathBuf, BreakGlassError> {
        match self.paths()?.as_slice() {
            [] => Err(BreakGlassError::NoKit),
            [one] => Ok(one.clone()),
            several => Err(BreakGlassError::WhichKit(
                several.iter().map(|path| path.display().to_string()).collect(),
            )),
        }
    }

    fn paths(&self) -> Result<Vec<PathBuf>, BreakGlassError> {
        let failed = |source| BreakGlassError::File {
            path: self.dir.clone(),
            source,
        };
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }
}

/// Reads a kit's file and verifies it.
pub fn read(path: &Path) -> Result<Kit, BreakGlassError> {
    Kit::parse(&read_text(path)?).map_err(|source| BreakGlassError::Kit {
        path: path.to_owned(),
        source,
    })
}

/// What a file of a kit is called: two kits of one cluster have different names, two revisions of one kit the same.
pub fn file_name(kit: &Kit, extension: &str) -> String {
    let payload = kit.payload();
    let cluster: String = payload.cluster.chars().map(fit).collect();
    format!("{cluster}-{}.{extension}", kit.authority_id())
}

/// A character of a cluster's name as it is fit for a file's.
fn fit(c: char) -> char {
    match c.is_ascii_alphanumeric() || matches!(c, '-' | '_') {
        true => c,
        false => '_',
    }
}
