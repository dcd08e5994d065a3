use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::clock::rfc3339;
use crate::mapping::Identity;
use crate::marker::MarkerKey;

const NOW: i64 = 1_790_000_000;
const SESSION: &str = "wgpt3ylysjjcwdof44ls52t7nq-nhrfgzxfee7glty55p4hlz7qhi";
const CREDENTIAL: &str = "X509SHA256=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const REVOKED: &str = "X509SHA256=ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

use Finding::{BreakGlassUsed, ForeignCertificate, KnownBadCredential, UnexpectedGroup, UnexpectedUsername};

fn keys() -> MarkerKeys {
    MarkerKeys::new(vec![
        MarkerKey::new(&[7; 32]).unwrap(),
        MarkerKey::new(&[8; 32]).unwrap(),
    ])
    .unwrap()
}

fn marker() -> String {
    let identity = Identity::unchecked("idp:alice", &["dev", "sre"], "u1");
    keys().make("c1", &identity, SESSION, NOW - 100, NOW + 500)
}

fn patterns(texts: &[&str]) -> Patterns {
    Patterns::new(texts.iter().map(|text| Pattern::new(text).unwrap()).collect())
}

fn rules() -> Rules {
    let more = vec![Allowed {
        username: Pattern::new("system:kube-proxy|monitoring").unwrap(),
        groups: patterns(&["proxies"]),
    }];
    Rules::new(
        more,
        Some(patterns(&["idp:.*"])),
        Some(patterns(&["sre", "dev.*"])),
    )
}

/// As kube-apiserver 1.36 writes one, in a list.
fn event(user: &str, groups: &[&str], credential: &str) -> Value {
    json!({
        "level": "Metadata", "auditID": "0a1b", "stage": "ResponseComplete",
        "requestURI": "/api/v1/namespaces/default/pods?limit=500", "verb": "list",
        "user": {
            "username": user, "uid": "u1", "groups": groups,
            "extra": {"authentication.kubernetes.io/credential-id": [credential]},
        },
        "sourceIPs": ["192.0.2.7"], "userAgent": "kubectl/v1.36.2 (linux/amd64)",
        "objectRef": {"resource": "pods", "namespace": "default", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 200},
        "requestReceivedTimestamp": "2026-09-21T14:13:20.123456Z",
        "stageTimestamp": "2026-09-21T14:13:20.125000Z",
        "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
    })
}

fn examined(event: &Value, rules: &Rules) -> Option<(Option<String>, Vec<Finding>)> {
    let text =
        json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": [event]});
    let text = text.to_string();
    let known = Known {
        rules,
        cluster_id: "c1",
        markers: &keys(),
        is_revoked: &|id| id == REVOKED,
    };
    let mut outcome = None;
    let count = read_events(text.as_bytes(), &mut |event| {
        outcome = examine(&event.unwrap(), &known, NOW).map(|examined| {
            let mut findings = examined.findings;
            findings.sort_by_key(|finding| *finding as usize);
            (examined.session, findings)
        });
    });
    assert_eq!(count, Ok(1));
    outcome
}

#[track_caller]
fn finds(user: &str, groups: &[&str], expected: &[Finding]) {
    let (_, found) = examined(&event(user, groups, CREDENTIAL), &rules()).unwrap();
    assert_eq!(found, expected, "{user} {groups:?}");
}

#[test]
fn a_certificate_of_gatepass_is_no_finding() {
    let marker = marker();
    finds("idp:alice", &["dev", "sre", &marker, "system:authenticated"], &[]);
    // Made by a key that will be the first soon.
    let identity = Identity::unchecked("idp:alice", &[], "u1");
    let second = MarkerKeys::new(vec![MarkerKey::new(&[8; 32]).unwrap()]).unwrap();
    let marker = second.make("c1", &identity, SESSION, NOW, NOW + 600);
    finds("idp:alice", &[&marker, "system:authenticated"], &[]);
    let (session, _) = examined(&event("idp:alice", &[&marker], CREDENTIAL), &rules()).unwrap();
    assert_eq!(session.as_deref(), Some(SESSION));
}

#[test]
fn who_has_no_certificate_is_not_looked_at() {
    let mut token = event("idp:mallory", &["system:masters"], "JTI=4711");
    assert_eq!(examined(&token, &rules()), None);
    token["user"].as_object_mut().unwrap().remove("extra");
    assert_eq!(examined(&token, &rules()), None);
    // Authentication failed.
    token["user"] = json!({});
    assert_eq!(examined(&token, &rules()), None);
    // Somebody with a token who impersonates, and says that they have a certificate.
    token["impersonatedUser"] = event("x", &[], CREDENTIAL)["user"].clone();
    assert_eq!(examined(&token, &rules()), None);
}

