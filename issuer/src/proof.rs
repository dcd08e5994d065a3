//! The proof: a signed statement over one request, by the session key (RFC 9449, with our own claims).

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use data_encoding::BASE64URL_NOPAD;
use gatepass_api::{PROOF_TYPE, SALT_LEN, Salt, limit};
use serde_json::{Map, Value};

use crate::id_token::keys::ec_point;
use crate::jws::{self, UnverifiedJws};

/// How far a proof's `iat` may lie from the issuer's clock, either way.
const MAX_AGE: i64 = 60;

/// Why a proof is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// None was sent.
    #[error("the request has no header `DPoP`")]
    Missing,
    /// More than one was sent.
    #[error("the request has more than one header `DPoP`")]
    Several,
    /// Longer than [`limit::PROOF`].
    #[error("the proof is longer than 8 KiB")]
    TooLarge,
    /// `jti` is longer than [`limit::JTI`].
    #[error("the proof's `jti` is longer than 256 bytes")]
    IdTooLarge,
    /// Not an acceptable JWS.
    #[error("the proof is malformed: {0}")]
    Malformed(#[from] jws::Error),
    /// A header member is not what a proof has.
    #[error("the proof is malformed: header `{0}` is not as it must be")]
    Header(&'static str),
    /// A claim is missing or has the wrong type.
    #[error("the proof is malformed: claim `{0}` is missing or not as it must be")]
    Claim(&'static str),
    /// Not signed by the key in its header.
    #[error("the proof is not signed by the key in its header")]
    BadSignature,
    /// `htm` is another method.
    #[error("the proof's `htm` is not this request's method")]
    WrongMethod,
    /// `htu` is another URL.
    #[error("the proof's `htu` is not this issuer's URL and path")]
    WrongUrl,
    /// `cluster` is another cluster.
    #[error("the proof's `cluster` is not this cluster's id")]
    WrongCluster,
    /// `body` is the digest of another body.
    #[error("the proof's `body` is not the digest of this request's body")]
    WrongBody,
    /// `iat` is more than 60 s off.
    #[error("the proof's `iat` is more than 60 s from the issuer's time")]
    NotFresh,
}

/// What a proof must have been made for.
pub struct Expected<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// The issuer's URL and the path.
    pub url: &'a str,
    /// Cluster id.
    pub cluster_id: &'a str,
    /// The request's body.
    pub body: &'a [u8],
    /// Unix seconds.
    pub now: i64,
}

/// A proof as it was sent: of the right form, and not yet believed.
pub struct UnverifiedProof<'a> {
    jws: UnverifiedJws<'a>,
    point: Vec<u8>,
    claims: ClaimedStatement,
}

struct ClaimedStatement {
    method: String,
    url: String,
    cluster_id: String,
    body: Vec<u8>,
    issued: i64,
    id: String,
    salt: Salt,
}

/// A proof that was verified against its request.
#[derive(Debug)]
pub struct Proof {
    thumbprint: String,
    point: Vec<u8>,
    salt: Salt,
    id: String,
}

