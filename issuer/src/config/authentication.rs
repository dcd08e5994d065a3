//! `authentication.jwt`: the API server's AuthenticationConfiguration format, and what Gatepass needs beside it.

use std::time::Duration;

use super::section::Section;
use super::{HOUR, MINUTE};
use crate::idp::{Client, IdentityProvider};
use crate::mapping::{Mapping, PrefixedClaim, reserved};

const NOT_YET: &str =
    "this version does not carry it yet; remove it, because ignoring it would change who may log in";
const NO_EXPRESSION: &str = "this version maps by `claim` and `prefix` only, not by CEL expression";
const DEFAULT_SCOPES: [&str; 2] = ["openid", "offline_access"];

pub(super) fn providers(mut section: Section<'_>) -> Option<Vec<IdentityProvider>> {
    section.refuse("anonymous", NOT_YET);
    let entries = section.sections("jwt");
    let providers: Option<Vec<_>> = entries
        .into_iter()
        .map(provider)
        .collect::<Vec<_>>()
        .into_iter()
        .collect();
    if let Some(providers) = &providers {
        check_together(&section, providers);
    }
    section.finish();
    providers
}

/// Names of different providers must not meet: neither issuer nor username space is shared.
fn check_together(section: &Section<'_>, providers: &[IdentityProvider]) {
    for (at, one) in providers.iter().enumerate() {
        for (before, other) in providers[..at].iter().enumerate() {
            if one.issuer == other.issuer {
                section.problem(
                    &format!("jwt[{at}].issuer.url"),
                    &format!(
                        "\"{}\" is that of jwt[{before}] already: each provider has one entry",
                        one.issuer
                    ),
                );
                continue;
            }
            let (prefix, earlier) = (&one.mapping.username.prefix, &other.mapping.username.prefix);
            if prefix.starts_with(earlier.as_str()) || earlier.starts_with(prefix.as_str()) {
                section.problem(
                    &format!("jwt[{at}].claimMappings.username.prefix"),
                    &format!(
                        "\"{prefix}\" and \"{earlier}\" of jwt[{before}] are not distinct: with several identity \
                         providers each needs a prefix of its own, none the start of another"
                    ),
                );
            }
        }
    }
}

fn provider(mut entry: Section<'_>) -> Option<IdentityProvider> {
    for later in ["claimValidationRules", "userValidationRules"] {
        entry.refuse(later, NOT_YET);
    }
    let issuer = entry.section("issuer").map(issuer);
    let mapping = entry.section("claimMappings").and_then(mapping);
    let audiences = issuer.as_ref().and_then(|(_, audiences, _)| audiences.clone());
    let clients = clients(&mut entry, audiences.as_deref());
    let max_token_age = entry.duration("maxTokenAge", 10 * MINUTE, MINUTE..=24 * HOUR);
    entry.finish();
    let (url, _, certificate_authority) = issuer?;
    Some(IdentityProvider {
        issuer: url?,
        clients: clients?,
        mapping: mapping?,
        max_token_age: max_token_age.unwrap_or(Duration::ZERO),
        certificate_authority: certificate_authority?,
    })
}

type IssuerPart = (Option<String>, Option<Vec<String>>, Option<Option<String>>);

fn issuer(mut section: Section<'_>) -> IssuerPart {
    for later in ["discoveryURL", "egressSelectorType"] {
        section.refuse(later, NOT_YET);
    }
    let url = section.text_where(
        "url",
        "the https URL of the identity provider, exactly as in its tokens' `iss`, without query, fragment or user",
        is_issuer_url,
    );
    let audiences = section.texts(
        "audiences",
        true,
        "client ids, each a text that is not empty",
        |text| !text.is_empty(),
    );
    // The API server wants this policy where there are several audiences, and knows no other.
    section.choice("audienceMatchPolicy", &[("MatchAny", ())], Some("MatchAny"));
    let has_authority = section.has("certificateAuthority");
    let authority = section.optional_text(
        "certificateAuthority",
        "PEM with at least one certificate, in the file itself",
        is_certificates,
    );
    section.finish();
    let authority = if has_authority {
        authority.map(Some)
    } else {
        Some(None)
    };
    (url, audiences, authority)
}

fn is_issuer_url(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| {
        url.scheme() == "https"
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    })
}

