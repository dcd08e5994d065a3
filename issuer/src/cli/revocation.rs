//! `revoke`, `unrevoke` and `revocations`, for issuers whose revocations lie in a directory.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueEnum};
use time::{Duration, OffsetDateTime};

use crate::revocation::command::{parse_duration, parse_time};

const TARGETS: [&str; 6] = ["user", "subject", "uid", "group", "session", "credential_id"];

/// Options of `revoke`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("target").args(TARGETS).required(true).multiple(false))]
pub struct Revoke {
    /// Whose access ends.
    #[command(flatten)]
    pub by: By,
    /// Refuse later logins, too, until the revocation ends or is undone.
    #[arg(long)]
    pub block: bool,
    /// How long it holds, as in 12h, 7d or 1d12h [default: 30d; a session: until it has ended anyway].
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub lasts: Option<Duration>,
    /// What those are told whom it denies.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Deny logins up to this time (and a minute more) in place of up to now; RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with_all = ["session", "credential_id"])]
    pub logged_in_before: Option<OffsetDateTime>,
    /// What the revocation is called [default: made from its target].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Where to.
    #[command(flatten)]
    pub place: Place,
}

/// Options of `unrevoke`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("target").args(TARGETS).arg("names").required(true).multiple(false))]
pub struct Unrevoke {
    /// Names of revocations, as `revocations` lists them.
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Or all revocations of one target.
    #[command(flatten)]
    pub by: By,
    /// Where from.
    #[command(flatten)]
    pub place: Place,
}

/// Options of `revocations`.
#[derive(Debug, Args)]
pub struct Revocations {
    /// How to print them.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// Where they are.
    #[command(flatten)]
    pub place: Place,
}

/// A target as it is typed.
#[derive(Clone, Debug, Default, Args)]
#[group(multiple = true, id = "by")]
pub struct By {
    /// A username with its prefix, as the API server knows it.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// An account at an identity provider: its `sub` there.
    #[arg(long, value_name = "SUB", requires = "subject_issuer")]
    pub subject: Option<String>,
    /// With --subject: the identity provider's issuer identifier.
    // Of what conflicts clap does not require anything, so the conflicts are named as well.
    #[arg(long, value_name = "URL", requires = "subject", conflicts_with_all = ["user", "uid", "group", "session", "credential_id"])]
    pub subject_issuer: Option<String>,
    /// A UID, as the API server knows it.
    #[arg(long, value_name = "UID")]
    pub uid: Option<String>,
    /// All members of a group.
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// One login, by its session id.
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// One certificate, as audit events name it: X509SHA256=… (its session can still renew).
    #[arg(long, value_name = "ID")]
    pub credential_id: Option<String>,
}

/// The directory.
#[derive(Debug, Args)]
#[group(required = true, multiple = false, id = "place")]
pub struct Place {
    /// The issuer's configuration, which names the directory.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The directory itself.
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

/// Forms of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// JSON.
    Json,
}
