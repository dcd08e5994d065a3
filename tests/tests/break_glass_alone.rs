//! Break-glass where nothing is left but the API server: a network namespace without a route to anybody.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use e2e::alone::alone;
use e2e::clock::Clock;
use e2e::cluster::Cluster;
use e2e::leaks;
use e2e::machine::Machine;
use e2e::parts::{Part, present};
use e2e::person::{Key, Person};
use e2e::quorum::{Made, YES};
use e2e::talk::{Party, Passed, circle, talk};
use e2e::terminal::Answer;
use e2e::world::Site;
use gatepass_break_glass::identity::{Identities, Nobody};
use gatepass_break_glass::share::Share;
use serde_json::json;

static SITE: Site = Site::new("break_glass_alone");
const PARTS: &[Part] = &[
    Part::ControlPlane,
    Part::NetworkNamespace,
    Part::Keyring,
    Part::OpenSsh,
    Part::Terminal,
    Part::Faketime,
];

/// Where the issuer was.
const GONE: &str = "https://localhost:1";
const HOUR: i64 = 3600;
const NO_ENTRY: &str = "no context of the kubeconfig runs kubectl-gatepass for https://";

/// Checks that kubectl gets in by the window as who opened it, and says so each time.
fn get_in(person: &Person) {
    let whoami = person.kubectl_through_window(&["auth", "whoami", "-o", "json"]);
    let user = &whoami.json()["status"]["userInfo"];
    assert_eq!(user["username"], format!("break-glass:{}", person.name));
    assert_eq!(
        user["groups"],
        json!(["gatepass:break-glass", "system:authenticated"])
    );
    let all = person.kubectl_through_window(&["get", "clusterroles", "-o", "name"]);
    assert!(
        all.stdout.contains("clusterrole.rbac.authorization.k8s.io/admin"),
        "{}",
        all.stdout
    );
}

/// Checks that kubectl does not get in, and that no window is announced.
fn stay_out(person: &Person) {
    let refused = person.machine.kubectl(&["auth", "whoami"]);
    assert!(
        !refused.ok && !refused.stderr.contains("BREAK-GLASS"),
        "{}{}",
        refused.stdout,
        refused.stderr
    );
}

/// Whether a private key lies in a file below `dir`.
fn private_key_below(dir: &Path) -> bool {
    let marks = BTreeSet::from(["PRIVATE KEY-----".to_owned()]);
    !leaks::in_files(dir, &marks, &|_| false).is_empty()
}

