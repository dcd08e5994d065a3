//! The authority's private key is nowhere: in no file that anybody's program has written, and in no program's memory.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use e2e::apart::{AGREE, Quorum, agree, kit, log, own_share, share, text};
use e2e::memory::count;
use e2e::parts::{Part, present};
use e2e::person::{Key, Person};
use e2e::pki::Authority;
use e2e::talk::talk;
use e2e::world::Site;
use frost_ed25519::keys::{KeyPackage, reconstruct};
use gatepass_break_glass::share::Share;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

static SITE: Site = Site::new("break_glass_nowhere");
const PARTS: &[Part] = &[Part::ControlPlane, Part::Memory];

/// In an init apart, after the invitation.
const ROUNDS: usize = 4;

/// The authority's private scalar, which nobody has: the test has all shares, and every right to put them together.
#[expect(
    clippy::disallowed_methods,
    reason = "to look for the key, one has to know it; no program of ours can compute it"
)]
fn authority_key(public: &[u8; 32], shares: &[Share]) -> Vec<u8> {
    let keys: Vec<KeyPackage> = shares.iter().map(|share| share.key_package().clone()).collect();
    let key = reconstruct(&keys).expect("a quorum");
    let own = frost_ed25519::VerifyingKey::from(&key);
    let own = own.serialize().expect("a point");
    assert_eq!(own, public, "it is the key of the authority");
    key.serialize()
}

/// How a scalar may stand in a file or in memory: as it is and turned around, and spelled in any way that our programs spell.
fn spellings(scalar: &[u8]) -> Vec<Vec<u8>> {
    let reversed: Vec<u8> = scalar.iter().rev().copied().collect();
    let mut spellings = vec![scalar.to_vec(), reversed.clone()];
    for bytes in [scalar, &reversed] {
        spellings.push(HEXLOWER.encode(bytes).into_bytes());
        spellings.push(HEXUPPER.encode(bytes).into_bytes());
        // Base64 of something longer that holds it: at any of three places, without the characters that neighbours change.
        for shift in 0..3 {
            let shifted = [&[0; 2][..shift], bytes].concat();
            let whole = bytes.len() + shift;
            for encoded in [BASE64.encode(&shifted), BASE64URL_NOPAD.encode(&shifted)] {
                let from = [0, 2, 3][shift];
                let to = whole / 3 * 4;
                spellings.push(encoded.as_bytes()[from..to].to_vec());
            }
        }
        let list: Vec<_> = bytes.iter().map(u8::to_string).collect();
        spellings.push(list.join(",").into_bytes());
    }
    spellings
}

/// All files below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("it can be listed").path();
        let kind = fs::symlink_metadata(&path).expect("it is there").file_type();
        if kind.is_dir() {
            found.extend(files(&path));
        } else if kind.is_file() {
            found.push(path);
        }
    }
    found
}

/// The files that hold one of these, without their line breaks too, by which armor cuts what is in it.
fn holding(files: &[PathBuf], needles: &[Vec<u8>]) -> BTreeSet<PathBuf> {
    let holds = |path: &&PathBuf| {
        let bytes = fs::read(path).expect("it can be read");
        let joined: Vec<u8> = bytes
            .iter()
            .copied()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        let within = |bytes: &[u8], needle: &[u8]| bytes.windows(needle.len()).any(|at| at == needle);
        needles
            .iter()
            .any(|needle| within(&bytes, needle) || within(&joined, needle))
    };
    files.iter().filter(holds).cloned().collect()
}

/// That a process has the shares that it needs, and not the key; `what` it does.
fn assert_not_whole(what: &str, process: u32, key: &[u8], shares: &[&Share]) {
    let scalars = shares
        .iter()
        .map(|share| share.key_package().signing_share().serialize());
    // That the scan finds what is there shows that it would find the key.
    let found = count(process, &scalars.collect::<Vec<_>>());
    assert!(
        found.iter().all(|count| *count > 0),
        "{what}: the shares are there: {found:?}"
    );
    let found = count(process, &spellings(key));
    assert!(
        found.iter().all(|count| *count == 0),
        "{what}: the key is there: {found:?}"
    );
}

