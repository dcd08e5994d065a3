//! Where files live, by the XDG base directory specification.

use std::{
    fs::{self, DirBuilder},
    io,
    path::{Path, PathBuf},
};

/// The configuration and state directories of the person who runs the plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    config: PathBuf,
    state: PathBuf,
}

/// Why a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PathsError {
    /// The environment names no home.
    #[error("there is no home directory: {variable} is not set to an absolute path")]
    NoHome {
        /// The variable that would name it.
        variable: &'static str,
    },
    /// A directory that cannot be made or looked at.
    #[error("cannot use the directory {path}: {source}", path = path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A directory that others could change.
    #[error("the directory {path} is not safe to use: {fault}", path = path.display())]
    Untrusted {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        fault: &'static str,
    },
}

impl Paths {
    /// Reads the directories from an environment lookup. A relative XDG value is ignored, as the specification asks.
    pub fn from_env(lookup: impl Fn(&str) -> Option<PathBuf>) -> Result<Self, PathsError> {
        let absolute = |name| lookup(name).filter(|path| path.is_absolute());
        let place = |xdg, below_home: &str| {
            let base = match absolute(xdg) {
                Some(base) => base,
                None => absolute(HOME)
                    .ok_or(PathsError::NoHome { variable: HOME })?
                    .join(below_home),
            };
            Ok(base.join("gatepass"))
        };
        Ok(Self {
            config: place("XDG_CONFIG_HOME", ".config")?,
            state: place("XDG_STATE_HOME", ".local/state")?,
        })
    }

    /// The configuration file, whether it exists or not.
    pub fn config_file(&self) -> PathBuf {
        self.config.join("config.yaml")
    }

    /// Where state that is not secret lives.
    pub fn state_dir(&self) -> &Path {
        &self.state
    }

    /// Where break-glass kits lie: they are public.
    pub fn kit_dir(&self) -> PathBuf {
        self.config.join("break-glass")
    }

    /// Where break-glass windows and the log of ceremonies live.
    pub fn break_glass_dir(&self) -> PathBuf {
        self.state.join("break-glass")
    }

    /// Where lock files live.
    pub fn lock_dir(&self) -> PathBuf {
        self.state.join("locks")
    }
}

#[cfg(windows)]
const HOME: &str = "USERPROFILE";
#[cfg(not(windows))]
const HOME: &str = "HOME";

/// Makes a directory, and those above it, for its owner alone; one that is there already must be the owner's, and
/// nobody else may write to it.
pub fn create_private_dir(path: &Path) -> Result<(), PathsError> {
    let unusable = |source| PathsError::Unusable {
        path: path.to_owned(),
        source,
    };
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(unusable)?;
    let untrusted = |fault| {
        Err(PathsError::Untrusted {
            path: path.to_owned(),
            fault,
        })
    };
    let metadata = fs::symlink_metadata(path).map_err(unusable)?;
    if !metadata.is_dir() {
        return untrusted("it is a link");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return untrusted("it belongs to somebody else");
        }
        if metadata.mode() & 0o022 != 0 {
            return untrusted("others may write to it");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
