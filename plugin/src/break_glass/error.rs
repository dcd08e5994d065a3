//! What can end a command of break-glass, and what to do next.

use std::{
    io::{self, ErrorKind},
    path::PathBuf,
};

use gatepass_break_glass::{
    approver::Refusal,
    armor::ArmorError,
    identity::IdentityError,
    keygen::KeygenError,
    kit::KitError,
    name::{Name, NameError},
    opener::OpeningError,
    recipient::RecipientError,
    reshare::ReshareError,
    share::ShareError,
};

use crate::{
    escape::{self, Escaped},
    paths::PathsError,
};

/// Why a command of break-glass failed.
#[derive(Debug, thiserror::Error)]
pub enum BreakGlassError {
    /// stdin.
    #[error("cannot read what is typed: {0}")]
    Input(#[source] io::Error),
    /// stdin ended.
    #[error("the input ended while an answer or a text was awaited; nothing more was done")]
    InputEnded,
    /// age would show what it says to plugins.
    #[error("AGEDEBUG=plugin makes age print the keys of share files to the terminal; nothing was done")]
    AgeDebugs,
    /// A file.
    #[error("cannot use {path}: {source}", path = escape::path(path))]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that must not be written over.
    #[error("{path} exists already; nothing was written over", path = escape::path(.0))]
    Exists(PathBuf),
    /// A directory.
    #[error(transparent)]
    Directory(#[from] PathsError),
    /// No kit.
    #[error("this machine keeps no kit, and --kit names none")]
    NoKit,
    /// Several kits.
    #[error("this machine keeps several kits: {}", .0.join(", "))]
    WhichKit(Vec<String>),
    /// A kit's file.
    #[error("the kit {path} cannot be used: {source}", path = escape::path(path))]
    Kit {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: KitError,
    },
    /// What a kit would be made of.
    #[error(transparent)]
    Draft(#[from] KitError),
    /// A share file.
    #[error("{path}: {source}", path = escape::path(path))]
    Share {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: ShareError,
    },
    /// A file with a key.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A holder's share file, before there is one.
    #[error("the share file of {name} cannot be locked on this machine: {source}")]
    Lock {
        /// Whose.
        name: Name,
        /// What is missing.
        source: ShareError,
    },
    /// A recipient.
    #[error("--holder {name}: {source}")]
    Recipient {
        /// Whose.
        name: Name,
        /// What is wrong with it.
        source: RecipientError,
    },
    /// A name or a reason.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Something typed that is not as it should be.
    #[error("{0}")]
    Typed(String),
    /// A request, a share or a round that is refused.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// A key that could not be made.
    #[error(transparent)]
    Keygen(#[from] KeygenError),
    /// Shares that could not be changed.
    #[error(transparent)]
    Reshare(#[from] ReshareError),
    /// stdout.
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
    /// What the opener could not put together.
    #[error(transparent)]
    Opening(#[from] OpeningError),
    /// A text.
    #[error(transparent)]
    Text(#[from] ArmorError),
    /// A person said no.
    #[error("{0} did not agree; nothing was signed with their share")]
    Declined(Name),
    /// A holder did not confirm.
    #[error("{0} did not confirm the kit")]
    NotConfirmed(Name),
    /// One share twice.
    #[error("the share of {0} was given twice; a quorum is of different people")]
    Twice(Name),
    /// A text in the name of somebody who signs here.
    #[error(
        "{0} is at this machine, and takes part here: a text of theirs is somebody else's, or one too many; leave it out"
    )]
    Here(Name),
    /// Identity provider and issuer answer.
    #[error("the issuer {0} and its identity provider answer: the glass need not be broken")]
    TheyAnswer(String),
    /// No window.
    #[error("no break-glass window is open on this machine")]
    NoWindow,
    /// No window of the kit that was named.
    #[error("no break-glass window of this kit is open on this machine")]
    NoWindowOfKit,
    /// Windows that stay, or whose keys do; of each it was said why.
    #[error("not every break-glass window and key could be removed; see above")]
    NotClosed,
    /// Logs that do not fit each other.
    #[error("the logs do not hold: see the findings")]
    Findings,
    /// kubectl's configuration.
    #[error("cannot take the API server from kubectl's current context: {0}")]
    Context(String),
}

/// Where files go instead.
const ELSEWHERE: &str = "--out for what a command makes; the environment's XDG_CONFIG_HOME for kits that are kept, and \
                         XDG_STATE_HOME for windows and the log, which are absolute paths";

impl BreakGlassError {
    /// What to do next, where there is something.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoKit => {
                "get the kit (it is public) from whoever keeps it: kubectl gatepass break-glass verify KIT --keep".into()
            }
            Self::WhichKit(_) => "name one: --kit FILE (for verify: its path alone)".into(),
            Self::Exists(_) => "name another directory with --out".into(),
            Self::TheyAnswer(issuer) => format!(
                "log in as always: kubectl-gatepass login {}; if that is of no use, add --even-if-they-answer",
                Escaped(issuer)
            ),
            Self::AgeDebugs => "unset AGEDEBUG".into(),
            Self::InputEnded => "a ceremony needs a terminal, or what is typed from a pipe that stays open".into(),
            Self::File { source, .. } => match source.kind() {
                ErrorKind::NotFound => "see whether its name is right; a path that does not begin with / begins where you are".into(),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    format!("make room there, or name another directory: {ELSEWHERE}")
                }
                _ => format!("see whether it may be read and written by you, or name another: {ELSEWHERE}"),
            },
            Self::Directory(PathsError::NoHome { variable }) => {
                format!("set {variable}, or both XDG_CONFIG_HOME and XDG_STATE_HOME, to absolute paths")
            }
            Self::Directory(PathsError::Unusable { .. }) => {
                format!("make room there, or make it a directory of yours; or name another: {ELSEWHERE}")
            }
            Self::Directory(PathsError::Untrusted { .. }) => {
                format!("make it a directory of yours that nobody else may write to; or name another: {ELSEWHERE}")
            }
            Self::Context(_) => "name it: --server URL --server-ca FILE --cluster NAME".into(),
            Self::Share { source: ShareError::WrongIdentity | ShareError::NoIdentity, .. } => {
                "name the file with the holder's key: --identity FILE".into()
            }
            _ => return None,
        })
    }

