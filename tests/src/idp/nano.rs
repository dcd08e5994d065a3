//! The second identity provider: `tests/idp/second-idp.py`.

use std::ops::Deref;
use std::path::Path;
use std::process::Command;

use super::Provider;
use crate::clock::Clock;
use crate::parts::{asset, nanoidp_python};
use crate::process::Leashed;

/// A running nanoidp. It knows the same client and accounts as the other provider; of an account its ID tokens say the `sub`
/// alone, which is the account's name.
pub struct NanoIdp {
    provider: Provider,
    _process: Leashed,
}

impl Deref for NanoIdp {
    type Target = Provider;

    fn deref(&self) -> &Provider {
        &self.provider
    }
}

impl NanoIdp {
    /// Starts one in `dir`.
    pub fn start(dir: &Path) -> Self {
        Self::start_at(dir, None)
    }

    /// Starts one that believes `clock`.
    pub fn start_at(dir: &Path, clock: Option<&Clock>) -> Self {
        let mut python = Command::new(nanoidp_python());
        python.arg(asset("idp/second-idp.py")).arg(dir);
        if let Some(clock) = clock {
            clock.show_to(&mut python);
        }
        let (provider, process, _) = Provider::start(dir, &python);
        Self {
            provider,
            _process: process,
        }
    }
}
