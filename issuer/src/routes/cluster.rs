use axum::Json;
use axum::extract::State;
use gatepass_api::{Binding, CertificateLimits, ClusterInfo, Flow, IdentityProvider, SessionLimits};

use super::App;
use crate::clock::rfc3339;

/// `GET /v1/cluster`: names the cluster and its identity providers, one element per client.
pub(super) async fn cluster(State(app): State<App>) -> Json<ClusterInfo> {
    let active = app.current.load_full();
    let issuer = &active.issuer;
    let providers = issuer.idps.iter().flat_map(|idp| {
        idp.clients.iter().map(|client| IdentityProvider {
            issuer: idp.issuer.clone(),
            client_id: client.id.clone(),
            scopes: client.scopes.clone(),
            flows: vec![Flow::Browser],
            binding: Binding::Required,
            max_token_age_seconds: idp.max_token_age.as_secs(),
        })
    });
    Json(ClusterInfo {
        cluster_id: issuer.cluster.id.clone(),
        name: issuer.cluster.name.clone(),
        url: issuer.cluster.url.clone(),
        server_time: rfc3339((app.clock)()),
        identity_providers: providers.collect(),
        certificate: CertificateLimits {
            max_ttl_seconds: issuer.lifetimes.certificate.as_secs(),
        },
        session: SessionLimits {
            max_seconds: issuer.lifetimes.session.as_secs(),
        },
    })
}
