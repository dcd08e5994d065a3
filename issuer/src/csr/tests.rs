use aws_lc_rs::digest::{Digest, SHA256, SHA384, digest};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use fakes::{CsrKey, csr, csr_der, pem};
use proptest::prelude::*;
use x509_cert::der::Encode;
use x509_cert::der::asn1::{Any, BitString, Null, UintRef};
use x509_cert::name::Name;
use x509_cert::request::{CertReqInfo, Version};

use super::*;

const SHA1_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5");

fn verify(pem: &str) -> Result<VerifiedCsr, Error> {
    VerifiedCsr::verify(pem, &[])
}

fn error(der: &[u8]) -> Option<Error> {
    verify(&pem(der)).err()
}

/// A request whose key and algorithm are made up; its signature is not.
fn made_up(key: SubjectPublicKeyInfoOwned, algorithm: AlgorithmIdentifierOwned) -> Vec<u8> {
    let info = CertReqInfo {
        version: Version::V1,
        subject: Name::default(),
        public_key: key,
        attributes: Default::default(),
    };
    let signature = BitString::from_bytes(&[0x30; 64]).unwrap();
    CertReq {
        info,
        algorithm,
        signature,
    }
    .to_der()
    .unwrap()
}

fn null() -> Option<Any> {
    Some(Any::from(Null))
}

fn rsa(bits: usize, e: &[u8]) -> SubjectPublicKeyInfoOwned {
    let mut n = vec![0xff; bits / 8];
    n[0] = 0x80;
    rsa_with(&n, e)
}

fn rsa_with(n: &[u8], e: &[u8]) -> SubjectPublicKeyInfoOwned {
    let key = vec![UintRef::new(n).unwrap(), UintRef::new(e).unwrap()]
        .to_der()
        .unwrap();
    SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned {
            oid: oid::RSA,
            parameters: null(),
        },
        subject_public_key: BitString::from_bytes(&key).unwrap(),
    }
}

fn rsa_signed() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid: oid::RSA_SHA256,
        parameters: null(),
    }
}

fn ec(curve: ObjectIdentifier, point: &[u8]) -> SubjectPublicKeyInfoOwned {
    SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned {
            oid: oid::EC,
            parameters: Some(Any::from(&curve)),
        },
        subject_public_key: BitString::from_bytes(point).unwrap(),
    }
}

fn algorithm(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid,
        parameters: None,
    }
}

#[test]
fn requests_of_every_accepted_kind_verify_and_only_the_key_is_kept() {
    for kind in [CsrKey::P256, CsrKey::P384, CsrKey::Ed25519, CsrKey::Rsa2048] {
        let key = kind.generate();
        let verified = verify(&pem(&csr_der(&key))).unwrap();
        assert_eq!(
            verified.into_key().to_der().unwrap(),
            rcgen::PublicKeyData::subject_public_key_info(&key)
        );
    }
}

#[test]
fn line_ends_of_windows_are_accepted() {
    assert!(verify(&csr(CsrKey::P256).replace('\n', "\r\n")).is_ok());
}

#[test]
fn rsa_keys_below_2048_and_above_4096_bits_are_weak() {
    for (bits, expected) in [
        (1024, Error::WeakKey),
        (2040, Error::WeakKey),
        (2048, Error::BadSignature),
        (4096, Error::BadSignature),
        (4104, Error::WeakKey),
        (16384, Error::WeakKey),
    ] {
        assert_eq!(
            error(&made_up(rsa(bits, &[1, 0, 1]), rsa_signed())),
            Some(expected),
            "{bits}"
        );
    }
}

#[test]
fn rsa_keys_with_odd_exponents_below_65537_or_even_ones_are_weak() {
    for e in [&[1][..], &[3], &[1, 0, 0], &[1, 0, 0, 0], &[1; 9]] {
        assert_eq!(
            error(&made_up(rsa(2048, e), rsa_signed())),
            Some(Error::WeakKey),
            "{e:?}"
        );
    }
}

#[test]
fn an_even_rsa_modulus_is_weak() {
    assert_eq!(
        error(&made_up(rsa_with(&[0xfe; 256], &[1, 0, 1]), rsa_signed())),
        Some(Error::WeakKey)
    );
}

#[test]
fn other_curves_and_kinds_are_weak() {
    let secp256k1 = ObjectIdentifier::new_unwrap("1.3.132.0.10");
    assert_eq!(
        error(&made_up(ec(secp256k1, &[4; 65]), algorithm(oid::ECDSA_SHA256))),
        Some(Error::WeakKey)
    );
    let mut x25519 = ec(oid::P256, &[9; 32]);
    x25519.algorithm = algorithm(ObjectIdentifier::new_unwrap("1.3.101.110"));
    assert_eq!(
        error(&made_up(x25519, algorithm(oid::ED25519))),
        Some(Error::WeakKey)
    );
    assert_eq!(verify(&csr(CsrKey::P521)).err(), Some(Error::WeakKey));
}

