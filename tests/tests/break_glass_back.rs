//! Back to the normal way: an open window is not used any longer than it is needed, nor opened where it is not.

use std::path::Path;

use e2e::clock::Clock;
use e2e::machine::{Context, Machine, Run};
use e2e::parts::{Part, present};
use e2e::person::{Key, Person};
use e2e::quorum::{Made, YES};
use e2e::terminal::{Ended, Terminal};
use e2e::world::{Site, World};

static SITE: Site = Site::new("break_glass_back");
const PARTS: &[Part] = &[
    Part::ControlPlane,
    Part::IdentityProvider,
    Part::Terminal,
    Part::Faketime,
];

/// How long an answer of identity provider and issuer, or none, counts.
const FRESH: i64 = 30;

/// Alice, who is logged in, and a kit whose two holders stand beside her.
struct Night<'w> {
    world: World<'w>,
    alice: Person,
    shares: Vec<String>,
}

impl Night<'_> {
    /// Begins `seconds` from the present.
    fn begin(name: &'static str, seconds: i64) -> Self {
        let world = World::at(&SITE, name, Some(seconds));
        let alice = Machine::without_desktop(
            &world.dir.join("alice"),
            "alice",
            &world.idp,
            world.clock.as_ref(),
        );
        alice.configure(|config| config["log"] = "warn".into());
        alice.accept(&world.issuer);
        alice.kubeconfig(&[Context {
            name: "here",
            cluster: world.cluster,
            issuer: &world.issuer,
        }]);
        let alice = Person::on(alice, "alice", Key::X25519);
        let others = ["bob", "carol"].map(|name| Person::new(&world.dir, name, Key::X25519));
        let made = Made::side_by_side(&alice, &[&others[0], &others[1]], &[], &[]);
        world.cluster.trust_authority(&made.authority());
        world.cluster.bind_break_glass();
        let shares = made.shares(&[&others[0], &others[1]]);
        alice.machine.get_credential(&world.issuer).expect_ok();
        Self { world, alice, shares }
    }

    fn clock(&self) -> &Clock {
        self.world.clock.as_ref().expect("this world has one")
    }

    /// Nothing answers: the issuer is down, and the identity provider says nothing.
    fn fall(&mut self) {
        self.world.issuer.halt();
        self.world.idp.freeze();
    }

    /// Both answer again.
    fn rise(&mut self) {
        self.world.issuer.resume();
        self.world.idp.thaw();
    }

    fn begin_open(&self, more: &[&str]) -> Terminal {
        let mut args = vec!["open", "--reason", "IdP down, ticket 4711"];
        args.extend(more);
        args.extend(self.shares.iter().map(String::as_str));
        self.alice.at_terminal(&args)
    }

    fn open(&self, more: &[&str]) -> Ended {
        self.begin_open(more).answer(&[YES])
    }

    /// What kubectl is given, as the API server would name its owner.
    fn given(&self) -> (String, Run) {
        let run = self.alice.machine.get_credential(&self.world.issuer).expect_ok();
        let printed = run.json();
        let certificate = printed["status"]["clientCertificateData"].as_str().expect("PEM");
        let subject = e2e::pki::openssl(
            &["x509", "-noout", "-subject", "-nameopt", "multiline,utf8"],
            certificate,
        );
        let name = subject
            .lines()
            .find_map(|line| line.trim().strip_prefix("commonName"));
        (name.expect("a name").trim_matches([' ', '=']).to_owned(), run)
    }

    fn windows(&self) -> usize {
        let status = self.alice.json(&["status", "-o", "json"]);
        status["windows"].as_array().expect("a list").len()
    }
}

fn windows_below(dir: &Path) -> usize {
    let dir = std::fs::read_dir(dir.join("state/gatepass/break-glass")).expect("there was a window");
    let names = dir.map(|entry| entry.expect("it can be read").file_name());
    names
        .filter(|name| name.to_string_lossy().starts_with("window-"))
        .count()
}

