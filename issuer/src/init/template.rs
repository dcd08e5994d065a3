//! The commented configuration that `init` writes.

use std::fmt::Write;

use crate::cli::{Init, StoreKind};

/// A text as a YAML double-quoted scalar; JSON's escapes are a subset of YAML's.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

pub(super) fn render(options: &Init, cluster_id: &str, url: &str, idp_ca: Option<&str>) -> String {
    let mut file = format!(
        r#"# Configuration of gatepass-issuer. Paths are relative to this file. `gatepass-issuer check --config FILE` checks it.
# Reference: issuer/README.md in Gatepass's sources.
apiVersion: gatepass.dev/v1alpha1
kind: IssuerConfiguration

cluster:
  # Never change the id: it is part of every session and proof.
  id: {id}
  name: {name}
  # What people type, and what clients pin; byte for byte.
  url: {url}

listen:
  address: {listen}
  # /livez and /readyz, plain HTTP.
  healthAddress: {health}
  tls:
    certificate: serving.crt
    key: serving.key
    minVersion: "1.3" # or "1.2"

# Where API servers ask what is revoked (/v1/authorize) and send their audit events (/v1/audit). What they need lies in
# apiserver/ beside this file.
webhooks:
  address: {webhooks}
  # tls: {{certificate: …, key: …}}    # that of `listen`, unless said otherwise
  # An authority of its own, never one that signs people's certificates; only clients with one of these common names.
  clients:
    ca: webhook-ca.crt
    names: [kube-apiserver]

# `jwt` is in the format of the API server's AuthenticationConfiguration; `clients` and `maxTokenAge` are Gatepass's.
"#,
        id = quoted(cluster_id),
        name = quoted(&options.cluster),
        url = quoted(url),
        listen = quoted(&options.listen.to_string()),
        health = quoted(&options.health_listen.to_string()),
        webhooks = quoted(&options.webhook_listen.to_string()),
    );
    match (&options.idp, &options.client_id, &options.username_claim) {
        (Some(idp), Some(client), Some(username)) => {
            file.push_str("authentication:\n  jwt:\n");
            provider(&mut file, options, idp, client, username, idp_ca);
        }
        _ => file.push_str(EXAMPLE_PROVIDER),
    }
    file.push_str(&REST.replace(DIRECTORY, store(options.store)));
    file.push_str(&expected(options));
    file
}

/// What the mapping makes of names, as a suggestion: it may be changed later, and nobody would think of this.
fn expected(options: &Init) -> String {
    let beginning = |prefix: &str| quoted(&format!("{}.*", regex_lite::escape(prefix)));
    let groups = if options.groups_prefix.is_empty() {
        r#""sre", "dev-.*""#.to_owned()
    } else {
        beginning(&options.groups_prefix)
    };
    format!(
        r#"  # Whose certificates API servers may see (their audit events come to /v1/audit): regular expressions for whole names.
  # Any other is reported. Say what your mapping gives, and take away the `#`.
  # expected:
  #   usernames: [{}]
  #   groups: [{groups}]
  # Who is told of findings, besides the log.
  # findings:
  #   webhook: {{url: "https://alerts.example.com/gatepass"}}
"#,
        beginning(&options.username_prefix),
    )
}

fn provider(file: &mut String, options: &Init, idp: &str, client: &str, username: &str, ca: Option<&str>) {
    let mut line = |text: String| writeln!(file, "  {text}").expect("a String takes all");
    line("- issuer:".into());
    line(format!("    url: {}", quoted(idp)));
    line("    # Gatepass's own client id: no API server and no other application may accept it as an audience,".into());
    line("    # for there the token is a bearer token, and its binding to a key means nothing.".into());
    line(format!("    audiences: [{}]", quoted(client)));
    if let Some(ca) = ca {
        line("    # The only certificate authorities that are trusted for this provider.".into());
        line("    certificateAuthority: |".into());
        ca.lines().for_each(|pem| line(format!("      {pem}")));
    }
    line("  claimMappings:".into());
    line(format!(
        "    username: {{claim: {}, prefix: {}}}",
        quoted(username),
        quoted(&options.username_prefix)
    ));
    if let Some(groups) = &options.groups_claim {
        line(format!(
            "    groups: {{claim: {}, prefix: {}}}",
            quoted(groups),
            quoted(&options.groups_prefix)
        ));
    }
    let mut scopes = vec!["openid", "offline_access"];
    scopes.extend(
        options
            .scope
            .iter()
            .map(String::as_str)
            .filter(|scope| !["openid", "offline_access"].contains(scope)),
    );
    let scopes: Vec<String> = scopes.into_iter().map(quoted).collect();
    line("  clients:".into());
    line(format!("  - clientId: {}", quoted(client)));
    line(
        "    # What the plugin asks for. Providers differ: some need `groups`, some misuse `offline_access`."
            .into(),
    );
    line(format!("    scopes: [{}]", scopes.join(", ")));
    line("    flows: [browser]".into());
    line("    binding: required".into());
    line(
        "  # Greatest age of an ID token; also how long a group that is gone there still counts here.".into(),
    );
    line("  maxTokenAge: 10m".into());
}