#[test]
fn compressed_points_and_points_of_another_length_are_malformed() {
    for point in [&[2; 33][..], &[4; 64], &[4; 66], &[6; 65], &[0]] {
        assert!(matches!(
            error(&made_up(ec(oid::P256, point), algorithm(oid::ECDSA_SHA256))),
            Some(Error::Malformed(_))
        ));
    }
}

#[test]
fn a_hash_that_does_not_go_with_the_curve_is_a_bad_signature() {
    for (key, signed) in [
        (ec(oid::P256, &[4; 65]), algorithm(oid::ECDSA_SHA384)),
        (ec(oid::P384, &[4; 97]), algorithm(oid::ECDSA_SHA256)),
        (ec(oid::P256, &[4; 65]), algorithm(oid::ED25519)),
        (
            rsa(2048, &[1, 0, 1]),
            AlgorithmIdentifierOwned {
                oid: SHA1_RSA,
                parameters: null(),
            },
        ),
        (rsa(2048, &[1, 0, 1]), algorithm(oid::ECDSA_SHA256)),
    ] {
        assert_eq!(error(&made_up(key, signed)), Some(Error::BadSignature));
    }
}

#[test]
fn a_valid_p384_signature_with_sha256_is_refused_too() {
    let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
    let key_info = ec(oid::P384, key.public_key().as_ref());
    let info = CertReqInfo {
        version: Version::V1,
        subject: Name::default(),
        public_key: key_info,
        attributes: Default::default(),
    };
    // The same number as SHA-256 gives, in the length of SHA-384: the library signs no such pair by itself.
    let number = [&[0; 16][..], digest(&SHA256, &info.to_der().unwrap()).as_ref()].concat();
    let signature = key
        .sign_digest(&Digest::import_less_safe(&number, &SHA384).unwrap())
        .unwrap();
    let signature = BitString::from_bytes(signature.as_ref()).unwrap();
    let der = CertReq {
        info,
        algorithm: algorithm(oid::ECDSA_SHA256),
        signature,
    }
    .to_der()
    .unwrap();
    let (_, parsed) = X509CertificationRequest::from_der(&der).unwrap();
    assert!(parsed.verify_signature().is_ok(), "it is a valid signature");
    assert_eq!(error(&der), Some(Error::BadSignature));
}

#[test]
fn parameters_that_do_not_belong_are_refused() {
    let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
    let info = CertReqInfo {
        version: Version::V1,
        subject: Name::default(),
        public_key: ec(oid::P384, key.public_key().as_ref()),
        attributes: Default::default(),
    };
    let signature = key
        .sign(&aws_lc_rs::rand::SystemRandom::new(), &info.to_der().unwrap())
        .unwrap();
    let signature = BitString::from_bytes(signature.as_ref()).unwrap();
    // The signature does not cover its own algorithm, so both requests are signed by their key.
    for (parameters, expected) in [(None, None), (null(), Some(Error::BadSignature))] {
        let (info, signature) = (info.clone(), signature.clone());
        let algorithm = AlgorithmIdentifierOwned {
            oid: oid::ECDSA_SHA384,
            parameters,
        };
        assert_eq!(
            error(
                &CertReq {
                    info,
                    algorithm,
                    signature
                }
                .to_der()
                .unwrap()
            ),
            expected
        );
    }
    let mut key = rsa(2048, &[1, 0, 1]);
    key.algorithm.parameters = None;
    assert!(matches!(
        error(&made_up(key, rsa_signed())),
        Some(Error::Malformed(_))
    ));
}

#[test]
fn the_session_key_is_refused() {
    let key = CsrKey::P256.generate();
    let request = pem(&csr_der(&key));
    let point = key.public_key_raw();
    assert_eq!(
        VerifiedCsr::verify(&request, point).err(),
        Some(Error::SessionKey)
    );
}

#[test]
fn what_is_not_one_block_with_one_request_is_malformed() {
    let good = csr_der(&CsrKey::P256.generate());
    for der in [
        vec![],
        vec![0x30],
        good[..good.len() - 1].to_vec(),
        [&good[..], &[0]].concat(),
    ] {
        assert!(matches!(error(&der), Some(Error::Malformed(_))));
    }
    // A longer form of the same length: BER, not DER.
    let mut ber = good.clone();
    assert_eq!(ber[1], 0x82, "a length in two bytes");
    ber[1] = 0x83;
    ber.insert(2, 0);
    assert!(matches!(error(&ber), Some(Error::Malformed(_))));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The fuzz target: any text is a request or refused.
    #[test]
    fn any_text_and_any_der_are_handled(text in ".{0,200}", der in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(verify(&text).is_err());
        prop_assert!(error(&der).is_some());
    }

    #[test]
    fn a_request_with_one_byte_changed_is_refused(at: prop::sample::Index, by in 1u8..) {
        static GOOD: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| csr_der(&CsrKey::P256.generate()));
        let mut der = GOOD.clone();
        let at = at.index(der.len());
        der[at] ^= by;
        prop_assert!(error(&der).is_some(), "byte {at}");
    }
}
