//! Revocation at a real API server that asks the issuer about every request.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use e2e::cluster::Cluster;
use e2e::holder::Holder;
use e2e::operator::Operator;
use e2e::parts::{Part, present};
use e2e::process::{until, write_atomically};
use e2e::world::{Site, World};
use serde_json::{Value, json};

static SITE: Site = Site::new("revocation");
const PARTS: &[Part] = &[Part::ControlPlane, Part::IdentityProvider, Part::Keyring];
/// The contract: from the write to the first request that is denied.
const PROMISED: Duration = Duration::from_secs(2);

fn document(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "gatepass.dev/v1alpha1", "kind": "Revocation", "metadata": {"name": name}, "spec": spec,
    })
}

#[test]
fn a_document_in_the_directory_is_in_force_within_two_seconds_for_each_kind_of_target() {
    if !present(PARTS) {
        return;
    }
    let cluster = OnceLock::<Cluster>::new();
    let world = World::asking(&SITE, "directory", &cluster, |_| {});
    world.cluster.let_group_list_pods("dev");
    let alice = world.machine("alice");
    let bob = world.machine("bob");
    let thief = Holder::of(&alice, &world.issuer, world.cluster);
    let other = Holder::of(&bob, &world.issuer, world.cluster);
    let facts = thief.facts();
    thief.until(200, Instant::now());
    let file = world.issuer.dir().join("revocations/stolen.json");
    for target in [
        json!({"user": "alice"}),
        json!({"uid": facts.uid}),
        json!({"group": "ops"}),
        json!({"session": facts.session}),
        json!({"credentialId": facts.credential_id}),
        json!({"subject": {"issuer": world.idp.issuer, "subject": "alice"}}),
    ] {
        let spec = json!({
            "target": target, "loggedInBefore": "2100-01-01T00:00:00Z", "reason": "laptop stolen, ticket 4711",
        });
        let start = Instant::now();
        write_atomically(&file, &document("stolen", &spec).to_string());
        let (time, said) = thief.until(403, start);
        assert!(time < PROMISED, "{target}: {time:?}");
        assert!(
            said.message
                .ends_with("Gatepass: access was revoked: laptop stolen, ticket 4711"),
            "{said:?}"
        );
        assert_eq!(
            other.list_pods().status,
            200,
            "{target}: another's access goes on"
        );
        std::fs::remove_file(&file).expect("it is there");
        thief.until(200, Instant::now());
    }
}

/// What somebody sees while the issuer is gone: users, kubelets, the control plane, a break-glass certificate.
struct Seen {
    user: u16,
    revoked: u16,
    node: u16,
    scheduler: u16,
    controller_manager: u16,
    break_glass: u16,
    stranger: u16,
}

