//! Somebody who may write revocations, with a kubeconfig of their own.

use std::path::{Path, PathBuf};

use crate::idp::Provider;
use crate::machine::{Machine, Run};
use crate::world::World;

/// Runs `kubectl gatepass` as a person does who operates the cluster.
pub struct Operator {
    machine: Machine,
    kubeconfig: PathBuf,
}

impl Operator {
    /// The administrator of the world's cluster.
    pub fn new(world: &World<'_>) -> Self {
        let dir = world.dir.join("operator");
        Self::with(&dir, &world.idp, world.cluster.admin_kubeconfig())
    }

    /// Somebody else in a directory of their own, by their kubeconfig.
    pub fn with(dir: &Path, idp: &Provider, kubeconfig: PathBuf) -> Self {
        Self {
            machine: Machine::without_desktop(dir, "operator", idp, None),
            kubeconfig,
        }
    }

    /// Types `kubectl gatepass` and `args`.
    pub fn run(&self, args: &[&str]) -> Run {
        let mut command = self.machine.command("kubectl");
        command
            .arg("gatepass")
            .args(args)
            .env("KUBECONFIG", &self.kubeconfig);
        self.machine.run(&mut command)
    }
}
