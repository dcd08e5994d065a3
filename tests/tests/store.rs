//! Revocations as objects of the cluster: what their definition refuses and shows, how soon the issuer knows them, and what it
//! does when it does not.

#[path = "store/stand.rs"]
mod stand;

use std::time::{Duration, Instant};

use e2e::cluster::Cluster;
use e2e::line::Line;
use e2e::parts::{Part, present, unix_time};
use e2e::process::until;
use serde_json::{Value, json};

use stand::{PROMISED, SITE, Stand, apply, definition, delete, refused, revocation, rfc3339};

const PARTS: &[Part] = &[Part::ControlPlane, Part::IdentityProvider];
const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaa";

#[test]
fn the_definition_applies_without_a_warning_and_refuses_with_words_what_revokes_nothing_or_too_much() {
    if !present(PARTS) {
        return;
    }
    let cluster = definition();
    let long = "r".repeat(1025);
    let wide = "ü".repeat(513);
    for (name, spec, words) in [
        (
            "two-targets",
            json!({"target": {"user": "alice", "group": "dev"}}),
            "a target is exactly one of user, subject, uid, group, session and credentialId",
        ),
        (
            "no-target",
            json!({"target": {}}),
            "a target is exactly one of user, subject, uid, group, session and credentialId",
        ),
        (
            "nothing",
            json!({"reason": "none"}),
            "spec.target: Required value",
        ),
        (
            "system-user",
            json!({"target": {"user": "system:kube-scheduler"}}),
            "cannot be revoked: that could close the last way in",
        ),
        (
            "system-group",
            json!({"target": {"group": "system:authenticated"}}),
            "cannot be revoked: that could close the last way in",
        ),
        (
            "break-glass",
            json!({"target": {"group": "gatepass:break-glass"}}),
            "cannot be revoked: that could close the last way in",
        ),
        (
            "system-uid",
            json!({"target": {"uid": "system:x"}}),
            "cannot be revoked: that could close the last way in",
        ),
        (
            "empty-user",
            json!({"target": {"user": ""}}),
            "spec.target.user: Invalid value: \"\": spec.target.user in body should be at least 1 chars long",
        ),
        (
            "upper-case-id",
            json!({"target": {"credentialId": format!("X509SHA256={}", "A".repeat(64))}}),
            "a credential ID is `X509SHA256=` and 64 lower-case hexadecimal digits",
        ),
        (
            "short-session",
            json!({"target": {"session": ID}}),
            "a session id is two groups of 26 of the characters a-z and 2-7 with a `-` between them",
        ),
        (
            "subject-without-issuer",
            json!({"target": {"subject": {"subject": "s"}}}),
            "spec.target.subject.issuer: Required value",
        ),
        (
            "long-reason",
            json!({"target": {"user": "alice"}, "reason": long}),
            "spec.reason: Too long: may not be more than 1024 bytes",
        ),
        (
            "long-user",
            json!({"target": {"user": long}}),
            "spec.target.user: Too long: may not be more than 1024 bytes",
        ),
        (
            "wide-reason",
            json!({"target": {"user": "alice"}, "reason": wide}),
            "must not be longer than 1024 bytes",
        ),
        (
            "time-without-zone",
            json!({"target": {"user": "alice"}, "loggedInBefore": "2026-11-22T02:00:00"}),
            "spec.loggedInBefore in body should match",
        ),
        (
            "no-time",
            json!({"target": {"user": "alice"}, "expiresAt": "2026-13-22T02:00:00Z"}),
            "spec.expiresAt in body must be of type date-time",
        ),
        (
            // The API server itself looks at no more of a zone than that it is made of digits.
            "no-zone",
            json!({"target": {"user": "alice"}, "loggedInBefore": "2026-11-22T02:00:00+26:00"}),
            "spec.loggedInBefore in body should match",
        ),
        (
            "blocked-certificate",
            json!({"target": {"credentialId": format!("X509SHA256={}", "a".repeat(64))}, "blockIssuance": true}),
            "blockIssuance means nothing for a credential ID",
        ),
        (
            "misspelt",
            json!({"target": {"user": "alice"}, "blockissuance": true}),
            "unknown field \"spec.blockissuance\"",
        ),
    ] {
        let said = refused(cluster, name, &spec);
        assert!(said.contains(words), "{name}: {said}");
    }
    apply(
        cluster,
        "definition-kept",
        &json!({"target": {"user": "nobody"}, "reason": "a"}),
    );
    let said = refused(
        cluster,
        "definition-kept",
        &json!({"target": {"user": "somebody"}}),
    );
    assert!(
        said.contains("a target cannot be changed: delete this revocation and create another"),
        "{said}"
    );
    delete(cluster, "definition-kept");
}

