//! The certificate authority: a key that signs client certificates of one profile and nothing else.

mod file;
mod profile;

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SecureRandom;
use aws_lc_rs::signature::EcdsaKeyPair;
use data_encoding::HEXLOWER;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::der::asn1::{BitString, OctetString};
use x509_cert::der::pem::{LineEnding, encode_string};
use x509_cert::der::{DateTime, Document, Encode};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{
    AlgorithmIdentifierOwned, DynSignatureAlgorithmIdentifier, EncodePublicKey, ObjectIdentifier,
};
use x509_cert::time::{Time, Validity};

use crate::csr::VerifiedCsr;
use crate::mapping::Identity;

pub use file::LoadError;

const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

/// Signs client certificates.
pub struct CertificateAuthority {
    name: Name,
    key_id: OctetString,
    /// PEM of what a server needs between the leaf and a root it trusts.
    intermediates: String,
    not_before: i64,
    not_after: i64,
    signer: Signer,
}

/// What a certificate says beside the key.
pub(crate) struct Subject<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) marker: &'a str,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

/// A signed certificate.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// PEM, then intermediates.
    pub(crate) pem: String,
    /// `X509SHA256=<hex SHA-256 of the DER>`, as the API server writes it.
    pub(crate) credential_id: String,
    /// Lower-case hex.
    pub(crate) serial: String,
    /// Unix seconds.
    pub(crate) not_before: i64,
}

/// Signing failed; the cause is inside the issuer.
#[derive(Debug, thiserror::Error)]
#[error("cannot sign a certificate: {0}")]
pub struct SignError(String);

impl CertificateAuthority {
    /// Until when the authority's own certificate is valid, in Unix seconds.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// Its public key: SubjectPublicKeyInfo in DER.
    pub fn public_key(&self) -> &[u8] {
        self.signer.public.0.as_bytes()
    }

    /// Makes the certificate of one user and key.
    pub(crate) fn sign(
        &self,
        csr: VerifiedCsr,
        subject: &Subject<'_>,
        random: &dyn SecureRandom,
    ) -> Result<Leaf, SignError> {
        let failed =
            |what: &'static str| move |error: &dyn fmt::Display| SignError(format!("{what}: {error}"));
        let mut serial = [0; 20];
        random
            .fill(&mut serial)
            .map_err(|_| SignError("no randomness".into()))?;
        // 158 random bits; the first two keep the number positive and its length constant.
        serial[0] = serial[0] & 0x7f | 0x40;
        let serial_number = SerialNumber::new(&serial).map_err(|error| failed("serial")(&error))?;
        // A leaf older than its authority would look odd, and some verifiers refuse it.
        let not_before = subject.not_before.max(self.not_before);
        let validity = Validity::new(time(not_before)?, time(subject.not_after)?);
        let profile = profile::ClientCertificate::new(&self.name, &self.key_id, subject)
            .map_err(|error| failed("subject")(&error))?;
        let mut builder = CertificateBuilder::new(profile, serial_number, validity, csr.into_key())
            .map_err(|error| failed("certificate")(&error))?;
        let tbs = builder
            .finalize(&self.signer)
            .map_err(|error| failed("certificate")(&error))?;
        let signature = self
            .signer
            .key
            .sign(random, &tbs)
            .map_err(|error| failed("signature")(&error))?;
        let signature =
            BitString::from_bytes(signature.as_ref()).map_err(|error| failed("signature")(&error))?;
        let der = builder
            .assemble(signature, &self.signer)
            .map_err(|error| failed("certificate")(&error))?
            .to_der()
            .map_err(|error| failed("certificate")(&error))?;
        let mut pem =
            encode_string("CERTIFICATE", LineEnding::LF, &der).map_err(|error| failed("PEM")(&error))?;
        pem.push_str(&self.intermediates);
        Ok(Leaf {
            pem,
            credential_id: format!("X509SHA256={}", HEXLOWER.encode(digest(&SHA256, &der).as_ref())),
            serial: HEXLOWER.encode(&serial),
            not_before,
        })
    }
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn time(unix: i64) -> Result<Time, SignError> {
    let seconds = u64::try_from(unix).map_err(|_| SignError("a time before 1970".into()))?;
    DateTime::from_unix_duration(std::time::Duration::from_secs(seconds))
        .map(Time::from)
        .map_err(|error| SignError(format!("time: {error}")))
}

/// The key, in the shape x509-cert's builder asks for.
struct Signer {
    key: EcdsaKeyPair,
    public: PublicKey,
}

#[derive(Clone)]
struct PublicKey(Document);

impl signature::Keypair for Signer {
    type VerifyingKey = PublicKey;

    fn verifying_key(&self) -> PublicKey {
        self.public.clone()
    }
}

impl EncodePublicKey for PublicKey {
    fn to_public_key_der(&self) -> x509_cert::spki::Result<Document> {
        Ok(self.0.clone())
    }
}

impl DynSignatureAlgorithmIdentifier for Signer {
    fn signature_algorithm_identifier(&self) -> x509_cert::spki::Result<AlgorithmIdentifierOwned> {
        Ok(AlgorithmIdentifierOwned {
            oid: ECDSA_WITH_SHA256,
            parameters: None,
        })
    }
}
