//! Runs a command: the composition of everything else.

mod serve;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use clap::CommandFactory;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::{Cli, Command};
use crate::config::{Config, ConfigError};
use crate::init::{self, InitError};
use crate::key_source::{ClientError, KeySources};
use crate::revocation::command::{self, CommandError};
use crate::revocation::kubernetes::ConnectError;

/// Why a command failed; `main` prints it.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// `init`.
    #[error(transparent)]
    Init(#[from] InitError),
    /// `revoke`, `unrevoke` and `revocations`.
    #[error(transparent)]
    Revocation(#[from] CommandError),
    /// A provider's HTTPS client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The store of revocations.
    #[error("revocation.kubernetes: {0}")]
    Store(#[from] ConnectError),
    /// Another crypto library is in place.
    #[error("another TLS provider was installed before aws-lc-rs")]
    Provider,
    /// Something on this machine.
    #[error("{0}: {1}")]
    Io(String, io::Error),
}

fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> RunError {
    move |error| RunError::Io(what.into(), error)
}

/// Runs `cli`; `clock` says what time it is, in Unix seconds.
pub fn run(cli: Cli, clock: &(impl Fn() -> i64 + Clone + Send + Sync + 'static)) -> Result<(), RunError> {
    match cli.command {
        Command::Init(options) => {
            let next = init::init(&options, clock(), &SystemRandom::new())?;
            write_stdout(next.as_bytes())
        }
        Command::Check(options) => {
            let config = load(&options.config, clock())?;
            KeySources::new(&config.issuer.idps)?;
            let summary = format!(
                "{} is fine: cluster {}, {} identity provider(s)\n",
                options.config.display(),
                config.issuer.cluster.id,
                config.issuer.idps.len()
            );
            write_stdout(summary.as_bytes())
        }
        Command::Serve(options) => {
            log_to_stderr(options.log);
            install_crypto()?;
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .map_err(failed("cannot start threads"))?;
            let served = runtime.block_on(serve::serve(options.config, Arc::new(clock.clone())));
            // A thread that still waits for a disk or a pipe would keep the program from ending.
            runtime.shutdown_background();
            served
        }
        Command::Revoke(options) => {
            let done = alone()?.block_on(command::revoke(&options, clock(), &SystemRandom::new()))?;
            write_stdout(done.as_bytes())
        }
        Command::Unrevoke(options) => {
            let done = alone()?.block_on(command::unrevoke(&options))?;
            write_stdout(done.as_bytes())
        }
        Command::Revocations(options) => {
            let (text, faults) = command::list(&options, clock())?;
            write_stdout(text.as_bytes())?;
            faults.map_or(Ok(()), |faults| Err(faults.into()))
        }
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "gatepass-issuer", &mut script);
            write_stdout(&script)
        }
        Command::Version => {
            write_stdout(concat!("gatepass-issuer ", env!("CARGO_PKG_VERSION"), "\n").as_bytes())
        }
    }
}

/// A runtime for one command.
fn alone() -> Result<tokio::runtime::Runtime, RunError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(failed("cannot start threads"))
}

fn load(path: &Path, now: i64) -> Result<Config, RunError> {
    install_crypto()?;
    Ok(Config::load(path, now)?)
}

/// Makes aws-lc-rs what rustls uses wherever nobody names a provider (reqwest does not).
fn install_crypto() -> Result<(), RunError> {
    tokio_rustls::rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| RunError::Provider)
}

fn write_stdout(text: &[u8]) -> Result<(), RunError> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text)
        .and_then(|()| stdout.flush())
        .map_err(failed("cannot write to standard output"))
}

fn log_to_stderr(level: tracing::Level) {
    // Other crates' trace output shows what goes over the wire; ours never does.
    let filter = Targets::new()
        .with_default(tracing::Level::WARN)
        .with_target("gatepass_issuer", level)
        // Every failure of theirs comes back to us, and is told once.
        .with_target("kube_client", LevelFilter::OFF)
        .with_target("kube_runtime", LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(io::stderr);
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .init();
}
