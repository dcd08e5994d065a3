use fakes::{Idp, b64};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::idp::Client;
use crate::mapping::{Mapping, PrefixedClaim};

const NOW: i64 = 1_790_000_000;

fn provider(issuer: &str) -> IdentityProvider {
    let username = PrefixedClaim {
        claim: "sub".into(),
        prefix: String::new(),
    };
    IdentityProvider {
        issuer: issuer.to_owned(),
        clients: vec![Client {
            id: "gatepass".into(),
            scopes: Vec::new(),
        }],
        mapping: Mapping {
            username,
            groups: None,
            uid: None,
        },
        max_token_age: std::time::Duration::from_secs(600),
        certificate_authority: None,
    }
}

#[test]
fn a_token_is_never_verified_for_another_provider_even_by_its_own_keys() {
    let idp = Idp::new("https://idp.test");
    let keys = KeySet::parse(idp.jwks().to_string().as_bytes()).unwrap();
    let claims =
        json!({"iss": "https://idp.test", "sub": "s", "aud": "gatepass", "iat": NOW, "exp": NOW + 60});
    let token = idp.sign("ES256", &claims);
    let verify = |issuer: &str| {
        let token = Unverified::parse(&token).unwrap();
        verify(token, &provider(issuer), Some(&keys), Use::Fresh, NOW)
            .map(|claims| claims.subject().to_owned())
    };
    assert_eq!(verify("https://idp.test"), Ok("s".into()));
    assert_eq!(verify("https://other.test"), Err(Error::UnknownIdp));
}

#[test]
fn fractions_of_seconds_only_shorten() {
    let idp = Idp::new("https://idp.test");
    let keys = KeySet::parse(idp.jwks().to_string().as_bytes()).unwrap();
    let now = 1_790_000_000.0;
    let claims = json!({"iss": "https://idp.test", "sub": "s", "aud": "gatepass", "iat": now + 0.9, "exp": now + 60.9,
        "nbf": now - 0.1});
    let token = idp.sign("ES256", &claims);
    let token = Unverified::parse(&token).unwrap();
    let claims = verify(token, &provider("https://idp.test"), Some(&keys), Use::Fresh, NOW).unwrap();
    assert_eq!((claims.issued(), claims.expires()), (NOW, NOW + 60));
}

#[test]
fn claims_do_not_show_in_debug() {
    let idp = Idp::new("https://idp.test");
    let keys = KeySet::parse(idp.jwks().to_string().as_bytes()).unwrap();
    let claims =
        json!({"iss": "https://idp.test", "sub": "person-7", "aud": "gatepass", "iat": NOW, "exp": NOW + 60});
    let token = idp.sign("ES256", &claims);
    let token = Unverified::parse(&token).unwrap();
    let claims = verify(token, &provider("https://idp.test"), Some(&keys), Use::Fresh, NOW).unwrap();
    assert!(!format!("{claims:?}").contains("person-7"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The fuzz target: any text is read or refused, never a panic, and never verified.
    #[test]
    fn any_token_is_handled(text in ".{0,200}", header in ".{0,60}", payload in ".{0,60}", alg in "(ES256|RS256|EdDSA|none)") {
        let keys = KeySet::parse(br#"{"keys":[]}"#).unwrap();
        let honest = json!({"alg": alg}).to_string();
        let issuer = json!({"iss": "i", "sub": payload}).to_string();
        for text in [
            text,
            format!("{}.{}.", b64(&header), b64(&payload)),
            format!("{}.{}.AAAA", b64(&honest), b64(&issuer)),
        ] {
            if let Ok(token) = Unverified::parse(&text) {
                prop_assert!(verify(token, &provider("i"), Some(&keys), Use::Fresh, NOW).is_err());
            }
        }
    }
}
