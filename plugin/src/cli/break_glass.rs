//! `break-glass`: the commands of a quorum.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use time::Duration;

use super::Output;
use crate::revocation::parse_duration;

/// The commands of a quorum.
#[derive(Clone, Debug, Subcommand)]
pub enum BreakGlass {
    /// Make a quorum: shares of a new certificate authority's key, and the public kit
    ///
    /// The key is never whole: each holder gets a share, and a quorum of shares signs. Either all holders sit at this machine
    /// in turn, or each is at their own and short texts go to and fro (--apart here, --join there). It ends when every holder has
    /// opened their share file and confirmed the kit's words.
    #[command(after_long_help = INIT)]
    Init(Box<Init>),
    /// Break the glass: ask a quorum for a certificate of at most an hour
    ///
    /// Holders approve here, side by side (--share), or on their own machines with `approve`: texts that hold nothing secret
    /// go to and fro through any chat. Read the six words to them by voice. While the window is open kubectl uses it by
    /// itself and says so each time; everything is in the logs of all who took part, and the issuer's audit sink
    /// reports each use.
    #[command(after_long_help = OPEN)]
    Open(Box<Open>),
    /// Approve what somebody asks, on your own machine: a window, a drill or a new kit
    ///
    /// Shows who asks what, and why, before it asks for your secret. It has to stay open between the two rounds: if it ends,
    /// round one starts over.
    Approve(Approve),
    /// Close windows before their time
    Close(Close),
    /// Show kits, open windows, who is due for recertification, and the last drill
    Status(Status),
    /// Rehearse: both rounds over a message that gives no access
    Drill(Ceremony),
    /// Show and verify this machine's log, alone or against others'
    Report(Report),
    /// Let holders prove that they can still use their shares; the kit says so from then on
    ///
    /// ALL holders have to sign, not just a quorum: each proves their own share by it. Whoever cannot is named with --without,
    /// stays a holder, and stays due; a quorum has to be left.
    Recertify(Box<Recertify>),
    /// Replace or remove holders, with the same authority and the same size of a quorum
    ///
    /// A quorum of the present holders sits at this machine; all holders get new share files and confirm them. An old share
    /// fits no new one, but a quorum of OLD shares that were kept still signs: where one may have been copied, or a holder
    /// leaves in anger, make a new authority with `init --rotate` and take the old one out of the API server's bundle.
    Reshare(Box<Reshare>),
    /// Verify a kit, or a share file, and show what is in it; print the page for bad nights
    Verify(Verify),
}

impl BreakGlass {
    /// The command's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Init(_) => "break-glass init",
            Self::Open(_) => "break-glass open",
            Self::Approve(_) => "break-glass approve",
            Self::Close(_) => "break-glass close",
            Self::Status(_) => "break-glass status",
            Self::Drill(_) => "break-glass drill",
            Self::Report(_) => "break-glass report",
            Self::Recertify(_) => "break-glass recertify",
            Self::Reshare(_) => "break-glass reshare",
            Self::Verify(_) => "break-glass verify",
        }
    }
}

const INIT: &str = "\
A recipient is what the holder's share file is locked to:
  age1…                      the public key that age-keygen prints
  age1yubikey1…              a key of an age plugin, whose program has to be in the PATH
  age1pq1…                   a post-quantum key (age-keygen -pq), with age-plugin-pq in the PATH
  'ssh-ed25519 AAAA…'        a line of ~/.ssh/id_ed25519.pub; ssh-rsa too; no sk- keys, no agent
  passphrase                 the last resort

  kubectl gatepass break-glass init --cluster prod --threshold 2 \\
    --holder alice=age1… --holder bob='ssh-ed25519 AAAA…' --holder carol=age1…

Without --server the API server of kubectl's current context is taken.

Afterwards: put the authority's certificate into the API server's client CA bundle, bind the group
gatepass:break-glass, print the page (verify --print), and hold a drill.";

