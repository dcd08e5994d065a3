use gatepass_api::revocation::{Subject, Target};

use super::*;
use crate::ids;

const NOW: i64 = 1_790_000_000;
const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaa";

fn spec(target: Target) -> RevocationSpec {
    RevocationSpec {
        target,
        logged_in_before: None,
        block_issuance: false,
        reason: Some("stolen".into()),
        expires_at: None,
    }
}

fn view(specs: &[RevocationSpec]) -> View {
    let mut view = View::default();
    for (at, spec) in specs.iter().enumerate() {
        view.put(&format!("r{at}"), &Checked::new(spec, Some(NOW)).unwrap());
    }
    view
}

fn holder<'a>(login: Option<Login<'a>>) -> Holder<'a> {
    Holder {
        user: "alice",
        uid: "u1",
        groups: &["dev", "sre"],
        login,
    }
}

fn session() -> String {
    format!("{ID}-{ID}")
}

fn credential(n: u32) -> String {
    format!("X509SHA256={n:064x}")
}

#[test]
fn each_kind_of_target_denies_its_own_and_nothing_else() {
    let subject_id = ids::subject_id("https://i", "s");
    let session = format!("{subject_id}-{ID}");
    let login = Login {
        session: &session,
        subject_id: &subject_id,
        time: NOW,
    };
    let alice = holder(Some(login));
    let account = |subject: &str| Subject {
        issuer: "https://i".into(),
        subject: subject.into(),
    };
    for (target, denied) in [
        (Target::User("alice".into()), true),
        (Target::User("Alice".into()), false),
        (Target::User("u1".into()), false),
        (Target::Uid("u1".into()), true),
        (Target::Uid("alice".into()), false),
        (Target::Group("sre".into()), true),
        (Target::Group("sr".into()), false),
        (Target::Session(session.clone()), true),
        (Target::Session(self::session()), false),
        (Target::Subject(account("s")), true),
        (Target::Subject(account("S")), false),
    ] {
        let kind = target.kind();
        let denial = view(&[spec(target.clone())]).denies(&alice, NOW);
        let reason = Some(std::sync::Arc::new("stolen".to_owned()));
        assert_eq!(denial, denied.then_some(Denial { kind, reason }), "{target:?}");
    }
}

#[test]
fn a_login_after_the_leeway_is_a_new_one_unless_blocked_or_a_session() {
    let session = session();
    let at = |time| {
        holder(Some(Login {
            session: &session,
            subject_id: ID,
            time,
        }))
    };
    let blocked = RevocationSpec {
        block_issuance: true,
        ..spec(Target::User("alice".into()))
    };
    let plain = view(&[spec(Target::User("alice".into()))]);
    for (time, denied) in [(NOW - 5, true), (NOW + LEEWAY, true), (NOW + LEEWAY + 1, false)] {
        assert_eq!(plain.denies(&at(time), NOW).is_some(), denied, "{time}");
        let login_after = plain.refuses(&at(time), NOW).map(|refused| refused.login_after);
        assert_eq!(login_after, denied.then_some(Some(NOW + LEEWAY)), "{time}");
    }
    for always in [blocked, spec(Target::Session(session.clone()))] {
        assert!(view(&[always]).denies(&at(NOW + 9999), NOW).is_some());
    }
    // Without a marker there is no login time.
    assert!(plain.denies(&holder(None), NOW + 9999).is_some());
}

const LEEWAY: i64 = gatepass_api::revocation::LOGIN_LEEWAY;

#[test]
fn what_helps_must_help_against_all_that_stand() {
    let session = session();
    let alice = holder(Some(Login {
        session: &session,
        subject_id: ID,
        time: NOW - 100,
    }));
    let user = spec(Target::User("alice".into()));
    let later = RevocationSpec {
        logged_in_before: Some("2026-09-21T15:13:20+01:00".into()),
        ..spec(Target::Group("dev".into()))
    };
    let own = spec(Target::Session(session.clone()));
    let blocked = RevocationSpec {
        block_issuance: true,
        reason: Some("left".into()),
        ..spec(Target::Uid("u1".into()))
    };
    let login_after = |specs: &[RevocationSpec]| view(specs).refuses(&alice, NOW).map(|r| r.login_after);
    assert_eq!(login_after(&[]), None);
    assert_eq!(login_after(std::slice::from_ref(&own)), Some(Some(NOW - 100)));
    assert_eq!(login_after(&[own, user.clone()]), Some(Some(NOW + LEEWAY)));
    assert_eq!(unix("2026-09-21T15:13:20+01:00"), Some(NOW));
    assert_eq!(login_after(&[user.clone(), later]), Some(Some(NOW + LEEWAY)));
    let all = view(&[blocked, user]);
    let refused = all.refuses(&alice, NOW).unwrap();
    assert_eq!(
        (refused.login_after, refused.reason.unwrap().as_str()),
        (None, "left")
    );
}

