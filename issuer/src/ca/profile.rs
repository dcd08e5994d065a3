//! The profile of a client certificate.

use aws_lc_rs::digest::{SHA256, digest};
use x509_cert::TbsCertificate;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::builder::{self, profile::BuilderProfile};
use x509_cert::der::asn1::{Any, OctetString, SetOfVec, Utf8StringRef};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, ToExtension};
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};
use x509_cert::spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

use super::Subject;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
/// Kubernetes' attribute for a user's UID (k8s.io/apimachinery `pkg/apis/asn1`).
const UID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57683.2");
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

pub(super) struct ClientCertificate<'a> {
    issuer: &'a Name,
    issuer_key_id: &'a OctetString,
    subject: Name,
}

impl<'a> ClientCertificate<'a> {
    pub(super) fn new(
        issuer: &'a Name,
        issuer_key_id: &'a OctetString,
        subject: &Subject<'_>,
    ) -> x509_cert::der::Result<Self> {
        let identity = subject.identity;
        // One RDN per value, in mapped order: a set would be sorted by its encoding, and some readers take one of it.
        let groups = identity
            .groups()
            .iter()
            .map(|group| (ORGANIZATION, group.as_str()));
        let names = std::iter::once((COMMON_NAME, identity.username()))
            .chain(groups)
            .chain([(ORGANIZATION, subject.marker), (UID, identity.uid())])
            .map(|(oid, value)| attribute(oid, value))
            .collect::<x509_cert::der::Result<Vec<_>>>()?;
        let subject = Name::hazmat_from_rdn_sequence(RdnSequence::from(names));
        Ok(Self {
            issuer,
            issuer_key_id,
            subject,
        })
    }
}

fn attribute(oid: ObjectIdentifier, value: &str) -> x509_cert::der::Result<RelativeDistinguishedName> {
    let value = Any::from(Utf8StringRef::new(value)?);
    Ok(SetOfVec::try_from([AttributeTypeAndValue { oid, value }])?.into())
}

impl BuilderProfile for ClientCertificate<'_> {
    fn get_issuer(&self, _subject: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        key: SubjectPublicKeyInfoRef<'_>,
        _issuer_key: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> builder::Result<Vec<Extension>> {
        // RFC 7093 section 2, method 1: what names a key is SHA-256, cut to the size readers expect.
        let key_id = digest(&SHA256, key.subject_public_key.raw_bytes());
        let key_id = SubjectKeyIdentifier(OctetString::new(&key_id.as_ref()[..20])?);
        let authority = AuthorityKeyIdentifier {
            key_identifier: Some(self.issuer_key_id.clone()),
            ..Default::default()
        };
        let subject = tbs.subject();
        Ok(vec![
            BasicConstraints {
                ca: false,
                path_len_constraint: None,
            }
            .to_extension(subject, &[])?,
            KeyUsage(KeyUsages::DigitalSignature.into()).to_extension(subject, &[])?,
            ExtendedKeyUsage(vec![CLIENT_AUTH]).to_extension(subject, &[])?,
            key_id.to_extension(subject, &[])?,
            authority.to_extension(subject, &[])?,
        ])
    }
}
