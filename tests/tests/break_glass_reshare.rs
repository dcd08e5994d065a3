//! Other holders for the same authority, and what old shares can still do.

use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::apart::{
    AGREE, Quorum, SHARE, agree, kit, log, nobody_here, own_share, share, signed, text, windows,
};
use e2e::parts::{Part, present};
use e2e::person::{Key, Person};
use e2e::talk::{Party, talk};
use e2e::world::Site;
use gatepass_break_glass::kit::Kit;

static SITE: Site = Site::new("break_glass_reshare");
const PARTS: &[Part] = &[Part::ControlPlane];

const WARNING: &str = "WARNING: 2 OLD shares that were kept together still sign, whoever is removed now. Where one may have been \
                       copied, or a holder leaves in anger, make a new authority in place of this: kubectl gatepass break-glass init \
                       --rotate";

/// The holders present sit at the table with their share files; `others` are those whose share files are new.
fn reshare(quorum: &Quorum, present: &[&str], others: &[&Person], change: &[&str], out: &str) -> Kit {
    let out = quorum.table.file(out);
    fs::create_dir(&out).expect("the table is writable");
    let mut args: Vec<String> = vec!["reshare".into(), "--out".into(), text(&out)];
    args.extend(change.iter().map(|&word| word.to_owned()));
    for name in present {
        args.extend(own_share(quorum.person(name)));
    }
    for person in others {
        args.extend(["--identity".into(), text(&person.identity())]);
    }
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let mut party = quorum.table.talking(&args);
    let before = party.wait_for("Go on? [yes/no]");
    assert!(before.contains(WARNING), "before anybody agrees: {before}");
    party.tell("yes");
    talk(&mut party, &mut [], AGREE);
    let run = party.finish().expect_ok();
    for words in [
        "REMEMBER: 2 OLD shares still sign. Every holder who stays destroys their old share file now; the API server's bundle stays as \
         it is, for the authority is the same.",
        "This machine will have all shares in its memory, and the kit will say so.",
    ] {
        assert!(run.stderr.contains(words), "{words}:\n{}", run.stderr);
    }
    kit(&found(&out, ".kit"))
}

fn found(dir: &Path, ending: &str) -> std::path::PathBuf {
    let files = fs::read_dir(dir).expect("it is there");
    let mut files = files.map(|file| file.expect("it can be listed").path());
    let found = files.find(|path| text(path).ends_with(ending));
    found.unwrap_or_else(|| panic!("no {ending} in {}", dir.display()))
}

/// Gives somebody the newer kit, and their new share file under a name of its own.
fn hand_over(quorum: &Quorum, out: &str, person: &Person) {
    let out = quorum.table.file(out);
    fs::copy(
        found(&out, &format!(".{}.share", person.name)),
        person.file("new.share"),
    )
    .expect("a share");
    fs::copy(found(&out, ".kit"), person.file("new.kit")).expect("a kit");
}

/// Starts `approve` with a share file and a kit.
fn approve(person: &Person, share: &str, kit: &str) -> Party {
    let [kit, share, identity] =
        [person.file(kit), person.file(share), person.identity()].map(|path| text(&path));
    person.talking(&[
        "approve",
        "--kit",
        &kit,
        "--share",
        &share,
        "--identity",
        &identity,
    ])
}

/// Starts `open` with a kit, and gives the request.
fn open(person: &Person, kit: &str) -> (Party, String) {
    let kit = text(&person.file(kit));
    let args = [
        "open",
        "--as",
        &person.name,
        "--reason",
        "IdP down",
        "--kit",
        &kit,
    ];
    let mut opener = person.talking(&args);
    nobody_here(&mut opener);
    let request = opener.text();
    (opener, request)
}

/// Approves with these; whether the glass broke is for the caller to see.
fn ceremony(opener: &Person, kit: &str, approvers: &[(&Person, &str)]) -> String {
    let (mut opener, request) = open(opener, kit);
    let mut parties: Vec<_> = approvers
        .iter()
        .map(|(person, share)| {
            let mut party = approve(person, share, kit);
            party.tell(&request);
            agree(&mut party);
            opener.tell(&party.text());
            party
        })
        .collect();
    let signing = opener.text();
    for party in &mut parties {
        party.tell(&signing);
        opener.tell(&party.text());
    }
    opener.wait_for("The glass is broken");
    opener.finish().expect_ok().stderr
}

