//! The kit: the public part of a quorum, signed by it.
//!
//! Its file is an armored text. The payload is signed as it stands there, byte for byte; the authority's certificate is not in
//! it, but is built from the payload and has a signature of its own beside it.

mod differences;
mod draft;
mod payload;

use std::fmt;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use frost_ed25519::{Signature, keys::PublicKeyPackage};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

pub use draft::Draft;
pub(crate) use payload::verifying_share;
pub use payload::{Authority, Holder, LONGEST, Limits, Made, Payload};

use crate::{
    armor::{self, ArmorError, Armored},
    certificate,
    name::{Escaped, Name},
    words::{Words, sha256},
};

/// A kit whose two signatures were verified and whose parameters are within bounds.
#[derive(Clone, Debug)]
pub struct Kit {
    payload: Payload,
    bytes: Vec<u8>,
    signature: [u8; 64],
    authority_signature: [u8; 64],
    certificate: CertificateDer<'static>,
    public_keys: PublicKeyPackage,
}

/// Why a kit cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KitError {
    /// Not a kit's text.
    #[error(transparent)]
    Armor(#[from] ArmorError),
    /// Its payload is not what a kit holds.
    #[error(
        "the kit is damaged, or was made by another version of this program ({0}); take another copy of it"
    )]
    Content(Escaped),
    /// Its parameters are not those of a quorum.
    #[error("{0}")]
    Bounds(String),
    /// Its signature is not the quorum's: it was changed.
    #[error(
        "the kit was changed after its quorum had signed it: the signature of {0} does not fit; use another copy of it, \
         and find out who changed this one"
    )]
    Signature(&'static str),
    /// The certificate could not be built.
    #[error("the authority's certificate cannot be built from the kit: {0}")]
    Certificate(#[from] certificate::CertificateError),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    payload: String,
    signature: String,
    authority_signature: String,
}

impl Armored for File {
    const LABEL: &'static str = "GATEPASS KIT";
}

/// What the quorum's signature of a kit is over, so that it is neither a certificate nor a drill.
pub(crate) fn message(payload: &[u8]) -> Vec<u8> {
    [b"gatepass/kit/v1\0", payload].concat()
}

impl Kit {
    /// Reads a kit's file and verifies it.
    pub fn parse(text: &str) -> Result<Self, KitError> {
        let file: File = armor::read(text)?;
        let bytes = |text: &str, part| {
            let bytes = BASE64_STANDARD.decode(text);
            bytes.map_err(|_| KitError::Bounds(format!("its {part} is not base64")))
        };
        let signature = |text: &str, part| {
            let bytes: Result<[u8; 64], _> = bytes(text, part)?.try_into();
            bytes.map_err(|_| KitError::Bounds(format!("its {part} does not have 64 bytes")))
        };
        Self::assemble(
            bytes(&file.payload, "payload")?,
            signature(&file.authority_signature, "authority's signature")?,
            signature(&file.signature, "signature")?,
        )
    }

    /// A kit of its parts, verified: the payload's bytes, the signature of [`Payload::authority_to_be_signed`], and the one of
    /// [`Payload::message`].
    pub fn assemble(
        bytes: Vec<u8>,
        authority_signature: [u8; 64],
        signature: [u8; 64],
    ) -> Result<Self, KitError> {
        let payload: Payload = serde_json::from_slice(&bytes)
            // It can quote the payload, which is anybody's text before its signature was verified.
            .map_err(|error| KitError::Content(Escaped::new(&error.to_string())))?;
        let public_keys = payload.check()?;
        let key = UnparsedPublicKey::new(&ED25519, payload.authority.key.as_slice());
        key.verify(&message(&bytes), &signature)
            .map_err(|_| KitError::Signature("the kit"))?;
        let to_be_signed = certificate::authority_to_be_signed(&payload)?;
        key.verify(&to_be_signed, &authority_signature)
            .map_err(|_| KitError::Signature("the authority's certificate"))?;
        Ok(Self {
            certificate: certificate::authority(&payload, authority_signature)?,
            payload,
            bytes,
            signature,
            authority_signature,
            public_keys,
        })
    }

    /// Its file.
    pub fn write(&self) -> String {
        let file = File {
            payload: BASE64_STANDARD.encode(&self.bytes),
            signature: BASE64_STANDARD.encode(self.signature),
            authority_signature: BASE64_STANDARD.encode(self.authority_signature),
        };
        format!(
            "Break-glass kit of a Kubernetes cluster, public. What is in it, and whether it is genuine:\n\
             kubectl gatepass break-glass verify THIS-FILE\n\n{}",
            file.armor()
        )
    }

    /// What it says.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// Its hash, which share files and requests hold.
    pub fn hash(&self) -> KitHash {
        KitHash::of(&self.bytes)
    }

    /// The words by which people know it.
    pub fn words(&self) -> Words<12> {
        self.hash().words()
    }

    /// The authority's certificate, DER.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The authority's certificate, PEM: what goes into the API server's client CA bundle.
    pub fn certificate_pem(&self) -> String {
        certificate::pem(&self.certificate)
    }

    /// The name of the authority (DER): what an API server names of those whose clients it takes.
    pub fn authority_subject(&self) -> Vec<u8> {
        let parsed = x509_parser::parse_x509_certificate(&self.certificate);
        let (_, certificate) = parsed.expect("a certificate that was just built");
        certificate.subject().as_raw().to_vec()
    }

    /// Eight hexadecimal digits that tell this authority from every other; they end its certificate's name.
    pub fn authority_id(&self) -> String {
        certificate::authority_id(&self.payload.authority.key)
    }

    /// The holder of a name.
    pub fn holder(&self, name: &Name) -> Option<&Holder> {
        self.payload.holders.iter().find(|holder| holder.name == *name)
    }

    /// The quorum's public keys.
    pub fn public_keys(&self) -> &PublicKeyPackage {
        &self.public_keys
    }

    /// The signature of the authority's certificate, which every revision of the kit has.
    pub fn authority_signature(&self) -> [u8; 64] {
        self.authority_signature
    }
}

/// A signature of the quorum as bytes (RFC 8032, section 5.1.6).
pub(crate) fn signature_bytes(signature: &Signature) -> [u8; 64] {
    let bytes = signature.serialize().expect("a signature was made");
    bytes.try_into().expect("an Ed25519 signature has 64 bytes")
}

/// The SHA-256 of a kit's payload; in texts 64 hexadecimal digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KitHash(pub(crate) [u8; 32]);

impl KitHash {
    /// The hash of a payload.
    pub(crate) fn of(payload: &[u8]) -> Self {
        Self(sha256(&[payload]))
    }

    /// The words by which people know the kit.
    pub fn words(&self) -> Words<12> {
        Words::of(&sha256(&[b"gatepass/kit-words/v1\0", &self.0]))
    }
}

/// A text is not the hash of a kit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the hash of a kit is 64 hexadecimal digits in lower case")]
pub struct KitHashError;

impl TryFrom<String> for KitHash {
    type Error = KitHashError;

    fn try_from(text: String) -> Result<Self, KitHashError> {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes());
        let hash = bytes.ok().and_then(|bytes| bytes.try_into().ok());
        hash.map(Self).ok_or(KitHashError)
    }
}

impl From<KitHash> for String {
    fn from(hash: KitHash) -> Self {
        hash.to_string()
    }
}

impl fmt::Display for KitHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KitHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
