use std::{sync::Mutex, time::Instant};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use gatepass_api::{Salt, Token};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::*;
use crate::{
    cli::Target,
    clock::SystemClock,
    credential::Issued,
    fake_issuer::{SILENCE, fake, problem},
    keys::{SessionKey, sha256_base64url},
    run::wait_for,
    session::IdToken,
    settings::{ConfigFile, Environment, StoreChoice},
};

const IDP: &str = "https://127.0.0.1:1";

#[derive(Default)]
struct Screen(Mutex<String>);

impl Ui for Screen {
    fn say(&self, text: &str) {
        self.0.lock().unwrap().push_str(text);
    }

    fn interactive(&self) -> bool {
        true
    }

    fn confirm(&self, _: &str) -> bool {
        false
    }
}

struct Home {
    _dir: tempfile::TempDir,
    settings: Settings,
    paths: Paths,
    store: Store,
    session: Session,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::from_env(|_| Some(dir.path().to_path_buf())).unwrap();
        let file = ConfigFile {
            store: StoreChoice::File,
            ..ConfigFile::default()
        };
        let settings = Settings::for_person(&Target::default(), &Environment::default(), file).unwrap();
        let store = settings.store(&paths).unwrap();
        let (_, pkcs8) = SessionKey::generate().unwrap();
        let now = SystemClock.now().unix_timestamp();
        let login = IdToken {
            token: Token::new("login-token".into()),
            iat: now,
            has_nonce: true,
        };
        let salt = Salt::new(now.unsigned_abs(), [7; 24]);
        let mut session = Session::new("s".into(), &pkcs8, &salt, login, None, format!("{IDP}/t"), None);
        let refreshed = IdToken {
            token: Token::new("refreshed-token".into()),
            iat: now,
            has_nonce: false,
        };
        session.refreshed(Some(refreshed), None);
        let home = Self {
            _dir: dir,
            settings,
            paths,
            store,
            session,
        };
        home.store
            .save(&home.entry(), &home.session.write(), None)
            .unwrap();
        home
    }

    fn entry(&self) -> Entry<'_> {
        Entry::Session {
            idp: IDP,
            client_id: "k",
            profile: "default",
        }
    }

    /// Accepts an issuer; `login` is what it was shown.
    fn accept(&self, name: &str, url: &str, ca: Option<&str>, login: Option<String>) {
        let accepted = Accepted {
            url: url.into(),
            certificate_authority: ca.map(str::to_owned),
            cluster_id: format!("id-of-{name}"),
            cluster_name: name.into(),
            identity_provider: PinnedIdp::unpinned(IDP, "k"),
            profiles: ["default".to_owned()].into(),
            clock_offset_seconds: 0,
            spent: Default::default(),
            shown: login
                .map(|login| ("default".to_owned(), login))
                .into_iter()
                .collect(),
        };
        let url = crate::settings::IssuerUrl::parse(url).unwrap();
        AcceptedFile::new(self.paths.state_dir())
            .keep(accepted, &url, None)
            .unwrap();
    }

    fn keep_credential(&self, issuer: &str, seconds: i64) {
        let now = SystemClock.now();
        let issued = Issued {
            certificate: "C".into(),
            not_after: now.unix_timestamp() + seconds,
            credential_id: String::new(),
            username: String::new(),
            uid: String::new(),
            groups: vec![],
            session: format!("{0}-{0}", "a".repeat(26)),
            session_end: String::new(),
        };
        let credential = Credential::new(issued, Zeroizing::new("K".into()), now, time::Duration::ZERO, 0);
        let entry = Entry::Credential {
            issuer,
            profile: "default",
        };
        self.store.save(&entry, &credential.write(), None).unwrap();
    }

    fn logout(&self) -> (Result<(), Error>, String) {
        let command = Logout {
            issuer: None,
            profile: None,
            all: false,
        };
        let screen = Screen::default();
        let done = wait_for(logout(
            &command,
            &self.settings,
            &self.paths,
            &SystemClock,
            &screen,
        ));
        assert!(
            self.store.load(&self.entry()).unwrap().is_none(),
            "nothing stays here"
        );
        (done, screen.0.into_inner().unwrap())
    }
}

#[test]
fn an_issuer_that_nobody_accepted_here_is_no_logout() {
    let target = Target {
        issuer: Some("https://tpyo.example".into()),
        ..Target::default()
    };
    let settings = Settings::for_person(&target, &Environment::default(), ConfigFile::default()).unwrap();
    let command = Logout {
        issuer: target.issuer.clone(),
        profile: None,
        all: false,
    };
    assert!(matches!(
        choose(&command, &settings, &[]),
        Err(Error::NotLoggedOut(_))
    ));
    let all = Logout { all: true, ..command };
    assert!(choose(&all, &settings, &[]).unwrap().is_empty());
}

