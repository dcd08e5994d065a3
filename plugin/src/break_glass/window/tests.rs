use std::{fs, path::Path, sync::Mutex};

use rcgen::{CertificateParams, KeyPair};
use time::macros::datetime;

use super::*;
use crate::{
    paths::Paths,
    prompt::Ui,
    store::{DEADLINE, Store, StoreError, StoreKind},
};

pub(crate) const NOW: OffsetDateTime = datetime!(2026-11-22 12:00:00 UTC);
const CA: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const OTHER_CA: &str = "-----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\n";

/// A certificate from five minutes back to an hour after that, and its key; both PEM.
pub(crate) fn pair(begin: OffsetDateTime) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.not_before = begin;
    params.not_after = begin + Duration::hours(1);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

pub(crate) fn kit(digit: char) -> KitHash {
    KitHash::try_from(digit.to_string().repeat(64)).unwrap()
}

pub(crate) fn signed(certificate: &str) -> Signed<'_> {
    Signed {
        kit_hash: kit('a'),
        cluster: "prod",
        issuer: Some("https://issuer.example.com"),
        server: "https://server",
        server_ca: CA,
        who: "alice",
        certificate,
        forced: false,
    }
}

/// A window from five minutes before `NOW` by the API server's clock, opened when the local clock was off by `offset`.
fn window(offset: Duration) -> Window {
    let (certificate, _) = pair(NOW - Duration::minutes(5));
    Window::new(&signed(&certificate), NOW - offset, offset).unwrap()
}

fn state(window: &Window, minutes: i64) -> State {
    let local = NOW - Duration::seconds(window.offset);
    window.state(local + Duration::minutes(minutes))
}

/// Says yes or no, and keeps what it was told.
#[derive(Default)]
pub(crate) struct Person {
    pub(crate) agrees: bool,
    pub(crate) told: Mutex<Vec<String>>,
}

impl Person {
    pub(crate) fn told(&self) -> String {
        self.told.lock().unwrap().join("\n")
    }
}

impl Ui for Person {
    fn say(&self, text: &str) {
        self.told.lock().unwrap().push(text.into());
    }

    fn interactive(&self) -> bool {
        true
    }

    fn confirm(&self, question: &str) -> bool {
        self.told.lock().unwrap().push(question.into());
        self.agrees
    }
}

pub(crate) fn home(dir: &Path) -> (Paths, Windows, Store) {
    let paths = Paths::from_env(|_| Some(dir.to_path_buf())).unwrap();
    let store = Store::new(StoreKind::File, false, paths.state_dir(), DEADLINE).unwrap();
    let windows = Windows::new(&paths);
    (paths, windows, store)
}

#[test]
fn a_clock_that_is_wrong_neither_hides_nor_prolongs_a_window() {
    for offset in [0, 20, -20, 26 * 60, -26 * 60, 366 * 24 * 60] {
        let window = window(Duration::minutes(offset));
        assert_eq!(state(&window, 0), State::Open(Duration::minutes(55)), "{offset}");
        assert_eq!(state(&window, 54), State::Open(Duration::minutes(1)), "{offset}");
        assert_eq!(state(&window, 55), State::Ended, "{offset}");
        let local = NOW - Duration::minutes(offset);
        assert_eq!(window.expires(local), local + Duration::minutes(5), "{offset}");
        let late = local + Duration::minutes(54);
        assert_eq!(window.expires(late), late + Duration::seconds(55), "{offset}");
    }
}

#[test]
fn a_clock_that_was_far_off_and_is_set_right_meanwhile_hides_nothing() {
    for offset in [26, -26, 48, -48] {
        let window = window(Duration::hours(offset));
        let right = NOW + Duration::minutes(10);
        assert_eq!(
            window.state(right),
            State::Open(Duration::minutes(45)),
            "{offset}"
        );
        let after = NOW + Duration::minutes(56);
        assert!(!matches!(window.state(after), State::Open(_)), "{offset}");
    }
}

