use time::Duration;

use super::{
    super::{
        outage::tests::{accepted, idps_answer, issuers_answer},
        window::tests::{NOW, Person, home, kit, opened, pair, signed},
    },
    *,
};
use crate::{
    break_glass::window::Signed,
    cli::Target,
    clock::At,
    fake_issuer::{Fake, fake},
    issuer_client::{IssuerError, Refusal},
    settings::{ConfigFile, Environment},
};

const OTHER_CA: &str = "-----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\n";

struct Desk {
    _dir: tempfile::TempDir,
    paths: Paths,
    windows: Windows,
    store: Store,
    person: Person,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (paths, windows, store) = home(dir.path());
        Self {
            _dir: dir,
            paths,
            windows,
            store,
            person: Person::default(),
        }
    }

    /// Opens a window, as it may be changed before.
    fn open(&self, change: impl FnOnce(&mut Signed<'_>)) -> Window {
        let (certificate, key) = pair(NOW);
        let mut signed = signed(&certificate);
        change(&mut signed);
        opened(&self.windows, &self.store, &signed, &key)
    }

    /// What is served of whom at a time: the certificate, or what the normal way gives.
    fn ask(
        &self,
        settings: &Settings,
        server_ca: Option<&str>,
        at: OffsetDateTime,
        normal: impl FnOnce(MayAsk) -> Result<Answer, Error>,
    ) -> Result<String, Error> {
        let question = Question {
            settings,
            server: server_ca.map(|_| SERVER),
            server_ca,
            paths: &self.paths,
            store: Ok(&self.store),
            clock: &At(at),
            ui: &self.person,
        };
        let answer = question.answer(self.windows.find(at), normal)?;
        assert!(answer.expires > at);
        Ok(answer.certificate)
    }

    fn told(&self) -> String {
        let told = self.person.told();
        self.person.told.lock().unwrap().clear();
        told
    }
}

/// The one in `signed`.
const SERVER: &str = "https://server";

fn naming(issuer: Option<&str>) -> Settings {
    let target = Target {
        issuer: issuer.map(str::to_owned),
        ..Target::default()
    };
    Settings::for_person(&target, &Environment::default(), ConfigFile::default()).unwrap()
}

fn normal(_: MayAsk) -> Result<Answer, Error> {
    Ok(Answer {
        certificate: "normal".into(),
        key: Zeroizing::new(String::new()),
        expires: NOW + Duration::days(400),
    })
}

fn never(_: MayAsk) -> Result<Answer, Error> {
    panic!("the normal way was taken")
}

fn both_answer(desk: &Desk, times: usize) -> (Settings, Fake, Fake) {
    let issuer = fake((0..times).map(|_| issuers_answer()).collect());
    let idp = fake((0..times).map(|_| idps_answer()).collect());
    (accepted(&desk.paths, &issuer, &idp), issuer, idp)
}

#[test]
fn it_is_served_for_its_issuer_or_its_ca_and_says_so_each_time() {
    let desk = Desk::new();
    let window = desk.open(|_| ());
    let issuer = window.issuer.as_deref();
    let ca = signed(&window.certificate).server_ca;
    for (settings, ca) in [
        (naming(issuer), None),
        (naming(issuer), Some(OTHER_CA)),
        (naming(None), Some(ca)),
        (naming(Some("https://moved.example.com")), Some(ca)),
    ] {
        let served = desk.ask(&settings, ca, NOW, never).unwrap();
        assert_eq!(served, window.certificate);
        assert_eq!(desk.told(), window.announcement());
    }
    for (settings, ca) in [
        (naming(Some("https://other.example.com")), None),
        (naming(Some("https://other.example.com")), Some(OTHER_CA)),
        (naming(None), None),
    ] {
        assert_eq!(desk.ask(&settings, ca, NOW, normal).unwrap(), "normal");
        assert_eq!(desk.told(), "");
    }
}

#[test]
fn of_two_clusters_with_one_ca_each_gets_the_window_of_its_issuer() {
    let desk = Desk::new();
    let first = desk.open(|signed| signed.issuer = Some("https://one.example.com"));
    let second = desk.open(|signed| {
        signed.issuer = Some("https://two.example.com");
        signed.kit_hash = kit('b');
    });
    let ca = signed(&first.certificate).server_ca;
    for window in [&first, &second] {
        let settings = naming(window.issuer.as_deref());
        let served = desk.ask(&settings, Some(ca), NOW, never).unwrap();
        assert_eq!(served, window.certificate);
    }
}

#[test]
fn another_cluster_of_the_same_ca_with_an_issuer_of_its_own_gets_none() {
    let desk = Desk::new();
    let window = desk.open(|signed| signed.server = "https://other");
    let ca = Some(signed(&window.certificate).server_ca);
    let settings = naming(Some("https://other.example.com"));
    assert_eq!(desk.ask(&settings, ca, NOW, normal).unwrap(), "normal");
    assert_eq!(
        desk.ask(&naming(None), ca, NOW, never).unwrap(),
        window.certificate
    );
}

