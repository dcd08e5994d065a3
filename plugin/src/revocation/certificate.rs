//! What a certificate in a file tells about what to revoke.

use std::{fs, path::Path};

use gatepass_api::{GROUP_PREFIX, Marker};
use time::OffsetDateTime;
use x509_parser::parse_x509_certificate;

use super::error::RevocationError;
use crate::certificate::credential_id;

/// Members of this group no API server asks about.
const LET_IN: &str = "system:masters";

/// A certificate as a revocation sees it. Who signed it is not looked at: a foreign one is revoked as well.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    /// `X509SHA256=…`
    pub(super) credential_id: String,
    /// The session that its marker names. Only an issuer can tell whether it does so rightly.
    pub(super) session: Option<String>,
    /// Whether it has the group that API servers let in before they ask anybody.
    pub(super) is_let_in: bool,
    /// Its end.
    pub(super) not_after: OffsetDateTime,
}

impl Certificate {
    /// The first certificate in a PEM file; keys beside it are skipped.
    pub(super) fn read(path: &Path) -> Result<Self, RevocationError> {
        let wrong = |problem: String| RevocationError::Certificate {
            path: path.to_owned(),
            problem,
        };
        let bytes = fs::read(path).map_err(|error| RevocationError::CertificateFile {
            path: path.to_owned(),
            error,
        })?;
        let blocks =
            pem::parse_many(bytes).map_err(|error| wrong(format!("its PEM cannot be read: {error}")))?;
        let leaf = blocks
            .iter()
            .find(|block| block.tag() == "CERTIFICATE")
            .ok_or_else(|| wrong("there is no PEM block `-----BEGIN CERTIFICATE-----` in it".into()))?;
        Self::from_der(leaf.contents()).map_err(wrong)
    }

    fn from_der(der: &[u8]) -> Result<Self, String> {
        let (rest, certificate) =
            parse_x509_certificate(der).map_err(|_| "what its PEM block holds is no X.509 certificate")?;
        if !rest.is_empty() {
            return Err("something follows the certificate in its PEM block".into());
        }
        let groups = certificate.subject().iter_organization();
        let ours: Vec<_> = groups
            .filter_map(|group| group.as_str().ok())
            .filter(|group| group.starts_with(GROUP_PREFIX))
            .collect();
        let marker = match ours.as_slice() {
            [one] => Marker::parse(one),
            // With a second group of that kind no API server takes it for a marker.
            [] | [_, _, ..] => None,
        };
        Ok(Self {
            credential_id: credential_id(der),
            is_let_in: certificate
                .subject()
                .iter_organization()
                .any(|group| group.as_str().ok() == Some(LET_IN)),
            session: marker.map(|marker| marker.session.to_owned()),
            not_after: certificate.validity().not_after.to_datetime(),
        })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;

    fn der(groups: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.not_after = date_time_ymd(2027, 1, 1);
        // rcgen keeps one attribute of a type, so that the second is the same type by its number.
        let types = [DnType::OrganizationName, DnType::CustomDnType(vec![2, 5, 4, 10])];
        for (name, group) in types.into_iter().zip(groups) {
            params.distinguished_name.push(name, *group);
        }
        params
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
            .der()
            .to_vec()
    }

    fn marker() -> String {
        let id = "a".repeat(26);
        format!("gatepass:session:{id}-{id}:1790000000:1790000600:{id}")
    }

    #[test]
    fn a_marker_tells_the_session_and_anything_else_does_not() {
        let session = |groups: &[&str]| Certificate::from_der(&der(groups)).unwrap().session;
        let id = "a".repeat(26);
        assert_eq!(session(&[&marker()]), Some(format!("{id}-{id}")));
        assert_eq!(session(&["sre"]), None);
        assert_eq!(session(&["gatepass:session:x"]), None);
        assert_eq!(session(&["sre", &marker()]), Some(format!("{id}-{id}")));
        assert_eq!(
            session(&["gatepass:x", &marker()]),
            None,
            "no API server takes that for a marker"
        );
    }

    #[test]
    fn a_certificate_that_no_revocation_reaches_is_known() {
        let is_let_in = |groups: &[&str]| Certificate::from_der(&der(groups)).unwrap().is_let_in;
        assert!(is_let_in(&["system:masters"]));
        assert!(is_let_in(&["sre", "system:masters"]));
        assert!(!is_let_in(&["sre"]));
    }

    #[test]
    fn the_file_may_hold_a_key_and_the_rest_of_the_chain() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tls.pem");
        let (leaf, ca) = (der(&[]), der(&[]));
        let block = |tag: &str, bytes: &[u8]| pem::encode(&pem::Pem::new(tag, bytes));
        let text = [
            block("PRIVATE KEY", b"k"),
            block("CERTIFICATE", &leaf),
            block("CERTIFICATE", &ca),
        ];
        fs::write(&path, text.concat()).unwrap();
        let read = Certificate::read(&path).unwrap();
        assert_eq!(read.credential_id, credential_id(&leaf));
        assert_eq!(read.not_after, date_time_ymd(2027, 1, 1));
    }

    #[test]
    fn what_holds_no_certificate_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let read = || Certificate::read(&path).unwrap_err().to_string();
        assert!(read().contains("cannot be read"));
        let block = |tag: &str, bytes: &[u8]| pem::encode(&pem::Pem::new(tag, bytes));
        let trailing = [der(&[]), vec![0]].concat();
        for text in [
            "junk".into(),
            block("PRIVATE KEY", b"k"),
            block("CERTIFICATE", b"junk"),
            block("CERTIFICATE", &trailing),
        ] {
            fs::write(&path, text).unwrap();
            assert!(read().contains("holds no certificate"));
        }
    }
}
