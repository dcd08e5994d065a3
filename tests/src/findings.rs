//! What the issuer has found in audit events, as its log says.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use crate::issuer::Issuer;
use crate::pki::{self, Identity};

/// Says who is expected, as an operator would.
pub fn expecting(config: &mut Value) {
    config["audit"]["expected"] = json!({"usernames": ["alice", "bob"], "groups": ["dev", "ops"]});
}

/// The credential ID of a certificate, as the API server writes it.
pub fn credential_id(identity: &Identity) -> String {
    let der = pki::openssl_bytes(&["x509", "-outform", "der"], &identity.certificate);
    format!("X509SHA256={}", HEXLOWER.encode(&fakes::sha256(der)))
}

/// Records of findings, in the order they were logged.
pub fn findings(issuer: &Issuer) -> Vec<Value> {
    let log = issuer.log();
    let records = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records
        .filter(|record| {
            record["message"] == "a certificate was used that should not be" && record["user"] != "test-admin"
        })
        .collect()
}

/// The names of what was found about a credential.
pub fn found(issuer: &Issuer, id: &str) -> Vec<String> {
    let mut names: Vec<_> = findings(issuer)
        .iter()
        .filter(|record| record["credential_id"] == id)
        .map(|record| record["finding"].as_str().expect("a name").to_owned())
        .collect();
    names.sort_unstable();
    names
}
