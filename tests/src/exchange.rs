//! The exchange by hand: a login at the real identity provider with a session key that the test holds, and requests to
//! the real issuer in which any single thing can be wrong.
//!
//! Written from section "The exchange" of the protocol alone, so it is also a second client beside the plugin.

use std::process::Command;

use fakes::{CsrKey, SessionKey, b64, sha256};
use gatepass_api::{Code, PROOF_HEADER, path};
use serde_json::{Value, json};
use url::Url;

use crate::http::Http;
use crate::idp::{CLIENT_ID, Idp, Provider, SCOPES};
use crate::issuer::Issuer;
use crate::parts::{asset, program, unix_time};
use crate::pki::Identity;
use rcgen::{CertificateParams, KeyPair};

/// One login: what a session consists of.
pub struct Login {
    /// The session key, and the salt of the nonce.
    pub keys: fakes::Login,
    /// The ID token that the login returned, also the login token.
    pub id_token: String,
    /// The access token.
    pub access_token: String,
    /// The refresh token.
    pub refresh_token: String,
}

/// What is sent to the issuer: a correct request until the test changes it.
pub struct Request {
    /// The proof's claims; `body` is filled in while it is null.
    pub claims: Value,
    /// The body.
    pub body: Value,
}

impl Login {
    /// Logs `user` in at `idp` with Gatepass's own client.
    pub fn new(idp: &Idp, user: &str) -> Self {
        Self::with(idp, user, CLIENT_ID, unix_time())
    }

    /// The same with another client of the provider, and with a login time that somebody chose.
    pub fn with(idp: &Idp, user: &str, client_id: &str, login_time: i64) -> Self {
        let keys = fakes::Login::new(login_time.unsigned_abs());
        let verifier = b64(fakes::salt(0));
        let redirect = "http://127.0.0.1/callback";
        let challenge = b64(sha256(&verifier));
        let query = [
            ("response_type", "code"),
            ("client_id", client_id),
            ("redirect_uri", redirect),
            ("scope", &SCOPES.join(" ")),
            ("prompt", "consent"),
            ("state", "the-test-is-its-own-browser"),
            ("nonce", &keys.nonce()),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let start = Url::parse_with_params(&format!("{}/auth", idp.issuer), query).expect("a URL");
        let out = Command::new(program("python3").expect("python3 is installed"))
            .arg(asset("idp/browser-http.py"))
            .args(["--user", user, "--ca"])
            .arg(&idp.ca_file)
            .args(["--no-deliver", start.as_str()])
            .output()
            .expect("the browser runs");
        let last: Value = serde_json::from_slice(&out.stdout).unwrap_or_else(|error| {
            panic!(
                "the browser failed ({error}): {}",
                String::from_utf8_lossy(&out.stderr)
            )
        });
        let landed = Url::parse(last["final"].as_str().expect("a final URL")).expect("a URL");
        let code = landed
            .query_pairs()
            .find(|(name, _)| name == "code")
            .expect("a code")
            .1
            .into_owned();
        let tokens = grant(
            idp,
            &[
                ("grant_type", "authorization_code"),
                ("client_id", client_id),
                ("redirect_uri", redirect),
                ("code", &code),
                ("code_verifier", &verifier),
            ],
        );
        let text = |name: &str| {
            tokens[name]
                .as_str()
                .unwrap_or_else(|| panic!("no {name} in {tokens}"))
                .to_owned()
        };
        let (id_token, access_token, refresh_token) =
            (text("id_token"), text("access_token"), text("refresh_token"));
        Self {
            keys,
            id_token,
            access_token,
            refresh_token,
        }
    }

    /// A correct request to `issuer` for a new credential.
    pub fn request(&self, issuer: &Issuer) -> Request {
        let mut claims =
            self.keys
                .proof_claims(&certificates(&issuer.url), &issuer.cluster_id, b"", unix_time());
        claims["body"].take();
        Request {
            claims,
            body: json!({"idToken": self.id_token, "csr": fakes::csr(CsrKey::P256)}),
        }
    }

    /// Asks `upstream`, one of the issuer's listeners, for a credential whose key is known here.
    pub fn credential_at(&self, upstream: &str, issuer: &Issuer) -> Result<Identity, Verdict> {
        let key = KeyPair::generate().expect("a key can be made");
        let csr = CertificateParams::default().serialize_request(&key);
        let csr = csr.and_then(|csr| csr.pem()).expect("a request can be made");
        let (proof, body) = self.request(issuer).member("csr", csr).signed(&self.keys.key);
        let verdict = post(&issuer.http, upstream, Some(&proof), body);
        match verdict.body["certificate"].as_str() {
            Some(certificate) => Ok(Identity {
                certificate: certificate.to_owned(),
                key: key.serialize_pem(),
                pin: String::new(),
            }),
            None => Err(verdict),
        }
    }

    /// Presents the refresh token, and gives the ID token that comes of it.
    pub fn refresh(&self, idp: &Idp) -> String {
        refresh(idp, &self.refresh_token)["id_token"]
            .as_str()
            .expect("an ID token")
            .to_owned()
    }
}

fn certificates(url: &str) -> String {
    format!("{url}{}", path::CERTIFICATES)
}

impl Request {
    /// Changes one claim of the proof.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }

