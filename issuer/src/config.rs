//! The configuration file: text → everything the issuer needs, or all that is wrong with it at once.

mod authentication;
mod detection;
mod files;
mod limits;
mod revocation;
mod section;
mod webhooks;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::ServerConfig;
use zeroize::Zeroizing;

use crate::ca::CertificateAuthority;
use crate::detection::Detection;
use crate::issue::{Cluster, Issuer, Lifetimes};
use crate::marker::MarkerKeys;
use crate::revocation::Mode;
use crate::server::{Limits, TlsVersion, server_config};
use files::Files;
use section::{Problems, Section};

pub use files::Validity;
pub use revocation::StoreConfig;
pub use webhooks::Webhooks;

const API_VERSION: &str = "gatepass.dev/v1alpha1";
const KIND: &str = "IssuerConfiguration";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Where audit records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditTarget {
    /// Standard output.
    Stdout,
    /// A file that is appended to.
    File(PathBuf),
}

/// A configuration that was checked, its files read.
#[derive(Debug)]
pub struct Config {
    /// What decides about requests.
    pub issuer: Issuer,
    /// TLS where clients connect.
    pub tls: Arc<ServerConfig>,
    /// How long the serving certificate is valid.
    pub serving: Validity,
    /// What API servers ask, and which of them may.
    pub webhooks: Option<Webhooks>,
    /// What is expected of users with certificates, and who is told of others.
    pub detection: Detection,
    /// What a running issuer keeps until it is restarted.
    pub fixed: Fixed,
}

/// What takes effect when the program starts and not before: sockets and files that are opened once, and the limits that
/// go with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where health is asked, in plain HTTP.
    pub listen_health: SocketAddr,
    /// Where API servers ask.
    pub listen_webhooks: Option<SocketAddr>,
    /// Where revocations are kept.
    pub store: StoreConfig,
    /// What happens when that cannot be followed.
    pub mode: Mode,
    /// Where audit records go.
    pub audit: AuditTarget,
    /// Limits of connections.
    pub limits: Limits,
    /// How long a request's body may take to arrive.
    pub body_deadline: Duration,
}

impl Fixed {
    /// Keys of what `other` has different.
    pub fn differing(&self, other: &Self) -> Vec<&'static str> {
        let limits = (self.limits, self.body_deadline) != (other.limits, other.body_deadline);
        [
            ("listen.address", self.listen != other.listen),
            ("listen.healthAddress", self.listen_health != other.listen_health),
            ("webhooks.address", self.listen_webhooks != other.listen_webhooks),
            (
                "revocation",
                (&self.store, self.mode) != (&other.store, other.mode),
            ),
            ("audit.file", self.audit != other.audit),
            ("limits", limits),
        ]
        .into_iter()
        .filter_map(|(key, differs)| differs.then_some(key))
        .collect()
    }
}

/// What was read at one moment: the digest of the configuration's text and of each file it names.
///
/// Contents are compared, not times: Kubernetes changes a mounted Secret by moving a symbolic link, and what is behind it
/// may well be older than what was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contents([u8; 32]);

/// A look at the file and all files it names.
#[derive(Debug)]
pub struct Look {
    /// What was read.
    pub contents: Contents,
    /// What it means.
    pub outcome: Result<Config, ConfigError>,
}

/// All that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    path: PathBuf,
    problems: Vec<String>,
}

impl ConfigError {
    pub(crate) fn new(path: &Path, problems: Vec<String>) -> Self {
        Self {
            path: path.to_owned(),
            problems,
        }
    }

    /// One sentence for each problem, beginning with its key.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be used:", self.path.display())?;
        self.problems
            .iter()
            .try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}

impl Config {
    /// Reads and checks the file and all files it names; paths are relative to its directory.
    pub fn load(path: &Path, now: i64) -> Result<Self, ConfigError> {
        Self::look(path, now).outcome
    }

    /// The same, together with what was read.
    pub fn look(path: &Path, now: i64) -> Look {
        let files = Files::new(path.parent().unwrap_or(Path::new("")));
        let outcome = files
            .read_whole(path)
            .map_err(|error| vec![error.to_string()])
            .and_then(|text| Self::parse_with(&text, &files, now))
            .map_err(|problems| ConfigError::new(path, problems));
        Look {
            contents: Contents(files.digest()),
            outcome,
        }
    }