const EXAMPLE_PROVIDER: &str = r#"authentication:
  jwt: []
  # Replace the line above by your identity provider; until then nobody gets a certificate.
  # jwt:
  # - issuer:
  #     url: https://idp.example.com
  #     # Gatepass's own client id: no API server and no other application may accept it as an audience,
  #     # for there the token is a bearer token, and its binding to a key means nothing.
  #     audiences: [gatepass]
  #     # certificateAuthority: |      # PEM; the only authorities trusted for this provider
  #   claimMappings:
  #     username: {claim: preferred_username, prefix: "idp:"}
  #     groups: {claim: groups, prefix: ""}
  #   clients:
  #   - clientId: gatepass
  #     scopes: [openid, offline_access, profile, groups]
  #     flows: [browser]
  #     binding: required
  #   maxTokenAge: 10m
"#;

const REST: &str = r#"
# Signs client certificates of this one cluster, and is trusted by nothing but its API server.
signer:
  file: {certificate: ca.crt, key: ca.key}

# The first key makes markers, all verify. A new one is added last everywhere, then moved first.
marker:
  keys: [marker.key]

certificate:
  ttl: 10m                  # from 1m to 1h
  capAtTokenExpiry: true    # a certificate never outlives the ID token that proved the user

# A session ends so long after its login, whatever the tokens say.
session:
  maxAge: 12h

# Who is locked out although their certificate has not ended: `gatepass-issuer revoke --help`.
revocation:
  mode: best-effort         # or strict: decide and issue nothing while the revocations cannot be read
  directory: revocations    # one document a file; replicas share it

# One line of JSON for each certificate, written before it is handed out: no record, no certificate.
audit:
  file: "-"                 # standard output, or a path that is appended to
"#;

/// The line of [`REST`] that depends on the store.
const DIRECTORY: &str = "  directory: revocations    # one document a file; replicas share it\n";
const KUBERNETES: &str = "  kubernetes: {}            # objects of the cluster, seen by all replicas; outside of it: {kubeconfig: FILE}\n";

fn store(kind: StoreKind) -> &'static str {
    match kind {
        StoreKind::Directory => DIRECTORY,
        StoreKind::Kubernetes => KUBERNETES,
    }
}

pub(super) fn next_steps(options: &Init, url: &str) -> String {
    let dir = options.dir.display();
    let mut text = format!("Wrote a configuration, keys and certificates to {dir}.\n\nNext:\n");
    if options.idp.is_none() {
        let _ = writeln!(
            text,
            "- Name your identity provider in {dir}/issuer.yaml, under authentication.jwt."
        );
    }
    let _ = write!(
        text,
        "- Make sure that no API server and no other application accepts the client id as an audience.\n\
         - Give {dir}/ca.crt to the cluster's API server: --client-ca-file={dir}/ca.crt (appended to what is there).\n\
         - Let it ask what is revoked: --authorization-config={dir}/apiserver/authorization.yaml in place of\n  \
           --authorization-mode (before Kubernetes 1.34: authorization-1.32.yaml), and report who uses which certificate:\n  \
           --audit-policy-file={dir}/apiserver/audit-policy.yaml --audit-webhook-config-file={dir}/apiserver/audit.kubeconfig\n\
         - Start: gatepass-issuer serve --config {dir}/issuer.yaml\n\
         - Log in: kubectl gatepass login {url} --issuer-ca {dir}/serving-ca.crt\n\
         \n\
         ca.key and marker.key are secrets: whoever has ca.key can be anybody in the cluster. Keep a copy in a safe\n\
         place. The serving certificate is for this machine only (localhost, 127.0.0.1, ::1) and ends in 397 days.\n"
    );
    text
}
