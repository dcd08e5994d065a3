//! How openidconnect's requests are sent, and what their failures mean.

use std::{
    fmt::Display,
    sync::atomic::{AtomicU16, Ordering},
};

use openidconnect::{ErrorResponseType, RequestTokenError, StandardErrorResponse};

use super::OidcError;
use crate::{
    accepted::PinnedIdp,
    escape::Escaped,
    http::{self, HttpError},
};

/// What is asked of a provider, as messages name it.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    /// `for …` or `to …`.
    pub(super) what: &'static str,
    /// What the answer should have been.
    pub(super) answer: &'static str,
}

/// Sends openidconnect's requests and remembers the last status, which its errors do not tell.
pub(super) struct Transport<'a> {
    http: &'a reqwest::Client,
    asked: Asked,
    status: AtomicU16,
}

impl<'a> Transport<'a> {
    pub(super) fn new(http: &'a reqwest::Client, asked: Asked) -> Self {
        Self {
            http,
            asked,
            status: AtomicU16::new(0),
        }
    }

    /// The last answer's status; 0 while there is none.
    pub(super) fn status(&self) -> u16 {
        self.status.load(Ordering::Relaxed)
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

/// At the token and revocation endpoints any 4xx that is about the request is a refusal, whatever its words; all else that is no answer is an outage.
pub(super) fn request_error<T: ErrorResponseType + AsRef<str> + Display>(
    idp: &PinnedIdp,
    transport: &Transport<'_>,
    error: RequestTokenError<HttpError, StandardErrorResponse<T>>,
) -> OidcError {
    let (status, asked) = (transport.status(), transport.asked);
    match error {
        RequestTokenError::Request(error) => outage(idp, &error),
        // Too slow, too often, or a proxy that wants a password: nothing of it is about the token.
        _ if status >= 500 || [407, 408, 429].contains(&status) => OidcError::Outage {
            idp: idp.issuer.clone(),
            problem: format!("answers {status} when asked {}", asked.what),
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
            problem: format!("answers {status} with something that is no {}", asked.answer),
        },
    }
}

pub(super) fn outage(idp: &PinnedIdp, error: &HttpError) -> OidcError {
    OidcError::Outage {
        idp: idp.issuer.clone(),
        problem: format!("cannot be reached: {}", Escaped(&error.to_string())),
    }
}
