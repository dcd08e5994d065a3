//! What the plugin does when an issuer says `revoked`.

use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::*;
use crate::{
    accepted::Spent,
    fake_issuer::{Fake, fake, problem},
    run::renew::{Because, Outcome},
};

fn rfc3339(time: OffsetDateTime) -> String {
    time.replace_nanosecond(0).unwrap().format(&Rfc3339).unwrap()
}

/// A refusal by an issuer whose clock is ours; `login_after` is relative to now.
fn revoked(login_after: Option<i64>) -> (u16, Value) {
    let now = SystemClock.now();
    let (status, mut body) = problem(403, "revoked", &rfc3339(now));
    body["detail"] = json!("laptop stolen");
    if let Some(after) = login_after {
        body["loginAfter"] = json!(rfc3339(now + time::Duration::seconds(after)));
    }
    (status, body)
}

/// A machine whose person logged in two minutes ago and has a credential that is due.
struct Desk {
    home: Home,
    accepted: Accepted,
    issuer: Fake,
}

impl Desk {
    fn new(dir: &Path, answer: (u16, Value)) -> Self {
        let issuer = fake(vec![answer]);
        let home = Home::at(dir, true, &issuer.url);
        let accepted = Accepted {
            url: issuer.url.clone(),
            certificate_authority: Some(issuer.ca.clone()),
            ..accepted(0)
        };
        let run = home.run();
        run.accepted_file()
            .keep(accepted.clone(), home.settings.issuer().unwrap(), None)
            .unwrap();
        let session = session_at(SystemClock.now().unix_timestamp() - 120, "s", 1);
        run.store
            .save(&run.session_entry(&accepted), &session.write(), None)
            .unwrap();
        run.keep(&due()).unwrap();
        Self {
            home,
            accepted,
            issuer,
        }
    }

    /// Neither the session nor the note that the issuer saw it goes; the credential does.
    fn assert_only_the_credential_is_gone(&self) {
        let run = self.home.run();
        let session = run
            .load_session(&self.accepted)
            .unwrap()
            .expect("no answer removes a session");
        assert!(run.load_credential().is_none());
        let noted = run.accepted_file().all().unwrap().remove(0);
        assert_eq!(noted.shown.get("default"), Some(&session.fingerprint()));
        assert_eq!(self.issuer.asked.try_iter().count(), 1, "it was asked once");
    }
}

fn due() -> Credential {
    credential_of("alice").postponed(SystemClock.now() - time::Duration::minutes(1))
}

fn renewed(desk: &Desk) -> Result<Outcome, Error> {
    runtime().unwrap().block_on(desk.home.run().renew(&desk.accepted))
}

fn is_a_login_asked_for(outcome: &Result<Outcome, Error>) -> bool {
    matches!(
        outcome,
        Ok(Outcome::LoginNeeded { because: Because::Revoked(_), why }) if why.contains("laptop stolen")
    )
}

#[test]
fn a_login_is_asked_for_where_the_issuer_says_that_one_made_now_helps() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::new(dir.path(), revoked(Some(-60)));
    assert!(is_a_login_asked_for(&renewed(&desk)));
    desk.assert_only_the_credential_is_gone();
}

#[test]
fn who_is_blocked_is_told_why_and_no_browser_opens() {
    // Blocked; not before a while; not for a login as late as this one.
    for (login_after, next) in [
        (None, "a login does not help before that"),
        (Some(60), "a login after "),
        (Some(-600), "a login after "),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let desk = Desk::new(dir.path(), revoked(login_after));
        let asked = desk.home.run();
        let Err(error) = runtime().unwrap().block_on(asked.credential(Some(due()))) else {
            panic!("a revoked credential was served")
        };
        assert!(matches!(error, Error::Issuer(_)), "no login was tried: {error}");
        assert!(error.to_string().contains("laptop stolen"), "{error}");
        assert!(error.hint().unwrap().contains(next), "{:?}", error.hint());
        desk.assert_only_the_credential_is_gone();
    }
}

#[test]
fn a_login_that_was_too_early_does_not_stand_in_the_way_of_the_next_unless_the_issuer_names_ever_later_times()
{
    let now = SystemClock.now().unix_timestamp();
    // What it named when it refused that login: as now or later; earlier; nothing.
    for (named, is_asked_for) in [(Some(now), true), (Some(now - 90), false), (None, false)] {
        let dir = tempfile::tempdir().unwrap();
        let mut desk = Desk::new(dir.path(), revoked(Some(-60)));
        let session = desk.home.run().load_session(&desk.accepted).unwrap().unwrap();
        let spent = Spent {
            login: session.fingerprint(),
            at: now - 100,
            login_after: named,
        };
        desk.accepted.spent = [("default".to_owned(), spent)].into();
        let outcome = renewed(&desk);
        assert_eq!(is_a_login_asked_for(&outcome), is_asked_for, "{named:?}");
        assert_eq!(matches!(outcome, Err(Error::LoginOfNoUse(_))), !is_asked_for);
    }
}

#[test]
fn that_an_issuer_sees_a_session_is_noted_even_if_no_answer_comes() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::new(dir.path(), false);
    let (run, accepted) = (home.run(), accepted(0));
    run.accepted_file()
        .keep(accepted.clone(), home.settings.issuer().unwrap(), None)
        .unwrap();
    let session = session_of(1);
    run.store
        .save(&run.session_entry(&accepted), &session.write(), None)
        .unwrap();
    assert!(runtime().unwrap().block_on(run.renew(&accepted)).is_err());
    let noted = run.accepted_file().all().unwrap().remove(0);
    assert_eq!(noted.shown.get("default"), Some(&session.fingerprint()));
}
