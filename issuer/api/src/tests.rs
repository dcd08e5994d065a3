use serde_json::{from_value, json, to_value};

use super::*;

#[test]
fn a_request_reads_and_writes_the_documented_json() {
    let wire = json!({"idToken": "a.b.c", "loginToken": "d.e.f", "csr": "PEM", "groups": ["g"], "reason": "r", "ttlSeconds": 60});
    let request: CertificateRequest = from_value(wire.clone()).unwrap();
    assert_eq!(to_value(&request).unwrap(), wire);
    let least = json!({"idToken": "a.b.c", "csr": "PEM"});
    let request: CertificateRequest = from_value(least.clone()).unwrap();
    assert_eq!(to_value(&request).unwrap(), least);
}

#[test]
fn a_request_with_an_unknown_member_is_refused() {
    let error = from_value::<CertificateRequest>(json!({"idToken": "a", "csr": "c", "ttl": 1})).unwrap_err();
    assert!(error.to_string().contains("unknown field `ttl`"), "{error}");
}

#[test]
fn tokens_do_not_show_in_debug() {
    let request: CertificateRequest =
        from_value(json!({"idToken": "secret-one", "loginToken": "secret-two", "csr": "c"})).unwrap();
    assert!(!format!("{request:?}").contains("secret"));
}

#[test]
fn an_answer_with_unknown_members_and_values_is_read() {
    let info: ClusterInfo = from_value(json!({
        "clusterId": "c", "name": "n", "url": "https://i", "serverTime": "2026-11-22T00:00:00Z", "new": 1,
        "identityProviders": [{"issuer": "https://idp", "clientId": "k", "scopes": ["openid"],
            "flows": ["browser", "carrier-pigeon"], "binding": "off", "maxTokenAgeSeconds": 600}],
        "certificate": {"maxTtlSeconds": 600}, "session": {"maxSeconds": 43200}
    }))
    .unwrap();
    let idp = &info.identity_providers[0];
    assert_eq!(idp.flows, [Flow::Browser, Flow::Other("carrier-pigeon".into())]);
    assert_eq!(idp.binding, Binding::Other("off".into()));
    assert_eq!(
        to_value(&idp.flows).unwrap(),
        json!(["browser", "carrier-pigeon"])
    );
}

#[test]
fn every_code_survives_the_wire_and_has_the_status_of_its_kind() {
    for code in Code::ALL {
        assert_eq!(from_value::<Code>(to_value(code).unwrap()).unwrap(), *code);
        assert!((400..=503).contains(&code.status()), "{code}");
    }
    assert_eq!(
        from_value::<Code>(json!("brand_new")).unwrap(),
        Code::Other("brand_new".into())
    );
}

#[test]
fn a_code_that_is_no_plain_word_is_not_kept() {
    for code in ["\u{1b}[2J", "Upper", "", &"x".repeat(65)] {
        assert_eq!(
            from_value::<Code>(json!(code)).unwrap(),
            Code::Other("unknown".into())
        );
    }
}

#[test]
fn the_salt_carries_the_login_time_and_the_preimage_is_as_documented() {
    let salt = Salt::new(0x0102_0304_0506_0708, [9; 24]);
    assert_eq!(salt.login_time(), 0x0102_0304_0506_0708);
    assert_eq!(&salt.as_bytes()[..8], &[1, 2, 3, 4, 5, 6, 7, 8]);
    let preimage = salt.commitment_preimage("thumb");
    assert_eq!(&preimage[..18], b"gatepass/v1\0thumb\0");
    assert_eq!(&preimage[18..], salt.as_bytes());
}
