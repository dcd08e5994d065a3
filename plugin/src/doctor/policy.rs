//! Whether kubectl may run credential plugins (KEP-3104, since Kubernetes 1.35): its own preferences say so.

use std::{
    env::split_paths,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::Line;
use crate::{escape::Escaped, settings::Environment};

const CHECK: &str = "policy";

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Preference {
    credential_plugin_policy: Option<String>,
    credential_plugin_allowlist: Option<Vec<Allowed>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Allowed {
    command: Option<String>,
    /// What 1.35 called it.
    name: Option<String>,
}

/// `commands` are what kubeconfig runs.
pub(super) fn line(env: &Environment, commands: &[String]) -> Line {
    let path = match (env.var("KUBERC"), env.var("HOME")) {
        (Some("off"), _) => {
            return Line::ok(CHECK, "KUBERC=off: kubectl reads no preferences");
        }
        (Some(path), _) => PathBuf::from(path),
        (None, Some(home)) => Path::new(home).join(".kube/kuberc"),
        (None, None) => return Line::unknown(CHECK, "there is no home directory", None),
    };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Line::ok(CHECK, "kubectl may run credential plugins");
        }
        Err(error) => {
            let says = format!("{} cannot be read: {error}", path.display());
            return Line::unknown(CHECK, says, None);
        }
    };
    judge(&text, commands, |command| look_up(command, env))
        .unwrap_or_else(|problem| Line::unknown(CHECK, format!("{}: {problem}", path.display()), None))
}

fn judge(text: &str, commands: &[String], look_up: impl Fn(&str) -> Option<PathBuf>) -> Result<Line, String> {
    const REMEDY: &str = "add {command: kubectl-gatepass} to credentialPluginAllowlist in the file kuberc, with credentialPluginPolicy: Allowlist";
    let preference: Preference =
        serde_saphyr::from_str(text).map_err(|error| format!("cannot be read: {error}"))?;
    let allowed = preference.credential_plugin_allowlist.unwrap_or_default();
    match preference.credential_plugin_policy.as_deref() {
        None | Some("" | "AllowAll") if allowed.is_empty() => {
            Ok(Line::ok(CHECK, "kubectl may run credential plugins"))
        }
        None | Some("" | "AllowAll" | "DenyAll") if !allowed.is_empty() => Ok(Line::failed(
            CHECK,
            "the file kuberc has an allowlist without credentialPluginPolicy: Allowlist, which kubectl refuses",
            REMEDY,
        )),
        Some("DenyAll") => Ok(Line::failed(
            CHECK,
            "the file kuberc forbids kubectl to run credential plugins",
            REMEDY,
        )),
        Some("Allowlist") => {
            let allowed: Vec<_> = allowed
                .iter()
                .filter_map(|allowed| allowed.command.as_ref().or(allowed.name.as_ref()))
                .collect();
            let passes = |command: &String| {
                allowed.iter().any(|allowed| {
                    *allowed == command || {
                        let found = look_up(command);
                        found.is_some() && found == look_up(allowed)
                    }
                })
            };
            match commands.iter().find(|command| !passes(command)) {
                Some(command) => {
                    let says = format!(
                        "the file kuberc does not let kubectl run {}, which the kubeconfig names",
                        Escaped(command)
                    );
                    Ok(Line::failed(CHECK, says, REMEDY))
                }
                None => Ok(Line::ok(
                    CHECK,
                    "the file kuberc lets kubectl run what the kubeconfig names",
                )),
            }
        }
        other => Err(format!(
            "credentialPluginPolicy {:?} is unknown to this program",
            Escaped(other.unwrap_or_default()).to_string()
        )),
    }
}

/// What a command's name stands for: itself, or the first of that name in PATH.
fn look_up(command: &str, env: &Environment) -> Option<PathBuf> {
    if Path::new(command).components().count() > 1 {
        return Some(command.into());
    }
    let dirs = env.var("PATH")?;
    split_paths(dirs)
        .map(|dir| dir.join(command))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    const HEAD: &str = "apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\n";

    fn state(text: &str) -> State {
        let commands = ["kubectl-gatepass".to_owned()];
        let look_up = |command: &str| match command {
            "kubectl-gatepass" | "/opt/kubectl-gatepass" => Some("/opt/kubectl-gatepass".into()),
            _ => None,
        };
        judge(&format!("{HEAD}{text}"), &commands, look_up).map_or(State::Unknown, |line| line.state)
    }

    #[test]
    fn kubectls_policy_is_read_as_kubectl_reads_it() {
        let list = "credentialPluginAllowlist:";
        for (text, expected) in [
            (String::new(), State::Ok),
            ("aliases: []".into(), State::Ok),
            ("credentialPluginPolicy: AllowAll".into(), State::Ok),
            ("credentialPluginPolicy: DenyAll".into(), State::Failed),
            ("credentialPluginPolicy: Allowlist".into(), State::Failed),
            (
                format!("credentialPluginPolicy: Allowlist\n{list} []"),
                State::Failed,
            ),
            (
                format!("credentialPluginPolicy: Allowlist\n{list} [{{command: kubectl-gatepass}}]"),
                State::Ok,
            ),
            (
                format!("credentialPluginPolicy: Allowlist\n{list} [{{name: kubectl-gatepass}}]"),
                State::Ok,
            ),
            (
                format!("credentialPluginPolicy: Allowlist\n{list} [{{command: /opt/kubectl-gatepass}}]"),
                State::Ok,
            ),
            (
                format!("credentialPluginPolicy: Allowlist\n{list} [{{command: aws}}, {{command: gone}}]"),
                State::Failed,
            ),
            (format!("{list} [{{command: kubectl-gatepass}}]"), State::Failed),
            ("credentialPluginPolicy: Later".into(), State::Unknown),
            ("credentialPluginPolicy: [".into(), State::Unknown),
        ] {
            assert_eq!(state(&text), expected, "{text}");
        }
        // Two commands that are both not there are not the same.
        let text = format!("credentialPluginPolicy: Allowlist\n{list} [{{command: gone}}]");
        let line = judge(&text, &["missing".to_owned()], |_| None).unwrap();
        assert_eq!(line.state, State::Failed);
    }

    #[test]
    fn who_has_no_preferences_may_run_all() {
        let home = tempfile::tempdir().unwrap();
        let env = |vars: &[(&str, &str)]| {
            Environment::new(vars.iter().map(|(name, value)| (name.into(), value.into())))
        };
        let home = home.path().to_str().unwrap();
        assert_eq!(line(&env(&[("HOME", home)]), &[]).state, State::Ok);
        fs::create_dir(Path::new(home).join(".kube")).unwrap();
        fs::write(
            Path::new(home).join(".kube/kuberc"),
            "credentialPluginPolicy: DenyAll",
        )
        .unwrap();
        assert_eq!(line(&env(&[("HOME", home)]), &[]).state, State::Failed);
        assert_eq!(
            line(&env(&[("HOME", home), ("KUBERC", "off")]), &[]).state,
            State::Ok
        );
    }
}