#[test]
fn a_clock_set_to_before_the_opening_serves_nothing_and_deletes_nothing() {
    let window = window(Duration::ZERO);
    assert_eq!(window.state(NOW - Duration::hours(5)), State::ClockSetBack);
    assert!(matches!(
        window.state(NOW - Duration::seconds(59)),
        State::Open(_)
    ));
}

#[test]
fn numbers_beyond_all_clocks_do_no_harm() {
    for extreme in [i64::MIN, i64::MAX] {
        let mut window = window(Duration::ZERO);
        (window.not_before, window.not_after) = (extreme, extreme);
        (window.opened, window.offset) = (extreme, extreme);
        let _ = (window.state(NOW), window.expires(NOW), window.announcement());
    }
}

#[test]
fn it_is_for_its_issuer_or_an_api_server_with_one_of_its_cas_however_they_are_written() {
    let window = window(Duration::ZERO);
    assert!(window.is_for_issuer("https://issuer.example.com"));
    assert!(!window.is_for_issuer("https://issuer.example.com:444"));
    let written_otherwise = format!("# the CA\r\n{}{OTHER_CA}", CA.replace('\n', "\r\n"));
    assert!(window.is_for_server_ca(CA) && window.is_for_server_ca(&written_otherwise));
    assert!(!window.is_for_server_ca(OTHER_CA) && !window.is_for_server_ca(""));
    let nobody = Signed {
        issuer: None,
        server_ca: "",
        ..signed(&window.certificate)
    };
    let error = Window::new(&nobody, NOW, Duration::ZERO).unwrap_err();
    assert!(matches!(error, WindowError::ForNoCluster));
    assert!(
        !Window {
            issuer: None,
            ..window
        }
        .is_for_issuer("")
    );
}

#[test]
fn an_opened_window_is_found_with_its_key_until_it_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let (_, windows, store) = home(dir.path());
    assert!(windows.find(NOW).is_empty());
    let (certificate, key) = pair(NOW);
    let window = Window::new(&signed(&certificate), NOW, Duration::ZERO).unwrap();
    let person = Person::default();
    windows.open(&window, &key, Ok(&store), NOW, &person).unwrap();
    assert_eq!(person.told(), "");
    let found = windows.find(NOW);
    assert_eq!(found.open, std::slice::from_ref(&window));
    assert_eq!(*windows.key(&window, Ok(&store)).unwrap(), key);
    for file in fs::read_dir(windows_dir(&windows)).unwrap().flatten() {
        let text = fs::read_to_string(file.path()).unwrap();
        assert!(!text.contains("PRIVATE"), "{:?}", file.path());
    }
    let over = windows.find(NOW + Duration::hours(1));
    assert_eq!((over.open, over.ended), (Vec::new(), vec![window.clone()]));
    windows.close(&window, Ok(&store)).unwrap();
    assert!(windows.find(NOW).is_empty());
    let gone = windows.key(&window, Ok(&store)).unwrap_err();
    assert!(matches!(gone, WindowError::KeyGone(_)), "{gone}");
}

#[test]
fn the_next_window_of_a_kit_takes_the_place_and_the_key_of_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let (_, windows, store) = home(dir.path());
    let mut opened = Vec::new();
    for begin in [NOW, NOW + Duration::minutes(1)] {
        let (certificate, key) = pair(begin);
        let window = Window::new(&signed(&certificate), NOW, Duration::ZERO).unwrap();
        windows
            .open(&window, &key, Ok(&store), NOW, &Person::default())
            .unwrap();
        opened.push((window, key));
    }
    let (second, key) = opened.pop().unwrap();
    let (first, _) = opened.pop().unwrap();
    assert_eq!(windows.find(NOW).open, std::slice::from_ref(&second));
    assert!(windows.key(&first, Ok(&store)).is_err());
    // Who still has the first in hand closes nothing but it.
    windows.close(&first, Ok(&store)).unwrap();
    assert_eq!(windows.find(NOW).open.len(), 1);
    assert_eq!(*windows.key(&second, Ok(&store)).unwrap(), key);
}

