//! Somebody who may write revocations, with a kubeconfig of their own.

use std::path::PathBuf;

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
        Self::with(world, "operator", world.cluster.admin_kubeconfig())
    }

    /// Somebody else, by their kubeconfig.
    pub fn with(world: &World<'_>, name: &str, kubeconfig: PathBuf) -> Self {
        Self {
            machine: Machine::without_desktop(&world.dir.join(name), name, &world.idp, None),
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