#[test]
fn the_authoritys_key_is_in_no_file_and_in_no_programs_memory() {
    if !present(PARTS) {
        return;
    }
    let dir = SITE.dir("nowhere");
    let quorum = Quorum::new(&dir);
    let shares = ["alice", "bob", "carol"].map(|name| quorum.share(name));
    let key = authority_key(&quorum.kit().payload().authority.key, &shares);
    let [alices, bobs, carols] = &shares;

    // Apart, between the rounds: one share on each machine.
    let mut opener = quorum.open_with_share("alice", &[]);
    agree(&mut opener);
    let request = opener.text();
    let (mut bob, commitment) = quorum.commit("bob", &request);
    assert_not_whole("open", opener.process(), &key, &[alices]);
    assert_not_whole("approve", bob.process(), &key, &[bobs]);
    let others = [alices, carols].map(|share| share.key_package().signing_share().serialize());
    assert_eq!(
        count(bob.process(), &others),
        [0, 0],
        "bob's machine never has another's share"
    );
    // And in round two, when the opener has signed and waits for the last signature share.
    opener.tell(&commitment);
    let signing = opener.text();
    let after = count(opener.process(), &spellings(&key));
    assert!(after.iter().all(|count| *count == 0), "{after:?}");
    bob.tell(&signing);
    opener.tell(&bob.text());
    opener.finish().expect_ok();
    bob.finish().expect_ok();
    quorum.person("alice").run(&["close"]).expect_ok();

    // Side by side: a quorum's shares in one process, and still no key.
    let more = own_share(quorum.person("carol"));
    let more: Vec<_> = more.iter().map(String::as_str).collect();
    let mut opener = quorum.open_with_share("alice", &more);
    agree(&mut opener);
    opener.wait_for("carol: do you agree");
    assert_not_whole("open side by side", opener.process(), &key, &[alices, carols]);
    opener.tell("yes");
    opener.finish().expect_ok();

    // A reshare has all old shares and all new ones; the key is the same.
    let out = text(&quorum.table.file("next"));
    fs::create_dir(&out).expect("the table is writable");
    let present: Vec<_> = ["alice", "bob"]
        .map(|name| own_share(quorum.person(name)))
        .concat();
    let present: Vec<_> = present.iter().map(String::as_str).collect();
    let mut reshare = quorum
        .table
        .talking(&[&["reshare", "--remove", "carol", "--out", &out], &present[..]].concat());
    for _ in 0..3 {
        reshare.wait_for("[yes/no]");
        reshare.tell("yes");
    }
    reshare.wait_for("Do you confirm the words");
    let found = count(reshare.process(), &spellings(&key));
    assert!(found.iter().all(|count| *count == 0), "reshare: {found:?}");
    talk(&mut reshare, &mut [], AGREE);
    reshare.finish().expect_ok();

    // Everything that anybody's program has written anywhere.
    let all = files(&dir);
    assert!(all.len() > 20, "{all:?}");
    assert_eq!(holding(&all, &spellings(&key)), BTreeSet::new());
    for share in &shares {
        let scalar = share.key_package().signing_share().serialize();
        assert_eq!(
            holding(&all, &spellings(&scalar)),
            BTreeSet::new(),
            "not encrypted"
        );
    }
    // That the look finds what is there.
    let planted = dir.join("planted");
    let spelled = BASE64.encode(&[b"{\"key\":", &*key, b"}"].concat());
    let (one, two) = spelled.split_at(25);
    fs::write(&planted, format!("{one}\n{two}\n")).expect("the scratch directory is writable");
    assert_eq!(
        holding(&files(&dir), &spellings(&key)),
        BTreeSet::from([planted.clone()])
    );
    fs::remove_file(planted).expect("it was just written");
    assert!(
        log(quorum.person("bob")).contains(r#""kind":"signed""#),
        "something happened"
    );
}

#[test]
fn age_is_not_asked_to_print_keys() {
    if !present(PARTS) {
        return;
    }
    let alice = Person::new(&SITE.dir("debug"), "alice", Key::X25519);
    let mut status = alice.command(&["status"]);
    let run = alice.machine.run(status.env("AGEDEBUG", "plugin"));
    assert!(!run.ok && run.stderr.contains("unset AGEDEBUG"), "{}", run.stderr);
    alice.machine.run(status.env("AGEDEBUG", "")).expect_ok();
}

#[test]
fn a_key_that_was_made_apart_was_never_on_any_machine() {
    if !present(PARTS) {
        return;
    }
    let dir = SITE.dir("apart");
    let people = Quorum::people(&dir);
    let ca = people[0].file("server-ca.crt");
    fs::write(&ca, Authority::new("an API server that is gone").pem()).expect("a home is writable");
    let ca = text(&ca);
    let mut invite = vec!["init", "--apart", "--cluster", "prod", "--threshold", "2"];
    invite.extend(["--server", "https://localhost:1", "--server-ca", &ca]);
    let holders: Vec<_> = people.iter().map(Person::holder).collect();
    invite.extend(holders.iter().flat_map(|holder| ["--holder", holder]));
    let start = |person: &Person, args: &[&str]| {
        let identity = person.named_identity();
        let own = ["--as", &person.name, "--identity", &identity];
        person.talking(&[args, &own].concat())
    };
    let mut parties = vec![start(&people[0], &invite)];
    let invitation = parties[0].text();
    let out = people[1].file("stick");
    fs::create_dir(&out).expect("a home is writable");
    for person in &people[1..] {
        let out = if person.name == "bob" {
            text(&out)
        } else {
            ".".to_owned()
        };
        let mut party = start(person, &["init", "--join", "--out", &out]);
        party.tell(&invitation);
        party.wait_for("are the words the same everywhere? [yes/no]");
        party.tell("yes");
        parties.push(party);
    }
    fs::remove_dir(&out).expect("nothing was written yet");
    for _round in 0..ROUNDS {
        let texts: Vec<_> = parties.iter_mut().map(|party| party.text()).collect();
        for (at, party) in parties.iter_mut().enumerate() {
            for (_, text) in texts.iter().enumerate().filter(|(from, _)| *from != at) {
                party.tell(text);
            }
        }
    }
    // What cannot be written at once is not lost: the others have the kit already.
    parties[1].wait_for("Try again? (With no, the share of bob is lost.) [yes/no]");
    fs::create_dir(&out).expect("a home is writable");
    parties[1].tell("yes");
    for party in &mut parties {
        party.wait_for("Do you confirm the words");
    }
    // Everybody has a share, and all programs still have in their memory what they made it of.
    let found = |person: &Person, ending: &str| {
        let mut files = files(&person.file(".")).into_iter();
        let found = files.find(|path| text(path).ends_with(ending));
        found.unwrap_or_else(|| panic!("no {ending}"))
    };
    let shares: Vec<_> = people
        .iter()
        .map(|person| share(&found(person, ".share"), person))
        .collect();
    let scalars: Vec<_> = shares
        .iter()
        .map(|share| share.key_package().signing_share().serialize())
        .collect();
    let public = shares[0].key_package().verifying_key();
    let public = public.serialize().expect("a point").try_into().expect("32 bytes");
    let key = authority_key(&public, &shares);
    for (at, party) in parties.iter().enumerate() {
        assert_not_whole(&party.name, party.process(), &key, &[&shares[at]]);
        for (other, count) in count(party.process(), &scalars).into_iter().enumerate() {
            assert_eq!(count > 0, other == at, "{}: {}", party.name, people[other].name);
        }
    }
    for party in &mut parties {
        party.tell("yes");
    }
    for party in parties {
        party.finish().expect_ok();
    }
    let made = kit(&found(&people[2], ".kit"));
    assert_eq!(made.payload().authority.key, public);
    let all = files(&dir);
    for secret in [&scalars[..], &[key]].concat() {
        assert_eq!(holding(&all, &spellings(&secret)), BTreeSet::new());
    }
}

#[test]
fn nothing_of_a_ceremony_gets_into_a_core_dump() {
    if !present(PARTS) {
        return;
    }
    // As generous as the system lets this test be; what it starts inherits it.
    let limit = getrlimit(Resource::Core);
    let all = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Core, all).expect("up to the maximum anybody may");
    let quorum = Quorum::new(&SITE.dir("dumps"));
    let mut opener = quorum.open_with_share("alice", &[]);
    agree(&mut opener);
    let request = opener.text();
    let (bob, _) = quorum.commit("bob", &request);
    for party in [&opener, &bob] {
        let limits = format!("/proc/{}/limits", party.process());
        let limits = fs::read_to_string(limits).expect("the process runs");
        let core = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max core file size"));
        let core: Vec<_> = core.expect("there is such a limit").split_whitespace().collect();
        assert_eq!(core, ["0", "0", "bytes"], "{}", party.name);
    }
}