#[test]
fn a_key_that_no_keyring_takes_goes_into_a_file_only_if_a_person_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (_, windows, _) = home(dir.path());
    let (certificate, key) = pair(NOW);
    let window = Window::new(&signed(&certificate), NOW, Duration::ZERO).unwrap();
    let locked = Err(&StoreError::Locked);

    let person = Person::default();
    let error = windows.open(&window, &key, locked, NOW, &person).unwrap_err();
    assert!(matches!(error, WindowError::KeyNotKept(StoreError::Locked)));
    assert!(error.hint().unwrap().contains("unlock it"), "{error}");
    assert!(person.told().contains("unencrypted"), "{}", person.told());
    assert!(windows.find(NOW).is_empty());
    assert_eq!(fs::read_dir(windows_dir(&windows)).unwrap().count(), 0);

    let person = Person {
        agrees: true,
        ..Person::default()
    };
    let window = windows.open(&window, &key, locked, NOW, &person).unwrap();
    assert_eq!(windows.find(NOW).open, std::slice::from_ref(&window));
    assert_eq!(*windows.key(&window, locked).unwrap(), key);
    #[cfg(unix)]
    for file in fs::read_dir(windows_dir(&windows)).unwrap().flatten() {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    windows.close(&window, locked).unwrap();
    assert_eq!(fs::read_dir(windows_dir(&windows)).unwrap().count(), 0);
}

#[test]
fn a_key_that_is_not_the_certificates_is_neither_kept_nor_served() {
    let dir = tempfile::tempdir().unwrap();
    let (_, windows, store) = home(dir.path());
    let ((certificate, key), (_, other)) = (pair(NOW), pair(NOW));
    let window = Window::new(&signed(&certificate), NOW, Duration::ZERO).unwrap();
    let error = windows
        .open(&window, &other, Ok(&store), NOW, &Person::default())
        .unwrap_err();
    assert!(matches!(error, WindowError::OtherKey));
    windows
        .open(&window, &key, Ok(&store), NOW, &Person::default())
        .unwrap();
    let entry = crate::store::Entry::BreakGlass {
        credential: &window.credential_id,
    };
    store.save(&entry, other.as_bytes(), None).unwrap();
    assert!(windows.key(&window, Ok(&store)).is_err());
}

#[test]
fn a_damaged_window_is_named_and_set_aside_and_a_newer_programs_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (_, windows, store) = home(dir.path());
    let (certificate, key) = pair(NOW);
    let window = Window::new(&signed(&certificate), NOW, Duration::ZERO).unwrap();
    windows
        .open(&window, &key, Ok(&store), NOW, &Person::default())
        .unwrap();
    let path = windows_dir(&windows).join("window-aaaaaaaaaaaaaaaa.json");
    let good = fs::read_to_string(&path).unwrap();
    for damaged in [
        "",
        "{",
        "null",
        "{\"version\":1}",
        &good[..good.len() / 2],
        &good.replace("aaaaaaaaaa", "bbbbbbbbbb"),
        &"x".repeat(1 << 20),
    ] {
        fs::write(&path, damaged).unwrap();
        let found = windows.find(NOW);
        assert!(found.open.is_empty() && found.ended.is_empty(), "{damaged}");
        let note = found.notes.join("\n");
        assert!(note.contains("window-aaaaaaaaaaaaaaaa.json is damaged"), "{note}");
        assert!(windows.find(NOW).is_empty(), "it is set aside");
    }
    fs::write(
        &path,
        good.replace("\"version\": 1", "\"version\": 2, \"new\": true"),
    )
    .unwrap();
    for _ in 0..2 {
        let note = windows.find(NOW).notes.join("\n");
        assert!(note.contains("another version"), "{note}");
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(windows.find(NOW).notes.join("\n").contains("cannot read"));
    let home_of_file = tempfile::tempdir().unwrap();
    let (paths, windows, _) = home(home_of_file.path());
    fs::create_dir_all(paths.state_dir()).unwrap();
    fs::write(paths.break_glass_dir(), "").unwrap();
    assert!(windows.find(NOW).notes.join("\n").contains("cannot look"));
}

