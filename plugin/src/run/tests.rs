mod revoked;

use std::path::Path;

use gatepass_api::Token;
use zeroize::Zeroizing;

use super::{renew::Held, *};
use crate::{
    accepted::{AcceptError, PinnedIdp},
    cli::Target,
    clock::SystemClock,
    credential::Issued,
    keys::SessionKey,
    paths::create_private_dir,
    session::IdToken,
    settings::{ConfigFile, Environment, IssuerSettings, StoreChoice},
};

/// Nothing listens here: whatever would be asked over the network fails at once.
const URL: &str = "https://127.0.0.1:1";

struct Nobody {
    interactive: bool,
}

impl Ui for Nobody {
    fn say(&self, _: &str) {}

    fn interactive(&self) -> bool {
        self.interactive
    }

    fn confirm(&self, _: &str) -> bool {
        false
    }
}

struct Home {
    settings: Settings,
    paths: Paths,
    store: Store,
    ui: Nobody,
}

impl Home {
    fn new(dir: &Path, interactive: bool) -> Self {
        Self::at(dir, interactive, URL)
    }

    fn at(dir: &Path, interactive: bool, url: &str) -> Self {
        let paths = Paths::from_env(|_| Some(dir.to_path_buf())).unwrap();
        let target = Target {
            issuer: Some(url.into()),
            ..Target::default()
        };
        let file = ConfigFile {
            store: StoreChoice::File,
            ..ConfigFile::default()
        };
        let settings = Settings::for_person(&target, &Environment::default(), file).unwrap();
        let store = settings.store(&paths).unwrap();
        Self {
            settings,
            paths,
            store,
            ui: Nobody { interactive },
        }
    }

    fn run(&self) -> Run<'_> {
        let Self {
            settings,
            paths,
            store,
            ui,
        } = self;
        Run {
            settings,
            paths,
            store,
            clock: &SystemClock,
            ui,
            cluster_ca: None,
        }
    }
}

fn accepted(clock_offset_seconds: i64) -> Accepted {
    let identity_provider = PinnedIdp {
        issuer: URL.into(),
        client_id: "k".into(),
        scopes: vec![],
        certificate_authority: None,
        max_token_age_seconds: 600,
    };
    Accepted {
        url: URL.into(),
        certificate_authority: None,
        cluster_id: "c".into(),
        cluster_name: "c".into(),
        identity_provider,
        profiles: Default::default(),
        clock_offset_seconds,
        spent: Default::default(),
        shown: Default::default(),
    }
}

fn credential_of(who: &str) -> Credential {
    let now = SystemClock.now();
    let issued = Issued {
        certificate: "C".into(),
        not_after: now.unix_timestamp() + 600,
        credential_id: who.into(),
        username: who.into(),
        uid: String::new(),
        groups: vec![],
        session: String::new(),
        session_end: String::new(),
    };
    Credential::new(issued, Zeroizing::new("K".into()), now, time::Duration::ZERO, 0)
}

#[test]
fn a_failed_renewal_does_not_overwrite_another_accounts_credential() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::new(dir.path(), false);
    let run = home.run();
    run.keep(&credential_of("bob")).unwrap();
    let failure = Error::LoginTimeout { seconds: 1 };
    let served = run
        .still_good(&accepted(0), Some(credential_of("alice")), &failure)
        .unwrap();
    assert_eq!(served.username, "bob");
    assert_eq!(run.load_credential().unwrap().username, "bob");
}

#[test]
fn a_failed_renewal_does_not_undo_a_logout() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::new(dir.path(), false);
    let run = home.run();
    let failure = Error::LoginTimeout { seconds: 1 };
    assert!(
        run.still_good(&accepted(0), Some(credential_of("alice")), &failure)
            .is_none()
    );
    assert!(run.load_credential().is_none());
}

#[test]
fn a_credential_that_lives_outlasts_a_failed_renewal_which_is_then_put_off() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::new(dir.path(), false);
    let run = home.run();
    let alice = credential_of("alice");
    run.keep(&alice).unwrap();
    let failure = Error::LoginTimeout { seconds: 1 };
    assert!(run.still_good(&accepted(0), Some(alice), &failure).is_some());
    let later = SystemClock.now() + time::Duration::seconds(31);
    assert_eq!(
        run.load_credential().unwrap().judge(later),
        Use::Renew,
        "was due at 420 s, now at 30 s"
    );
}

