//! `get-credential`: what kubectl calls.
//!
//! A kept credential is printed without a runtime, a thread, TLS or the network: this is the path that every kubectl
//! command takes.

use std::{
    cell::LazyCell,
    io::{self, IsTerminal as _, Write},
};

use crate::{
    break_glass::{
        serve::{Answer, MayAsk, Question},
        window::Windows,
    },
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
    store::{Entry, Store, StoreError},
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
    let store = settings.store(paths);
    let ui = Terminal {
        interactive: info.interactive,
    };
    let ask = Ask {
        info: &info,
        settings: &settings,
        paths,
        store: store.as_ref(),
        clock,
        was_told,
    };
    let windows = Windows::new(paths).find(clock.now());
    let answer = match windows.is_empty() {
        true => ask.normally(&ui)?,
        false => {
            let server_ca = info.server_ca();
            let question = Question {
                settings: &settings,
                server: info.server.as_deref(),
                server_ca: server_ca.as_deref(),
                paths,
                store: store.as_ref(),
                clock,
                ui: &ui,
            };
            question.answer(windows, |may_ask| match may_ask {
                MayAsk::Yes => ask.normally(&ui),
                MayAsk::No => ask.normally(&Terminal { interactive: false }),
            })?
        }
    };
    info.write(out, &answer.certificate, &answer.key, answer.expires)
        .map_err(Error::Output)
}

/// One question of kubectl's.
struct Ask<'a> {
    info: &'a ExecInfo,
    settings: &'a Settings,
    paths: &'a Paths,
    store: Result<&'a Store, &'a StoreError>,
    clock: &'a dyn Clock,
    was_told: &'a dyn Fn() -> bool,
}

impl Ask<'_> {
    /// The kept credential, or another.
    fn normally(&self, ui: &Terminal) -> Result<Answer, Error> {
        let (info, settings, clock) = (self.info, self.settings, self.clock);
        let store = self.store.map_err(Clone::clone)?;
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
                if (self.was_told)() {
                    return Err(Error::ToldBefore);
                }
                let run = Run {
                    settings,
                    paths: self.paths,
                    store,
                    clock,
                    ui,
                    cluster_ca,
                };
                let kept = kept.filter(|_| judged == Some(Use::Renew));
                wait_for(run.credential(kept))?
            }
        };
        Ok(Answer {
            expires: credential.expires(),
            certificate: credential.certificate,
            key: credential.key,
        })
    }
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

    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        accepted::AcceptError,
        break_glass::window::{
            Window,
            tests::{Person, pair, signed},
        },
        clock::SystemClock,
        store::{DEADLINE, StoreKind},
    };

    #[test]
    fn an_open_window_is_served_to_who_names_its_issuer_or_just_has_its_api_servers_ca() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::from_env(|_| Some(dir.path().to_path_buf())).unwrap();
        fs::create_dir_all(paths.config_file().parent().unwrap()).unwrap();
        fs::write(paths.config_file(), "store: file").unwrap();
        let (now, store) = (
            SystemClock.now(),
            Store::new(StoreKind::File, false, paths.state_dir(), DEADLINE).unwrap(),
        );
        let (certificate, key) = pair(now);
        let signed = signed(&certificate);
        let window = Window::new(&signed, now, time::Duration::ZERO).unwrap();
        Windows::new(&paths)
            .open(&window, &key, Ok(&store), now, &Person::default())
            .unwrap();
        let ask = |cluster: Value| {
            let info = json!({
                "apiVersion": "client.authentication.k8s.io/v1", "spec": {"interactive": false, "cluster": cluster},
            });
            let vars = [("KUBERNETES_EXEC_INFO".into(), info.to_string().into())];
            let mut out = Vec::new();
            let target = Target::default();
            get_credential(&target, &Environment::new(vars), &paths, &SystemClock, &mut out)?;
            Ok::<Value, Error>(serde_json::from_slice(&out).unwrap())
        };
        for cluster in [
            json!({"server": "s", "config": {"issuer": signed.issuer}}),
            json!({"server": "s", "config": null, "certificate-authority-data": STANDARD.encode(signed.server_ca)}),
        ] {
            let status = &ask(cluster).unwrap()["status"];
            assert_eq!(status["clientCertificateData"], certificate.as_str());
            assert_eq!(status["clientKeyData"], key.as_str());
        }
        let other = json!({"server": "s", "config": {"issuer": "https://other.example.com"}});
        assert!(matches!(ask(other), Err(Error::Accept(_))));
    }

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
