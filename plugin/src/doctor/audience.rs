//! Whether an API server takes the ID tokens of Gatepass's client as they are: then who steals one needs no session key.
//!
//! Only a valid token can tell, so this is done only for who asks for it.

use std::time::Duration as StdDuration;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use gatepass_api::Token;
use serde::Deserialize;
use time::OffsetDateTime;

use super::Line;
use crate::{
    accepted::Accepted,
    clock::Clock,
    http::{self, HttpError},
    kubectl::Kubectl,
    session::Session,
    store::{Entry, Store},
};

const CHECK: &str = "audience";

/// How long an API server is waited for.
const DEADLINE: StdDuration = StdDuration::from_secs(5);

/// A token that ends sooner could be refused for that alone; in seconds.
const LEAST_LEFT: i64 = 60;

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority_data: Option<String>,
    proxy_url: Option<String>,
    tls_server_name: Option<String>,
    extensions: Option<Vec<Extension>>,
}

#[derive(Deserialize)]
struct Extension {
    name: String,
    extension: serde_json::Value,
}

impl Cluster {
    fn issuer(&self) -> Option<&str> {
        let extensions = self.extensions.iter().flatten();
        let mut ours = extensions.filter(|extension| extension.name == "client.authentication.k8s.io/exec");
        let issuer = ours.next()?.extension.get("issuer")?.as_str()?;
        Some(issuer.trim_end_matches('/'))
    }
}

/// What is said where nobody asked for it.
pub(super) fn not_tried() -> Line {
    Line::unknown(
        CHECK,
        "whether API servers take ID tokens of Gatepass's client was not tried, for a token has to be sent to them",
        Some("kubectl-gatepass doctor --send-id-token"),
    )
}

pub(super) async fn lines(
    accepted: &[Accepted],
    store: &Store,
    kubectl: &Kubectl<'_>,
    clock: &dyn Clock,
) -> Vec<Line> {
    let view = [
        "config",
        "view",
        "--raw",
        "--flatten",
        "-o",
        "jsonpath={.clusters}",
    ];
    let clusters: Vec<NamedCluster> = match kubectl.run(&view, None).await {
        // Only the clusters, so that the users' secrets stay where they are.
        Ok(answer) => serde_json::from_slice(&answer.output).unwrap_or_default(),
        Err(error) => return vec![Line::unknown(CHECK, error.to_string(), None)],
    };
    let mut lines = Vec::new();
    for accepted in accepted {
        let ours: Vec<_> = clusters
            .iter()
            .filter(|named| named.cluster.issuer() == Some(&accepted.url))
            .collect();
        if ours.is_empty() {
            continue;
        }
        let now = clock.now().saturating_add(accepted.clock_offset());
        let Some(token) = token(accepted, store, clock.now(), now) else {
            let says = format!("there is no valid ID token for {} to try it with", accepted.url);
            lines.push(Line::unknown(
                CHECK,
                says,
                Some("use the cluster once, then try again"),
            ));
            continue;
        };
        for named in ours {
            lines.push(try_at(named, &token, &accepted.identity_provider.client_id).await);
        }
    }
    lines
}

/// An ID token that is still valid at `now`, which is by the issuer's clock; `local` is by ours.
fn token(accepted: &Accepted, store: &Store, local: OffsetDateTime, now: OffsetDateTime) -> Option<Token> {
    let idp = &accepted.identity_provider;
    accepted.profiles.iter().find_map(|profile| {
        let entry = Entry::Session {
            idp: &idp.issuer,
            client_id: &idp.client_id,
            profile,
        };
        let session = Session::read(&store.load(&entry).ok()??, local)?;
        let token = session.id_token().clone();
        let left = end(&token)?.saturating_sub(now.unix_timestamp());
        (left >= LEAST_LEFT).then_some(token)
    })
}

/// `exp`, unverified: it only chooses what is worth sending.
fn end(token: &Token) -> Option<i64> {
    #[derive(Deserialize)]
    struct Claims {
        exp: i64,
    }
    let payload = token.expose().split('.').nth(1)?;
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    Some(claims.exp)
}

async fn try_at(named: &NamedCluster, token: &Token, client_id: &str) -> Line {
    let (name, cluster) = (&named.name, &named.cluster);
    let cannot = |why: &str| {
        Line::unknown(
            CHECK,
            format!("the API server of {name} was not asked: {why}"),
            None,
        )
    };
    if cluster.proxy_url.is_some() || cluster.tls_server_name.is_some() {
        return cannot("its entry has a proxy-url or a tls-server-name, which this check does not know");
    }
    let ca = cluster
        .certificate_authority_data
        .as_ref()
        .and_then(|data| String::from_utf8(STANDARD.decode(data).ok()?).ok());
    let Some(ca) = ca else {
        return cannot("its entry has no CA, and the token is shown to nobody else");
    };
    match ask(&cluster.server, &ca, token).await {
        Ok(401) => Line::ok(
            CHECK,
            format!("the API server of {name} refuses ID tokens of {client_id}"),
        ),
        Ok(200..=299 | 403) => Line::failed(
            CHECK,
            format!(
                "the API server of {name} takes ID tokens of {client_id} as they are: who steals one needs no session key"
            ),
            "take Gatepass's client id out of the API server's audiences (--oidc-client-id, or `audiences` in its \
             AuthenticationConfiguration): it must be Gatepass's own",
        ),
        Ok(status) => cannot(&format!("it answers with HTTP status {status}")),
        Err(error) => cannot(&error.to_string()),
    }
}

