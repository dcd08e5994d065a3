//! What can go wrong with revocations, and what to do then.

use std::{io, path::PathBuf};

use gatepass_api::revocation::TargetError;

use crate::{
    escape::{Escaped, message},
    keys::KeyError,
};

/// Why a command on revocations failed.
#[derive(Debug, thiserror::Error)]
pub enum RevocationError {
    /// The target cannot be revoked.
    #[error("{0}; nothing was written")]
    Target(#[from] TargetError),
    /// Not a name.
    #[error(
        "{0:?} is no name of a revocation: it has lower-case letters, digits, `-` and `.` only, begins and ends with \
         a letter or digit (also around each `.`), and has at most 253 of them"
    )]
    Name(String),
    /// More than the store takes.
    #[error("the reason has more than 1024 bytes; nothing was written")]
    Reason,
    /// Beyond all calendars.
    #[error("--for reaches beyond the year 9999; nothing was written")]
    TooLong,
    /// A certificate file that is none.
    #[error("{path} holds no certificate: {problem}", path = path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A certificate file that cannot be opened.
    #[error("{path} cannot be read: {error}; nothing was written", path = path.display())]
    CertificateFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
    /// kubectl could not be run.
    #[error("cannot run kubectl: {0}")]
    NoKubectl(#[source] io::Error),
    /// kubectl did not come back.
    #[error("kubectl gave no answer within {seconds} s when asked to {doing}", doing = doing.words())]
    Silent {
        /// What it was to do.
        doing: Doing,
        /// How long we waited.
        seconds: u64,
    },
    /// kubectl failed.
    #[error("{sentence}; kubectl says:\n    {said}", sentence = reason.sentence(*doing))]
    Kubectl {
        /// What it was to do.
        doing: Doing,
        /// Why it did not.
        reason: Reason,
        /// Its words.
        said: String,
    },
    /// kubectl answered something else.
    #[error("kubectl's answer is not that of an API server with revocations: {0}")]
    Nonsense(String),
    /// Written, and in vain.
    #[error("{}", .refused.iter().map(|(name, why)| ignored(name, why)).collect::<Vec<_>>().join("\n"))]
    Ignored {
        /// Which, and why, in the issuer's words.
        refused: Vec<(String, String)>,
        /// kubectl's flags, for commands to type.
        flags: String,
    },
    /// No such revocation.
    #[error("there is no revocation {}; nothing was deleted", .0.join(", "))]
    NoSuch(Vec<String>),
    /// No revocation has that target.
    #[error("no revocation has the target {0}; nothing was deleted")]
    NothingMatches(String),
    /// No randomness for a name.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// What kubectl was to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Write one.
    Create,
    /// Read one.
    Get,
    /// Read all.
    List,
    /// Delete one.
    Delete,
}

impl Doing {
    fn words(self) -> &'static str {
        match self {
            Self::Create => "write the revocation",
            Self::Get => "read the revocation",
            Self::List => "list the revocations",
            Self::Delete => "delete the revocation",
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Get => "get",
            Self::List => "list",
            Self::Delete => "delete",
        }
    }
}

/// Why kubectl failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The cluster has no such resource.
    NoResource,
    /// A revocation stands against the operator.
    Revoked,
    /// RBAC.
    Forbidden,
    /// A revocation of that name exists.
    Exists,
    /// No such object.
    Missing,
    /// The API server does not know the operator.
    Unauthorized,
    /// kubectl got no credential.
    NoCredential,
    /// No connection, so nothing was done.
    Unreachable,
    /// No answer in time, so something may have been done.
    Timeout,
    /// The API server does not take the document.
    Refused,
    /// Anything else.
    Other,
}

