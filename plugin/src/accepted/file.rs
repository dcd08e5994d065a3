use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{AcceptError, Accepted};
use crate::{
    lock::{Guard, lock_within},
    paths::create_private_dir,
    settings::IssuerUrl,
};

/// How long to wait for another program that writes the file.
const PATIENCE: Duration = Duration::from_secs(10);

/// The file of accepted issuers.
pub struct AcceptedFile {
    path: PathBuf,
}

#[derive(Default, Serialize, Deserialize)]
struct Document {
    issuers: Vec<Accepted>,
}

impl AcceptedFile {
    /// `accepted.json` in the state directory.
    pub fn new(state_dir: &Path) -> Self {
        Self {
            path: state_dir.join("accepted.json"),
        }
    }

    /// All of them.
    pub fn all(&self) -> Result<Vec<Accepted>, AcceptError> {
        match fs::read(&self.path) {
            Ok(bytes) => {
                let document: Document =
                    serde_json::from_slice(&bytes).map_err(|error| self.error(error.into()))?;
                Ok(document.issuers)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(self.error(error)),
        }
    }

    /// One of them.
    pub fn find(&self, url: &IssuerUrl) -> Result<Option<Accepted>, AcceptError> {
        Ok(self
            .all()?
            .into_iter()
            .find(|accepted| accepted.url == url.as_str()))
    }

    /// Keeps an issuer, in place of what was accepted under its URL, or under the URL that it `replaces`.
    ///
    /// A cluster id that was accepted under any other URL is refused: proofs for one would be valid at the other.
    pub fn keep(
        &self,
        accepted: Accepted,
        url: &IssuerUrl,
        replaces: Option<&str>,
    ) -> Result<(), AcceptError> {
        self.change(|issuers| {
            issuers.retain(|other| other.url != accepted.url && Some(other.url.as_str()) != replaces);
            if let Some(other) = issuers
                .iter()
                .find(|other| other.cluster_id == accepted.cluster_id)
            {
                let (id, other) = (accepted.cluster_id.clone(), other.url.clone());
                return Err(AcceptError::SameCluster {
                    url: url.clone(),
                    id,
                    other,
                });
            }
            issuers.push(accepted);
            Ok(())
        })
    }

    /// Notes something beside the pins of an issuer that is still accepted.
    pub fn note(&self, url: &str, note: impl FnOnce(&mut Accepted)) -> Result<(), AcceptError> {
        self.change(|issuers| {
            if let Some(accepted) = issuers.iter_mut().find(|accepted| accepted.url == url) {
                note(accepted);
            }
            Ok(())
        })
    }

    fn change(
        &self,
        change: impl FnOnce(&mut Vec<Accepted>) -> Result<(), AcceptError>,
    ) -> Result<(), AcceptError> {
        let _lock = self.lock().map_err(|error| self.error(error))?;
        let mut issuers = self.all()?;
        change(&mut issuers)?;
        self.write(&Document { issuers })
            .map_err(|error| self.error(error))
    }

    /// Two programs that accept at once must not lose each other's entry.
    fn lock(&self) -> io::Result<Guard> {
        if let Some(dir) = self.path.parent() {
            create_private_dir(dir).map_err(io::Error::other)?;
        }
        let file = File::options()
            .create(true)
            .append(true)
            .open(self.path.with_extension("lock"))?;
        lock_within(file, PATIENCE)
    }

    fn write(&self, document: &Document) -> io::Result<()> {
        let dir = self.path.parent().ok_or(io::ErrorKind::NotFound)?;
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(&serde_json::to_vec_pretty(document)?)?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }

    fn error(&self, source: io::Error) -> AcceptError {
        AcceptError::File {
            path: self.path.clone(),
            source,
        }
    }
}
