//! Settings: flags over environment over the cluster's exec extension over the configuration file.
//!
//! A kubeconfig is other people's text, and in `get-credential` it speaks through arguments, environment and extension.
//! There it may name the issuer, its CA and a profile. Everything else comes from the configuration file or a typed
//! command, and anything more in a kubeconfig stops the run before a byte is sent.

mod file;

use std::{collections::BTreeMap, fmt, fs, io, path::PathBuf, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::Value;
use tracing::level_filters::LevelFilter;

use crate::{
    accepted::PinnedIdp,
    cli::Target,
    paths::Paths,
    store::{self, Store, StoreError, StoreKind},
};

pub use file::{ConfigFile, IdentityProviderSettings, IssuerSettings, StoreChoice};

/// Variables that `get-credential` reads. A kubeconfig can set them, so this is all it may set.
const ALLOWED: [&str; 3] = ["GATEPASS_ISSUER", "GATEPASS_ISSUER_CA", "GATEPASS_PROFILE"];

/// The environment, read once.
#[derive(Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Keeps what is UTF-8.
    pub fn new(vars: impl IntoIterator<Item = (std::ffi::OsString, std::ffi::OsString)>) -> Self {
        let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(vars.into_iter().filter_map(utf8).collect())
    }

    /// All that is Gatepass's own, as text that is the same for the same variables.
    pub fn ours(&self) -> String {
        let ours = self.0.iter().filter(|(name, _)| name.starts_with("GATEPASS_"));
        ours.map(|(name, value)| format!("{name}={value}\0")).collect()
    }

    /// The value of a variable, unless it is missing or empty.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A kubeconfig sets more than it may.
    #[error(
        "{place} sets {name}, which a kubeconfig may not set (it may set the issuer's URL, its CA and the profile); nothing was sent and nothing was run"
    )]
    NotAllowed {
        /// Where it was found.
        place: &'static str,
        /// What it is called.
        name: String,
    },
    /// A value of the wrong form.
    #[error("{place}: {name}: {problem}")]
    Wrong {
        /// Where it was found.
        place: &'static str,
        /// What it is called.
        name: String,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// A file that cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The configuration file is not in its form.
    #[error("{path} is not a valid configuration file: {problem}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        problem: String,
    },
    /// Nobody named an issuer.
    #[error("no issuer is named")]
    NoIssuer,
}

impl SettingsError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotAllowed { .. } => {
                "remove it from the kubeconfig; browser command, store, flow and the identity provider's CA belong into \
                 the configuration file (gatepass/config.yaml below $XDG_CONFIG_HOME or ~/.config), or log in yourself: \
                 kubectl-gatepass login <issuer URL>"
                    .into()
            }
            Self::NoIssuer => "name it in the cluster's exec extension (extension: {issuer: https://…}, with \
                 provideClusterInfo: true), with --issuer, in GATEPASS_ISSUER, or as `issuer:` in the configuration file"
                .into(),
            Self::Wrong { .. } | Self::Unreadable { .. } | Self::File { .. } => return None,
        })
    }
}

/// The URL of an issuer, as pinned and signed: https, no trailing slash, no query, no fragment, no user.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct IssuerUrl(String);

impl IssuerUrl {
    /// Checks the form. One spelling only, because it is compared byte for byte in the proof.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = url::Url::parse(text).map_err(|error| format!("{text:?} is not a URL: {error}"))?;
        if url.scheme() != "https" {
            return Err(format!("{text:?} must begin with https://"));
        }
        if !url.username().is_empty()
            || url.password().is_some()
            || url.query().is_some()
            || url.fragment().is_some()
        {
            return Err(format!("{text:?} must not hold a user, a query or a fragment"));
        }
        let canonical = url.as_str().trim_end_matches('/');
        if canonical != text.trim_end_matches('/') {
            return Err(format!("write {text:?} as {canonical:?}"));
        }
        Ok(Self(canonical.to_owned()))
    }

    /// The URL without trailing slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The account where none is named.
