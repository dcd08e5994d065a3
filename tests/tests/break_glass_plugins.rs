//! Share files that are locked to plugins of age: a real one with post-quantum keys, and ones that are not there, break off,
//! talk nonsense, hang, or ask their person something.

use std::fs;
use std::path::{Path, PathBuf};

use e2e::apart::{log, text, windows};
use e2e::parts::{Part, present};
use e2e::person::{Key, Person};
use e2e::pki::Authority;
use e2e::plugin::{PQ, body, install_fake, install_fake_as, install_pq, native_key, plugin_identity};
use e2e::quorum::{Made, YES};
use e2e::talk::circle;
use e2e::terminal::{Answer, Ended, Terminal};
use e2e::world::Site;
use serde_json::json;

static SITE: Site = Site::new("break_glass_plugins");
const PARTS: &[Part] = &[Part::ControlPlane, Part::Terminal, Part::Age];

/// Where the issuer was.
const GONE: &str = "https://localhost:1";
/// Carol's, of her share file.
const PASSPHRASE: &str = "plausible dogmatic walnut";
/// What a hostile plugin writes: it would clear the screen, turn the line around and hide the rest.
const HOSTILE: &str = "touch \u{1b}[2J\u{202e}\u{9b}8m me";
/// The same, as a terminal may show it.
const HARMLESS: &str = "touch \\u{1b}[2J\\u{202e}\\u{9b}8m me";

/// The table where a kit is made of an API server that nobody can reach.
fn table(dir: &Path) -> (Person, [String; 6]) {
    let table = Person::new(dir, "table", Key::Passphrase);
    let ca = table.file("server-ca.crt");
    fs::write(&ca, Authority::new("an API server that is gone").pem())
        .expect("the scratch directory is writable");
    let args = ["--cluster", "prod", "--server", GONE, "--server-ca", &text(&ca)].map(str::to_owned);
    (table, args)
}

/// Starts an init at the table, two of the holders a quorum.
fn init(table: &Person, server: &[String], holders: &[String], more: &[&str]) -> Terminal {
    let mut args = vec!["init", "--threshold", "2"];
    args.extend(server.iter().map(String::as_str));
    args.extend(holders.iter().flat_map(|holder| ["--holder", holder]));
    args.extend_from_slice(more);
    table.at_terminal(&args)
}

/// Makes a kit at the table.
fn made(table: &Person, server: &[String], holders: &[&Person]) -> Made {
    let server: Vec<_> = server.iter().map(String::as_str).collect();
    let secrets = [
        ("characters or more): ", Answer::Secret(PASSPHRASE)),
        ("the same passphrase again: ", Answer::Secret(PASSPHRASE)),
        ("passphrase of the share file: ", Answer::Secret(PASSPHRASE)),
    ];
    Made::side_by_side(table, holders, &server, &secrets)
}

/// The arguments of an `open` with these holders' shares, and with the keys in these files.
fn open(made: &Made, shares: &[&Person], keys: &[PathBuf]) -> Vec<String> {
    let mut args = ["open", "--reason", "IdP down"].map(str::to_owned).to_vec();
    for person in shares {
        args.extend(["--share".into(), text(&made.share(&person.name))]);
    }
    for key in keys {
        args.extend(["--identity".into(), text(key)]);
    }
    args
}

fn start(person: &Person, args: &[String]) -> Terminal {
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    person.at_terminal(&args)
}

/// Nothing of a kit is in somebody's home, and none is kept.
fn nothing_is_made(person: &Person) {
    let files = fs::read_dir(person.home()).expect("it is there");
    let names = files.map(|file| file.expect("it can be listed").file_name());
    let of_a_kit: Vec<_> = names
        .filter(|name| {
            [".share", ".kit", ".crt"]
                .iter()
                .any(|end| text(Path::new(name)).ends_with(end))
        })
        .filter(|name| name != "server-ca.crt")
        .collect();
    assert_eq!(of_a_kit, Vec::<&str>::new());
    assert_eq!(person.json(&["status", "-o", "json"])["kits"], json!([]));
}

fn refused(ended: &Ended, words: &str) {
    assert!(!ended.status.success(), "{}", ended.shown);
    assert!(ended.shown.contains(words), "{words}:\n{}", ended.shown);
}

