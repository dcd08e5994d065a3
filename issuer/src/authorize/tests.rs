use gatepass_api::revocation::{RevocationSpec, Target};

use super::*;
use crate::mapping::Identity;
use crate::marker::MarkerKey;
use crate::revocation::Checked;

const NOW: i64 = 1_790_000_000;
const SESSION: &str = "wgpt3ylysjjcwdof44ls52t7nq-nhrfgzxfee7glty55p4hlz7qhi";
const CREDENTIAL: &str = "X509SHA256=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn keys() -> MarkerKeys {
    MarkerKeys::new(vec![MarkerKey::new(&[7; 32]).unwrap()]).unwrap()
}

fn marker() -> String {
    let identity = Identity::unchecked("alice", &["dev", "sre"], "u1");
    keys().make("c1", &identity, SESSION, NOW - 100, NOW + 500)
}

fn view(targets: &[Target]) -> View {
    let mut view = View::default();
    for target in targets {
        let spec = RevocationSpec {
            target: target.clone(),
            logged_in_before: None,
            block_issuance: false,
            reason: Some("stolen".into()),
            expires_at: None,
        };
        view.put("r", &Checked::new(&spec, Some(NOW)).unwrap());
    }
    view
}

fn verdict(user: &str, groups: &[&str], view: &View, now: i64) -> Verdict {
    let asker = Asker {
        user,
        uid: "u1",
        groups,
        credential_ids: &[CREDENTIAL],
    };
    judge(&asker, "c1", &keys(), view, now)
}

fn revoked(target: &'static str) -> Verdict {
    Verdict::Deny(Why::Revoked {
        target,
        reason: Some(Arc::new("stolen".into())),
    })
}

#[test]
fn who_is_not_revoked_gets_no_opinion() {
    let marker = marker();
    let nothing = view(&[]);
    for groups in [
        &["dev", "sre", &marker, "system:authenticated"][..],
        &["sre", &marker, "dev"],
        &["dev", "system:authenticated"],
        &["gatepass:break-glass", "system:authenticated"],
    ] {
        assert_eq!(
            verdict("alice", groups, &nothing, NOW),
            Verdict::NoOpinion,
            "{groups:?}"
        );
    }
}

#[test]
fn a_marker_is_good_for_its_name_and_groups_only() {
    let marker = marker();
    let nothing = view(&[]);
    let wrong = marker.replace("wgpt3", "wgpt4");
    for (user, groups) in [
        ("bob", &["dev", "sre", &marker][..]),
        ("alice", &["dev", &marker]),
        ("alice", &["dev", "sre", "system:masters", &marker]),
        (
            "alice",
            &[
                "dev",
                "sre",
                "system:authenticated",
                "system:authenticated",
                &marker,
            ],
        ),
        ("alice", &["dev", "sre", &wrong]),
        ("alice", &["dev", "sre", "gatepass:session:nonsense"]),
        ("alice", &["dev", "sre", "gatepass:"]),
        ("alice", &["dev", "sre", &marker, &marker]),
        ("alice", &["dev", "sre", &marker, "gatepass:break-glass"]),
        ("alice", &["gatepass:break-glass", "gatepass:break-glass"]),
    ] {
        assert_eq!(
            verdict(user, groups, &nothing, NOW),
            Verdict::Deny(Why::Forged),
            "{user} {groups:?}"
        );
    }
}

#[test]
fn a_marker_ends_with_its_certificate() {
    let marker = marker();
    let groups = ["dev", "sre", marker.as_str()];
    let nothing = view(&[]);
    assert_eq!(verdict("alice", &groups, &nothing, NOW + 530), Verdict::NoOpinion);
    assert_eq!(
        verdict("alice", &groups, &nothing, NOW + 531),
        Verdict::Deny(Why::Ended(31))
    );
}

#[test]
fn what_is_revoked_is_denied_with_its_reason() {
    let marker = marker();
    let groups = ["dev", "sre", marker.as_str(), "system:authenticated"];
    for target in [
        Target::User("alice".into()),
        Target::Uid("u1".into()),
        Target::Group("sre".into()),
        Target::Session(SESSION.into()),
        Target::CredentialId(CREDENTIAL.into()),
    ] {
        let kind = target.kind();
        assert_eq!(verdict("alice", &groups, &view(&[target]), NOW), revoked(kind));
    }
    // Also for whoever Gatepass has issued nothing to.
    let foreign = verdict(
        "alice",
        &["dev"],
        &view(&[Target::Group("dev".into())]),
        NOW + 9999,
    );
    assert_eq!(foreign, revoked("group"));
}

#[test]
fn the_last_way_in_is_closed_by_its_credential_id_only() {
    let groups = ["gatepass:break-glass", "system:authenticated"];
    let others = [Target::User("break-glass:alice".into()), Target::Uid("u1".into())];
    assert_eq!(
        verdict("break-glass:alice", &groups, &view(&others), NOW),
        Verdict::NoOpinion
    );
    let itself = view(&[Target::CredentialId(CREDENTIAL.into())]);
    assert_eq!(
        verdict("break-glass:alice", &groups, &itself, NOW),
        revoked("credentialId")
    );
}