const OPEN: &str = "\
Two of three at one machine:
  kubectl gatepass break-glass open --reason 'IdP down, ticket 4711' \\
    --share prod-*.alice.share --share prod-*.bob.share

Holders elsewhere: leave --share out, and paste what it prints into a chat. Each holder runs
  kubectl gatepass break-glass approve --share FILE
and pastes their answers back.";

/// Which kit.
#[derive(Clone, Debug, Default, Args)]
pub struct Which {
    /// The kit's file [default: the only one that this machine keeps]
    #[arg(long, value_name = "FILE")]
    pub kit: Option<PathBuf>,
}

/// Whose shares, at this machine.
#[derive(Clone, Debug, Default, Args)]
pub struct Shares {
    /// Share file of a holder who is at this machine; once for each
    #[arg(long = "share", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// File with the key that opens share files: an age identity or an OpenSSH private key; once for each [default: asked]
    #[arg(long = "identity", value_name = "FILE")]
    pub identities: Vec<PathBuf>,
}

/// What `open`, `drill` and `recertify` have in common.
#[derive(Clone, Debug, Args)]
pub struct Ceremony {
    /// Which kit.
    #[command(flatten)]
    pub which: Which,
    /// Whose shares.
    #[command(flatten)]
    pub shares: Shares,
    /// Your name, as holders know you [default: the name you log in to this machine with]
    #[arg(long = "as", value_name = "NAME")]
    pub by: Option<String>,
}

/// `break-glass open`
#[derive(Clone, Debug, Args)]
pub struct Open {
    /// What the ceremonies have in common.
    #[command(flatten)]
    pub ceremony: Ceremony,
    /// Why; holders see it, and it stays in every log
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// The certificate's whole life, five minutes of which lie behind when it is made [default: what the kit allows, 1h at most]
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub lasts: Option<Duration>,
    /// Open, and use the window, although identity provider and issuer answer
    #[arg(long)]
    pub even_if_they_answer: bool,
}

/// `break-glass approve`
#[derive(Clone, Debug, Args)]
pub struct Approve {
    /// Which kit.
    #[command(flatten)]
    pub which: Which,
    /// Your share file
    #[arg(long, value_name = "FILE")]
    pub share: PathBuf,
    /// File with the key that opens it [default: asked]
    #[arg(long = "identity", value_name = "FILE")]
    pub identities: Vec<PathBuf>,
}

/// `break-glass close`
#[derive(Clone, Debug, Default, Args)]
pub struct Close {
    /// Close only the window of this kit, of whichever revision [default: every window on this machine]
    #[arg(long, value_name = "FILE")]
    pub kit: Option<PathBuf>,
}

/// `break-glass init`
#[derive(Clone, Debug, Args)]
pub struct Init {
    /// Make the texts of an init apart: prints the invitation, and joins as --as
    #[arg(long)]
    pub apart: bool,
    /// Join an init apart: paste the invitation
    #[arg(long, conflicts_with_all = ["apart", "holders", "threshold", "cluster", "server", "server_ca", "issuer", "longest", "openers", "rotate"])]
    pub join: bool,
    /// Your name among the holders, in an init apart
    #[arg(long = "as", value_name = "NAME")]
    pub by: Option<String>,
    /// A holder and what their share file is locked to; once for each holder, twice for two keys of one
    #[arg(
        long = "holder",
        value_name = "NAME=RECIPIENT",
        required_unless_present = "join"
    )]
    pub holders: Vec<String>,
    /// How many holders are a quorum; at least 2
    #[arg(long, value_name = "M", required_unless_present = "join")]
    pub threshold: Option<u16>,
    /// What people call the cluster [default: the name of the current context's cluster]
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// URL of the API server [default: the current context's]
    #[arg(long, value_name = "URL", requires = "server_ca")]
    pub server: Option<String>,
    /// File with the CA (PEM) of the API server's certificate [default: the current context's]
    #[arg(long, value_name = "FILE", requires = "server")]
    pub server_ca: Option<PathBuf>,
    /// URL of the cluster's issuer, whose place the window takes for kubectl [default: the current context's]
    #[arg(long, value_name = "URL")]
    pub issuer: Option<String>,
    /// The longest life of a certificate [default: 1h, which is also the most]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub longest: Option<Duration>,
    /// Who may open; once for each [default: anybody whom a quorum believes]
    #[arg(long = "opener", value_name = "NAME")]
    pub openers: Vec<String>,
    /// Take the place of a kit that this machine keeps: says what to do with its authority
    #[arg(long)]
    pub rotate: bool,
    /// Where to write share files, kit and certificate
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
    /// A holder and the file with the key that opens their share file; once for each [default: asked]
    #[arg(long = "identity", value_name = "NAME=FILE")]
    pub identities: Vec<String>,
}

