//! An opener with a changed program: the test makes its texts by hand, and the real `approve` holds to the kit.

use data_encoding::HEXLOWER;
use e2e::apart::{Quorum, agree, armored, changed, inside, log, signed};
use e2e::cluster::Cluster;
use e2e::holder::Holder;
use e2e::parts::{Part, present, unix_time};
use e2e::pki::Identity;
use e2e::talk::Party;
use e2e::world::Site;
use gatepass_break_glass::approver::{Commitment, SignatureShare, Signing};
use gatepass_break_glass::armor::{self, Armored};
use gatepass_break_glass::kit::Kit;
use gatepass_break_glass::log::Head;
use gatepass_break_glass::name::{Name, Reason};
use gatepass_break_glass::opener::{Certificate, Granted, Opening};
use gatepass_break_glass::request::{BACKDATE, Request, RequestText, shown_time};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData, SignatureAlgorithm,
    SigningKey,
};
use serde_json::{Value, json};
use time::OffsetDateTime;

static SITE: Site = Site::new("break_glass_patched");
const PARTS: &[Part] = &[Part::ControlPlane];

/// The log of a program that keeps none.
fn head() -> Head {
    Head {
        machine: "patched".into(),
        entries: 1,
        hash: "none".into(),
    }
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key")
}

/// What alice asks for a key.
fn request(kit: &Kit, seconds: u32, key: &KeyPair) -> RequestText {
    let alice = Name::try_from("alice".to_owned()).expect("a name");
    let reason = Reason::try_from("IdP down".to_owned()).expect("a reason");
    RequestText {
        request: Request::certificate(kit, alice, reason, seconds, key.der_bytes()),
        head: head(),
    }
}

fn read<T: Armored>(text: &str) -> T {
    armor::read(text).expect("what it says to be")
}

/// Somebody who has agreed to a request, and what they committed to.
fn committed(quorum: &Quorum, name: &str, request: &RequestText) -> (Party, Commitment) {
    let mut party = quorum.approve(name);
    party.tell(&request.armor());
    agree(&mut party);
    let text = party.text();
    (party, read(&text))
}

/// Round two as a changed program fixes it.
fn signing(kit: &Kit, request: &RequestText, not_before: i64, commitments: &[&Commitment]) -> Signing {
    let commitments = commitments.iter().map(|text| {
        let holder = kit.holder(&text.holder).expect("a holder");
        (holder.identifier, text.commitments.clone())
    });
    Signing {
        request: request.request.hash(),
        not_before,
        commitments: commitments.collect(),
        head: head(),
    }
}

