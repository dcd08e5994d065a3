//! Where lines come from, and whether some are there that nobody has read yet.

use std::io::{self, BufRead, IsTerminal as _, Read};

/// Lines as people type and paste them, or as a program sends them.
pub trait Lines: BufRead + Send {
    /// Whether something was typed or pasted that was not read yet, or is coming this very moment. Never true of a program's
    /// lines: it may answer before it is asked.
    fn is_ahead(&mut self) -> bool;
    /// Forgets a line that was begun and not ended.
    fn forget(&mut self);
}

/// stdin.
pub(super) fn standard() -> Box<dyn Lines> {
    #[cfg(unix)]
    if io::stdin().is_terminal()
        && let Ok(keyboard) = std::os::fd::AsFd::as_fd(&io::stdin()).try_clone_to_owned()
    {
        return of(keyboard.into());
    }
    piped(io::stdin())
}

/// Lines of a program.
pub(super) fn piped(lines: impl Read + Send + 'static) -> Box<dyn Lines> {
    struct Piped<R>(io::BufReader<R>);

    impl<R: Read> Read for Piped<R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl<R: Read> BufRead for Piped<R> {
        fn fill_buf(&mut self) -> io::Result<&[u8]> {
            self.0.fill_buf()
        }

        fn consume(&mut self, amount: usize) {
            self.0.consume(amount);
        }
    }

    impl<R: Read + Send> Lines for Piped<R> {
        fn is_ahead(&mut self) -> bool {
            false
        }

        fn forget(&mut self) {}
    }

    Box::new(Piped(io::BufReader::new(lines)))
}

/// Lines of the person at a terminal.
#[cfg(unix)]
pub(super) fn of(terminal: std::fs::File) -> Box<dyn Lines> {
    Box::new(watched::Keyboard::new(terminal))
}

#[cfg(unix)]
mod watched {
    use std::{
        fs::File,
        io::{self, BufRead, BufReader, Read},
    };

    use rustix::{
        event::{PollFd, PollFlags, Timespec, poll},
        io::retry_on_intr,
        termios::{QueueSelector, tcflush},
    };

    use super::Lines;

    /// How long nothing comes after the end of a paste, be it over a slow line.
    const QUIET: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 250_000_000,
    };

    pub(super) struct Keyboard(BufReader<File>);

    impl Keyboard {
        pub(super) fn new(terminal: File) -> Self {
            Self(BufReader::new(terminal))
        }
    }

    impl Read for Keyboard {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl BufRead for Keyboard {
        fn fill_buf(&mut self) -> io::Result<&[u8]> {
            self.0.fill_buf()
        }

        fn consume(&mut self, amount: usize) {
            self.0.consume(amount);
        }
    }

    impl Lines for Keyboard {
        fn is_ahead(&mut self) -> bool {
            if !self.0.buffer().is_empty() {
                return true;
            }
            let mut waiting = [PollFd::new(self.0.get_ref(), PollFlags::IN)];
            let found = retry_on_intr(|| poll(&mut waiting, Some(&QUIET)));
            let seen = waiting[0].revents();
            if found.is_err() || seen.contains(PollFlags::NVAL) {
                // A system that does not watch terminals: what comes meanwhile is forgotten, texts as well.
                #[expect(clippy::disallowed_methods, reason = "there is no condition to wait for")]
                std::thread::sleep(std::time::Duration::from_millis(250));
            }
            found.is_ok() && seen.contains(PollFlags::IN)
        }

        fn forget(&mut self) {
            // Where it cannot be done, the answer is a line that begins with what was there, and no yes.
            let _ = tcflush(self.0.get_ref(), QueueSelector::IFlush);
        }
    }
}
