use std::{
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use super::*;

/// Makes a pipe that nobody writes to.
pub(in crate::break_glass) fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// What `ask` gives, as long as it does not wait for anybody.
pub(in crate::break_glass) fn at_once<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> T {
    let (give, given) = mpsc::channel();
    thread::spawn(move || give.send(ask()));
    let patience = Duration::from_secs(20);
    given.recv_timeout(patience).expect("it waits for nobody")
}

#[test]
fn what_is_found_is_a_file_and_nobody_waits_for_anything_else() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    pipe(&at("pipe"));
    fs::create_dir(at("directory")).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    std::os::unix::fs::symlink("pipe", at("link to a pipe")).unwrap();
    for (name, kind) in [
        ("pipe", "a pipe"),
        ("link to a pipe", "a pipe"),
        ("directory", "a directory"),
        ("socket", "a socket"),
    ] {
        for write in [false, true] {
            let path = at(name);
            let opened = at_once(move || open_found(&path, OpenOptions::new().read(true).append(write)));
            let refused = opened.unwrap_err().to_string();
            assert!(refused.contains(&format!("it is {kind}")), "{name}: {refused}");
        }
    }
    let missing = read_found(&at("missing"), 1).unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    fs::write(at("file"), "123").unwrap();
    std::os::unix::fs::symlink("file", at("link")).unwrap();
    assert_eq!(*read_found(&at("link"), 2).unwrap(), b"12");
}

#[test]
fn what_somebody_names_may_be_a_pipe_and_has_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    pipe(&path);
    let named = path.clone();
    let reader = thread::spawn(move || read_text(&named));
    fs::write(&path, "from a shell").unwrap();
    assert_eq!(reader.join().unwrap().unwrap(), "from a shell");
    let long = dir.path().join("long");
    File::create(&long).unwrap().set_len(LARGEST + 1).unwrap();
    for refused in [read_text(&long), read_found_text(&long)] {
        assert!(refused.unwrap_err().to_string().contains("longer than any file"));
    }
}

#[test]
fn a_file_is_written_whole_for_whom_it_is_and_a_new_one_over_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    write_new(&path, "first", 0o644).unwrap();
    let refused = write_new(&path, "second", 0o644).unwrap_err();
    assert!(matches!(refused, BreakGlassError::Exists(_)), "{refused}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "first");
    put(&path, b"third", 0o600).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "third");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        1,
        "nothing is left beside"
    );
}