fn nothing_signed(quorum: &Quorum, name: &str) {
    let log = log(quorum.person(name));
    assert!(!log.contains(r#""kind":"signed""#), "{log}");
}

#[test]
fn approvers_hold_a_request_to_the_kit() {
    if !present(PARTS) {
        return;
    }
    let quorum = Quorum::with(&SITE.dir("request"), &["--longest", "30m", "--opener", "alice"]);
    let kit = quorum.kit();
    let good = request(&kit, 1800, &key());
    let text = good.armor();
    let certificate = |change: &dyn Fn(&mut Value)| {
        changed(&text, |text| change(&mut text["request"]["ask"]["certificate"]))
    };
    let proposal = |change: &dyn Fn(&mut Value)| {
        let mut payload = serde_json::to_value(kit.payload()).expect("JSON");
        payload["revision"] = 2.into();
        payload["previous"] = kit.hash().to_string().into();
        for holder in 0..2 {
            payload["holders"][holder]["confirmed"] = unix_time().saturating_add(9).into();
        }
        change(&mut payload);
        changed(&text, |text| {
            let payload = data_encoding::BASE64.encode(payload.to_string().as_bytes());
            text["request"]["ask"] = json!({"kit": {"payload": payload}});
        })
    };
    let seconds = |seconds: u32| certificate(&|ask| ask["seconds"] = seconds.into());
    let cannot_be_read = "a GATEPASS REQUEST cannot be read";
    let not_the_kits = "this request is refused: it asks for a certificate of ";
    let cannot_follow = "the kit that it proposes cannot follow yours: ";
    let mut bob = quorum.approve("bob");
    for (what, text, words) in [
        ("a minute longer", seconds(1860), not_the_kits),
        (
            "an hour",
            seconds(3600),
            "; the kit allows 600 to 1800 s: it was not made by an unchanged program",
        ),
        ("136 years", seconds(u32::MAX), not_the_kits),
        ("no time at all", seconds(0), not_the_kits),
        (
            "a negative time",
            certificate(&|ask| ask["seconds"] = (-1).into()),
            cannot_be_read,
        ),
        (
            "another opener",
            changed(&text, |text| text["request"]["by"] = "mallory".into()),
            "this request is refused: the kit does not allow mallory to open: it was not made by an unchanged program",
        ),
        (
            "a name that is a subject",
            changed(&text, |text| {
                text["request"]["by"] = "alice,O=system:masters".into()
            }),
            cannot_be_read,
        ),
        (
            "a group",
            certificate(&|ask| ask["group"] = "system:masters".into()),
            cannot_be_read,
        ),
        (
            "groups",
            certificate(&|ask| ask["groups"] = json!(["system:masters"])),
            cannot_be_read,
        ),
        (
            "an end",
            certificate(&|ask| ask["notAfter"] = i64::MAX.into()),
            cannot_be_read,
        ),
        (
            "a CA",
            certificate(&|ask| ask["isCa"] = true.into()),
            cannot_be_read,
        ),
        (
            "a group of the request",
            changed(&text, |text| {
                text["request"]["groups"] = json!(["system:masters"])
            }),
            cannot_be_read,
        ),
        (
            "a group beside the request",
            changed(&text, |text| text["groups"] = json!(["system:masters"])),
            cannot_be_read,
        ),
        (
            "a message",
            changed(&text, |text| {
                text["request"]["ask"] = json!({"message": {"bytes": "MIIB"}})
            }),
            cannot_be_read,
        ),
        (
            "a drill that is a message",
            changed(&text, |text| {
                text["request"]["ask"] = json!({"drill": {"random": "3082010a"}})
            }),
            "its random bytes cannot be read",
        ),
        (
            "a drill that is a certificate as well",
            changed(&text, |text| {
                text["request"]["ask"]["drill"] = json!({"random": "00".repeat(32)})
            }),
            cannot_be_read,
        ),
        (
            "no point",
            certificate(&|ask| ask["key"] = "BAAA".into()),
            "its key cannot be read",
        ),
        (
            "another kit's",
            changed(&text, |text| text["request"]["kit"] = "00".repeat(32).into()),
            "it was made with another kit (",
        ),
        (
            "a quorum of one",
            proposal(&|kit| kit["threshold"] = 1.into()),
            cannot_follow,
        ),
        (
            "two hours",
            proposal(&|kit| kit["limits"]["longestSeconds"] = 7200.into()),
            cannot_follow,
        ),
        (
            "a holder more",
            proposal(&|kit| {
                let mut mallory = kit["holders"][0].clone();
                mallory["name"] = "mallory".into();
                kit["holders"].as_array_mut().expect("a list").push(mallory);
            }),
            cannot_follow,
        ),
        (
            "a holder's share",
            proposal(&|kit| kit["holders"][1]["name"] = "mallory".into()),
            "it changes who holds a share",
        ),
        (
            "a group in the kit",
            proposal(&|kit| kit["group"] = "system:masters".into()),
            "its kit cannot be read",
        ),
    ] {
        bob.tell(&text);
        let before = bob.wait_for(words);
        assert!(!before.contains("do you agree"), "{what}: {before}");
    }
    // Whoever then asks for what the kit allows gets it, from the same program.
    bob.tell(&text);
    agree(&mut bob);
    assert_eq!(read::<Commitment>(&bob.text()).request, good.request.hash());
    bob.kill();
    nothing_signed(&quorum, "bob");
}

#[test]
fn approvers_hold_round_two_to_what_they_agreed_to() {
    if !present(PARTS) {
        return;
    }
    let quorum = Quorum::new(&SITE.dir("signing"));
    let kit = quorum.kit();
    let (ours, other) = (request(&kit, 3600, &key()), request(&kit, 3600, &key()));
    let (mut bob, bobs) = committed(&quorum, "bob", &ours);
    let (_carol, carols) = committed(&quorum, "carol", &ours);
    let (_earlier, earlier) = committed(&quorum, "bob", &ours);
    let now = unix_time() - BACKDATE;
    let good = signing(&kit, &ours, now, &[&bobs, &carols]);
    let text = good.armor();
    let cannot_be_read = "a GATEPASS SIGNING cannot be read";
    let quorum_words = "those who sign by it are not the quorum that is needed: ";
    let commitments = |change: &dyn Fn(&mut Value)| changed(&text, |text| change(&mut text["commitments"]));
    // The neutral element, by which whoever sends it could choose the sum.
    let none = format!(
        "{}{}",
        &carols.commitments[..10],
        "01".to_owned() + &"00".repeat(31) + "01" + &"00".repeat(31)
    );
    assert_eq!(none.len(), carols.commitments.len());
    for (what, text, words) in [
        (
            "another request",
            signing(&kit, &other, now, &[&bobs, &carols]).armor(),
            "this text is about another request (words: ",
        ),
        (
            "alone",
            signing(&kit, &ours, now, &[&bobs]).armor(),
            "1 commitments where 2 are needed",
        ),
        (
            "one more than a quorum",
            commitments(&|map| map["1"] = carols.commitments.clone().into()),
            "3 commitments where 2 are needed",
        ),
        (
            "with a stranger",
            commitments(&|map| *map = json!({"2": bobs.commitments, "9": carols.commitments})),
            "the kit has no holder number 9",
        ),
        (
            "without bob",
            commitments(&|map| *map = json!({"1": bobs.commitments, "3": carols.commitments})),
            "your commitment is not in it as you sent it",
        ),
        (
            "with an earlier commitment of bob's",
            signing(&kit, &ours, now, &[&earlier, &carols]).armor(),
            "your commitment is not in it as you sent it",
        ),
        (
            "with carol's in the place of bob's",
            commitments(&|map| map["2"] = carols.commitments.clone().into()),
            "your commitment is not in it as you sent it",
        ),
        (
            "with no point",
            commitments(&|map| map["3"] = "00".into()),
            "the commitment of holder number 3 cannot be read",
        ),
        (
            "with the neutral element",
            commitments(&|map| map["3"] = none.clone().into()),
            "the commitment of holder number 3 cannot be read",
        ),
        (
            "with a name for a number",
            commitments(&|map| map["carol"] = "00".into()),
            cannot_be_read,
        ),
        (
            "a group",
            changed(&text, |text| text["groups"] = json!(["system:masters"])),
            cannot_be_read,
        ),
        (
            "a message",
            changed(&text, |text| text["message"] = "MIIB".into()),
            cannot_be_read,
        ),
        (
            "an end",
            changed(&text, |text| text["notAfter"] = i64::MAX.into()),
            cannot_be_read,
        ),
        (
            "beyond all calendars",
            changed(&text, |text| text["notBefore"] = i64::MAX.into()),
            "the certificate cannot be built: ",
        ),
        (
            "before all calendars",
            changed(&text, |text| text["notBefore"] = i64::MIN.into()),
            "the certificate cannot be built: ",
        ),
    ] {
        bob.tell(&text);
        bob.wait_for(words);
        assert!(bob.ended().is_none(), "{what}: {}", bob.said());
    }
    assert!(quorum_words.len() < bob.said().len() && bob.said().contains(quorum_words));
    nothing_signed(&quorum, "bob");
    // None of it used up what the true round needs.
    bob.tell(&text);
    let share: SignatureShare = read(&bob.text());
    assert_eq!(share.request, ours.request.hash());
    bob.finish().expect_ok();
}

#[test]
fn a_beginning_that_does_not_fit_an_approvers_clock_is_typed_or_nothing_is_signed() {
    if !present(PARTS) {
        return;
    }
    let quorum = Quorum::new(&SITE.dir("times"));
    let kit = quorum.kit();
    let ours = request(&kit, 3600, &key());
    let (mut bob, bobs) = committed(&quorum, "bob", &ours);
    let (_carol, carols) = committed(&quorum, "carol", &ours);
    let at = |not_before| signing(&kit, &ours, not_before, &[&bobs, &carols]).armor();
    let now = unix_time();
    for (begins, why) in [
        (now + 86_400, "it would begin too far ahead"),
        (now + 420, "it would begin too far ahead"),
        (now + 10 * 365 * 86_400, "it would begin too far ahead"),
        (now - 86_400, "it would be over already"),
        (now - 3600, "it would be over already"),
    ] {
        bob.tell(&at(begins));
        bob.wait_for(&format!("bob: by this machine's clock {why}:"));
        bob.wait_for(&format!("it begins    {} UTC", shown_time(begins)));
        bob.wait_for(&format!("it ends      {} UTC", shown_time(begins + 3600)));
        bob.wait_for("It begins at (YYYY-MM-DD HH:MM, UTC):");
        // Enter, as the text says.
        bob.tell("");
        bob.wait_for("Nothing was signed.");
    }
    nothing_signed(&quorum, "bob");
    bob.tell(&at(now - BACKDATE));
    bob.text();
    bob.finish().expect_ok();
}

#[test]
fn one_approval_is_one_signature() {
    if !present(PARTS) {
        return;
    }
    let quorum = Quorum::new(&SITE.dir("once"));
    let kit = quorum.kit();
    let ours = request(&kit, 3600, &key());
    let (mut bob, bobs) = committed(&quorum, "bob", &ours);
    let (mut carol, carols) = committed(&quorum, "carol", &ours);
    let now = unix_time() - BACKDATE;
    let first = signing(&kit, &ours, now, &[&bobs, &carols]);
    // A minute later is another certificate; both come at once, and again, before bob's program can have answered.
    let second = signing(&kit, &ours, now + 60, &[&bobs, &carols]);
    bob.tell(&format!("{}{}{}", first.armor(), second.armor(), second.armor()));
    carol.tell(&format!("{}{}{}", second.armor(), first.armor(), second.armor()));
    let shares = [bob, carol].map(|party| {
        let run = party.finish().expect_ok();
        assert_eq!(
            run.stdout.matches("BEGIN GATEPASS COMMITMENT").count(),
            1,
            "{}",
            run.stdout
        );
        assert_eq!(
            run.stdout.matches("BEGIN GATEPASS SIGNATURE SHARE").count(),
            1,
            "{}",
            run.stdout
        );
        let at = run
            .stdout
            .find("-----BEGIN GATEPASS SIGNATURE SHARE")
            .expect("it was counted");
        read::<SignatureShare>(&run.stdout[at..])
    });
    // Two halves of two certificates are none.
    for signing in [first, second] {
        let mut opening = Opening::begin(&kit, ours.request.clone()).expect("a request");
        for text in [&bobs, &carols] {
            let _ = opening.commitment(text).expect("a commitment");
        }
        let _ = opening.sign(signing.not_before, head()).expect("a quorum");
        let refused = shares
            .iter()
            .filter_map(|share| opening.signature_share(share).err());
        let refused: Vec<_> = refused.map(|error| error.to_string()).collect();
        assert!(
            refused.len() == 1
                && refused[0].contains("is wrong: not of this kit's share, or of another round"),
            "{refused:?}"
        );
        opening.finish().expect_err("no certificate");
    }
}

/// The authority's key as a forger has it: what signs, and mostly the signature that a quorum made of something else.
struct Forger<'a> {
    public: Vec<u8>,
    sign: &'a dyn Fn(&[u8]) -> Vec<u8>,
}

impl PublicKeyData for Forger<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl SigningKey for Forger<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok((self.sign)(message))
    }
}

