//! The configuration file: `gatepass/config.yaml` below `$XDG_CONFIG_HOME`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Deserializer, de::Error as _};
use tracing::level_filters::LevelFilter;

use super::{IssuerUrl, SettingsError};

/// Everything is optional; a missing file is an empty one.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ConfigFile {
    /// The issuer to use where nothing else names one.
    pub issuer: Option<String>,
    /// Issuers that are accepted by being written here.
    pub issuers: Vec<IssuerSettings>,
    /// What identity providers need here.
    pub identity_providers: Vec<IdentityProviderSettings>,
    /// Program and arguments to open a login page with; the URL is appended as one argument.
    pub browser_command: Option<Vec<String>>,
    /// Where sessions and credentials are kept.
    pub store: StoreChoice,
    /// Whether the kernel keyring holds credentials for uid 0 too. It is per uid, not per container, so root in one
    /// container would share it with root in another.
    pub kernel_keyring: Option<bool>,
    /// What to log on stderr.
    pub log: Log,
    /// How long a login may take.
    pub login_timeout: Timeout,
}

/// An issuer that is accepted by being written into the configuration file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IssuerSettings {
    /// Its URL.
    pub url: String,
    /// File with the CA of its serving certificate.
    pub certificate_authority: Option<PathBuf>,
    /// Id that its cluster must have.
    pub cluster_id: Option<String>,
    /// Which of its identity providers to use, where it names several.
    pub identity_provider: Option<String>,
}

/// What an identity provider needs on this machine.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityProviderSettings {
    /// Issuer identifier, compared exactly.
    pub issuer: String,
    /// File with its CA.
    pub certificate_authority: Option<PathBuf>,
    /// Port of the loopback redirect, for providers that compare redirects exactly.
    pub redirect_port: Option<u16>,
}

/// Where sessions and credentials are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreChoice {
    /// The operating system's keyring.
    #[default]
    Keyring,
    /// The kernel's keyring alone: gone at the next boot, no desktop needed.
    Kernel,
    /// Files of mode 0600: whoever reads the disk or its backup reads them.
    File,
}

/// A log level.
#[derive(Debug)]
pub struct Log(pub LevelFilter);

impl Default for Log {
    fn default() -> Self {
        Self(LevelFilter::WARN)
    }
}

impl<'de> Deserialize<'de> for Log {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "off" => Ok(Self(LevelFilter::OFF)),
            "warn" => Ok(Self(LevelFilter::WARN)),
            "info" => Ok(Self(LevelFilter::INFO)),
            "debug" => Ok(Self(LevelFilter::DEBUG)),
            "trace" => Ok(Self(LevelFilter::TRACE)),
            _ => Err(D::Error::custom(format!(
                "log: {text:?}: off, warn, info, debug and trace are allowed"
            ))),
        }
    }
}

/// A duration written as `90s` or `3m`, from 10 s to 15 min.
#[derive(Debug)]
pub struct Timeout(pub Duration);

impl Default for Timeout {
    fn default() -> Self {
        Self(Duration::from_secs(180))
    }
}

impl<'de> Deserialize<'de> for Timeout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let seconds = text
            .strip_suffix('s')
            .map(|n| (n, 1))
            .or_else(|| text.strip_suffix('m').map(|n| (n, 60)));
        let seconds = seconds.and_then(|(n, unit)| n.parse::<u64>().ok()?.checked_mul(unit));
        match seconds {
            Some(seconds @ 10..=900) => Ok(Self(Duration::from_secs(seconds))),
            _ => Err(D::Error::custom(format!(
                "loginTimeout: {text:?}: 10s to 15m are allowed, as in 90s or 3m"
            ))),
        }
    }
}

impl ConfigFile {
    /// Reads the file; one that does not exist is empty.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => {
                return Err(SettingsError::Unreadable {
                    path: path.into(),
                    source,
                });
            }
        };
        let wrong = |problem: String| SettingsError::File {
            path: path.into(),
            problem,
        };
        let file: Self = serde_saphyr::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        for issuer in &file.issuers {
            IssuerUrl::parse(&issuer.url).map_err(|problem| wrong(format!("issuers: url: {problem}")))?;
        }
        Ok(file)
    }

    /// What the file says of an issuer; `Some` means that it is accepted.
    pub fn issuer_settings(&self, issuer: &IssuerUrl) -> Option<&IssuerSettings> {
        self.issuers
            .iter()
            .find(|entry| entry.url.trim_end_matches('/') == issuer.as_str())
    }

    /// What the file says of an identity provider.
    pub fn identity_provider(&self, issuer: &str) -> Option<&IdentityProviderSettings> {
        self.identity_providers
            .iter()
            .find(|entry| entry.issuer == issuer)
    }
}
