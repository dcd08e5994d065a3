//! How kubectl is told to run this program. kubectl says it, so that files are merged as it merges them, and keeps secrets to
//! itself.

use std::collections::BTreeMap;

use super::Line;
use crate::{
    escape::Escaped,
    kubeconfig::{Cluster, Config, Exec, KubeconfigError, NamedUser, Ours},
    settings::IssuerUrl,
};

const CHECK: &str = "kubeconfig";
const EXAMPLE: &str = "write it as in: kubectl-gatepass --help";

/// The lines, and the commands that kubectl is told to run. `without_issuer` are the API servers of clusters that have none: there
/// is nothing there but break-glass.
pub(super) fn lines(
    config: &Result<Config, KubeconfigError>,
    has_default_issuer: bool,
    without_issuer: &[&str],
) -> (Vec<Line>, Vec<String>) {
    let line = match config {
        Ok(config) => return judge(config, has_default_issuer, without_issuer),
        Err(error @ KubeconfigError::Kubectl(_)) => {
            let next = "install kubectl and have it in PATH, and see that the kubeconfig can be read";
            Line::failed(CHECK, error.to_string(), next)
        }
        Err(error @ KubeconfigError::Unreadable(_)) => Line::unknown(CHECK, error.to_string(), None),
    };
    (vec![line], Vec::new())
}

fn judge(config: &Config, has_default_issuer: bool, without_issuer: &[&str]) -> (Vec<Line>, Vec<String>) {
    let ours: BTreeMap<_, _> = config
        .users
        .iter()
        .filter_map(|named| {
            let exec = named.user.exec.as_ref()?;
            Some((named.name.as_str(), (named, exec, exec.ours()?)))
        })
        .collect();
    if ours.is_empty() {
        let line = Line::warning(CHECK, "no user of it runs kubectl-gatepass", EXAMPLE);
        return (vec![line], Vec::new());
    }
    let mut lines = Vec::new();
    for (named, exec, how) in ours.values() {
        let begin = lines.len();
        entry(named, exec, how, &mut lines);
        if lines.len() == begin {
            lines.push(Line::ok(
                CHECK,
                format!("user {} runs kubectl-gatepass", Escaped(&named.name)),
            ));
        }
    }
    for context in &config.contexts {
        let Some((_, exec, _)) = ours.get(context.context.user.as_str()) else {
            continue;
        };
        if exec.issuer().is_some() || has_default_issuer {
            continue;
        }
        let cluster = config
            .cluster(&context.context)
            .filter(|cluster| !without_issuer.contains(&cluster.server.as_str()));
        if let Some(says) = cluster.and_then(|cluster| issuer_fault(cluster, exec)) {
            let says = format!("context {}: {says}", Escaped(&context.name));
            lines.push(Line::failed(CHECK, says, EXAMPLE));
        }
    }
    let mut commands: Vec<_> = ours.values().map(|(_, exec, _)| exec.command.clone()).collect();
    commands.sort();
    commands.dedup();
    (lines, commands)
}

/// What is wrong with how a user's entry runs this program.
fn entry(named: &NamedUser, exec: &Exec, how: &Ours, lines: &mut Vec<Line>) {
    let says = |what: &str| format!("user {}: {what}", Escaped(&named.name));
    let user = &named.user;
    let other = [
        ("a token", &user.token),
        ("a token file", &user.token_file),
        ("a username", &user.username),
        ("a client certificate", &user.client_certificate),
        ("a client certificate", &user.client_certificate_data),
    ];
    if let Some((what, _)) = other.iter().find(|(_, value)| value.is_some()) {
        lines.push(Line::failed(
            CHECK,
            says(&format!(
                "it has {what} beside exec, so kubectl never runs kubectl-gatepass"
            )),
            "remove it from the kubeconfig",
        ));
    }
    let args = match how {
        Ours::Directly => &exec.args[..],
        Ours::AsPlugin => {
            lines.push(Line::warning(
                CHECK,
                says("it runs `kubectl gatepass`, which costs each command some 50 ms more"),
                "command: kubectl-gatepass, args: [get-credential]",
            ));
            exec.args.get(1..).unwrap_or_default()
        }
    };
    if args.first().map(String::as_str) != Some("get-credential") {
        lines.push(Line::failed(
            CHECK,
            says("its args do not begin with get-credential"),
            "args: [get-credential]",
        ));
    }
    match (exec.api_version.as_str(), exec.interactive_mode.as_deref()) {
        ("client.authentication.k8s.io/v1", None | Some("")) => lines.push(Line::failed(
            CHECK,
            says("it has no interactiveMode, so kubectl refuses it"),
            "interactiveMode: IfAvailable",
        )),
        ("client.authentication.k8s.io/v1", _) => {}
        ("client.authentication.k8s.io/v1beta1", _) => lines.push(Line::warning(
            CHECK,
            says("it asks for v1beta1 of the plugin interface"),
            "apiVersion: client.authentication.k8s.io/v1, with interactiveMode: IfAvailable",
        )),
        (other, _) => lines.push(Line::failed(
            CHECK,
            says(&format!(
                "kubectl does not know its apiVersion {}",
                Escaped(other)
            )),
            "apiVersion: client.authentication.k8s.io/v1",
        )),
    }
    match exec.interactive_mode.as_deref() {
        Some("Never") => lines.push(Line::warning(
            CHECK,
            says("with interactiveMode: Never nobody is ever asked to log in"),
            "interactiveMode: IfAvailable, unless that is meant",
        )),
        Some("Always") => lines.push(Line::warning(
            CHECK,
            says("with interactiveMode: Always kubectl fails wherever there is no terminal"),
            "interactiveMode: IfAvailable",
        )),
        _ => {}
    }
    if !exec.provide_cluster_info {
        lines.push(Line::warning(
            CHECK,
            says(
                "without provideClusterInfo, neither the issuer in a cluster's entry nor the API server's CA is seen",
            ),
            "provideClusterInfo: true",
        ));
    }
}