#[test]
fn one_that_has_ended_denies_nothing_any_more() {
    let ends = RevocationSpec {
        expires_at: Some("2026-09-21T14:13:21Z".into()),
        ..spec(Target::User("alice".into()))
    };
    let certificate = RevocationSpec {
        expires_at: ends.expires_at.clone(),
        ..spec(Target::CredentialId(credential(7)))
    };
    let view = view(&[ends, certificate]);
    for (now, denied) in [(NOW, true), (NOW + 1, false)] {
        assert_eq!(view.denies(&holder(None), now).is_some(), denied);
        assert_eq!(view.denies_credential(&credential(7), now).is_some(), denied);
    }
}

#[test]
fn revocations_of_one_target_stand_each_for_itself() {
    let mut view = view(&[
        spec(Target::User("alice".into())),
        spec(Target::User("alice".into())),
    ]);
    view.remove("r0", &Target::User("alice".into()));
    assert!(view.denies(&holder(None), NOW).is_some());
    view.remove("r1", &Target::User("bob".into()));
    view.remove("r2", &Target::User("alice".into()));
    assert_eq!(view.len(), 1);
    view.remove("r1", &Target::User("alice".into()));
    assert!(view.is_empty() && view.denies(&holder(None), NOW).is_none());
}

#[test]
fn certificates_come_and_go_in_any_order() {
    let mut view = View::default();
    let put = |view: &mut View, name: &str, n| {
        let spec = spec(Target::CredentialId(credential(n)));
        view.put(name, &Checked::new(&spec, Some(NOW)).unwrap());
    };
    for n in 0..1000 {
        put(&mut view, &format!("r{n}"), n);
    }
    put(&mut view, "again", 5);
    put(&mut view, "r6", 6);
    assert_eq!(view.len(), 1001);
    for n in (0..1000).filter(|n| n % 3 != 0) {
        view.remove(&format!("r{n}"), &Target::CredentialId(credential(n)));
    }
    for n in 0..1100 {
        let denied = n == 5 || (n < 1000 && n % 3 == 0);
        assert_eq!(
            view.denies_credential(&credential(n), NOW).is_some(),
            denied,
            "{n}"
        );
    }
    assert_eq!(view.denies_credential("X509SHA256=00", NOW), None);
    assert_eq!(
        view.denies_credential(&credential(12).replace("c", "C"), NOW),
        None
    );
    view.remove("again", &Target::CredentialId(credential(5)));
    assert_eq!(view.len(), 334);
}

#[test]
fn a_document_that_means_nothing_is_refused() {
    let alice = || spec(Target::User("alice".into()));
    let with = |change: fn(&mut RevocationSpec)| {
        let mut spec = alice();
        change(&mut spec);
        Checked::new(&spec, Some(NOW)).map(|_| ()).unwrap_err()
    };
    assert_eq!(
        with(|spec| spec.logged_in_before = Some("yesterday".into())),
        SpecError::Time("loggedInBefore")
    );
    assert_eq!(
        with(|spec| spec.expires_at = Some("2026-09-21".into())),
        SpecError::Time("expiresAt")
    );
    assert_eq!(
        with(|spec| spec.reason = Some("r".repeat(1025))),
        SpecError::Reason
    );
    assert!(matches!(
        with(|spec| spec.target = Target::Group("system:nodes".into())),
        SpecError::Target(TargetError::Reserved(_))
    ));
    let blocked = with(|spec| {
        spec.target = Target::CredentialId(credential(1));
        spec.block_issuance = true;
    });
    assert_eq!(blocked, SpecError::BlockedCredential);
    assert_eq!(Checked::new(&alice(), None), Err(SpecError::NoLoginTime));
}

#[test]
fn a_view_that_never_was_or_is_old_is_not_an_empty_one() {
    for (mode, old) in [(Mode::BestEffort, Ok(0)), (Mode::Strict, Err(Stale::Old(11)))] {
        let revocations = Revocations::new(mode);
        assert_eq!(revocations.ask(NOW, View::len), Err(Stale::Never));
        revocations.in_contact(NOW);
        assert_eq!(revocations.ask(NOW + MAX_AGE, View::len), Ok(0));
        assert_eq!(revocations.ask(NOW + MAX_AGE + 1, View::len), old);
    }
}

#[test]
fn a_clock_that_was_put_back_makes_no_old_view_new() {
    let revocations = Revocations::new(Mode::Strict);
    revocations.in_contact(NOW);
    assert_eq!(
        revocations.ask(NOW - 10, View::len),
        Ok(0),
        "clocks are corrected"
    );
    assert_eq!(revocations.ask(NOW - 3600, View::len), Err(Stale::Old(3600)));
    revocations.in_contact(NOW - 3600);
    assert_eq!(revocations.ask(NOW - 3599, View::len), Ok(0));
}
