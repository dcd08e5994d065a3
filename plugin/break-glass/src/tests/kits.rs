use base64::{Engine as _, prelude::BASE64_STANDARD};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::*;
use crate::kit::{KitError, Payload};

#[test]
fn a_kit_survives_its_file_and_its_certificate_is_an_authority_for_clients_alone() {
    let quorum = Quorum::new();
    let kit = Kit::parse(&quorum.kit.write()).unwrap();
    assert_eq!(kit.hash(), quorum.kit.hash());
    assert_eq!(kit.payload(), quorum.kit.payload());
    let (rest, certificate) = X509Certificate::from_der(kit.certificate()).unwrap();
    assert!(rest.is_empty());
    certificate.verify_signature(None).unwrap();
    let constraints = certificate.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let usage = certificate.key_usage().unwrap().unwrap().value;
    assert!(usage.key_cert_sign() && !usage.digital_signature() && !usage.crl_sign());
    let extended = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(extended.client_auth && !extended.server_auth && !extended.any);
    assert!(certificate.subject().to_string().contains("break-glass prod"));
}

#[test]
fn two_kits_of_one_cluster_have_different_names() {
    let subject = |quorum: &Quorum| {
        let (_, certificate) = X509Certificate::from_der(quorum.kit.certificate()).unwrap();
        certificate.subject().as_raw().to_vec()
    };
    assert_ne!(subject(&Quorum::new()), subject(&Quorum::new()));
}

/// A kit's file with another payload in it.
fn swapped(quorum: &Quorum, change: impl Fn(&mut serde_json::Value)) -> Result<Kit, KitError> {
    let text = quorum.kit.write();
    let block = pem::parse(&text).unwrap();
    let mut file: serde_json::Value = serde_json::from_slice(block.contents()).unwrap();
    let payload = BASE64_STANDARD.decode(file["payload"].as_str().unwrap()).unwrap();
    let mut payload: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    change(&mut payload);
    file["payload"] = BASE64_STANDARD.encode(payload.to_string()).into();
    Kit::parse(&pem::encode(&pem::Pem::new("GATEPASS KIT", file.to_string())))
}

#[test]
fn a_kit_that_was_changed_is_refused() {
    let quorum = Quorum::new();
    let refused = |change: &dyn Fn(&mut serde_json::Value)| swapped(&quorum, change).unwrap_err();
    let widened = refused(&|kit| kit["limits"]["longestSeconds"] = 3599.into());
    assert!(matches!(widened, KitError::Signature("the kit")), "{widened}");
    assert!(
        widened
            .to_string()
            .contains("changed after its quorum had signed it")
    );
    let server = refused(&|kit| kit["server"] = "https://evil".into());
    assert!(matches!(server, KitError::Signature(_)), "{server}");
}

#[test]
fn what_is_no_quorum_is_no_kit_even_if_one_signed_it() {
    let quorum = Quorum::new();
    let signed = |change: &dyn Fn(&mut Payload)| {
        let mut payload = quorum.kit.payload().clone();
        change(&mut payload);
        let authority = quorum.sign_anything(&payload.authority_to_be_signed().unwrap());
        Kit::assemble(
            payload.bytes(),
            authority,
            quorum.sign_anything(&payload.message()),
        )
    };
    assert!(signed(&|_| {}).is_ok());
    let changes: [&dyn Fn(&mut Payload); 22] = [
        &|kit| kit.holders[1].recipients = kit.holders[0].recipients.clone(),
        &|kit| kit.threshold = 1,
        &|kit| kit.threshold = 4,
        &|kit| kit.limits.longest_seconds = 3601,
        &|kit| kit.limits.longest_seconds = 0,
        &|kit| kit.holders[1].name = kit.holders[0].name.clone(),
        &|kit| kit.holders[1].identifier = 1,
        &|kit| kit.holders[1].identifier = 0,
        &|kit| kit.holders[1].verifying_share = kit.holders[0].verifying_share.clone(),
        &|kit| kit.holders[1].verifying_share = "00".into(),
        &|kit| kit.revision = 2,
        &|kit| kit.server = "http://server".into(),
        &|kit| kit.server = "https://ser ver".into(),
        &|kit| kit.server = "https://ser\u{202e}ver".into(),
        &|kit| kit.issuer = Some("https://issuer\u{1b}[2J".into()),
        &|kit| kit.cluster = "prod\u{202e}".into(),
        // Each of these would draw rows of an invitation.
        &|kit| kit.cluster = "prod  API server   https://10.0.0.1".into(),
        &|kit| kit.cluster = "prod \u{34f} \u{34f} API server".into(),
        &|kit| kit.cluster = " prod".into(),
        &|kit| kit.cluster = String::new(),
        &|kit| kit.server_ca = "none".into(),
        &|kit| kit.authority.not_after = kit.authority.not_before,
    ];
    for (index, change) in changes.iter().enumerate() {
        let refused = signed(change).unwrap_err();
        assert!(matches!(refused, KitError::Bounds(_)), "{index}: {refused}");
    }
}

#[test]
fn a_kit_of_another_version_is_refused_even_if_a_quorum_signed_it() {
    let quorum = Quorum::new();
    let mut payload = serde_json::to_value(quorum.kit.payload()).unwrap();
    payload["version"] = 2.into();
    let payload: Payload = serde_json::from_value(payload).unwrap();
    let signature = quorum.sign_anything(&payload.message());
    let refused = Kit::assemble(payload.bytes(), quorum.kit.authority_signature(), signature).unwrap_err();
    assert!(refused.to_string().contains("it has version 2"), "{refused}");
}

#[test]
fn an_authority_whose_signature_is_not_the_quorums_is_refused() {
    let quorum = Quorum::new();
    let signature = quorum.sign_anything(&quorum.kit.payload().message());
    let refused = Kit::assemble(quorum.kit.payload().bytes(), signature, signature).unwrap_err();
    assert!(matches!(
        refused,
        KitError::Signature("the authority's certificate")
    ));
}

#[test]
fn nobody_holds_a_kit_alone_and_no_more_than_fifteen_do() {
    let mut draft = draft();
    draft.check().unwrap();
    draft.threshold = 1;
    assert!(
        draft
            .check()
            .unwrap_err()
            .to_string()
            .contains("nobody opens alone")
    );
    draft.threshold = 2;
    draft.holders = (0..16).map(|n| (name(&format!("h{n}")), Vec::new())).collect();
    assert!(draft.check().is_err());
    draft.holders.pop();
    draft.check().unwrap();
}

#[test]
fn a_kit_is_made_at_a_date_and_for_a_time_that_certificates_can_hold() {
    for created in [
        i64::MIN,
        -1,
        0,
        1_577_836_799,
        7_258_118_400,
        i64::MAX - 1,
        i64::MAX,
    ] {
        let refused = Draft { created, ..draft() }.check();
        assert!(matches!(refused, Err(KitError::Bounds(_))), "{created}");
    }
    for authority_days in [0, 36_526, u32::MAX] {
        let refused = Draft {
            authority_days,
            ..draft()
        };
        assert!(
            matches!(refused.check(), Err(KitError::Bounds(_))),
            "{authority_days}"
        );
    }
    for (created, authority_days) in [(1_577_836_800, 1), (7_258_118_399, 36_525)] {
        let draft = Draft {
            created,
            authority_days,
            ..draft()
        };
        crate::keygen::side_by_side(&draft, &mut OsRng).unwrap();
    }
}
