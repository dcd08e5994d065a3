//! The kits that this machine keeps: public files, verified each time they are read.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use gatepass_break_glass::kit::Kit;

use super::{
    error::BreakGlassError,
    files::{read_found_text, read_text, replace},
};
use crate::{
    escape,
    paths::{Paths, create_private_dir},
};

/// Where kits lie.
pub struct Kits {
    dir: PathBuf,
}

/// A kit that is kept, or why it cannot be used.
pub type Kept = (PathBuf, Result<Kit, BreakGlassError>);

const EXTENSION: &str = "kit";

/// What earlier revisions end with.
const BEFORE: &str = "kit-before";

impl Kits {
    /// Nothing is made or read yet.
    pub fn new(paths: &Paths) -> Self {
        Self { dir: paths.kit_dir() }
    }

    /// The kit that `--kit` names, else the only one that is kept.
    pub fn kit(&self, named: Option<&Path>) -> Result<Kit, BreakGlassError> {
        match named {
            Some(path) => read(path),
            None => found(&self.only()?),
        }
    }

    /// All that are kept, whether they can be used or not.
    pub fn all(&self) -> Result<Vec<Kept>, BreakGlassError> {
        let paths = self.paths(EXTENSION)?.into_iter();
        Ok(paths.map(|path| (path.clone(), found(&path))).collect())
    }

    /// Keeps a kit, in place of an earlier revision of it.
    pub fn keep(&self, kit: &Kit) -> Result<PathBuf, BreakGlassError> {
        create_private_dir(&self.dir)?;
        let path = self.dir.join(file_name(kit, EXTENSION));
        if let Ok(kept) = found(&path) {
            let (before, after) = (kept.payload().revision, kit.payload().revision);
            if before > after {
                return Err(BreakGlassError::Typed(format!(
                    "this machine keeps revision {before} of this kit, and this is revision {after}; nothing was changed"
                )));
            }
            // Files are named after 32 bits of the authority, which somebody can find a second time.
            let same = kept.payload().authority == kit.payload().authority;
            if !same || (before == after && kept.hash() != kit.hash()) {
                return Err(BreakGlassError::Typed(format!(
                    "{} is another kit than this (its words: {}; this one's: {}); nothing was changed: find out which one the \
                     holders have, and remove the other",
                    escape::path(&path),
                    kept.words(),
                    kit.words()
                )));
            }
            // What earlier revisions signed is proven by them.
            if before < after {
                let ending = format!("{before}.{BEFORE}");
                replace(&self.dir.join(file_name(&kept, &ending)), &kept.write(), 0o644)?;
            }
        }
        replace(&path, &kit.write(), 0o644)?;
        Ok(path)
    }

    /// Those that can be used of all that are or were kept, earlier revisions included.
    pub fn known(&self) -> Result<Vec<Kit>, BreakGlassError> {
        let mut paths = self.paths(EXTENSION)?;
        paths.extend(self.paths(BEFORE)?);
        Ok(paths.iter().filter_map(|path| found(path).ok()).collect())
    }

    fn only(&self) -> Result<PathBuf, BreakGlassError> {
        match self.paths(EXTENSION)?.as_slice() {
            [] => Err(BreakGlassError::NoKit),
            [one] => Ok(one.clone()),
            several => Err(BreakGlassError::WhichKit(
                several.iter().map(|path| escape::path(path)).collect(),
            )),
        }
    }

    fn paths(&self, wanted: &str) -> Result<Vec<PathBuf>, BreakGlassError> {
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
            if path.extension().is_some_and(|extension| extension == wanted) {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }
}

/// Reads a kit's file, which somebody has named, and verifies it.
pub fn read(path: &Path) -> Result<Kit, BreakGlassError> {
    verified(path, &read_text(path)?)
}

/// The same of one that lies in the directory of kits.
fn found(path: &Path) -> Result<Kit, BreakGlassError> {
    verified(path, &read_found_text(path)?)
}

fn verified(path: &Path, text: &str) -> Result<Kit, BreakGlassError> {
    Kit::parse(text).map_err(|source| BreakGlassError::Kit {
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

#[cfg(test)]
mod tests {
    use gatepass_break_glass::{
        keygen::side_by_side,
        kit::{Draft, Limits, Made},
        name::Name,
    };
    use rand_core::OsRng;

    use super::*;

    fn kit() -> Kit {
        let holder = |name: &str| {
            let name = Name::try_from(name.to_owned()).unwrap();
            (name, vec!["passphrase".to_owned()])
        };
        let draft = Draft {
            cluster: "prod".into(),
            issuer: None,
            server: "https://server".into(),
            server_ca: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into(),
            made: Made::OneMachine,
            created: 1_795_000_000,
            authority_days: 7300,
            threshold: 2,
            holders: ["alice", "bob"].map(holder).into(),
            limits: Limits {
                longest_seconds: 3600,
                openers: Vec::new(),
                recertify_days: 180,
            },
        };
        side_by_side(&draft, &mut OsRng).unwrap().0
    }

    #[test]
    fn a_kit_of_another_authority_does_not_take_the_place_of_one_that_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::from_env(|_| Some(dir.path().to_path_buf())).unwrap();
        let kits = Kits::new(&paths);
        let (ours, theirs) = (kit(), kit());
        let path = kits.keep(&ours).unwrap();
        kits.keep(&ours).unwrap();
        // As if its authority had been searched for until the file's name was the same.
        let same_name = kits.dir.join(file_name(&theirs, EXTENSION));
        fs::rename(&path, &same_name).unwrap();
        let refused = kits.keep(&theirs).unwrap_err().to_string();
        assert!(refused.contains(&ours.words().to_string()), "{refused}");
        assert_eq!(read(&same_name).unwrap().hash(), ours.hash());
    }

    #[test]
    #[cfg(unix)]
    fn a_pipe_among_the_kits_is_named_and_nobody_waits_for_it() {
        use super::super::files::tests::{at_once, pipe};

        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::from_env(|_| Some(dir.path().to_path_buf())).unwrap();
        let kits = Kits::new(&paths);
        kits.keep(&kit()).unwrap();
        pipe(&kits.dir.join("z\nbob: type.kit"));
        let kept = at_once(move || kits.all().unwrap());
        let [(_, Ok(_)), (_, Err(error))] = &kept[..] else {
            panic!("{kept:?}");
        };
        let said = error.to_string();
        assert!(said.contains("z\\u{a}bob: type.kit: it is a pipe"), "{said}");
        let which = Kits::new(&paths).kit(None).unwrap_err().to_string();
        assert!(
            which.contains("several kits") && crate::escape::is_plain(&which),
            "{which}"
        );
    }
}