    /// Changes one member of the body.
    #[must_use]
    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.body[name] = value.into();
        self
    }

    /// The proof and the body as they are sent.
    pub fn signed(&self, key: &SessionKey) -> (String, Vec<u8>) {
        let body = self.body.to_string().into_bytes();
        let mut claims = self.claims.clone();
        if claims["body"].is_null() {
            claims["body"] = b64(sha256(&body)).into();
        }
        (key.proof(&claims), body)
    }

    /// Signs with `key` and sends to `issuer`.
    pub fn send(&self, key: &SessionKey, issuer: &Issuer) -> Verdict {
        let (proof, body) = self.signed(key);
        post(&issuer.http, &issuer.url, Some(&proof), body)
    }
}

/// What the issuer said to a request.
#[derive(Debug)]
pub struct Verdict {
    /// The status.
    pub status: u16,
    /// The code of a refusal; empty for an issued certificate.
    pub code: String,
    /// The whole body.
    pub body: Value,
}

/// POSTs exactly these bytes to the certificates path below `url`.
pub fn post(http: &Http, url: &str, proof: Option<&str>, body: Vec<u8>) -> Verdict {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(proof.map(|proof| (PROOF_HEADER, proof)));
    let answer = http
        .send("POST", &certificates(url), &headers, body)
        .expect("the issuer answers");
    let body = answer.json();
    Verdict {
        status: answer.status,
        code: body["code"].as_str().unwrap_or_default().to_owned(),
        body,
    }
}

impl Verdict {
    /// The test fails unless a certificate was issued.
    #[track_caller]
    pub fn expect_issued(&self) -> &Value {
        assert_eq!(self.status, 201, "{}", self.body);
        &self.body
    }

    /// The test fails unless this was refused with `code` and its documented status.
    #[track_caller]
    pub fn expect_refused(&self, code: &Code) {
        assert_eq!(
            (self.code.as_str(), self.status),
            (code.as_str(), code.status()),
            "{}",
            self.body
        );
        assert!(
            self.body.get("certificate").is_none(),
            "a refusal carries no certificate"
        );
    }
}

/// Presents a refresh token: new tokens, or an OAuth error.
pub fn refresh(idp: &Provider, refresh_token: &str) -> Value {
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", CLIENT_ID),
        ("refresh_token", refresh_token),
    ];
    grant(idp, &form)
}

/// Presents something at the token endpoint.
pub fn grant(idp: &Provider, form: &[(&str, &str)]) -> Value {
    let body = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let http = Http::trusting(&idp.ca);
    let answer = http.send(
        "POST",
        &format!("{}/token", idp.issuer),
        &headers,
        body.into_bytes(),
    );
    answer.expect("the identity provider answers").json()
}
