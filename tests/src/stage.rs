//! What `make demo`, `make drill` and `make playground` have in common: the parts, started one after the other and told on the screen.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::Path;

use crate::cluster::Cluster;
use crate::idp::Idp;
use crate::issuer::{Issuer, Prepared};

/// An identity provider, a control plane and the issuer between them; ended with this value.
pub struct Stage {
    // Dropped in this order: the issuer finishes what it has begun while the others still answer.
    /// The issuer.
    pub issuer: Issuer,
    /// The control plane, which trusts the issuer.
    pub cluster: Cluster,
    /// The identity provider, which the issuer trusts.
    pub idp: Idp,
}

impl Stage {
    /// Steps 1 to 4.
    pub fn set(dir: &Path, name: &str) -> io::Result<Self> {
        step(
            1,
            "An identity provider: the certified oidc-provider package, with a user alice in the groups dev and ops",
        )?;
        let idp = Idp::start(&dir.join("idp"));
        say(format!(
            "   {} knows a client `gatepass`, which is Gatepass's own",
            idp.issuer
        ))?;

        step(
            2,
            "The issuer's files: a CA for client certificates, a marker key, a configuration that `serve` takes as it is",
        )?;
        let prepared = Prepared::init(&dir.join("issuer"), name, &idp);
        say(format!("   $ {}", prepared.command))?;
        indented(&prepared.said)?;

        step(
            3,
            "A real control plane: etcd and kube-apiserver, told to trust the issuer's CA (--client-ca-file), to ask the issuer \
             who is revoked (--authorization-config) and to report to it who uses which certificate (--audit-webhook-config-file)",
        )?;
        let cluster = Cluster::asking(&dir.join("cluster"), &prepared);
        say(format!("   {}", cluster.url))?;
        say("   Revocations are objects of this cluster: $ kubectl apply -f deploy/base/crd.yaml")?;
        prepared.keep_revocations_in(&cluster);

        step(
            4,
            "The issuer: takes an ID token and a certificate request, gives a certificate that lives for minutes",
        )?;
        say(format!(
            "   $ gatepass-issuer serve --config {}",
            prepared.config_file().display()
        ))?;
        let issuer = prepared.serve();
        say(format!("   {}", issuer.url))?;
        Ok(Self { issuer, cluster, idp })
    }
}

/// Begins a numbered step.
pub fn step(number: u8, what: &str) -> io::Result<()> {
    say(format!("\n{number}. {what}"))
}

/// One line, or several.
pub fn say(text: impl Display) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

/// What a program printed.
pub fn indented(text: &str) -> io::Result<()> {
    text.lines().try_for_each(|line| say(format!("   {line}")))
}
