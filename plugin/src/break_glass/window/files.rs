//! Where windows and their keys lie.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::{KeyPlace, KeyStays, LONGEST, State, VERSION, Window, WindowError};
use crate::{
    break_glass::files::{UNFINISHED, open_found, put, read_found},
    escape,
    lock::{Guard, lock_within, try_lock},
    paths::{Paths, create_private_dir},
    prompt::Ui,
    store::{Entry, Store, StoreError},
};

/// The windows of one home.
pub struct Windows {
    pub(super) dir: PathBuf,
    /// Whoever writes or removes windows holds it meanwhile: between a look at a file and its removal another program could
    /// have put another window there.
    lock: PathBuf,
}

/// What lies there.
#[derive(Debug, Default)]
pub struct Found {
    /// Open windows.
    pub open: Vec<Window>,
    /// Windows that have ended, to be removed.
    pub ended: Vec<Window>,
    /// Windows that nobody can judge, because the clock shows a time before they were opened. A note says so of each.
    pub set_back: Vec<Window>,
    /// What a person should know of the others.
    pub notes: Vec<String>,
}

impl Found {
    /// Whether there is nothing at all, as nearly always.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.ended.is_empty() && self.set_back.is_empty() && self.notes.is_empty()
    }
}

/// No file of a window, and no key, is longer.
const LARGEST: u64 = 256 * 1024;

/// How long whoever opens or closes waits for another program, which holds the lock for a few writes.
const PATIENCE: Duration = Duration::from_secs(3);

impl Windows {
    /// Nothing is made or read yet.
    pub fn new(paths: &Paths) -> Self {
        Self {
            dir: paths.break_glass_dir(),
            lock: paths.lock_dir().join("break-glass.windows"),
        }
    }

    /// Keeps a window, which is open from then on, in place of another of the same kit.
    ///
    /// The key (PKCS#8, PEM) goes into `store`; where that fails and the person agrees, into a file that only its owner can
    /// read. Where they do not, the error says how to unlock the keyring, and all can be tried again with the same key.
    pub fn open(
        &self,
        window: &Window,
        key: &str,
        store: Result<&Store, &StoreError>,
        now: OffsetDateTime,
        ui: &dyn Ui,
    ) -> Result<Window, WindowError> {
        if !window.fits(key) {
            return Err(WindowError::OtherKey);
        }
        create_private_dir(&self.dir)?;
        let mut window = window.clone();
        let left = match window.state(now) {
            State::Open(left) => left.unsigned_abs(),
            State::Ended | State::ClockSetBack => Duration::from_secs(1),
        };
        let saved = store
            .map_err(Clone::clone)
            .and_then(|store| store.save(&entry(&window), key.as_bytes(), Some(left)));
        if let Err(error) = saved {
            let path = self.key_path(&window);
            ui.say(&format!(
                "kubectl-gatepass: the key of the signed certificate cannot be kept in the keyring: {error}\n  next: {}\n  \
                 or let it lie, unencrypted and readable by you alone, in {} until the window ends or is closed",
                error.hint(),
                escape::path(&path)
            ));
            if !ui.confirm("Keep the key in that file?") {
                return Err(WindowError::KeyNotKept(error));
            }
            window.key = KeyPlace::File;
        }
        let path = self.path(&window);
        let json = serde_json::to_vec_pretty(&window).expect("a window is plain JSON");
        let locked = self.lock().map_err(|source| WindowError::File {
            path: self.lock.clone(),
            source,
        })?;
        if window.key == KeyPlace::File {
            write(&self.key_path(&window), key.as_bytes())?;
        }
        let before = read(&path).ok();
        write(&path, &json)?;
        self.forget_answers(&window);
        drop(locked);
        // Only now, so that a crash leaves a window and its key, be it the old one or the new one.
        if let Some(Ok(before)) = before.map(|before| serde_json::from_slice::<Window>(&before))
            && before.credential_id != window.credential_id
            && let Err(error) = self.delete_key(&before, store)
        {
            tracing::info!(%error, "the key of the window before was not deleted");
        }
        Ok(window)
    }

