use fakes::b64;
use proptest::prelude::*;

use super::*;

fn error(text: &str) -> Option<Error> {
    UnverifiedJws::parse(text).err()
}

fn jws(header: &str, payload: &str) -> String {
    format!("{}.{}.{}", b64(header), b64(payload), b64("signature"))
}

#[test]
fn a_compact_jws_is_split_and_decoded() {
    let text = jws(
        r#"{"alg":"ES256","kid":"k","typ":"JWT","other":[1]}"#,
        r#"{"a":1}"#,
    );
    let jws = UnverifiedJws::parse(&text).unwrap();
    assert_eq!(
        (jws.alg.as_str(), jws.kid.as_deref(), jws.typ.as_deref()),
        ("ES256", Some("k"), Some("JWT"))
    );
    assert_eq!(jws.payload["a"], 1);
    assert_eq!(jws.signature, b"signature");
    assert_eq!(jws.signing_input, text.rsplit_once('.').unwrap().0.as_bytes());
}

#[test]
fn each_fault_has_its_name() {
    let good = jws(r#"{"alg":"x"}"#, "{}");
    assert_eq!(error(&good), None);
    for text in ["", "a", "a.b", "e30.e30.e30.e30", "...."] {
        assert_eq!(error(text), Some(Error::Parts), "{text}");
    }
    for text in [
        format!("{good}="),
        format!("{good}\n"),
        format!(" {good}"),
        good.replace('.', "+."),
        format!("{good}A"),
    ] {
        assert_eq!(error(&text), Some(Error::Base64), "{text}");
    }
    // "e30" is "{}"; its last character has two unused bits.
    assert_eq!(
        error(&format!("{}.e31.", b64(r#"{"alg":"x"}"#))),
        Some(Error::Base64)
    );
    assert_eq!(
        error(&jws("[]", "{}")),
        Some(Error::Header(strict_json::Error::NotAnObject))
    );
    assert_eq!(
        error(&jws(r#"{"alg":"x"}"#, "1")),
        Some(Error::Payload(strict_json::Error::NotAnObject))
    );
    assert_eq!(error(&jws("{}", "{}")), Some(Error::Member("alg")));
    assert_eq!(error(&jws(r#"{"alg":["x"]}"#, "{}")), Some(Error::Member("alg")));
    assert_eq!(
        error(&jws(r#"{"alg":"x","kid":1}"#, "{}")),
        Some(Error::Member("kid"))
    );
    assert_eq!(
        error(&jws(r#"{"alg":"x","typ":null}"#, "{}")),
        Some(Error::Member("typ"))
    );
    assert_eq!(
        error(&jws(r#"{"alg":"x","crit":[]}"#, "{}")),
        Some(Error::Critical)
    );
    for member in PRIVATE_MEMBERS {
        assert_eq!(
            error(&jws(&format!(r#"{{"alg":"x","{member}":""}}"#), "{}")),
            Some(Error::PrivateKey)
        );
        assert_eq!(
            error(&jws(&format!(r#"{{"alg":"x","jwk":{{"{member}":""}}}}"#), "{}")),
            Some(Error::PrivateKey)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_handled(text in "[A-Za-z0-9_.=-]{0,200}", header in ".{0,60}", payload in ".{0,60}") {
        let _either = UnverifiedJws::parse(&text).is_ok();
        let _either = UnverifiedJws::parse(&jws(&header, &payload)).is_ok();
    }

    #[test]
    fn base64url_has_one_text_for_each_value(text in "[A-Za-z0-9_-]{0,12}") {
        if let Ok(bytes) = base64url(&text) {
            prop_assert_eq!(b64(bytes), text);
        }
    }
}
