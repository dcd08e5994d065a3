//! What can end a run, and what to do next.

use std::io;

use gatepass_api::Code;

use crate::{
    accepted::AcceptError,
    advice,
    break_glass::{error::BreakGlassError, server::ServerError, window::WindowError},
    escape::Escaped,
    exec_credential::ExecInfoError,
    issuer_client::IssuerError,
    keys::KeyError,
    lock::LockError,
    logout::LogoutError,
    oidc::OidcError,
    paths::PathsError,
    revocation::RevocationError,
    settings::{IssuerUrl, SettingsError},
    store::StoreError,
};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// kubectl's side.
    #[error(transparent)]
    ExecInfo(#[from] ExecInfoError),
    /// Flags, environment, extension, configuration file.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Directories.
    #[error(transparent)]
    Paths(#[from] PathsError),
    /// Acceptance of the issuer.
    #[error(transparent)]
    Accept(#[from] AcceptError),
    /// The issuer.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// The identity provider.
    #[error(transparent)]
    Oidc(#[from] OidcError),
    /// The keyring.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The locks.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Keys.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Nobody is there to log in.
    #[error("a login is needed ({why}), and nobody can be asked here")]
    LoginRequired {
        /// At which issuer.
        issuer: IssuerUrl,
        /// Under which profile.
        profile: String,
        /// Why.
        why: String,
    },
    /// Nobody finished the login.
    #[error("the login was not finished within {seconds} s")]
    LoginTimeout {
        /// How long we waited.
        seconds: u64,
    },
    /// It failed a moment ago, for another program: nobody wants another browser tab, or the same wait again.
    #[error("{message} (a moment ago, for another command; nothing was tried again)")]
    FailedBefore {
        /// What failed then.
        message: String,
        /// What to do next.
        hint: Option<String>,
    },
    /// kubectl runs this program several times for one command, and has been told why there is no credential.
    #[error("there is no credential, for the reason given a moment ago")]
    ToldBefore,
    /// The login went well, and the issuer refuses all the same.
    #[error("the login succeeded, and the issuer still refuses: {0}")]
    LoginOfNoUse(String),
    /// The login went well, and began before the time from which on logins are accepted again.
    #[error("the login began a moment too early, and is refused: {0}")]
    LoginTooEarly(String),
    /// A kubeconfig runs a command that only a person may.
    #[error(
        "kubectl runs `{0}`, which only a person may; a kubeconfig may run get-credential; nothing was sent and nothing was run"
    )]
    NotForKubectl(&'static str),
    /// The clocks of issuer and identity provider disagree.
    #[error(
        "the clock of the issuer {issuer} is {seconds} s {direction} the identity provider's; nothing was stored"
    )]
    IssuerClock {
        /// Which issuer.
        issuer: IssuerUrl,
        /// By how much.
        seconds: u64,
        /// `ahead of` or `behind`.
        direction: &'static str,
    },
    /// The loopback listener.
    #[error("cannot listen for the login's answer on the loopback address{port}: {source}")]
    Listen {
        /// ` port N` where one is configured.
        port: String,
        /// What the system said.
        source: io::Error,
    },
    /// stdout.
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
    /// A logout that could not do everything.
    #[error(transparent)]
    Logout(#[from] LogoutError),
    /// Revocations.
    #[error(transparent)]
    Revocation(#[from] RevocationError),
    /// A ceremony.
    #[error(transparent)]
    BreakGlass(#[from] BreakGlassError),
    /// An open break-glass window.
    #[error(transparent)]
    Window(#[from] WindowError),
    /// What an API server says to everybody.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// `doctor` found something.
    #[error("{0} of the checks failed")]
    Unwell(usize),
    /// A logout of an issuer that nobody has accepted here: a typing error must not look like a logout.
    #[error("{0} is no issuer that was accepted on this machine; nothing was logged out")]
    NotLoggedOut(IssuerUrl),
    /// Several issuers and no choice.
    #[error("there are several issuers: {}", .0.join(", "))]
    WhichIssuer(Vec<String>),
    /// Several sessions and no choice.
    #[error("there are several sessions: {}", .0.join(", "))]
    WhichSession(Vec<String>),
    /// The asynchronous runtime could not start.
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
}

impl Error {
    /// What to do next, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Settings(error) => error.hint(),
            Self::Accept(error) => error.hint(),
            Self::Issuer(IssuerError::Refused(refusal)) => Some(match refusal.login_after() {
                Some(after) => format!(
                    "{}; a login after {} helps: kubectl-gatepass login",
                    advice::of(&refusal.problem.code).1,
                    Escaped(after)
                ),
                None if refusal.problem.code == Code::Revoked => {
                    format!("{}; a login does not help before that", advice::of(&Code::Revoked).1)
                }
                None => advice::of(&refusal.problem.code).1.into(),
            }),
            Self::Issuer(IssuerError::Outage { .. }) => {
                Some("try again in a minute; what this machine keeps is untouched".into())
            }
            Self::Issuer(IssuerError::Unreachable { .. }) => {
                Some("check the network, the proxy variables and --issuer-ca; what this machine keeps is untouched".into())
            }
            Self::Issuer(IssuerError::Nonsense { .. } | IssuerError::OtherUrl { .. } | IssuerError::NoLogout(_)) => {
                Some("check the issuer's URL with whoever runs it".into())
            }
            Self::Oidc(error) => Some(error.hint().into()),
            Self::Store(error) => Some(error.hint()),
            Self::Lock(_) => Some("see whether another kubectl-gatepass hangs; ending it frees the lock".into()),
            Self::LoginRequired { issuer, profile, .. } if profile == "default" => {
                Some(format!("type: kubectl-gatepass login {issuer}"))
            }
            Self::LoginRequired { issuer, profile, .. } => {
                Some(format!("type: kubectl-gatepass login {issuer} --profile {profile}"))
            }
            Self::FailedBefore { hint, .. } => hint.clone(),
            Self::LoginOfNoUse(_) => Some(
                "ask whoever runs the issuer, for another login now would end the same way; when it is mended, type: \
                 kubectl-gatepass login"
                    .into(),
            ),
            Self::LoginTooEarly(_) => Some("log in once more: kubectl-gatepass login".into()),
            Self::NotForKubectl(_) => {
                Some("correct `args` in the kubeconfig to [get-credential], or type the command yourself".into())
            }
            Self::LoginTimeout { .. } => {
                Some("look at the browser: some pages say there that the login was refused; then try again".into())
            }
            Self::IssuerClock { .. } => Some("ask whoever runs the issuer to set its clock".into()),
            Self::Listen { .. } => {
                Some("end the program that uses the port, or change redirectPort in the configuration file".into())
            }
            Self::Logout(error) => Some(error.hint()),
            Self::Revocation(error) => error.hint(),
            Self::BreakGlass(error) => error.hint(),
            Self::Window(error) => error.hint(),
            Self::Server(error) => Some(error.hint().into()),
            Self::NotLoggedOut(_) => {
                Some("see what there is: kubectl-gatepass status, or end all of it: kubectl-gatepass logout --all".into())
            }
            Self::WhichIssuer(_) => {
                Some("name one: kubectl-gatepass login <issuer URL> [--profile NAME]".into())
            }
            Self::WhichSession(_) => {
                Some("name one: kubectl-gatepass logout <issuer URL> [--profile NAME], or use --all".into())
            }
            Self::ExecInfo(_) | Self::Issuer(IssuerError::Key(_)) | Self::Paths(_) | Self::Key(_) | Self::Output(_)
            | Self::Runtime(_) | Self::ToldBefore | Self::Unwell(_) => None,
        }
    }

    /// 2 for what the person can correct in what they typed or configured, 1 for all else. kubectl shows it only.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Settings(_)
            | Self::ExecInfo(_)
            | Self::WhichIssuer(_)
            | Self::WhichSession(_)
            | Self::NotLoggedOut(_)
            | Self::NotForKubectl(_) => 2,
            Self::Revocation(error) if error.is_typed() => 2,
            Self::BreakGlass(error) if error.is_typed() => 2,
            _ => 1,
        }
    }
}