const DEFAULT_PROFILE: &str = "default";

/// What one run works with.
#[derive(Debug)]
pub struct Settings {
    /// The issuer, where one is named.
    pub issuer: Option<IssuerUrl>,
    /// PEM of the CA of the issuer's serving certificate; `None` leaves it to what was accepted, else the system.
    pub issuer_ca: Option<String>,
    /// Which account.
    pub profile: String,
    /// The rest, from the configuration file alone.
    pub file: ConfigFile,
}

/// As if nothing were said anywhere.
impl Default for Settings {
    fn default() -> Self {
        Self {
            issuer: None,
            issuer_ca: None,
            profile: DEFAULT_PROFILE.into(),
            file: ConfigFile::default(),
        }
    }
}

impl Settings {
    /// For `get-credential`: refuses whatever a kubeconfig may not set.
    pub fn for_kubectl(
        target: &Target,
        env: &Environment,
        extension: Option<&Value>,
        file: ConfigFile,
    ) -> Result<Self, SettingsError> {
        if let Some(name) = env
            .0
            .keys()
            .find(|name| name.starts_with("GATEPASS_") && !ALLOWED.contains(&name.as_str()))
        {
            return Err(SettingsError::NotAllowed {
                place: "the environment",
                name: name.clone(),
            });
        }
        let extension = extension.map(Extension::read).transpose()?.unwrap_or_default();
        Self::merge(target, env, extension, file)
    }

    /// For commands that a person types; there is no extension then.
    pub fn for_person(target: &Target, env: &Environment, file: ConfigFile) -> Result<Self, SettingsError> {
        Self::merge(target, env, Extension::default(), file)
    }

    fn merge(
        target: &Target,
        env: &Environment,
        extension: Extension,
        file: ConfigFile,
    ) -> Result<Self, SettingsError> {
        let named = [
            ("the command line", "--issuer", target.issuer.clone()),
            (
                "the environment",
                "GATEPASS_ISSUER",
                env.var("GATEPASS_ISSUER").map(str::to_owned),
            ),
            ("the exec extension", "issuer", extension.issuer),
            ("the configuration file", "issuer", file.issuer.clone()),
        ];
        let issuer = named
            .into_iter()
            .find_map(|(place, name, value)| Some((place, name, value?)));
        let issuer = issuer
            .map(|(place, name, text)| {
                IssuerUrl::parse(&text).map_err(|problem| SettingsError::Wrong {
                    place,
                    name: name.into(),
                    problem,
                })
            })
            .transpose()?;
        let ca_file = target
            .issuer_ca
            .clone()
            .or_else(|| env.var("GATEPASS_ISSUER_CA").map(PathBuf::from));
        let issuer_ca = match (
            ca_file,
            extension.certificate_authority_data,
            extension.certificate_authority,
        ) {
            (Some(path), _, _) => Some(read_pem(path)?),
            (None, Some(data), _) => Some(decode_pem(&data)?),
            (None, None, Some(path)) => Some(read_pem(path)?),
            (None, None, None) => match issuer.as_ref().and_then(|issuer| file.issuer_settings(issuer)) {
                Some(IssuerSettings {
                    certificate_authority: Some(path),
                    ..
                }) => Some(read_pem(path.clone())?),
                _ => None,
            },
        };
        let profile = target
            .profile
            .clone()
            .or_else(|| env.var("GATEPASS_PROFILE").map(str::to_owned))
            .or(extension.profile)
            .unwrap_or_else(|| DEFAULT_PROFILE.into());
        if profile.is_empty()
            || profile.len() > 64
            || !profile
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        {
            return Err(SettingsError::Wrong {
                place: "the profile",
                name: format!("{profile:?}"),
                problem: "1 to 64 of a–z, A–Z, 0–9, '-', '_' and '.' are allowed".into(),
            });
        }
        Ok(Self {
            issuer,
            issuer_ca,
            profile,
            file,
        })
    }