/// Why a cluster's entry does not say which issuer is its.
fn issuer_fault(cluster: &Cluster, exec: &Exec) -> Option<String> {
    match cluster.issuer() {
        None => Some("its cluster's entry names no issuer".into()),
        Some(_) if !exec.provide_cluster_info => {
            Some("its cluster's entry names an issuer, and its user lacks provideClusterInfo: true".into())
        }
        Some(issuer) => IssuerUrl::parse(issuer).err(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::State, *};

    fn exec() -> Value {
        json!({
            "apiVersion": "client.authentication.k8s.io/v1", "command": "kubectl-gatepass", "args": ["get-credential"],
            "env": null, "interactiveMode": "IfAvailable", "provideClusterInfo": true,
        })
    }

    fn judged(user: Value, issuer: Option<&str>) -> Vec<Line> {
        let extension =
            json!([{"name": "client.authentication.k8s.io/exec", "extension": {"issuer": issuer}}]);
        let config = json!({
            "users": [{"name": "other", "user": {"token": "REDACTED"}}, {"name": "g", "user": user}],
            "clusters": [{"name": "prod", "cluster": {"server": "s", "extensions": extension}}],
            "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "g"}}],
        });
        judge(&serde_json::from_value(config).unwrap(), false, &["glass only"]).0
    }

    fn states(lines: &[Line]) -> Vec<State> {
        lines.iter().map(|line| line.state).collect()
    }

    #[test]
    fn the_entry_of_the_help_is_well() {
        let lines = judged(json!({"exec": exec()}), Some("https://i.example.com"));
        assert_eq!(states(&lines), [State::Ok], "{lines:?}");
    }

    #[test]
    fn each_fault_is_named_with_its_remedy() {
        use State::{Failed, Warning};
        let with = |name: &str, value: Value| {
            let mut exec = exec();
            exec[name] = value;
            json!({"exec": exec})
        };
        let beside = |name: &str| json!({"exec": exec(), name: "x"});
        let cases = [
            (
                with("apiVersion", json!("client.authentication.k8s.io/v1beta1")),
                Warning,
                "v1beta1",
            ),
            (
                with("apiVersion", json!("client.authentication.k8s.io/v1alpha1")),
                Failed,
                "v1alpha1",
            ),
            (with("interactiveMode", Value::Null), Failed, "no interactiveMode"),
            (with("interactiveMode", json!("Never")), Warning, "Never"),
            (with("interactiveMode", json!("Always")), Warning, "Always"),
            (with("args", json!(["login"])), Failed, "get-credential"),
            (with("args", Value::Null), Failed, "get-credential"),
            (beside("token"), Failed, "a token"),
            (beside("tokenFile"), Failed, "a token file"),
            (beside("client-certificate-data"), Failed, "a client certificate"),
        ];
        for (user, state, words) in cases {
            let lines = judged(user, Some("https://i.example.com"));
            let [line] = &lines[..] else { panic!("{lines:?}") };
            assert_eq!(line.state, state, "{line:?}");
            assert!(line.says.contains(words) && line.next.is_some(), "{line:?}");
        }
        let mut through_kubectl = exec();
        through_kubectl["command"] = json!("/usr/bin/kubectl");
        through_kubectl["args"] = json!(["gatepass", "get-credential"]);
        let lines = judged(json!({"exec": through_kubectl}), Some("https://i.example.com"));
        assert_eq!(states(&lines), [Warning], "{lines:?}");
    }

    #[test]
    fn a_context_whose_issuer_nobody_names_is_found() {
        use State::{Failed, Ok, Warning};
        let user = || json!({"exec": exec()});
        assert_eq!(states(&judged(user(), None)), [Ok, Failed]);
        assert_eq!(states(&judged(user(), Some("http://i"))), [Ok, Failed]);
        let mut blind = exec();
        blind["provideClusterInfo"] = json!(false);
        let lines = judged(json!({"exec": blind}), Some("https://i.example.com"));
        assert_eq!(states(&lines), [Warning, Failed], "{lines:?}");
        blind["args"] = json!(["get-credential", "--issuer=https://i.example.com"]);
        assert_eq!(states(&judged(json!({"exec": blind}), None)), [Warning]);
        blind["args"] = json!(["get-credential"]);
        blind["env"] = json!([{"name": "GATEPASS_ISSUER", "value": "https://i.example.com"}]);
        assert_eq!(states(&judged(json!({"exec": blind}), None)), [Warning]);
    }

    #[test]
    fn where_there_is_nothing_but_break_glass_no_issuer_is_missed() {
        let config = |server| {
            json!({
                "users": [{"name": "g", "user": {"exec": exec()}}],
                "clusters": [{"name": "prod", "cluster": {"server": server}}],
                "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "g"}}],
            })
        };
        let judged = |server| {
            judge(
                &serde_json::from_value(config(server)).unwrap(),
                false,
                &["glass only"],
            )
            .0
        };
        assert_eq!(states(&judged("glass only")), [State::Ok]);
        assert_eq!(states(&judged("another")), [State::Ok, State::Failed]);
    }

    #[test]
    fn an_empty_kubeconfig_has_no_user_of_ours() {
        let empty = json!({"kind": "Config", "clusters": null, "users": null, "contexts": null});
        let (lines, commands) = judge(&serde_json::from_value(empty).unwrap(), false, &[]);
        assert_eq!(states(&lines), [State::Warning]);
        assert!(commands.is_empty());
    }
}
