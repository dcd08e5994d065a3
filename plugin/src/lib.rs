//! `kubectl-gatepass`: the kubectl credential plugin.
//!
//! kubectl runs `get-credential` ([`mod@get_credential`]). It reads what kubectl says ([`exec_credential`]) and the
//! [`settings`], and prints the credential that the keyring keeps ([`store`], [`credential`]). That is all, nearly
//! always.
//!
//! Otherwise [`mod@run`] takes over: the issuer must have been [`accepted`]; a [`session`] is refreshed at the identity
//! provider ([`oidc`]) and exchanged for a certificate at the issuer ([`issuer_client`], with [`keys`] made on this
//! machine); and where there is no session, a person logs in with a browser ([`oidc::loopback`], [`oidc::page`]).
//! [`lock`] keeps fifty programs from doing so twice.
//!
//! Operators end other people's access with [`revocation`]. Where all else is down, a quorum signs a certificate, and
//! [`break_glass`] keeps and serves it.
//!
//! What stands in the way of the next command is found by [`mod@doctor`]; what failed and what to do next is in [`error`] and,
//! for the issuer's codes, [`advice`].

pub mod accepted;
pub mod advice;
pub mod break_glass;
pub mod caller;
pub mod certificate;
pub mod cli;
pub mod clock;
pub mod credential;
pub mod doctor;
pub mod error;
pub mod escape;
pub mod exec_credential;
#[cfg(test)]
mod fake_issuer;
pub mod get_credential;
pub mod http;
pub mod issuer_client;
pub mod keys;
mod kubeconfig;
mod kubectl;
pub mod lock;
pub mod logging;
pub mod logout;
pub mod oidc;
pub mod paths;
pub mod prompt;
pub mod revocation;
pub mod run;
pub mod session;
pub mod settings;
pub mod status;
pub mod store;

use std::{io::Write, path::PathBuf, sync::Arc};

use clap::CommandFactory as _;

use crate::{
    break_glass::{error::BreakGlassError, open::Desk, person},
    cli::{Cli, Command, Login, Target},
    clock::Clock,
    error::Error,
    paths::Paths,
    prompt::{Terminal, Ui},
    run::{Run, Typed, wait_for},
    settings::{ConfigFile, Environment, Settings},
};

/// Runs one command; what it prints for programs goes to `out`.
pub fn run(cli: Cli, env: &Environment, clock: &dyn Clock, out: &mut impl Write) -> Result<(), Error> {
    let paths = || Paths::from_env(|name| env.var(name).map(PathBuf::from));
    let settings = |target: &Target, paths: &Paths| -> Result<Settings, Error> {
        let settings = Settings::for_person(target, env, ConfigFile::read(&paths.config_file())?)?;
        logging::start(settings.log());
        Ok(settings)
    };
    let ui = Terminal { interactive: true };
    if let Some(command) = cli.command.only_for_people()
        && env.var("KUBERNETES_EXEC_INFO").is_some()
    {
        return Err(Error::NotForKubectl(command));
    }
    match cli.command {
        Command::GetCredential(target) => get_credential::get_credential(&target, env, &paths()?, clock, out),
        Command::Login(login) => {
            let paths = paths()?;
            let (target, typed) = split(login);
            let mut settings = settings(&target, &paths)?;
            if settings.issuer.is_none() {
                settings.issuer = only_issuer(&paths)?;
            }
            let store = settings.store(&paths)?;
            let run = Run {
                settings: &settings,
                paths: &paths,
                store: &store,
                clock,
                ui: &ui,
                cluster_ca: None,
            };
            let credential = wait_for(run.login(&typed))?;
            ui.say(&format!(
                "kubectl-gatepass: logged in as {} (groups: {})\n  the credential ends in {} s and renews by itself; \
                 the session ends {}",
                credential.username,
                credential.groups.join(", "),
                credential.left(clock.now()).whole_seconds(),
                escape::Escaped(&credential.session_end)
            ));
            Ok(())
        }
        Command::Logout(command) => {
            let paths = paths()?;
            let target = Target {
                issuer: command.issuer.clone(),
                profile: command.profile.clone(),
                ..Target::default()
            };
            let settings = settings(&target, &paths)?;
            wait_for(logout::logout(&command, &settings, &paths, clock, &ui))
        }
        Command::Status(command) => {
            let paths = paths()?;
            status::status(
                command.output,
                &settings(&Target::default(), &paths)?,
                &paths,
                clock,
                out,
            )
        }
        Command::Doctor(command) => {
            let paths = paths()?;
            let settings = settings(&Target::default(), &paths)?;
            wait_for(doctor::doctor(&command, &settings, env, &paths, clock, out))
        }
        // Neither settings nor keyring: an operator in a hurry must not be held up by what is wrong with them.
        Command::Revoke(command) => wait_for(revocation::revoke(&command, clock, &ui, out)),
        Command::Unrevoke(command) => wait_for(revocation::unrevoke(&command, &ui, out)),
        Command::Revocations(command) => wait_for(revocation::revocations(&command, clock, &ui, out)),
        Command::BreakGlass { command } => {
            if env.var("AGEDEBUG") == Some("plugin") {
                return Err(BreakGlassError::AgeDebugs.into());
            }
            let paths = paths()?;
            // A fault in the settings must not keep anybody from a ceremony.
            let settings = settings(&Target::default(), &paths).unwrap_or_else(|error| {
                ui.say(&format!(
                    "kubectl-gatepass: the settings are passed over, and kubectl gets no credential before they are mended: \
                     {error}"
                ));
                Settings::default()
            });
            let desk = Desk {
                settings,
                paths: &paths,
                clock,
                terminal: Arc::new(person::Terminal::standard(env.var("HOME").map(PathBuf::from))),
                user: env.var("USER").or(env.var("USERNAME")).map(str::to_owned),
            };
            break_glass::run(command, desk, out)
        }
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "kubectl-gatepass", out);
            Ok(())
        }
        Command::Version => {
            writeln!(out, "kubectl-gatepass {}", env!("CARGO_PKG_VERSION")).map_err(Error::Output)
        }
    }
}

fn split(login: Login) -> (Target, Typed) {
    let Login {
        issuer,
        issuer_ca,
        profile,
        idp,
        idp_ca,
        browser_command,
        accept_change,
        replaces,
    } = login;
    let url = issuer.is_some();
    (
        Target {
            issuer,
            issuer_ca,
            profile,
        },
        Typed {
            idp,
            idp_ca,
            browser_command,
            accept_change,
            replaces,
            url,
        },
    )
}

/// The issuer to log in at when none is named and only one is known.
fn only_issuer(paths: &Paths) -> Result<Option<settings::IssuerUrl>, Error> {
    let known = accepted::AcceptedFile::new(paths.state_dir()).all()?;
    match known.as_slice() {
        [] => Ok(None),
        [one] => Ok(settings::IssuerUrl::parse(&one.url).ok()),
        several => {
            let urls = several.iter().map(|accepted| accepted.url.clone());
            Err(Error::WhichIssuer(urls.collect()))
        }
    }
}