#[test]
fn kubectl_shows_and_explains_revocations() {
    if !present(PARTS) {
        return;
    }
    let cluster = definition();
    let spec = json!({
        "target": {"user": "shown"}, "loggedInBefore": "2026-11-22T02:00:00Z", "blockIssuance": true,
        "expiresAt": "2036-11-23T02:00:00Z", "reason": "laptop stolen, ticket 4711",
    });
    apply(cluster, "shown", &spec);
    let out = cluster.admin(&["get", "revocation", "shown"]);
    let table = String::from_utf8_lossy(&out.stdout).into_owned();
    let [head, row]: [Vec<&str>; 2] = table
        .lines()
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect()
        })
        .collect::<Vec<_>>()
        .try_into()
        .expect("two lines");
    assert_eq!(
        head,
        [
            "NAME",
            "TARGET",
            "LOGGED IN BEFORE",
            "BLOCKS",
            "EXPIRES",
            "REASON",
            "AGE"
        ]
    );
    assert_eq!(
        row[..6],
        [
            "shown",
            r#"{"user":"shown"}"#,
            "2026-11-22T02:00:00Z",
            "true",
            "2036-11-23T02:00:00Z",
            "laptop stolen, ticket 4711"
        ]
    );
    delete(cluster, "shown");
    let out = cluster.admin(&["explain", "revocation.spec", "--recursive=false"]);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    for words in [
        "Whose access ends: exactly one of",
        "-required-",
        "What those it denies are told",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn what_is_written_is_denied_within_two_seconds_by_every_replica_and_only_while_it_stands() {
    if !present(PARTS) {
        return;
    }
    let stand = Stand::new("written", definition(), None, |_| {});
    let other = stand.replica("other");
    let uid = json!({"uid": "written-uid"});
    let group = json!({"group": "written-group"});
    let certificate = format!("X509SHA256={}", "0".repeat(64));
    for (name, target) in [
        ("written-user", json!({"user": "written"})),
        ("written-uid", uid),
        ("written-group", group),
        ("written-certificate", json!({"credentialId": certificate})),
    ] {
        for asked in [&stand.webhook, &other] {
            assert_eq!(
                asked.denied("written", "written-uid", "written-group", &certificate),
                None
            );
        }
        let start = Instant::now();
        apply(
            stand.cluster,
            name,
            &json!({"target": target, "reason": "laptop stolen, ticket 4711"}),
        );
        for asked in [&stand.webhook, &other] {
            let reason = asked.until_denied("written", "written-uid", "written-group", &certificate);
            assert!(start.elapsed() < PROMISED, "{name}: {:?}", start.elapsed());
            assert_eq!(
                reason, "Gatepass: access was revoked: laptop stolen, ticket 4711",
                "{name}"
            );
            assert_eq!(
                asked.denied("somebody", "", "else", ""),
                None,
                "{name}: others go on"
            );
        }
        // The other words are those of the same object.
        apply(
            stand.cluster,
            name,
            &json!({"target": target, "reason": "found again"}),
        );
        until("the new words are known", PROMISED, || {
            let said = stand
                .webhook
                .denied("written", "written-uid", "written-group", &certificate);
            (said? == "Gatepass: access was revoked: found again").then_some(())
        });
        stand.until_accepted(name, "True");
        delete(stand.cluster, name);
        for asked in [&stand.webhook, &other] {
            until("access is back", PROMISED, || {
                let denied = asked.denied("written", "written-uid", "written-group", &certificate);
                denied.is_none().then_some(())
            });
        }
    }
}

#[test]
fn an_issuer_that_starts_knows_what_was_revoked_before_and_says_so_in_the_status() {
    if !present(PARTS) {
        return;
    }
    let cluster = definition();
    apply(cluster, "before", &json!({"target": {"user": "before"}}));
    let stand = Stand::new("starts", cluster, None, |_| {});
    stand.webhook.until_denied("before", "", "", "");
    stand.until_accepted("before", "True");
    // Both replicas may write it, and then it rests.
    let _other = stand.replica("another");
    let version = || revocation(cluster, "before")["metadata"]["resourceVersion"].take();
    let first = version();
    apply(cluster, "after", &json!({"target": {"user": "after"}}));
    stand.until_accepted("after", "True");
    assert_eq!(version(), first, "nobody wrote it again");
    delete(cluster, "before");
    delete(cluster, "after");
}

#[test]
fn cut_off_from_the_api_server_strict_decides_nothing_and_best_effort_goes_on_until_both_heal() {
    if !present(PARTS) {
        return;
    }
    let cluster = definition();
    let line = Line::to(
        cluster
            .url
            .rsplit(':')
            .next()
            .expect("a port")
            .parse()
            .expect("a number"),
    );
    let strict = Stand::new("strict", cluster, Some(line.port), |config| {
        config["revocation"]["mode"] = "strict".into();
    });
    let lenient = Stand::new("lenient", cluster, Some(line.port), |_| {});
    apply(cluster, "cut-known", &json!({"target": {"user": "cut-known"}}));
    for stand in [&strict, &lenient] {
        stand.webhook.until_denied("cut-known", "", "", "");
    }
    line.cut();
    let cut = Instant::now();
    let refused = until("strict refuses to decide", Duration::from_secs(20), || {
        let answer = strict.webhook.ask("cut-known", "", "", "");
        (answer.status == 503).then_some(answer)
    });
    assert!(
        cut.elapsed() > Duration::from_secs(4) && cut.elapsed() < Duration::from_secs(13),
        "{:?}",
        cut.elapsed()
    );
    assert!(
        String::from_utf8_lossy(&refused.body).contains("revocation"),
        "{refused:?}"
    );
    assert!(lenient.webhook.denied("cut-known", "", "", "").is_some());
    // Somebody who is not cut off writes on.
    apply(
        cluster,
        "cut-unknown",
        &json!({"target": {"user": "cut-unknown"}}),
    );
    delete(cluster, "cut-known");
    assert!(lenient.webhook.denied("cut-unknown", "", "", "").is_none());
    line.mend();
    for stand in [&strict, &lenient] {
        until("it is known after the cut", Duration::from_secs(10), || {
            let answer = stand.webhook.ask("cut-unknown", "", "", "");
            (answer.status == 200 && answer.json()["status"]["denied"] == true).then_some(())
        });
        assert!(stand.webhook.denied("cut-known", "", "", "").is_none());
        let log = stand.issuer.log();
        assert!(log.contains("the revocations cannot be followed"), "{log}");
    }
    delete(cluster, "cut-unknown");
}

#[test]
fn a_quiet_store_is_never_stale() {
    if !present(PARTS) {
        return;
    }
    // Nobody else writes here.
    let cluster = Cluster::start(&SITE.dir("quiet-cluster"));
    let cluster = Box::leak(Box::new(cluster));
    stand::define(cluster);
    let stand = Stand::new("quiet", cluster, None, |config| {
        config["revocation"]["mode"] = "strict".into();
    });
    let start = Instant::now();
    until("half a minute is over", Duration::from_secs(60), || {
        let answer = stand.webhook.ask("anybody", "", "", "");
        assert_eq!(answer.status, 200, "after {:?}: {answer:?}", start.elapsed());
        (start.elapsed() > Duration::from_secs(30)).then_some(())
    });

    // An API server without etcd goes on answering watches from what it knows: that is no contact with the store.
    cluster.signal_etcd("STOP");
    let cut = Instant::now();
    until("strict refuses to decide", Duration::from_secs(20), || {
        (stand.webhook.ask("anybody", "", "", "").status == 503).then_some(())
    });
    assert!(cut.elapsed() > Duration::from_secs(4), "{:?}", cut.elapsed());
    cluster.signal_etcd("CONT");
    until("it decides again", Duration::from_secs(60), || {
        (stand.webhook.ask("anybody", "", "", "").status == 200).then_some(())
    });
}

#[test]
fn only_what_has_ended_is_swept_away() {
    if !present(PARTS) {
        return;
    }
    let cluster = definition();
    let stand = Stand::new("swept", cluster, None, |_| {});
    let _other = stand.replica("also-sweeping");
    let at = |seconds: i64| rfc3339(unix_time() + seconds);
    apply(
        cluster,
        "swept-soon",
        &json!({"target": {"user": "swept"}, "expiresAt": at(5)}),
    );
    apply(
        cluster,
        "swept-later",
        &json!({"target": {"user": "swept-later"}, "expiresAt": at(3600)}),
    );
    apply(
        cluster,
        "swept-never",
        &json!({"target": {"user": "swept-never"}}),
    );
    apply(
        cluster,
        "swept-session",
        &json!({"target": {"session": format!("{ID}-{ID}")}}),
    );
    stand.webhook.until_denied("swept", "", "", "");
    until("it ends by itself", Duration::from_secs(10), || {
        stand.webhook.denied("swept", "", "", "").is_none().then_some(())
    });
    until("it is swept away", Duration::from_secs(100), || {
        let out = cluster.admin(&[
            "get",
            "revocation",
            "swept-soon",
            "--ignore-not-found",
            "-o",
            "name",
        ]);
        (out.status.success() && out.stdout.is_empty()).then_some(())
    });
    for name in ["swept-later", "swept-never", "swept-session"] {
        let object: Value = revocation(cluster, name);
        assert_eq!(object["metadata"]["name"], name);
        delete(cluster, name);
    }
}

#[test]
fn a_reserved_target_that_got_past_admission_is_ignored_and_reported() {
    if !present(PARTS) {
        return;
    }
    let cluster = Cluster::start(&SITE.dir("planted-cluster"));
    let cluster = Box::leak(Box::new(cluster));
    stand::define(cluster);
    let stand = Stand::new("planted", cluster, None, |_| {});
    // Whoever may change definitions may take the rules out.
    let out = cluster.admin(&[
        "patch",
        "crd",
        "revocations.gatepass.dev",
        "--type=json",
        "-p",
        r#"[{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema",
             "value": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}]"#,
    ]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    until("anything is admitted", Duration::from_secs(30), || {
        stand::try_apply(
            cluster,
            "planted",
            &json!({"target": {"group": "system:authenticated"}}),
        )
        .status
        .success()
        .then_some(())
    });
    stand.until_accepted("planted", "False");
    let condition = revocation(cluster, "planted")["status"]["conditions"][0].take();
    assert_eq!(
        condition["message"],
        "It is ignored: spec.target: groups that begin with `system:` or `gatepass:` cannot be revoked: that could close the \
         last way in.",
        "{condition}"
    );
    // What makes no sense at all keeps nothing else from being known, by those who start later neither.
    stand::try_apply(cluster, "nonsense", &json!("nonsense"));
    stand::try_apply(cluster, "sense", &json!({"target": {"user": "sense"}}));
    let other = stand.replica("later");
    for asked in [&stand.webhook, &other] {
        asked.until_denied("sense", "", "", "");
        assert_eq!(asked.denied("x", "", "system:authenticated", ""), None);
    }
    let log = stand.issuer.log();
    assert!(log.contains("a revocation is ignored"), "{log}");
}