#[test]
fn an_open_window_is_left_alone_as_soon_as_both_answer_again() {
    if !present(PARTS) {
        return;
    }
    let mut night = Night::begin("again", 0);
    let refused = night.open(&[]);
    assert!(
        !refused.status.success()
            && refused.shown.contains(&night.world.issuer.url)
            && refused.shown.contains("the glass need not be broken")
            && refused.shown.contains("--even-if-they-answer")
            && !refused.shown.contains("do you agree"),
        "nobody is asked: {}",
        refused.shown
    );
    assert_eq!(night.windows(), 0);

    night.fall();
    night.open(&[]).expect_ok();
    assert_eq!(night.alice.machine.whoami()["username"], "break-glass:alice");
    // Nobody waits for the dead at every command.
    let connections = night.world.issuer.connections();
    for _ in 0..3 {
        let (who, run) = night.given();
        assert_eq!(who, "break-glass:alice");
        assert_eq!(run.stderr.matches("BREAK-GLASS: ").count(), 1, "{}", run.stderr);
    }
    assert_eq!(night.world.issuer.connections(), connections);

    night.rise();
    night.clock().set(FRESH);
    let run = night
        .alice
        .machine
        .kubectl(&["auth", "whoami", "-o", "json"])
        .expect_ok();
    assert_eq!(run.json()["status"]["userInfo"]["username"], "alice");
    assert!(
        run.stderr
            .contains("answer again, so the open break-glass window is not used")
            && run.stderr.contains("kubectl gatepass break-glass close")
            && !run.stderr.contains("BREAK-GLASS: "),
        "{}",
        run.stderr
    );
    let (who, run) = night.given();
    assert_eq!(
        (who.as_str(), run.stderr.as_str()),
        ("alice", ""),
        "that is said once"
    );
    assert_eq!(night.windows(), 1, "until somebody closes it, or it ends");

    // And gone again.
    night.fall();
    night.clock().set(2 * FRESH);
    assert_eq!(night.given().0, "break-glass:alice");
    night.rise();
    night.alice.run(&["close"]).expect_ok();
    assert_eq!(night.given().0, "alice");
}

#[test]
fn a_window_that_ends_makes_way_by_itself() {
    if !present(PARTS) {
        return;
    }
    // Everything but the API server lives nearly an hour ago; the API server's clock counts for the window.
    let mut night = Night::begin("ends", -3500);
    night.fall();
    let mut opening = night.begin_open(&[]);
    opening.wait_for("The API server's clock shows");
    for _ in ["bob", "carol"] {
        opening.wait_for("do you agree");
        opening.type_line("yes");
    }
    for holder in ["bob", "carol"] {
        // Their machine's clock is wrong, and they say by a clock on the wall that they know.
        opening.wait_for(&format!("{holder}: by this machine's clock"));
        opening.wait_for("it begins    ");
        let begins = opening.wait_for(" UTC");
        opening.wait_for("It begins at");
        opening.type_line(&begins);
    }
    opening.finish().expect_ok();
    // (kubectl lives in the present, where what the plugin says of the end has passed: it asks more than once.)
    assert_eq!(night.alice.machine.whoami()["username"], "break-glass:alice");
    assert_eq!(windows_below(&night.alice.machine.dir), 1);

    night.rise();
    night.clock().set(0);
    assert_eq!(night.alice.machine.whoami()["username"], "alice");
    assert_eq!(
        windows_below(&night.alice.machine.dir),
        0,
        "nothing of it is left"
    );
    let closed = night.alice.run(&["close"]);
    assert!(
        !closed.ok && closed.stderr.contains("no break-glass window is open"),
        "{}",
        closed.stderr
    );
}

#[test]
fn who_says_so_gets_a_window_although_both_answer_and_keeps_it() {
    if !present(PARTS) {
        return;
    }
    let night = Night::begin("forced", 0);
    night.open(&["--even-if-they-answer"]).expect_ok();
    for time in [0, FRESH, 2 * FRESH] {
        night.clock().set(time);
        let whoami = night.alice.kubectl_through_window(&["auth", "whoami"]);
        assert!(whoami.stdout.contains("break-glass:alice"), "{}", whoami.stdout);
    }
    night.alice.run(&["close"]).expect_ok();
    assert_eq!(night.alice.machine.whoami()["username"], "alice");
}
