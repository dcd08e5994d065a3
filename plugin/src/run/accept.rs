//! Acceptance of an issuer, before anything is sent to it.

use gatepass_api::ClusterInfo;
use time::Duration;

use super::{Attempt, Run, Typed};
use crate::{
    accepted::{self, AcceptError, Accepted, CA},
    error::Error,
    escape::Escaped,
    issuer_client::IssuerClient,
    settings::{IssuerSettings, IssuerUrl, read_pem},
};

impl Run<'_> {
    /// The issuer's pins. Where it is not accepted yet: the configuration file may do it, or the person at the terminal.
    pub(super) async fn accepted(&self) -> Result<Accepted, Error> {
        let url = self.settings.issuer()?;
        let in_file = self.settings.file.issuer_settings(url);
        if let Some(pinned) = self.accepted_file().find(url)? {
            self.same_ca(url, pinned.certificate_authority.as_deref())?;
            agrees_with_file(url, in_file, &pinned.cluster_id, &pinned.identity_provider.issuer)?;
            return Ok(pinned);
        }
        let ca = match in_file {
            // What accepts the issuer says which CA is its: a kubeconfig must not choose another without asking.
            Some(in_file) => {
                let ca = in_file.certificate_authority.clone().map(read_pem).transpose()?;
                self.same_ca(url, ca.as_deref())?;
                ca
            }
            None if self.ui.interactive() => self.settings.issuer_ca.clone(),
            None => return Err(AcceptError::NotAccepted(url.clone()).into()),
        };
        let (info, _) = self.client(ca.as_deref())?.cluster().await?;
        let mut proposed = self.propose(ca.as_deref(), &info, &Typed::default())?;
        self.show("new issuer", &proposed);
        if in_file.is_none() && !self.ui.confirm("Accept this issuer?") {
            return Err(AcceptError::Declined(url.clone()).into());
        }
        proposed.profiles.insert(self.settings.profile.clone());
        self.accepted_file().keep(proposed.clone(), url, None)?;
        Ok(proposed)
    }

    /// For a typed `login`: typing the URL accepts what is new, `--accept-change` what is different.
    pub(super) async fn accept_typed(&self, typed: &Typed) -> Result<Accepted, Error> {
        let url = self.settings.issuer()?;
        let pinned = self.accepted_file().find(url)?;
        if pinned.is_none() && !typed.url && self.settings.file.issuer_settings(url).is_none() {
            return Err(AcceptError::NotAccepted(url.clone()).into());
        }
        let pinned_ca = pinned
            .as_ref()
            .and_then(|pinned| pinned.certificate_authority.clone());
        if let (Some(_), false) = (&pinned, typed.accept_change) {
            self.same_ca(url, pinned_ca.as_deref())?;
        }
        let ca = self.settings.issuer_ca.clone().or(pinned_ca);
        let (info, _) = self.client(ca.as_deref())?.cluster().await?;
        let mut proposed = match &pinned {
            None => self.propose(ca.as_deref(), &info, typed)?,
            Some(pinned) => match self.change(pinned, url, &info, typed) {
                Ok(()) => self.same_with_idp_ca(pinned, typed)?,
                Err(changed) if !typed.accept_change => return Err(changed.into()),
                Err(_) => Accepted {
                    profiles: pinned.profiles.clone(),
                    shown: pinned.shown.clone(),
                    ..self.propose(ca.as_deref(), &info, typed)?
                },
            },
        };
        proposed.profiles.insert(self.settings.profile.clone());
        match &pinned {
            Some(pinned) if *pinned == proposed => return Ok(proposed),
            Some(pinned) => {
                self.show("the issuer as it was accepted", pinned);
                self.show("the issuer as it is accepted now", &proposed);
            }
            None => self.show("new issuer", &proposed),
        }
        self.accepted_file()
            .keep(proposed.clone(), url, typed.replaces.as_deref())?;
        Ok(proposed)
    }

    /// Asks an accepted issuer who it is, and holds the answer against the pins. Returns the pins with the issuer's
    /// present clock and limits.
    pub(super) async fn contact(&self, accepted: &Accepted) -> Result<Accepted, Error> {
        let url = self.settings.issuer()?;
        let client = self.client(accepted.certificate_authority.as_deref())?;
        let (info, offset) = client.cluster().await.map_err(Error::from).inspect_err(|error| {
            self.failures(accepted)
                .remember(Attempt::Renewal, error, Some(url), self.clock.now());
        })?;
        let max_token_age_seconds = accepted::check(accepted, url, None, &info)?.max_token_age_seconds;
        self.remember_clock(accepted, offset);
        let mut now = Accepted {
            clock_offset_seconds: offset.whole_seconds(),
            ..accepted.clone()
        };
        if now.identity_provider.max_token_age_seconds != max_token_age_seconds {
            now.identity_provider.max_token_age_seconds = max_token_age_seconds;
            let note = |accepted: &mut Accepted| {
                accepted.identity_provider.max_token_age_seconds = max_token_age_seconds
            };
            self.accepted_file().note(&accepted.url, note)?;
        }
        Ok(now)
    }

    pub(super) fn client(&self, ca: Option<&str>) -> Result<IssuerClient<'_>, Error> {
        Ok(IssuerClient::new(self.settings.issuer()?, ca, self.clock)?)
    }

    /// The CA of the identity provider: the configuration file's, else what `login --idp-ca` kept.
    pub(super) fn idp_ca(&self, accepted: &Accepted) -> Result<Option<String>, Error> {
        Ok(self.settings.idp_ca(&accepted.identity_provider)?)
    }

    /// Keeps an issuer's clock correction, for that issuer alone. A few seconds are not worth a write.
    pub(super) fn remember_clock(&self, accepted: &Accepted, offset: Duration) {
        if (offset - accepted.clock_offset()).abs() <= Duration::seconds(5) {
            return;
        }
        if offset.abs() > Duration::minutes(1) {
            let direction = if offset.is_positive() {
                "behind"
            } else {
                "ahead of"
            };
            self.ui.say(&format!(
                "kubectl-gatepass: this machine's clock is {} s {direction} the issuer's; please set it",
                offset.whole_seconds().abs()
            ));
        }
        let note = |accepted: &mut Accepted| accepted.clock_offset_seconds = offset.whole_seconds();
        if let Err(error) = self.accepted_file().note(&accepted.url, note) {
            tracing::warn!(%error, "cannot keep the clock correction");
        }
    }

    /// A CA that the kubeconfig, the configuration file or the command line gives must be the one in use.
    fn same_ca(&self, url: &IssuerUrl, in_use: Option<&str>) -> Result<(), AcceptError> {
        match self.settings.issuer_ca.as_deref() {
            Some(given) if in_use != Some(given) => Err(AcceptError::Changed {
                url: url.clone(),
                what: CA,
                was: in_use.map_or("the system's CAs", |_| "another").into(),
                now: "the one that the kubeconfig, the configuration file or the command line gives".into(),
            }),
            _ => Ok(()),
        }
    }

    /// Whether anything in use differs from the pins, or would with what was typed.
    fn change(
        &self,
        pinned: &Accepted,
        url: &IssuerUrl,
        info: &ClusterInfo,
        typed: &Typed,
    ) -> Result<(), AcceptError> {
        accepted::check(pinned, url, self.settings.issuer_ca.as_deref(), info)?;
        let in_use = &pinned.identity_provider.issuer;
        agrees_with_file(
            url,
            self.settings.file.issuer_settings(url),
            &pinned.cluster_id,
            in_use,
        )?;
        match &typed.idp {
            Some(idp) if idp != in_use => Err(AcceptError::Changed {
                url: url.clone(),
                what: "the identity provider",
                was: in_use.clone(),
                now: idp.clone(),
            }),
            _ => Ok(()),
        }
    }

    fn same_with_idp_ca(&self, pinned: &Accepted, typed: &Typed) -> Result<Accepted, Error> {
        let mut same = pinned.clone();
        if let Some(path) = typed.idp_ca.clone() {
            same.identity_provider.certificate_authority = Some(read_pem(path)?);
        }
        Ok(same)
    }

    fn propose(&self, ca: Option<&str>, info: &ClusterInfo, typed: &Typed) -> Result<Accepted, Error> {
        let url = self.settings.issuer()?;
        let in_file = self.settings.file.issuer_settings(url);
        let idp = typed
            .idp
            .as_deref()
            .or(in_file.and_then(|entry| entry.identity_provider.as_deref()));
        let idp_ca = typed.idp_ca.clone().map(read_pem).transpose()?;
        let proposed = accepted::proposal(url, ca, info, idp, idp_ca)?;
        agrees_with_file(
            url,
            in_file,
            &proposed.cluster_id,
            &proposed.identity_provider.issuer,
        )?;
        Ok(proposed)
    }

    fn show(&self, title: &str, accepted: &Accepted) {
        let idp = &accepted.identity_provider;
        let ca = match &accepted.certificate_authority {
            Some(_) => "a private CA",
            None => "the system's CAs",
        };
        self.ui.say(&format!(
            "kubectl-gatepass: {title}\n  URL                {} ({ca})\n  cluster            {} (id {})\n  \
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

/// What the configuration file says of an issuer holds, whenever it was written.
fn agrees_with_file(
    url: &IssuerUrl,
    in_file: Option<&IssuerSettings>,
    cluster_id: &str,
    idp: &str,
) -> Result<(), AcceptError> {
    let Some(in_file) = in_file else { return Ok(()) };
    if let Some(expected) = in_file
        .cluster_id
        .as_ref()
        .filter(|expected| *expected != cluster_id)
    {
        let (expected, answered) = (expected.clone(), cluster_id.to_owned());
        return Err(AcceptError::OtherCluster {
            url: url.clone(),
            expected,
            answered,
        });
    }
    match &in_file.identity_provider {
        Some(expected) if expected != idp => Err(AcceptError::Changed {
            url: url.clone(),
            what: "the identity provider",
            was: Escaped(idp).to_string(),
            now: format!("{expected}, in the configuration file"),
        }),
        _ => Ok(()),
    }
}