/// A certificate of the kit's authority as a forger would like it, and signs it.
fn forged(
    kit: &Kit,
    (name, group): (&str, &str),
    (begin, end): (i64, i64),
    key: &KeyPair,
    sign: &dyn Fn(&[u8]) -> Vec<u8>,
) -> Identity {
    let forger = Forger {
        public: kit.payload().authority.key.to_vec(),
        sign,
    };
    let mut authority = CertificateParams::default();
    let authority_name = format!("Gatepass break-glass prod {}", kit.authority_id());
    authority.distinguished_name = DistinguishedName::new();
    authority
        .distinguished_name
        .push(DnType::CommonName, authority_name);
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let issuer = Issuer::new(authority, forger);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, group);
    params.not_before = OffsetDateTime::from_unix_timestamp(begin).expect("a date");
    params.not_after = OffsetDateTime::from_unix_timestamp(end).expect("a date");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(key, &issuer).expect("a certificate");
    identity(certificate.pem(), key)
}

fn identity(certificate: String, key: &KeyPair) -> Identity {
    Identity {
        certificate,
        key: key.serialize_pem(),
        pin: String::new(),
    }
}

/// The bytes of a certificate with one text in the place of another that is as long.
fn edited(granted: &Certificate, key: &KeyPair, from: &str, to: &str) -> Identity {
    assert_eq!(from.len(), to.len());
    let mut der = granted.der.to_vec();
    let at = der.windows(from.len()).position(|bytes| bytes == from.as_bytes());
    let at = at.unwrap_or_else(|| panic!("{from} is not in it: {}", HEXLOWER.encode(&granted.der)));
    der[at..at + to.len()].copy_from_slice(to.as_bytes());
    let body = armored("CERTIFICATE", &Value::Null);
    let (begin, end) = body.split_once('\n').expect("lines");
    let end = end.split_once('\n').expect("lines").1;
    let base64 = data_encoding::BASE64.encode(&der);
    let lines: Vec<_> = base64
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    identity(format!("{begin}\n{}\n{end}", lines.join("\n")), key)
}

