//! A kit and those who hold its shares, each on a machine of their own; and texts as somebody on the way, or somebody with
//! a changed program, makes them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use frost_ed25519::keys::{KeyPackage, PublicKeyPackage};
use frost_ed25519::rand_core::OsRng;
use frost_ed25519::{Error as FrostError, SigningPackage, aggregate, round1, round2};
use gatepass_break_glass::identity::{Identities, Nobody};
use gatepass_break_glass::kit::Kit;
use gatepass_break_glass::share::Share;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::person::{Key, Person};
use crate::pki::Authority;
use crate::talk::{Party, talk};

/// What people answer who agree to everything, and are alone at their machine.
pub const AGREE: &[(&str, &str)] = &[
    ("[yes/no]", "yes"),
    ("Share file of a holder who is at this machine", ""),
];

/// Two of three, unless somebody says otherwise.
pub struct Quorum {
    /// Alice, bob and carol.
    pub people: Vec<Person>,
    /// The machine where they sat together once; what was written there stays.
    pub table: Person,
    /// The kit's file, as it lies on the table.
    pub kit: PathBuf,
}

impl Quorum {
    /// A quorum of a cluster that nobody can reach.
    pub fn new(dir: &Path) -> Self {
        Self::with(dir, &[])
    }

    /// The same; `more` is added to what `init` is told.
    pub fn with(dir: &Path, more: &[&str]) -> Self {
        Self::of(dir, Self::people(dir), more)
    }

    /// A quorum of a cluster.
    pub fn at(dir: &Path, cluster: &Cluster, more: &[&str]) -> Self {
        Self::made(dir, Self::people(dir), &cluster.url, &cluster.ca, more)
    }

    /// The same of these people, at least two.
    pub fn of(dir: &Path, people: Vec<Person>, more: &[&str]) -> Self {
        let nobody = Authority::new("an API server that is gone");
        Self::made(dir, people, "https://localhost:1", &nobody.pem(), more)
    }

    /// Alice, bob and carol.
    pub fn people(dir: &Path) -> Vec<Person> {
        Self::people_but(dir, "nobody")
    }

    /// Alice, bob and carol without one of them.
    pub fn people_but(dir: &Path, missing: &str) -> Vec<Person> {
        let names = ["alice", "bob", "carol"].into_iter();
        let names = names.filter(|name| *name != missing);
        names.map(|name| Person::new(dir, name, Key::X25519)).collect()
    }

    /// The same at an API server of this URL and authority.
    pub fn made(dir: &Path, people: Vec<Person>, url: &str, ca: &str, more: &[&str]) -> Self {
        let table = Person::new(dir, "table", Key::X25519);
        let ca_file = table.file("server-ca.crt");
        fs::write(&ca_file, ca).expect("the scratch directory is writable");
        let mut quorum = Self {
            people,
            kit: PathBuf::new(),
            table,
        };
        quorum.kit = quorum.init(&["--server", url, "--server-ca", &text(&ca_file)], more);
        for person in &quorum.people {
            quorum.hand_over(person);
        }
        quorum
    }

    /// Makes a kit, and gives its file.
    fn init(&self, server: &[&str], more: &[&str]) -> PathBuf {
        let holders: Vec<_> = self.people.iter().map(Person::holder).collect();
        let identities: Vec<_> = self.people.iter().map(Person::named_identity).collect();
        let mut args = vec!["init", "--cluster", "prod", "--threshold", "2"];
        args.extend(holders.iter().flat_map(|holder| ["--holder", holder]));
        args.extend(identities.iter().flat_map(|identity| ["--identity", identity]));
        args.extend_from_slice(server);
        args.extend_from_slice(more);
        done(self.table.talking(&args));
        self.found(".kit")
    }

    /// The only file on the table whose name ends so.
    pub fn found(&self, ending: &str) -> PathBuf {
        let files = fs::read_dir(self.table.file("")).expect("it is there");
        let files = files.map(|file| file.expect("it can be listed").path());
        let mut found: Vec<_> = files.filter(|path| text(path).ends_with(ending)).collect();
        assert_eq!(found.len(), 1, "{ending}: {found:?}");
        found.remove(0)
    }

    /// Gives somebody the kit, which they keep, and their share file, which is gone from the table then.
    fn hand_over(&self, person: &Person) {
        let share = self.found(&format!(".{}.share", person.name));
        fs::rename(share, person.file(SHARE)).expect("one file system");
        let kit = person.receive(&self.kit);
        person.run(&["verify", &text(&kit), "--keep"]).expect_ok();
    }

    /// One of them.
    pub fn person(&self, name: &str) -> &Person {
        let found = self.people.iter().find(|person| person.name == name);
        found.unwrap_or_else(|| panic!("{name} is not of this quorum"))
    }

    /// The kit.
    pub fn kit(&self) -> Kit {
        kit(&self.kit)
    }

    /// Somebody's share, as whoever has the file and the key to it reads it.
    pub fn share(&self, name: &str) -> Share {
        let person = self.person(name);
        share(&person.file(SHARE), person)
    }