#[test]
fn side_by_side_two_of_three_let_one_in_until_the_window_ends_or_is_closed() {
    let name = "side_by_side_two_of_three_let_one_in_until_the_window_ends_or_is_closed";
    if !present(PARTS) || !alone(&SITE.dir("side"), name) {
        return;
    }
    let dir = SITE.dir("side-by-side");
    let cluster = Cluster::start(&dir.join("cluster"));
    let clock = Clock::new(&dir, 0);
    let machine = Machine::without_idp(&dir.join("alice"), Some(&clock), None);
    let mut alice = Person::on(machine, "alice", Key::X25519);
    let bob = Person::new(&dir, "bob", Key::SshEd25519Locked("correct horse battery"));
    let carol = Person::new(&dir, "carol", Key::SshRsa);
    alice.uses(&cluster, GONE);
    let secrets = [("passphrase of ", Answer::Secret("correct horse battery"))];
    // Cluster, API server and issuer are those of her kubeconfig.
    let made = Made::side_by_side(&alice, &[&alice, &bob, &carol], &[], &secrets);
    cluster.trust_authority(&made.authority());
    cluster.bind_break_glass();
    stay_out(&alice);

    let reason = ["open", "--reason", "IdP down, ticket 4711"];
    let shares = made.shares(&[&carol, &bob]);
    let shares: Vec<_> = shares.iter().map(String::as_str).collect();
    let open = [&reason[..], &shares].concat();
    let rules = [YES, secrets[0]];
    let opened = alice.at_terminal(&open).answer(&rules).expect_ok();
    for part in [
        "why          \"IdP down, ticket 4711\"",
        "gives        user break-glass:alice, group gatepass:break-glass",
        "bob: do you agree",
        "carol: do you agree",
        "you are break-glass:alice until ",
    ] {
        assert!(opened.shown.contains(part), "{part}: {}", opened.shown);
    }
    assert!(!opened.shown.contains("BEGIN GATEPASS"), "{}", opened.shown);
    let asked = opened.shown.matches("passphrase of ").count();
    assert_eq!(
        asked, 1,
        "carol's share does not need bob's key: {}",
        opened.shown
    );
    assert_eq!(opened.stdout, "");
    assert!(!opened.shown.contains(NO_ENTRY), "{}", opened.shown);
    get_in(&alice);
    get_in(&alice);
    assert!(private_key_below(&alice.machine.dir.join("state")));

    let closed = alice.run(&["close"]).expect_ok();
    assert!(
        closed.stderr.contains("is closed, and its key deleted"),
        "{}",
        closed.stderr
    );
    assert!(!private_key_below(&alice.machine.dir.join("state")));
    stay_out(&alice);
    let again = alice.run(&["close"]);
    assert!(
        !again.ok && again.stderr.contains("no break-glass window is open"),
        "{}",
        again.stderr
    );

    // Where the kubeconfig does not lead to this program: what is typed as it says gets in.
    let own = alice.machine.read_kubeconfig();
    let mut other = own.clone();
    other["users"][0]["user"]["exec"]["command"] = json!("kubelogin");
    alice.machine.write_kubeconfig(&other);
    let opened = alice.at_terminal(&open).answer(&rules).expect_ok();
    let (_, next) = opened.shown.split_once(NO_ENTRY).expect("it is said");
    let (_, next) = next.split_once("next: ").expect("what to do is said");
    let (write, then) = next.trim().split_once(", then: ").expect("two commands");
    let mut shell = alice.machine.command("sh");
    let run = alice
        .machine
        .run(shell.args(["-ec", &format!("{write}\n{then}")]));
    assert!(run.expect_ok().stderr.contains("BREAK-GLASS: "));
    let drill = alice
        .at_terminal(&[&["drill"], &shares[..]].concat())
        .answer(&rules);
    assert!(drill.expect_ok().shown.contains(NO_ENTRY));
    let doctor = alice
        .machine
        .run(alice.machine.command("kubectl-gatepass").arg("doctor"));
    assert!(doctor.stdout.contains(NO_ENTRY), "{}", doctor.stdout);
    alice.machine.write_kubeconfig(&own);
    alice.run(&["close"]).expect_ok();

    // An hour later.
    alice.at_terminal(&open).answer(&rules).expect_ok();
    get_in(&alice);
    clock.set(HOUR);
    stay_out(&alice);
    assert_eq!(alice.json(&["status", "-o", "json"])["windows"], json!([]));
    assert!(!private_key_below(&alice.machine.dir.join("state")));

    // The API server does not ask this machine's clock: a window that was opened two hours ago is of no use.
    clock.set(-2 * HOUR);
    alice.cut_off = true;
    let opened = alice.at_terminal(&open).answer(&rules).expect_ok();
    assert!(
        opened.shown.contains("The API server does not tell its time"),
        "{}",
        opened.shown
    );
    let late = alice.machine.kubectl(&["auth", "whoami"]);
    assert!(
        !late.ok && late.stderr.contains("BREAK-GLASS: ") && late.stderr.contains("Unauthorized"),
        "{}{}",
        late.stdout,
        late.stderr
    );
}

/// Starts an init for each, the first of whom invites; each ends with the same kit.
fn make_apart(holders: &[&Person], cluster: &Cluster) -> Vec<Passed> {
    let ca = cluster.ca_file().display().to_string();
    let mut invite = vec!["init", "--apart", "--cluster", "prod", "--threshold", "2"];
    invite.extend(["--server", &cluster.url, "--server-ca", &ca, "--issuer", GONE]);
    let names: Vec<_> = holders.iter().map(|person| person.holder()).collect();
    names
        .iter()
        .for_each(|holder| invite.extend(["--holder", holder]));
    let identities: Vec<_> = holders.iter().map(|person| person.named_identity()).collect();
    let mut parties: Vec<_> = holders
        .iter()
        .zip(&identities)
        .enumerate()
        .map(|(at, (person, identity))| {
            let mut args = if at == 0 {
                invite.clone()
            } else {
                vec!["init", "--join"]
            };
            args.extend(["--identity", identity]);
            person.talking(&args)
        })
        .collect();
    let passed = circle(&mut parties, &[("[yes/no]", "yes")]);
    for party in parties {
        party.finish().expect_ok();
    }
    passed
}

/// Everything that nobody but its holder may ever see: the key's file, and the share itself.
fn secrets_of(person: &Person, made: &Made) -> Vec<String> {
    let mut keys = Identities::new(std::sync::Arc::new(Nobody));
    keys.read("key", person.secret().as_bytes()).expect("a key");
    let file = fs::read(made.share(&person.name)).expect("init wrote it");
    let share = Share::decrypt(&file, &keys).expect("their own");
    let scalar = share.key_package().signing_share().serialize();
    vec![
        data_encoding::HEXLOWER.encode(&scalar),
        data_encoding::BASE64.encode(&scalar),
        person.secret().trim().to_owned(),
    ]
}