    /// The issuer, or the error that says how to name one.
    pub fn issuer(&self) -> Result<&IssuerUrl, SettingsError> {
        self.issuer.as_ref().ok_or(SettingsError::NoIssuer)
    }

    /// The keyring, as configured.
    pub fn store(&self, paths: &Paths) -> Result<Store, StoreError> {
        let kind = match self.file.store {
            StoreChoice::Keyring => StoreKind::Keyring,
            StoreChoice::Kernel => StoreKind::Kernel,
            StoreChoice::File => StoreKind::File,
        };
        Store::new(
            kind,
            self.file.kernel_keyring.unwrap_or_else(|| !is_root()),
            paths.state_dir(),
            store::DEADLINE,
        )
    }

    /// What to log on stderr.
    pub fn log(&self) -> LevelFilter {
        self.file.log.0
    }

    /// The CA of an identity provider: the configuration file's, else what `login --idp-ca` kept.
    pub fn idp_ca(&self, idp: &PinnedIdp) -> Result<Option<String>, SettingsError> {
        let configured = self.file.identity_provider(&idp.issuer);
        match configured.and_then(|configured| configured.certificate_authority.clone()) {
            Some(path) => Ok(Some(read_pem(path)?)),
            None => Ok(idp.certificate_authority.clone()),
        }
    }

    /// How long a login may take.
    pub fn login_timeout(&self) -> Duration {
        self.file.login_timeout.0
    }
}

/// The object under `extensions[name=client.authentication.k8s.io/exec]` of a cluster entry.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Extension {
    issuer: Option<String>,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    profile: Option<String>,
}

impl Extension {
    fn read(value: &Value) -> Result<Self, SettingsError> {
        const KEYS: [&str; 4] = [
            "issuer",
            "certificateAuthority",
            "certificateAuthorityData",
            "profile",
        ];
        let place = "the exec extension";
        if let Some(name) = value
            .as_object()
            .and_then(|map| map.keys().find(|key| !KEYS.contains(&key.as_str())))
        {
            return Err(SettingsError::NotAllowed {
                place,
                name: name.clone(),
            });
        }
        Self::deserialize(value).map_err(|error| SettingsError::Wrong {
            place,
            name: "client.authentication.k8s.io/exec".into(),
            problem: error.to_string(),
        })
    }
}

#[cfg(unix)]
fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

/// Reads the certificates of a PEM file; whatever else it holds stays where it is.
pub fn read_pem(path: PathBuf) -> Result<String, SettingsError> {
    const LARGEST: u64 = 1024 * 1024;
    let read = || {
        let metadata = fs::metadata(&path)?;
        // A kubeconfig may name the file: a pipe would block for ever, a device would never end.
        if !metadata.is_file() || metadata.len() > LARGEST {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a regular file of at most 1 MiB",
            ));
        }
        fs::read_to_string(&path)
    };
    match read() {
        Ok(text) => certificates(&text).ok_or_else(|| SettingsError::Wrong {
            place: "the CA file",
            name: path.display().to_string(),
            problem: "it holds no PEM certificate".into(),
        }),
        Err(source) => Err(SettingsError::Unreadable { path, source }),
    }
}

fn decode_pem(data: &str) -> Result<String, SettingsError> {
    let text = STANDARD
        .decode(data)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    text.and_then(|text| certificates(&text))
        .ok_or_else(|| SettingsError::Wrong {
            place: "the exec extension",
            name: "certificateAuthorityData".into(),
            problem: "must be base64 of PEM certificates, as in a kubeconfig".into(),
        })
}

/// The certificates of a PEM text, written in one way, so that pins can be compared.
fn certificates(text: &str) -> Option<String> {
    let blocks: Vec<_> = pem::parse_many(text)
        .ok()?
        .into_iter()
        .filter(|block| block.tag() == "CERTIFICATE")
        .collect();
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    (!blocks.is_empty()).then(|| pem::encode_many_config(&blocks, config))
}

#[cfg(test)]
mod tests;