#[test]
fn the_session_ends_with_a_proof_and_the_login_token_at_each_issuer_that_saw_it_and_at_no_other() {
    let home = Home::new();
    let (shown, served, other) = (
        fake(vec![(204, Value::Null)]),
        fake(vec![(204, Value::Null)]),
        fake(vec![(204, Value::Null)]),
    );
    let login = home.session.fingerprint();
    home.accept("shown", &shown.url, Some(&shown.ca), Some(login));
    home.accept("served", &served.url, Some(&served.ca), None);
    home.keep_credential(&served.url, 600);
    home.accept("other", &other.url, Some(&other.ca), Some("another login".into()));
    let (done, said) = home.logout();
    done.unwrap();
    assert!(
        said.contains("revoked at the issuers of: shown, served"),
        "{said}"
    );
    for (fake, cluster) in [(shown, "id-of-shown"), (served, "id-of-served")] {
        let asked = fake.next();
        assert_eq!(asked.path, "/v1/logout");
        assert_eq!(asked.body, br#"{"token":"login-token"}"#);
        let proof = asked.proof;
        assert_eq!(proof["htm"], "POST");
        assert_eq!(proof["htu"], format!("{}/v1/logout", fake.url));
        assert_eq!(proof["cluster"], cluster);
        assert_eq!(proof["body"], sha256_base64url(&asked.body));
        assert_eq!(
            proof["salt"],
            URL_SAFE_NO_PAD.encode(home.session.salt().as_bytes())
        );
    }
    assert!(
        other.asked.try_recv().is_err(),
        "it has seen nothing of this session"
    );
}

#[test]
fn what_an_issuer_says_decides_whether_the_session_goes_on_there() {
    let now = "2026-11-22T00:00:00Z";
    for (answer, failed, words) in [
        (problem(404, "not_found", now), false, "does not support logout"),
        (
            problem(405, "method_not_allowed", now),
            false,
            "does not support logout",
        ),
        (problem(403, "revoked", now), false, "revoked at the issuers of"),
        (
            problem(401, "session_ended", now),
            false,
            "revoked at the issuers of",
        ),
        (
            problem(401, "login_token_invalid", now),
            true,
            "login_token_invalid",
        ),
        ((200, json!({})), true, "HTTP status 200"),
    ] {
        let home = Home::new();
        let issuer = fake(vec![answer]);
        home.accept(
            "c",
            &issuer.url,
            Some(&issuer.ca),
            Some(home.session.fingerprint()),
        );
        let (done, said) = home.logout();
        let told = match &done {
            Ok(()) => said,
            Err(error) => error.to_string(),
        };
        assert_eq!(done.is_err(), failed, "{told}");
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn a_clock_that_is_off_is_corrected_by_the_issuers_own() {
    let home = Home::new();
    let later = SystemClock.now() + time::Duration::hours(2);
    let server_time = later
        .replace_nanosecond(0)
        .unwrap()
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap();
    let issuer = fake(vec![
        problem(401, "proof_not_fresh", &server_time),
        (204, Value::Null),
    ]);
    home.accept(
        "c",
        &issuer.url,
        Some(&issuer.ca),
        Some(home.session.fingerprint()),
    );
    home.logout().0.unwrap();
    let [first, second] = [issuer.next(), issuer.next()];
    let moved = second.proof["iat"].as_i64().unwrap() - first.proof["iat"].as_i64().unwrap();
    assert!((7100..=7300).contains(&moved), "{moved}");
}

#[test]
fn an_issuer_that_is_silent_or_away_is_named_with_what_lives_on_and_keeps_nobody_waiting_for_long() {
    let home = Home::new();
    let login = home.session.fingerprint();
    // Two that take the request and never answer: they are waited for side by side.
    let silent = [(); 2].map(|()| fake(vec![SILENCE]));
    for (number, fake) in silent.iter().enumerate() {
        home.accept(
            &format!("silent-{number}"),
            &fake.url,
            Some(&fake.ca),
            Some(login.clone()),
        );
    }
    let away = "https://127.0.0.1:1";
    home.accept("away", away, None, Some(login));
    home.keep_credential(away, 330);
    let begin = Instant::now();
    let (done, said) = home.logout();
    assert!(begin.elapsed() < DEADLINE_AND_A_BIT, "{:?}", begin.elapsed());
    assert!(said.contains("logged out at"), "{said}");
    let Err(error) = done else { panic!("{said}") };
    let (words, hint) = (error.to_string(), error.hint().unwrap());
    assert_eq!(words.matches("was not ended at the issuer").count(), 3, "{words}");
    assert!(
        words.contains(&format!("{away}: ")) && words.contains("at most 6 min"),
        "{words}"
    );
    assert_eq!(
        words.matches("did not answer within 10 s; ").count(),
        2,
        "{words}"
    );
    assert!(words.contains("at most 60 min"), "{words}");
    assert!(
        hint.contains(&format!("revoke --session {0}-{0}", "a".repeat(26))),
        "{hint}"
    );
}

const DEADLINE_AND_A_BIT: Duration = Duration::from_secs(15);
