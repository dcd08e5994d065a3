//! An issuer that answers falsely, or not at all: only its own cluster suffers, and nobody is asked again and again.

use std::time::Duration;

use e2e::front::Tap;
use e2e::issuer::{Issuer, Prepared};
use e2e::machine::{Machine, Run};
use e2e::parts::{Part, present};
use e2e::process::until;
use e2e::world::{Site, World};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

static SITE: Site = Site::new("hostile_issuer");
const PARTS: &[Part] = &[
    Part::ControlPlane,
    Part::IdentityProvider,
    Part::Keyring,
    Part::Faketime,
];
const HOUR: i64 = 3600;
const ASK: &str = "POST /v1/certificates";

/// Alice, who logged in hours ago and has used two clusters of one identity provider since: an honest one and one whose
/// issuer will lie.
struct Place {
    world: World<'static>,
    liar: Issuer,
    tap: Tap,
    alice: Machine,
}

impl Place {
    fn new(name: &'static str) -> Self {
        let world = World::at(&SITE, name, Some(-4 * HOUR));
        let dir = world.dir.join("liar");
        let prepared = Prepared::init_at(&dir, "liar", &world.idp, world.clock.as_ref());
        let tap = Tap::start(&prepared);
        let url = tap.url();
        prepared.edit(|config| config["cluster"]["url"] = json!(url));
        let liar = prepared.serve_at(world.clock.as_ref());
        let alice = world.machine("alice");
        alice.accept(&liar);
        alice.get_credential(&world.issuer).expect_ok();
        alice.get_credential(&liar).expect_ok();
        let place = Self {
            world,
            liar,
            tap,
            alice,
        };
        assert_eq!(place.browsers(), 1, "one login serves both");
        place
    }

    fn browsers(&self) -> usize {
        self.alice.browsed().len()
    }

    fn hours_ago(&self, hours: i64) {
        self.world.clock.as_ref().expect("a clock").set(-hours * HOUR);
    }

    fn ask_liar(&self) -> Run {
        self.alice.get_credential(&self.liar)
    }

    /// The honest cluster's session goes on: a credential, and nobody was asked for it.
    fn expect_honest_works(&self, why: &str) {
        let browsers = self.browsers();
        self.alice.get_credential(&self.world.issuer).expect_ok();
        assert_eq!(self.browsers(), browsers, "{why}");
    }
}

fn refusal(code: &str, status: u16, login_after: Value) -> impl Fn(&str, u16, Value) -> Option<(u16, Value)> {
    let code = code.to_owned();
    move |line, honest_status, honest| {
        if line != ASK {
            return Some((honest_status, honest));
        }
        let mut body = json!({
            "type": format!("urn:gatepass:problem:{code}"), "title": "no", "status": status, "code": code,
            "detail": "because", "requestId": "r-1", "serverTime": honest["serverTime"],
        });
        if !login_after.is_null() {
            body["loginAfter"] = match login_after.as_str() {
                // A second before it answers: however late the login was, one more seems to help.
                Some("just now") => json!(second_before(honest["serverTime"].as_str().expect("a time"))),
                _ => login_after.clone(),
            };
        }
        Some((status, body))
    }
}

fn second_before(time: &str) -> String {
    let time = OffsetDateTime::parse(time, &Rfc3339).expect("RFC 3339");
    let before = time - time::Duration::SECOND;
    before.format(&Rfc3339).expect("a time can be written")
}

#[test]
fn revoked_without_a_way_back_ends_that_clusters_credential_and_asks_nobody() {
    if !present(PARTS) {
        return;
    }
    let place = Place::new("revoked");
    place.hours_ago(3);
    // Absent; long ago, before the login that was shown; and in days to come, when a login now would not help either.
    for login_after in [
        Value::Null,
        json!("2020-01-01T00:00:00Z"),
        json!("2099-01-01T00:00:00Z"),
        json!("soon"),
    ] {
        place.tap.lie(refusal("revoked", 403, login_after.clone()));
        let run = place.ask_liar();
        assert!(
            !run.ok && run.stderr.contains("access was revoked") && run.stderr.contains("next: "),
            "{login_after}: {}",
            run.stderr
        );
        assert_eq!(place.browsers(), 1, "{login_after}: nobody is asked in vain");
        place.expect_honest_works("the other cluster knows nothing of it");
    }
    // What was revoked may come back: the session was kept.
    place.tap.lie(|_, status, body| Some((status, body)));
    place.ask_liar().expect_ok();
    assert_eq!(place.browsers(), 1);
}

