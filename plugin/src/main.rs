//! The kubectl credential plugin: wires the process to the library.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;
use kubectl_gatepass::{
    cli::Cli, clock::SystemClock, error::Error, escape::message, run, settings::Environment,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let env = Environment::new(std::env::vars_os());
    match run(cli, &env, &SystemClock, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        // kubectl shows each of its tries: one message is enough.
        Err(error @ Error::ToldBefore) => ExitCode::from(error.exit_code()),
        Err(error) => {
            let mut stderr = io::stderr().lock();
            let _ = writeln!(stderr, "kubectl-gatepass: {}", message(&error.to_string()));
            if let Some(hint) = error.hint() {
                let _ = writeln!(stderr, "  next: {}", message(&hint));
            }
            ExitCode::from(error.exit_code())
        }
    }
}
