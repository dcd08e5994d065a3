//! End-to-end harness: a real control plane, identity provider, keyring and browser around our two binaries.
//!
//! A test builds its world from these parts, each in its own directory and on its own ports:
//!
//! - [`cluster::Cluster`]: etcd and kube-apiserver
//! - [`idp::Idp`]: the oidc-provider package, with a control API to misbehave by
//! - [`issuer::Issuer`]: our `gatepass-issuer`, behind a [`front::Counter`]
//! - [`machine::Machine`]: a person's home, keyring, browser and kubeconfig, with our `kubectl-gatepass`
//! - [`exchange::Login`]: the protocol by hand, for acting out thefts
//! - [`clock::Clock`]: another time for all of them but the API server
//! - [`person::Person`]: a holder of a break-glass kit; [`quorum::Made`], the kit; [`talk`], how holders pass texts; [`terminal::Terminal`], where they type
//! - [`apart::Quorum`]: three holders, each at a machine of their own, and texts as a changed program makes them
//! - [`plugin`]: plugins of age, a real one and one that does what a test says
//! - [`alone::alone`]: a place without a network
//! - [`pod::Pod`]: an image and a pod as a node runs them
//! - [`stage::Stage`]: the parts of `make demo`, `make drill` and `make playground`, told step by step
//! - [`world::World`]: all of these together
//!
//! Everything ends with the test process, however that ends ([`process::Leashed`]), and nothing waits for time to pass
//! ([`process::until`]). What is not installed is named, and the test skipped; in CI nothing is ([`parts::present`]).
#![expect(clippy::missing_panics_doc, reason = "a harness ends a test by panicking")]

pub mod alone;
pub mod apart;
pub mod clock;
pub mod cluster;
pub mod exchange;
pub mod findings;
pub mod front;
pub mod handshake;
pub mod holder;
pub mod http;
pub mod idp;
pub mod issuer;
pub mod leaks;
pub mod line;
pub mod machine;
pub mod memory;
pub mod operator;
pub mod parts;
pub mod person;
pub mod pki;
pub mod plugin;
pub mod pod;
pub mod process;
pub mod quorum;
mod shown;
pub mod stage;
pub mod talk;
pub mod terminal;
pub mod world;
