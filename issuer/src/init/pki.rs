//! Keys and certificates to begin with.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

const AUTHORITY_LIFE: Duration = Duration::days(3650);
/// What browsers and operating systems accept at most.
const SERVING_LIFE: Duration = Duration::days(397);

pub(super) struct Authority {
    pub(super) certificate: String,
    pub(super) key: Zeroizing<String>,
}

/// A certificate with its authority.
pub(super) struct Serving {
    pub(super) authority: String,
    pub(super) certificate: String,
    pub(super) key: Zeroizing<String>,
}

/// The authority of client certificates: it signs leaves only.
pub(super) fn client_authority(cluster_id: &str, now: i64) -> Result<Authority, rcgen::Error> {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut params = authority_params(&format!("gatepass {cluster_id}"), now)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.self_signed(&key)?;
    Ok(Authority {
        certificate: certificate.pem(),
        key: Zeroizing::new(key.serialize_pem()),
    })
}

/// A serving certificate for this machine, by an authority whose key is dropped here: it can sign no second one.
pub(super) fn serving(now: i64) -> Result<Serving, rcgen::Error> {
    let authority_key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut params = authority_params("gatepass-issuer serving (local use)", now)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let authority = CertifiedIssuer::self_signed(params, authority_key)?;
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(names)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "gatepass-issuer");
    (params.not_before, params.not_after) = validity(now, SERVING_LIFE)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &authority)?;
    Ok(Serving {
        authority: authority.pem(),
        certificate: certificate.pem(),
        key: Zeroizing::new(key.serialize_pem()),
    })
}

/// The API servers' client certificate, by an authority whose key is dropped here. It lives as long as its authority: what it
/// may do is ask, and an API server whose certificate has ended asks no more.
pub(super) fn webhook_client(now: i64) -> Result<Serving, rcgen::Error> {
    let authority_key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut params = authority_params("gatepass API servers", now)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let authority = CertifiedIssuer::self_signed(params, authority_key)?;
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, super::WEBHOOK_CLIENT);
    (params.not_before, params.not_after) = validity(now, AUTHORITY_LIFE)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &authority)?;
    Ok(Serving {
        authority: authority.pem(),
        certificate: certificate.pem(),
        key: Zeroizing::new(key.serialize_pem()),
    })
}

fn authority_params(name: &str, now: i64) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = validity(now, AUTHORITY_LIFE)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn validity(now: i64, life: Duration) -> Result<(OffsetDateTime, OffsetDateTime), rcgen::Error> {
    let now = OffsetDateTime::from_unix_timestamp(now).map_err(|_| rcgen::Error::Time)?;
    Ok((now - Duration::minutes(5), now + life))
}