#[test]
fn a_revocation_while_the_credential_lives_is_the_end_of_it() {
    if !present(PARTS) {
        return;
    }
    let place = Place::new("revoked-live");
    let clock = place.world.clock.as_ref().expect("a clock");
    // Nine of its ten minutes are over: it would be served, were the issuer only away.
    clock.set(-4 * HOUR + 540);
    place.tap.lie(refusal("revoked", 403, Value::Null));
    assert!(!place.ask_liar().ok);
    place.tap.lie(|_, _, _| None);
    let state = place.alice.gatepass(&["status", "-o", "json"]).expect_ok().json();
    let rows = state.as_array().expect("one row for each cluster");
    let has_credential = |url: &str| {
        rows.iter()
            .any(|row| row["issuer"] == url && row.get("credential").is_some())
    };
    assert!(!has_credential(&place.liar.url), "{state:#}");
    assert!(has_credential(&place.world.issuer.url), "{state:#}");
}

#[test]
fn an_issuer_that_refuses_every_login_gets_one_and_no_more() {
    if !present(PARTS) {
        return;
    }
    for (name, code, status, login_after) in [
        ("revoked-again", "revoked", 403, json!("just now")),
        ("ended", "session_ended", 401, Value::Null),
        ("unbound", "binding_mismatch", 401, Value::Null),
        ("stale", "token_not_fresh", 401, Value::Null),
    ] {
        let place = Place::new(name);
        place.hours_ago(3);
        place.tap.lie(refusal(code, status, login_after));
        // kubectl runs the plugin five times for the first.
        let first = place.ask_liar();
        assert!(!first.ok, "{code}");
        let browsers = place.browsers();
        assert!(browsers <= 2, "{code}: at most one more login");
        for _ in 0..3 {
            let again = place.ask_liar();
            assert!(
                !again.ok && again.stderr.contains("next: "),
                "{code}: {}",
                again.stderr
            );
        }
        // The memory of failed logins is long over now; what holds is that this login was refused from the start.
        place.hours_ago(2);
        let later = place.ask_liar();
        assert!(
            later.stderr.contains("the issuer still refuses"),
            "{code}: {}",
            later.stderr
        );
        assert_eq!(place.browsers(), browsers, "{code}: no login for nothing");
        place.expect_honest_works("the new login serves the honest cluster as the old one did");
        place.tap.lie(|_, status, body| Some((status, body)));
        place.ask_liar().expect_ok();
        assert_eq!(place.browsers(), browsers, "{code}: it heals by itself");
    }
}

#[test]
fn a_wrong_server_time_stays_with_the_issuer_that_gave_it() {
    if !present(PARTS) {
        return;
    }
    let place = Place::new("time");
    place.hours_ago(3);
    for time in [
        json!("2026-01-01T00:00:00Z"),
        json!("2027-09-01T00:00:00Z"),
        json!("9999-12-31T23:59:59Z"),
        json!("yesterday"),
        Value::Null,
        json!(7),
    ] {
        let told = time.clone();
        place.tap.lie(move |_, status, mut body| {
            body["serverTime"] = told.clone();
            Some((status, body))
        });
        // Whether there is a credential for the liar's cluster is the liar's business.
        let run = place.ask_liar();
        assert!(run.ok || run.stderr.contains("next: "), "{time}: {}", run.stderr);
        place.expect_honest_works("no correction, and no lost session, from another issuer's clock");
        assert_eq!(place.browsers(), 1, "{time}");
    }
    assert!(
        place.world.idp.stats().refreshes() <= 2,
        "nor a refresh for each lie"
    );
    place.tap.lie(|_, status, body| Some((status, body)));
    place.ask_liar().expect_ok();
    assert_eq!(place.browsers(), 1, "and it heals by itself");
}

#[test]
fn an_issuer_that_never_answers_keeps_no_other_cluster_waiting() {
    if !present(PARTS) {
        return;
    }
    let place = Place::new("silent");
    place.hours_ago(3);
    place
        .tap
        .lie(|line, status, body| (line != ASK).then_some((status, body)));
    let mut waiting = place
        .alice
        .get_credential_command(&place.liar)
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("the plugin starts");
    until("the liar was asked", Duration::from_secs(20), || {
        let asked = place
            .tap
            .recorded()
            .iter()
            .filter(|asked| asked.line == ASK)
            .count();
        (asked == 2).then_some(())
    });
    place.expect_honest_works("the session is not held while somebody waits for an issuer");
    let ended = waiting.try_wait().expect("a child can be waited for");
    assert!(ended.is_none(), "the other one still waits");
    assert_eq!(
        place.world.idp.stats().refreshes(),
        1,
        "and one refresh served both"
    );
    // And it ends by itself, within its deadline.
    until("the waiting one ends", Duration::from_secs(45), || {
        waiting.try_wait().expect("a child can be waited for")
    });
}