#[test]
fn a_post_quantum_key_an_age_key_and_a_passphrase_make_a_quorum_and_let_one_in() {
    if !present(PARTS) {
        return;
    }
    let dir = SITE.dir("quorum");
    let cluster = SITE.cluster();
    let table = Person::new(&dir, "table", Key::Passphrase);
    let alice = Person::new(&dir, "alice", Key::PostQuantum);
    let bob = Person::new(&dir, "bob", Key::X25519);
    let carol = Person::new(&dir, "carol", Key::Passphrase);
    assert!(alice.recipient.starts_with("age1pq1"), "{}", alice.recipient);
    table.uses(cluster, GONE);
    alice.uses(cluster, GONE);
    install_pq(&table);
    install_pq(&alice);
    let made = made(&table, &[], &[&alice, &bob, &carol]);
    cluster.trust_authority(&made.authority());
    cluster.bind_break_glass();
    made.hand_to(&alice);

    for other in [&bob, &carol] {
        let args = open(&made, &[&alice, other], &[alice.identity(), bob.identity()]);
        let rules = [
            YES,
            ("passphrase of the share file: ", Answer::Secret(PASSPHRASE)),
        ];
        let opened = start(&alice, &args).answer(&rules).expect_ok();
        assert!(
            opened.shown.contains("alice: do you agree")
                && opened.shown.contains("you are break-glass:alice until "),
            "{}",
            opened.shown
        );
        let whoami = alice.kubectl_through_window(&["auth", "whoami", "-o", "json"]);
        assert_eq!(
            whoami.json()["status"]["userInfo"]["username"],
            "break-glass:alice"
        );
        alice.run(&["close"]).expect_ok();
    }
}

