use gatepass_api::{CertificateLimits, SessionLimits};

use super::*;

fn url(text: &str) -> IssuerUrl {
    IssuerUrl::parse(text).unwrap()
}

fn idp(issuer: &str) -> IdentityProvider {
    IdentityProvider {
        issuer: issuer.into(),
        client_id: "gatepass".into(),
        scopes: vec!["openid".into(), "groups".into()],
        flows: vec![Flow::Browser],
        binding: Binding::Required,
        max_token_age_seconds: 600,
    }
}

fn info() -> ClusterInfo {
    ClusterInfo {
        cluster_id: "prod-1".into(),
        name: "prod".into(),
        url: "https://a".into(),
        server_time: String::new(),
        identity_providers: vec![idp("https://idp")],
        certificate: CertificateLimits { max_ttl_seconds: 600 },
        session: SessionLimits { max_seconds: 43200 },
    }
}

fn pinned() -> Accepted {
    proposal(&url("https://a"), Some("CA"), &info(), None, None).unwrap()
}

fn changed(change: impl Fn(&mut ClusterInfo)) -> Option<&'static str> {
    let mut now = info();
    change(&mut now);
    match check(&pinned(), &url("https://a"), Some("CA"), &now) {
        Ok(_) => None,
        Err(AcceptError::Changed { what, .. }) => Some(what),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn what_is_in_use_must_not_change() {
    assert_eq!(changed(|_| {}), None);
    assert_eq!(
        changed(|now| now.cluster_id = "prod-2".into()),
        Some("the cluster id")
    );
    assert_eq!(
        changed(|now| now.identity_providers = vec![idp("https://evil")]),
        Some("the identity provider")
    );
    assert_eq!(
        changed(|now| now.identity_providers[0].client_id = "x".into()),
        Some("the identity provider")
    );
    assert_eq!(
        changed(|now| now.identity_providers[0].scopes = vec!["openid".into()]),
        Some("the scopes")
    );
    assert_eq!(
        changed(|now| now.identity_providers[0].binding = Binding::Other("off".into())),
        Some("the way to log in")
    );
    let now = info();
    let other_ca = check(&pinned(), &url("https://a"), Some("OTHER"), &now);
    assert!(matches!(
        other_ca,
        Err(AcceptError::Changed { what: "its CA", .. })
    ));
}

#[test]
fn additions_are_no_change_and_stay_unused() {
    assert_eq!(
        changed(|now| now.identity_providers.push(idp("https://second"))),
        None
    );
    assert_eq!(
        changed(|now| now.identity_providers[0].scopes.push("more".into())),
        None
    );
    assert_eq!(pinned().identity_provider.scopes, ["openid", "groups"]);
}

#[test]
fn one_cluster_id_under_two_urls_is_refused_unless_one_replaces_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let file = AcceptedFile::new(dir.path());
    let (a, b) = (url("https://a"), url("https://b"));
    file.keep(pinned(), &a, None).unwrap();
    let mut twin = info();
    twin.url = "https://b".into();
    let proposed = proposal(&b, None, &twin, None, None).unwrap();
    let refused = file.keep(proposed.clone(), &b, None).unwrap_err();
    assert!(matches!(&refused, AcceptError::SameCluster { .. }));
    assert!(
        refused
            .hint()
            .unwrap()
            .contains("login https://b --replaces https://a")
    );
    assert_eq!(file.all().unwrap(), [pinned()]);
    assert!(file.keep(proposed.clone(), &b, Some("https://c")).is_err());
    file.keep(proposed.clone(), &b, Some("https://a")).unwrap();
    assert_eq!(file.all().unwrap(), [proposed]);
}

#[test]
fn names_that_would_move_a_cursor_and_providers_without_tls_are_not_used() {
    for change in [
        (|info: &mut ClusterInfo| info.cluster_id = "a\u{1b}[2J".into()) as fn(&mut ClusterInfo),
        |info| info.identity_providers[0].client_id = "a\u{202e}".into(),
        |info| info.identity_providers[0].scopes.push("a\n".into()),
        |info| info.identity_providers[0].issuer = "http://idp".into(),
    ] {
        let mut hostile = info();
        change(&mut hostile);
        assert!(matches!(
            proposal(&url("https://a"), None, &hostile, None, None),
            Err(AcceptError::NoIdp { .. })
        ));
    }
}

#[test]
fn a_clock_correction_is_bounded_when_it_is_read() {
    let mut accepted = pinned();
    accepted.clock_offset_seconds = i64::MAX;
    assert_eq!(accepted.clock_offset(), LARGEST_OFFSET);
}

#[test]
fn several_identity_providers_need_a_choice() {
    let mut two = info();
    two.identity_providers.push(idp("https://second"));
    let a = url("https://a");
    let error = proposal(&a, None, &two, None, None).unwrap_err();
    assert!(error.hint().unwrap().contains("--idp"), "{error}");
    let chosen = proposal(&a, None, &two, Some("https://second"), None).unwrap();
    assert_eq!(chosen.identity_provider.issuer, "https://second");
    assert!(proposal(&a, None, &two, Some("https://third"), None).is_err());
}

#[test]
fn an_unbound_or_unknown_way_to_log_in_is_not_used() {
    let mut other = info();
    other.identity_providers[0].flows = vec![Flow::Other("device".into())];
    assert!(matches!(
        proposal(&url("https://a"), None, &other, None, None),
        Err(AcceptError::NoIdp { .. })
    ));
}

#[test]
fn the_file_keeps_what_was_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let file = AcceptedFile::new(dir.path());
    assert_eq!(file.all().unwrap(), []);
    file.keep(pinned(), &url("https://a"), None).unwrap();
    let mut again = pinned();
    again.profiles.insert("work".into());
    file.keep(again.clone(), &url("https://a"), None).unwrap();
    assert_eq!(file.all().unwrap(), [again.clone()]);
    assert_eq!(file.find(&url("https://a")).unwrap(), Some(again));
    assert_eq!(file.find(&url("https://other")).unwrap(), None);
}

#[test]
fn a_refused_login_is_spent_for_a_working_day() {
    let now = time::macros::datetime!(2026-11-22 00:00:00 UTC);
    let spent = Spent {
        login: "a".into(),
        at: now.unix_timestamp(),
        login_after: None,
    };
    assert!(spent.holds("a", now) && spent.holds("a", now + SPENT - Duration::SECOND));
    assert!(!spent.holds("b", now) && !spent.holds("a", now + SPENT));
    assert!(!spent.holds("a", now - Duration::SECOND), "from the future");
}
