//! Acceptance of an issuer, before anything is sent to it.

use gatepass_api::ClusterInfo;
use time::Duration;

use super::Run;
use crate::{
    accepted::{self, AcceptError, Accepted},
    error::Error,
    escape::Escaped,
    issuer_client::IssuerClient,
    settings::{IssuerUrl, read_pem},
};

use super::Typed;

impl Run<'_> {
    /// The issuer's pins. Where it is not accepted yet: the configuration file may do it, or the person at the terminal.
    pub(super) async fn accepted(&self) -> Result<Accepted, Error> {
        let url = self.settings.issuer()?;
        if let Some(pinned) = self.accepted_file().find(url)? {
            self.same_ca(url, &pinned)?;
            return Ok(pinned);
        }
        let in_file = self.settings.file.issuer_settings(url).is_some();
        if !in_file && !self.ui.interactive() {
            return Err(AcceptError::NotAccepted(url.clone()).into());
        }
        let (info, _) = self.client(self.settings.issuer_ca.as_deref())?.cluster().await?;
        let proposed = self.propose(&info, &Typed::default())?;
        self.show(&proposed);
        if !in_file && !self.ui.confirm("Accept this issuer?") {
            return Err(AcceptError::Declined(url.clone()).into());
        }
        self.accepted_file().keep(proposed.clone())?;
        Ok(proposed)
    }

    /// For a typed `login`: typing the URL accepts what is new, `--accept-change` what is different.
    pub(super) async fn accept_typed(&self, typed: &Typed) -> Result<Accepted, Error> {
        let url = self.settings.issuer()?;
        let file = self.accepted_file();
        let pinned = file.find(url)?;
        let pinned_ca = pinned
            .as_ref()
            .and_then(|pinned| pinned.certificate_authority.clone());
        let ca = self.settings.issuer_ca.clone().or(pinned_ca);
        let ca = ca.as_deref();
        if let (Some(pinned), false) = (&pinned, typed.accept_change) {
            self.same_ca(url, pinned)?;
        }
        let (info, _) = self.client(ca)?.cluster().await?;
        let mut proposed = match pinned {
            Some(pinned) if !typed.changes_idp(&pinned) => {
                match accepted::check(&pinned, url, self.settings.issuer_ca.as_deref(), &info) {
                    Ok(()) => return Ok(pinned),
                    Err(changed) if !typed.accept_change => return Err(changed.into()),
                    Err(_) => Accepted {
                        profiles: pinned.profiles,
                        ..self.propose_with(ca, &info, typed)?
                    },
                }
            }
            _ => self.propose_with(ca, &info, typed)?,
        };
        if !typed.accept_change {
            accepted::check_cluster(&file.all()?, &proposed, url)?;
        }
        self.show(&proposed);
        proposed.profiles.insert(self.settings.profile.clone());
        file.keep(proposed.clone())?;
        Ok(proposed)
    }

    /// Asks an accepted issuer who it is, and holds the answer against the pins. Says how far its clock is ahead.
    pub(super) async fn contact(&self, accepted: &Accepted) -> Result<Duration, Error> {
        let (info, offset) = self
            .client(accepted.certificate_authority.as_deref())?
            .cluster()
            .await?;
        accepted::check(accepted, self.settings.issuer()?, None, &info)?;
        Ok(offset)
    }

    pub(super) fn client(&self, ca: Option<&str>) -> Result<IssuerClient<'_>, Error> {
        Ok(IssuerClient::new(self.settings.issuer()?, ca, self.clock)?)
    }

    /// The CA of the identity provider: the configuration file's, else what `login --idp-ca` kept.
    pub(super) fn idp_ca(&self, accepted: &Accepted) -> Result<Option<String>, Error> {
        let idp = &accepted.identity_provider;
        let configured = self.settings.file.identity_provider(&idp.issuer);
        match configured.and_then(|configured| configured.certificate_authority.clone()) {
            Some(path) => Ok(Some(read_pem(path)?)),
            None => Ok(idp.certificate_authority.clone()),
        }
    }

    fn same_ca(&self, url: &IssuerUrl, pinned: &Accepted) -> Result<(), AcceptError> {
        match &self.settings.issuer_ca {
            Some(ca) if pinned.certificate_authority.as_deref().map(str::trim) != Some(ca.trim()) => {
                Err(AcceptError::Changed {
                    url: url.clone(),
                    what: "its CA",
                    was: "another".into(),
                    now: "the one that the kubeconfig, the configuration file or the command line gives"
                        .into(),
                })
            }
            _ => Ok(()),
        }
    }

    fn propose(&self, info: &ClusterInfo, typed: &Typed) -> Result<Accepted, Error> {
        let mut proposed = self.propose_with(self.settings.issuer_ca.as_deref(), info, typed)?;
        accepted::check_cluster(&self.accepted_file().all()?, &proposed, self.settings.issuer()?)?;
        proposed.profiles.insert(self.settings.profile.clone());
        Ok(proposed)
    }

    fn propose_with(&self, ca: Option<&str>, info: &ClusterInfo, typed: &Typed) -> Result<Accepted, Error> {
        let url = self.settings.issuer()?;
        let in_file = self.settings.file.issuer_settings(url);
        if let Some(expected) = in_file.and_then(|entry| entry.cluster_id.as_ref())
            && *expected != info.cluster_id
        {
            let (expected, answered) = (expected.clone(), info.cluster_id.clone());
            return Err(AcceptError::OtherCluster {
                url: url.clone(),
                expected,
                answered,
            }
            .into());
        }
        let idp = typed
            .idp
            .as_deref()
            .or(in_file.and_then(|entry| entry.identity_provider.as_deref()));
        let idp_ca = typed.idp_ca.clone().map(read_pem).transpose()?;
        Ok(accepted::proposal(url, ca, info, idp, idp_ca)?)
    }

    fn show(&self, accepted: &Accepted) {
        let idp = &accepted.identity_provider;
        let ca = if accepted.certificate_authority.is_some() {
            "a private CA"
        } else {
            "the system's CAs"
        };
        self.ui.say(&format!(
            "kubectl-gatepass: new issuer\n  URL                {} ({ca})\n  cluster            {} (id {})\n  \
             identity provider  {}\n  client id          {}\n  scopes             {}",
            Escaped(&accepted.url),
            Escaped(&accepted.cluster_name),
            Escaped(&accepted.cluster_id),
            Escaped(&idp.issuer),
            Escaped(&idp.client_id),
            Escaped(&idp.scopes.join(" ")),
        ));
    }
}