fn is_certificates(pem: &str) -> bool {
    x509_cert::Certificate::load_pem_chain(pem.as_bytes()).is_ok_and(|chain| !chain.is_empty())
}

fn mapping(mut section: Section<'_>) -> Option<Mapping> {
    section.refuse("extra", NOT_YET);
    let username = section.section("username").and_then(prefixed);
    let has_groups = section.has("groups");
    let groups = section.optional_section("groups").and_then(prefixed);
    let has_uid = section.has("uid");
    let uid = section.optional_section("uid").and_then(|mut uid| {
        uid.refuse("expression", NO_EXPRESSION);
        let claim = claim(&mut uid);
        uid.finish();
        claim
    });
    section.finish();
    if (has_groups && groups.is_none()) || (has_uid && uid.is_none()) {
        return None;
    }
    Some(Mapping {
        username: username?,
        groups,
        uid,
    })
}

fn claim(section: &mut Section<'_>) -> Option<String> {
    section.text_where(
        "claim",
        "the name of a claim at the top of the ID token",
        |claim| !claim.is_empty(),
    )
}

fn prefixed(mut section: Section<'_>) -> Option<PrefixedClaim> {
    section.refuse("expression", NO_EXPRESSION);
    let claim = claim(&mut section);
    // Required, as the API server requires it: nobody should get names without a prefix by forgetting it.
    let prefix = section.text_where(
        "prefix",
        "a text, \"\" for none, that begins with none of the reserved system:, kubeadm:, gatepass:, break-glass:, \
         and has no blank at its start and no control or format character",
        |prefix| {
            reserved(prefix).is_none()
                && !prefix.starts_with(char::is_whitespace)
                && !prefix.chars().any(crate::escape::is_unseen)
        },
    );
    section.finish();
    Some(PrefixedClaim {
        claim: claim?,
        prefix: prefix?,
    })
}

fn clients(entry: &mut Section<'_>, audiences: Option<&[String]>) -> Option<Vec<Client>> {
    let default = |id: &String| Client {
        id: id.clone(),
        scopes: DEFAULT_SCOPES.map(str::to_owned).to_vec(),
    };
    if !entry.has("clients") {
        // Marks the key as known.
        entry.sections("clients");
        return Some(audiences?.iter().map(default).collect());
    }
    let read: Option<Vec<Client>> = entry
        .sections("clients")
        .into_iter()
        .map(|section| client(section, audiences))
        .collect::<Vec<_>>()
        .into_iter()
        .collect();
    let clients = read?;
    if clients.is_empty() {
        entry.problem(
            "clients",
            "nothing is not allowed: must be a list with at least one client, or absent",
        );
        return None;
    }
    for (at, client) in clients.iter().enumerate() {
        if clients[..at].iter().any(|other| other.id == client.id) {
            entry.problem(
                &format!("clients[{at}].clientId"),
                &format!("\"{}\" stands there twice", client.id),
            );
        }
    }
    Some(clients)
}

fn client(mut section: Section<'_>, audiences: Option<&[String]>) -> Option<Client> {
    let listed = audiences.map(|list| list.join(", ")).unwrap_or_default();
    let id = section.text_where(
        "clientId",
        &format!("one of the entry's audiences ({listed})"),
        |id| audiences.is_none_or(|audiences| audiences.iter().any(|audience| audience == id)),
    );
    let is_scope = |scope: &str| {
        !scope.is_empty()
            && scope
                .bytes()
                .all(|b| matches!(b, b'!' | b'#'..=b'[' | b']'..=b'~'))
    };
    let has_scopes = section.has("scopes");
    let scopes = section.texts(
        "scopes",
        false,
        "scopes (RFC 6749 section 3.3), `openid` among them",
        is_scope,
    );
    if scopes
        .as_ref()
        .is_some_and(|scopes| !scopes.iter().any(|scope| scope == "openid"))
    {
        section.problem("scopes", "`openid` is missing: without it there is no ID token");
    }
    section.texts(
        "flows",
        false,
        "\"browser\" (this version carries no other flow)",
        |flow| flow == "browser",
    );
    section.choice("binding", &[("required", ())], Some("required"));
    section.finish();
    let scopes = match (has_scopes, scopes) {
        (true, scopes) => scopes?,
        (false, _) => DEFAULT_SCOPES.map(str::to_owned).to_vec(),
    };
    Some(Client { id: id?, scopes })
}
