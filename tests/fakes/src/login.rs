use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use crate::jose::{b64, compact, sha256};

/// A session key: P-256, signs proofs.
#[derive(Debug)]
pub struct SessionKey(EcdsaKeyPair);

impl SessionKey {
    /// A new key.
    pub fn generate() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("key generation"))
    }

    /// The private key as PKCS#8 DER, for a CSR with the same key.
    pub fn pkcs8(&self) -> Vec<u8> {
        self.0.to_pkcs8v1().expect("encoding").as_ref().to_vec()
    }

    /// The public key as a JWK with its required members only.
    pub fn jwk(&self) -> Value {
        let point = self.0.public_key().as_ref();
        json!({"kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..])})
    }

    /// RFC 7638 thumbprint, base64url.
    pub fn thumbprint(&self) -> String {
        let jwk = self.jwk();
        // serde_json sorts members, which is RFC 7638's order, and writes no blanks.
        b64(sha256(jwk.to_string()))
    }

    /// A JWS signature (ES256).
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0
            .sign(&SystemRandom::new(), message)
            .expect("signing")
            .as_ref()
            .to_vec()
    }

    /// The header of an honest proof.
    pub fn proof_header(&self) -> Value {
        json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk()})
    }

    /// A proof over any claims, under the header that an honest client writes.
    pub fn proof(&self, claims: &Value) -> String {
        self.proof_with_header(&self.proof_header(), claims)
    }

    /// A proof under any header.
    pub fn proof_with_header(&self, header: &Value, claims: &Value) -> String {
        self.proof_text(&header.to_string(), &claims.to_string())
    }

    /// A proof over exactly these texts.
    pub fn proof_text(&self, header: &str, payload: &str) -> String {
        compact(header, payload, |message| self.sign(message))
    }
}

/// A new salt of a login at `login_time` (Unix seconds).
pub fn salt(login_time: u64) -> [u8; 32] {
    let mut salt = [0; 32];
    salt[..8].copy_from_slice(&login_time.to_be_bytes());
    SystemRandom::new().fill(&mut salt[8..]).expect("randomness");
    salt
}

/// The nonce that binds a token to the key with thumbprint `jkt` and to `salt`.
pub fn nonce(jkt: &str, salt: &[u8]) -> String {
    b64(sha256(
        [b"gatepass/v1", &[0][..], jkt.as_bytes(), &[0], salt].concat(),
    ))
}

/// What a client keeps of a login: key and salt.
#[derive(Debug)]
pub struct Login {
    /// The session key.
    pub key: SessionKey,
    /// The salt.
    pub salt: [u8; 32],
}

impl Login {
    /// A new login at `login_time` (Unix seconds).
    pub fn new(login_time: u64) -> Self {
        Self {
            key: SessionKey::generate(),
            salt: salt(login_time),
        }
    }

    /// The nonce to ask the provider for.
    pub fn nonce(&self) -> String {
        nonce(&self.key.thumbprint(), &self.salt)
    }

    /// The claims of an honest proof for a POST of `body` to `url`.
    pub fn proof_claims(&self, url: &str, cluster_id: &str, body: &[u8], now: i64) -> Value {
        json!({
            "htm": "POST", "htu": url, "iat": now, "jti": b64(&salt(0)[8..24]),
            "cluster": cluster_id, "salt": b64(self.salt), "body": b64(sha256(body)),
        })
    }

    /// An honest proof for a POST of `body` to `url`.
    pub fn proof(&self, url: &str, cluster_id: &str, body: &[u8], now: i64) -> String {
        self.key.proof(&self.proof_claims(url, cluster_id, body, now))
    }
}
