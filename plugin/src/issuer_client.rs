//! Speaks to a cluster's issuer.

use aws_lc_rs::rand::SystemRandom;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use gatepass_api::{
    CertificateRequest, CertificateResponse, ClusterInfo, Code, LogoutRequest, PROOF_HEADER, Problem,
    ProofClaims, Salt, path,
};
use std::time::{Duration as StdDuration, Instant};

use reqwest::{Client, Response, header};
use serde::Serialize;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    clock::Clock,
    escape::Escaped,
    http::{self, HttpError},
    keys::{KeyError, SessionKey, random, sha256_base64url},
    settings::IssuerUrl,
};

/// Pauses between the tries of one request. An issuer that restarts is back, or another replica answers, in that time;
/// asking twice is safe, because a second certificate is for another key and gains nobody anything.
const PAUSES: [StdDuration; 3] = [
    StdDuration::from_millis(100),
    StdDuration::from_millis(400),
    StdDuration::from_millis(1200),
];
/// After so long no further try is begun: somebody waits.
const PATIENCE: StdDuration = StdDuration::from_secs(10);

/// Clocks that differ by more are no clocks.
pub const LARGEST_OFFSET: Duration = Duration::days(366);

/// The issuer gave no certificate.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// It did not answer, or not intelligibly.
    #[error("the issuer {url} cannot be reached: {source}")]
    Unreachable {
        /// Who was asked.
        url: IssuerUrl,
        /// Why.
        source: HttpError,
    },
    /// It, or something before it, answered with a 5xx that is none of its own.
    #[error("the issuer {url} cannot answer now: HTTP status {status}")]
    Outage {
        /// Who was asked.
        url: IssuerUrl,
        /// What it said.
        status: u16,
    },
    /// It answered something else than the protocol.
    #[error("{url} does not answer as a Gatepass issuer: {problem}")]
    Nonsense {
        /// Who was asked.
        url: IssuerUrl,
        /// What was odd.
        problem: String,
    },
    /// It answered under another URL than it was asked.
    #[error("the issuer at {asked} says that its URL is {}", Escaped(.answered))]
    OtherUrl {
        /// The URL that was asked.
        asked: IssuerUrl,
        /// The URL in the answer.
        answered: String,
    },
    /// It does not know the request: it is older than this program.
    #[error("the issuer {0} is of a version that cannot end sessions")]
    NoLogout(IssuerUrl),
    /// It refused.
    #[error("{}", refusal(.0))]
    Refused(Box<Refusal>),
    /// Something failed here.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A refusal and the clock of the issuer that gave it.
#[derive(Debug)]
pub struct Refusal {
    /// What the issuer said.
    pub problem: Problem,
    /// The issuer's clock minus ours.
    pub offset: Option<Duration>,
}

impl Refusal {
    /// When a login begins to help against a revocation; RFC 3339, as it came.
    pub fn login_after(&self) -> Option<&str> {
        let revoked = self.problem.code == Code::Revoked;
        self.problem.login_after.as_deref().filter(|_| revoked)
    }
}

fn refusal(Refusal { problem, .. }: &Refusal) -> String {
    let (sentence, _) = crate::advice::of(&problem.code);
    format!(
        "{sentence} ({}, request {}): {}",
        problem.code,
        Escaped(&problem.request_id),
        Escaped(&problem.detail)
    )
}

/// A connection to one issuer.
pub struct IssuerClient<'a> {
    url: &'a IssuerUrl,
    http: Client,
    clock: &'a dyn Clock,
}

/// What one request with a proof is made of.
pub struct Ask<'a, Body = CertificateRequest> {
    /// Id of the cluster, as pinned.
    pub cluster: &'a str,
    /// The session's key.
    pub key: &'a SessionKey,
    /// The session's salt.
    pub salt: &'a Salt,
    /// The issuer's clock minus ours.
    pub offset: Duration,
    /// The body.
    pub request: &'a Body,
}

impl<'a> IssuerClient<'a> {
    /// `ca` as in [`http::client`].
    pub fn new(url: &'a IssuerUrl, ca: Option<&str>, clock: &'a dyn Clock) -> Result<Self, IssuerError> {
        let http = http::client(ca).map_err(|source| IssuerError::Unreachable {
            url: url.clone(),
            source,
        })?;
        Ok(Self { url, http, clock })
    }

    /// Who is asked.
    pub fn url(&self) -> &IssuerUrl {
        self.url
    }

    /// Asks which cluster this is; also says how far the issuer's clock is ahead of ours.
    pub async fn cluster(&self) -> Result<(ClusterInfo, Duration), IssuerError> {
        self.patiently(async || self.ask_cluster().await).await
    }

