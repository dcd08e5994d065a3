//! Throw-away certificate authorities for the parts around Gatepass: the identity provider and the control plane.

use std::path::Path;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, PublicKeyData as _,
};

/// A certificate authority that lives as long as the test.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// PKCS #8.
    pub key: String,
    /// SHA-256 of the public key info in base64: how Chromium is told to trust it.
    pub pin: String,
}

impl Authority {
    /// A new authority called `name`.
    pub fn new(name: &str) -> Self {
        let mut params = base(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key can be made");
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).expect("a certificate can be made"),
        }
    }

    /// Its certificate, PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for a server on loopback.
    pub fn server(&self) -> Identity {
        let mut params = base("localhost");
        params.subject_alt_names =
            CertificateParams::new(["localhost", "127.0.0.1", "::1"].map(String::from))
                .expect("these are names")
                .subject_alt_names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    /// A client certificate for `name` in `group`.
    pub fn client(&self, name: &str, group: &str) -> Identity {
        let mut params = base(name);
        params.distinguished_name.push(DnType::OrganizationName, group);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    /// A client certificate for `name` in several groups, each in an attribute of its own.
    pub fn client_in(&self, name: &str, groups: &[&str]) -> Identity {
        // openssl takes no more than 64 characters, and a marker has more; rcgen takes two by two names for one thing.
        if let [first, second] = groups {
            let mut params = base(name);
            let again = DnType::CustomDnType(vec![2, 5, 4, 10]);
            params.distinguished_name.push(DnType::OrganizationName, *first);
            params.distinguished_name.push(again, *second);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            return self.sign(params);
        }
        let organizations: String = groups
            .iter()
            .map(|group| format!("/O={}", escaped(group)))
            .collect();
        let subject = format!("{organizations}/CN={}", escaped(name));
        sign_with_openssl(&self.pem(), &self.issuer.key().serialize_pem(), &subject)
    }

    fn sign(&self, mut params: CertificateParams) -> Identity {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("a certificate can be made");
        let pin = STANDARD.encode(digest::digest(&digest::SHA256, &key.subject_public_key_info()));
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            pin,
        }
    }
}

impl Identity {
    /// Writes `<name>.crt` and `<name>.key` into `dir`.
    pub fn write(&self, dir: &Path, name: &str) {
        std::fs::write(dir.join(format!("{name}.crt")), &self.certificate)
            .expect("the scratch directory is writable");
        std::fs::write(dir.join(format!("{name}.key")), &self.key)
            .expect("the scratch directory is writable");
    }
}

/// A client certificate for any subject, in openssl's notation, by any authority: rcgen's names know no repetition.
pub fn sign_with_openssl(ca: &str, ca_key: &str, subject: &str) -> Identity {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let at = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(at("ca.crt"), ca).expect("it is writable");
    std::fs::write(at("ca.key"), ca_key).expect("it is writable");
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-new",
            "-utf8",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-days", "1", "-subj", subject])
        .args([
            "-addext",
            "extendedKeyUsage=clientAuth",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .args(["-CA", &at("ca.crt"), "-CAkey", &at("ca.key")])
        .args(["-keyout", &at("key"), "-out", &at("crt")])
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = |name: &str| std::fs::read_to_string(at(name)).expect("openssl wrote it");
    Identity {
        certificate: read("crt"),
        key: read("key"),
        pin: String::new(),
    }
}

/// What openssl prints when it is given `input`.
pub fn openssl(args: &[&str], input: &str) -> String {
    String::from_utf8(openssl_bytes(args, input)).expect("text")
}

/// The same in bytes.
pub fn openssl_bytes(args: &[&str], input: &str) -> Vec<u8> {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut child = Command::new("openssl")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    let mut stdin = child.stdin.take().expect("it was started with a pipe");
    stdin.write_all(input.as_bytes()).expect("openssl reads");
    drop(stdin);
    let output = child.wait_with_output().expect("openssl ends");
    assert!(output.status.success(), "openssl {args:?}");
    output.stdout
}

fn escaped(text: &str) -> String {
    text.replace('/', "\\/")
}

/// A key pair for service account tokens, PEM: private, public.
pub fn key_pair() -> (String, String) {
    let key = KeyPair::generate().expect("a key can be made");
    (key.serialize_pem(), key.public_key_pem())
}

fn base(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    // rcgen's default validity spans centuries: tests that show programs another time must not fall out of it.
    params
}
