//! Certificate requests (RFC 2986): bytes → a public key whose holder asked. Nothing else of a request is used.

use x509_cert::der::pem::decode_vec;
use x509_cert::der::{Decode, oid::ObjectIdentifier};
use x509_cert::request::CertReq;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::RSAPublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Why a request is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not one PEM block `CERTIFICATE REQUEST` with one DER request.
    #[error("the CSR is malformed: {0}")]
    Malformed(&'static str),
    /// Not signed by its own key, or by an algorithm that does not go with it.
    #[error("the CSR is not signed by its own key with an algorithm that goes with it")]
    BadSignature,
    /// A key of a kind or size that is not accepted.
    #[error("accepted are P-256, P-384 and Ed25519 keys, and RSA keys of 2048 to 4096 bits")]
    WeakKey,
    /// The session key, which signs proofs and nothing else.
    #[error("the CSR's key is the session key; a credential has a key of its own")]
    SessionKey,
}

mod oid {
    use super::ObjectIdentifier;

    pub(super) const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
    pub(super) const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
    pub(super) const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
    pub(super) const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
    pub(super) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

    // What a key may sign its own request with: one hash per curve, no SHA-1.
    pub(super) const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
    pub(super) const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
    pub(super) const RSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
    pub(super) const RSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
    pub(super) const RSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
}

/// A public key whose holder signed the request with it.
#[derive(Debug)]
pub struct VerifiedCsr {
    key: SubjectPublicKeyInfoOwned,
}

impl VerifiedCsr {
    /// Verifies a PEM request; `session_key` is the uncompressed point of the key that signed the proof.
    pub fn verify(pem: &str, session_key: &[u8]) -> Result<Self, Error> {
        let (label, der) =
            decode_vec(pem.as_bytes()).map_err(|_| Error::Malformed("it is not one PEM block"))?;
        if label != "CERTIFICATE REQUEST" {
            return Err(Error::Malformed("the PEM block is not a `CERTIFICATE REQUEST`"));
        }
        // Two readers: x509-cert is strict about DER, also after the end, and x509-parser verifies.
        let request = CertReq::from_der(&der).map_err(|_| Error::Malformed("it is not one DER request"))?;
        let (_, csr) = X509CertificationRequest::from_der(&der)
            .map_err(|_| Error::Malformed("it is not one DER request"))?;
        let key = request.info.public_key;
        let fitting = fitting_signatures(&key, &csr.certification_request_info.subject_pki)?;
        let signed = &request.algorithm;
        if !fitting.contains(&signed.oid) || !has_expected_parameters(&key, signed) {
            return Err(Error::BadSignature);
        }
        csr.verify_signature().map_err(|_| Error::BadSignature)?;
        if key.subject_public_key.raw_bytes() == session_key {
            return Err(Error::SessionKey);
        }
        Ok(Self { key })
    }

    /// The public key, for the certificate.
    pub(crate) fn into_key(self) -> SubjectPublicKeyInfoOwned {
        self.key
    }
}

/// The signature algorithms that go with a key, if the key is acceptable at all.
fn fitting_signatures(
    key: &SubjectPublicKeyInfoOwned,
    parsed: &SubjectPublicKeyInfo<'_>,
) -> Result<&'static [ObjectIdentifier], Error> {
    let bits = key
        .subject_public_key
        .as_bytes()
        .ok_or(Error::Malformed("its public key has unused bits"))?;
    let parameters = key.algorithm.parameters.as_ref();
    match key.algorithm.oid {
        oid::EC => {
            let curve = parameters
                .and_then(|any| any.decode_as::<ObjectIdentifier>().ok())
                .ok_or(Error::WeakKey)?;
            let (length, signatures): (usize, &[ObjectIdentifier]) = match curve {
                oid::P256 => (32, &[oid::ECDSA_SHA256]),
                oid::P384 => (48, &[oid::ECDSA_SHA384]),
                _ => return Err(Error::WeakKey),
            };
            // Uncompressed only: what the API server's library reads, and one text per key.
            if bits.len() != 1 + 2 * length || bits[0] != 4 {
                return Err(Error::Malformed("its public key is not an uncompressed point"));
            }
            Ok(signatures)
        }
        oid::ED25519 if parameters.is_none() && bits.len() == 32 => Ok(&[oid::ED25519]),
        oid::RSA if parameters.is_some_and(|any| any.is_null()) => {
            rsa_is_strong(parsed)?;
            Ok(&[oid::RSA_SHA256, oid::RSA_SHA384, oid::RSA_SHA512])
        }
        oid::ED25519 | oid::RSA => Err(Error::Malformed("its public key's parameters are wrong")),
        _ => Err(Error::WeakKey),
    }
}

fn rsa_is_strong(parsed: &SubjectPublicKeyInfo<'_>) -> Result<(), Error> {
    let bytes = &parsed.subject_public_key.data;
    let (rest, rsa) =
        RSAPublicKey::from_der(bytes).map_err(|_| Error::Malformed("its RSA key is not DER"))?;
    if !rest.is_empty() {
        return Err(Error::Malformed("something follows its RSA key"));
    }
    let modulus = match rsa.modulus {
        [0, rest @ ..] if rest.first().is_some_and(|byte| byte & 0x80 != 0) => rest,
        positive @ [first, ..] if first & 0x80 == 0 && *first != 0 => positive,
        _ => return Err(Error::Malformed("its RSA modulus is not a positive DER integer")),
    };
    let size = modulus.len() * 8 - modulus[0].leading_zeros() as usize;
    let exponent = rsa.try_exponent().map_err(|_| Error::WeakKey)?;
    let modulus_is_odd = modulus.last().is_some_and(|byte| byte & 1 == 1);
    if !(2048..=4096).contains(&size) || !modulus_is_odd || exponent < 65537 || exponent % 2 == 0 {
        return Err(Error::WeakKey);
    }
    Ok(())
}

/// RFC 3279 and RFC 8410: NULL or nothing for RSA, nothing for the others.
fn has_expected_parameters(key: &SubjectPublicKeyInfoOwned, signed: &AlgorithmIdentifierOwned) -> bool {
    match &signed.parameters {
        None => true,
        Some(any) => key.algorithm.oid == oid::RSA && any.is_null(),
    }
}

#[cfg(test)]
mod tests;