    /// Starts `open` on the machine of somebody whose share is not used.
    pub fn open(&self, name: &str, more: &[&str]) -> Party {
        let args = ["open", "--as", name, "--reason", "IdP down"];
        self.person(name).talking(&[&args, more].concat())
    }

    /// Starts `open` for somebody who is a holder, too, and signs with their own share.
    pub fn open_with_share(&self, name: &str, more: &[&str]) -> Party {
        let own = own_share(self.person(name));
        let own: Vec<_> = own.iter().map(String::as_str).collect();
        self.open(name, &[&own, more].concat())
    }

    /// Starts `approve` on somebody's machine.
    pub fn approve(&self, name: &str) -> Party {
        approve(self.person(name), &[])
    }

    /// Lets somebody agree to a request on their machine; gives what they commit to, too.
    pub fn commit(&self, name: &str, request: &str) -> (Party, String) {
        let mut party = self.approve(name);
        party.tell(request);
        agree(&mut party);
        let commitment = party.text();
        (party, commitment)
    }
}

/// Where a person keeps their share, in their home.
pub const SHARE: &str = "own.share";

/// The options that name a person's own share and key.
pub fn own_share(person: &Person) -> [String; 4] {
    let [share, identity] = [person.file(SHARE), person.identity()].map(|path| text(&path));
    ["--share".into(), share, "--identity".into(), identity]
}

/// Starts `approve` with a person's own share; `more` is added.
pub fn approve(person: &Person, more: &[&str]) -> Party {
    let own = own_share(person);
    let own: Vec<_> = own.iter().map(String::as_str).collect();
    person.talking(&[&["approve"], &own[..], more].concat())
}

/// Lets a program whose people are all at one machine come to its end, which is a good one.
pub fn done(mut party: Party) {
    talk(&mut party, &mut [], AGREE);
    party.finish().expect_ok();
}

/// Says yes when the holder at this machine is asked to sign.
pub fn agree(party: &mut Party) {
    party.wait_for("do you agree to sign this with your share? [yes/no]");
    party.tell("yes");
}

/// Says that nobody with a share is at the machine of the one who opens.
pub fn nobody_here(party: &mut Party) {
    party.wait_for("the others approve on their own machines):");
    party.tell("");
}

/// The file of a machine's log.
pub fn log_file(person: &Person) -> PathBuf {
    person.machine.dir.join("state/gatepass/break-glass/log.jsonl")
}

/// A machine's log.
pub fn log(person: &Person) -> String {
    fs::read_to_string(log_file(person)).unwrap_or_default()
}

/// The windows that are open on a machine.
pub fn windows(person: &Person) -> Vec<Value> {
    let status = person.json(&["status", "-o", "json"]);
    status["windows"].as_array().expect("a list").clone()
}

/// A path on a command line.
pub fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Reads a kit.
pub fn kit(path: &Path) -> Kit {
    let text = fs::read_to_string(path).expect("the kit is there");
    Kit::parse(&text).expect("it is genuine")
}

/// Reads a share file with a person's key.
pub fn share(file: &Path, person: &Person) -> Share {
    let mut keys = Identities::new(Arc::new(Nobody));
    keys.read("key", person.secret().as_bytes())
        .expect("the harness made the key");
    let file = fs::read(file).expect("the share file is there");
    Share::decrypt(file, &keys).expect("it is locked to that key")
}

/// What holders of shares sign whose programs check nothing.
pub fn signed(
    public: &PublicKeyPackage,
    keys: &[&KeyPackage],
    message: &[u8],
) -> Result<Vec<u8>, FrostError> {
    let (mut nonces, mut commitments) = (BTreeMap::new(), BTreeMap::new());
    for key in keys {
        let (secret, commitment) = round1::commit(key.signing_share(), &mut OsRng);
        nonces.insert(*key.identifier(), secret);
        commitments.insert(*key.identifier(), commitment);
    }
    let package = SigningPackage::new(commitments, message);
    let mut shares = BTreeMap::new();
    for key in keys {
        let share = round2::sign(&package, &nonces[key.identifier()], key)?;
        shares.insert(*key.identifier(), share);
    }
    aggregate(&package, &shares, public)?.serialize()
}

/// What is inside an armored text.
pub fn inside(text: &str) -> Value {
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    let json = BASE64_STANDARD.decode(body).expect("base64");
    serde_json::from_slice(&json).expect("JSON")
}

/// An armored text of anything.
pub fn armored(label: &str, inside: &Value) -> String {
    let body = BASE64_STANDARD.encode(inside.to_string());
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    format!("{text}-----END {label}-----\n")
}

/// The same text with something else in it.
pub fn changed(text: &str, change: impl FnOnce(&mut Value)) -> String {
    let begin = text.find("-----BEGIN ").expect("an armored text");
    let (label, _) = text[begin + 11..].split_once("-----").expect("a label");
    let mut value = inside(&text[begin..]);
    change(&mut value);
    armored(label, &value)
}