/// What `approve` says to a share and a kit that do not fit.
fn refused(person: &Person, share: &str, kit: &str, request: &str, words: &str) {
    let mut party = approve(person, share, kit);
    party.tell(request);
    party.hang_up();
    let run = party.finish();
    assert!(!run.ok && run.stdout.is_empty(), "{}", run.stdout);
    assert!(run.stderr.contains(words), "{words}:\n{}", run.stderr);
}

#[test]
fn a_replaced_holders_share_signs_with_no_new_one_and_two_old_ones_still_sign_with_the_old_kit() {
    if !present(PARTS) {
        return;
    }
    let dir = SITE.dir("replaced");
    let quorum = Quorum::new(&dir);
    let dave = Person::new(&dir, "dave", Key::X25519);
    let (alice, bob, carol) = (
        quorum.person("alice"),
        quorum.person("bob"),
        quorum.person("carol"),
    );
    for person in &quorum.people {
        fs::copy(&quorum.kit, person.file("old.kit")).expect("a home is writable");
    }
    let change = ["--remove", "carol", "--add", &dave.holder()];
    let old = quorum.kit();
    let new = reshare(&quorum, &["alice", "bob"], &[&dave], &change, "next");
    for person in [alice, bob, &dave] {
        hand_over(&quorum, "next", person);
    }
    fs::copy(alice.file("new.kit"), carol.file("new.kit")).expect("carol's home is writable");
    assert_eq!(
        new.certificate_pem(),
        old.certificate_pem(),
        "nothing to change in the bundle"
    );
    assert_eq!(new.payload().revision, 2);
    let shown = alice.run(&["verify", &text(&alice.file("new.kit"))]).expect_ok();
    assert!(
        shown
            .stdout
            .contains("2 shares that a reshare replaced, kept together, still sign"),
        "{}",
        shown.stdout
    );
    assert!(log(&quorum.table).contains(r#""kind":"reshared""#));
    // A newcomer is not said to have proved a share in 1970, and the page names no file of the first revision.
    let verify = |more: &[&str]| {
        alice
            .run(&[&["verify", &text(&alice.file("new.kit"))], more].concat())
            .expect_ok()
            .stdout
    };
    assert!(
        verify(&[]).contains("dave        has not proved their new share yet; DUE"),
        "{}",
        verify(&[])
    );
    assert!(
        verify(&["-o", "json"]).contains(r#""confirmed": null"#),
        "{}",
        verify(&["-o", "json"])
    );
    let page = verify(&["--print"]);
    assert!(
        page.contains(".share (the newest)") && page.lines().all(|line| line.chars().count() <= 80),
        "{page}"
    );
    // Nobody confirms shares that will not be written.
    let crt = quorum.kit.with_extension("2.crt");
    let crt = crt.file_name().expect("a file").to_str().expect("a plain name");
    let taken = quorum.table.file("taken");
    fs::create_dir(&taken).expect("the table is writable");
    fs::write(taken.join(crt), "").expect("the table is writable");
    let present: Vec<_> = [alice, bob].iter().flat_map(|person| own_share(person)).collect();
    let present: Vec<_> = present.iter().map(String::as_str).collect();
    let taken = text(&taken);
    let mut again = quorum.table.talking(
        &[
            &["reshare", "--kit", &text(&quorum.kit), "--out", &taken],
            &present[..],
        ]
        .concat(),
    );
    talk(&mut again, &mut [], AGREE);
    let run = again.finish();
    assert!(
        !run.ok && run.stderr.contains("exists already") && !run.stderr.contains("Do you confirm"),
        "{}",
        run.stderr
    );

    // An old share with the new kit, a new one with the old kit.
    let (opener, request) = open(alice, "new.kit");
    let no_share = "this share file belongs to another kit (the same authority, but its holder has no share any more, or a new one); \
                    give the kit that it was made with";
    refused(bob, SHARE, "new.kit", &request, no_share);
    refused(carol, SHARE, "new.kit", &request, no_share);
    opener.kill();
    let (opener, request) = open(alice, "old.kit");
    let older = "this kit is revision 1, and this share was confirmed for revision 2";
    refused(bob, "new.share", "old.kit", &request, older);
    opener.kill();
    // Nor do they fit each other where no program checks anything.
    let shares = [
        (alice, "new.share"),
        (bob, "new.share"),
        (alice, SHARE),
        (carol, SHARE),
    ];
    let shares = shares.map(|(person, file)| share(&person.file(file), person));
    let [alices, bobs, alices_old, carols_old] = &shares;
    for public in [old.public_keys(), new.public_keys()] {
        for mixed in [[alices, carols_old], [bobs, alices_old], [bobs, carols_old]] {
            let keys = mixed.map(|share| share.key_package());
            assert!(signed(public, &keys, b"anything").is_err());
        }
    }
    let keys = [alices, bobs].map(|share| share.key_package());
    assert!(signed(new.public_keys(), &keys, b"anything").is_ok());

    // The new ones do what they are for, the newcomer's as well.
    ceremony(alice, "new.kit", &[(bob, "new.share"), (&dave, "new.share")]);
    alice.run(&["close"]).expect_ok();
    ceremony(alice, "new.kit", &[(alice, "new.share"), (&dave, "new.share")]);
    alice.run(&["close"]).expect_ok();

    // And what the warning is about: two who kept their old ones, one of whom has left.
    let said = ceremony(carol, "old.kit", &[(bob, SHARE), (carol, SHARE)]);
    assert!(said.contains("you are break-glass:carol"), "{said}");
    let window = carol.machine.dir.join("state/gatepass/break-glass");
    let window = found(&window, ".json");
    let window: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(window).expect("a window")).expect("JSON");
    let certificate = carol.file("certificate.pem");
    fs::write(&certificate, window["certificate"].as_str().expect("PEM")).expect("carol's home is writable");
    let authority = alice.file("authority.pem");
    fs::write(&authority, new.certificate_pem()).expect("alice's home is writable");
    let mut openssl = Command::new("openssl");
    openssl.args(["verify", "-purpose", "sslclient", "-CAfile"]);
    let verified = openssl
        .args([&authority, &certificate])
        .output()
        .expect("openssl runs");
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stderr)
    );
}