    /// All windows. Where there has been none, this costs one look at a directory that does not exist.
    pub fn find(&self, now: OffsetDateTime) -> Found {
        let mut found = Found::default();
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return found,
            Err(error) => {
                found.notes.push(format!(
                    "cannot look for open break-glass windows in {}: {error}",
                    escape::path(&self.dir)
                ));
                return found;
            }
        };
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths.iter().filter(|path| is_window(path)) {
            self.judge(path, now, &mut found);
        }
        let known = [&found.open, &found.ended, &found.set_back];
        let keys: Vec<_> = known
            .into_iter()
            .flatten()
            .map(|window| self.key_path(window))
            .collect();
        // Nothing, as nearly always.
        if paths
            .iter()
            .any(|path| is_unfinished(path) || is_key(path) && !keys.contains(path))
        {
            self.sweep(|written| now.unix_timestamp().saturating_sub(written) > LONGEST);
        }
        found
    }

    pub(super) fn content(&self, path: &Path) -> io::Result<Content> {
        #[derive(serde::Deserialize)]
        struct Version {
            version: u64,
        }
        let bytes = read(path)?;
        match serde_json::from_slice::<Version>(&bytes) {
            Ok(Version { version }) if version != u64::from(VERSION) => {
                return Ok(Content::OfAnotherVersion);
            }
            _ => {}
        }
        let window = serde_json::from_slice::<Window>(&bytes).ok();
        // One file per kit: under another name it would be opened and closed beside the one that is meant.
        let window = window.filter(|window| self.path(window) == path);
        Ok(window.map_or(Content::Damaged, |window| Content::Window(Box::new(window))))
    }

    fn judge(&self, path: &Path, now: OffsetDateTime, found: &mut Found) {
        let shown = escape::path(path);
        let mut content = self.content(path);
        let mut locked = None;
        if matches!(content, Ok(Content::Damaged)) {
            locked = self.try_lock();
            // A whole one may have been put there since.
            content = self.content(path);
        }
        let window = match content {
            Ok(Content::Window(window)) => *window,
            Ok(Content::OfAnotherVersion) => {
                found.notes.push(format!(
                    "the break-glass window {shown} was opened by another version of this program and is left alone"
                ));
                return;
            }
            Ok(Content::Damaged) => {
                let aside = path.with_extension("json.unreadable");
                let moved = match locked.map(|_locked| fs::rename(path, &aside)) {
                    None => "another program writes there, so it was left where it is".into(),
                    Some(Err(error)) => format!("it could not be moved away: {error}"),
                    Some(Ok(())) => format!("it was moved to {}", escape::path(&aside)),
                };
                found.notes.push(format!(
                    "the break-glass window {shown} is damaged and was not used; {moved}"
                ));
                return;
            }
            Err(error) => {
                found
                    .notes
                    .push(format!("cannot read the break-glass window {shown}: {error}"));
                return;
            }
        };
        match window.state(now) {
            State::Open(_) => found.open.push(window),
            State::Ended => found.ended.push(window),
            State::ClockSetBack => {
                found.notes.push(format!(
                    "this machine's clock was set back to before the break-glass window {shown} was opened, so that it is not \
                     used; set the clock, or close the window: kubectl gatepass break-glass close"
                ));
                found.set_back.push(window);
            }
        }
    }

    /// The key of a window, PEM.
    pub fn key(
        &self,
        window: &Window,
        store: Result<&Store, &StoreError>,
    ) -> Result<Zeroizing<String>, WindowError> {
        let (bytes, place) = match window.key {
            KeyPlace::File => {
                let path = self.key_path(window);
                match read(&path) {
                    Ok(bytes) => (Some(bytes), escape::path(&path)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => (None, escape::path(&path)),
                    Err(source) => return Err(WindowError::File { path, source }),
                }
            }
            KeyPlace::Store => {
                let loaded = store
                    .map_err(Clone::clone)
                    .and_then(|store| store.load(&entry(window)));
                (loaded.map_err(WindowError::KeyNotRead)?, "the keyring".into())
            }
        };
        let text = bytes.and_then(|bytes| Some(Zeroizing::new(str::from_utf8(&bytes).ok()?.to_owned())));
        // What is another's, or was changed, would only make kubectl fail.
        text.filter(|text| window.fits(text))
            .ok_or(WindowError::KeyGone(place))
    }

    /// Removes a window and its key. Where the key cannot be deleted, the window is gone all the same.
    pub fn close(&self, window: &Window, store: Result<&Store, &StoreError>) -> Result<(), WindowError> {
        let key = self.delete_key(window, store);
        // Without the lock where another program does not let it go: that must keep no window open.
        self.remove(window, key, self.lock().ok())
    }

    /// The same of a window that has ended. Its file stays while another program writes: kubectl waits for nobody, and asks
    /// again.
    pub fn clear(&self, ended: &Window, store: Result<&Store, &StoreError>) -> Result<(), WindowError> {
        let key = self.delete_key(ended, store);
        match self.try_lock() {
            None => Ok(()),
            locked => self.remove(ended, key, locked),
        }
    }

    fn remove(
        &self,
        window: &Window,
        key: Result<(), KeyStays>,
        _locked: Option<Guard>,
    ) -> Result<(), WindowError> {
        let path = self.path(window);
        let same = read(&path)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Window>(&bytes).ok());
        // Another may have been opened in its place since.
        if same.is_none_or(|same| same.credential_id == window.credential_id) {
            remove(&path).map_err(|source| WindowError::File { path, source })?;
            self.forget_answers(window);
        }
        key.map_err(|source| WindowError::KeyNotDeleted {
            credential_id: window.credential_id.clone(),
            source,
        })
    }

    fn lock(&self) -> io::Result<Guard> {
        lock_within(self.lock_file()?, PATIENCE)
    }

    pub(super) fn try_lock(&self) -> Option<Guard> {
        let locked = self.lock_file().and_then(try_lock);
        locked.unwrap_or_else(|error| {
            tracing::info!(%error, "the lock of break-glass windows cannot be taken");
            None
        })
    }

    fn lock_file(&self) -> io::Result<File> {
        if let Some(dir) = self.lock.parent() {
            create_private_dir(dir).map_err(io::Error::other)?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        open_found(&self.lock, &mut options)
    }

    /// Where it is noted for a window whether identity provider and issuer answer.
    pub(in crate::break_glass) fn answers_path(&self, window: &Window) -> PathBuf {
        self.dir.join(format!("answers-{}.json", start(window)))
    }

    fn forget_answers(&self, window: &Window) {
        // What stays is older than half a minute soon.
        let _ = fs::remove_file(self.answers_path(window));
    }

    fn delete_key(&self, window: &Window, store: Result<&Store, &StoreError>) -> Result<(), KeyStays> {
        match window.key {
            KeyPlace::File => {
                let path = self.key_path(window);
                remove(&path).map_err(|source| KeyStays::File { path, source })
            }
            KeyPlace::Store => {
                // An `open` that fell back to a file before it came to the keyring may have left one.
                let path = self.key_path(window);
                remove(&path).map_err(|source| KeyStays::File { path, source })?;
                let deleted = store
                    .map_err(Clone::clone)
                    .and_then(|store| store.delete(&entry(window)));
                Ok(deleted.map(|_| ())?)
            }
        }
    }

    fn path(&self, window: &Window) -> PathBuf {
        self.dir.join(format!("{PREFIX}{}{SUFFIX}", start(window)))
    }

    /// Named after the certificate, as a key that is replaced must not be taken for the new one.
    pub(in crate::break_glass) fn key_path(&self, window: &Window) -> PathBuf {
        let digits = window.credential_id.bytes().filter(u8::is_ascii_alphanumeric);
        let name: String = digits.map(char::from).take(26).collect();
        self.dir.join(format!("{KEY_PREFIX}{name}{KEY_SUFFIX}"))
    }
}

