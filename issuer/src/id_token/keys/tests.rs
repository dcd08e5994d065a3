use fakes::{Idp, SigningKey, b64, unb64};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap()
}

fn with(mut jwk: Value, member: &str, value: Value) -> Value {
    jwk[member] = value;
    jwk
}

#[test]
fn a_providers_keys_are_usable_for_the_algorithms_of_their_kind() {
    let keys = KeySet::parse(Idp::new("i").jwks().to_string().as_bytes()).unwrap();
    assert_eq!(keys.len(), 9);
    for (alg, kid) in [
        ("RS256", "rsa"),
        ("PS512", "rsa"),
        ("ES256", "p256"),
        ("ES384", "p384"),
        ("EdDSA", "ed25519"),
    ] {
        let algorithm = Algorithm::from_name(alg).unwrap();
        assert!(keys.find(algorithm, Some(kid)).is_some(), "{alg}");
        assert!(keys.find(algorithm, None).is_some(), "{alg}");
        assert!(keys.find(algorithm, Some("other")).is_none(), "{alg}");
    }
    assert!(keys.find(Algorithm::Es256, Some("p384")).is_none());
    assert!(keys.find(Algorithm::Rs256, Some("p256")).is_none());
}

#[test]
fn a_keys_own_alg_binds() {
    let keys = set(&[with(SigningKey::rsa().public_jwk(), "alg", json!("PS256"))]);
    assert!(keys.find(Algorithm::Ps256, None).is_some());
    assert!(keys.find(Algorithm::Rs256, None).is_none());
    assert_eq!(keys.len(), 1);
}

#[test]
fn without_kid_two_fitting_keys_are_none() {
    let (one, two) = (SigningKey::p256().public_jwk(), SigningKey::p256().public_jwk());
    let keys = set(&[with(one, "kid", json!("1")), with(two, "kid", json!("2"))]);
    assert!(keys.find(Algorithm::Es256, None).is_none());
    assert!(keys.find(Algorithm::Es256, Some("1")).is_some());
}

#[test]
fn two_keys_under_one_kid_are_none_unless_their_kind_tells_them_apart() {
    let key = || with(SigningKey::p256().public_jwk(), "kid", json!("1"));
    assert!(set(&[key(), key()]).find(Algorithm::Es256, Some("1")).is_none());
    let other = with(SigningKey::p384().public_jwk(), "kid", json!("1"));
    assert!(set(&[key(), other]).find(Algorithm::Es256, Some("1")).is_some());
}

#[test]
fn a_key_without_kid_does_not_fit_a_token_with_one() {
    assert!(
        set(&[SigningKey::p256().public_jwk()])
            .find(Algorithm::Es256, Some("1"))
            .is_none()
    );
}

#[test]
fn unusable_keys_are_skipped_and_the_others_stay() {
    let (p256, rsa) = (SigningKey::p256().public_jwk(), SigningKey::rsa().public_jwk());
    let short_modulus = b64(&unb64(rsa["n"].as_str().unwrap())[..255]);
    for unusable in [
        with(rsa.clone(), "use", json!("enc")),
        with(rsa.clone(), "use", json!(1)),
        with(rsa.clone(), "alg", json!("RSA-OAEP")),
        with(rsa.clone(), "alg", json!(256)),
        with(rsa.clone(), "key_ops", json!(["encrypt"])),
        with(rsa.clone(), "n", json!(short_modulus)),
        with(rsa.clone(), "n", json!("")),
        with(rsa.clone(), "n", json!("AA==")),
        with(rsa.clone(), "e", json!("AQ")),
        with(rsa.clone(), "e", json!(null)),
        with(rsa.clone(), "d", json!("AQAB")),
        with(rsa.clone(), "kid", json!(1)),
        with(p256.clone(), "crv", json!("P-521")),
        with(p256.clone(), "crv", json!("secp256k1")),
        with(p256.clone(), "crv", json!("P-384")),
        with(p256.clone(), "x", json!(b64([1; 32]))),
        with(p256.clone(), "kty", json!("RSA")),
        json!({"kty": "oct", "k": "c2VjcmV0"}),
        json!({"kty": "OKP", "crv": "X25519", "x": b64([1; 32])}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": b64([1; 31])}),
        json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}),
        json!({}),
        json!("key"),
        json!(null),
    ] {
        let keys = set(&[unusable.clone(), with(p256.clone(), "kid", json!("good"))]);
        assert_eq!(keys.len(), 1, "{unusable}");
        assert!(keys.find(Algorithm::Es256, Some("good")).is_some());
    }
}

#[test]
fn leading_zeros_of_a_modulus_do_not_matter() {
    let rsa = SigningKey::rsa().public_jwk();
    let padded = [vec![0], unb64(rsa["n"].as_str().unwrap())].concat();
    assert_eq!(set(&[with(rsa, "n", json!(b64(padded)))]).len(), 6);
}

#[test]
fn what_is_no_key_set_is_refused() {
    assert_eq!(
        KeySet::parse(b"[]").unwrap_err(),
        KeySetError::Json(strict_json::Error::NotAnObject)
    );
    assert_eq!(KeySet::parse(b"{}").unwrap_err(), KeySetError::NoKeys);
    assert_eq!(KeySet::parse(br#"{"keys":{}}"#).unwrap_err(), KeySetError::NoKeys);
    assert!(KeySet::parse(br#"{"keys":[]}"#).unwrap().is_empty());
}

/// The fuzz target: any bytes are a key set or refused.
fn any_key_set(bytes: &[u8]) {
    if let Ok(keys) = KeySet::parse(bytes) {
        let _either = keys
            .find(Algorithm::Rs256, None)
            .is_some_and(|key| key.verifies(b"message", b"signature"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_handled(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        any_key_set(&bytes);
    }

    #[test]
    fn any_members_are_handled(
        kty in "(RSA|EC|OKP|oct|x)", crv in "(P-256|P-384|Ed25519|x)", x in "[A-Za-z0-9_-]{0,70}", e in "[A-Za-z0-9_-]{0,6}",
    ) {
        let jwk = json!({"kty": kty, "crv": crv, "x": x, "y": x, "n": x.repeat(8), "e": e});
        any_key_set(json!({"keys": [jwk]}).to_string().as_bytes());
    }
}
