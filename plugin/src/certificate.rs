//! What the issuer returned, checked before it is kept: a certificate that kubectl could not use would be served until
//! its end.

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use gatepass_api::{CertificateResponse, revocation::CREDENTIAL_ID_PREFIX};
use x509_parser::pem::parse_x509_pem;

use crate::{credential::Issued, escape::Escaped, keys::CredentialKey};

/// Why a certificate cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not PEM with an X.509 certificate first.
    #[error("what it returned is no certificate")]
    Malformed,
    /// For a key that is not ours.
    #[error("the certificate it returned is for another key")]
    OtherKey,
    /// The answer's credential ID is another certificate's.
    #[error("the credential ID it returned is not that of the certificate")]
    OtherId,
}

/// The credential ID of a certificate, given its DER.
pub fn credential_id(der: &[u8]) -> String {
    let digest = HEXLOWER.encode(digest(&SHA256, der).as_ref());
    format!("{CREDENTIAL_ID_PREFIX}{digest}")
}

/// Checks that the certificate is for `key` and is the one that the answer describes.
pub fn check(answer: CertificateResponse, key: &CredentialKey) -> Result<Issued, CertificateError> {
    let (_, leaf) = parse_x509_pem(answer.certificate.as_bytes()).map_err(|_| CertificateError::Malformed)?;
    let certificate = leaf.parse_x509().map_err(|_| CertificateError::Malformed)?;
    if certificate.public_key().subject_public_key.data != key.public_point() {
        return Err(CertificateError::OtherKey);
    }
    let id = credential_id(&leaf.contents);
    if answer.credential_id != id {
        return Err(CertificateError::OtherId);
    }
    Ok(Issued {
        // The certificate's own end: the API server knows no other.
        not_after: certificate.validity().not_after.timestamp(),
        certificate: answer.certificate,
        credential_id: id,
        username: Escaped(&answer.username).to_string(),
        uid: Escaped(&answer.uid).to_string(),
        groups: answer
            .groups
            .iter()
            .map(|group| Escaped(group).to_string())
            .collect(),
        session: Escaped(&answer.session).to_string(),
        session_end: Escaped(&answer.session_end).to_string(),
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn answer(key: &CredentialKey) -> CertificateResponse {
        let pair = KeyPair::from_pem(&key.pem()).unwrap();
        let mut params = CertificateParams::default();
        params.not_after = date_time_ymd(2026, 11, 22);
        let certificate = params.self_signed(&pair).unwrap();
        CertificateResponse {
            credential_id: format!(
                "X509SHA256={}",
                HEXLOWER.encode(digest(&SHA256, certificate.der()).as_ref())
            ),
            certificate: certificate.pem(),
            not_before: String::new(),
            not_after: "9999-12-31T00:00:00Z".into(),
            username: "a\u{1b}[2J".into(),
            uid: String::new(),
            groups: vec![],
            session: String::new(),
            session_end: String::new(),
            bound: true,
            server_time: String::new(),
        }
    }

    #[test]
    fn the_end_is_the_certificates_own_and_names_are_escaped() {
        let key = CredentialKey::generate().unwrap();
        let issued = check(answer(&key), &key).unwrap();
        assert_eq!(issued.not_after, date_time_ymd(2026, 11, 22).unix_timestamp());
        assert_eq!(issued.username, "a\\u{1b}[2J");
    }

    #[test]
    fn a_certificate_that_kubectl_could_not_use_is_refused() {
        let (key, other) = (
            CredentialKey::generate().unwrap(),
            CredentialKey::generate().unwrap(),
        );
        assert_eq!(
            check(answer(&other), &key).err(),
            Some(CertificateError::OtherKey)
        );
        let mut wrong = answer(&key);
        wrong.credential_id.push('0');
        assert_eq!(check(wrong, &key).err(), Some(CertificateError::OtherId));
        let mut junk = answer(&key);
        junk.certificate = "junk".into();
        assert_eq!(check(junk, &key).err(), Some(CertificateError::Malformed));
    }
}