impl Reason {
    /// The reason behind kubectl's words, which are all that it gives. It only chooses our words, and whether an object that is
    /// not there is an error.
    fn of(said: &str) -> Self {
        const WORDS: [(&str, Reason); 18] = [
            ("getting credentials:", Reason::NoCredential),
            ("Gatepass: access was revoked", Reason::Revoked),
            ("Error from server (Forbidden)", Reason::Forbidden),
            ("Error from server (AlreadyExists)", Reason::Exists),
            (
                "the server could not find the requested resource",
                Reason::NoResource,
            ),
            ("Error from server (NotFound)", Reason::Missing),
            ("(Unauthorized)", Reason::Unauthorized),
            ("must be logged in to the server", Reason::Unauthorized),
            ("context deadline exceeded", Reason::Timeout),
            ("Client.Timeout exceeded", Reason::Timeout),
            ("i/o timeout", Reason::Timeout),
            ("(Timeout)", Reason::Timeout),
            ("Unable to connect to the server", Reason::Unreachable),
            ("was refused - did you specify", Reason::Unreachable),
            ("Error from server (ServiceUnavailable)", Reason::Unreachable),
            ("strict decoding error", Reason::Refused),
            ("Error from server (BadRequest)", Reason::Refused),
            (" is invalid: ", Reason::Refused),
        ];
        WORDS
            .iter()
            .find(|(words, _)| said.contains(words))
            .map_or(Self::Other, |(_, reason)| *reason)
    }

    fn sentence(self, doing: Doing) -> String {
        match self {
            Self::NoResource => {
                "the cluster has no revocations: their resource definition is not installed".into()
            }
            Self::Revoked => "your own access was revoked".into(),
            Self::Forbidden => format!("you may not {}", doing.words()),
            Self::Exists => "a revocation of that name exists; nothing was written".into(),
            Self::Missing => "there is no such revocation".into(),
            Self::Unauthorized => "the API server does not accept your credential".into(),
            Self::NoCredential => "kubectl got no credential for you".into(),
            Self::Unreachable => "the API server cannot be reached; nothing was done".into(),
            Self::Timeout => format!("the API server gave no answer when asked to {}", doing.words()),
            Self::Refused => "the API server does not take the revocation; nothing was written".into(),
            Self::Other => format!("could not {}", doing.words()),
        }
    }

    fn hint(self, doing: Doing) -> Option<String> {
        Some(match self {
            Self::NoResource => "install it from Gatepass's repository: kubectl apply -f deploy/base/crd.yaml; an issuer that \
                 reads its revocations from a directory has its own command: gatepass-issuer revoke"
                .into(),
            Self::Revoked => {
                "ask somebody else who may revoke, or take another credential: --context, or a break-glass one".into()
            }
            Self::Forbidden => format!(
                "get a role with the verb `{0}` on revocations in the API group gatepass.dev, such as gatepass-revoker of \
                 deploy/base; check with: kubectl auth can-i {0} revocations.gatepass.dev",
                doing.verb()
            ),
            Self::Exists => "choose another --name, or leave it out; what it says: kubectl gatepass revocations".into(),
            Self::Unauthorized | Self::NoCredential => {
                "log in first, for example with: kubectl auth whoami; then type the command again".into()
            }
            Self::Unreachable => {
                "check the context (kubectl config current-context), the network and the API server; then type the command \
                 again"
                    .into()
            }
            Self::Timeout => UNCERTAIN.into(),
            Self::Refused => {
                "if it does not know a member, its resource definition is older than this program: kubectl apply -f \
                 deploy/base/crd.yaml"
                    .into()
            }
            Self::Missing => LIST.into(),
            Self::Other => return None,
        })
    }
}

fn ignored(name: &str, why: &str) -> String {
    let (name, why) = (Escaped(name), Escaped(why));
    format!("the issuer refuses the revocation {name}, so it denies nobody anything; the issuer says: {why}")
}

const LIST: &str = "see what there is: kubectl gatepass revocations";
const UNCERTAIN: &str = "see whether it was done all the same: kubectl gatepass revocations";

impl RevocationError {
    pub(super) fn kubectl(doing: Doing, said: &str) -> Self {
        const LONGEST: usize = 2000;
        let shown: String = message(said).chars().take(LONGEST).collect();
        Self::Kubectl {
            doing,
            reason: Reason::of(said),
            said: shown.replace('\n', "\n    "),
        }
    }

