use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

use super::*;

fn scratch() -> (tempfile::TempDir, FileEntry) {
    let home = tempfile::tempdir().unwrap();
    let entry = FileStore::new(home.path().join("secrets")).entry("gatepass", "session:a");
    (home, entry)
}

fn untrusted(entry: &FileEntry) -> Option<&'static str> {
    match StoreError::from_keyring(entry.get_secret().unwrap_err(), NAME) {
        StoreError::Untrusted { fault, .. } => Some(fault),
        _ => None,
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn only_the_owner_can_read() {
    let (_home, entry) = scratch();
    entry.set_secret(b"s3cret").unwrap();
    assert_eq!((mode(&entry.path), mode(&entry.dir)), (0o600, 0o700));
    assert_eq!(entry.get_secret().unwrap(), b"s3cret");
}

#[test]
fn a_file_that_others_may_read_is_refused() {
    let (_home, entry) = scratch();
    entry.set_secret(b"s3cret").unwrap();
    fs::set_permissions(&entry.path, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(untrusted(&entry), Some("others may read or write it"));
}

#[test]
fn a_directory_that_others_may_write_is_refused() {
    let (_home, entry) = scratch();
    entry.set_secret(b"old").unwrap();
    fs::set_permissions(&entry.dir, fs::Permissions::from_mode(0o777)).unwrap();
    let error = StoreError::from_keyring(entry.set_secret(b"new").unwrap_err(), NAME);
    assert!(matches!(error, StoreError::Untrusted { .. }), "{error}");
}

#[test]
fn links_and_directories_are_refused() {
    let (home, entry) = scratch();
    entry.set_secret(b"s3cret").unwrap();
    let elsewhere = home.path().join("elsewhere");
    fs::rename(&entry.path, &elsewhere).unwrap();
    symlink(&elsewhere, &entry.path).unwrap();
    assert_eq!(untrusted(&entry), Some("it is a link"));
    fs::remove_file(&entry.path).unwrap();
    fs::create_dir(&entry.path).unwrap();
    assert_eq!(untrusted(&entry), Some("it is not a file"));
}

#[test]
fn somebody_elses_file_is_refused() {
    let (_home, entry) = scratch();
    entry.set_secret(b"s3cret").unwrap();
    if let Err(error) = chown(&entry.path, Some(rustix::process::geteuid().as_raw() + 1), None) {
        let _ = writeln!(
            io::stderr(),
            "skipped somebody_elses_file_is_refused: only root can give files away: {error}"
        );
        return;
    }
    assert_eq!(untrusted(&entry), Some("it belongs to somebody else"));
}

#[test]
fn what_is_not_readable_heals() {
    let (_home, entry) = scratch();
    entry.set_secret(b"s3cret").unwrap();
    let whole = fs::read(&entry.path).unwrap();
    let other = [b"gatepass 1\ngatepass:session:b\n6\n".as_slice(), b"s3cret"].concat();
    for corrupt in [
        &whole[..whole.len() - 1],
        b"",
        b"garbage",
        &[0xff; 64],
        &other,
        &[&whole[..], b"x"].concat(),
    ] {
        fs::write(&entry.path, corrupt).unwrap();
        assert!(matches!(entry.get_secret(), Err(Error::NoEntry)));
        assert!(!entry.path.exists(), "{corrupt:?} is still there");
        fs::write(&entry.path, b"").unwrap();
        fs::set_permissions(&entry.path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    entry.set_secret(b"new").unwrap();
    assert_eq!(entry.get_secret().unwrap(), b"new");
}

#[test]
fn a_writer_that_died_leaves_the_old_value_and_is_cleaned_up_after() {
    let (_home, entry) = scratch();
    entry.set_secret(b"old").unwrap();
    let unfinished = [
        entry.dir.join(".unfinished-dead"),
        entry.dir.join(".unfinished-alive"),
    ];
    for file in &unfinished {
        fs::write(file, b"half a secr").unwrap();
    }
    let before = fs::metadata(&entry.path).unwrap().modified().unwrap() - Duration::from_secs(3600);
    File::options()
        .write(true)
        .open(&unfinished[0])
        .unwrap()
        .set_modified(before)
        .unwrap();
    assert_eq!(entry.get_secret().unwrap(), b"old");
    entry.set_secret(b"new").unwrap();
    assert_eq!(unfinished.map(|file| file.exists()), [false, true]);
}

#[test]
fn a_file_too_many_writers_want_is_always_whole() {
    let (_home, entry) = scratch();
    let secrets: Vec<_> = (0..8_u8).map(|byte| vec![byte; 8 * 1024]).collect();
    std::thread::scope(|scope| {
        for secret in &secrets {
            scope.spawn(|| (0..10).for_each(|_| entry.set_secret(secret).unwrap()));
        }
        for _ in 0..50 {
            match entry.get_secret() {
                Ok(read) => assert!(secrets.contains(&read)),
                Err(error) => assert!(matches!(error, Error::NoEntry), "{error}"),
            }
        }
    });
    assert!(secrets.contains(&entry.get_secret().unwrap()));
    assert_eq!(fs::read_dir(&entry.dir).unwrap().count(), 1);
}
