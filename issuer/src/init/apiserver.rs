//! The API server's side: what its flags name.

use std::io;
use std::net::SocketAddr;

use data_encoding::BASE64;
use zeroize::Zeroizing;

use super::pki::Serving;
use crate::cli::Init;

const AUTHORIZATION: &str = include_str!("../../../deploy/apiserver/authorization.yaml");
const AUTHORIZATION_1_32: &str = include_str!("../../../deploy/apiserver/authorization-1.32.yaml");
const AUDIT_POLICY: &str = include_str!("../../../deploy/apiserver/audit-policy.yaml");
/// Where the files above expect the others.
const USUAL_PLACE: &str = "/etc/kubernetes/gatepass";

pub(super) struct ApiServer {
    pub(super) authorization: String,
    pub(super) authorization_1_32: String,
    pub(super) audit_policy: String,
    pub(super) authorize: Zeroizing<String>,
    pub(super) audit: Zeroizing<String>,
}

pub(super) fn files(options: &Init, serving_ca: &str, client: &Serving) -> io::Result<ApiServer> {
    let here = std::path::absolute(&options.dir)?.join("apiserver");
    let here = here.display().to_string();
    let origin = format!("https://{}", reachable(options.webhook_listen));
    Ok(ApiServer {
        authorization: AUTHORIZATION.replace(USUAL_PLACE, &here),
        authorization_1_32: AUTHORIZATION_1_32.replace(USUAL_PLACE, &here),
        audit_policy: AUDIT_POLICY.to_owned(),
        authorize: kubeconfig(
            &format!("{origin}{}", gatepass_api::path::AUTHORIZE),
            serving_ca,
            client,
        ),
        audit: kubeconfig(
            &format!("{origin}{}", gatepass_api::path::AUDIT),
            serving_ca,
            client,
        ),
    })
}

/// Nobody can connect to "all addresses"; the serving certificate is for this machine.
fn reachable(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}

fn kubeconfig(server: &str, serving_ca: &str, client: &Serving) -> Zeroizing<String> {
    let base64 = |text: &str| Zeroizing::new(BASE64.encode(text.as_bytes()));
    Zeroizing::new(format!(
        r#"# How the API server reaches gatepass-issuer. The key in here may ask what is revoked and report audit events, nothing else.
apiVersion: v1
kind: Config
clusters:
- name: gatepass-issuer
  cluster:
    server: {server}
    certificate-authority-data: {}
users:
- name: kube-apiserver
  user:
    client-certificate-data: {}
    client-key-data: {}
contexts:
- name: gatepass
  context: {{cluster: gatepass-issuer, user: kube-apiserver}}
current-context: gatepass
"#,
        *base64(serving_ca),
        *base64(&client.certificate),
        *base64(&client.key),
    ))
}