#[test]
fn a_plugin_that_is_not_there_is_named_and_nothing_is_lost() {
    if !present(PARTS) {
        return;
    }
    let dir = SITE.dir("missing");
    let (table, server) = table(&dir);
    let alice = Person::new(&dir, "alice", Key::PostQuantum);
    let bob = Person::new(&dir, "bob", Key::Plugin);
    let carol = Person::new(&dir, "carol", Key::Passphrase);
    install_fake(&table, "");
    let holders = [&carol, &bob, &alice].map(Person::holder);
    // Before carol has chosen a passphrase, side by side and apart.
    for apart in [&[][..], &["--apart", "--as", "bob"]] {
        let without_carol = &holders[usize::from(!apart.is_empty())..];
        let rules = [
            YES,
            ("characters or more): ", Answer::Secret("typed for nothing")),
        ];
        let failed = init(&table, &server, without_carol, apart).answer(&rules);
        let words = "the share file of alice cannot be locked on this machine: the program age-plugin-pq is needed and not in \
                     the PATH of this machine; install it";
        refused(&failed, words);
        assert!(!failed.shown.contains("a new passphrase"), "{}", failed.shown);
        assert!(!failed.shown.contains("Send this invitation"), "{}", failed.shown);
        nothing_is_made(&table);
        assert_eq!(log(&table), "", "no kit was made");
    }
    install_pq(&table);
    // Nor does whoever is invited begin what they could not go on with in round two.
    let args = ["init", "--apart", "--as", "alice", "--threshold", "2"];
    let args: Vec<_> = args
        .into_iter()
        .map(str::to_owned)
        .chain(server.clone())
        .collect();
    let args = [
        args,
        holders[1..]
            .iter()
            .flat_map(|holder| ["--holder".into(), holder.clone()])
            .collect(),
    ]
    .concat();
    let mut inviting = table.talking(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let invitation = inviting.text();
    install_fake(&bob, "");
    let mut joining = bob.talking(&[
        "init",
        "--join",
        "--as",
        "bob",
        "--identity",
        &bob.named_identity(),
    ]);
    joining.tell(&invitation);
    joining.wait_for("is all of this right");
    joining.tell("yes");
    let run = joining.finish();
    let words =
        "the share file of alice cannot be locked on this machine: the program age-plugin-pq is needed";
    assert!(!run.ok && run.stderr.contains(words), "{}", run.stderr);
    assert_eq!(run.stdout, "", "no text of a round");
    let made = made(&table, &server, &[&alice, &bob, &carol]);

    // On bob's machine, where alice has brought her key and not her plugin.
    made.hand_to(&bob);
    let keys = [alice.identity(), bob.identity()];
    let words =
        "key.txt needs the program age-plugin-pq, which is not in the PATH of this machine; install it";
    let with_alice = open(&made, &[&alice, &bob], &keys);
    let args: Vec<_> = with_alice.iter().map(String::as_str).collect();
    let run = bob.run(&args);
    assert!(!run.ok && run.stderr.contains(words), "{}", run.stderr);
    assert_eq!(windows(&bob), [json!(null); 0]);
    // It keeps nobody else's share closed: neither bob's, whose key comes after hers, nor carol's, which has
    // none.
    let mut others = start(&bob, &open(&made, &[&bob, &carol], &keys));
    others.wait_for("bob: do you agree");
    others.type_line("yes");
    others.wait_for("passphrase of the share file: ");
    others.type_secret(PASSPHRASE);
    others.wait_for("carol: do you agree");
    others.type_line("yes");
    let opened = others.finish().expect_ok();
    assert!(!opened.shown.contains("age-plugin-pq"), "{}", opened.shown);
    bob.run(&["close"]).expect_ok();
    let (share, key) = (text(&made.share("carol")), text(&alice.identity()));
    let mut verify = bob.at_terminal(&["verify", "--share", &share, "--identity", &key]);
    verify.wait_for("passphrase of the share file: ");
    verify.type_secret(PASSPHRASE);
    verify.finish().expect_ok();
    // And hers opens in the same ceremony, once it is there.
    let mut again = start(&bob, &with_alice);
    again.wait_for(words);
    again.wait_for("file with the key that opens ");
    install_pq(&bob);
    again.type_line(&text(&alice.identity()));
    again.answer(&[YES]).expect_ok();
    assert_eq!(windows(&bob).len(), 1);
}

#[test]
fn a_plugin_that_breaks_off_or_talks_nonsense_is_named_and_nothing_is_lost() {
    if !present(PARTS) {
        return;
    }
    let dir = SITE.dir("broken");
    let (table, server) = table(&dir);
    let alice = Person::new(&dir, "alice", Key::Plugin);
    let bob = Person::new(&dir, "bob", Key::X25519);
    let holders = [&bob, &alice].map(Person::holder);
    let refuses = format!("refuse '{}'", body(HOSTILE));
    let long = format!("refuse '{}'", body(&"far too long ".repeat(1000)));
    let failed = "an age plugin failed: ";
    let both = [
        ("exit 1", "age-plugin-fake: it ended without an answer".to_owned()),
        (
            "kill -9 $$",
            "age-plugin-fake: it ended without an answer".to_owned(),
        ),
        (
            "echo nonsense",
            "age-plugin-fake: it does not speak as a plugin of age does".to_owned(),
        ),
        ("printf '\\377\\376'", "age-plugin-fake: ".to_owned()),
        (&refuses, HARMLESS.to_owned()),
        (&long, "far too long far too long".to_owned()),
    ];
    let locking = [("printf -- '-> done\\n\\n'; exit", "age-plugin-fake: ".to_owned())];
    for (deed, words) in both.iter().chain(&locking) {
        install_fake(&table, deed);
        let ended = init(&table, &server, &holders, &[]).answer(&[]);
        refused(
            &ended,
            &format!("the share file of alice cannot be locked on this machine: {failed}"),
        );
        refused(&ended, words);
        assert!(ended.shown.len() < 2000, "{}", ended.shown);
        nothing_is_made(&table);
    }
    // A recipient of two thousand characters does not push the reason out of what is shown.
    let carol = Person::new(&dir, "carol", Key::PostQuantum);
    install_fake_as(&table, PQ, &format!("refuse '{}'", body("out of order")));
    let ended = init(&table, &server, &[&bob, &carol].map(Person::holder), &[]).answer(&[]);
    refused(&ended, &format!("{}…: out of order", &carol.recipient[..24]));
    nothing_is_made(&table);
    install_fake(&table, "");
    let made = made(&table, &server, &[&bob, &alice]);
    made.hand_to(&alice);

    // One ceremony, in which alice brings one plugin after the other.
    let opening = [
        (
            r#"ask 'file-key 0' AAAA; printf -- '-> done\n\n'; exit"#,
            "age-plugin-fake: what it gave as the file's key is none".to_owned(),
        ),
        // A key, and another file's.
        (
            "[ -z \"$key\" ] || key=AAAAAAAAAAAAAAAAAAAAAA",
            "this share file is damaged".to_owned(),
        ),
    ];
    install_fake(&alice, "exit 1");
    let args = open(&made, &[&bob, &alice], &[bob.identity(), alice.identity()]);
    let mut ceremony = start(&alice, &args);
    ceremony.wait_for("bob: do you agree");
    ceremony.type_line("yes");
    ceremony.wait_for(&format!("{failed}age-plugin-fake: it ended without an answer"));
    let not_hers = [("key=", "none of the given keys opens this share file".to_owned())];
    for (deed, words) in both.iter().chain(&opening[..1]).chain(&not_hers) {
        ceremony.wait_for("file with the key that opens ");
        install_fake(&alice, deed);
        ceremony.type_line(&text(&alice.identity()));
        ceremony.wait_for(words);
    }
    ceremony.wait_for("file with the key that opens ");
    install_fake(&alice, "");
    ceremony.type_line(&text(&alice.identity()));
    let opened = ceremony.answer(&[YES]).expect_ok();
    assert!(!opened.shown.contains("damaged"), "{}", opened.shown);
    assert_eq!(windows(&alice).len(), 1);
    alice.run(&["close"]).expect_ok();

    let (deed, words) = &opening[1];
    install_fake(&alice, deed);
    refused(&start(&alice, &args).answer(&[YES]), words);
    install_fake(&alice, "");
    start(&alice, &args).answer(&[YES]).expect_ok();
}

#[test]
fn a_plugin_that_fails_between_the_rounds_of_an_init_apart_can_be_tried_again() {
    if !present(PARTS) {
        return;
    }
    let dir = SITE.dir("again");
    let (_, server) = table(&dir);
    let alice = Person::new(&dir, "alice", Key::X25519);
    let bob = Person::new(&dir, "bob", Key::Plugin);
    install_fake(&alice, "");
    install_fake(&bob, "");
    let mut args = vec!["init", "--apart", "--as", "alice", "--threshold", "2"];
    args.extend(server.iter().map(String::as_str));
    let identity = alice.named_identity();
    let holders = [alice.holder(), bob.holder()];
    args.extend(["--identity", &identity]);
    args.extend(holders.iter().flat_map(|holder| ["--holder", holder]));
    let mut alices = alice.talking(&args);
    let invitation = alices.text();
    let round_1 = alices.text();
    let identity = bob.named_identity();
    let mut bobs = bob.talking(&["init", "--join", "--as", "bob", "--identity", &identity]);
    bobs.tell(&invitation);
    bobs.wait_for("is all of this right");
    bobs.tell("yes");
    let bobs_round_1 = bobs.text();

    install_fake(&alice, &format!("refuse '{}'", body("touched too late")));
    alices.tell(&bobs_round_1);
    for _ in 0..2 {
        alices.wait_for("the part for bob cannot be encrypted (");
        let said = alices.wait_for("[Enter: try again");
        assert!(said.contains("touched too late"), "{said}");
        alices.tell("");
    }
    alices.wait_for("the part for bob cannot be encrypted (");
    install_fake(&alice, "");
    alices.wait_for("[Enter: try again");
    alices.tell("");
    // Nothing is lost: they come to one kit.
    bobs.tell(&round_1);
    let mut parties = [alices, bobs];
    circle(&mut parties, &[("[yes/no]", "yes")]);
    for party in parties {
        party.finish().expect_ok();
    }
}

#[test]
fn a_plugin_that_says_nothing_is_named_after_a_while_and_ended_with_ctrl_c() {
    if !present(PARTS) {
        return;
    }
    let dir = SITE.dir("silent");
    let (table, server) = table(&dir);
    let alice = Person::new(&dir, "alice", Key::Plugin);
    let bob = Person::new(&dir, "bob", Key::X25519);
    // It ends with whoever has it run, at the latest: no test leaves it behind.
    let mark = dir.join("silent");
    let silent = format!("echo $$ >{}; exec cat", mark.display());
    let ends = |mut terminal: Terminal| {
        terminal.wait_for("Waiting for age-plugin-fake...");
        let process = fs::read_to_string(&mark).expect("the plugin wrote it");
        let process = Path::new("/proc").join(process.trim());
        // Who is dead and was not waited for is over, too: not every first process does that.
        let is_over = || {
            fs::read_to_string(process.join("stat")).map_or(true, |stat| {
                stat.rsplit_once(") ")
                    .is_none_or(|(_, state)| state.starts_with('Z'))
            })
        };
        assert!(!is_over(), "the plugin waits");
        terminal.press("\x03");
        let ended = terminal.finish();
        assert!(!ended.status.success(), "{}", ended.shown);
        e2e::process::until("the plugin ends, too", std::time::Duration::from_secs(10), || {
            is_over().then_some(())
        });
    };
    install_fake(&table, &silent);
    ends(init(&table, &server, &[&bob, &alice].map(Person::holder), &[]));
    nothing_is_made(&table);
    install_fake(&table, "");
    let made = made(&table, &server, &[&bob, &alice]);
    made.hand_to(&alice);

    let args = open(&made, &[&alice, &bob], &[alice.identity(), bob.identity()]);
    install_fake(&alice, &silent);
    ends(start(&alice, &args));
    assert_eq!(windows(&alice), [json!(null); 0]);
    install_fake(&alice, "");
    start(&alice, &args).answer(&[YES]).expect_ok();
}

#[test]
fn what_a_plugin_asks_moves_no_cursor_and_a_pin_is_not_shown() {
    if !present(PARTS) {
        return;
    }
    const PIN: &str = "428571";
    let dir = SITE.dir("asking");
    let (table, server) = table(&dir);
    let alice = Person::new(&dir, "alice", Key::Plugin);
    let bob = Person::new(&dir, "bob", Key::X25519);
    install_fake(&table, "");
    let made = made(&table, &server, &[&bob, &alice]);
    made.hand_to(&alice);
    let asks = format!(
        "ask msg '{hostile}'\n\
         [ -n \"$key\" ] || {{ printf -- '-> done\\n\\n'; exit; }}\n\
         ask 'confirm {yes} {no}' '{sure}'; [ \"$reply\" = '-> ok yes' ] || refuse '{unsure}'\n\
         ask 'confirm {yes}' '{hostile}'; [ \"$reply\" = '-> ok yes' ] || refuse '{unsure}'\n\
         ask request-public '{serial}'; [ \"$body\" = '{number}' ] || refuse '{wrong}'\n\
         ask request-secret '{pin}'; [ \"$body\" = '{right}' ] || refuse '{wrong}'\n",
        hostile = body(HOSTILE),
        sure = body(&format!("sure? {HOSTILE}")),
        yes = body("indeed \u{202e}"),
        no = body("no \u{1b}[1A"),
        unsure = body("you are not sure"),
        serial = body(&format!("serial number? {HOSTILE}")),
        number = body("4711"),
        pin = body(&format!("PIN of {HOSTILE}")),
        right = body(PIN),
        wrong = body("that is not it"),
    );
    install_fake(&alice, &asks);
    // The keys that ask for nothing are tried first, whatever stands first.
    let args = open(&made, &[&bob, &alice], &[alice.identity(), bob.identity()]);
    let mut ceremony = start(&alice, &args);
    let before = ceremony.wait_for("bob: do you agree");
    assert!(
        !before.contains("touch"),
        "bob's share is opened by bob's key: {before}"
    );
    ceremony.type_line("yes");
    let answers = |ceremony: &mut Terminal, sure: &str, pin: Option<&str>| {
        ceremony.wait_for(&format!("\r\n{HARMLESS}\r\n"));
        ceremony.wait_for(&format!(
            "sure? {HARMLESS} (yes: indeed \\u{{202e}}; no: no \\u{{1b}}[1A) [yes/no] "
        ));
        ceremony.type_line(sure);
        if let Some(pin) = pin {
            ceremony.wait_for(&format!("{HARMLESS} [Enter: indeed \\u{{202e}}] "));
            ceremony.type_line("");
            ceremony.wait_for(&format!("serial number? {HARMLESS} "));
            ceremony.type_line("4711");
            ceremony.wait_for(&format!("PIN of {HARMLESS}: "));
            ceremony.type_secret(pin);
        }
    };
    // A slip is no end.
    for (sure, pin, words) in [
        (
            "no",
            None,
            "age-plugin-fake' couldn't use an identity: you are not sure",
        ),
        (
            "yes",
            Some("285714"),
            "age-plugin-fake' couldn't use an identity: that is not it",
        ),
    ] {
        answers(&mut ceremony, sure, pin);
        ceremony.wait_for(words);
        ceremony.wait_for("file with the key that opens ");
        ceremony.type_line(&text(&alice.identity()));
    }
    answers(&mut ceremony, "yes", Some(PIN));
    let opened = ceremony
        .answer(&[("alice: do you agree", Answer::Line("yes"))])
        .expect_ok();
    for secret in [PIN, "285714"] {
        assert!(
            !opened.shown.contains(secret),
            "a PIN is on the screen:\n{}",
            opened.shown
        );
    }
    for raw in ["\u{1b}[2J", "\u{202e}", "\u{9b}"] {
        assert!(
            !opened.shown.contains(raw),
            "{raw:?} reached the terminal:\n{}",
            opened.shown
        );
    }
    assert_eq!(windows(&alice).len(), 1);
}

#[test]
fn a_post_quantum_key_as_age_itself_has_it_is_turned_into_the_plugins_as_the_message_says() {
    if !present(PARTS) {
        return;
    }
    let dir = SITE.dir("native");
    let (table, server) = table(&dir);
    let alice = Person::new(&dir, "alice", Key::PostQuantum);
    let bob = Person::new(&dir, "bob", Key::X25519);
    install_pq(&table);
    let made = made(&table, &server, &[&alice, &bob]);
    install_pq(&alice);
    made.hand_to(&alice);
    let native = alice.file("key.native");
    let converted = alice.file("converted.txt");
    let said = format!(
        "{file} holds a post-quantum key as age-keygen writes it, and here such a key is a plugin's: `age-plugin-pq -identity -o \
         NEW-FILE {file}` writes it as one (its recipient stays the same); name NEW-FILE",
        file = native.display()
    );
    let mut ceremony = start(&alice, &open(&made, &[&alice, &bob], &[bob.identity()]));
    ceremony.wait_for("file with the key that opens ");
    ceremony.type_line(&text(&native));
    ceremony.wait_for(&said);
    ceremony.wait_for("file with the key that opens ");
    let (_, command) = said.split_once('`').expect("a command is quoted");
    let (command, _) = command.split_once('`').expect("a command is quoted");
    let command = command.replace("NEW-FILE", &text(&converted));
    let mut shell = alice.machine.command("sh");
    assert!(shell.args(["-c", &command]).status().expect("sh runs").success());
    ceremony.type_line(&text(&converted));
    ceremony.answer(&[YES]).expect_ok();
    assert_eq!(windows(&alice).len(), 1);
}

#[test]
fn nothing_that_a_quantum_computer_opens_stands_beside_a_post_quantum_recipient() {
    if !present(PARTS) {
        return;
    }
    let dir = SITE.dir("mixed");
    let (table, server) = table(&dir);
    let [first, second] = ["first", "second"].map(|name| native_key(&dir.join(name)));
    let alice = Person::new(&dir, "alice", Key::X25519);
    let fake = Person::new(&dir, "fake", Key::Plugin);
    let bob = Person::new(&dir, "bob", Key::X25519);
    install_pq(&table);
    install_fake(&table, "");
    let holders = |beside: &str| {
        let alice = [&first, beside].map(|recipient| format!("alice={recipient}"));
        [alice.to_vec(), vec![bob.holder()]].concat()
    };
    let typed =
        "--holder alice: a share file that is locked to age1pq1… can have no other kind of key beside it";
    refused(
        &init(&table, &server, &holders(&alice.recipient), &[]).answer(&[]),
        typed,
    );
    // Of another plugin only that plugin knows.
    let found = "the share file of alice cannot be locked on this machine: these recipients cannot stand beside each other in one \
                 share file";
    refused(
        &init(&table, &server, &holders(&fake.recipient), &[]).answer(&[]),
        found,
    );
    nothing_is_made(&table);
    // Two of a kind are fine, and each opens the share.
    let mut one = init(&table, &server, &holders(&second), &[]);
    one.wait_for("file with the key that opens ");
    for native in ["second", "first"] {
        let key = dir.join(native).with_extension("txt");
        plugin_identity(&dir.join(native), &key);
    }
    one.type_line(&text(&dir.join("second.txt")));
    one.wait_for("[yes/no]");
    one.type_line("yes");
    one.wait_for("file with the key that opens ");
    one.type_line(&text(&bob.identity()));
    one.answer(&[YES]).expect_ok();
    let share = Made::in_dir(&table.home()).share("alice");
    let key = dir.join("first.txt");
    let verified = table.run(&["verify", "--share", &text(&share), "--identity", &text(&key)]);
    verified.expect_ok();
}