    /// Asks for a certificate.
    pub async fn certificate(&self, ask: &Ask<'_>) -> Result<(CertificateResponse, Duration), IssuerError> {
        // Each try has a proof of its own, with its own time.
        self.patiently(async || self.ask_certificate(ask).await).await
    }

    /// Has the issuer end the session; `Ok` also where it had ended before.
    pub async fn logout(&self, ask: &Ask<'_, LogoutRequest>) -> Result<(), IssuerError> {
        self.patiently(async || self.ask_logout(ask).await).await
    }

    /// Tries again where the issuer, or what stands before it, is away for a moment.
    async fn patiently<T>(&self, once: impl AsyncFn() -> Result<T, IssuerError>) -> Result<T, IssuerError> {
        let begin = Instant::now();
        for pause in PAUSES {
            match once().await {
                Err(error) if error.may_pass() && begin.elapsed() < PATIENCE => {
                    tracing::info!(%error, "asking the issuer again in a moment");
                    // Fifty programs that lost the same issuer do not come back at the same instant.
                    let jitter = u32::from(random::<1>(&SystemRandom::new())?[0]);
                    tokio::time::sleep(pause + pause * jitter / 510).await;
                }
                answer => return answer,
            }
        }
        once().await
    }

    async fn ask_cluster(&self) -> Result<(ClusterInfo, Duration), IssuerError> {
        let request = self.http.get(format!("{}{}", self.url, path::CLUSTER));
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(error.into()))?;
        let (status, body) = self.read(response).await?;
        if status != 200 {
            return Err(self.refused(status, &body));
        }
        let info: ClusterInfo =
            serde_json::from_slice(&body).map_err(|error| self.nonsense(error.to_string()))?;
        if info.url != self.url.as_str() {
            return Err(IssuerError::OtherUrl {
                asked: self.url.clone(),
                answered: info.url,
            });
        }
        let offset = self
            .offset(&info.server_time)
            .ok_or_else(|| self.nonsense("serverTime is no plausible time".into()))?;
        Ok((info, offset))
    }

    async fn ask_certificate(&self, ask: &Ask<'_>) -> Result<(CertificateResponse, Duration), IssuerError> {
        let (status, body) = self.post(path::CERTIFICATES, ask).await?;
        if status != 201 {
            return Err(self.refused(status, &body));
        }
        let answer: CertificateResponse =
            serde_json::from_slice(&body).map_err(|error| self.nonsense(error.to_string()))?;
        let offset = self
            .offset(&answer.server_time)
            .ok_or_else(|| self.nonsense("serverTime is no plausible time".into()))?;
        Ok((answer, offset))
    }

    async fn ask_logout(&self, ask: &Ask<'_, LogoutRequest>) -> Result<(), IssuerError> {
        let (status, body) = self.post(path::LOGOUT, ask).await?;
        match status {
            204 => Ok(()),
            404 | 405 => Err(IssuerError::NoLogout(self.url.clone())),
            _ => match self.refused(status, &body) {
                error if matches!(error.code(), Some(Code::SessionEnded | Code::Revoked)) => Ok(()),
                error => Err(error),
            },
        }
    }

    /// Sends a body with a proof of the session's key over it.
    async fn post<Body: Serialize>(
        &self,
        path: &str,
        ask: &Ask<'_, Body>,
    ) -> Result<(u16, Vec<u8>), IssuerError> {
        let body = serde_json::to_vec(ask.request).map_err(|error| self.nonsense(error.to_string()))?;
        let htu = format!("{}{path}", self.url);
        let claims = ProofClaims {
            htm: "POST".into(),
            htu: htu.clone(),
            iat: (self.clock.now() + ask.offset).unix_timestamp(),
            jti: URL_SAFE_NO_PAD.encode(random::<16>(&SystemRandom::new())?),
            cluster: ask.cluster.into(),
            salt: URL_SAFE_NO_PAD.encode(ask.salt.as_bytes()),
            body: sha256_base64url(&body),
        };
        let request = self
            .http
            .post(htu)
            .header(header::CONTENT_TYPE, "application/json")
            .header(PROOF_HEADER, ask.key.proof(&claims)?)
            .body(body);
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(error.into()))?;
        self.read(response).await
    }

    async fn read(&self, response: Response) -> Result<(u16, Vec<u8>), IssuerError> {
        let status = response.status().as_u16();
        tracing::debug!(issuer = %self.url, path = response.url().path(), status, "asked the issuer");
        Ok((
            status,
            http::read(response)
                .await
                .map_err(|error| self.unreachable(error))?,
        ))
    }

    /// The issuer's clock minus ours. Seconds of travel do not matter: leeways are 30 s and more.
    fn offset(&self, server_time: &str) -> Option<Duration> {
        let server = OffsetDateTime::parse(server_time, &Rfc3339).ok()?;
        let offset = Duration::seconds((server - self.clock.now()).whole_seconds());
        (offset.abs() <= LARGEST_OFFSET).then_some(offset)
    }

    fn refused(&self, status: u16, body: &[u8]) -> IssuerError {
        match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => {
                let offset = self.offset(&problem.server_time);
                IssuerError::Refused(Box::new(Refusal { problem, offset }))
            }
            Err(_) if status >= 500 => IssuerError::Outage {
                url: self.url.clone(),
                status,
            },
            Err(_) => self.nonsense(format!("HTTP status {status} without a problem document")),
        }
    }

    fn unreachable(&self, source: HttpError) -> IssuerError {
        IssuerError::Unreachable {
            url: self.url.clone(),
            source,
        }
    }

    fn nonsense(&self, problem: String) -> IssuerError {
        IssuerError::Nonsense {
            url: self.url.clone(),
            problem,
        }
    }
}

