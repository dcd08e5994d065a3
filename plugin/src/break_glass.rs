//! Break-glass on this machine: what stands around the ceremony of the crate `gatepass-break-glass`.
//!
//! [`init`] makes a quorum and its kit, at one machine or apart, and `reshare` changes its holders; share files are delivered in
//! one way. [`mod@open`] and [`approve`] are the two sides of a [`ceremony`], whose people are at a terminal ([`person`],
//! [`holders`]) and whose steps go into the log ([`journal`], [`log_file`]). [`verify`] says what a kit is and prints the page;
//! [`tell`] says what logs tell, and how things stand ([`standing`]). No command leaves a core dump behind (`core_dump`).
//!
//! A certificate that a quorum signed is kept as a [`window`], which `get-credential` serves ([`serve`]) until it ends or the
//! normal way is open again ([`outage`]), or `close` ends it. The API server is asked for its time and whom it trusts
//! ([`server`]), and what the certificates may do ([`binding`]), and the kubeconfig whether kubectl would use a window
//! ([`entry`]).

pub mod approve;
pub mod binding;
pub mod ceremony;
mod close;
pub mod context;
mod core_dump;
mod delivery;
pub mod entry;
pub mod error;
mod files;
pub mod holders;
pub mod init;
mod join;
pub mod journal;
pub mod kits;
pub mod log_file;
pub mod open;
pub mod outage;
mod page;
pub mod person;
mod reshare;
pub mod serve;
pub mod server;
pub mod standing;
pub mod tell;
pub mod verify;
pub mod window;

use std::io::Write;

use crate::{cli::break_glass::BreakGlass, error::Error};
use open::Desk;

/// Runs one of the commands.
pub fn run(command: BreakGlass, desk: Desk<'_>, out: &mut impl Write) -> Result<(), Error> {
    // All of them: those that open no share today may tomorrow.
    if let Err(error) = core_dump::leave_none() {
        desk.terminal.say(&format!(
            "WARNING: a crash may write secrets into a core dump: {error}"
        ));
    }
    match command {
        BreakGlass::Init(command) => init::init(&command, &desk, out),
        BreakGlass::Open(command) => open::open(&command, desk, out),
        BreakGlass::Approve(command) => {
            approve::approve(&command, desk.paths, desk.clock, &desk.terminal, out)
        }
        BreakGlass::Close(command) => close::close(&command, &desk),
        BreakGlass::Status(command) => tell::status(&command, &desk, out),
        BreakGlass::Drill(command) => open::drill(&command, &desk, out),
        BreakGlass::Report(command) => tell::report(&command, &desk, out),
        BreakGlass::Recertify(command) => open::recertify(&command, &desk, out),
        BreakGlass::Reshare(command) => Ok(reshare::reshare(&command, &desk)?),
        BreakGlass::Verify(command) => verify::verify(&command, &desk, out),
    }
}