/// What a file of a window holds.
pub(super) enum Content {
    Window(Box<Window>),
    OfAnotherVersion,
    Damaged,
}

const PREFIX: &str = "window-";
const SUFFIX: &str = ".json";
const KEY_PREFIX: &str = "key-";
const KEY_SUFFIX: &str = ".pem";

pub(super) fn is_window(path: &Path) -> bool {
    is_named(path, PREFIX, SUFFIX)
}

pub(super) fn is_key(path: &Path) -> bool {
    is_named(path, KEY_PREFIX, KEY_SUFFIX)
}

pub(super) fn is_unfinished(path: &Path) -> bool {
    is_named(path, UNFINISHED, "")
}

fn is_named(path: &Path, prefix: &str, suffix: &str) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(prefix) && name.ends_with(suffix))
}

fn start(window: &Window) -> String {
    let mut hash = window.kit_hash.to_string();
    hash.truncate(16);
    hash
}

fn entry(window: &Window) -> Entry<'_> {
    Entry::BreakGlass {
        credential: &window.credential_id,
    }
}

fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    read_found(path, LARGEST)
}

/// Readable by its owner alone.
fn write(path: &Path, content: &[u8]) -> Result<(), WindowError> {
    put(path, content, 0o600).map_err(|source| WindowError::File {
        path: path.into(),
        source,
    })
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