#[test]
fn holders_are_removed_down_to_a_quorum_and_no_further() {
    if !present(PARTS) {
        return;
    }
    let quorum = Quorum::new(&SITE.dir("removed"));
    let (alice, bob, carol) = (
        quorum.person("alice"),
        quorum.person("bob"),
        quorum.person("carol"),
    );
    let new = reshare(&quorum, &["alice", "bob"], &[], &["--remove", "carol"], "next");
    let names: Vec<_> = new
        .payload()
        .holders
        .iter()
        .map(|holder| holder.name.as_str())
        .collect();
    assert_eq!(names, ["alice", "bob"]);
    for person in [alice, bob] {
        hand_over(&quorum, "next", person);
    }
    fs::copy(alice.file("new.kit"), carol.file("new.kit")).expect("carol's home is writable");
    let (opener, request) = open(alice, "new.kit");
    refused(
        carol,
        SHARE,
        "new.kit",
        &request,
        "its holder has no share any more",
    );
    opener.kill();
    ceremony(alice, "new.kit", &[(alice, "new.share"), (bob, "new.share")]);
    assert_eq!(windows(alice).len(), 1);

    // Too few would be left; too few are there; a stranger; a share of the revision before.
    let ask = |kit: &str, shares: &[(&Person, &str)], change: &[&str], words: &str| {
        let out = text(&quorum.table.file("."));
        let kit = text(&alice.file(kit));
        let mut args: Vec<String> = ["reshare", "--kit", &kit, "--out", &out]
            .map(str::to_owned)
            .into();
        args.extend(change.iter().map(|&word| word.to_owned()));
        for (person, file) in shares {
            args.extend(["--share".into(), text(&person.file(file))]);
            args.extend(["--identity".into(), text(&person.identity())]);
        }
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let mut party = quorum.table.talking(&args);
        talk(
            &mut party,
            &mut [],
            &[AGREE, &[("(Enter: no more are here):", "")]].concat(),
        );
        let run = party.finish();
        assert!(!run.ok && run.stderr.contains(words), "{words}:\n{}", run.stderr);
        assert!(!run.stderr.contains("The kit is made"), "{}", run.stderr);
    };
    let both = [(alice, "new.share"), (bob, "new.share")];
    ask(
        "new.kit",
        &both,
        &["--remove", "bob"],
        "1 holders would be left, and a quorum needs 2",
    );
    ask(
        "new.kit",
        &both[..1],
        &[],
        "only a quorum can give out shares: 2 holders with their shares, and here are 1",
    );
    ask(
        "new.kit",
        &both,
        &["--remove", "mallory"],
        "mallory is no holder of this kit",
    );
    ask(
        "new.kit",
        &[(alice, SHARE), (bob, SHARE)],
        &[],
        "its holder has no share any more, or a new one",
    );
    ask(
        "new.kit",
        &[(alice, "new.share"), (carol, SHARE)],
        &[],
        "its holder has no share any more",
    );
    let files = fs::read_dir(quorum.table.file(".")).expect("the table").count();
    // What it had before: an authority, a kit, a key, a CA, and what reshare has made.
    assert_eq!(files, 5, "nothing else was written");
}

