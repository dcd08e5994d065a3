//! The exchange by hand: a login at the real identity provider with a session key that the test holds, and requests to
//! the real issuer in which any single thing can be wrong.
//!
//! Written from section "The exchange" of the protocol alone, so it is also a second client beside the plugin.

use std::process::Command;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatepass_api::{PROOF_HEADER, Salt, path};
use serde_json::{Value, json};
use url::Url;

use crate::http::{Answer, Http};
use crate::idp::{Idp, SCOPES};
use crate::issuer::Issuer;
use crate::parts::{asset, program, unix_time};

/// A session key in the test's own hands.
pub struct SessionKey(EcdsaKeyPair);

impl SessionKey {
    /// A new one.
    pub fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key can be made"))
    }

    /// The public key as a JWK.
    pub fn jwk(&self) -> Value {
        let point = self.0.public_key().as_ref();
        json!({"crv": "P-256", "kty": "EC", "x": b64(&point[1..33]), "y": b64(&point[33..])})
    }

    /// RFC 7638 thumbprint: SHA-256 over the members above in this order, which is the alphabet's.
    pub fn thumbprint(&self) -> String {
        b64(digest(&SHA256, self.jwk().to_string().as_bytes()).as_ref())
    }

    /// The nonce that binds a token to this key and `salt`.
    pub fn nonce(&self, salt: &Salt) -> String {
        b64(digest(&SHA256, &salt.commitment_preimage(&self.thumbprint())).as_ref())
    }

    /// A compact JWS.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let input = format!(
            "{}.{}",
            b64(header.to_string().as_bytes()),
            b64(claims.to_string().as_bytes())
        );
        let signature = self
            .0
            .sign(&SystemRandom::new(), input.as_bytes())
            .expect("a signature can be made");
        format!("{input}.{}", b64(signature.as_ref()))
    }
}

impl Default for SessionKey {
    fn default() -> Self {
        Self::new()
    }
}

/// One login: what a session consists of.
pub struct Login {
    /// The session key.
    pub key: SessionKey,
    /// The salt of the nonce.
    pub salt: Salt,
    /// The ID token that the login returned, also the login token.
    pub id_token: String,
    /// The access token.
    pub access_token: String,
    /// The refresh token.
    pub refresh_token: String,
}

/// What is sent to the issuer: a correct request until the test changes it.
pub struct Request {
    /// The proof's header.
    pub header: Value,
    /// The proof's claims; `body` is filled in when it is missing.
    pub claims: Value,
    /// The body.
    pub body: Value,
}

impl Login {
    /// Logs `user` in at `idp` with Gatepass's own client.
    pub fn new(idp: &Idp, user: &str) -> Self {
        Self::with(idp, user, crate::idp::CLIENT_ID, unix_time())
    }

    /// The same with another client of the provider, and with a login time that somebody chose.
    pub fn with(idp: &Idp, user: &str, client_id: &str, login_time: i64) -> Self {
        let key = SessionKey::new();
        let salt = Salt::new(login_time.unsigned_abs(), random());
        let verifier = b64(&random::<32>());
        let redirect = "http://127.0.0.1/callback";
        let challenge = b64(digest(&SHA256, verifier.as_bytes()).as_ref());
        let query = [
            ("response_type", "code"),
            ("client_id", client_id),
            ("redirect_uri", redirect),
            ("scope", &SCOPES.join(" ")),
            ("prompt", "consent"),
            ("state", "the-test-is-its-own-browser"),
            ("nonce", &key.nonce(&salt)),
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
            key,
            salt,
            id_token,
            access_token,
            refresh_token,
        }
    }

    /// A correct request to `issuer` for a new credential.
    pub fn request(&self, issuer: &Issuer) -> Request {
        self.request_signed_by(&self.key, issuer)
    }

    /// The same request with another session key: everything that is not bound to the key is right.
    pub fn request_signed_by(&self, key: &SessionKey, issuer: &Issuer) -> Request {
        Request {
            header: json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": key.jwk()}),
            claims: json!({
                "htm": "POST",
                "htu": format!("{}{}", issuer.url, path::CERTIFICATES),
                "iat": unix_time(),
                "jti": b64(&random::<16>()),
                "cluster": issuer.cluster_id,
                "salt": b64(self.salt.as_bytes()),
            }),
            body: json!({"idToken": self.id_token, "csr": csr()}),
        }
    }
}

impl Request {
    /// Changes one claim of the proof; null removes it.
    #[must_use]
    pub fn claim(mut self, name: &str, value: Value) -> Self {
        self.claims[name] = value;
        self
    }

    /// Changes one member of the body.
    #[must_use]
    pub fn member(mut self, name: &str, value: Value) -> Self {
        self.body[name] = value;
        self
    }

    /// The proof and the body as they are sent.
    pub fn signed(&self, key: &SessionKey) -> (String, Vec<u8>) {
        let body = self.body.to_string().into_bytes();
        let mut claims = self.claims.clone();
        if claims.get("body").is_none() {
            claims["body"] = json!(b64(digest(&SHA256, &body).as_ref()));
        }
        (key.sign(&self.header, &claims), body)
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
    let url = format!("{url}{}", path::CERTIFICATES);
    let answer: Answer = http
        .send("POST", &url, &headers, body)
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
    pub fn expect_refused(&self, code: &gatepass_api::Code) {
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

/// Presents something at the token endpoint.
pub fn grant(idp: &Idp, form: &[(&str, &str)]) -> Value {
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

/// A request for a new P-256 key, which is thrown away: nobody uses these certificates.
pub fn csr() -> String {
    let key = rcgen::KeyPair::generate().expect("a key can be made");
    let params = rcgen::CertificateParams::default();
    params
        .serialize_request(&key)
        .and_then(|csr| csr.pem())
        .expect("a request can be made")
}

/// Base64url without padding.
pub fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the system has randomness");
    bytes
}
