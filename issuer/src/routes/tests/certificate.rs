//! What stands in the certificate and in the audit record.

use fakes::sha256;
use x509_parser::prelude::*;

use super::*;

fn der(answer: &Value) -> Vec<u8> {
    let (_, block) =
        x509_parser::pem::parse_x509_pem(answer["certificate"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!(block.label, "CERTIFICATE");
    block.contents
}

fn subject(certificate: &X509Certificate<'_>) -> Vec<(String, u32, String)> {
    let attributes = certificate.subject().iter_rdn().map(|rdn| {
        let mut set = rdn.iter();
        let one = set.next().unwrap();
        assert!(set.next().is_none(), "each value is its own RDN");
        (
            one.attr_type().to_id_string(),
            one.attr_value().tag().0,
            one.as_str().unwrap().to_owned(),
        )
    });
    attributes.collect()
}

#[tokio::test]
async fn the_certificate_has_the_documented_profile() {
    let issuance = Issuance::new();
    let answer = issuance
        .ask(&Ask::with_claims(json!({"groups": ["zeta", "alpha", "Zoë"]})))
        .await;
    let answer = answer.is_issued();
    let der = der(answer);
    let (rest, certificate) = X509Certificate::from_der(&der).unwrap();
    assert!(rest.is_empty());
    let (_, ca) = x509_parser::pem::parse_x509_pem(issuance.ca_pem.as_bytes()).unwrap();
    let ca = ca.parse_x509().unwrap();
    certificate.verify_signature(Some(ca.public_key())).unwrap();
    assert_eq!(certificate.issuer().as_raw(), ca.subject().as_raw());
    assert_eq!(certificate.version(), X509Version::V3);

    // 12 is UTF8String.
    let uid = answer["uid"].as_str().unwrap();
    let subject = subject(&certificate);
    let marker = subject[4].2.clone();
    let expected = [
        ("2.5.4.3", "idp:alice"),
        ("2.5.4.10", "zeta"),
        ("2.5.4.10", "alpha"),
        ("2.5.4.10", "Zoë"),
    ]
    .into_iter()
    .chain([("2.5.4.10", marker.as_str()), ("1.3.6.1.4.1.57683.2", uid)])
    .map(|(oid, value)| (oid.to_owned(), 12, value.to_owned()));
    assert_eq!(subject, expected.collect::<Vec<_>>());
    let session = answer["session"].as_str().unwrap();
    let (head, tag) = marker.rsplit_once(':').unwrap();
    assert_eq!(head, format!("gatepass:session:{session}:{NOW}:{}", NOW + 600));
    assert_eq!(tag.len(), 26);
    assert_eq!(
        answer["groups"],
        json!(["zeta", "alpha", "Zoë"]),
        "the answer has no marker"
    );

    assert_eq!(certificate.validity().not_before.timestamp(), NOW - 120);
    assert_eq!(certificate.validity().not_after.timestamp(), NOW + 600);
    assert_eq!(certificate.raw_serial().len(), 20);
    assert!(certificate.raw_serial()[0] < 0x80);

    let extension = |oid| certificate.get_extension_unique(&oid).unwrap().unwrap();
    let basic = certificate.basic_constraints().unwrap().unwrap();
    assert!(basic.critical && !basic.value.ca);
    let usage = certificate.key_usage().unwrap().unwrap();
    assert!(usage.critical);
    assert_eq!(usage.value.flags, 1, "digitalSignature and nothing else");
    let extended = certificate.extended_key_usage().unwrap().unwrap();
    let only_client = ExtendedKeyUsage {
        any: false,
        server_auth: false,
        client_auth: true,
        code_signing: false,
        email_protection: false,
        time_stamping: false,
        ocsp_signing: false,
        other: vec![],
    };
    assert_eq!(*extended.value, only_client);
    let ParsedExtension::SubjectKeyIdentifier(own) =
        extension(oid_registry::OID_X509_EXT_SUBJECT_KEY_IDENTIFIER).parsed_extension()
    else {
        panic!()
    };
    assert_eq!(
        own.0,
        &sha256(&certificate.public_key().subject_public_key.data)[..20]
    );
    let ParsedExtension::AuthorityKeyIdentifier(authority) =
        extension(oid_registry::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER).parsed_extension()
    else {
        panic!()
    };
    let ca_id = ca
        .get_extension_unique(&oid_registry::OID_X509_EXT_SUBJECT_KEY_IDENTIFIER)
        .unwrap()
        .unwrap();
    let ParsedExtension::SubjectKeyIdentifier(ca_id) = ca_id.parsed_extension() else {
        panic!()
    };
    assert_eq!(authority.key_identifier.as_ref(), Some(ca_id));
    assert_eq!(
        certificate.extensions().len(),
        5,
        "nothing of the request came along"
    );

    let hash: String = sha256(&der).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(answer["credentialId"], format!("X509SHA256={hash}"));
}

#[tokio::test]
async fn the_answer_has_exactly_the_documented_members() {
    let issuance = Issuance::new();
    let mut answer = issuance.ask(&Ask::new()).await.body;
    for (member, start) in [
        ("certificate", "-----BEGIN CERTIFICATE-----\n"),
        ("credentialId", "X509SHA256="),
    ] {
        assert!(answer[member].as_str().unwrap().starts_with(start));
        answer[member] = json!("…");
    }
    let session = answer["session"].as_str().unwrap().to_owned();
    let (subject, login) = session.split_once('-').unwrap();
    assert_eq!((subject, login.len()), ("wgpt3ylysjjcwdof44ls52t7nq", 26));
    answer["session"] = json!("…");
    let expected = json!({
        "certificate": "…", "notBefore": "2026-09-21T14:11:20Z", "notAfter": "2026-09-21T14:23:20Z",
        "credentialId": "…", "username": "idp:alice", "uid": "wgpt3ylysjjcwdof44ls52t7nq",
        "groups": ["sre", "dev"], "session": "…", "sessionEnd": "2026-09-22T02:13:20Z", "bound": true,
        "serverTime": "2026-09-21T14:13:20Z",
    });
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn serial_numbers_differ_for_the_same_key() {
    let issuance = Issuance::new();
    let ask = Ask::new();
    let (one, two) = (issuance.ask(&ask).await, issuance.ask(&ask).await);
    assert_ne!(one.is_issued()["credentialId"], two.is_issued()["credentialId"]);
    assert_eq!(one.body["session"], two.body["session"], "one login, one session");
}

#[tokio::test]
async fn each_login_is_a_session_of_the_same_person() {
    let issuance = Issuance::new();
    let (one, two) = (issuance.ask(&Ask::new()).await, issuance.ask(&Ask::new()).await);
    assert_ne!(one.is_issued()["session"], two.is_issued()["session"]);
    assert_eq!(one.body["uid"], two.body["uid"]);
}

#[tokio::test]
async fn a_wished_life_only_shortens() {
    let issuance = Issuance::new();
    for (wish, expected) in [
        (90, "2026-09-21T14:14:50Z"),
        (600, "2026-09-21T14:23:20Z"),
        (u64::MAX, "2026-09-21T14:23:20Z"),
    ] {
        let answer = issuance
            .ask(&Ask::with_members(json!({"ttlSeconds": wish})))
            .await;
        assert_eq!(answer.is_issued()["notAfter"], expected);
    }
}

#[tokio::test]
async fn a_certificate_ends_with_the_id_token_unless_configured_otherwise() {
    let ask = Ask::with_claims(json!({"exp": NOW + 300}));
    let answer = Issuance::new().ask(&ask).await;
    assert_eq!(answer.is_issued()["notAfter"], "2026-09-21T14:18:20Z");
    let uncapped =
        Issuance::configured(|yaml| yaml.replace("capAtTokenExpiry: true", "capAtTokenExpiry: false"));
    assert_eq!(
        uncapped.ask(&ask).await.is_issued()["notAfter"],
        "2026-09-21T14:23:20Z"
    );
}

#[tokio::test]
async fn a_certificate_never_outlives_its_authority() {
    let issuance = Issuance::new();
    let end = issuance.app.current.load().issuer.ca.not_after();
    issuance.clock.store(end - 59, Ordering::Relaxed);
    let ask = |now: i64| {
        let login = Login::new(now.unsigned_abs());
        let mut claims = claims(&login);
        merge(&mut claims, &json!({"iat": now, "exp": now + 3600}));
        Ask {
            claims,
            login,
            proof_claims: json!({"iat": now}),
            ..Ask::new()
        }
    };
    let answer = issuance.ask(&ask(end - 59)).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["code"]),
        (500, &json!("internal"))
    );
    issuance.clock.store(end - 61, Ordering::Relaxed);
    let answer = issuance.ask(&ask(end - 61)).await;
    let der = der(answer.is_issued());
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(certificate.validity().not_after.timestamp(), end);
}

#[tokio::test]
async fn two_hundred_groups_fit() {
    let groups: Vec<String> = (0..200).map(|n| format!("{n:0>90}")).collect();
    let answer = Issuance::new()
        .ask(&Ask::with_claims(json!({"groups": groups})))
        .await;
    assert_eq!(answer.is_issued()["groups"], json!(groups));
}

#[tokio::test]
async fn each_certificate_has_its_audit_record_before_the_answer() {
    let issuance = Issuance::new();
    let mut ask = Ask::with_members(json!({"reason": "ticket\n4711 \u{202e}x\\"}));
    ask.claims["jti"] = json!("token-1");
    ask.proof_claims = json!({"jti": "proof\u{1b}[2J"});
    let answer = issuance.ask(&ask).await;
    let answer = answer.is_issued();
    let records = issuance.memory.records();
    assert_eq!(records.len(), 1);
    let mut record = records[0].clone();
    assert_eq!(record["requestId"].as_str().unwrap().len(), 32);
    assert_eq!(record["serial"].as_str().unwrap().len(), 40);
    assert_eq!(record["sessionKey"], ask.login.key.thumbprint());
    for same in [
        "username",
        "groups",
        "uid",
        "session",
        "credentialId",
        "notBefore",
        "notAfter",
        "bound",
    ] {
        assert_eq!(record[same], answer[same], "{same}");
    }
    for member in [
        "requestId",
        "serial",
        "sessionKey",
        "session",
        "credentialId",
        "cluster",
        "uid",
    ] {
        record.as_object_mut().unwrap().remove(member);
    }
    let expected = json!({
        "time": "2026-09-21T14:13:20Z", "event": "certificate.issued", "remote": "",
        "identityProvider": ISSUER, "client": CLIENT, "subject": "subject-1", "tokenId": "token-1",
        "tokenIssued": "2026-09-21T14:13:20Z", "loginTime": "2026-09-21T14:13:20Z",
        "proofId": r"proof\u{1b}[2J", "reason": r"ticket\u{a}4711 \u{202e}x\\", "bound": true,
        "username": "idp:alice", "groups": ["sre", "dev"],
        "notBefore": "2026-09-21T14:11:20Z", "notAfter": "2026-09-21T14:23:20Z",
    });
    assert_eq!(record, expected);
}

#[tokio::test]
async fn no_record_no_certificate() {
    let broken = Memory {
        broken: true,
        ..Memory::default()
    };
    let issuance = Issuance::with_sink(|yaml| yaml, broken);
    let answer = issuance.ask(&Ask::new()).await;
    answer.is_refused(503, "audit_unavailable");
    assert!(!answer.body.to_string().contains("BEGIN CERTIFICATE"));
    assert!(
        !answer.body.to_string().contains("disk full"),
        "what failed inside stays inside"
    );
}

#[tokio::test]
async fn a_refusal_has_its_record_too() {
    let issuance = Issuance::new();
    issuance
        .ask(&Ask::with_claims(json!({"preferred_username": "x\n"})))
        .await
        .is_refused(403, "forbidden_name");
    let records = loop {
        let records = issuance.memory.records();
        if !records.is_empty() {
            break records;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(records[0]["event"], "certificate.refused");
    assert_eq!(records[0]["code"], "forbidden_name");
    assert_eq!(records[0]["subject"], "subject-1");
    assert_eq!(records[0].get("credentialId"), None);
}

#[tokio::test]
async fn no_token_proof_or_csr_reaches_a_record_or_a_problem() {
    let issuance = Issuance::new();
    let mut ask = Ask::with_login_token(json!({"sub": "subject-2"}));
    ask.raw_body = Some(ask.body());
    let answer = issuance.ask(&ask).await;
    issuance.ask(&Ask::new()).await.is_issued();
    let records = String::from_utf8(issuance.memory.lines.lock().unwrap().clone()).unwrap();
    for secret in ask.body().split('"').filter(|text| text.len() > 60) {
        for part in secret.split('.') {
            assert!(!answer.body.to_string().contains(part) && !records.contains(part));
        }
    }
}