#[test]
fn the_control_plane_is_no_finding() {
    for (user, groups) in [
        ("system:kube-controller-manager", &["system:authenticated"][..]),
        ("system:kube-scheduler", &["system:authenticated"]),
        (
            "system:kube-proxy",
            &["system:node-proxier", "system:authenticated"],
        ),
        ("system:node:worker-1", &["system:nodes", "system:authenticated"]),
        (
            "system:node:ip-10-0-0-1.eu.internal",
            &["system:nodes", "system:authenticated"],
        ),
        // What the configuration adds, for a name of its own and for one that is known.
        ("monitoring", &["proxies", "system:authenticated"]),
        (
            "system:kube-proxy",
            &["proxies", "system:node-proxier", "system:authenticated"],
        ),
    ] {
        finds(user, groups, &[]);
    }
}

#[test]
fn a_control_plane_name_with_another_group_is_an_unexpected_group() {
    for (user, group) in [
        ("system:kube-scheduler", "system:masters"),
        ("system:kube-controller-manager", "sre"),
        ("system:node:worker-1", "system:masters"),
        ("system:node:worker-1", "xsystem:nodes"),
        ("system:kube-proxy", "system:nodes"),
        ("monitoring", "system:node-proxier"),
        // One is added by the API server; a second one was in the certificate.
        ("system:kube-scheduler", "system:authenticated"),
    ] {
        finds(user, &[group, "system:authenticated"], &[UnexpectedGroup]);
    }
}

#[test]
fn a_name_that_only_looks_like_the_control_planes_is_unexpected() {
    for user in [
        "system:kube-scheduler2",
        "system:node:",
        "system:node:Worker",
        "system:node:a/b",
        "system:node:worker-1\n",
        "system:apiserver",
        "system:serviceaccount:kube-system:default",
        "system:admin",
        "kubeadm:x",
        "gatepass:x",
        "break-glass:alice",
    ] {
        finds(
            user,
            &["system:authenticated"],
            &[UnexpectedUsername, ForeignCertificate],
        );
    }
    let long = format!("system:node:{}", "a".repeat(2000));
    finds(&long, &[], &[UnexpectedUsername, ForeignCertificate]);
}

#[test]
fn a_control_plane_name_beside_a_group_of_gatepass_is_not_the_control_planes() {
    let marker = marker();
    finds(
        "system:kube-scheduler",
        &[&marker, "system:authenticated"],
        &[UnexpectedUsername, ForeignCertificate],
    );
    finds(
        "system:kube-scheduler",
        &["gatepass:break-glass", "system:authenticated"],
        &[UnexpectedUsername, BreakGlassUsed],
    );
}

#[test]
fn a_certificate_without_marker_is_foreign() {
    finds(
        "idp:alice",
        &["dev", "sre", "system:authenticated"],
        &[ForeignCertificate],
    );
    // A person, whatever kubeadm calls them.
    finds(
        "kubernetes-admin",
        &["kubeadm:cluster-admins", "system:authenticated"],
        &[UnexpectedUsername, UnexpectedGroup, ForeignCertificate],
    );
}

#[test]
fn a_marker_of_another_name_or_with_other_groups_is_foreign() {
    let marker = marker();
    let wrong_tag = marker.replace(SESSION, &SESSION.replace("wgpt3", "wgpt4"));
    for (user, groups) in [
        ("idp:bob", &["dev", "sre", &marker][..]),
        ("idp:alice", &["dev", &marker]),
        ("idp:alice", &["dev", "sre", "dev2", &marker]),
        ("idp:alice", &["dev", "sre", &wrong_tag]),
    ] {
        finds(user, groups, &[ForeignCertificate]);
    }
    for groups in [
        &["dev", "sre", &marker, &marker][..],
        &["dev", "sre", &marker, "gatepass:break-glass"],
        &["dev", "sre", "gatepass:session:x"],
        &["dev", "sre", "system:masters", &marker],
    ] {
        finds("idp:alice", groups, &[UnexpectedGroup, ForeignCertificate]);
    }
}

#[test]
fn a_marker_that_outlives_its_certificate_was_copied_into_another() {
    let marker = marker();
    let mut late = event("idp:alice", &["dev", "sre", &marker], CREDENTIAL);
    let mut found_at = |received: Value| {
        late["requestReceivedTimestamp"] = received;
        examined(&late, &rules()).unwrap().1
    };
    assert_eq!(found_at(json!(rfc3339(NOW + 530))), []);
    assert_eq!(found_at(json!(rfc3339(NOW + 531))), [ForeignCertificate]);
    // It is the API server's clock that counts, however late the event comes.
    assert_eq!(found_at(json!(rfc3339(NOW - 100_000))), []);
    // Without one, ours.
    assert_eq!(found_at(json!("")), []);
}

