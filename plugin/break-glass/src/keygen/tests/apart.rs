use zeroize::Zeroizing;

use super::{super::texts::*, *};
use crate::{
    armor::{Armored, Block, blocks},
    keygen::apart::{Joining, Progress, Refusal, Sealing, Step},
};

/// Encrypts nothing, but opens only what is for its key.
struct Post(String);

impl Sealing for Post {
    fn seal(&mut self, recipients: &[String], plaintext: &[u8]) -> Result<String, Refusal> {
        Ok(format!(
            "{} {}",
            recipients.join(","),
            data_encoding::HEXLOWER.encode(plaintext)
        ))
    }

    fn open(&mut self, ciphertext: &str) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let (recipients, plaintext) = ciphertext.split_once(' ').ok_or("not sealed")?;
        match recipients.split(',').any(|recipient| recipient == self.0) {
            true => Ok(Zeroizing::new(
                data_encoding::HEXLOWER.decode(plaintext.as_bytes())?,
            )),
            false => Err("no \u{1b}[2J key fits".into()),
        }
    }
}

struct Machine {
    post: Post,
    joining: Joining,
    kit: Option<(Kit, KeyPackage)>,
}

impl Machine {
    fn paste(&mut self, text: &str) -> Result<Progress, KeygenError> {
        let blocks = blocks(text).unwrap();
        let each = blocks
            .iter()
            .map(|block| self.joining.take(block, &mut self.post));
        let pasted = each.last();
        if let Some(Err(error)) = &pasted {
            // What would come again without another text ends a holder's program.
            let again = self.joining.progress(&mut self.post);
            assert!(again.is_ok(), "{error}, and then {again:?}");
        }
        pasted.unwrap_or_else(|| self.joining.progress(&mut self.post))
    }

    /// The texts that it gives when it is ready; ends with its kit.
    fn go_on(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while self.kit.is_none() && self.joining.progress(&mut self.post).unwrap() == Progress::Ready {
            match self.joining.next(&mut self.post, &mut OsRng).unwrap() {
                Step::Text(text) => said.push(text),
                Step::Kit(kit) => self.kit = Some(*kit),
            }
        }
        said
    }

    fn say(&mut self) -> String {
        self.go_on().pop().expect("it is ready")
    }
}

fn invitation(threshold: u16, holders: u16) -> Invitation {
    Invitation::new(draft(Made::Apart, threshold, holders), &mut OsRng).unwrap()
}

fn join(invitation: &Invitation, me: &Name) -> (Machine, String) {
    let (joining, text) = Joining::begin(invitation.clone(), me.clone(), &mut OsRng).unwrap();
    let post = Post(recipient(me.as_str()));
    let kit = None;
    (Machine { post, joining, kit }, text)
}

/// All machines, and their texts of round 1.
fn begin(threshold: u16, holders: u16) -> (Vec<Machine>, Vec<String>) {
    let invitation = invitation(threshold, holders);
    let names = invitation.draft().holders.iter().map(|(name, _)| name);
    names.map(|name| join(&invitation, name)).unzip()
}

/// Gives each the others' texts, and everybody's next text back.
fn round(machines: &mut [Machine], texts: &[String]) -> Vec<String> {
    machines.iter_mut().for_each(|machine| {
        assert_eq!(machine.paste(&texts.concat()).unwrap(), Progress::Ready);
    });
    machines.iter_mut().map(Machine::say).collect()
}

fn change<B: Body>(text: &str, change: impl FnOnce(&mut Text<B>)) -> String {
    let mut text: Text<B> = crate::armor::read(text).unwrap();
    change(&mut text);
    text.armor()
}

fn kits(machines: &mut [Machine], texts: &[String]) -> Vec<(Kit, KeyPackage)> {
    let finish = |machine: &mut Machine| {
        assert_eq!(machine.paste(&texts.concat()).unwrap(), Progress::Ready);
        assert!(machine.go_on().is_empty());
        machine.kit.take().unwrap()
    };
    machines.iter_mut().map(finish).collect()
}