impl<'a> UnverifiedProof<'a> {
    /// Reads the form of the only proof among the header's values.
    pub fn only(values: &[&'a str]) -> Result<Self, Error> {
        match values {
            [] => Err(Error::Missing),
            [one] => Self::parse(one),
            _ => Err(Error::Several),
        }
    }

    /// Reads the form of a proof.
    pub fn parse(text: &'a str) -> Result<Self, Error> {
        if text.len() > limit::PROOF {
            return Err(Error::TooLarge);
        }
        let jws = UnverifiedJws::parse(text)?;
        if jws.typ.as_deref() != Some(PROOF_TYPE) {
            return Err(Error::Header("typ"));
        }
        if jws.alg != "ES256" {
            return Err(Error::Header("alg"));
        }
        let point = jws
            .jwk
            .as_ref()
            .and_then(p256_point)
            .ok_or(Error::Header("jwk"))?;
        let claims = ClaimedStatement::read(&jws.payload)?;
        Ok(Self { jws, point, claims })
    }

    /// Verifies the signature and that the statement is about this request.
    pub fn verify(self, expected: &Expected<'_>) -> Result<Proof, Error> {
        let key =
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.point).map_err(|_| Error::BadSignature)?;
        key.verify_sig(self.jws.signing_input, &self.jws.signature)
            .map_err(|_| Error::BadSignature)?;
        let claims = self.claims;
        if claims.method != expected.method {
            return Err(Error::WrongMethod);
        }
        // Byte for byte, without normalization (RFC 9449 section 4.3 would allow it): both ends know the pinned URL.
        if claims.url != expected.url {
            return Err(Error::WrongUrl);
        }
        if claims.cluster_id != expected.cluster_id {
            return Err(Error::WrongCluster);
        }
        if claims.body != digest(&SHA256, expected.body).as_ref() {
            return Err(Error::WrongBody);
        }
        if claims.issued.abs_diff(expected.now) > MAX_AGE.unsigned_abs() {
            return Err(Error::NotFresh);
        }
        Ok(Proof {
            thumbprint: thumbprint(&self.point),
            point: self.point,
            salt: claims.salt,
            id: claims.id,
        })
    }
}

impl Proof {
    /// The nonce that an ID token bound to this proof's key and salt carries.
    pub fn commitment(&self) -> String {
        let preimage = self.salt.commitment_preimage(&self.thumbprint);
        BASE64URL_NOPAD.encode(digest(&SHA256, &preimage).as_ref())
    }

    /// The session key's uncompressed point.
    pub fn point(&self) -> &[u8] {
        &self.point
    }

    /// RFC 7638 thumbprint of the session key, base64url.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// The login time that the salt carries, in Unix seconds.
    pub fn login_time(&self) -> u64 {
        self.salt.login_time()
    }

    /// `jti`.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl ClaimedStatement {
    fn read(claims: &Map<String, Value>) -> Result<Self, Error> {
        let text = |name: &'static str| claims.get(name).and_then(Value::as_str).ok_or(Error::Claim(name));
        let bytes = |name: &'static str| jws::base64url(text(name)?).map_err(|_| Error::Claim(name));
        let id = text("jti")?;
        if id.is_empty() {
            return Err(Error::Claim("jti"));
        }
        if id.len() > limit::JTI {
            return Err(Error::IdTooLarge);
        }
        let salt: [u8; SALT_LEN] = bytes("salt")?.try_into().map_err(|_| Error::Claim("salt"))?;
        let body = bytes("body")?;
        if body.len() != SHA256.output_len() {
            return Err(Error::Claim("body"));
        }
        Ok(Self {
            method: text("htm")?.to_owned(),
            url: text("htu")?.to_owned(),
            cluster_id: text("cluster")?.to_owned(),
            body,
            issued: claims
                .get("iat")
                .and_then(Value::as_i64)
                .ok_or(Error::Claim("iat"))?,
            id: id.to_owned(),
            salt: Salt::from(salt),
        })
    }
}

fn p256_point(jwk: &Map<String, Value>) -> Option<Vec<u8>> {
    let is = |name: &str, value: &str| jwk.get(name).is_some_and(|member| member == value);
    if !is("kty", "EC") || !is("crv", "P-256") {
        return None;
    }
    ec_point(jwk, 32)
}

/// RFC 7638 section 3 for a P-256 key: the required members in lexical order. The coordinates are written again from
/// their bytes, so the text cannot differ from the key that verified.
fn thumbprint(point: &[u8]) -> String {
    let (x, y) = (
        BASE64URL_NOPAD.encode(&point[1..33]),
        BASE64URL_NOPAD.encode(&point[33..]),
    );
    let jwk = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    BASE64URL_NOPAD.encode(digest(&SHA256, jwk.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests;