#[test]
fn a_username_that_is_not_expected_is_found_where_that_is_configured() {
    let identity = Identity::unchecked("other:alice", &["dev"], "u1");
    let marker = keys().make("c1", &identity, SESSION, NOW, NOW + 600);
    let event = event("other:alice", &["dev", &marker], CREDENTIAL);
    assert_eq!(examined(&event, &rules()).unwrap().1, [UnexpectedUsername]);
    assert_eq!(examined(&event, &Rules::default()).unwrap().1, []);
}

#[test]
fn a_group_that_is_not_expected_is_found_where_that_is_configured() {
    let identity = Identity::unchecked("idp:alice", &["ops", "dev"], "u1");
    let marker = keys().make("c1", &identity, SESSION, NOW, NOW + 600);
    let event = event(
        "idp:alice",
        &["ops", "dev", &marker, "system:authenticated"],
        CREDENTIAL,
    );
    assert_eq!(examined(&event, &rules()).unwrap().1, [UnexpectedGroup]);
    assert_eq!(examined(&event, &Rules::default()).unwrap().1, []);
}

#[test]
fn reserved_names_are_found_whatever_is_expected() {
    let anything = || Some(patterns(&[".*"]));
    let rules = Rules::new(Vec::new(), anything(), anything());
    // By the issuer's own keys: somebody has them, or the mapping is broken.
    let identity = Identity::unchecked("system:x", &["system:masters"], "u1");
    let marker = keys().make("c1", &identity, SESSION, NOW, NOW + 600);
    let groups = ["system:masters", &marker, "system:authenticated"];
    let event = event("system:x", &groups, CREDENTIAL);
    assert_eq!(
        examined(&event, &rules).unwrap().1,
        [UnexpectedUsername, UnexpectedGroup]
    );
}

#[test]
fn a_revoked_credential_is_known_bad_whoever_has_it() {
    let marker = marker();
    for (user, groups, also) in [
        ("idp:alice", &["dev", "sre", &marker][..], &[][..]),
        ("idp:alice", &["dev"], &[ForeignCertificate]),
        ("system:kube-scheduler", &[], &[]),
        ("break-glass:bob", &["gatepass:break-glass"], &[BreakGlassUsed]),
    ] {
        let (_, found) = examined(&event(user, groups, REVOKED), &rules()).unwrap();
        assert_eq!(found, [&[KnownBadCredential], also].concat(), "{user}");
    }
}

#[test]
fn break_glass_is_found_and_is_nothing_else() {
    finds(
        "break-glass:bob",
        &["gatepass:break-glass", "system:authenticated"],
        &[BreakGlassUsed],
    );
    // No quorum signs these.
    finds(
        "idp:alice",
        &["gatepass:break-glass"],
        &[UnexpectedUsername, BreakGlassUsed],
    );
    finds(
        "break-glass:",
        &["gatepass:break-glass"],
        &[UnexpectedUsername, BreakGlassUsed],
    );
    finds(
        "break-glass:bob",
        &["gatepass:break-glass", "sre"],
        &[UnexpectedGroup, BreakGlassUsed],
    );
}

