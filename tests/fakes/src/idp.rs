use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair,
};
use serde_json::{Value, json};

use crate::jose::{b64, compact};

/// A key pair that signs tokens.
#[derive(Debug)]
pub enum SigningKey {
    /// RSA, for the RS and PS algorithms.
    Rsa(Box<RsaKeyPair>),
    /// P-256, for ES256.
    P256(EcdsaKeyPair),
    /// P-384, for ES384.
    P384(EcdsaKeyPair),
    /// Ed25519, for EdDSA.
    Ed25519(Ed25519KeyPair),
}

impl SigningKey {
    /// A new RSA key of 2048 bits.
    pub fn rsa() -> Self {
        Self::Rsa(Box::new(
            RsaKeyPair::generate(KeySize::Rsa2048).expect("key generation"),
        ))
    }

    /// A new P-256 key.
    pub fn p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("key generation"))
    }

    /// A new P-384 key.
    pub fn p384() -> Self {
        Self::P384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect("key generation"))
    }

    /// A new Ed25519 key.
    pub fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().expect("key generation"))
    }

    /// A new key for that JWS algorithm.
    pub fn for_alg(alg: &str) -> Self {
        match alg {
            "ES256" => Self::p256(),
            "ES384" => Self::p384(),
            "EdDSA" => Self::ed25519(),
            _ => Self::rsa(),
        }
    }

    /// The JWS signature under `alg`.
    ///
    /// # Panics
    ///
    /// If the key cannot sign so.
    pub fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let encoding: &dyn signature::RsaEncoding = match alg {
                    "RS256" => &signature::RSA_PKCS1_SHA256,
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    other => panic!("an RSA key does not sign {other}"),
                };
                let mut signed = vec![0; key.public_modulus_len()];
                key.sign(encoding, &random, message, &mut signed)
                    .expect("signing");
                signed
            }
            Self::P256(key) | Self::P384(key) => {
                key.sign(&random, message).expect("signing").as_ref().to_vec()
            }
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    /// The public key as a JWK, without `kid`, `alg` and `use`.
    pub fn public_jwk(&self) -> Value {
        match self {
            Self::Rsa(key) => {
                let public = key.public_key();
                let strip = |bytes: &[u8]| b64(&bytes[bytes.iter().take_while(|byte| **byte == 0).count()..]);
                let (n, e) = rsa_components(public.as_ref());
                json!({"kty": "RSA", "n": strip(&n), "e": strip(&e)})
            }
            Self::P256(key) => ec_jwk("P-256", key.public_key().as_ref()),
            Self::P384(key) => ec_jwk("P-384", key.public_key().as_ref()),
            Self::Ed25519(key) => json!({"kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key())}),
        }
    }

    /// The public key as DER (SubjectPublicKeyInfo): what an attacker would use as an HMAC secret.
    ///
    /// # Panics
    ///
    /// Never for keys made here.
    pub fn public_der(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Rsa(key) => key.public_key().as_der().expect("encoding"),
            Self::P256(key) | Self::P384(key) => key.public_key().as_der().expect("encoding"),
            Self::Ed25519(key) => key.public_key().as_der().expect("encoding"),
        };
        der.as_ref().to_vec()
    }
}

fn ec_jwk(curve: &str, point: &[u8]) -> Value {
    let (x, y) = point[1..].split_at((point.len() - 1) / 2);
    json!({"kty": "EC", "crv": curve, "x": b64(x), "y": b64(y)})
}

/// Modulus and exponent of a DER RSAPublicKey: SEQUENCE { INTEGER, INTEGER }.
fn rsa_components(der: &[u8]) -> (Vec<u8>, Vec<u8>) {
    fn value(input: &[u8]) -> (&[u8], &[u8]) {
        let (length, header) = match input[1] {
            short @ 0..=127 => (usize::from(short), 2),
            long => {
                let count = usize::from(long & 0x7f);
                let length = input[2..2 + count]
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                (length, 2 + count)
            }
        };
        input[header..].split_at(length)
    }
    let (sequence, _) = value(der);
    let (n, rest) = value(sequence);
    let (e, _) = value(rest);
    (n.to_vec(), e.to_vec())
}

/// An identity provider: an issuer with one published key of each kind, under the `kid`s `rsa`, `p256`, `p384` and
/// `ed25519`.
#[derive(Debug)]
pub struct Idp {
    issuer: String,
    keys: Vec<(&'static str, SigningKey)>,
}

impl Idp {
    /// A provider with new keys.
    pub fn new(issuer: &str) -> Self {
        let keys = vec![
            ("rsa", SigningKey::rsa()),
            ("p256", SigningKey::p256()),
            ("p384", SigningKey::p384()),
            ("ed25519", SigningKey::ed25519()),
        ];
        Self {
            issuer: issuer.to_owned(),
            keys,
        }
    }

    /// The issuer identifier.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The key that signs `alg`, and its `kid`.
    pub fn key(&self, alg: &str) -> (&'static str, &SigningKey) {
        let kid = match alg {
            "ES256" => "p256",
            "ES384" => "p384",
            "EdDSA" => "ed25519",
            _ => "rsa",
        };
        let (_, key) = self
            .keys
            .iter()
            .find(|(id, _)| *id == kid)
            .expect("a key of each kind");
        (kid, key)
    }

    /// A token over `claims`, signed by the published key, under the header that an honest provider writes.
    pub fn sign(&self, alg: &str, claims: &Value) -> String {
        let (kid, _) = self.key(alg);
        self.sign_with_header(&json!({"alg": alg, "kid": kid, "typ": "JWT"}), claims)
    }

    /// A token under any header, signed by the published key of the header's `alg`.
    ///
    /// # Panics
    ///
    /// If the header has no `alg` that a published key can sign.
    pub fn sign_with_header(&self, header: &Value, claims: &Value) -> String {
        let alg = header["alg"].as_str().expect("a header with `alg`").to_owned();
        self.sign_text(&alg, &header.to_string(), &claims.to_string())
    }

    /// A token over exactly these texts, signed under `alg` whatever the header says.
    pub fn sign_text(&self, alg: &str, header: &str, payload: &str) -> String {
        compact(header, payload, |message| self.key(alg).1.sign(alg, message))
    }

    /// The published key set.
    pub fn jwks(&self) -> Value {
        let jwk = |(kid, key): &(&str, SigningKey)| {
            let mut jwk = key.public_jwk();
            jwk["kid"] = json!(kid);
            jwk["use"] = json!("sig");
            jwk
        };
        json!({"keys": self.keys.iter().map(jwk).collect::<Vec<_>>()})
    }

    /// The metadata document that names the key set at `jwks_uri`.
    pub fn metadata(&self, jwks_uri: &str) -> Value {
        json!({
            "issuer": self.issuer,
            "jwks_uri": jwks_uri,
            "authorization_endpoint": format!("{}/auth", self.issuer),
            "token_endpoint": format!("{}/token", self.issuer),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA"],
        })
    }
}
