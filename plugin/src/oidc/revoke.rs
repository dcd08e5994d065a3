//! The end of a refresh token at the identity provider (RFC 7009).

use std::time::Duration;

use gatepass_api::Token;
use openidconnect::{
    ClientId, ConfigurationError, IssuerUrl, RefreshToken, RevocationUrl,
    core::{CoreClient, CoreJsonWebKeySet},
};

use super::{
    OidcError,
    transport::{Asked, Transport, outage, request_error},
};
use crate::{accepted::PinnedIdp, http};

/// How long to wait for the answer. A person waits for it with nothing to gain but certainty.
const DEADLINE: Duration = Duration::from_secs(10);

const REVOCATION: Asked = Asked {
    what: "to revoke a refresh token",
    answer: "answer to a revocation",
};

/// The endpoint as a login keeps it: only what a token may be sent to. Another one costs the logout, not the login.
pub(super) fn usable(endpoint: Option<&str>) -> Option<String> {
    let endpoint = RevocationUrl::new(endpoint?.to_owned()).ok()?;
    (endpoint.url().scheme() == "https").then(|| endpoint.to_string())
}

/// Asks the provider to end a refresh token, at the endpoint that the login's metadata named. One request.
///
/// `Ok` means that the token is of no use any more: RFC 7009 section 2.2 has providers answer so for unknown ones, too.
pub async fn revoke(
    idp: &PinnedIdp,
    ca: Option<&str>,
    endpoint: &str,
    refresh_token: &Token,
) -> Result<(), OidcError> {
    let unusable = |problem: String| OidcError::Metadata {
        idp: idp.issuer.clone(),
        problem,
    };
    let endpoint = RevocationUrl::new(endpoint.to_owned()).map_err(|error| unusable(error.to_string()))?;
    let issuer = IssuerUrl::new(idp.issuer.clone()).map_err(|error| unusable(error.to_string()))?;
    let http = http::client(ca).map_err(|error| outage(idp, &error))?;
    let transport = Transport::new(&http, REVOCATION);
    let client = CoreClient::new(
        ClientId::new(idp.client_id.clone()),
        issuer,
        CoreJsonWebKeySet::default(),
    )
    .set_revocation_url(endpoint);
    let request = client
        .revoke_token(RefreshToken::new(refresh_token.expose().to_owned()).into())
        .map_err(|error: ConfigurationError| unusable(error.to_string()))?;
    let send = |request| transport.send(request);
    match tokio::time::timeout(DEADLINE, request.request_async(&send)).await {
        Ok(Ok(())) => Ok(()),
        // The status says it all (RFC 7009 section 2.2), and some providers say 204.
        Ok(Err(_)) if (200..300).contains(&transport.status()) => Ok(()),
        Ok(Err(error)) => Err(request_error(idp, &transport, error)),
        Err(_) => Err(OidcError::Outage {
            idp: idp.issuer.clone(),
            problem: format!(
                "did not answer within {} s when asked {}",
                DEADLINE.as_secs(),
                REVOCATION.what
            ),
        }),
    }
}