/// The status of an answer to who has nothing but the token.
async fn ask(server: &str, ca: &str, token: &Token) -> Result<u16, HttpError> {
    let url = format!("{}/version", server.trim_end_matches('/'));
    let request = http::client(Some(ca))?
        .get(url)
        .bearer_auth(token.expose())
        .timeout(DEADLINE);
    Ok(request.send().await?.status().as_u16())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::{ffi::OsStr, fs, os::unix::fs::PermissionsExt as _, path::Path};

    use gatepass_api::Salt;
    use serde_json::{Value, json};

    use super::{super::State, *};
    use crate::{
        break_glass::{
            outage::tests::{accepted, idps_answer, issuers_answer},
            window::tests::home,
        },
        cli::Connection,
        clock::SystemClock,
        fake_issuer::{Fake, fake},
        keys::SessionKey,
        run::wait_for,
        session::IdToken,
    };

    /// What is said of an API server that answers so, of whom a cluster's entry with more members speaks, and the server.
    fn tried(status: u16, lasts: i64, more: Value) -> (Vec<Line>, Fake) {
        let dir = tempfile::tempdir().unwrap();
        let (paths, _, store) = home(dir.path());
        let (issuer, idp) = (fake(vec![issuers_answer()]), fake(vec![idps_answer()]));
        let api_server = fake(vec![(status, json!({}))]);
        accepted(&paths, &issuer, &idp);
        let mut accepted = crate::accepted::AcceptedFile::new(paths.state_dir())
            .all()
            .unwrap();
        accepted[0].profiles.insert("default".into());
        let now = SystemClock.now();
        keep(&accepted[0], &store, now, now.unix_timestamp() + lasts);
        let mut cluster = json!({
            "server": api_server.url, "certificate-authority-data": STANDARD.encode(&api_server.ca),
            "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"issuer": issuer.url}}],
        });
        for (name, value) in more.as_object().unwrap() {
            cluster[name] = value.clone();
        }
        let other = json!({"server": "https://127.0.0.1:1"});
        let clusters = json!([{"name": "prod", "cluster": cluster}, {"name": "other", "cluster": other}]);
        let program = kubectl_that_says(dir.path(), &clusters);
        let kubectl = Kubectl {
            program: &program,
            connection: &Connection::default(),
            deadline: StdDuration::from_secs(10),
        };
        let lines = wait_for(async { Ok(lines(&accepted, &store, &kubectl, &SystemClock).await) });
        (lines.unwrap(), api_server)
    }

    fn kubectl_that_says(dir: &Path, clusters: &Value) -> std::ffi::OsString {
        fs::write(dir.join("clusters"), clusters.to_string()).unwrap();
        let program = dir.join("kubectl");
        fs::write(&program, "#!/bin/sh\ncat \"${0%/*}/clusters\"\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        OsStr::new(&program).to_owned()
    }

    fn keep(accepted: &Accepted, store: &Store, now: OffsetDateTime, exp: i64) {
        let (_, pkcs8) = SessionKey::generate().unwrap();
        let payload = URL_SAFE_NO_PAD.encode(json!({"exp": exp}).to_string());
        let login = IdToken {
            token: Token::new(format!("h.{payload}.s")),
            iat: now.unix_timestamp(),
            has_nonce: true,
        };
        let salt = Salt::new(now.unix_timestamp().unsigned_abs(), [7; 24]);
        let session = Session::new("s".into(), &pkcs8, &salt, login, None, String::new(), None);
        let idp = &accepted.identity_provider;
        let entry = Entry::Session {
            idp: &idp.issuer,
            client_id: &idp.client_id,
            profile: "default",
        };
        store.save(&entry, &session.write(), None).unwrap();
    }

    #[test]
    fn an_api_server_must_refuse_the_token() {
        for (status, state) in [
            (401, State::Ok),
            (200, State::Failed),
            (403, State::Failed),
            (503, State::Unknown),
        ] {
            let (lines, api_server) = tried(status, 600, json!({}));
            let [line] = &lines[..] else { panic!("{lines:?}") };
            assert_eq!(line.state, state, "{status}: {line:?}");
            let asked = api_server.next();
            assert_eq!(asked.path, "/version");
            assert!(
                asked
                    .authorization
                    .is_some_and(|sent| sent.starts_with("Bearer h."))
            );
        }
    }

    #[test]
    fn no_token_is_sent_where_it_could_not_tell_or_could_go_astray() {
        for (lasts, more) in [
            (30, json!({})),
            (600, json!({"proxy-url": "http://127.0.0.1:1"})),
            (600, json!({"tls-server-name": "x"})),
            (600, json!({"certificate-authority-data": null})),
            (600, json!({"extensions": null})),
        ] {
            let (lines, api_server) = tried(401, lasts, more);
            assert!(lines.iter().all(|line| line.state == State::Unknown), "{lines:?}");
            assert!(api_server.asked.try_recv().is_err());
        }
    }

    #[test]
    fn a_server_of_another_ca_never_sees_the_token() {
        let other = fake(vec![]);
        let more = json!({"certificate-authority-data": STANDARD.encode(&other.ca)});
        let (lines, _) = tried(401, 600, more);
        assert_eq!(lines[0].state, State::Unknown, "{lines:?}");
    }
}
