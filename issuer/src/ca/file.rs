//! A certificate authority whose key lies in a file.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use x509_cert::Certificate;
use x509_cert::der::asn1::OctetString;
use x509_cert::der::pem::LineEnding;
use x509_cert::der::{Document, Encode, EncodePem};
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier};
use x509_cert::spki::ObjectIdentifier;

use super::{CertificateAuthority, PublicKey, Signer};

const ANY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

/// Why certificate and key are not a usable authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// No PEM certificate.
    #[error("the certificate is not PEM with one X.509 certificate or a chain of them")]
    Certificate,
    /// Not a P-256 key in PEM.
    #[error("the key is not a P-256 private key in PEM (PKCS#8 or SEC 1)")]
    Key,
    /// They do not belong together.
    #[error("the key is not the certificate's")]
    Pair,
    /// The certificate is not an authority's.
    #[error(
        "the certificate may not sign client certificates: it must have CA:TRUE and allow keyCertSign and clientAuth where it limits them"
    )]
    NotAnAuthority,
    /// The certificate is not valid now.
    #[error("the certificate has expired or is not valid yet")]
    NotValidNow,
}

impl CertificateAuthority {
    /// Reads the authority's certificate (first; intermediates may follow) and its key.
    pub fn from_pem(certificate: &str, key: &str, now: i64) -> Result<Self, LoadError> {
        let chain =
            Certificate::load_pem_chain(certificate.as_bytes()).map_err(|_| LoadError::Certificate)?;
        let authority = chain.first().ok_or(LoadError::Certificate)?;
        let tbs = authority.tbs_certificate();
        let key = key_pair(key)?;
        let spki = tbs.subject_public_key_info();
        if spki.subject_public_key.raw_bytes() != key.public_key().as_ref() {
            return Err(LoadError::Pair);
        }
        check_authority(authority)?;
        let seconds = |time: x509_cert::time::Time| {
            i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
        };
        let not_before = seconds(tbs.validity().not_before);
        let not_after = seconds(tbs.validity().not_after);
        if now < not_before || now >= not_after {
            return Err(LoadError::NotValidNow);
        }
        let key_id = match extension::<SubjectKeyIdentifier>(authority)? {
            Some(id) => id.0,
            None => OctetString::new(&digest(&SHA256, spki.subject_public_key.raw_bytes()).as_ref()[..20])
                .map_err(|_| LoadError::Certificate)?,
        };
        let public = spki
            .to_der()
            .ok()
            .and_then(|der| Document::try_from(der.as_slice()).ok());
        let intermediates = chain
            .iter()
            // A root is what the server has already.
            .filter(|one| one.tbs_certificate().issuer() != one.tbs_certificate().subject())
            .map(|one| one.to_pem(LineEnding::LF))
            .collect::<Result<String, _>>()
            .map_err(|_| LoadError::Certificate)?;
        Ok(Self {
            name: tbs.subject().clone(),
            key_id,
            intermediates,
            not_before,
            not_after,
            signer: Signer {
                key,
                public: PublicKey(public.ok_or(LoadError::Certificate)?),
            },
        })
    }
}

fn key_pair(pem: &str) -> Result<EcdsaKeyPair, LoadError> {
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    match PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| LoadError::Key)? {
        PrivateKeyDer::Pkcs8(der) => EcdsaKeyPair::from_pkcs8(algorithm, der.secret_pkcs8_der()),
        PrivateKeyDer::Sec1(der) => EcdsaKeyPair::from_private_key_der(algorithm, der.secret_sec1_der()),
        _ => return Err(LoadError::Key),
    }
    .map_err(|_| LoadError::Key)
}

fn extension<T>(certificate: &Certificate) -> Result<Option<T>, LoadError>
where
    T: for<'a> x509_cert::der::Decode<'a> + x509_cert::der::oid::AssociatedOid,
{
    match certificate.tbs_certificate().get_extension::<T>() {
        Ok(found) => Ok(found.map(|(_, value)| value)),
        Err(_) => Err(LoadError::Certificate),
    }
}

fn check_authority(certificate: &Certificate) -> Result<(), LoadError> {
    let is_ca = extension::<BasicConstraints>(certificate)?.is_some_and(|basic| basic.ca);
    let may_sign = extension::<KeyUsage>(certificate)?.is_none_or(|usage| usage.key_cert_sign());
    let for_clients = extension::<ExtendedKeyUsage>(certificate)?
        .is_none_or(|usage| usage.0.contains(&CLIENT_AUTH) || usage.0.contains(&ANY_USAGE));
    if is_ca && may_sign && for_clients {
        Ok(())
    } else {
        Err(LoadError::NotAnAuthority)
    }
}
