//! `serve`: from a configuration to listeners, and down again.

use std::fs::OpenOptions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::rand::SystemRandom;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::{RunError, failed};
use crate::active::Active;
use crate::audit::AuditLog;
use crate::config::{AuditTarget, Config};
use crate::detection::{Outlet, Pace};
use crate::key_source::KeySources;
use crate::metrics::Metrics;
use crate::reload::{Reloader, Running};
use crate::revocation::store::Store;
use crate::revocation::{Revocations, staleness, sweep};
use crate::routes::{self, App, Clock, ConfigurationStatus, Health};
use crate::server::{self, Limits, Readiness};

/// Checks everything, binds, then serves until SIGTERM or SIGINT.
pub(super) async fn serve(path: PathBuf, clock: Clock) -> Result<(), RunError> {
    // Before anything else: from here on it means "reload" and ends nothing.
    let hangup = signal(SignalKind::hangup()).map_err(failed("cannot listen for SIGHUP"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed("cannot listen for SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed("cannot listen for SIGINT"))?;
    let loaded_at = clock();
    let look = Config::look(&path, loaded_at);
    let config = look.outcome?;
    let fixed = config.fixed;
    let (audit, writer) = open_audit(&fixed.audit).map_err(failed("cannot open the audit log"))?;
    if config.issuer.idps.is_empty() {
        tracing::warn!(
            "no identity provider is configured: add one to authentication.jwt; until then nobody gets a certificate"
        );
    }
    let open = config.detection.rules.open();
    if config.webhooks.is_some() && !open.is_empty() {
        tracing::warn!(
            keys = open.join(", "),
            "nothing says which names and groups certificates may have: unexpected ones are noticed only where they are reserved"
        );
    }
    let keys = Arc::new(KeySources::new(&config.issuer.idps)?);
    let listener = bind("listen.address", fixed.listen).await?;
    let health_listener = bind("listen.healthAddress", fixed.listen_health).await?;
    let webhook_listener = match fixed.listen_webhooks {
        Some(address) => Some(bind("webhooks.address", address).await?),
        None => {
            tracing::warn!(
                "no `webhooks` are configured: no API server can ask what is revoked, and nothing watches its audit events"
            );
            None
        }
    };
    let (address, health_address) = (local(&listener)?, local(&health_listener)?);
    let webhook_address = webhook_listener.as_ref().map(local).transpose()?;
    tracing::info!(
        %address, health = %health_address, webhooks = webhook_address.map(tracing::field::display), url = %config.issuer.cluster.url, cluster = %config.issuer.cluster.id,
        identity_providers = config.issuer.idps.len(), version = env!("CARGO_PKG_VERSION"), "listening"
    );
    let issuer = Arc::new(config.issuer);
    let names = config
        .webhooks
        .as_ref()
        .map(|webhooks| Arc::clone(&webhooks.names));
    let current = Arc::new(ArcSwap::from_pointee(Active {
        issuer,
        keys,
        webhook_clients: names.unwrap_or_default(),
        detection: Arc::new(config.detection),
    }));
    let tls = Arc::new(ArcSwap::new(config.tls));
    let mut serving = vec![config.serving];
    serving.extend(config.webhooks.as_ref().map(|webhooks| webhooks.serving));
    let webhook_tls = config
        .webhooks
        .map(|webhooks| Arc::new(ArcSwap::new(webhooks.tls)));
    let revocations = Arc::new(Revocations::new(fixed.mode));
    let store = Arc::new(Store::new(&fixed.store));
    store.connect().await?;
    let following = tokio::spawn(Arc::clone(&store).follow(Arc::clone(&revocations), Arc::clone(&clock)));
    let sweeping = tokio::spawn(sweep::run(
        Arc::clone(&store),
        Arc::clone(&current),
        Arc::clone(&clock),
    ));
    let status = Arc::new(ArcSwap::from_pointee(ConfigurationStatus {
        loaded_at,
        problems: 0,
        needs_restart: Vec::new(),
    }));
    let metrics = Arc::<Metrics>::default();
    let telling = tokio::spawn(staleness::tell(Arc::clone(&revocations), Arc::clone(&clock)));
    let readiness = Readiness::default();
    let reloader = Reloader::new(Running {
        path,
        clock: Arc::clone(&clock),
        fixed: fixed.clone(),
        serving,
        contents: look.contents,
        current: Arc::clone(&current),
        tls: Arc::clone(&tls),
        webhook_tls: webhook_tls.clone(),
        status: Arc::clone(&status),
    });
    let reloading = tokio::spawn(reloader.run(hangup));
    readiness.set(true);
    let (stop, stopping) = watch::channel(false);
    let health_server = tokio::spawn(server::serve(
        health_listener,
        None,
        routes::health_router(Health {
            current: Arc::clone(&current),
            readiness: readiness.clone(),
            configuration: status,
            revocations: Arc::clone(&revocations),
            store: store.name(),
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&clock),
        }),
        Limits {
            connections: 64,
            ..fixed.limits
        },
        stopped(stopping),
    ));
    let shutdown = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        readiness.set(false);
        tracing::info!("shutting down: finishing requests in flight");
    };
    let (outlet, sending) = Outlet::start(Arc::clone(&current), Arc::clone(&metrics), Pace::default());
    let app = App {
        current,
        outlet,
        metrics,
        revocations,
        store,
        audit,
        clock,
        random: SystemRandom::new(),
        body_deadline: fixed.body_deadline,
    };
    // The webhooks outlive issuance: API servers go on asking until the last request is answered.
    let webhook_server = tokio::spawn({
        let (app, limits, stopping) = (app.clone(), fixed.limits, stop.subscribe());
        async move {
            if let (Some(listener), Some(tls)) = (webhook_listener, webhook_tls) {
                let router = routes::webhooks_router(app);
                server::serve(listener, Some(tls), router, limits, stopped(stopping)).await;
            }
        }
    });
    let router = routes::router(app);
    server::serve(listener, Some(tls), router, fixed.limits, shutdown).await;
    stop.send_replace(true);
    let _ended = tokio::join!(health_server, webhook_server);
    // The last clone of the outlet went with the webhooks.
    if tokio::time::timeout(fixed.limits.shutdown, sending)
        .await
        .is_err()
    {
        tracing::error!("the findings webhook did not take what was queued; the log has all of it");
    }
    reloading.abort();
    following.abort();
    sweeping.abort();
    telling.abort();
    let _ended = tokio::join!(reloading, following, sweeping, telling);
    // The last clone of the audit log went with the router; the writer ends when its queue is empty, or never, where
    // nobody reads standard output any more.
    let written = tokio::task::spawn_blocking(move || writer.join());
    if tokio::time::timeout(fixed.limits.shutdown, written)
        .await
        .is_err()
    {
        tracing::error!("the audit sink did not take what was queued; those records are lost");
    }
    tracing::info!("ended");
    Ok(())
}

fn open_audit(target: &AuditTarget) -> io::Result<(AuditLog, std::thread::JoinHandle<()>)> {
    match target {
        AuditTarget::Stdout => AuditLog::start(io::stdout()),
        AuditTarget::File(path) => {
            let mut options = OpenOptions::new();
            let file = options.append(true).create(true).mode(0o600).open(path)?;
            AuditLog::start(file)
        }
    }
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    let _sender_gone = stopping.wait_for(|stop| *stop).await;
}

async fn bind(key: &str, address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address)
        .await
        .map_err(failed(format!("cannot listen on {key} {address}")))
}

fn local(listener: &TcpListener) -> Result<SocketAddr, RunError> {
    listener
        .local_addr()
        .map_err(failed("cannot tell the bound address"))
}
