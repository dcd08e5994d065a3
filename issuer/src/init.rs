//! `init`: a configuration, a certificate authority, a marker key and a serving certificate to begin with.

mod apiserver;
mod pki;
mod template;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SecureRandom;
use data_encoding::BASE64;
use zeroize::Zeroizing;

use crate::cli::{Init, StoreKind};
use crate::config::Config;
use crate::ids::base32;

/// Why nothing, or not everything, was written.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// A file is there already.
    #[error("{0} exists, and nothing is overwritten: choose another --dir, or move it away")]
    Exists(PathBuf),
    /// A file cannot be read or written.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    /// A key or certificate cannot be made.
    #[error("cannot make keys and certificates: {0}")]
    Pki(#[from] rcgen::Error),
    /// No randomness.
    #[error("the system gives no randomness")]
    Random,
    /// An option's value is not allowed.
    #[error("these options do not make a configuration:{0}")]
    Options(String),
}

/// Common name of the certificate that `init` makes for API servers.
const WEBHOOK_CLIENT: &str = "kube-apiserver";

/// Below the configuration's directory.
fn directories(store: StoreKind) -> &'static [&'static str] {
    match store {
        StoreKind::Directory => &["revocations", "apiserver"],
        StoreKind::Kubernetes => &["apiserver"],
    }
}

struct Output {
    name: &'static str,
    secret: bool,
    content: Zeroizing<String>,
}

/// Writes everything, then says what to do next.
pub fn init(options: &Init, now: i64, random: &dyn SecureRandom) -> Result<String, InitError> {
    let idp_ca = options.idp_ca.as_deref().map(read).transpose()?;
    let mut bytes = Zeroizing::new([0; 32]);
    random.fill(&mut bytes[..]).map_err(|_| InitError::Random)?;
    let marker = Zeroizing::new(format!("{}\n", BASE64.encode(&bytes[..])));
    let mut suffix = [0; 10];
    random.fill(&mut suffix).map_err(|_| InitError::Random)?;
    let cluster_id = format!("{}-{}", options.cluster, base32(&suffix));
    let client_ca = pki::client_authority(&cluster_id, now)?;
    let serving = pki::serving(now)?;
    let webhook_client = pki::webhook_client(now)?;
    let api_server = apiserver::files(options, &serving.authority, &webhook_client)
        .map_err(|error| InitError::Io(options.dir.clone(), error))?;
    let url = options
        .url
        .clone()
        .unwrap_or_else(|| format!("https://localhost:{}", options.listen.port()));
    let config = template::render(options, &cluster_id, &url, idp_ca.as_deref());
    let public = |name, content: String| Output {
        name,
        secret: false,
        content: Zeroizing::new(content),
    };
    let secret = |name, content| Output {
        name,
        secret: true,
        content,
    };
    let outputs = [
        public("ca.crt", client_ca.certificate),
        secret("ca.key", client_ca.key),
        secret("marker.key", marker),
        public("serving-ca.crt", serving.authority),
        public("serving.crt", serving.certificate),
        secret("serving.key", serving.key),
        public("webhook-ca.crt", webhook_client.authority),
        public("apiserver/authorization.yaml", api_server.authorization),
        public("apiserver/authorization-1.32.yaml", api_server.authorization_1_32),
        public("apiserver/audit-policy.yaml", api_server.audit_policy),
        secret("apiserver/authorize.kubeconfig", api_server.authorize),
        secret("apiserver/audit.kubeconfig", api_server.audit),
        // Last: a directory with a configuration is a complete one.
        public("issuer.yaml", config),
    ];
    write_all(options, &outputs)?;
    check(options, &outputs, now)?;
    Ok(template::next_steps(options, &url))
}

fn read(path: &Path) -> Result<String, InitError> {
    fs::read_to_string(path).map_err(|error| InitError::Io(path.to_owned(), error))
}

fn write_all(options: &Init, outputs: &[Output]) -> Result<(), InitError> {
    let dir = &options.dir;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| InitError::Io(path, error)
    };
    // Looked at first, so that a second `init` changes nothing; `create_new` below holds even against a race.
    if let Some(there) = outputs
        .iter()
        .map(|output| dir.join(output.name))
        .find(|path| path.symlink_metadata().is_ok())
    {
        return Err(InitError::Exists(there));
    }
    let below = directories(options.store).iter().map(|name| dir.join(name));
    for dir in std::iter::once(dir.clone()).chain(below) {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(failed(&dir))?;
    }
    for output in outputs {
        let path = dir.join(output.name);
        let mode = if output.secret { 0o600 } else { 0o644 };
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)
            .map_err(failed(&path))?;
        file.write_all(output.content.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(failed(&path))?;
    }
    Ok(())
}

/// What was written must load; else an option was wrong, and nothing stays behind.
fn check(options: &Init, outputs: &[Output], now: i64) -> Result<(), InitError> {
    let Err(error) = Config::load(&options.dir.join("issuer.yaml"), now) else {
        return Ok(());
    };
    for output in outputs {
        let path = options.dir.join(output.name);
        fs::remove_file(&path).map_err(|error| InitError::Io(path, error))?;
    }
    for name in directories(options.store) {
        let path = options.dir.join(name);
        fs::remove_dir(&path).map_err(|error| InitError::Io(path, error))?;
    }
    let problems: String = error
        .problems()
        .iter()
        .map(|problem| format!("\n  - {problem}"))
        .collect();
    Err(InitError::Options(problems))
}

#[cfg(test)]
mod tests;