#[test]
fn a_failed_renewal_writes_nothing_while_a_logout_deletes() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::new(dir.path(), false);
    let run = home.run();
    let alice = credential_of("alice");
    run.keep(&alice).unwrap();
    let (locks, accepted) = (run.locks(), accepted(0));
    let _logout = locks.try_acquire(&run.session_entry(&accepted), Purpose::Refresh);
    let failure = Error::LoginTimeout { seconds: 1 };
    assert!(run.still_good(&accepted, Some(alice), &failure).is_some());
    let later = SystemClock.now() + time::Duration::seconds(31);
    assert_eq!(
        run.load_credential().unwrap().judge(later),
        Use::Serve,
        "as it was: what was written here could come after the deletion"
    );
}

#[test]
fn a_name_server_that_is_still_asked_keeps_nobody_waiting() {
    let begin = std::time::Instant::now();
    let (_silent, answer) = std::sync::mpsc::channel::<()>();
    let done = wait_for(async {
        tokio::task::spawn_blocking(move || answer.recv_timeout(Duration::from_secs(60)));
        Ok(7)
    });
    assert_eq!(done.unwrap(), 7);
    assert!(begin.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_credential_of_a_cluster_that_was_built_anew_is_not_served_while_another_program_renews() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::new(dir.path(), false);
    let mut run = home.run();
    run.accepted_file()
        .keep(accepted(0), home.settings.issuer().unwrap(), None)
        .unwrap();
    let locks = run.locks();
    let _renewing = locks.try_acquire(&run.credential_entry().unwrap(), Purpose::Issue);
    let kept = credential_of("alice").obtained_for(Some("old"), None);
    run.cluster_ca = Some("old");
    let same = run.credential(Some(kept.clone()));
    assert_eq!(runtime().unwrap().block_on(same).unwrap().username, "alice");
    run.cluster_ca = Some("new");
    let anew = run.credential(Some(kept));
    assert!(runtime().unwrap().block_on(anew).is_err());
}

#[test]
fn whoever_waited_for_a_login_that_never_reached_the_issuer_is_told_and_does_not_ask_again() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::new(dir.path(), true);
    let (run, accepted) = (home.run(), accepted(0));
    let login = || run.log_in_once(&accepted, "there is no session", None);
    let both = async { tokio::join!(login(), login()) };
    let outcomes = runtime().unwrap().block_on(both);
    let errors = [outcomes.0, outcomes.1].map(|outcome| outcome.map(|_| ()).unwrap_err());
    let [one, other] = errors.map(|error| matches!(error, Error::FailedBefore { .. }));
    assert!(one != other, "one has asked, and told the other");
}

#[test]
fn whoever_waited_for_a_login_takes_its_credential_even_if_no_session_could_be_kept() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::new(dir.path(), true);
    let run = home.run();
    run.keep(&credential_of("alice")).unwrap();
    let accepted = accepted(0);
    let login = run.log_in_once(&accepted, "there is no session", None);
    assert_eq!(runtime().unwrap().block_on(login).unwrap().username, "alice");
}

#[test]
fn a_clock_correction_of_ages_ends_in_an_error_and_not_in_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::new(dir.path(), false);
    let run = home.run();
    let (_, pkcs8) = SessionKey::generate().unwrap();
    let now = SystemClock.now().unix_timestamp().unsigned_abs();
    let login = IdToken {
        token: Token::new("t".into()),
        iat: 1,
        has_nonce: true,
    };
    let session = Session::new(
        "s".into(),
        &pkcs8,
        &Salt::new(now, [0; 24]),
        login,
        None,
        format!("{URL}/token"),
        None,
    );
    run.store
        .save(&run.session_entry(&accepted(0)), &session.write(), None)
        .unwrap();
    let outcome = runtime().unwrap().block_on(run.renew(&accepted(251_607_066_673)));
    assert!(
        matches!(outcome, Err(Error::Issuer(_))),
        "the issuer is asked for the time, and is not there"
    );
}

