//! Published keys (RFC 7517), parsed once per fetch.

use std::fmt;

use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents};
use serde_json::{Map, Value};

use crate::jws;
use crate::strict_json;

/// A signature algorithm of ID tokens that is accepted: asymmetric, and not `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of RFC 7518 and RFC 8037")]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    /// The algorithm of that JWS name, compared exactly.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }
}

const RSA: [(Algorithm, &RsaParameters); 6] = [
    (Algorithm::Rs256, &signature::RSA_PKCS1_2048_8192_SHA256),
    (Algorithm::Rs384, &signature::RSA_PKCS1_2048_8192_SHA384),
    (Algorithm::Rs512, &signature::RSA_PKCS1_2048_8192_SHA512),
    (Algorithm::Ps256, &signature::RSA_PSS_2048_8192_SHA256),
    (Algorithm::Ps384, &signature::RSA_PSS_2048_8192_SHA384),
    (Algorithm::Ps512, &signature::RSA_PSS_2048_8192_SHA512),
];

/// A published key, for one algorithm that its kind, curve and own `alg` allow.
pub(crate) struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    public: ParsedPublicKey,
}

impl Key {
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public.verify_sig(message, signature).is_ok()
    }
}

/// The signing keys that a provider publishes.
pub struct KeySet {
    keys: Vec<Key>,
}

impl KeySet {
    /// Reads a JWK set. Keys for encryption, of unknown kinds or curves, too small or private are skipped.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeySetError> {
        let set = strict_json::object(bytes)?;
        let Some(Value::Array(list)) = set.get("keys") else {
            return Err(KeySetError::NoKeys);
        };
        let keys = list
            .iter()
            .filter_map(Value::as_object)
            .flat_map(signing_keys)
            .collect();
        Ok(Self { keys })
    }

    /// How many pairs of key and algorithm are usable.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key is usable.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The one key that fits; without a `kid` only while exactly one does.
    pub(crate) fn find(&self, algorithm: Algorithm, kid: Option<&str>) -> Option<&Key> {
        let mut fitting = self
            .keys
            .iter()
            .filter(|key| key.algorithm == algorithm && (kid.is_none() || key.kid.as_deref() == kid));
        let first = fitting.next()?;
        // Two keys under one name: which of them is meant is not ours to guess.
        fitting.next().is_none().then_some(first)
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.keys.iter().map(|key| (key.algorithm, &key.kid)))
            .finish()
    }
}

/// Why bytes are not a JWK set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not strict JSON.
    #[error("the key set is malformed: {0}")]
    Json(#[from] strict_json::Error),
    /// No list `keys`.
    #[error("the key set has no list `keys`")]
    NoKeys,
}

fn signing_keys(jwk: &Map<String, Value>) -> Vec<Key> {
    usable(jwk).unwrap_or_default()
}

fn usable(jwk: &Map<String, Value>) -> Option<Vec<Key>> {
    let member = |name: &str| jwk.get(name).and_then(Value::as_str);
    if jwk.get("use").is_some_and(|usage| usage != "sig") {
        return None;
    }
    if jwk.get("key_ops").is_some_and(|ops| {
        !ops.as_array()
            .is_some_and(|ops| ops.iter().any(|op| op == "verify"))
    }) {
        return None;
    }
    // What everybody can read proves nothing about who signed.
    if jws::is_private(jwk) {
        return None;
    }
    let parsed: Vec<(Algorithm, ParsedPublicKey)> = match (member("kty")?, member("crv")) {
        ("RSA", _) => rsa_keys(jwk)?,
        ("EC", Some("P-256")) => vec![ec_key(
            jwk,
            Algorithm::Es256,
            &signature::ECDSA_P256_SHA256_FIXED,
            32,
        )?],
        ("EC", Some("P-384")) => vec![ec_key(
            jwk,
            Algorithm::Es384,
            &signature::ECDSA_P384_SHA384_FIXED,
            48,
        )?],
        ("OKP", Some("Ed25519")) => {
            let x = jws::base64url(member("x")?).ok().filter(|x| x.len() == 32)?;
            vec![(
                Algorithm::EdDsa,
                ParsedPublicKey::new(&signature::ED25519, x).ok()?,
            )]
        }
        _ => return None,
    };
    let own_algorithm = match jwk.get("alg") {
        None => None,
        Some(alg) => Some(Algorithm::from_name(alg.as_str()?)?),
    };
    let kid = match jwk.get("kid") {
        None => None,
        Some(kid) => Some(kid.as_str()?.to_owned()),
    };
    let keys = parsed
        .into_iter()
        .filter(|(algorithm, _)| own_algorithm.is_none_or(|own| own == *algorithm))
        .map(|(algorithm, public)| Key {
            kid: kid.clone(),
            algorithm,
            public,
        });
    Some(keys.collect())
}

fn rsa_keys(jwk: &Map<String, Value>) -> Option<Vec<(Algorithm, ParsedPublicKey)>> {
    let integer = |name: &str| {
        let bytes = jws::base64url(jwk.get(name)?.as_str()?).ok()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Some(bytes[zeros..].to_vec())
    };
    let (n, e) = (integer("n")?, integer("e")?);
    let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
    if !(2048..=8192).contains(&bits) || e == [1] {
        return None;
    }
    let key = RsaPublicKeyComponents { n, e };
    RSA.iter()
        .map(|(algorithm, rsa)| Some((*algorithm, key.to_parsed_public_key(rsa).ok()?)))
        .collect()
}

fn ec_key(
    jwk: &Map<String, Value>,
    algorithm: Algorithm,
    verification: &'static signature::EcdsaVerificationAlgorithm,
    length: usize,
) -> Option<(Algorithm, ParsedPublicKey)> {
    let point = ec_point(jwk, length)?;
    Some((algorithm, ParsedPublicKey::new(verification, point).ok()?))
}

/// The uncompressed point of an EC JWK whose coordinates have exactly the curve's length.
pub(crate) fn ec_point(jwk: &Map<String, Value>, length: usize) -> Option<Vec<u8>> {
    let mut point = Vec::with_capacity(1 + 2 * length);
    point.push(4);
    for name in ["x", "y"] {
        let coordinate = jws::base64url(jwk.get(name)?.as_str()?).ok()?;
        if coordinate.len() != length {
            return None;
        }
        point.extend(coordinate);
    }
    Some(point)
}

#[cfg(test)]
mod tests;