#[test]
fn what_a_patched_opener_builds_with_a_quorums_signature_is_worth_nothing_at_an_api_server() {
    if !present(PARTS) {
        return;
    }
    let dir = SITE.dir("forged");
    let cluster = Cluster::start(&dir.join("cluster"));
    let quorum = Quorum::at(&dir, &cluster, &[]);
    let kit = quorum.kit();
    cluster.trust_authority(&kit.certificate_pem());
    cluster.bind_break_glass();
    let key = key();
    let ours = request(&kit, 3600, &key);
    let mut opening = Opening::begin(&kit, ours.request.clone()).expect("a request");
    let mut approvers = ["bob", "carol"].map(|name| {
        let (party, text) = committed(&quorum, name, &ours);
        let _ = opening.commitment(&text).expect("a commitment");
        party
    });
    let now = unix_time() - BACKDATE;
    let signing = opening.sign(now, head()).expect("a quorum").armor();
    for approver in &mut approvers {
        approver.tell(&signing);
        let text = approver.text();
        assert_eq!(inside(&text)["request"], json!(ours.request.hash().to_string()));
        let _ = opening.signature_share(&read(&text)).expect("a share");
    }
    let Granted::Certificate(granted) = opening.finish().expect("a certificate") else {
        panic!("no certificate");
    };
    let status = |identity: Identity| Holder::new(identity, &cluster).get("/api/v1/nodes").status;
    assert_eq!(
        status(identity(granted.pem.clone(), &key)),
        200,
        "what was agreed to"
    );
    let (alice, group) = ("break-glass:alice", "gatepass:break-glass");
    let hour = (granted.not_before, granted.not_after);
    let signature = granted.der[granted.der.len() - 64..].to_vec();
    let stolen = |_: &[u8]| signature.clone();
    let year = |unix: i64| {
        let date = OffsetDateTime::from_unix_timestamp(unix).expect("a date");
        (
            date.year() % 100,
            u8::from(date.month()),
            date.day(),
            date.hour(),
            date.minute(),
            date.second(),
        )
    };
    let utc = |(year, month, day, hour, minute, second)| {
        format!("{year:02}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z")
    };
    let end = year(granted.not_after);
    let later = utc((end.0 + 1, end.1, end.2, end.3, end.4, end.5));
    for (what, identity) in [
        (
            "system:masters",
            forged(&kit, (alice, "system:masters"), hour, &key, &stolen),
        ),
        (
            "another name",
            forged(&kit, ("break-glass:admin", group), hour, &key, &stolen),
        ),
        (
            "a day",
            forged(&kit, (alice, group), (hour.0, hour.0 + 86_400), &key, &stolen),
        ),
        (
            "another name, byte by byte",
            edited(&granted, &key, alice, "break-glass:admin"),
        ),
        (
            "another group, byte by byte",
            edited(&granted, &key, group, "gatepass:break-gl000"),
        ),
        (
            "another year, byte by byte",
            edited(&granted, &key, &utc(end), &later),
        ),
    ] {
        assert_eq!(status(identity), 401, "{what}");
    }
    // The forging itself is no reason to be refused: with a quorum's shares and nobody's checks all of it would be taken.
    assert_eq!(status(edited(&granted, &key, alice, alice)), 200);
    let shares = ["bob", "carol"].map(|name| quorum.share(name));
    let keys = [shares[0].key_package(), shares[1].key_package()];
    let whole = |message: &[u8]| signed(kit.public_keys(), &keys, message).expect("a quorum");
    let masters = forged(
        &kit,
        (alice, "system:masters"),
        (hour.0, hour.0 + 86_400),
        &key,
        &whole,
    );
    assert_eq!(status(masters), 200);
}