    /// Whether the person can correct it in what they typed.
    pub fn is_typed(&self) -> bool {
        matches!(
            self,
            Self::Typed(_)
                | Self::Draft(_)
                | Self::Name(_)
                | Self::Recipient { .. }
                | Self::WhichKit(_)
                | Self::Context(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_no_room_for_a_file_or_may_not_write_it_is_told_where_else_it_can_be() {
        let file = |kind: ErrorKind| BreakGlassError::File {
            path: "/full/prod.kit".into(),
            source: kind.into(),
        };
        let unusable = PathsError::Unusable {
            path: "/full/gatepass".into(),
            source: ErrorKind::StorageFull.into(),
        };
        let untrusted = PathsError::Untrusted {
            path: "/tmp/gatepass".into(),
            fault: "others may write to it",
        };
        for error in [
            file(ErrorKind::StorageFull),
            file(ErrorKind::QuotaExceeded),
            file(ErrorKind::PermissionDenied),
            file(ErrorKind::ReadOnlyFilesystem),
            unusable.into(),
            untrusted.into(),
        ] {
            let hint = error.hint().unwrap_or_default();
            for way in ["--out", "XDG_CONFIG_HOME", "XDG_STATE_HOME"] {
                assert!(hint.contains(way), "{error}: {hint}");
            }
        }
        let hint = file(ErrorKind::NotFound).hint().unwrap();
        assert!(hint.contains("its name is right"), "{hint}");
        let homeless = BreakGlassError::from(PathsError::NoHome { variable: "HOME" });
        assert!(homeless.hint().unwrap().contains("set HOME, or "));
    }
}