    /// Why kubectl failed, if it did.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Kubectl { reason, .. } => Some(*reason),
            Self::Target(_)
            | Self::Name(_)
            | Self::Reason
            | Self::TooLong
            | Self::Certificate { .. }
            | Self::CertificateFile { .. }
            | Self::NoKubectl(_)
            | Self::Silent { .. }
            | Self::Nonsense(_)
            | Self::Ignored { .. }
            | Self::NoSuch(_)
            | Self::NothingMatches(_)
            | Self::Key(_) => None,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Target(TargetError::Reserved(_)) => Some(
                "remove such a name's role bindings instead, or revoke one certificate of it: --certificate or --credential-id"
                    .into(),
            ),
            Self::Certificate { .. } => {
                Some(
                "give the certificate as PEM, the leaf first; one in a kubeconfig is its client-certificate-data: base64 -d \
                 makes PEM of it"
                    .into(),
            )
            }
            Self::NoKubectl(_) => {
                Some("install kubectl and have it in PATH: revocations are written with it, by your own rights".into())
            }
            Self::Silent { .. } => Some(UNCERTAIN.into()),
            Self::Kubectl { doing, reason, .. } => reason.hint(*doing),
            Self::Nonsense(_) => Some("check that the kubectl in PATH is one, and the context: kubectl config current-context".into()),
            Self::Ignored { refused, flags } => {
                let names: Vec<_> = refused.iter().map(|(name, _)| name.as_str()).collect();
                Some(format!(
                    "delete it: kubectl gatepass unrevoke {}{flags}; then write one that the issuer takes",
                    names.join(" ")
                ))
            }
            Self::NoSuch(_) | Self::NothingMatches(_) => Some(LIST.into()),
            Self::Target(_)
            | Self::Name(_)
            | Self::CertificateFile { .. }
            | Self::Reason
            | Self::TooLong
            | Self::Key(_) => None,
        }
    }

    /// Whether the person can correct it in what they typed.
    pub fn is_typed(&self) -> bool {
        matches!(
            self,
            Self::Target(_)
                | Self::Name(_)
                | Self::Reason
                | Self::TooLong
                | Self::Certificate { .. }
                | Self::CertificateFile { .. }
                | Self::NoSuch(_)
                | Self::NothingMatches(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// kubectl 1.36, word by word.
    #[test]
    fn kubectls_own_words_tell_the_reason() {
        for (said, reason) in [
            (
                "Error from server (NotFound): the server could not find the requested resource",
                Reason::NoResource,
            ),
            (
                "Error from server (NotFound): revocations.gatepass.dev \"nope\" not found",
                Reason::Missing,
            ),
            (
                "Error from server (Forbidden): revocations.gatepass.dev is forbidden: User \"poor\" cannot create resource \
                 \"revocations\" in API group \"gatepass.dev\" at the cluster scope",
                Reason::Forbidden,
            ),
            (
                "Error from server (AlreadyExists): revocations.gatepass.dev \"x\" already exists",
                Reason::Exists,
            ),
            (
                "error: You must be logged in to the server (Unauthorized)",
                Reason::Unauthorized,
            ),
            (
                "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?",
                Reason::Unreachable,
            ),
            (
                "kubectl-gatepass: a login is needed (there is no session on this machine), and nobody can be asked here\n  \
                 next: type: kubectl-gatepass login https://i\nUnable to connect to the server: getting credentials: exec: \
                 executable kubectl-gatepass failed with exit code 1",
                Reason::NoCredential,
            ),
            (
                "Error from server (BadRequest): Revocation in version \"v1alpha1\" cannot be handled as a Revocation: strict \
                 decoding error: unknown field \"spec.blockIssuance\"",
                Reason::Refused,
            ),
            (
                "Unable to connect to the server: net/http: request canceled (Client.Timeout exceeded while awaiting headers)",
                Reason::Timeout,
            ),
            ("error: context \"nope\" does not exist", Reason::Other),
        ] {
            assert_eq!(Reason::of(said), reason, "{said}");
        }
    }

    #[test]
    fn what_kubectl_says_moves_no_cursor() {
        let error = RevocationError::kubectl(Doing::List, "a\u{1b}[2J\nb");
        assert!(
            error
                .to_string()
                .ends_with("kubectl says:\n    a\\u{1b}[2J\n    b"),
            "{error}"
        );
    }
}
