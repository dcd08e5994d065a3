//! The operators' commands: `revoke`, `unrevoke` and `revocations`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use time::{Duration, OffsetDateTime};

use super::Output;
use crate::revocation::{parse_duration, parse_time};

const TARGETS: [&str; 7] = [
    "user",
    "subject",
    "uid",
    "group",
    "session",
    "credential_id",
    "certificate",
];

/// `revoke`
#[derive(Clone, Debug, Args)]
#[command(
    group = ArgGroup::new("target").args(TARGETS).required(true).multiple(false),
    after_long_help = REVOKE
)]
pub struct Revoke {
    /// Whose access ends.
    #[command(flatten)]
    pub chosen: Chosen,
    /// Refuse later logins, too, until the revocation ends or is undone
    #[arg(long, conflicts_with_all = ["session", "credential_id", "certificate"])]
    pub block: bool,
    /// How long it holds, as in 12h, 7d or 1d12h [default: 30d; a session: until it has ended anyway; a certificate file:
    /// also until the certificate's own end]
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub lasts: Option<Duration>,
    /// What those are told whom it denies; anybody who may list revocations reads it, too
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Deny logins up to this time (and a minute more) in place of up to now; RFC 3339
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with_all = ["session", "credential_id", "certificate"])]
    pub logged_in_before: Option<OffsetDateTime>,
    /// What the revocation is called [default: made from its target]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Print the documents and write nothing: for an issuer that reads a directory, or for review
    #[arg(long)]
    pub dry_run: bool,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Written::Text)]
    pub output: Written,
    /// Which cluster, and as whom.
    #[command(flatten)]
    pub connection: Connection,
}

const REVOKE: &str = "\
Which one to choose:
  --user NAME         an account is in wrong hands; with --block nobody logs in as it, either
  --session ID        one login on one machine; the issuer's audit records name it
  --certificate FILE  a certificate is where it should not be; its session ends with it
  --credential-id ID  the same by what an audit event says; its session goes on and can renew
  --group, --uid      all members of a group; an account, whatever its name becomes
  --subject SUB --subject-issuer URL
                      an account at the identity provider, whatever a cluster calls it

It denies what was logged in up to now; a new login works, except with --block. kubectl writes it
as a Revocation object, with your own kubeconfig and rights: you need `create` on
revocations.gatepass.dev.

No object denies anybody unless an issuer follows it. With `get` on them it waits, 4 s at most,
until one says so; if none does, it says `not confirmed`; if one refuses it, the exit code is 1.

Does not end: open watches (an hour at most), exec and port-forward sessions (until closed),
service account tokens and whatever else was made before. Undo: kubectl gatepass unrevoke NAME";

/// `unrevoke`
#[derive(Clone, Debug, Args)]
#[command(group = ArgGroup::new("target").args(TARGETS).arg("names").required(true).multiple(false))]
pub struct Unrevoke {
    /// Names of revocations, as `revocations` lists them
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Or all revocations of one target.
    #[command(flatten)]
    pub chosen: Chosen,
    /// Show what would be deleted, and delete nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Which cluster, and as whom.
    #[command(flatten)]
    pub connection: Connection,
}

/// `revocations`
#[derive(Clone, Debug, Args)]
pub struct Revocations {
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Which cluster, and as whom.
    #[command(flatten)]
    pub connection: Connection,
}

/// A target as it is typed.
#[derive(Clone, Debug, Default, Args)]
#[group(multiple = false, id = "by")]
pub struct By {
    /// A username with its prefix, as the API server knows it (unlike kubectl's own --user, this is whose access ends)
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// An account at an identity provider: its `sub` there
    #[arg(long, value_name = "SUB", requires = "subject_issuer")]
    pub subject: Option<String>,
    /// A UID, as the API server knows it
    #[arg(long, value_name = "UID")]
    pub uid: Option<String>,
    /// All members of a group
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// One login, by its session id
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// One certificate, as audit events name it: X509SHA256=… (its session can still renew)
    #[arg(long, value_name = "ID")]
    pub credential_id: Option<String>,
    /// One certificate, from a PEM file, and the session that its marker names
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
}

/// A target as it is typed, with what belongs to it.
#[derive(Clone, Debug, Default, Args)]
pub struct Chosen {
    /// The target itself.
    #[command(flatten)]
    pub by: By,
    /// With --subject: the identity provider's issuer identifier
    // Of what conflicts clap does not require anything, so the conflicts are named as well.
    #[arg(long, value_name = "URL", requires = "subject", conflicts_with_all = ["user", "uid", "group", "session", "credential_id", "certificate"])]
    pub subject_issuer: Option<String>,
    /// With --certificate: the certificate alone, not its session
    #[arg(long, requires = "certificate", conflicts_with_all = ["user", "subject", "uid", "group", "session", "credential_id"])]
    pub only: bool,
}

/// What is handed on to kubectl.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Handed on to kubectl")]
pub struct Connection {
    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Cluster of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The kubeconfig
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// User to impersonate
    #[arg(long = "as", value_name = "USER")]
    pub impersonate: Option<String>,
    /// Group to impersonate; may be repeated
    #[arg(long = "as-group", value_name = "GROUP")]
    pub impersonate_groups: Vec<String>,
}

/// Forms of output of what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Written {
    /// What it does, for people; with --dry-run YAML
    Text,
    /// The documents, as JSON
    Json,
    /// The documents, as YAML
    Yaml,
    /// The names alone
    Name,
}