/// A kit whose shares were never together.
pub(crate) fn made_apart(threshold: u16, holders: u16) -> (Kit, Vec<(Name, KeyPackage)>) {
    let (mut machines, mut texts) = begin(threshold, holders);
    for _ in 0..3 {
        texts = round(&mut machines, &texts);
    }
    let made = kits(&mut machines, &texts);
    let kit = made[0].0.clone();
    let names: Vec<_> = kit
        .payload()
        .holders
        .iter()
        .map(|holder| holder.name.clone())
        .collect();
    let keys = made.into_iter().map(|(_, key)| key);
    (kit, names.into_iter().zip(keys).collect())
}

#[test]
fn texts_in_any_order_and_twice_make_one_kit_for_all() {
    for (seed, (threshold, holders)) in [(2, 2), (2, 3), (2, 3), (3, 5), (3, 5), (4, 4)]
        .into_iter()
        .enumerate()
    {
        let (mut machines, mut texts) = begin(threshold, holders);
        let mut state = seed;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        while machines.iter().any(|machine| machine.kit.is_none()) {
            let machine = random(machines.len());
            let machine = &mut machines[machine];
            if machine.kit.is_some() {
                continue;
            }
            for _ in 0..random(texts.len() + 1) {
                let _ = machine.paste(&texts[random(texts.len())]).unwrap();
            }
            texts.extend(machine.go_on());
        }
        assert_eq!(texts.len(), 4 * usize::from(holders));
        let made: Vec<_> = machines.into_iter().filter_map(|machine| machine.kit).collect();
        let kit = &made[0].0;
        assert_eq!(kit.payload().made, Made::Apart);
        for (other, key) in &made {
            assert_eq!(other.write(), kit.write());
            assert_eq!(key.verifying_key(), kit.public_keys().verifying_key());
        }
        let keys: Vec<_> = made.iter().map(|(_, key)| key).collect();
        let quorum = usize::from(threshold);
        assert!(
            keys.windows(quorum)
                .all(|quorum| signs(kit, quorum.iter().copied()))
        );
        assert!(!signs(kit, keys[1..quorum].iter().copied()));
    }
}

#[test]
fn fifteen_holders_apart() {
    let (mut machines, mut texts) = begin(8, 15);
    for _ in 0..3 {
        texts = round(&mut machines, &texts);
    }
    assert_eq!(kits(&mut machines, &texts).len(), 15);
}

#[test]
fn what_is_needed_is_named() {
    let (mut machines, texts) = begin(2, 3);
    let need = |what, from: &[&str]| Progress::Need {
        what,
        from: from.iter().map(|from| name(from)).collect(),
    };
    let alice = &mut machines[0];
    assert_eq!(
        alice.paste("").unwrap(),
        need("text of round 1", &["bob", "carol"])
    );
    assert_eq!(alice.paste(&texts[2]).unwrap(), need("text of round 1", &["bob"]));
    let early = alice.joining.next(&mut alice.post, &mut OsRng);
    assert!(matches!(early, Err(KeygenError::Missing { from, .. }) if from == [name("bob")]));
    assert_eq!(alice.paste(&texts[1]).unwrap(), Progress::Ready);
    alice.say();
    assert_eq!(
        alice.paste("").unwrap(),
        need("text of round 2", &["bob", "carol"])
    );
}

#[test]
fn a_text_of_another_init_is_refused() {
    let (mut machines, texts) = begin(2, 3);
    let (_, others) = begin(2, 3);
    let refused = machines[0].paste(&others[1]);
    assert!(matches!(refused, Err(KeygenError::AnotherInvitation { from, .. }) if from == name("bob")));
    let mine = machines[0]
        .joining
        .take(&block(&invitation(2, 3).armor()), &mut Post("".into()));
    assert!(matches!(mine, Err(KeygenError::SecondInvitation)));
    assert_eq!(machines[0].paste(&texts.concat()).unwrap(), Progress::Ready);
}

fn block(text: &str) -> Block {
    blocks(text).unwrap().remove(0)
}

#[test]
fn the_same_invitation_again_changes_nothing() {
    let invitation = invitation(2, 2);
    let (mut alice, _) = join(&invitation, &name("alice"));
    assert!(matches!(
        alice.paste(&invitation.armor()),
        Ok(Progress::Need { .. })
    ));
}

#[test]
fn a_text_of_another_kind_is_refused() {
    let (mut machines, _) = begin(2, 2);
    let refused = machines[0].paste(&made(2, 2).0.write());
    assert!(matches!(
        refused,
        Err(KeygenError::Armor(ArmorError::AnotherKind { .. }))
    ));
}