#[test]
fn while_the_issuer_is_gone_failure_policy_decides_about_its_people_and_nobody_else() {
    if !present(PARTS) {
        return;
    }
    let cluster = OnceLock::<Cluster>::new();
    let mut world = World::asking(&SITE, "gone", &cluster, |_| {});
    let denying = world.cluster;
    let files = world.dir.join("lenient");
    copy_with(
        &world.issuer.dir().join("apiserver"),
        &files,
        "failurePolicy: Deny",
        "failurePolicy: NoOpinion",
    );
    let lenient = denying.another_api_server(&world.dir.join("lenient-server"), &files);
    for group in ["dev", "gatepass:break-glass"] {
        denying.let_group_list_pods(group);
    }
    let alice = Holder::of(&world.machine("alice"), &world.issuer, denying);
    let bob = Holder::of(&world.machine("bob"), &world.issuer, denying);
    let revoked = json!({"target": {"user": "bob"}, "loggedInBefore": "2100-01-01T00:00:00Z"});
    let file = world.issuer.dir().join("revocations/bob.json");
    write_atomically(&file, &document("bob", &revoked).to_string());
    let (_, said) = bob.until(403, Instant::now());
    assert!(said.message.ends_with("Gatepass: access was revoked"), "{said:?}");

    let look = |cluster: &Cluster| {
        let signed = |name: &str, groups: &[&str]| Holder::new(cluster.sign_for(name, groups), cluster);
        let node = signed("system:node:n1", &["system:nodes"]);
        Seen {
            user: alice.at(cluster).list_pods().status,
            revoked: bob.at(cluster).list_pods().status,
            // Its own node, which nobody has made: found to be allowed, then found to be absent.
            node: node.get("/api/v1/nodes/n1").status,
            scheduler: signed("system:kube-scheduler", &[]).get("/api/v1/pods").status,
            controller_manager: signed("system:kube-controller-manager", &[])
                .get("/api/v1/namespaces/default/secrets")
                .status,
            break_glass: signed("break-glass:carol", &["gatepass:break-glass"])
                .list_pods()
                .status,
            stranger: signed("mallory", &["nobody"]).list_pods().status,
        }
    };
    let check = |moment: &str, seen: &Seen, user, revoked, stranger| {
        let control_plane = (seen.node, seen.scheduler, seen.controller_manager);
        assert_eq!(
            control_plane,
            (404, 200, 200),
            "{moment}: the control plane goes on"
        );
        assert_eq!(seen.break_glass, 200, "{moment}: the last way in stays open");
        assert_eq!((seen.user, seen.revoked), (user, revoked), "{moment}");
        assert_eq!(seen.stranger, stranger, "{moment}: whom RBAC allows nothing");
    };
    check("there", &look(denying), 200, 403, 403);
    check("there, lenient", &look(&lenient), 200, 403, 403);
    // Refusing connections, then standing still: a timeout of three seconds for each question.
    world.issuer.halt();
    check("gone", &look(denying), 500, 500, 500);
    check("gone, lenient", &look(&lenient), 200, 200, 500);
    world.issuer.resume();
    world.issuer.signal("STOP");
    check("silent", &look(denying), 500, 500, 500);
    check("silent, lenient", &look(&lenient), 200, 200, 500);
    world.issuer.signal("CONT");
    bob.until(403, Instant::now());
    check("back", &look(denying), 200, 403, 403);
}

#[test]
fn nobody_escapes_a_revocation_by_the_length_of_their_own_request() {
    if !present(PARTS) {
        return;
    }
    let cluster = OnceLock::<Cluster>::new();
    let world = World::asking(&SITE, "long", &cluster, |prepared| {
        let file = prepared.api_server_files().join("authorization.yaml");
        let text = std::fs::read_to_string(&file).expect("init wrote it");
        // The weakest: a question that fails lets people in.
        write_atomically(
            &file,
            &text.replace("failurePolicy: Deny", "failurePolicy: NoOpinion"),
        );
    });
    world.cluster.let_group_list_pods("dev");
    let alice = Holder::of(&world.machine("alice"), &world.issuer, world.cluster);
    let spec = json!({"target": {"user": "alice"}, "loggedInBefore": "2100-01-01T00:00:00Z"});
    let file = world.issuer.dir().join("revocations/alice.json");
    write_atomically(&file, &document("alice", &spec).to_string());
    alice.until(403, Instant::now());
    // Selectors come back in the review, with `<` as six bytes: as long as the API server's own limit for a header allows.
    for selector in ["a", "%3C", "%22"] {
        let many = selector.repeat(900_000 / selector.len());
        let path = format!("/api/v1/namespaces/default/pods?fieldSelector=metadata.name={many}");
        assert_eq!(long_get(&world, &alice, &path), "403", "{selector}");
    }
    let many: Vec<_> = (0..30_000).map(|n| format!("metadata.name!={n}")).collect();
    let path = format!("/api/v1/namespaces/default/pods?fieldSelector={}", many.join(","));
    assert_eq!(long_get(&world, &alice, &path), "403");
    // The control: without the revocation it is an ordinary request.
    std::fs::remove_file(&file).expect("it is there");
    alice.until(200, Instant::now());
    assert_ne!(long_get(&world, &alice, &path), "403");
}

