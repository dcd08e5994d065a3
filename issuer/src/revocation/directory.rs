//! A directory of revocations: one document a file, `NAME.yaml` or `NAME.json`.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use gatepass_api::revocation::{Revocation, RevocationSpec, Target};

use super::store::{Existing, WriteError};
use super::{Checked, Revocations};
use crate::routes::Clock;

/// How often the directory is looked at: a part of the two seconds that a revocation may take.
const POLL: Duration = Duration::from_millis(250);

/// A directory of documents.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
}

/// What a look saw of a file.
struct Seen {
    stamp: Stamp,
    /// What was put into the view for it.
    put: Option<(String, Target)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
}

impl Directory {
    /// The directory at `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) async fn put(
        &self,
        _name: &str,
        _spec: &RevocationSpec,
        _existing: Existing,
    ) -> Result<(), WriteError> {
        Err(WriteError("not yet".into()))
    }

    pub(super) async fn follow(&self, revocations: &Revocations, clock: &Clock) {
        let mut seen = HashMap::new();
        loop {
            match look(&self.path, &mut seen, revocations) {
                Ok(()) => revocations.in_contact(clock()),
                Err(error) => {
                    tracing::error!(%error, directory = %self.path.display(), "cannot read the revocations");
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

fn look(path: &Path, seen: &mut HashMap<PathBuf, Seen>, revocations: &Revocations) -> io::Result<()> {
    let mut there = HashMap::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let path = entry.path();
        if !path.extension().is_some_and(|e| e == "yaml" || e == "json") {
            continue;
        }
        let metadata = std::fs::metadata(&path)?;
        let stamp = Stamp {
            modified: metadata.modified().ok(),
            length: metadata.len(),
        };
        there.insert(path, stamp);
    }
    seen.retain(|path, seen| {
        let stays = there.contains_key(path);
        if let (false, Some((name, target))) = (stays, &seen.put) {
            revocations.change(|view| view.remove(name, target));
        }
        stays
    });
    for (path, stamp) in there {
        if seen.get(&path).is_some_and(|seen| seen.stamp == stamp) {
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        match serde_saphyr::from_str::<serde_json::Value>(&text)
            .ok()
            .and_then(|value| serde_json::from_value::<Revocation>(value).ok())
        {
            Some(document) => {
                let old = seen.remove(&path);
                let name = document.metadata.name.clone();
                if let Ok(checked) = Checked::new(&document.spec, None) {
                    revocations.change(|view| {
                        if let Some((name, target)) = old.and_then(|old| old.put) {
                            view.remove(&name, &target);
                        }
                        view.put(&name, &checked);
                    });
                }
                seen.insert(
                    path,
                    Seen {
                        stamp,
                        put: Some((name, document.spec.target)),
                    },
                );
            }
            None => tracing::error!(file = %path.display(), "not a revocation"),
        }
    }
    Ok(())
}
