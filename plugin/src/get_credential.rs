//! `get-credential`: what kubectl calls.
//!
//! A kept credential is printed without a runtime, a thread, TLS or the network: this is the path that every kubectl
//! command takes.

use std::io::{self, IsTerminal as _, Write};

use crate::{
    cli::Target,
    clock::Clock,
    credential::{Credential, Use},
    error::Error,
    exec_credential::ExecInfo,
    logging,
    paths::Paths,
    prompt::Terminal,
    run::{Run, runtime},
    settings::{ConfigFile, Environment, Settings},
    store::Entry,
};

/// Prints a credential on `out`.
pub fn get_credential(
    target: &Target,
    env: &Environment,
    paths: &Paths,
    clock: &dyn Clock,
    out: &mut impl Write,
) -> Result<(), Error> {
    let info = ExecInfo::parse(env.var("KUBERNETES_EXEC_INFO"), io::stdin().is_terminal())?;
    let file = ConfigFile::read(&paths.config_file())?;
    let settings = Settings::for_kubectl(target, env, info.extension.as_ref(), file)?;
    logging::start(settings.log());
    let store = settings.store(paths)?;
    let issuer = settings.issuer()?;

    // What cannot be read is treated as missing here; if it cannot be written either, that is said later.
    let entry = Entry::Credential {
        issuer: issuer.as_str(),
        profile: &settings.profile,
    };
    let kept = match store.load(&entry) {
        Ok(kept) => kept.and_then(|bytes| Credential::read(&bytes)),
        Err(error) => {
            tracing::info!(%error, "cannot read the kept credential");
            None
        }
    };
    tracing::debug!(%issuer, profile = settings.profile, interactive = info.interactive, kept = kept.is_some(), "get-credential");
    let credential = match (kept.as_ref().map(|kept| kept.judge(clock.now())), kept) {
        (Some(Use::Serve), Some(kept)) => kept,
        (judged, kept) => {
            let ui = Terminal {
                interactive: info.interactive,
            };
            let run = Run {
                settings: &settings,
                paths,
                store: &store,
                clock,
                ui: &ui,
            };
            let kept = kept.filter(|_| judged == Some(Use::Renew));
            runtime()?.block_on(run.credential(kept))?
        }
    };
    info.write(
        out,
        &credential.certificate,
        &credential.key,
        credential.expires(),
    )
    .map_err(Error::Output)
}