#[test]
fn one_that_has_ended_is_removed_with_its_key_and_the_normal_way_is_taken() {
    let desk = Desk::new();
    let window = desk.open(|_| ());
    let settings = naming(window.issuer.as_deref());
    let over = NOW + Duration::hours(1);
    let served = desk.ask(&settings, None, over, |may_ask| {
        assert_eq!(may_ask, MayAsk::Yes);
        normal(may_ask)
    });
    assert_eq!(served.unwrap(), "normal");
    assert!(desk.windows.find(NOW).is_empty());
    assert!(desk.windows.key(&window, Ok(&desk.store)).is_err());
}

#[test]
fn a_window_whose_key_is_gone_is_named_and_hides_no_other_way() {
    let desk = Desk::new();
    let window = desk.open(|_| ());
    let entry = crate::store::Entry::BreakGlass {
        credential: &window.credential_id,
    };
    desk.store.delete(&entry).unwrap();
    let settings = naming(window.issuer.as_deref());
    assert_eq!(desk.ask(&settings, None, NOW, normal).unwrap(), "normal");
    let told = desk.told();
    assert!(
        told.contains("prod is open and cannot be used") && told.contains("next: "),
        "{told}"
    );
}

#[test]
fn once_both_answer_again_the_normal_way_is_taken_and_that_is_said_once() {
    let desk = Desk::new();
    let window = desk.open(|_| ());
    let (settings, issuer, _idp) = both_answer(&desk, 1);
    let ca = Some(signed(&window.certificate).server_ca);
    for first in [true, false] {
        let served = desk.ask(&settings, ca, NOW, |may_ask| {
            assert_eq!(may_ask, MayAsk::No, "nobody is kept waiting by a login");
            normal(may_ask)
        });
        assert_eq!(served.unwrap(), "normal");
        assert_eq!(desk.told().contains("answer again"), first);
    }
    assert_eq!(issuer.asked.try_iter().count(), 1);
    assert_eq!(desk.windows.find(NOW).open.len(), 1, "it stays open");
}

#[test]
fn a_forced_window_is_served_without_asking_anybody() {
    let desk = Desk::new();
    let window = desk.open(|signed| signed.forced = true);
    let (settings, issuer, idp) = both_answer(&desk, 1);
    let ca = Some(signed(&window.certificate).server_ca);
    assert_eq!(desk.ask(&settings, ca, NOW, never).unwrap(), window.certificate);
    assert_eq!(desk.told(), window.announcement());
    assert!(issuer.asked.try_recv().is_err() && idp.asked.try_recv().is_err());
}

#[test]
fn where_both_answer_and_give_nothing_the_window_is_served_after_all() {
    let desk = Desk::new();
    let window = desk.open(|_| ());
    let (settings, _issuer, _idp) = both_answer(&desk, 1);
    let ca = Some(signed(&window.certificate).server_ca);
    let served = desk.ask(&settings, ca, NOW, |_| {
        Err(Error::LoginRequired {
            issuer: settings.issuer().unwrap().clone(),
            profile: "default".into(),
            why: "there is no session".into(),
        })
    });
    assert_eq!(served.unwrap(), window.certificate);
    let told = desk.told();
    assert!(told.contains(&window.announcement()), "{told}");
    assert!(
        told.contains("no session") && told.contains("next: type: kubectl-gatepass login"),
        "{told}"
    );
    // That is not tried again for a moment.
    assert_eq!(desk.ask(&settings, ca, NOW, never).unwrap(), window.certificate);
    assert_eq!(desk.told(), window.announcement());
}

#[test]
fn whose_access_was_revoked_gets_no_window_by_an_issuers_refusal() {
    let desk = Desk::new();
    let window = desk.open(|_| ());
    let (settings, _issuer, _idp) = both_answer(&desk, 1);
    let ca = Some(signed(&window.certificate).server_ca);
    let problem = serde_json::json!({
        "type": "t", "title": "t", "status": 403, "code": "revoked", "detail": "d", "requestId": "r", "serverTime": "s",
    });
    let problem = serde_json::from_value(problem).unwrap();
    let refusal = Refusal {
        problem,
        offset: None,
    };
    let served = desk.ask(&settings, ca, NOW, |_| {
        Err(IssuerError::Refused(Box::new(refusal)).into())
    });
    assert!(matches!(served, Err(Error::Issuer(_))));
    // Only the quorum can say that it knows better.
    let told = desk.told();
    assert!(told.contains("access was revoked"), "{told}");
    assert!(told.contains("break-glass open --even-if-they-answer"), "{told}");
}

#[test]
fn notes_are_said_and_block_nothing() {
    let desk = Desk::new();
    let window = desk.open(|_| ());
    std::fs::write(
        desk.paths.break_glass_dir().join("window-0000000000000000.json"),
        "{",
    )
    .unwrap();
    let settings = naming(window.issuer.as_deref());
    assert_eq!(desk.ask(&settings, None, NOW, never).unwrap(), window.certificate);
    assert!(desk.told().contains("is damaged"));
}
