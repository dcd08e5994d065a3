//! The two certificates: the authority's, and the one that a quorum signs. rcgen builds them twice: once to learn what there is
//! to sign, and once, with the quorum's signature, whole. Both times from the same parameters, so both are the same.

use std::cell::RefCell;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData, SerialNumber, SignatureAlgorithm,
    SigningKey,
};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::{kit::Payload, name::Name, words::sha256};

/// The only group that a certificate of a quorum names.
pub const GROUP: &str = "gatepass:break-glass";

/// What every username begins with.
pub const USER_PREFIX: &str = "break-glass:";

/// Why a certificate could not be built.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The library refused.
    #[error(transparent)]
    Library(#[from] rcgen::Error),
    /// A date beyond all calendars.
    #[error("{0} is no date")]
    Date(i64),
}

/// What is signed for a person.
pub(crate) struct Leaf<'a> {
    /// Who opens.
    pub(crate) who: &'a Name,
    /// Their public key: an uncompressed P-256 point (SEC 1, section 2.3.3).
    pub(crate) key: &'a [u8; 65],
    /// Seeds the serial number, and is another for each request.
    pub(crate) request: &'a [u8; 32],
    /// Unix seconds.
    pub(crate) not_before: i64,
    /// Unix seconds.
    pub(crate) not_after: i64,
}

/// What the quorum signs to make the authority's certificate.
pub(crate) fn authority_to_be_signed(payload: &Payload) -> Result<Vec<u8>, CertificateError> {
    to_be_signed(&payload.authority.key, |key| {
        Ok(authority_params(payload)?.self_signed(key)?.der().clone())
    })
}

/// The authority's certificate.
pub(crate) fn authority(
    payload: &Payload,
    signature: [u8; 64],
) -> Result<CertificateDer<'static>, CertificateError> {
    let key = Quorum::with(&payload.authority.key, signature);
    Ok(authority_params(payload)?.self_signed(&key)?.der().clone())
}

/// What the quorum signs to make a person's certificate.
pub(crate) fn leaf_to_be_signed(payload: &Payload, leaf: &Leaf<'_>) -> Result<Vec<u8>, CertificateError> {
    to_be_signed(&payload.authority.key, |key| sign_leaf(payload, leaf, key))
}

/// A person's certificate.
pub(crate) fn leaf(
    payload: &Payload,
    leaf: &Leaf<'_>,
    signature: [u8; 64],
) -> Result<CertificateDer<'static>, CertificateError> {
    sign_leaf(payload, leaf, &Quorum::with(&payload.authority.key, signature))
}

/// A certificate as text (RFC 7468, section 5.1).
pub(crate) fn pem(certificate: &CertificateDer<'_>) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new("CERTIFICATE", certificate.to_vec()), config)
}

fn authority_params(payload: &Payload) -> Result<CertificateParams, CertificateError> {
    let mut params = CertificateParams::default();
    let id = authority_id(&payload.authority.key);
    // The API server tells the authorities of its bundle apart by name; two kits of one cluster must not have the same.
    let name = format!("Gatepass break-glass {} {id}", payload.cluster);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(serial(&sha256(&[&payload.authority.key])));
    params.not_before = date(payload.authority.not_before)?;
    params.not_after = date(payload.authority.not_after)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    // Clients and nothing else: Go holds the usages of a leaf against its authority's.
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

/// Eight hexadecimal digits of the SHA-256 of an authority's public key.
pub(crate) fn authority_id(key: &[u8; 32]) -> String {
    data_encoding::HEXLOWER.encode(&sha256(&[key])[..4])
}

fn sign_leaf(
    payload: &Payload,
    leaf: &Leaf<'_>,
    key: &Quorum,
) -> Result<CertificateDer<'static>, CertificateError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("{USER_PREFIX}{}", leaf.who));
    params.distinguished_name.push(DnType::OrganizationName, GROUP);
    let not_before = leaf.not_before.to_be_bytes();
    params.serial_number = Some(serial(&sha256(&[
        b"gatepass/serial/v1\0",
        leaf.request,
        &not_before,
    ])));
    params.not_before = date(leaf.not_before)?;
    params.not_after = date(leaf.not_after)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let issuer = Issuer::new(authority_params(payload)?, key);
    Ok(params.signed_by(&Subject(leaf.key), &issuer)?.der().clone())
}

/// 127 bits: positive, and never longer than RFC 5280, section 4.1.2.2, allows.
fn serial(hash: &[u8; 32]) -> SerialNumber {
    let mut bytes = hash[..16].to_vec();
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from(bytes)
}

fn date(unix: i64) -> Result<OffsetDateTime, CertificateError> {
    // A round two from anybody can hold any number, and rcgen panics at a year before 0.
    let date = OffsetDateTime::from_unix_timestamp(unix).ok();
    let date = date.filter(|date| *date >= OffsetDateTime::UNIX_EPOCH);
    date.ok_or(CertificateError::Date(unix))
}

fn to_be_signed(
    public: &[u8; 32],
    build: impl FnOnce(&Quorum) -> Result<CertificateDer<'static>, CertificateError>,
) -> Result<Vec<u8>, CertificateError> {
    let key = Quorum {
        public: *public,
        signature: None,
        asked: RefCell::default(),
    };
    let built = build(&key);
    let asked = key.asked.take();
    match (asked.is_empty(), built) {
        (true, Err(error)) => Err(error),
        _ => Ok(asked),
    }
}

/// The authority's key as rcgen wants it: it is nowhere, so this notes what it should sign, or gives the signature that a
/// quorum made.
struct Quorum {
    public: [u8; 32],
    signature: Option<[u8; 64]>,
    asked: RefCell<Vec<u8>>,
}

impl Quorum {
    fn with(public: &[u8; 32], signature: [u8; 64]) -> Self {
        Self {
            public: *public,
            signature: Some(signature),
            asked: RefCell::default(),
        }
    }
}

impl PublicKeyData for Quorum {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl SigningKey for Quorum {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.asked.replace(message.to_vec());
        match self.signature {
            Some(signature) => Ok(signature.to_vec()),
            None => Err(rcgen::Error::RemoteKeyError),
        }
    }
}

struct Subject<'a>(&'a [u8; 65]);

impl PublicKeyData for Subject<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}
