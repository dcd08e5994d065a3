//! The kubectl that runs this program again and again: client-go runs a failing plugin five times per command, and
//! shows each time what it says.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use time::{Duration, OffsetDateTime};

use crate::{keys::sha256_base64url, paths::create_private_dir};

/// How long after a failure the same caller that asks the same again is sent away at once. The five runs follow each other
/// closely; a program that lives long and asks now and then must find out that things are well again.
const MOMENT: Duration = Duration::seconds(5);

/// One caller and its question, as far as failures are remembered for it.
pub struct Caller {
    dir: PathBuf,
    file: PathBuf,
}

impl Caller {
    /// The process `parent`, asking what `question` says (its exec info and arguments).
    pub fn new(lock_dir: &Path, parent: u32, question: &str) -> Self {
        let name = sha256_base64url(format!("{parent}\0{question}").as_bytes());
        Self {
            dir: lock_dir.to_owned(),
            file: lock_dir.join(format!("{name}{SUFFIX}")),
        }
    }

    /// Whether it was told a moment ago why there is no credential.
    pub fn was_told(&self, now: OffsetDateTime) -> bool {
        told(&self.file, now)
    }

    /// Remembers that it was told; that it cannot is no reason to fail differently.
    pub fn tell(&self, now: OffsetDateTime) {
        let _ = self.write(now);
    }

    fn write(&self, now: OffsetDateTime) -> io::Result<()> {
        create_private_dir(&self.dir).map_err(io::Error::other)?;
        // Callers come and go; what is remembered for those before leaves with the next failure.
        for entry in fs::read_dir(&self.dir)?.flatten() {
            let path = entry.path();
            if path.as_os_str().as_encoded_bytes().ends_with(SUFFIX.as_bytes()) && !told(&path, now) {
                let _ = fs::remove_file(path);
            }
        }
        fs::write(&self.file, now.unix_timestamp_nanos().to_string())
    }
}

const SUFFIX: &str = ".told";

fn told(file: &Path, now: OffsetDateTime) -> bool {
    let at = fs::read_to_string(file).ok().and_then(|text| text.parse().ok());
    let at = at.and_then(|nanos| OffsetDateTime::from_unix_timestamp_nanos(nanos).ok());
    // One from the future is of a clock that was set back since.
    at.is_some_and(|at| at <= now && now - at < MOMENT)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn the_same_caller_with_the_same_question_is_told_once_in_a_moment() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("locks");
        let now = datetime!(2026-11-22 00:00:00 UTC);
        let caller = Caller::new(&dir, 7, "prod");
        assert!(!caller.was_told(now));
        caller.tell(now);
        assert!(caller.was_told(now) && caller.was_told(now + Duration::seconds(4)));
        assert!(!caller.was_told(now + MOMENT) && !caller.was_told(now - Duration::SECOND));
        assert!(!Caller::new(&dir, 8, "prod").was_told(now));
        assert!(!Caller::new(&dir, 7, "test").was_told(now));
        let later = now + Duration::minutes(1);
        Caller::new(&dir, 8, "prod").tell(later);
        assert_eq!(
            fs::read_dir(&dir).unwrap().count(),
            1,
            "the first caller is forgotten"
        );
    }
}