/// What another program does that writes windows.
fn locked(paths: &Paths) -> crate::lock::Guard {
    fs::create_dir_all(paths.lock_dir()).unwrap();
    let file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(paths.lock_dir().join("break-glass.windows"));
    crate::lock::try_lock(file.unwrap()).unwrap().unwrap()
}

#[test]
fn while_another_program_writes_nothing_is_taken_from_it_and_kubectl_waits_for_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, windows, store) = home(dir.path());
    let (certificate, key) = pair(NOW);
    let window = opened(&windows, &store, &signed(&certificate), &key);
    let path = windows_dir(&windows).join("window-aaaaaaaaaaaaaaaa.json");
    let over = NOW + Duration::hours(1);

    let writing = locked(&paths);
    windows.clear(&window, Ok(&store)).unwrap();
    assert_eq!(windows.find(over).ended, std::slice::from_ref(&window));
    drop(writing);
    windows
        .open(&window, &key, Ok(&store), NOW, &Person::default())
        .unwrap();
    assert_eq!(*windows.key(&window, Ok(&store)).unwrap(), key);
    windows.clear(&window, Ok(&store)).unwrap();
    assert!(windows.find(over).is_empty());

    fs::write(&path, "{").unwrap();
    let left = windows_dir(&windows).join(".unfinished-x");
    fs::write(&left, &key).unwrap();
    let writing = locked(&paths);
    let note = windows.find(NOW).notes.join("\n");
    assert!(
        note.contains("is damaged") && note.contains("left where it is"),
        "{note}"
    );
    assert!(path.exists() && left.exists());
    drop(writing);
    let note = windows.find(NOW).notes.join("\n");
    assert!(note.contains("it was moved to"), "{note}");
    assert!(!path.exists() && !left.exists());

    // A program that hangs keeps no window open.
    let window = opened(&windows, &store, &signed(&certificate), &key);
    let _hanging = locked(&paths);
    windows.close(&window, Ok(&store)).unwrap();
    assert!(windows.find(NOW).is_empty());

    // At the end, for it goes on waiting for the lock in a thread.
    let error = windows
        .open(&window, &key, Ok(&store), NOW, &Person::default())
        .unwrap_err();
    assert!(
        error.to_string().contains("another process has held the lock"),
        "{error}"
    );
}