impl IssuerError {
    /// Whether asking again in a moment may help.
    fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } => source.may_pass(),
            Self::Outage { .. } => true,
            Self::Refused(refusal) => refusal.problem.code.status() >= 500,
            Self::Nonsense { .. } | Self::OtherUrl { .. } | Self::NoLogout(_) | Self::Key(_) => false,
        }
    }

    /// Whether the issuer refused what it was shown, and would refuse it again: neither that it cannot issue now nor that it
    /// gets too much says so.
    pub fn is_verdict(&self) -> bool {
        self.code()
            .is_some_and(|code| code.status() < 500 && *code != Code::RateLimited)
    }

    /// When a login begins to help against a revocation, in Unix seconds by the issuer's clock.
    pub fn login_after(&self) -> Option<i64> {
        match self {
            Self::Refused(refusal) => {
                let after = OffsetDateTime::parse(refusal.login_after()?, &Rfc3339).ok()?;
                Some(after.unix_timestamp())
            }
            _ => None,
        }
    }

    /// The code of a refusal.
    pub fn code(&self) -> Option<&Code> {
        match self {
            Self::Refused(refusal) => Some(&refusal.problem.code),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;
    use crate::{clock::SystemClock, run::wait_for};

    /// How often one question knocks at a listener that gives no answer: it closes each connection, or keeps it.
    fn knocks(keeps: bool) -> usize {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = IssuerUrl::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
        let watched = listener.try_clone().unwrap();
        let counting = thread::spawn(move || {
            let mut kept = Vec::new();
            let mut knocks = 0;
            // The last one is the test itself, which sends what no client does.
            for mut stream in watched.incoming().flatten() {
                let mut first = [0];
                let _ = std::io::Read::read(&mut stream, &mut first);
                if first == *b"!" {
                    return knocks;
                }
                knocks += 1;
                if keeps {
                    kept.push(stream);
                }
            }
            knocks
        });
        let client = IssuerClient::new(&url, None, &SystemClock).unwrap();
        let asked = wait_for(async { Ok(client.cluster().await?) });
        assert!(matches!(
            asked,
            Err(crate::error::Error::Issuer(IssuerError::Unreachable { .. }))
        ));
        let mut end = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        std::io::Write::write_all(&mut end, b"!").unwrap();
        counting.join().unwrap()
    }

    #[test]
    fn who_closes_the_door_is_asked_again_and_who_is_silent_is_not() {
        assert_eq!(knocks(false), 1 + PAUSES.len());
        assert_eq!(knocks(true), 1);
    }

    #[test]
    fn only_what_an_issuer_would_say_again_is_a_verdict_on_what_it_was_shown() {
        let refused = |code: &str| {
            let problem = serde_json::json!({
                "type": "t", "title": "t", "status": 403, "code": code, "detail": "d", "requestId": "r", "serverTime": "s",
            });
            let problem = serde_json::from_value(problem).unwrap();
            IssuerError::Refused(Box::new(Refusal {
                problem,
                offset: None,
            }))
        };
        for code in ["no_rule", "revoked", "session_ended", "binding_missing"] {
            assert!(refused(code).is_verdict(), "{code}");
        }
        for code in ["audit_unavailable", "idp_unavailable", "internal", "rate_limited"] {
            assert!(!refused(code).is_verdict(), "{code}");
        }
    }
}
