use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

use super::Finding;

/// How long a finding is not repeated, in seconds.
const DAY: i64 = 24 * 60 * 60;
/// How many are remembered: some 2 MiB.
const MOST: usize = 32 * 1024;

/// What was reported within a day.
///
/// When it is full the oldest is forgotten, and reported again when it is seen again: whoever comes with many certificates
/// can make findings be repeated, never be left out.
#[derive(Debug)]
pub(super) struct Seen {
    /// Hashes under a key that nobody outside knows, so nobody can have two findings taken for one.
    known: HashSet<u64>,
    /// The same in the order they came, with the time, in Unix seconds.
    order: VecDeque<(u64, i64)>,
    hasher: RandomState,
    most: usize,
}

/// Whether a finding is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// It is.
    New,
    /// It is, and an older one was forgotten before its time.
    NewAndFull,
    /// It was reported.
    Again,
}

impl Seen {
    pub(super) fn new() -> Self {
        Self::with_room_for(MOST)
    }

    fn with_room_for(most: usize) -> Self {
        Self {
            known: HashSet::new(),
            order: VecDeque::new(),
            hasher: RandomState::new(),
            most,
        }
    }

    /// Notes a finding at `now`, in Unix seconds.
    pub(super) fn note(&mut self, finding: Finding, credential_id: &str, username: &str, now: i64) -> Sight {
        while let Some((hash, _)) = self.order.pop_front_if(|(_, at)| *at <= now - DAY) {
            self.known.remove(&hash);
        }
        let hash = self.hasher.hash_one((finding, credential_id, username));
        if !self.known.insert(hash) {
            return Sight::Again;
        }
        self.order.push_back((hash, now));
        if self.order.len() <= self.most {
            return Sight::New;
        }
        if let Some((oldest, _)) = self.order.pop_front() {
            self.known.remove(&oldest);
        }
        Sight::NewAndFull
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000;

    #[test]
    fn a_finding_is_new_once_a_day_for_each_credential_and_name() {
        let mut seen = Seen::new();
        let mut note = |finding, id, user, after| seen.note(finding, id, user, NOW + after);
        use Finding::{ForeignCertificate, UnexpectedGroup};
        assert_eq!(note(ForeignCertificate, "a", "u", 0), Sight::New);
        assert_eq!(note(ForeignCertificate, "a", "u", DAY - 1), Sight::Again);
        assert_eq!(note(UnexpectedGroup, "a", "u", DAY - 1), Sight::New);
        assert_eq!(note(ForeignCertificate, "b", "u", DAY - 1), Sight::New);
        assert_eq!(note(ForeignCertificate, "a", "v", DAY - 1), Sight::New);
        assert_eq!(note(ForeignCertificate, "a", "u", DAY), Sight::New);
        assert_eq!(note(UnexpectedGroup, "a", "u", DAY), Sight::Again);
    }

    #[test]
    fn many_certificates_take_no_more_memory_and_hide_nothing() {
        let mut seen = Seen::with_room_for(10);
        let mut note = |id: &str| seen.note(Finding::ForeignCertificate, id, "u", NOW);
        assert_eq!(note("first"), Sight::New);
        for id in 0..9 {
            assert_eq!(note(&id.to_string()), Sight::New);
        }
        for id in 9..1000 {
            assert_eq!(note(&id.to_string()), Sight::NewAndFull);
        }
        assert_eq!(note("999"), Sight::Again);
        assert_eq!(note("first"), Sight::NewAndFull);
        assert_eq!((seen.known.len(), seen.order.len()), (10, 10));
    }
}
