//! The identity provider: discovery, authorization code with PKCE, refresh. The protocol is `openidconnect`'s.

pub mod browser;
pub mod loopback;
pub mod page;
mod revoke;
mod transport;

use gatepass_api::Token;
use openidconnect::{
    AdditionalProviderMetadata, AuthenticationFlow, AuthorizationCode, ClientId, CsrfToken, EndpointMaybeSet,
    EndpointNotSet, EndpointSet, IssuerUrl, Nonce, OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier,
    ProviderMetadata, RedirectUrl, RefreshToken, Scope, TokenResponse as _, TokenUrl,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreClaimName, CoreClaimType, CoreClient, CoreClientAuthMethod,
        CoreGrantType, CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKey, CoreJsonWebKeySet,
        CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm, CoreResponseMode, CoreResponseType,
        CoreSubjectIdentifierType, CoreTokenResponse,
    },
};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{accepted::PinnedIdp, escape::Escaped, http};

pub use revoke::revoke;
use transport::{Asked, Transport, outage, request_error};

/// What can go wrong at the identity provider.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// No answer, or a 5xx: an outage. Everything is kept.
    #[error("the identity provider {idp} {problem}")]
    Outage {
        /// Which provider.
        idp: String,
        /// What it did.
        problem: String,
    },
    /// Its metadata cannot be used.
    #[error("the identity provider {idp} cannot be used: {problem}")]
    Metadata {
        /// Which provider.
        idp: String,
        /// What is wrong.
        problem: String,
    },
    /// It refused, in OAuth's words.
    #[error("the identity provider {idp} refused: {reason}")]
    Refused {
        /// Which provider.
        idp: String,
        /// `error` and `error_description`, escaped.
        reason: String,
    },
    /// Its tokens fail a check.
    #[error("the identity provider {idp} returned tokens that cannot be used: {problem}")]
    Token {
        /// Which provider.
        idp: String,
        /// Which check.
        problem: String,
    },
    /// The redirect came from somebody else (RFC 9207 section 2.4).
    #[error("the login's answer does not come from the identity provider {idp} that was asked: {problem}")]
    MixUp {
        /// Which provider was asked.
        idp: String,
        /// What was odd.
        problem: &'static str,
    },
}

impl OidcError {
    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Outage { .. } => "try again; what this machine keeps is untouched",
            Self::Metadata { .. } => "ask whoever runs the identity provider or the issuer",
            Self::Refused { .. } => {
                "try again with the right account, or ask whoever runs the identity provider"
            }
            Self::Token { .. } => "ask whoever runs the identity provider; nothing was stored",
            Self::MixUp { .. } => {
                "nothing was stored; look at what else the browser had open, and report it if it repeats"
            }
        }
    }
}

const METADATA: Asked = Asked {
    what: "for its metadata",
    answer: "metadata",
};
const TOKENS: Asked = Asked {
    what: "for tokens",
    answer: "token response",
};

/// Metadata beyond openidconnect's own list.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Extra {
    /// RFC 9207 section 3.
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    /// RFC 8414 section 2. Text, so that a wrong one does not stop a login.
    #[serde(default)]
    revocation_endpoint: Option<String>,
}

impl AdditionalProviderMetadata for Extra {}

type Metadata = ProviderMetadata<
    Extra,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;

type DiscoveredClient = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What a login or a refresh returned.
pub struct Tokens {
    /// The ID token and what the checks say of it; `None` where a refresh returned none.
    pub id_token: Option<Result<CheckedIdToken, OidcError>>,
    /// The refresh token, where there is a new one. It must be kept whatever is wrong with the ID token: the old one is
    /// spent, and using it again may end the session.
    pub refresh_token: Option<Token>,
}

/// An ID token of the expected issuer and audience.
pub struct CheckedIdToken {
    /// The token.
    pub token: Token,
    /// `iat`, Unix seconds.
    pub iat: i64,
    /// `sub`.
    pub subject: String,
    /// What to call the person on a page or a terminal; unescaped.
    pub display_name: String,
    /// Whether it carries the expected nonce.
    pub has_nonce: bool,
}

/// An identity provider whose metadata was fetched.
pub struct Provider {
    idp: PinnedIdp,
    http: reqwest::Client,
    client: DiscoveredClient,
    token_endpoint: String,
    revocation_endpoint: Option<String>,
    names_itself: bool,
}

/// A login that was begun.
pub struct Authorization {
    /// What to open in a browser.
    pub url: Url,
    /// What the redirect must carry.
    pub state: String,
    verifier: PkceCodeVerifier,
    redirect: RedirectUrl,
    nonce: String,
}

