//! The file of this machine's log: only ever appended to, by one process at a time, and on the disk before anything rests on it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{error::BreakGlassError, files::open_found};
use crate::{
    lock::lock_within,
    paths::{Paths, create_private_dir},
};

/// How long another process may take to append.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where it lies.
pub fn path(paths: &Paths) -> PathBuf {
    paths.break_glass_dir().join("log.jsonl")
}

/// No more is read: it is a byte more than a log may have, so that whoever takes it for one finds it too long. Of a longer
/// file that is put aside, the new log names the SHA-256 of these first bytes, and `report` has to take it of the same.
const MOST: u64 = 16 * 1024 * 1024 + 1;

/// Its bytes; none if there is none.
pub fn read(path: &Path) -> Result<Vec<u8>, BreakGlassError> {
    match open_found(path, OpenOptions::new().read(true)) {
        Ok(mut file) => bytes(&mut file).map_err(|source| failed(path, source)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(path, error)),
    }
}

/// The bytes of a log that somebody has named, which may be a pipe.
pub fn read_named(path: &Path) -> Result<Vec<u8>, BreakGlassError> {
    let read = File::open(path).and_then(|mut file| bytes(&mut file));
    read.map_err(|source| failed(path, source))
}

/// What comes of a log.
pub enum Next {
    /// It goes on with these lines.
    Append(String),
    /// It is put aside, whole, and a new one begins with these lines.
    Begin(String),
}

/// Writes what `next` makes of the bytes that are there. Gives where those were put, if they were put aside.
pub fn append(
    path: &Path,
    next: impl FnOnce(&[u8]) -> Result<Next, BreakGlassError>,
) -> Result<Option<PathBuf>, BreakGlassError> {
    if let Some(dir) = path.parent() {
        create_private_dir(dir)?;
    }
    let open = |path: &Path| {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        open_found(path, &mut options).map_err(|source| failed(path, source))
    };
    let locked = open(&path.with_extension("lock"))?;
    let _guard = lock_within(locked, PATIENCE).map_err(|source| failed(path, source))?;
    let mut file = open(path)?;
    let before = bytes(&mut file).map_err(|source| failed(path, source))?;
    let (lines, aside) = match next(&before)? {
        Next::Append(lines) => (lines, None),
        Next::Begin(lines) => {
            let aside = put_aside(path).map_err(|source| failed(path, source))?;
            file = open(path)?;
            (lines, Some(aside))
        }
    };
    let written = file.write_all(lines.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|source| failed(path, source))?;
    Ok(aside)
}

/// Renames a log to a name that no other has.
fn put_aside(path: &Path) -> io::Result<PathBuf> {
    for number in 1.. {
        let aside = path.with_extension(format!("broken-{number}.jsonl"));
        // Whoever puts one aside holds the lock, so nobody else takes the name in between.
        if !aside.try_exists()? {
            std::fs::rename(path, &aside)?;
            return Ok(aside);
        }
    }
    unreachable!("some number is free");
}

fn bytes(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn failed(path: &Path, source: io::Error) -> BreakGlassError {
    BreakGlassError::File {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_goes_on_and_a_broken_one_is_put_aside_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gatepass/log.jsonl");
        assert!(read(&path).unwrap().is_empty());
        for expected in ["", "a\n"] {
            append(&path, |before| {
                assert_eq!(before, expected.as_bytes());
                Ok(Next::Append("a\n".into()))
            })
            .unwrap();
        }
        for number in [1, 2] {
            let before = read(&path).unwrap();
            append(&path, |_| Ok(Next::Begin(format!("{number}\n")))).unwrap();
            assert_eq!(read(&path).unwrap(), format!("{number}\n").as_bytes());
            let aside = path.with_extension(format!("broken-{number}.jsonl"));
            assert_eq!(read(&aside).unwrap(), before);
        }
    }

    #[test]
    fn two_programs_append_one_after_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gatepass/log.jsonl");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let next = |before: &[u8]| Ok(Next::Append(format!("{}\n", before.len())));
                    append(&path, next).unwrap();
                });
            }
        });
        let text = String::from_utf8(read(&path).unwrap()).unwrap();
        let mut length = 0;
        for line in text.lines() {
            assert_eq!(line, length.to_string());
            length += line.len() + 1;
        }
        assert_eq!(text.lines().count(), 8);
    }

    #[test]
    fn a_log_without_an_end_is_too_long_and_no_more_of_it_is_read() {
        use gatepass_break_glass::log::{Log, LogError};

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.jsonl");
        File::create(&path).unwrap().set_len(2 * MOST).unwrap();
        let bytes = read(&path).unwrap();
        assert_eq!(bytes.len() as u64, MOST);
        assert!(matches!(Log::parse(&bytes), Err(LogError::TooLong)));
        assert!(!matches!(Log::parse(&bytes[1..]), Err(LogError::TooLong)));
    }

    #[test]
    fn a_log_without_an_end_that_was_put_aside_is_known_again_where_it_is_named() {
        use gatepass_break_glass::{
            log::Log,
            report::{Finding, Report, Source},
        };

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.jsonl");
        File::create(&path).unwrap().set_len(2 * MOST).unwrap();
        let begin = |bytes: &[u8]| {
            let aside = Log::set_aside(bytes, &Log::parse(bytes).unwrap_err());
            let now = time::OffsetDateTime::UNIX_EPOCH;
            let line = Log::default().append(aside, now, &mut rand_core::OsRng);
            Ok(Next::Begin(line))
        };
        let aside = append(&path, begin).unwrap().unwrap();
        assert_eq!(std::fs::metadata(&aside).unwrap().len(), 2 * MOST);
        let (new, old) = (read(&path).unwrap(), read_named(&aside).unwrap());
        let sources = [("new", &new), ("old", &old)].map(|(name, bytes)| Source { name, bytes });
        let report = Report::new(&sources, &[]);
        assert!(
            matches!(report.findings(), [Finding::Broken { log, .. }] if log == "old"),
            "{report}"
        );
        assert!(read_named(&dir.path().join("none")).is_err());
    }

    #[test]
    #[cfg(unix)]
    fn a_log_that_somebody_names_may_be_a_pipe() {
        use super::super::files::tests::pipe;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        pipe(&path);
        std::thread::scope(|scope| {
            let _writer = scope.spawn(|| std::fs::write(&path, "a\n").unwrap());
            assert_eq!(read_named(&path).unwrap(), b"a\n");
        });
    }

    #[test]
    #[cfg(unix)]
    fn a_pipe_where_the_log_or_its_lock_would_be_is_named_and_nobody_waits_for_it() {
        use super::super::files::tests::{at_once, pipe};

        for (name, begins_without) in [("log.jsonl", true), ("log.lock", false)] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("log.jsonl");
            pipe(&path.with_file_name(name));
            let (reads, writes) = at_once(move || {
                let reads = read(&path);
                (reads, append(&path, |_| Ok(Next::Append("a\n".into()))))
            });
            assert_eq!(reads.is_err(), begins_without, "{reads:?}");
            let refused = writes.unwrap_err().to_string();
            assert!(refused.contains(&format!("{name}: it is a pipe")), "{refused}");
        }
    }
}