/// Texts as they crossed, and what is in their armor.
fn crossed(passed: &[Passed]) -> String {
    let inside = passed.iter().map(|passed| {
        let body: String = passed
            .text
            .lines()
            .filter(|line| !line.starts_with('-'))
            .collect();
        let bytes = data_encoding::BASE64.decode(body.as_bytes()).expect("base64");
        format!("{}{}", passed.text, String::from_utf8_lossy(&bytes))
    });
    inside.collect()
}

#[test]
fn apart_each_is_at_their_own_machine_and_only_texts_cross() {
    let name = "apart_each_is_at_their_own_machine_and_only_texts_cross";
    if !present(PARTS) || !alone(&SITE.dir("far"), name) {
        return;
    }
    let dir = SITE.dir("apart");
    let cluster = Cluster::start(&dir.join("cluster"));
    let bob = Person::new(&dir, "bob", Key::X25519).cut_off();
    let carol = Person::with_keyring(&dir, "carol", Key::SshEd25519).cut_off();
    let erin = Person::new(&dir, "erin", Key::SshRsa).cut_off();
    let holders = [&bob, &carol, &erin];
    let mut passed = make_apart(&holders, &cluster);
    let made = holders.map(|person| Made::in_dir(&person.home()));
    let read = |made: &Made| fs::read_to_string(made.kit()).expect("init wrote it");
    assert!(
        made.iter().all(|own| read(own) == read(&made[0])),
        "each has the same kit"
    );
    for (person, own) in holders.iter().zip(&made) {
        let others = holders.iter().filter(|other| other.name != person.name);
        others.for_each(|other| assert!(!own.share(&other.name).exists(), "a share of {}", other.name));
    }
    let kit = bob.json(&["verify", "-o", "json"]);
    assert_eq!(kit["made"], "apart");

    // Somebody who holds no share, and whose keyring is a desktop's.
    let dave = Person::with_keyring(&dir, "dave", Key::X25519);
    dave.machine
        .configure(|config| config["kernelKeyring"] = json!(false));
    dave.uses(&cluster, GONE);
    made[0].hand_to(&dave);
    cluster.trust_authority(&made[0].authority());
    cluster.bind_break_glass();
    let approve = |person: &Person, own: &Made| -> Party {
        let share = own.share(&person.name).display().to_string();
        let key = person.identity().display().to_string();
        person.talking(&["approve", "--share", &share, "--identity", &key])
    };
    let mut opener = dave.talking(&["open", "--reason", "IdP down, ticket 4711"]);
    // Enter: no holder is at this machine.
    let rules = [("[yes/no]", "yes"), ("Share file of a holder", "")];
    let mut approvers = [approve(&carol, &made[1]), approve(&erin, &made[2])];
    passed.extend(talk(&mut opener, &mut approvers, &rules));
    let opened = opener.finish().expect_ok();
    assert!(
        opened.stderr.contains("you are break-glass:dave until "),
        "{}",
        opened.stderr
    );
    let words = opened
        .stderr
        .lines()
        .find_map(|line| line.trim().strip_prefix("words "));
    let words = words.expect("six words").trim().to_owned();
    for approver in approvers {
        let approved = approver.finish().expect_ok();
        assert!(approved.stderr.contains(&words), "{words}: {}", approved.stderr);
    }
    get_in(&dave);

    let secrets = holders
        .iter()
        .zip(&made)
        .flat_map(|(person, own)| secrets_of(person, own));
    let kept = dave.machine.keyring_secrets();
    assert!(!kept.is_empty(), "the window's key is in the keyring");
    assert!(dave.machine.kernel_keys().is_empty() && !private_key_below(&dave.machine.dir.join("state")));
    let mut secrets = leaks::pieces(secrets.chain(kept));
    // The file of an RSA key holds its public part as well, which is in the invitation.
    secrets.retain(|piece| !holders.iter().any(|person| person.recipient.contains(piece)));
    assert!(
        secrets.len() > 3 * 3,
        "two ways to write each share, a key each, the window's"
    );
    assert_eq!(
        leaks::in_text("what crossed", &crossed(&passed), &secrets),
        Vec::<String>::new()
    );

    let log = |person: &Person| {
        let path = person.machine.dir.join("state/gatepass/break-glass/log.jsonl");
        path.display().to_string()
    };
    let report = dave.run(&["report", &log(&carol), &log(&erin)]).expect_ok();
    for approved in [
        "carol approved request ",
        "erin approved request ",
        "THE GLASS WAS BROKEN",
    ] {
        assert!(report.stdout.contains(approved), "{approved}: {}", report.stdout);
    }
    dave.run(&["close"]).expect_ok();
    assert!(
        dave.machine.keyring_secrets().is_empty(),
        "nothing is left of the key"
    );
    stay_out(&dave);
}