/// `break-glass status`
#[derive(Clone, Debug, Args)]
pub struct Status {
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// `break-glass report`
#[derive(Clone, Debug, Args)]
pub struct Report {
    /// Logs of other machines, or of this one as it was
    #[arg(value_name = "LOG")]
    pub logs: Vec<PathBuf>,
    /// Files with texts of ceremonies, whose heads the logs are held against
    #[arg(long = "text", value_name = "FILE")]
    pub texts: Vec<PathBuf>,
    /// Kits, to prove who approved [default: those that this machine keeps]
    #[arg(long = "kit", value_name = "FILE")]
    pub kits: Vec<PathBuf>,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// `break-glass recertify`
#[derive(Clone, Debug, Args)]
pub struct Recertify {
    /// What the ceremonies have in common.
    #[command(flatten)]
    pub ceremony: Ceremony,
    /// A holder who does not take part [default: all holders have to]; once for each, and a quorum has to be left
    #[arg(long = "without", value_name = "NAME")]
    pub without: Vec<String>,
    /// The longest life of a certificate from now on
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub longest: Option<Duration>,
    /// Where to write the new kit
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
}

/// `break-glass reshare`
#[derive(Clone, Debug, Args)]
pub struct Reshare {
    /// Which kit.
    #[command(flatten)]
    pub which: Which,
    /// Whose shares: at least a quorum.
    #[command(flatten)]
    pub shares: Shares,
    /// A holder who is one no longer; once for each
    #[arg(long = "remove", value_name = "NAME")]
    pub remove: Vec<String>,
    /// A new holder and what their share file is locked to; once for each
    #[arg(long = "add", value_name = "NAME=RECIPIENT")]
    pub add: Vec<String>,
    /// Where to write the new share files and the kit
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
}

/// `break-glass verify`
#[derive(Clone, Debug, Args)]
pub struct Verify {
    /// The kit's file [default: the only one that this machine keeps]
    #[arg(value_name = "KIT")]
    pub kit: Option<PathBuf>,
    /// Open this share file, too, and see whether it belongs to the kit
    #[arg(long, value_name = "FILE")]
    pub share: Option<PathBuf>,
    /// File with the key that opens it [default: asked]
    #[arg(long = "identity", value_name = "FILE", requires = "share")]
    pub identities: Vec<PathBuf>,
    /// Write the share file anew for this revision of the kit: an older one is refused from then on
    #[arg(long, requires = "share")]
    pub confirm: bool,
    /// Keep a copy of the kit on this machine
    #[arg(long)]
    pub keep: bool,
    /// Print the page for a tired person, plain text
    #[arg(long, conflicts_with_all = ["ca", "output", "share", "keep"])]
    pub print: bool,
    /// Print the authority's certificate (PEM), for the API server's client CA bundle
    #[arg(long, conflicts_with_all = ["output", "share", "keep"])]
    pub ca: bool,
    /// Print a kubeconfig for this cluster alone, for a machine whose own does not run kubectl-gatepass
    #[arg(long, conflicts_with_all = ["print", "ca", "output", "share", "keep"])]
    pub kubeconfig: bool,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}
