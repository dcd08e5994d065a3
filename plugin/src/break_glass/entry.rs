//! The kubeconfig entry through which kubectl uses a window: whether there is one, and one to use where there is none.

use std::{ffi::OsStr, path::Path, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use gatepass_break_glass::kit::Kit;
use serde_json::{Value, json};

use crate::{
    cli::Connection,
    escape::{self, Escaped},
    kubeconfig::{Config, EXTENSION},
    kubectl::Kubectl,
    run::wait_for,
};

/// How long kubectl is waited for: it only reads files.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// A kubeconfig for a kit's cluster and nothing else. Nothing in it is secret.
pub(super) fn kubeconfig(kit: &Kit) -> Value {
    let payload = kit.payload();
    let mut cluster = json!({
        "server": payload.server,
        "certificate-authority-data": BASE64_STANDARD.encode(&payload.server_ca),
    });
    if let Some(issuer) = &payload.issuer {
        cluster["extensions"] = json!([{"name": EXTENSION, "extension": {"issuer": issuer}}]);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": payload.cluster,
        "contexts": [{"name": payload.cluster, "context": {"cluster": payload.cluster, "user": "gatepass"}}],
        "clusters": [{"name": payload.cluster, "cluster": cluster}],
        "users": [{"name": "gatepass", "user": {"exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "kubectl-gatepass",
            "args": ["get-credential"],
            "interactiveMode": "IfAvailable",
            "provideClusterInfo": true,
        }}}],
    })
}

/// What people are told whose kubectl would not use a window, and what helps; `None` where all is well.
pub(super) fn words(kit: &Kit, file: Option<&Path>) -> Option<String> {
    let connection = Connection::default();
    let kubectl = Kubectl {
        program: OsStr::new("kubectl"),
        connection: &connection,
        deadline: DEADLINE,
    };
    let config = wait_for(async { Ok(Config::read(&kubectl).await) });
    let why = match config {
        Ok(Ok(config)) => missing(kit, &config)?,
        Ok(Err(error)) => unknown(&error.to_string()),
        Err(error) => unknown(&error.to_string()),
    };
    let remedy = remedy(file);
    Some(format!("WARNING: {why}\n  next: {remedy}"))
}

fn unknown(why: &str) -> String {
    format!("whether kubectl uses a window is not known: {why}")
}

/// Why kubectl would not use a window of this kit with its kubeconfig.
pub(crate) fn missing(kit: &Kit, config: &Config) -> Option<String> {
    let payload = kit.payload();
    match config.runs_us_for(&payload.server, payload.issuer.as_deref()) {
        true => None,
        false => Some(format!(
            "no context of the kubeconfig runs kubectl-gatepass for {}, so kubectl may not use a window of the kit of {}",
            Escaped(&payload.server),
            Escaped(&payload.cluster)
        )),
    }
}

/// How to get a kubeconfig that does; `file` is the kit's, where it has to be named.
pub(crate) fn remedy(file: Option<&Path>) -> String {
    let file = file
        .map(|path| format!("{} ", escape::argument(path, "KIT")))
        .unwrap_or_default();
    format!(
        "kubectl gatepass break-glass verify {file}--kubeconfig >break-glass.kubeconfig, then: kubectl --kubeconfig \
         break-glass.kubeconfig get nodes"
    )
}