#[test]
fn init_makes_another_authority_only_when_it_is_told_to_rotate() {
    if !present(PARTS) {
        return;
    }
    let quorum = Quorum::new(&SITE.dir("rotated"));
    let before = quorum.kit();
    let holders: Vec<_> = quorum.people.iter().map(Person::holder).collect();
    let identities: Vec<_> = quorum.people.iter().map(Person::named_identity).collect();
    let ca = text(&quorum.table.file("server-ca.crt"));
    let out = quorum.table.file("rotated");
    fs::create_dir(&out).expect("the table is writable");
    let out_text = text(&out);
    let mut args = vec![
        "init",
        "--cluster",
        "prod",
        "--threshold",
        "3",
        "--server",
        "https://localhost:1",
        "--server-ca",
        &ca,
    ];
    args.extend(["--out", &out_text]);
    args.extend(holders.iter().flat_map(|holder| ["--holder", holder]));
    args.extend(identities.iter().flat_map(|identity| ["--identity", identity]));
    let run = quorum.table.run(&args);
    let words = "this machine keeps a kit of prod already";
    assert!(!run.ok && run.stderr.contains(words), "{}", run.stderr);
    assert_eq!(fs::read_dir(&out).expect("it is there").count(), 0);
    args.push("--rotate");
    let mut party = quorum.table.talking(&args);
    talk(&mut party, &mut [], AGREE);
    let said = party.finish().expect_ok().stderr;
    let still = format!(
        "The kit with the words `{}` is still trusted as long as its authority's certificate (… {}) lies in the API server's client \
         CA bundle. Take it out there once the new one is in and a drill went well",
        before.words(),
        before.authority_id()
    );
    assert!(said.contains(&still), "{still}:\n{said}");
    let after = kit(&found(&out, ".kit"));
    assert_ne!(after.certificate_pem(), before.certificate_pem());
    assert_ne!(after.payload().authority.key, before.payload().authority.key);
    assert_eq!(after.payload().threshold, 3);
    // The old shares are nothing to it.
    let alice = quorum.person("alice");
    fs::copy(found(&out, ".kit"), alice.file("rotated.kit")).expect("alice's home is writable");
    let (opener, request) = open(alice, "rotated.kit");
    refused(
        alice,
        SHARE,
        "rotated.kit",
        &request,
        "this share file belongs to another kit; give the kit that it was made with",
    );
    opener.kill();
}
