//! `get-credential`: what kubectl calls.
//!
//! A kept credential is printed without a runtime, a thread, TLS or the network: this is the path that every kubectl
//! command takes.

use std::{
    cell::LazyCell,
    io::{self, IsTerminal as _, Write},
};

use crate::{
    caller::Caller,
    cli::Target,
    clock::Clock,
    credential::{Credential, Use},
    error::Error,
    exec_credential::ExecInfo,
    logging,
    paths::Paths,
    prompt::Terminal,
    run::{Run, wait_for},
    settings::{ConfigFile, Environment, Settings},
    store::Entry,
};

/// Prints a credential on `out`.
///
/// A failure is told to one kubectl once, and what led to it is not tried again for the same command.
pub fn get_credential(
    target: &Target,
    env: &Environment,
    paths: &Paths,
    clock: &dyn Clock,
    out: &mut impl Write,
) -> Result<(), Error> {
    let exec_info = env.var("KUBERNETES_EXEC_INFO");
    // Looked at only where there is no credential to print.
    let caller = LazyCell::new(|| {
        let (info, parent) = exec_info.zip(parent())?;
        // A kubeconfig may say by variables alone which issuer and which account it means.
        let question = format!("{target:?}\0{}\0{info}", env.ours());
        Some(Caller::new(&paths.lock_dir(), parent, &question))
    });
    let was_told = || caller.as_ref().is_some_and(|caller| caller.was_told(clock.now()));
    let outcome = try_once(target, env, paths, clock, out, &was_told);
    if matches!(outcome, Ok(()) | Err(Error::ToldBefore)) {
        return outcome;
    }
    match caller.as_ref() {
        // What is found out before the caller is asked about, such as a fault in the settings.
        Some(caller) if caller.was_told(clock.now()) => Err(Error::ToldBefore),
        Some(caller) => {
            caller.tell(clock.now());
            outcome
        }
        None => outcome,
    }
}

fn try_once(
    target: &Target,
    env: &Environment,
    paths: &Paths,
    clock: &dyn Clock,
    out: &mut impl Write,
    was_told: &dyn Fn() -> bool,
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
    let cluster_ca = info.cluster_ca.as_deref();
    let judged = kept.as_ref().map(|kept| match kept.judge(clock.now()) {
        Use::Serve if !kept.fits(cluster_ca) => Use::Renew,
        judged => judged,
    });
    let credential = match (judged, kept) {
        (Some(Use::Serve), Some(kept)) => kept,
        (judged, kept) => {
            if was_told() {
                return Err(Error::ToldBefore);
            }
            let ui = Terminal {
                interactive: info.interactive,
            };
            let run = Run {
                settings: &settings,
                paths,
                store: &store,
                clock,
                ui: &ui,
                cluster_ca,
            };
            let kept = kept.filter(|_| judged == Some(Use::Renew));
            wait_for(run.credential(kept))?
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

/// The process that asks: kubectl, Helm, k9s.
fn parent() -> Option<u32> {
    #[cfg(unix)]
    return Some(std::os::unix::process::parent_id());
    #[cfg(not(unix))]
    None
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{accepted::AcceptError, clock::SystemClock};

    #[test]
    fn who_was_told_of_one_issuer_or_account_is_still_told_of_another_that_only_a_variable_names() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::from_env(|_| Some(dir.path().to_path_buf())).unwrap();
        fs::create_dir_all(paths.config_file().parent().unwrap()).unwrap();
        fs::write(paths.config_file(), "store: file").unwrap();
        let ask = |issuer: &str, profile: &str| {
            let info = r#"{"apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":false}}"#;
            let vars = [
                ("KUBERNETES_EXEC_INFO", info),
                ("GATEPASS_ISSUER", issuer),
                ("GATEPASS_PROFILE", profile),
            ];
            let env = Environment::new(vars.map(|(name, value)| (name.into(), value.into())));
            get_credential(&Target::default(), &env, &paths, &SystemClock, &mut Vec::new()).unwrap_err()
        };
        let is_named = |error| matches!(error, Error::Accept(AcceptError::NotAccepted(_)));
        assert!(is_named(ask("https://one", "work")));
        assert!(matches!(ask("https://one", "work"), Error::ToldBefore));
        assert!(is_named(ask("https://other", "work")));
        assert!(is_named(ask("https://one", "home")));
    }
}