    /// Where the file says that revocations are kept. Nothing else of it is looked at: access must end even where a
    /// certificate has ended before, or a key is not for the operator's eyes.
    pub fn store(path: &Path) -> Result<StoreConfig, ConfigError> {
        let files = Files::new(path.parent().unwrap_or(Path::new("")));
        let read = || {
            let text = files.read_whole(path).map_err(|error| vec![error.to_string()])?;
            let root =
                serde_saphyr::from_str(&text).map_err(|error| vec![format!("it is not YAML: {error}")])?;
            let problems = Problems::default();
            let store = Section::root(root, &problems)
                .and_then(|mut root| root.section("revocation"))
                .and_then(|mut section| revocation::store(&mut section, &files));
            store.ok_or_else(|| problems.into_inner())
        };
        read().map_err(|problems| ConfigError::new(path, problems))
    }

    /// Checks a configuration's text; `directory` is what paths in it are relative to.
    pub fn parse(text: &str, directory: &Path, now: i64) -> Result<Self, Vec<String>> {
        Self::parse_with(text, &Files::new(directory), now)
    }

    fn parse_with(text: &str, files: &Files, now: i64) -> Result<Self, Vec<String>> {
        let root: serde_json::Value =
            serde_saphyr::from_str(text).map_err(|error| vec![format!("it is not YAML: {error}")])?;
        let problems = Problems::default();
        let config = read(root, files, now, &problems);
        match (config, problems.into_inner()) {
            (Some(config), problems) if problems.is_empty() => Ok(config),
            (_, problems) => Err(problems),
        }
    }
}

/// Reads on after a problem, so that all are reported; `None` only if there is one.
fn read(root: serde_json::Value, files: &Files, now: i64, problems: &Problems) -> Option<Config> {
    let mut root = Section::root(root, problems)?;
    root.constant("apiVersion", API_VERSION);
    root.constant("kind", KIND);
    for later in ["policy", "breakGlass"] {
        root.refuse(later, "this version does not carry it yet; remove it");
    }
    let cluster = root.section("cluster").and_then(cluster);
    let listen = root.section("listen").map(|section| listen(section, files, now));
    let idps = root.section("authentication").and_then(authentication::providers);
    let ca = root
        .section("signer")
        .and_then(|section| signer(section, files, now));
    let markers = root.section("marker").and_then(|section| marker(section, files));
    let lifetimes = lifetimes(&mut root);
    let revocation = root
        .section("revocation")
        .and_then(|section| revocation::read(section, files));
    let webhooks = root.optional_section("webhooks").map(|section| {
        let served = listen
            .as_ref()
            .and_then(|(_, _, tls)| Some(tls.as_ref()?.1.clone()));
        webhooks::read(section, files, ca.as_ref(), served, now)
    });
    let audit = root.section("audit").map(|section| audit(section, files));
    let (limits, body_deadline) = limits::read(root.optional_section("limits"));
    root.finish();
    let (listen, listen_health, tls) = listen?;
    let (audit, detection) = audit?;
    let (tls, (_, _, serving)) = tls?;
    let (store, mode) = revocation?;
    // A section that is there and wrong is no absent one.
    let webhooks = match webhooks {
        Some(read) => Some(read?),
        None => None,
    };
    Some(Config {
        issuer: Issuer {
            cluster: cluster?,
            idps: idps?,
            lifetimes: lifetimes?,
            ca: ca?,
            markers: markers?,
        },
        tls,
        serving,
        fixed: Fixed {
            listen: listen?,
            listen_health: listen_health?,
            listen_webhooks: webhooks.as_ref().map(|webhooks| webhooks.address),
            store,
            mode,
            audit: audit?,
            limits: limits?,
            body_deadline: body_deadline?,
        },
        webhooks,
        detection: detection?,
    })
}

fn cluster(mut section: Section<'_>) -> Option<Cluster> {
    let id = section.text_where("id", "1 to 128 of the characters A-Z a-z 0-9 . _ -", |id| {
        (1..=128).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    });
    let name = section.text_where(
        "name",
        "1 to 128 bytes without control or format characters",
        |name| (1..=128).contains(&name.len()) && !name.chars().any(crate::escape::is_unseen),
    );
    let url = section.text_where(
        "url",
        "the https URL that people type, in its normal form: lower-case host, no default port, path, query, \
         fragment, user or slash at the end",
        is_origin,
    );
    section.finish();
    Some(Cluster {
        id: id?,
        name: name?,
        url: url?,
    })
}

