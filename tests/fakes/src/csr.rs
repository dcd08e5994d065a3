use data_encoding::BASE64;
use rcgen::{CertificateParams, DnType, KeyPair, RsaKeySize, SignatureAlgorithm};

/// Kinds of keys that certificate requests are made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum CsrKey {
    P256,
    P384,
    P521,
    Ed25519,
    Rsa2048,
    Rsa3072,
    Rsa4096,
}

impl CsrKey {
    /// A new key pair.
    pub fn generate(self) -> KeyPair {
        let plain = |algorithm: &'static SignatureAlgorithm| KeyPair::generate_for(algorithm);
        let rsa = |size| KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size);
        match self {
            Self::P256 => plain(&rcgen::PKCS_ECDSA_P256_SHA256),
            Self::P384 => plain(&rcgen::PKCS_ECDSA_P384_SHA384),
            Self::P521 => plain(&rcgen::PKCS_ECDSA_P521_SHA512),
            Self::Ed25519 => plain(&rcgen::PKCS_ED25519),
            Self::Rsa2048 => rsa(RsaKeySize::_2048),
            Self::Rsa3072 => rsa(RsaKeySize::_3072),
            Self::Rsa4096 => rsa(RsaKeySize::_4096),
        }
        .expect("key generation")
    }
}

/// A PEM certificate request with a new key. Its subject asks for what must never be granted.
pub fn csr(key: CsrKey) -> String {
    pem(&csr_der(&key.generate()))
}

/// A DER certificate request with this key; its subject and extensions ask for what must never be granted.
pub fn csr_der(key: &KeyPair) -> Vec<u8> {
    let mut params = CertificateParams::new(["attacker.example".to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, "system:admin");
    params
        .distinguished_name
        .push(DnType::OrganizationName, "system:masters");
    params.serialize_request(key).expect("a request").der().to_vec()
}

/// `der` as PEM `CERTIFICATE REQUEST`.
pub fn pem(der: &[u8]) -> String {
    let mut text = String::from("-----BEGIN CERTIFICATE REQUEST-----\n");
    let base64 = BASE64.encode(der);
    for line in base64.as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE REQUEST-----\n");
    text
}
