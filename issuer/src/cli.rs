//! The command line; clap types only.

mod revocation;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub use revocation::{By, Output, Place, Revocations, Revoke, Unrevoke};

/// Issues minutes-long Kubernetes client certificates from verified ID tokens.
///
/// Begin with `gatepass-issuer init --dir D`, read the file it writes, then `gatepass-issuer serve --config D/issuer.yaml`.
#[derive(Debug, Parser)]
#[command(
    name = "gatepass-issuer",
    version,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a configuration, a certificate authority, a marker key and a serving certificate to begin with.
    ///
    /// Nothing is overwritten. What `init` writes is enough to serve on this machine; for others replace the serving
    /// certificate, listen on another address and set `cluster.url`. The certificate authority is for client
    /// certificates of one cluster and nothing else: give `ca.crt` to its API server as `--client-ca-file`.
    Init(Box<Init>),
    /// Serve: check the whole configuration, bind, then answer until SIGTERM or SIGINT.
    ///
    /// Logs go to standard error, one JSON object a line; audit records go where `audit.file` says. On SIGTERM and
    /// SIGINT no request in flight is lost. A changed configuration, certificate or key is taken by itself within seconds,
    /// and at once on SIGHUP.
    Serve(Configured),
    /// Check a configuration and the files it names, and name all that is wrong with them.
    Check(Configured),
    /// End somebody's access: where revocations lie in a directory, write one there.
    ///
    /// It denies what was logged in up to now, at every issuer that reads the directory; a new login works, except with
    /// --block. Where revocations are objects of the cluster, `kubectl gatepass revoke` does the same. Open watches go on for
    /// an hour at most, exec and port-forward sessions until they are closed; what was made before (service account tokens,
    /// bindings) stays.
    Revoke(Box<Revoke>),
    /// Take revocations away, by name or by target.
    Unrevoke(Unrevoke),
    /// List what is revoked.
    Revocations(Revocations),
    /// Print a completion script for a shell.
    ///
    /// For bash: `source <(gatepass-issuer completion bash)`.
    Completion {
        /// The shell.
        shell: Shell,
    },
    /// Print the version.
    Version,
}

/// Options of `serve` and `check`.
#[derive(Debug, Args)]
pub struct Configured {
    /// The configuration file; `init` writes one with comments.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Least important log lines to write: error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log: tracing::Level,
}

/// Where revocations are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StoreKind {
    /// Files in a directory.
    Directory,
    /// Objects of the cluster that the issuer runs in.
    Kubernetes,
}

/// Options of `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// Where to write; made if it does not exist.
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// What people call the cluster; its id becomes this and a random part.
    #[arg(long, value_name = "NAME", default_value = "demo")]
    pub cluster: String,
    /// Where clients connect.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    pub listen: SocketAddr,
    /// Where `/livez` and `/readyz` are asked, in plain HTTP.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    pub health_listen: SocketAddr,
    /// Where API servers ask what is revoked and send their audit events.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8444")]
    pub webhook_listen: SocketAddr,
    /// The URL that people will type; by default https://localhost with the port of `--listen`.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Where revocations are kept: files in a directory that replicas share, or objects of the cluster, which needs what
    /// `deploy/base` has for them.
    #[arg(long, value_name = "STORE", value_enum, default_value_t = StoreKind::Directory)]
    pub store: StoreKind,
    /// The identity provider's issuer URL, exactly as in its tokens' `iss`.
    #[arg(long, value_name = "URL", requires = "client_id", requires = "username_claim")]
    pub idp: Option<String>,
    /// Gatepass's own client id there. No API server and no other application may accept it as an audience: there the
    /// token would be a bearer token.
    #[arg(long, value_name = "ID", requires = "idp")]
    pub client_id: Option<String>,
    /// PEM file with the only certificate authorities to trust for the identity provider; by default the system's.
    #[arg(long, value_name = "FILE", requires = "idp")]
    pub idp_ca: Option<PathBuf>,
    /// Claim that becomes the username, such as `preferred_username` or `email`.
    #[arg(long, value_name = "CLAIM", requires = "idp")]
    pub username_claim: Option<String>,
    /// Put before the username, such as `idp:`.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true,
        requires = "idp"
    )]
    pub username_prefix: String,
    /// Claim whose elements become the groups, such as `groups`.
    #[arg(long, value_name = "CLAIM", requires = "idp")]
    pub groups_claim: Option<String>,
    /// Put before each group.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true,
        requires = "groups_claim"
    )]
    pub groups_prefix: String,
    /// Scope to ask for beside `openid` and `offline_access`; may be given several times.
    #[arg(long, value_name = "SCOPE", requires = "idp")]
    pub scope: Vec<String>,
}
