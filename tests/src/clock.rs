//! Time travel: real programs, shown another time by libfaketime, so that no test waits for a lifetime to pass.
//!
//! Go programs ask the kernel directly and stay in the present. So a test lets the login happen in the past, with
//! everything but the API server shown that time, then moves the clock to the present and goes on with kubectl.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::parts::faketime;
use crate::process::write_atomically;

/// The time that some programs are shown, as an offset to the true one.
pub struct Clock {
    file: PathBuf,
    library: PathBuf,
}

impl Clock {
    /// A clock that is `seconds` behind (negative) or ahead; its file lies in `dir`.
    pub fn new(dir: &Path, seconds: i64) -> Self {
        let clock = Self {
            file: dir.join("clock"),
            library: faketime().expect("the test asked whether it is present"),
        };
        clock.set(seconds);
        clock
    }

    /// Changes the offset for every program that is shown this clock, running ones included.
    pub fn set(&self, seconds: i64) {
        write_atomically(&self.file, &format!("{seconds:+}\n"));
    }

    /// Makes `command` believe this clock. Only what is linked dynamically against libc does.
    pub fn show_to(&self, command: &mut Command) {
        for (name, value) in self.variables() {
            command.env(name, value);
        }
    }

    /// The environment that makes a program believe this clock.
    pub fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".into()),
            // Timers and timeouts keep running true.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]
    }
}
