//! The command line: clap types only.

pub mod break_glass;
mod revocation;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use revocation::{By, Chosen, Connection, Revocations, Revoke, Unrevoke, Written};

/// Log in to Kubernetes with OpenID Connect and a client certificate that lives for minutes.
///
/// kubectl runs `kubectl-gatepass get-credential` by itself; people type the other commands.
#[derive(Debug, Parser)]
#[command(name = "kubectl-gatepass", version, max_term_width = 100, after_long_help = STANZA)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const STANZA: &str = "\
In a kubeconfig, one user serves every cluster whose entry names its issuer:

  users:
  - name: gatepass
    user:
      exec:
        apiVersion: client.authentication.k8s.io/v1
        command: kubectl-gatepass
        args: [get-credential]
        interactiveMode: IfAvailable
        provideClusterInfo: true
  clusters:
  - name: prod
    cluster:
      server: https://…
      extensions:
      - name: client.authentication.k8s.io/exec
        extension: {issuer: https://gatepass.example.com}

First time: kubectl-gatepass login https://gatepass.example.com";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print a credential for kubectl; what the exec stanza calls
    ///
    /// Prints the stored credential while it lasts, else renews it, else logs in (in a browser, and only where
    /// kubectl says that a person is at the terminal). Because a kubeconfig is other people's text, only the issuer's
    /// URL, its CA and the profile can be set here; all else comes from the configuration file.
    GetCredential(Target),
    /// Log in now, and accept the issuer where it is new
    Login(Login),
    /// End the session at the issuers and the identity provider, and forget it and its credentials on this machine
    Logout(Logout),
    /// Show sessions, credentials and where they are kept
    Status(Status),
    /// Check keyring, clock, issuers, identity providers, kubeconfig and kubectl's policy; one line each, with the remedy
    ///
    /// Exits with 1 where something fails; a warning is none.
    Doctor(Doctor),
    /// For operators: end somebody's access now
    ///
    /// Denies the credentials of a user, group, session or certificate at the API server, within seconds, and their renewal
    /// at the issuer.
    Revoke(Box<Revoke>),
    /// For operators: undo revocations
    Unrevoke(Box<Unrevoke>),
    /// For operators: list revocations
    Revocations(Revocations),
    /// When all else is down: a certificate for at most an hour that a quorum of people signs
    #[command(name = "break-glass")]
    BreakGlass {
        /// What to do.
        #[command(subcommand)]
        command: break_glass::BreakGlass,
    },
    /// Print a completion script for the shell
    Completion {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
    /// Print the version
    Version,
}

impl Command {
    /// The command's name, if only a person may run it: it could accept an issuer, or end a session or
    /// somebody's access.
    pub fn only_for_people(&self) -> Option<&'static str> {
        match self {
            Self::Login(_) => Some("login"),
            Self::Logout(_) => Some("logout"),
            Self::Status(_) => Some("status"),
            Self::Doctor(_) => Some("doctor"),
            Self::Revoke(_) => Some("revoke"),
            Self::Unrevoke(_) => Some("unrevoke"),
            Self::Revocations(_) => Some("revocations"),
            Self::BreakGlass { command } => Some(command.name()),
            Self::GetCredential(_) | Self::Completion { .. } | Self::Version => None,
        }
    }
}

/// What a kubeconfig may say.
#[derive(Clone, Debug, Default, Args)]
pub struct Target {
    /// URL of the cluster's issuer
    #[arg(long, value_name = "URL")]
    pub issuer: Option<String>,
    /// File with the CA (PEM) that signed the issuer's serving certificate [default: the system's CAs]
    #[arg(long, value_name = "FILE")]
    pub issuer_ca: Option<PathBuf>,
    /// Which account, where one person has several [default: default]
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
}

/// `login`
#[derive(Clone, Debug, Args)]
pub struct Login {
    /// URL of the cluster's issuer; may be left out when only one is known
    #[arg(value_name = "URL")]
    pub issuer: Option<String>,
    /// File with the CA (PEM) that signed the issuer's serving certificate [default: the system's CAs]
    #[arg(long, value_name = "FILE")]
    pub issuer_ca: Option<PathBuf>,
    /// Which account, where one person has several [default: default]
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Identity provider to use, where the cluster names several
    #[arg(long, value_name = "URL")]
    pub idp: Option<String>,
    /// File with the CA (PEM) of the identity provider [default: the system's CAs]
    #[arg(long, value_name = "FILE")]
    pub idp_ca: Option<PathBuf>,
    /// Program to open the login page with; gets the URL as its only argument
    #[arg(long, value_name = "PROGRAM")]
    pub browser_command: Option<String>,
    /// Accept that the issuer answers otherwise than when it was accepted
    #[arg(long)]
    pub accept_change: bool,
    /// The issuer's former URL, if it has moved: what was accepted under it is forgotten
    #[arg(long, value_name = "URL")]
    pub replaces: Option<String>,
}

/// `logout`
#[derive(Clone, Debug, Args)]
pub struct Logout {
    /// URL of a cluster's issuer; the session it uses serves other clusters too and ends for all of them
    #[arg(value_name = "URL")]
    pub issuer: Option<String>,
    /// Which account, where one person has several [default: default]
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// All sessions of all profiles
    #[arg(long, conflicts_with_all = ["issuer", "profile"])]
    pub all: bool,
}

/// `status`
#[derive(Clone, Debug, Args)]
pub struct Status {
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// `doctor`
#[derive(Clone, Debug, Args)]
pub struct Doctor {
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// The kubeconfig [default: as kubectl finds it]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Also show the session's ID token to the API servers of its clusters, which must refuse it
    ///
    /// An API server that takes it would let in whoever steals one, without Gatepass. It is sent to the API servers that the
    /// kubeconfig names, so look at them first.
    #[arg(long)]
    pub send_id_token: bool,
}

/// Forms of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn get_credential_takes_nothing_but_what_a_kubeconfig_may_set() {
        for flag in [
            "--browser-command=x",
            "--idp-ca=x",
            "--idp=x",
            "--accept-change",
            "--replaces=x",
            "--store=file",
            "-v",
        ] {
            assert!(
                Cli::try_parse_from(["kubectl-gatepass", "get-credential", flag]).is_err(),
                "{flag}"
            );
        }
    }
}
