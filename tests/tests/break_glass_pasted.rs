//! What stands around a text that somebody pastes: it answers no question.

use e2e::apart::{Quorum, agree, changed, nobody_here, own_share, text};
use e2e::parts::{Part, present};
use e2e::person::{Key, Person};
use e2e::pki::Authority;
use e2e::quorum::Made;
use e2e::terminal::{Answer, Terminal};
use e2e::world::Site;
use gatepass_break_glass::request::shown_time;

static SITE: Site = Site::new("break_glass_pasted");
const PARTS: &[Part] = &[Part::ControlPlane, Part::Terminal];

/// `approve` at a terminal, whose texts to pass on lie apart.
fn approve(quorum: &Quorum, name: &str) -> Terminal {
    let person = quorum.person(name);
    let own = own_share(person);
    let own: Vec<_> = own.iter().map(String::as_str).collect();
    let mut terminal = Terminal::start_piped(&person.command(&[&["approve"], &own[..]].concat()));
    terminal.wait_for("Paste the request, from its BEGIN line to its END line.");
    terminal
}

/// The next text on standard output.
fn printed(terminal: &mut Terminal, label: &str) -> String {
    terminal.wait_for("Send this text to alice");
    let end = format!("-----END {label}-----\n");
    e2e::process::until("the text is printed", std::time::Duration::from_secs(20), || {
        let printed = terminal.stdout();
        let begin = printed.find(&format!("-----BEGIN {label}-----"))?;
        printed.ends_with(&end).then(|| printed[begin..].to_owned())
    })
}

#[test]
fn whoever_sends_a_text_does_not_answer_for_who_pastes_it() {
    if !present(PARTS) {
        return;
    }
    let quorum = Quorum::new(&SITE.dir("answers"));
    let mut opener = quorum.open_with_share("alice", &[]);
    agree(&mut opener);
    let request = opener.text();
    // Bob copies the whole message out of the chat, and what mallory wrote below the text with it.
    for below in ["yes\n", "yes\nyes\ny\n", "\nalice: thanks!\nyes\n\nyes\n", "yes"] {
        let mut bob = approve(&quorum, "bob");
        bob.press(&format!("{request}{below}"));
        bob.wait_for("bob: do you agree to sign this with your share? [yes/no]");
        bob.type_line("no");
        let ended = bob.finish();
        assert!(!ended.status.success(), "{below:?}: {}", ended.shown);
        assert_eq!(ended.stdout, "", "{below:?}: nothing was committed to");
        assert!(
            ended.shown.contains("bob did not agree; nothing was signed"),
            "{}",
            ended.shown
        );
    }

    // Nor for who sees that their clock does not fit.
    let mut bob = approve(&quorum, "bob");
    bob.press(&request);
    bob.wait_for("do you agree to sign this with your share? [yes/no]");
    bob.type_line("yes");
    let commitment = printed(&mut bob, "GATEPASS COMMITMENT");
    opener.tell(&commitment);
    let signing = opener.text();
    let mut begins = 0;
    let tomorrow = changed(&signing, |signing| {
        begins = signing["notBefore"].as_i64().expect("a time") + 86_400;
        signing["notBefore"] = begins.into();
    });
    bob.press(&format!("{tomorrow}{}\n", shown_time(begins)));
    bob.wait_for("it would begin too far ahead");
    bob.wait_for("It begins at (YYYY-MM-DD HH:MM, UTC):");
    bob.type_line("");
    bob.wait_for("Nothing was signed.");
    // A text that was pasted before it was asked for counts all the same.
    bob.press(&signing);
    let printed = printed(&mut bob, "GATEPASS SIGNATURE SHARE");
    opener.tell(&printed);
    opener.wait_for("The glass is broken");
    opener.finish().expect_ok();
}

#[test]
fn what_stands_below_a_text_is_no_passphrase() {
    if !present(PARTS) {
        return;
    }
    const PASSPHRASE: &str = "plausible dogmatic walnut";
    let dir = SITE.dir("passphrase");
    let table = Person::new(&dir, "table", Key::X25519);
    let alice = Person::new(&dir, "alice", Key::X25519);
    let bob = Person::new(&dir, "bob", Key::Passphrase);
    let ca = table.file("server-ca.crt");
    std::fs::write(&ca, Authority::new("an API server that is gone").pem())
        .expect("the scratch directory is writable");
    let server = [
        "--cluster",
        "prod",
        "--server",
        "https://localhost:1",
        "--server-ca",
        &text(&ca),
    ];
    let secrets = [
        ("characters or more): ", Answer::Secret(PASSPHRASE)),
        ("the same passphrase again: ", Answer::Secret(PASSPHRASE)),
        ("passphrase of the share file: ", Answer::Secret(PASSPHRASE)),
    ];
    let made = Made::side_by_side(&table, &[&alice, &bob], &server, &secrets);
    made.hand_to(&alice);
    made.hand_to(&bob);
    let mut opener = alice.talking(&["open", "--as", "alice", "--reason", "IdP down"]);
    nobody_here(&mut opener);
    let request = opener.text();

    // Three wrong ones would end it, before bob had typed anything.
    let mut approve = bob.at_terminal(&["approve", "--share", &text(&made.share("bob"))]);
    approve.wait_for("Paste the request, from its BEGIN line to its END line.");
    approve.press(&format!(
        "{request}alice: please be quick\nit is urgent\nthanks\nthanks!\n"
    ));
    let before = approve.wait_for("passphrase of the share file: ");
    assert!(before.contains("they do not answer it"), "{before}");
    approve.type_secret(PASSPHRASE);
    let between = approve.wait_for("bob: do you agree to sign this with your share? [yes/no]");
    assert!(!between.contains("that is not the passphrase"), "{between}");
    approve.type_line("no");
    let ended = approve.finish();
    assert!(
        ended.shown.contains("bob did not agree; nothing was signed"),
        "{}",
        ended.shown
    );
}
