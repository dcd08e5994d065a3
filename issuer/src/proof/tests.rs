use fakes::{Login, SessionKey, b64, unb64};
use proptest::prelude::*;
use serde_json::json;

use super::*;

/// The example key of RFC 7517 appendix A.1; thumbprint and nonce were computed by another program (Python's hashlib).
#[test]
fn thumbprint_and_commitment_are_as_documented() {
    let (x, y) = (
        "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    );
    let point = [vec![4], unb64(x), unb64(y)].concat();
    let thumbprint = thumbprint(&point);
    assert_eq!(thumbprint, "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s");
    let random: [u8; 24] = std::array::from_fn(|at| u8::try_from(at).unwrap());
    let proof = Proof {
        thumbprint,
        point,
        salt: Salt::new(1_790_000_000, random),
        id: "1".into(),
    };
    assert_eq!(proof.commitment(), "1Fz-inoDvAS1o35a4i1jodPw2peC5H-ih7QfNUYDIVY");
}

#[test]
fn a_second_implementation_agrees_on_the_commitment() {
    let login = Login::new(1_790_000_000);
    let text = login.proof("https://i/v1/certificates", "c", b"{}", 1);
    let expected = Expected {
        method: "POST",
        url: "https://i/v1/certificates",
        cluster_id: "c",
        body: b"{}",
        now: 1,
    };
    let proof = UnverifiedProof::parse(&text).unwrap().verify(&expected).unwrap();
    assert_eq!(proof.thumbprint(), login.key.thumbprint());
    assert_eq!(proof.commitment(), login.nonce());
    assert_eq!(proof.login_time(), 1_790_000_000);
}

/// The fuzz target: any text is read or refused, never a panic, and never verified.
fn any_proof(text: &str) {
    if let Ok(proof) = UnverifiedProof::parse(text) {
        let expected = Expected {
            method: "POST",
            url: "u",
            cluster_id: "c",
            body: b"",
            now: 0,
        };
        assert!(proof.verify(&expected).is_err());
    }
}

fn signed(header: &str, payload: &str) -> String {
    format!("{}.{}.{}", b64(header), b64(payload), b64([0; 64]))
}

#[test]
fn a_corpus_of_proofs_is_handled() {
    let key = SessionKey::generate();
    let header = key.proof_header().to_string();
    for payload in [
        "{}",
        "[]",
        r#"{"htm":"POST"}"#,
        r#"{"salt":"AA"}"#,
        r#"{"jti":"","jti":""}"#,
        "\u{0}",
    ] {
        any_proof(&signed(&header, payload));
        any_proof(&signed(payload, &header));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_handled(text in ".{0,200}", header in ".{0,100}", payload in ".{0,100}") {
        any_proof(&text);
        any_proof(&signed(&header, &payload));
    }

    #[test]
    fn any_claims_under_an_honest_header_are_handled(
        salt in "[A-Za-z0-9_-]{0,50}", body in "[A-Za-z0-9_-]{43}", iat: i64, jti in ".{0,20}",
    ) {
        let point = b64([3; 32]);
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": {"kty": "EC", "crv": "P-256", "x": point, "y": point}});
        let claims = json!({"htm": "POST", "htu": "u", "cluster": "c", "salt": salt, "body": body, "iat": iat, "jti": jti});
        any_proof(&signed(&header.to_string(), &claims.to_string()));
    }
}
