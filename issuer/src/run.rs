//! Runs a command: the composition of everything else.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use clap::CommandFactory;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::audit::AuditLog;
use crate::cli::{Cli, Command};
use crate::config::{AuditTarget, Config, ConfigError};
use crate::init::{self, InitError};
use crate::key_source::{ClientError, KeySources};
use crate::routes::{self, App};
use crate::server::{self, Limits, Readiness};

/// Why a command failed; `main` prints it.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// `init`.
    #[error(transparent)]
    Init(#[from] InitError),
    /// A provider's HTTPS client.
    #[error(transparent)]
    Client(#[from] ClientError),
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
            let config = load(&options.config, clock())?;
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .map_err(failed("cannot start threads"))?;
            runtime.block_on(serve(config, clock.clone()))
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
        .with_target("gatepass_issuer", level);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(io::stderr);
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .init();
}

async fn serve(config: Config, clock: impl Fn() -> i64 + Send + Sync + 'static) -> Result<(), RunError> {
    let audit = match &config.audit {
        AuditTarget::Stdout => AuditLog::start(io::stdout()),
        AuditTarget::File(path) => {
            let file = OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(path);
            file.and_then(AuditLog::start)
        }
    };
    let (audit, writer) = audit.map_err(failed("cannot open the audit log"))?;
    if config.issuer.idps.is_empty() {
        tracing::warn!(
            "no identity provider is configured: add one to authentication.jwt; until then nobody gets a certificate"
        );
    }
    let keys = Arc::new(KeySources::new(&config.issuer.idps)?);
    let listener = bind("listen.address", config.listen).await?;
    let health = bind("listen.healthAddress", config.listen_health).await?;
    let (address, health_address) = (local(&listener)?, local(&health)?);
    let readiness = Readiness::default();
    let app = App {
        issuer: Arc::new(config.issuer),
        keys: Arc::clone(&keys),
        audit,
        clock: Arc::new(clock),
        random: SystemRandom::new(),
        body_deadline: config.body_deadline,
    };
    let (stop, stopping) = watch::channel(false);
    let mut signals = (
        signal(SignalKind::terminate()).map_err(failed("cannot listen for SIGTERM"))?,
        signal(SignalKind::interrupt()).map_err(failed("cannot listen for SIGINT"))?,
    );
    let refetching = tokio::spawn(Arc::clone(&keys).keep_fresh());
    readiness.set(true);
    tracing::info!(
        %address, health = %health_address, url = %app.issuer.cluster.url, cluster = %app.issuer.cluster.id,
        identity_providers = app.issuer.idps.len(), version = env!("CARGO_PKG_VERSION"), "listening"
    );
    let health_limits = Limits {
        connections: 64,
        ..config.limits
    };
    let health_server = tokio::spawn(server::serve(
        health,
        None,
        routes::health_router(keys, readiness.clone()),
        health_limits,
        stopped(stopping),
    ));
    let shutdown = async {
        tokio::select! {
            _ = signals.0.recv() => {}
            _ = signals.1.recv() => {}
        }
        readiness.set(false);
        tracing::info!("shutting down: finishing requests in flight");
    };
    server::serve(
        listener,
        Some(config.tls),
        routes::router(app),
        config.limits,
        shutdown,
    )
    .await;
    stop.send_replace(true);
    refetching.abort();
    let _ended = tokio::join!(health_server, refetching);
    // The last clone of the audit log went with the router; the writer ends when its queue is empty.
    let _written = tokio::task::spawn_blocking(move || writer.join()).await;
    tracing::info!("ended");
    Ok(())
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    let _sender_gone = stopping.wait_for(|stop| *stop).await;
}

async fn bind(key: &str, address: std::net::SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address)
        .await
        .map_err(failed(format!("cannot listen on {key} {address}")))
}

fn local(listener: &TcpListener) -> Result<std::net::SocketAddr, RunError> {
    listener
        .local_addr()
        .map_err(failed("cannot tell the bound address"))
}