#[test]
fn a_key_that_a_killed_program_or_a_damaged_window_has_left_goes_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (_, windows, _) = home(dir.path());
    let (certificate, key) = pair(NOW);
    let window = Window::new(&signed(&certificate), NOW, Duration::ZERO).unwrap();
    let person = Person {
        agrees: true,
        ..Person::default()
    };
    let locked = Err(&StoreError::Locked);
    let window = windows.open(&window, &key, locked, NOW, &person).unwrap();
    let at = |name: &str| windows_dir(&windows).join(name);
    let age = |name: &str, minutes| {
        let file = fs::File::options().write(true).open(at(name)).unwrap();
        file.set_modified((NOW - Duration::minutes(minutes)).into())
            .unwrap();
    };
    let left = |name: &str, minutes| {
        fs::write(at(name), &key).unwrap();
        age(name, minutes);
    };
    let names = || {
        let files = fs::read_dir(at("")).unwrap().flatten();
        let names: BTreeSet<_> = files
            .map(|file| file.file_name().into_string().unwrap())
            .collect();
        names
    };
    let ours = names();
    let own = ours.iter().find(|name| name.starts_with("key-")).unwrap();
    age(own, 0);
    assert_eq!(ours.len(), 2);
    left(".unfinished-x", 0);
    left("key-old.pem", 61);
    left("key-young.pem", 59);
    left("key.txt", 61);
    assert_eq!(windows.find(NOW).open, std::slice::from_ref(&window));
    let expected = ["key-young.pem", "key.txt"].map(str::to_owned);
    assert_eq!(names(), ours.iter().cloned().chain(expected).collect());
    assert_eq!(*windows.key(&window, locked).unwrap(), key);

    windows.sweep_now();
    assert_eq!(names().len(), 3, "{:?}", names());
    // What nobody can judge keeps its key, and so do others.
    let path = at("window-aaaaaaaaaaaaaaaa.json");
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, good.replace("\"version\": 1", "\"version\": 2")).unwrap();
    windows.sweep_now();
    fs::write(&path, &good).unwrap();
    assert_eq!(*windows.key(&window, locked).unwrap(), key);

    fs::write(&path, "{").unwrap();
    assert!(windows.find(NOW).notes.join("\n").contains("is damaged"));
    assert_eq!(names().iter().filter(|name| name.starts_with("key-")).count(), 1);
    windows.sweep_now();
    assert_eq!(names().iter().filter(|name| name.starts_with("key-")).count(), 0);
}

#[test]
#[cfg(unix)]
fn a_pipe_where_a_window_would_be_is_named_on_one_line_and_nobody_waits_for_it() {
    use crate::break_glass::files::tests::{at_once, pipe};

    let dir = tempfile::tempdir().unwrap();
    let (_, windows, _) = home(dir.path());
    fs::create_dir_all(windows_dir(&windows)).unwrap();
    pipe(&windows_dir(&windows).join("window-x.json"));
    fs::write(windows_dir(&windows).join("window-x\nbob: .json"), "{").unwrap();
    let notes = at_once(move || windows.find(NOW)).notes;
    // A name that was found begins no line.
    assert!(
        notes.iter().all(|note| crate::escape::is_plain(note)),
        "{notes:?}"
    );
    assert!(
        notes[0].contains("window-x\\u{a}bob: .json.unreadable"),
        "{notes:?}"
    );
    assert!(notes[1].contains("window-x.json: it is a pipe"), "{notes:?}");
}

#[test]
fn the_announcement_moves_no_cursor() {
    let mut window = window(Duration::ZERO);
    window.cluster = "prod\u{1b}[2J\u{202e}\n".into();
    let line = window.announcement();
    assert!(crate::escape::is_plain(&line), "{line}");
    assert!(line.starts_with("BREAK-GLASS: prod") && line.contains("as break-glass:alice until 12:55 UTC"));
}

fn windows_dir(windows: &Windows) -> std::path::PathBuf {
    let window = window(Duration::ZERO);
    windows.answers_path(&window).parent().unwrap().to_owned()
}

/// A window that is open in a home, with its key in the store.
pub(crate) fn opened(windows: &Windows, store: &Store, signed: &Signed<'_>, key: &str) -> Window {
    let window = Window::new(signed, NOW, Duration::ZERO).unwrap();
    windows
        .open(&window, key, Ok(store), NOW, &Person::default())
        .unwrap()
}

#[test]
fn a_window_is_written_as_other_versions_will_read_it() {
    let window = window(Duration::seconds(3));
    let json = serde_json::to_value(&window).unwrap();
    let names: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
    let expected = [
        "version",
        "kitHash",
        "cluster",
        "issuer",
        "server",
        "serverCa",
        "serverCaDigests",
        "who",
        "notBefore",
        "notAfter",
        "opened",
        "offset",
        "credentialId",
        "certificate",
        "forced",
        "key",
    ];
    assert_eq!(
        names.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        BTreeSet::from(expected)
    );
    assert_eq!((&json["version"], &json["key"]), (&1.into(), &"store".into()));
}
