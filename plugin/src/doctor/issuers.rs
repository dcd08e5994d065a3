//! The accepted issuers, their identity providers, and what their clocks say of ours.

use std::collections::BTreeMap;

use time::Duration;

use super::{DEADLINE, Line};
use crate::{
    accepted::{self, Accepted},
    clock::Clock,
    error::Error,
    issuer_client::IssuerClient,
    oidc::Provider,
    settings::{IssuerUrl, Settings},
};

/// Clocks that differ by less do no harm: leeways are 30 s and more, and certificates begin in the past.
const CLOCK: Duration = Duration::seconds(30);

pub(super) async fn lines(accepted: &[Accepted], settings: &Settings, clock: &dyn Clock) -> Vec<Line> {
    if accepted.is_empty() {
        return vec![Line::warning(
            "issuer",
            "none was accepted on this machine yet",
            "kubectl-gatepass login <issuer URL>",
        )];
    }
    let asked = accepted.iter().map(|accepted| issuer(accepted, clock));
    // One session, and one line, for all clusters of one identity provider.
    let idps: BTreeMap<_, _> = accepted
        .iter()
        .map(|accepted| &accepted.identity_provider)
        .map(|idp| ((&idp.issuer, &idp.client_id), idp))
        .collect();
    let idps = idps.into_values().map(|idp| async move {
        let discover = async {
            let ca = settings.idp_ca(idp)?;
            Ok::<_, Error>(Provider::discover(idp, ca.as_deref()).await.map(|_| ())?)
        };
        match tokio::time::timeout(DEADLINE, discover).await {
            Ok(Ok(())) => Line::ok("idp", format!("{} gives metadata and keys", idp.issuer)),
            Ok(Err(error)) => Line::failed("idp", error.to_string(), error.hint().unwrap_or_default()),
            Err(_) => silent("idp", &idp.issuer),
        }
    });
    let (issuers, idps) = tokio::join!(
        futures_util::future::join_all(asked),
        futures_util::future::join_all(idps)
    );
    let (mut lines, offsets): (Vec<_>, Vec<_>) = issuers.into_iter().unzip();
    lines.push(clock_line(&offsets));
    lines.extend(idps);
    lines
}

/// Also says how far the issuer's clock is ahead of ours, with its URL.
async fn issuer<'a>(accepted: &'a Accepted, clock: &dyn Clock) -> (Line, Option<(&'a str, Duration)>) {
    let asked = async {
        let url =
            IssuerUrl::parse(&accepted.url).map_err(|problem| crate::settings::SettingsError::Wrong {
                place: "the accepted issuer",
                name: "url".into(),
                problem,
            })?;
        let client = IssuerClient::new(&url, accepted.certificate_authority.as_deref(), clock)?;
        let (info, offset) = client.cluster().await?;
        let check = accepted::check(accepted, &url, None, &info).map(|_| ());
        Ok::<_, Error>((check, offset))
    };
    let url = accepted.url.as_str();
    match tokio::time::timeout(DEADLINE, asked).await {
        Ok(Ok((Ok(()), offset))) => {
            let says = format!(
                "{url} answers as it was accepted (cluster {})",
                accepted.cluster_name
            );
            (Line::ok("issuer", says), Some((url, offset)))
        }
        Ok(Ok((Err(changed), offset))) => {
            let line = Line::failed("issuer", changed.to_string(), changed.hint().unwrap_or_default());
            (line, Some((url, offset)))
        }
        Ok(Err(error)) => {
            let line = Line::failed("issuer", error.to_string(), error.hint().unwrap_or_default());
            (line, None)
        }
        Err(_) => (silent("issuer", url), None),
    }
}

fn silent(check: &'static str, url: &str) -> Line {
    Line::failed(
        check,
        format!("{url} gave no answer within {} s", DEADLINE.as_secs()),
        "check the network and the proxy variables",
    )
}

/// The clock by the issuer that agrees with it best: another may be wrong itself.
fn clock_line(offsets: &[Option<(&str, Duration)>]) -> Line {
    const CHECK: &str = "clock";
    let best = offsets.iter().flatten().min_by_key(|(_, offset)| offset.abs());
    let Some((url, offset)) = best else {
        return Line::unknown(CHECK, "no issuer answered, so nobody told the time", None);
    };
    if offset.abs() <= CLOCK {
        return Line::ok(CHECK, format!("agrees with that of {url}"));
    }
    let direction = if offset.is_positive() {
        "behind"
    } else {
        "ahead of"
    };
    let says = format!(
        "this machine's clock is {} s {direction} that of {url}",
        offset.whole_seconds().abs()
    );
    Line::warning(
        CHECK,
        says,
        "set it; what Gatepass does is corrected meanwhile, TLS is not",
    )
}

#[cfg(test)]
mod tests {
    use super::{super::State, *};

    #[test]
    fn the_clock_is_judged_by_the_issuer_that_agrees_best() {
        let line = |offsets: &[i64]| {
            let offsets: Vec<_> = offsets
                .iter()
                .map(|seconds| Some(("https://i", Duration::seconds(*seconds))))
                .collect();
            clock_line(&offsets)
        };
        assert_eq!(line(&[]).state, State::Unknown);
        assert_eq!(clock_line(&[None]).state, State::Unknown);
        assert_eq!(line(&[3600, -30]).state, State::Ok);
        let behind = line(&[3600]);
        assert_eq!(behind.state, State::Warning);
        assert!(behind.says.contains("3600 s behind"), "{}", behind.says);
        assert!(line(&[-31]).says.contains("31 s ahead of"));
    }
}
