//! `gatepass-issuer`: reads the command line, wires, and turns the outcome into an exit code.

use std::process::ExitCode;

use clap::Parser;
use gatepass_issuer::cli::Cli;
use gatepass_issuer::{clock, run};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run::run(cli, &clock::now) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gatepass-issuer: {error}");
            ExitCode::FAILURE
        }
    }
}