/// The status of a request that most clients refuse to send.
fn long_get(world: &World<'_>, holder: &Holder, path: &str) -> String {
    const SCRIPT: &str = "import http.client, ssl, sys\n\
        directory, port = sys.argv[1:]\n\
        context = ssl._create_unverified_context()\n\
        context.load_cert_chain(directory + '/thief.crt', directory + '/thief.key')\n\
        connection = http.client.HTTPSConnection('localhost', int(port), context=context)\n\
        connection.request('GET', open(directory + '/path').read())\n\
        print(connection.getresponse().status)";
    holder.identity.write(&world.dir, "thief");
    std::fs::write(world.dir.join("path"), path).expect("the scratch directory is writable");
    let port = world.cluster.url.rsplit(':').next().expect("a port");
    let out = std::process::Command::new("python3")
        .args(["-c", SCRIPT])
        .arg(&world.dir)
        .arg(port)
        .output()
        .expect("python3 runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("text").trim().to_owned()
}

fn copy_with(from: &Path, to: &Path, old: &str, new: &str) {
    std::fs::create_dir_all(to).expect("the scratch directory is writable");
    for entry in std::fs::read_dir(from).expect("init made it") {
        let path = entry.expect("it can be read").path();
        let text = std::fs::read_to_string(&path).expect("a text");
        let text = text
            .replace(old, new)
            .replace(&from.display().to_string(), &to.display().to_string());
        write_atomically(&to.join(path.file_name().expect("a file")), &text);
    }
}

#[test]
fn one_line_ends_access_within_two_seconds_for_each_kind_of_target() {
    if !present(PARTS) {
        return;
    }
    let cluster = OnceLock::<Cluster>::new();
    let world = World::in_cluster(&SITE, "line", &cluster);
    world.cluster.let_group_list_pods("dev");
    let alice = Holder::of(&world.machine("alice"), &world.issuer, world.cluster);
    let bob = Holder::of(&world.machine("bob"), &world.issuer, world.cluster);
    let facts = alice.facts();
    alice.identity.write(&world.dir, "alice");
    let certificate = world.dir.join("alice.crt").display().to_string();
    alice.until(200, Instant::now());
    let operator = Operator::new(&world);
    let mut worst = Duration::ZERO;
    for selector in [
        &["--user", "alice"][..],
        &["--uid", &facts.uid],
        &["--group", "ops"],
        &["--session", &facts.session],
        &["--credential-id", &facts.credential_id],
        &["--certificate", &certificate],
        &["--subject", "alice", "--subject-issuer", &world.idp.issuer],
    ] {
        let reason = format!("laptop stolen, {}", selector[0]);
        // It returns when an issuer has confirmed it.
        operator
            .run(&[&["revoke", "--reason", &reason], selector].concat())
            .expect_ok();
        let (time, said) = alice.until(403, Instant::now());
        worst = worst.max(time);
        let expected = format!("Gatepass: access was revoked: {reason}");
        assert!(said.message.ends_with(&expected), "{selector:?}: {said:?}");
        assert_eq!(
            bob.list_pods().status,
            200,
            "{selector:?}: another's access goes on"
        );
        operator.run(&[&["unrevoke"], selector].concat()).expect_ok();
        alice.until(200, Instant::now());
    }
    assert!(worst < PROMISED, "{worst:?}");
}

/// The contract, without kubectl, whose own time is more than all that is measured: from the moment that the document is sent.
#[test]
fn the_first_denial_comes_within_two_seconds_of_the_write_five_times_for_each_kind_of_target() {
    if !present(PARTS) {
        return;
    }
    const OBJECTS: &str = "/apis/gatepass.dev/v1alpha1/revocations";
    let cluster = OnceLock::<Cluster>::new();
    let world = World::in_cluster(&SITE, "write", &cluster);
    world.cluster.let_group_list_pods("dev");
    let alice = Holder::of(&world.machine("alice"), &world.issuer, world.cluster);
    let operator = Holder::new(world.cluster.administrator.clone(), world.cluster);
    let facts = alice.facts();
    for target in [
        json!({"user": "alice"}),
        json!({"uid": facts.uid}),
        json!({"group": "ops"}),
        json!({"session": facts.session}),
        json!({"credentialId": facts.credential_id}),
        json!({"subject": {"issuer": world.idp.issuer, "subject": "alice"}}),
    ] {
        for round in 0..5 {
            alice.until(200, Instant::now());
            let start = Instant::now();
            let text = document("timed", &json!({"target": target})).to_string();
            let written = operator.send("POST", OBJECTS, text.into_bytes());
            assert_eq!(written.status, 201, "{written:?}");
            let (time, _) = alice.until(403, start);
            assert!(time < PROMISED, "{target}, round {round}: {time:?}");
            operator.send("DELETE", &format!("{OBJECTS}/timed"), Vec::new());
        }
    }
}

#[test]
fn a_new_login_helps_unless_it_is_blocked_and_unrevoke_heals() {
    if !present(PARTS) || !present(&[Part::Faketime]) {
        return;
    }
    let cluster = OnceLock::<Cluster>::new();
    let world = World::in_cluster_at(&SITE, "again", &cluster, Some(-120));
    world.cluster.let_group_list_pods("dev");
    let alice = world.machine("alice");
    let bob = world.machine("bob");
    for person in [&alice, &bob] {
        person.kubectl(&["get", "pods"]).expect_ok();
    }
    let clock = world.clock.as_ref().expect("a clock");
    clock.set(0);
    let operator = Operator::new(&world);
    operator
        .run(&["revoke", "--user", "alice", "--reason", "ticket 4711"])
        .expect_ok();
    Holder::of(&alice, &world.issuer, world.cluster).until(403, Instant::now());
    let said = alice.kubectl(&["get", "pods"]);
    assert!(!said.ok && said.stderr.contains("(Forbidden)"), "{}", said.stderr);
    assert!(
        said.stderr.contains("Gatepass: access was revoked: ticket 4711"),
        "{}",
        said.stderr
    );

    // Its renewal: refused, with what helps and when; nothing that was there is served again, and no browser opens now.
    let browsers = alice.browsed().len();
    alice.forget_credential();
    let renewal = alice.get_credential(&world.issuer);
    assert!(
        !renewal.ok && renewal.stderr.contains("revoked"),
        "{}",
        renewal.stderr
    );
    assert!(renewal.stderr.contains("ticket 4711"), "{}", renewal.stderr);
    assert_eq!(
        alice.browsed().len(),
        browsers,
        "a login this early would be refused again"
    );
    bob.kubectl(&["get", "pods"]).expect_ok();

    // A minute and a half later a login is a new one.
    clock.set(90);
    alice.kubectl(&["get", "pods"]).expect_ok();
    assert_eq!(alice.browsed().len(), browsers + 1, "one login");

    operator
        .run(&["revoke", "--user", "alice", "--block", "--reason", "left"])
        .expect_ok();
    Holder::of(&alice, &world.issuer, world.cluster).until(403, Instant::now());
    alice.forget_credential();
    clock.set(115);
    let blocked = alice.get_credential(&world.issuer);
    assert!(
        !blocked.ok && blocked.stderr.contains("left"),
        "{}",
        blocked.stderr
    );
    let login = alice.gatepass(&["login", &world.issuer.url]);
    assert!(!login.ok, "a login is refused, too: {}", login.stderr);

    let undone = operator.run(&["unrevoke", "--user", "alice"]).expect_ok();
    assert!(!undone.stdout.is_empty(), "it says what it deleted");
    until("she is let in again", Duration::from_secs(20), || {
        alice.get_credential(&world.issuer).ok.then_some(())
    });
    alice.kubectl(&["get", "pods"]).expect_ok();
}

#[test]
fn who_logs_out_ends_the_thiefs_copies_too() {
    if !present(PARTS) {
        return;
    }
    let cluster = OnceLock::<Cluster>::new();
    let world = World::in_cluster(&SITE, "logout", &cluster);
    world.cluster.let_group_list_pods("dev");
    let alice = world.machine("alice");
    let thief = Holder::of(&alice, &world.issuer, world.cluster);
    thief.until(200, Instant::now());
    let facts = thief.facts();
    let done = alice.gatepass(&["logout"]).expect_ok();
    let (time, said) = thief.until(403, Instant::now());
    assert!(time < PROMISED, "{time:?}");
    assert!(
        said.message.ends_with("access was revoked: logged out"),
        "{said:?}"
    );
    assert!(done.stderr.contains(&world.issuer.url), "{}", done.stderr);
    let name = format!("logout-{}", facts.session);
    let object = world
        .cluster
        .administer(&["get", "revocation", &name, "-o", "json"]);
    let object: Value = serde_json::from_str(&object).expect("JSON");
    assert_eq!(object["spec"]["target"], json!({"session": facts.session}));
    assert!(
        object["spec"]["expiresAt"].is_string(),
        "it is swept away: {object}"
    );
    // A login is another session.
    alice.kubectl(&["get", "pods"]).expect_ok();
}

#[test]
fn a_credential_id_is_the_same_text_from_openssl_status_the_audit_event_and_the_revocation() {
    if !present(PARTS) {
        return;
    }
    let cluster = OnceLock::<Cluster>::new();
    let world = World::in_cluster(&SITE, "compare", &cluster);
    world.cluster.let_group_list_pods("dev");
    let alice = world.machine("alice");
    alice.kubectl(&["get", "pods"]).expect_ok();
    let holder = Holder::of(&alice, &world.issuer, world.cluster);
    let by_openssl = holder.facts().credential_id;

    let status = alice.gatepass(&["status", "-o", "json"]).expect_ok().json();
    assert!(
        status.to_string().contains(&format!("\"{by_openssl}\"")),
        "{status}"
    );

    let seen = until("the audit event is written", Duration::from_secs(20), || {
        let mut events = world.cluster.audit_events().into_iter();
        events.find(|event| event["user"]["username"] == "alice" && event["objectRef"]["resource"] == "pods")
    });
    let extra = &seen["user"]["extra"]["authentication.kubernetes.io/credential-id"];
    assert_eq!(extra, &json!([by_openssl]));

    holder.identity.write(&world.dir, "found");
    let file = world.dir.join("found.crt").display().to_string();
    let operator = Operator::new(&world);
    operator
        .run(&["revoke", "--certificate", &file, "--reason", "found in a paste"])
        .expect_ok();
    let path = "jsonpath={.items[*].spec.target.credentialId}";
    let target = world.cluster.administer(&["get", "revocations", "-o", path]);
    assert_eq!(target.trim(), by_openssl);
    let listed = operator.run(&["revocations"]).expect_ok();
    assert!(listed.stdout.contains(&by_openssl), "{}", listed.stdout);
    holder.until(403, Instant::now());
}

#[test]
fn only_who_may_write_revocations_revokes() {
    if !present(PARTS) {
        return;
    }
    let cluster = OnceLock::<Cluster>::new();
    let world = World::in_cluster(&SITE, "rbac", &cluster);
    world.cluster.let_group_list_pods("dev");
    let alice = Holder::of(&world.machine("alice"), &world.issuer, world.cluster);
    let kubeconfig = world.cluster.kubeconfig_for(&alice.identity);
    let person = Operator::with(&world.dir.join("person"), &world.idp, kubeconfig);
    for args in [
        &["revoke", "--user", "bob"][..],
        &["unrevoke", "some-name"],
        &["revocations"],
    ] {
        let refused = person.run(args);
        assert!(
            !refused.ok && refused.stderr.contains("forbidden"),
            "{args:?}: {}",
            refused.stderr
        );
    }
    let none = world.cluster.administer(&["get", "revocations", "-o", "name"]);
    assert_eq!(none, "");
    // A name that nobody may lock out, by those who may write.
    let operator = Operator::new(&world);
    for target in [
        &["--user", "system:kube-scheduler"][..],
        &["--group", "gatepass:break-glass"],
        &["--group", "system:authenticated"],
        &["--credential-id", "X509SHA256=abc"],
        &["--user", ""],
    ] {
        let refused = operator.run(&[&["revoke"], target].concat());
        assert!(!refused.ok, "{target:?}");
    }
}