#[test]
fn a_text_of_nobody_invited_is_refused() {
    let (mut machines, texts) = begin(2, 3);
    let stranger = change::<Round1>(&texts[1], |text| text.from = name("mallory"));
    let refused = machines[0].paste(&stranger);
    assert!(matches!(refused, Err(KeygenError::Stranger { from, .. }) if from == name("mallory")));
    assert!(matches!(
        Joining::begin(invitation(2, 3), name("mallory"), &mut OsRng),
        Err(KeygenError::NotInvited(_))
    ));
}

#[test]
fn two_different_texts_of_one_holder_are_refused_and_the_first_is_kept() {
    let invitation = invitation(2, 2);
    let (mut alice, _) = join(&invitation, &name("alice"));
    let (_, bob) = join(&invitation, &name("bob"));
    let (_, bob_again) = join(&invitation, &name("bob"));
    assert_eq!(alice.paste(&bob).unwrap(), Progress::Ready);
    let refused = alice.paste(&bob_again);
    assert!(matches!(refused, Err(KeygenError::TwoTexts { from, .. }) if from == name("bob")));
    assert_eq!(alice.paste(&bob).unwrap(), Progress::Ready);
}

#[test]
fn a_text_in_ones_own_name_is_noticed_and_ones_own_ignored() {
    let invitation = invitation(2, 2);
    let (mut alice, text) = join(&invitation, &name("alice"));
    let (_, forged) = join(&invitation, &name("alice"));
    assert!(matches!(alice.paste(&text), Ok(Progress::Need { .. })));
    assert!(matches!(alice.paste(&forged), Err(KeygenError::Forged { .. })));
    // In a round that is not there yet, too.
    let (mut machines, texts) = begin(2, 2);
    let second = round(&mut machines[..1], &texts).remove(0);
    let (mut machines, texts) = begin(2, 2);
    let mine: Text<Round1> = crate::armor::read(&texts[0]).unwrap();
    let early = change::<Round2>(&second, |text| text.invitation = mine.invitation);
    assert!(matches!(
        machines[0].paste(&early),
        Err(KeygenError::Forged { .. })
    ));
}

#[test]
fn what_does_not_read_as_a_package_is_put_aside() {
    let (mut machines, texts) = begin(2, 2);
    for package in ["", "zz", "00"] {
        let broken = change::<Round1>(&texts[1], |text| text.body.package = package.into());
        let refused = machines[0].paste(&broken);
        assert!(matches!(refused, Err(KeygenError::Damaged { from, .. }) if from == name("bob")));
    }
    assert_eq!(machines[0].paste(&texts[1]).unwrap(), Progress::Ready);
}

#[test]
fn a_polynomial_of_another_threshold_is_refused() {
    let (mut machines, texts) = begin(2, 3);
    let (_, wider) = dkg::part1(2.try_into().unwrap(), 3, 3, OsRng).unwrap();
    let wider = data_encoding::HEXLOWER.encode(&wider.serialize().unwrap());
    let wider = change::<Round1>(&texts[1], |text| text.body.package = wider);
    let refused = machines[0].paste(&wider);
    assert!(matches!(refused, Err(KeygenError::Damaged { from, .. }) if from == name("bob")));
}

#[test]
fn a_commitment_without_its_secret_is_refused() {
    let (mut machines, texts) = begin(2, 3);
    // Carol's, under bob's name: he could not know what it commits to.
    let copied = change::<Round1>(&texts[2], |text| text.from = name("bob"));
    let _ = machines[0].paste(&copied).unwrap();
    let refused = machines[0].paste(&texts[2]);
    assert!(matches!(refused, Err(KeygenError::Wrong { from, .. }) if from == name("bob")));
    assert_eq!(machines[0].paste(&texts[1]).unwrap(), Progress::Ready);
}