/// The redirect's parameters, after `state` was found to be right.
pub struct Redirect {
    /// `code`, or `error` and `error_description`.
    pub outcome: Result<String, String>,
    /// `iss` (RFC 9207).
    pub iss: Option<String>,
}

impl Provider {
    /// Fetches metadata and keys; endpoints come from nowhere else.
    pub async fn discover(idp: &PinnedIdp, ca: Option<&str>) -> Result<Self, OidcError> {
        let metadata_error = |problem: String| OidcError::Metadata {
            idp: idp.issuer.clone(),
            problem,
        };
        let issuer = IssuerUrl::new(idp.issuer.clone()).map_err(|error| metadata_error(error.to_string()))?;
        let http = http::client(ca).map_err(|error| outage(idp, &error))?;
        let transport = Transport::new(&http, METADATA);
        // openidconnect compares the metadata's `issuer` with the one asked (OpenID Connect Discovery section 4.3).
        let metadata = Metadata::discover_async(issuer, &|request| transport.send(request)).await;
        let metadata = metadata.map_err(|error| match error {
            openidconnect::DiscoveryError::Request(error) => outage(idp, &error),
            openidconnect::DiscoveryError::Response(status, ..) if status.is_server_error() => {
                OidcError::Outage {
                    idp: idp.issuer.clone(),
                    problem: format!("answers {status} when asked for its metadata"),
                }
            }
            openidconnect::DiscoveryError::Response(status, ..) if status.is_success() => {
                metadata_error("it answers with something that is no metadata".into())
            }
            openidconnect::DiscoveryError::Response(status, ..) => {
                metadata_error(format!("it answers {status} when asked for its metadata"))
            }
            openidconnect::DiscoveryError::Validation(problem) => {
                metadata_error(Escaped(&problem).to_string())
            }
            _ => metadata_error("its metadata or key set is not in the expected form".into()),
        })?;
        let endpoints = [
            Some(metadata.authorization_endpoint().url()),
            metadata.token_endpoint().map(TokenUrl::url),
        ];
        if endpoints.iter().flatten().any(|url| url.scheme() != "https") {
            return Err(metadata_error(
                "its metadata names an endpoint that is not https".into(),
            ));
        }
        let token_endpoint = metadata
            .token_endpoint()
            .ok_or_else(|| metadata_error("it has no token endpoint".into()))?;
        Ok(Self {
            idp: idp.clone(),
            token_endpoint: token_endpoint.to_string(),
            revocation_endpoint: revoke::usable(
                metadata.additional_metadata().revocation_endpoint.as_deref(),
            ),
            names_itself: metadata
                .additional_metadata()
                .authorization_response_iss_parameter_supported,
            client: CoreClient::from_provider_metadata(metadata, ClientId::new(idp.client_id.clone()), None),
            http,
        })
    }

    /// Where refreshes go.
    pub fn token_endpoint(&self) -> &str {
        &self.token_endpoint
    }

    /// Where a logout revokes the refresh token, if anywhere.
    pub fn revocation_endpoint(&self) -> Option<&str> {
        self.revocation_endpoint.as_deref()
    }