#[test]
fn patterns_are_for_whole_names() {
    for (pattern, name, matches) in [
        ("a|b", "a", true),
        ("a|b", "ab", false),
        ("idp:.*", "idp:x", true),
        ("idp:.*", "xidp:x", false),
        ("idp:.*", "idp:x\ny", false),
        ("sre", "sre2", false),
        ("sre$", "sre\n", false),
        ("(?m)sre$", "sre\nroot", false),
        ("", "", true),
    ] {
        assert_eq!(patterns(&[pattern]).matches(name), matches, "{pattern} {name:?}");
    }
    assert!(!patterns(&[".*"]).matches(&"a".repeat(1025)));
    for wrong in ["(", "a)|(b", "[", "(?x)a #"] {
        assert!(Pattern::new(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_list_of_another_kind_or_form_is_refused() {
    for (text, error) in [
        ("", EventListError::Malformed),
        ("[]", EventListError::Malformed),
        (r#"{"kind":"EventList","items":[]}"#, EventListError::Malformed),
        (
            r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":{}}"#,
            EventListError::Malformed,
        ),
        (
            r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[]"#,
            EventListError::Malformed,
        ),
        (
            r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","items":[]}"#,
            EventListError::Kind,
        ),
        (
            r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1beta1","items":[]}"#,
            EventListError::Kind,
        ),
    ] {
        assert_eq!(read_events(text.as_bytes(), &mut |_| {}), Err(error), "{text}");
    }
    for empty in [
        r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":null}"#,
        r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1"}"#,
    ] {
        assert_eq!(read_events(empty.as_bytes(), &mut |_| {}), Ok(0));
    }
}

#[test]
fn what_somebody_has_brought_into_one_event_hides_no_other() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let bad = [
        json!({"user": "x"}).to_string(),
        json!({"user": {"groups": [null]}}).to_string(),
        "7".into(),
        format!(r#"{{"userAgent": {deep}}}"#),
        r#"{"userAgent": "\ud800"}"#.into(),
    ];
    let mut good = event("idp:mallory", &[], CREDENTIAL);
    good["requestObject"] = json!("DEEP");
    good["responseObject"] = json!("SURROGATE");
    let good = good
        .to_string()
        .replace("\"DEEP\"", &deep)
        .replace("SURROGATE", r"\ud800\udc01\ud800 1e999");
    let text = format!(
        r#"{{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[{},{good}]}}"#,
        bad.join(",")
    );
    let mut read = Vec::new();
    let count = read_events(text.as_bytes(), &mut |event| {
        read.push(event.map(|event| event.user.username.into_owned()));
    });
    assert_eq!(count, Ok(bad.len() + 1));
    assert!(read[..bad.len()].iter().all(Option::is_none), "{read:?}");
    assert_eq!(read[bad.len()].as_deref(), Some("idp:mallory"));
}

#[test]
fn a_report_is_this_document() {
    let marker = marker();
    let mut event = event("idp:\u{202e}bob", &["dev\n", &marker, "sre"], CREDENTIAL);
    event["userAgent"] = json!("x".repeat(300));
    let event = event.to_string();
    let event: Event<'_> = serde_json::from_str(&event).unwrap();
    let examined = Examined {
        credential_id: CREDENTIAL,
        session: None,
        findings: vec![ForeignCertificate],
    };
    let report = Report::new(ForeignCertificate, &event, &examined, "c1", NOW);
    assert_eq!(
        serde_json::to_value(&report).unwrap(),
        json!({
            "apiVersion": "gatepass.dev/v1alpha1", "kind": "Finding",
            "time": "2026-09-21T14:13:20Z", "cluster": "c1", "finding": "foreign-certificate",
            "user": r"idp:\u{202e}bob", "groups": [r"dev\u{a}", "sre"], "credentialId": CREDENTIAL,
            "sourceIPs": ["192.0.2.7"], "userAgent": format!("{}…", "x".repeat(256)), "verb": "list",
            "requestURI": "/api/v1/namespaces/default/pods?limit=500", "auditID": "0a1b",
        })
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        Just("user".to_owned()),
        Just("username".into()),
        Just("groups".into()),
        Just("extra".into()),
        Just("authentication.kubernetes.io/credential-id".into()),
        Just("requestReceivedTimestamp".into()),
        Just("sourceIPs".into()),
        ".{0,4}",
    ];
    let text = prop_oneof![
        Just(CREDENTIAL.to_owned()),
        Just("X509SHA256=".into()),
        Just(marker()),
        Just("gatepass:session:".into()),
        Just("system:authenticated".into()),
        Just("9999-12-31T23:59:60Z".into()),
        ".{0,12}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(key.clone(), inner, 0..6)
                .prop_map(|map| map.into_iter().collect::<Value>()),
        ]
    })
}

/// The text of a list with such items, which may be no events at all.
fn look_at(text: &str) {
    let (rules, keys) = (rules(), keys());
    let known = Known {
        rules: &rules,
        cluster_id: "c1",
        markers: &keys,
        is_revoked: &|_| true,
    };
    let _malformed = read_events(text.as_bytes(), &mut |event| {
        let Some(event) = event else { return };
        if let Some(examined) = examine(&event, &known, NOW) {
            for finding in &examined.findings {
                Report::new(*finding, &event, &examined, "c1", NOW);
            }
        }
    });
}

proptest! {
    #[test]
    fn arbitrary_json_makes_nothing_panic(items in prop::collection::vec(any_json(), 0..4)) {
        look_at(&json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": items}).to_string());
    }

    #[test]
    fn arbitrary_users_make_nothing_panic(user in any_json(), groups in any_json(), id in any_json(), time in any_json()) {
        let mut event = event("", &[], CREDENTIAL);
        event["user"]["username"] = user;
        event["user"]["groups"] = groups;
        event["user"]["extra"][CREDENTIAL_ID] = json!([id, CREDENTIAL]);
        event["requestReceivedTimestamp"] = time;
        look_at(&json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": [event]}).to_string());
    }

    #[test]
    fn arbitrary_bytes_make_nothing_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0_usize..900) {
        let text = json!({"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": [event("a", &["b"], CREDENTIAL)]});
        let mut text = text.to_string().into_bytes();
        let at = at.min(text.len());
        text.splice(at..at, bytes);
        look_at(&String::from_utf8_lossy(&text));
    }
}