/// Whether `text` is exactly the origin it parses to: clients compare it byte for byte.
fn is_origin(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        url.scheme() == "https" && url.has_host() && url.origin().ascii_serialization() == text
    })
}

type Listen = (
    Option<SocketAddr>,
    Option<SocketAddr>,
    Option<(Arc<ServerConfig>, Serving)>,
);

fn listen(mut section: Section<'_>, files: &Files, now: i64) -> Listen {
    const ADDRESS: &str = "an IP address and port such as 127.0.0.1:8443 or [::]:8443";
    let address = section.parsed("address", ADDRESS);
    let health = section.parsed("healthAddress", ADDRESS);
    let tls = section.section("tls").and_then(|mut tls| {
        let version = tls.choice(
            "minVersion",
            &[("1.3", TlsVersion::V1_3), ("1.2", TlsVersion::V1_2)],
            Some("1.3"),
        );
        let served =
            serving(&mut tls, files, now)
                .zip(version)
                .and_then(|((certificate, key, validity), version)| {
                    let config = server_config(&certificate, &key, version, None)
                        .map_err(|error| tls.problem("certificate", &error.to_string()))
                        .ok()?;
                    Some((config, (certificate, key, validity)))
                });
        tls.finish();
        served
    });
    section.finish();
    (address, health, tls)
}

type Serving = (Zeroizing<String>, Zeroizing<String>, Validity);

/// Certificate and key of a listener.
fn serving(tls: &mut Section<'_>, files: &Files, now: i64) -> Option<Serving> {
    let certificate = tls.file("certificate", |path| files.read(path));
    let key = tls.file("key", |path| files.read_secret(path));
    let (certificate, key) = certificate.zip(key)?;
    let Some(validity) = Validity::of_leaf(&certificate) else {
        tls.problem(
            "certificate",
            "it is not PEM with an X.509 certificate whose validity can be read",
        );
        return None;
    };
    if let Some(problem) = validity.problem(now) {
        tls.problem("certificate", &problem);
    }
    Some((certificate, key, validity))
}

fn signer(mut section: Section<'_>, files: &Files, now: i64) -> Option<CertificateAuthority> {
    for later in ["pkcs11", "certificateSigningRequest"] {
        section.refuse(later, "this version signs with `file` only");
    }
    let ca = section.section("file").and_then(|mut file| {
        let certificate = file.file("certificate", |path| files.read(path));
        let key = file.file("key", |path| files.read_secret(path));
        let ca = certificate.zip(key).and_then(|(certificate, key)| {
            CertificateAuthority::from_pem(&certificate, &key, now)
                .map_err(|error| file.problem("certificate", &error.to_string()))
                .ok()
        });
        file.finish();
        ca
    });
    section.finish();
    ca
}

fn marker(mut section: Section<'_>, files: &Files) -> Option<MarkerKeys> {
    let keys = section.files("keys", |path| files.marker_key(path))?;
    section.finish();
    MarkerKeys::new(keys)
}

fn lifetimes(root: &mut Section<'_>) -> Option<Lifetimes> {
    let (mut ttl, mut cap) = (Some(10 * MINUTE), Some(true));
    if let Some(mut section) = root.optional_section("certificate") {
        ttl = section.duration("ttl", 10 * MINUTE, MINUTE..=HOUR);
        cap = section.boolean("capAtTokenExpiry", true);
        section.finish();
    }
    let mut session_max = Some(12 * HOUR);
    if let Some(mut section) = root.optional_section("session") {
        session_max = section.duration("maxAge", 12 * HOUR, 5 * MINUTE..=30 * 24 * HOUR);
        section.finish();
    }
    Some(Lifetimes {
        certificate: ttl?,
        cap_at_token_expiry: cap?,
        session: session_max?,
    })
}

fn audit(mut section: Section<'_>, files: &Files) -> (Option<AuditTarget>, Option<Detection>) {
    let target = section.text_where("file", "\"-\" (standard output) or a path", |path| {
        !path.is_empty()
    });
    let detection = detection::read(&mut section, files);
    section.finish();
    let target = target.map(|target| match target.as_str() {
        "-" => AuditTarget::Stdout,
        path => AuditTarget::File(files.resolve(path)),
    });
    (target, detection)
}

#[cfg(test)]
mod tests;