    /// Begins an authorization code login with PKCE S256 (RFC 7636).
    pub fn authorize(&self, redirect: &Url, nonce: String) -> Authorization {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let redirect = RedirectUrl::from_url(redirect.clone());
        let expected = Nonce::new(nonce.clone());
        let mut request = self
            .client
            .authorize_url(
                AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
                CsrfToken::new_random,
                || expected,
            )
            .set_redirect_uri(std::borrow::Cow::Borrowed(&redirect))
            .set_pkce_challenge(challenge);
        for scope in self.idp.scopes.iter().filter(|scope| *scope != "openid") {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        if self.idp.scopes.iter().any(|scope| scope == "offline_access") {
            // Without it the provider ignores the scope (OpenID Connect Core section 11).
            request = request.add_prompt(CoreAuthPrompt::Consent);
        }
        let (url, state, _) = request.url();
        Authorization {
            url,
            state: state.secret().clone(),
            verifier,
            redirect,
            nonce,
        }
    }

    /// Redeems the code that the redirect brought.
    pub async fn redeem(
        &self,
        authorization: Authorization,
        redirect: Redirect,
    ) -> Result<(CheckedIdToken, Option<Token>), OidcError> {
        let mix_up = |problem| OidcError::MixUp {
            idp: self.idp.issuer.clone(),
            problem,
        };
        match &redirect.iss {
            Some(iss) if *iss != self.idp.issuer => return Err(mix_up("its iss parameter names another")),
            None if self.names_itself => return Err(mix_up("its iss parameter is missing")),
            _ => {}
        }
        let code = redirect.outcome.map_err(|reason| OidcError::Refused {
            idp: self.idp.issuer.clone(),
            reason,
        })?;
        let transport = Transport::new(&self.http, TOKENS);
        let request = self.client.exchange_code(AuthorizationCode::new(code));
        let request = request.map_err(|error| self.token_error(error.to_string()))?;
        let response = request
            .set_redirect_uri(std::borrow::Cow::Borrowed(&authorization.redirect))
            .set_pkce_verifier(authorization.verifier)
            .request_async(&|request| transport.send(request))
            .await
            .map_err(|error| request_error(&self.idp, &transport, error))?;
        let verifier = self.client.id_token_verifier().allow_any_alg();
        let tokens = check(&self.idp, &response, verifier, &authorization.nonce);
        let id_token = tokens
            .id_token
            .ok_or_else(|| self.token_error("there is no ID token among them".into()))??;
        if !id_token.has_nonce {
            return Err(
                self.token_error("the ID token lacks the nonce, so it is not bound to this machine".into())
            );
        }
        Ok((id_token, tokens.refresh_token))
    }

    fn token_error(&self, problem: String) -> OidcError {
        OidcError::Token {
            idp: self.idp.issuer.clone(),
            problem,
        }
    }
}

/// Redeems a refresh token at the endpoint that the login's metadata named. One request.
pub async fn refresh(
    idp: &PinnedIdp,
    ca: Option<&str>,
    token_endpoint: &str,
    refresh_token: &Token,
    nonce: &str,
) -> Result<Tokens, OidcError> {
    let wrong = |error: url::ParseError| OidcError::Metadata {
        idp: idp.issuer.clone(),
        problem: error.to_string(),
    };
    let http = http::client(ca).map_err(|error| outage(idp, &error))?;
    let issuer = IssuerUrl::new(idp.issuer.clone()).map_err(wrong)?;
    let client = CoreClient::new(
        ClientId::new(idp.client_id.clone()),
        issuer,
        CoreJsonWebKeySet::default(),
    )
    .set_token_uri(TokenUrl::new(token_endpoint.to_owned()).map_err(wrong)?);
    let transport = Transport::new(&http, TOKENS);
    let response = client
        .exchange_refresh_token(&RefreshToken::new(refresh_token.expose().to_owned()))
        .request_async(&|request| transport.send(request))
        .await
        .map_err(|error| request_error(idp, &transport, error))?;
    // The token came straight from the provider over TLS (OpenID Connect Core section 3.1.3.7, point 6), and the
    // issuer verifies its signature next: fetching the key set here would be a third request for nothing.
    let verifier = client
        .id_token_verifier()
        .allow_any_alg()
        .insecure_disable_signature_check();
    Ok(check(idp, &response, verifier, nonce))
}

/// Checks issuer, audience and nonce; a missing nonce is the caller's business, a wrong one never is. When a token ends
/// is judged by the issuer, with its own clock.
fn check(
    idp: &PinnedIdp,
    response: &CoreTokenResponse,
    verifier: CoreIdTokenVerifier<'_>,
    nonce: &str,
) -> Tokens {
    let refresh_token = response
        .refresh_token()
        .map(|token| Token::new(token.secret().clone()));
    let id_token = response
        .id_token()
        .map(|id_token| check_id_token(idp, id_token, verifier, nonce));
    Tokens {
        id_token,
        refresh_token,
    }
}

fn check_id_token(
    idp: &PinnedIdp,
    id_token: &CoreIdToken,
    verifier: CoreIdTokenVerifier<'_>,
    nonce: &str,
) -> Result<CheckedIdToken, OidcError> {
    let verifier = verifier
        .set_time_fn(|| chrono::DateTime::UNIX_EPOCH)
        // The issuer judges further audiences by `azp`; here ours must be among them.
        .set_other_audience_verifier_fn(|_| true);
    let right_or_missing = |found: Option<&Nonce>| match found {
        Some(found) if found.secret() != nonce => Err("the nonce is that of another login".to_owned()),
        _ => Ok(()),
    };
    let claims = id_token
        .claims(&verifier, right_or_missing)
        .map_err(|error| OidcError::Token {
            idp: idp.issuer.clone(),
            problem: Escaped(&error.to_string()).to_string(),
        })?;
    let display_name = claims.preferred_username().map(|name| name.as_str());
    let display_name = display_name.or_else(|| claims.email().map(|email| email.as_str()));
    Ok(CheckedIdToken {
        token: Token::new(id_token.to_string()),
        iat: claims.issue_time().timestamp(),
        subject: claims.subject().to_string(),
        display_name: display_name.unwrap_or(claims.subject()).to_owned(),
        has_nonce: claims.nonce().is_some(),
    })
}

#[cfg(test)]
mod tests;