#[test]
fn who_had_another_round_one_is_named_and_so_is_whose_text_differs() {
    let invitation = invitation(2, 3);
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(name);
    let ((mut a, a1), (mut b, b1), (_, c1)) = (
        join(&invitation, &alice),
        join(&invitation, &bob),
        join(&invitation, &carol),
    );
    // Somebody gives alice another text in the name of carol than bob.
    let (_, forged) = join(&invitation, &carol);
    assert_eq!(b.paste(&[&*a1, &c1].concat()).unwrap(), Progress::Ready);
    assert_eq!(a.paste(&[&*b1, &forged].concat()).unwrap(), Progress::Ready);
    a.say();
    match a.paste(&b.say()) {
        Err(KeygenError::Differ { from, whose, .. }) => assert_eq!((from, whose), (bob, carol)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_part_that_cannot_be_opened_can_be_pasted_again() {
    let (mut machines, texts) = begin(2, 2);
    let texts = round(&mut machines, &texts);
    machines[0].post.0 = recipient("mallory");
    match machines[0].paste(&texts[1]) {
        Err(error @ KeygenError::Sealed { .. }) => {
            assert!(!error.to_string().contains('\u{1b}'), "{error}");
            assert!(error.to_string().contains("round 2 of bob"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    machines[0].post.0 = recipient("alice");
    assert_eq!(machines[0].paste(&texts[1]).unwrap(), Progress::Ready);
}

#[test]
fn a_part_that_does_not_fit_its_commitment_names_its_sender_and_may_be_replaced() {
    let (mut machines, texts) = begin(2, 3);
    let texts = round(&mut machines, &texts);
    let parts = |text: &str| crate::armor::read::<Text<Round2>>(text).unwrap().body.parts;
    // What bob has for carol, as his part for alice: a point of the right polynomial at the wrong place.
    let wrong = parts(&texts[1])[&name("carol")].replace(&recipient("carol"), &recipient("alice"));
    let wrong = change::<Round2>(&texts[1], |text| {
        drop(text.body.parts.insert(name("alice"), wrong))
    });
    assert!(matches!(machines[0].paste(&wrong), Ok(Progress::Need { .. })));
    let refused = machines[0].paste(&texts[2]);
    assert!(matches!(refused, Err(KeygenError::Wrong { from, .. }) if from == name("bob")));
    assert_eq!(machines[0].paste(&texts[1]).unwrap(), Progress::Ready);
    let none = change::<Round2>(&texts[1], |text| drop(text.body.parts.remove(&name("carol"))));
    let refused = machines[2].paste(&none);
    assert!(matches!(refused, Err(KeygenError::Damaged { from, .. }) if from == name("bob")));
}

#[test]
fn who_came_to_another_kit_is_named() {
    let (mut machines, texts) = begin(2, 2);
    let texts = round(&mut machines, &texts);
    let texts = round(&mut machines, &texts);
    let other = made(2, 2).0.hash();
    let other = change::<Commitments>(&texts[1], |text| text.body.kit = other);
    let refused = machines[0].paste(&other);
    assert!(matches!(refused, Err(KeygenError::AnotherKit(from)) if from == name("bob")));
    let broken = change::<Commitments>(&texts[1], |text| text.body.commitments[1] = "00".into());
    assert!(matches!(
        machines[0].paste(&broken),
        Err(KeygenError::Damaged { .. })
    ));
    assert_eq!(machines[0].paste(&texts[1]).unwrap(), Progress::Ready);
}

#[test]
fn who_signed_with_other_commitments_is_named_not_blamed() {
    let (mut machines, texts) = begin(2, 3);
    let texts = round(&mut machines, &texts);
    let texts = round(&mut machines, &texts);
    // Carol's two the other way round, for alice alone.
    let swapped = change::<Commitments>(&texts[2], |text| text.body.commitments.reverse());
    assert_eq!(
        machines[0].paste(&[&*texts[1], &swapped].concat()).unwrap(),
        Progress::Ready
    );
    machines[0].say();
    assert_eq!(machines[1].paste(&texts.concat()).unwrap(), Progress::Ready);
    let bobs = machines[1].say();
    match machines[0].paste(&bobs) {
        Err(KeygenError::Differ { from, whose, .. }) => {
            assert_eq!((from, whose), (name("bob"), name("carol")));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wrong_signature_share_names_its_sender_and_may_be_replaced() {
    for nth in [0, 1] {
        let (mut machines, mut texts) = begin(2, 3);
        for _ in 0..3 {
            texts = round(&mut machines, &texts);
        }
        let wrong = change::<Shares>(&texts[1], |text| {
            text.body.shares[nth] = text.body.shares[1 - nth].clone();
        });
        assert!(matches!(machines[0].paste(&wrong), Ok(Progress::Need { .. })));
        let refused = machines[0].paste(&texts[2]);
        assert!(matches!(refused, Err(KeygenError::Wrong { from, .. }) if from == name("bob")));
        assert_eq!(kits(&mut machines, &texts).len(), 3);
    }
}

#[test]
fn nothing_goes_on_after_the_end() {
    let (mut machines, mut texts) = begin(2, 2);
    for _ in 0..3 {
        texts = round(&mut machines, &texts);
    }
    kits(&mut machines, &texts);
    let Machine { joining, post, .. } = &mut machines[0];
    assert!(matches!(joining.progress(post), Err(KeygenError::Over)));
    assert!(matches!(joining.next(post, &mut OsRng), Err(KeygenError::Over)));
}

#[test]
fn a_part_that_cannot_be_encrypted_loses_nothing() {
    struct Unplugged;
    impl Sealing for Unplugged {
        fn seal(&mut self, _: &[String], _: &[u8]) -> Result<String, Refusal> {
            Err("no age-plugin-yubikey".into())
        }
        fn open(&mut self, _: &str) -> Result<Zeroizing<Vec<u8>>, Refusal> {
            Err("no age-plugin-yubikey".into())
        }
    }
    let (mut machines, texts) = begin(2, 2);
    assert_eq!(machines[0].paste(&texts.concat()).unwrap(), Progress::Ready);
    let refused = machines[0].joining.next(&mut Unplugged, &mut OsRng);
    let refused = refused.unwrap_err();
    assert_eq!(refused.text_of(), None, "nobody's text is at fault");
    assert!(matches!(refused, KeygenError::Unsealed { to, .. } if to == name("bob")));
    let texts = round(&mut machines, &texts);
    round(&mut machines, &texts);
}

#[test]
fn parts_go_to_the_keys_that_the_invitation_names() {
    let (mut machines, texts) = begin(2, 3);
    let texts = round(&mut machines, &texts);
    let text: Text<Round2> = crate::armor::read(&texts[0]).unwrap();
    assert_eq!(text.body.parts.len(), 2);
    for (to, sealed) in &text.body.parts {
        assert_ne!(*to, name("alice"));
        assert_eq!(sealed.split(' ').next().unwrap(), recipient(to.as_str()));
    }
}

#[test]
fn no_share_is_shown() {
    let (mut machines, mut texts) = begin(2, 2);
    let mut shown = String::new();
    for _ in 0..3 {
        texts = round(&mut machines, &texts);
        shown += &format!("{:?}", machines[0].joining);
        shown += &texts.concat();
    }
    let (_, key) = kits(&mut machines, &texts).remove(0);
    shown += &format!("{key:?}");
    let share = key.signing_share().serialize();
    assert!(!shown.contains(&data_encoding::HEXLOWER.encode(&share)));
    assert!(!shown.contains(format!("{share:?}").trim_matches(['[', ']'])));
    assert!(shown.contains("<redacted>"));
}

#[test]
fn an_invitation_is_bound_to_all_that_it_says() {
    let first = invitation(2, 3);
    let mut draft = first.draft().clone();
    draft.limits.longest_seconds = 600;
    let others = [
        Invitation::new(first.draft().clone(), &mut OsRng).unwrap(),
        Invitation::new(draft, &mut OsRng).unwrap(),
    ];
    for other in &others {
        assert_ne!(first.hash(), other.hash());
        assert_ne!(first.words().to_string(), other.words().to_string());
    }
    let again = Invitation::read(&block(&first.armor())).unwrap();
    assert_eq!(again.hash(), first.hash());
}

#[test]
fn an_invitation_is_held_to_what_works_apart() {
    let refused = |change: &dyn Fn(&mut Draft)| {
        let mut draft = draft(Made::Apart, 2, 3);
        change(&mut draft);
        Invitation::new(draft, &mut OsRng).unwrap_err()
    };
    let bob = |recipients: &[&str]| {
        let recipients: Vec<_> = recipients.iter().map(|&recipient| recipient.to_owned()).collect();
        refused(&|draft| draft.holders[1].1.clone_from(&recipients))
    };
    for passphrase in ["passphrase", " Passphrase "] {
        assert!(matches!(bob(&[passphrase]), KeygenError::Passphrase(who) if who == name("bob")));
    }
    for wrong in [
        &[][..],
        &["age1bob"],
        &["agent"],
        &["passphrase", &recipient("bob")],
    ] {
        assert!(matches!(bob(wrong), KeygenError::Recipient { name: who, .. } if who == name("bob")));
    }
    let alices = recipient("alice").to_uppercase();
    assert!(matches!(
        bob(&[&recipient("bob"), &alices]),
        KeygenError::Kit(KitError::Bounds(_))
    ));
    let point = made(2, 2).0.payload().authority.key;
    let shared = refused(&|draft| {
        draft.holders[0].1 = vec![ssh("ssh-ed25519", &[&point], "alice@home")];
        draft.holders[2]
            .1
            .push(ssh("ssh-ed25519", &[&point], "carol@home"));
    });
    assert!(shared.to_string().contains("alice and carol"), "{shared:?}");
    assert!(matches!(
        refused(&|draft| draft.threshold = 1),
        KeygenError::Kit(_)
    ));
    assert!(matches!(
        refused(&|draft| draft.limits.longest_seconds = 7200),
        KeygenError::Kit(_)
    ));
}

/// The line of a `.pub` file (RFC 4253, section 6.6).
fn ssh(kind: &str, fields: &[&[u8]], comment: &str) -> String {
    let mut blob = Vec::new();
    for field in [kind.as_bytes()].iter().chain(fields) {
        blob.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
        blob.extend(*field);
    }
    format!("{kind} {} {comment}", data_encoding::BASE64.encode(&blob))
}

#[test]
fn an_invitation_that_somebody_wrote_by_hand_is_checked() {
    let text = invitation(2, 3).armor();
    for (field, value) in [("id", "../x".into()), ("id", "00".into()), ("version", 2.into())] {
        let mut forged: Any = crate::armor::read(&text).unwrap();
        forged.0[field] = value;
        let read = Invitation::read(&block(&forged.armor()));
        assert!(matches!(read, Err(KeygenError::Invitation(_))));
        let unread: Invitation = crate::armor::read(&forged.armor()).unwrap();
        let joined = Joining::begin(unread, name("alice"), &mut OsRng);
        assert!(matches!(joined, Err(KeygenError::Invitation(_))));
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Any(serde_json::Value);

impl Armored for Any {
    const LABEL: &'static str = Invitation::LABEL;
}

#[test]
fn an_invitation_is_shown_whole_and_moves_no_cursor() {
    let mut draft = draft(Made::Apart, 2, 3);
    let modulus = [&[0][..], &[0xff; 256]].concat();
    let long = ssh("ssh-rsa", &[&[1, 0, 1], &modulus], "bob");
    draft.holders[1].1.push(long);
    draft.limits.openers = vec![name("alice")];
    let text = Invitation::new(draft, &mut OsRng).unwrap().armor();
    // One that nobody has checked yet.
    let mut forged: Any = crate::armor::read(&text).unwrap();
    forged.0["draft"]["cluster"] = "prod\u{1b}[2J".into();
    forged.0["draft"]["holders"][2][1][0] = "age1carol\u{202e}".into();
    let forged: Invitation = crate::armor::read(&forged.armor()).unwrap();
    let shown = forged.describe();
    let shown: String = shown
        .into_iter()
        .map(|(what, said)| format!("{what}: {said}\n"))
        .collect();
    assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown}");
    for said in [
        "cluster: prod\\u{1b}[2J",
        &forged.hash(),
        "API server: https://10.0.0.1:6443",
        "issuer: none",
        "CA of the API server: SHA-256 ",
        "a quorum: 2 of 3 holders",
        "at most 60 minutes",
        "who may open: alice",
        "due after: 90 days",
        "invited at: 2023-11-14T22:13:20Z",
        "the authority lives: 3650 days",
        &format!("holder: alice, whose key is {}\n", recipient("alice")),
        &format!(
            "holder: bob, whose key is {} or ssh-rsa with SHA-256 ",
            recipient("bob")
        ),
        "holder: carol, whose key is age1carol\\u{202e}",
    ] {
        assert!(shown.contains(said), "{said} in {shown}");
    }
}
