use std::{fs, sync::Arc};

use gatepass_break_glass::kit::KitHash;
use time::{Duration, OffsetDateTime};

use super::{
    super::{
        log_file,
        person::Terminal,
        window::{
            State,
            tests::{NOW, home, kit, opened, pair, signed},
        },
    },
    *,
};
use crate::{
    clock::At,
    paths::Paths,
    settings::{ConfigFile, Settings, StoreChoice},
    store::Store,
};

struct Machine {
    _dir: tempfile::TempDir,
    paths: Paths,
    windows: Windows,
    store: Store,
}

#[test]
fn a_key_that_came_to_the_keyring_after_a_file_goes_from_both() {
    let machine = Machine::new();
    let (certificate, key) = pair(NOW);
    let window = opened(&machine.windows, &machine.store, &signed(&certificate), &key);
    let file = machine.windows.key_path(&window);
    fs::write(&file, &key).unwrap();
    machine.windows.close(&window, Ok(&machine.store)).unwrap();
    assert!(!file.exists());
}

impl Machine {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (paths, windows, store) = home(dir.path());
        Self {
            _dir: dir,
            paths,
            windows,
            store,
        }
    }

    fn open(&self, kit_hash: KitHash) -> Window {
        let (certificate, key) = pair(NOW);
        let signed = super::super::window::Signed {
            kit_hash,
            ..signed(&certificate)
        };
        opened(&self.windows, &self.store, &signed, &key)
    }

    fn close(&self, now: OffsetDateTime) -> Result<(), Error> {
        let settings = Settings {
            file: ConfigFile {
                store: StoreChoice::File,
                ..ConfigFile::default()
            },
            ..Settings::default()
        };
        let desk = Desk {
            settings,
            paths: &self.paths,
            clock: &At(now),
            terminal: Arc::new(Terminal::standard(None)),
            user: None,
        };
        close(&Close::default(), &desk)
    }

    fn has_key(&self, window: &Window) -> bool {
        self.windows.key(window, Ok(&self.store)).is_ok()
    }
}

#[test]
fn a_log_that_cannot_be_written_keeps_no_window_open() {
    let machine = Machine::new();
    let window = machine.open(kit('a'));
    fs::create_dir(log_file::path(&machine.paths)).unwrap();
    machine.close(NOW).unwrap();
    assert!(machine.windows.find(NOW).is_empty() && !machine.has_key(&window));
}

#[test]
fn a_window_that_the_clock_hides_is_closed_too() {
    let machine = Machine::new();
    let window = machine.open(kit('a'));
    let before = NOW - Duration::hours(5);
    assert_eq!(window.state(before), State::ClockSetBack);
    let left = machine.paths.break_glass_dir().join("key-left.pem");
    fs::write(&left, "of a program that was killed").unwrap();
    machine.close(before).unwrap();
    assert!(!left.exists());
    assert!(machine.windows.find(NOW).is_empty() && !machine.has_key(&window));
    let none = machine.close(before).unwrap_err();
    assert!(
        matches!(none, Error::BreakGlass(BreakGlassError::NoWindow)),
        "{none}"
    );
}

#[test]
fn a_key_that_cannot_be_deleted_keeps_no_other_window_open_and_is_told() {
    let machine = Machine::new();
    let first = machine.open(kit('a'));
    // Where its key lies, there is something that nobody deletes as a file.
    let secrets = fs::read_dir(machine.paths.state_dir().join("secrets")).unwrap();
    let [key] = &secrets.flatten().map(|file| file.path()).collect::<Vec<_>>()[..] else {
        panic!("not one key");
    };
    fs::remove_file(key).unwrap();
    fs::create_dir(key).unwrap();
    let second = machine.open(kit('b'));
    let failed = machine.close(NOW).unwrap_err();
    assert!(
        matches!(failed, Error::BreakGlass(BreakGlassError::NotClosed)),
        "{failed}"
    );
    assert!(machine.windows.find(NOW).is_empty() && !machine.has_key(&second));
    let outcome = machine.windows.close(&first, Ok(&machine.store));
    let hint = outcome.unwrap_err().hint().unwrap();
    assert!(
        hint.ends_with(&format!("--credential-id {}", first.credential_id)),
        "{hint}"
    );
}