#[test]
fn a_login_whose_url_only_the_environment_names_accepts_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::new(dir.path(), true);
    let refused = runtime().unwrap().block_on(home.run().login(&Typed::default()));
    assert!(matches!(refused, Err(Error::Accept(AcceptError::NotAccepted(_)))));
}

#[test]
fn what_the_configuration_file_says_holds_for_pins_that_are_older() {
    let dir = tempfile::tempdir().unwrap();
    let mut home = Home::new(dir.path(), true);
    home.run()
        .accepted_file()
        .keep(accepted(0), home.settings.issuer().unwrap(), None)
        .unwrap();
    let entry = |cluster_id: Option<&str>, idp: Option<&str>| IssuerSettings {
        url: URL.into(),
        certificate_authority: None,
        cluster_id: cluster_id.map(str::to_owned),
        identity_provider: idp.map(str::to_owned),
    };
    let mut pins = |entry| {
        home.settings.file.issuers = vec![entry];
        runtime().unwrap().block_on(home.run().accepted())
    };
    assert!(pins(entry(Some("c"), Some(URL))).is_ok());
    let other_cluster = pins(entry(Some("other"), None));
    assert!(matches!(
        other_cluster,
        Err(Error::Accept(AcceptError::OtherCluster { .. }))
    ));
    let other_idp = pins(entry(None, Some("https://other")));
    assert!(matches!(
        other_idp,
        Err(Error::Accept(AcceptError::Changed {
            what: "the identity provider",
            ..
        }))
    ));
}

fn session_of(salt: u8) -> Session {
    session_at(SystemClock.now().unix_timestamp(), "s", salt)
}

fn session_at(login_time: i64, subject: &str, salt: u8) -> Session {
    let (_, pkcs8) = SessionKey::generate().unwrap();
    let login = IdToken {
        token: Token::new("t".into()),
        iat: login_time,
        has_nonce: true,
    };
    let salt = Salt::new(login_time.unsigned_abs(), [salt; 24]);
    Session::new(
        subject.into(),
        &pkcs8,
        &salt,
        login,
        None,
        format!("{URL}/token"),
        None,
    )
}

#[test]
fn a_credential_that_comes_after_a_logout_or_another_login_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::new(dir.path(), false);
    let (run, accepted, alice) = (home.run(), accepted(0), credential_of("alice"));
    let entry = run.session_entry(&accepted);
    let keep = |held: &Held| {
        let kept = run.keep_unless_replaced(&accepted, held, &alice);
        (
            runtime().unwrap().block_on(kept).unwrap(),
            run.load_credential().is_some(),
        )
    };
    let mut held = Held {
        session: session_of(1),
        is_kept: true,
    };
    assert_eq!(keep(&held), (false, false), "logged out");
    run.store.save(&entry, &session_of(2).write(), None).unwrap();
    assert_eq!(keep(&held), (false, false), "another login");
    run.store.save(&entry, &held.session.write(), None).unwrap();
    assert_eq!(keep(&held), (true, true));
    run.store.delete(&entry).unwrap();
    held.is_kept = false;
    assert_eq!(
        keep(&held),
        (true, true),
        "the keyring did not take the session: nobody ended it"
    );
}

#[test]
fn a_session_that_the_keyring_did_not_let_go_of_serves_its_own_account_only() {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::new(dir.path(), false);
    let (run, accepted) = (home.run(), accepted(0));
    let entry = run.session_entry(&accepted);
    create_private_dir(&run.paths.lock_dir()).unwrap();
    let now = SystemClock.now().unix_timestamp();
    let holds = |session: &Session| {
        run.store.save(&entry, &session.write(), None).unwrap();
        run.load_session(&accepted).unwrap().is_some()
    };
    let alice = session_at(now - 60, "alice", 1);
    assert!(holds(&alice));
    run.latest(&entry).was(&session_at(now - 30, "bob", 2));
    assert!(!holds(&alice), "bob has logged in since");
    assert!(holds(&session_at(now - 40, "bob", 3)) && holds(&session_at(now, "alice", 4)));
    run.latest(&entry).was(&session_at(now - 30, "alice", 5));
    assert!(holds(&alice), "the same account goes on");
    run.latest(&entry).was(&session_at(now - 30, "bob", 6));
    run.latest(&entry).is_kept();
    assert!(holds(&alice));
}
