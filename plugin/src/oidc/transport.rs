//! How openidconnect's requests are sent, and what their failures mean.

use std::sync::atomic::{AtomicU16, Ordering};

use openidconnect::{RequestTokenError, core::CoreErrorResponseType};

use super::OidcError;
use crate::{
    accepted::PinnedIdp,
    escape::Escaped,
    http::{self, HttpError},
};

/// Sends openidconnect's requests and remembers the last status, which its errors do not tell.
pub(super) struct Transport<'a> {
    http: &'a reqwest::Client,
    status: AtomicU16,
}

impl<'a> Transport<'a> {
    pub(super) fn new(http: &'a reqwest::Client) -> Self {
        Self {
            http,
            status: AtomicU16::new(0),
        }
    }

    pub(super) async fn send(
        &self,
        request: openidconnect::HttpRequest,
    ) -> Result<openidconnect::HttpResponse, HttpError> {
        let response = http::send(self.http, request).await?;
        self.status.store(response.status().as_u16(), Ordering::Relaxed);
        Ok(response)
    }
}

type TokenRequestError =
    RequestTokenError<HttpError, openidconnect::StandardErrorResponse<CoreErrorResponseType>>;

/// At the token endpoint any 4xx is a refusal, whatever its words; all else that is no answer is an outage.
pub(super) fn token_request_error(
    idp: &PinnedIdp,
    transport: &Transport<'_>,
    error: TokenRequestError,
) -> OidcError {
    let status = transport.status.load(Ordering::Relaxed);
    match error {
        RequestTokenError::Request(error) => outage(idp, &error),
        _ if status >= 500 => OidcError::Outage {
            idp: idp.issuer.clone(),
            problem: format!("answers {status} when asked for tokens"),
        },
        RequestTokenError::ServerResponse(response) => {
            let description = response
                .error_description()
                .map(|text| format!(": {text}"))
                .unwrap_or_default();
            let reason = format!("{}{description}", response.error().as_ref());
            OidcError::Refused {
                idp: idp.issuer.clone(),
                reason: Escaped(&reason).to_string(),
            }
        }
        _ if (400..500).contains(&status) => OidcError::Refused {
            idp: idp.issuer.clone(),
            reason: format!("HTTP status {status}"),
        },
        // The body may hold tokens: nothing of it is shown.
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => OidcError::Outage {
            idp: idp.issuer.clone(),
            problem: format!("answers {status} with something that is no token response"),
        },
    }
}

pub(super) fn outage(idp: &PinnedIdp, error: &HttpError) -> OidcError {
    OidcError::Outage {
        idp: idp.issuer.clone(),
        problem: format!("cannot be reached: {}", Escaped(&error.to_string())),
    }
}
