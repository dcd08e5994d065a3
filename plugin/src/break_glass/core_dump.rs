//! Keeps what a ceremony's process knows (shares, and nonces that must never be seen twice) out of core dumps.

use std::io;

/// From now on this process leaves none, nor do programs that it starts.
///
/// The limit alone would not do: Linux ignores it where core dumps go to a program, as they do with systemd. There it takes that
/// the process cannot be dumped at all, by which other programs of the same user cannot look into its memory, either.
pub(super) fn leave_none() -> io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let none = Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        setrlimit(Resource::Core, none)?;
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};

    #[test]
    fn a_process_that_leaves_none_has_no_room_for_one_and_cannot_be_dumped() {
        super::leave_none().unwrap();
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
