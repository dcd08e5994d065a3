//! What `audit` says about audit events: who is expected, who is allowed, who is told.

use url::Url;

use super::files::Files;
use super::section::Section;
use crate::detection::{Allowed, Detection, Pattern, Patterns, Rules, Webhook};

/// Reads `expected`, `allowed` and `findings` of the section `audit`.
pub(super) fn read(audit: &mut Section<'_>, files: &Files) -> Option<Detection> {
    let (usernames, groups) = audit
        .optional_section("expected")
        .map_or((None, None), |mut expected| {
            let usernames = patterns(&mut expected, "usernames");
            let groups = patterns(&mut expected, "groups");
            expected.finish();
            (usernames, groups)
        });
    let allowed = audit
        .sections("allowed")
        .into_iter()
        .map(allowed)
        .collect::<Vec<_>>();
    let webhook = match audit.optional_section("findings") {
        None => None,
        Some(mut findings) => {
            let webhook = findings
                .section("webhook")
                .and_then(|section| webhook(section, files));
            findings.finish();
            // One that is there and wrong is no absent one.
            Some(webhook?)
        }
    };
    Some(Detection {
        rules: Rules::new(allowed.into_iter().collect::<Option<_>>()?, usernames, groups),
        webhook,
    })
}

fn allowed(mut section: Section<'_>) -> Option<Allowed> {
    let is_pattern = "a regular expression for whole names";
    let username = section
        .text_where("username", is_pattern, |text| !text.is_empty())
        .and_then(|text| pattern(&section, "username", &text));
    let groups = patterns(&mut section, "groups");
    section.finish();
    Some(Allowed {
        username: username?,
        groups: groups.unwrap_or_default(),
    })
}

/// Problems are reported; `None` also if the key is absent.
fn patterns(section: &mut Section<'_>, key: &'static str) -> Option<Patterns> {
    let texts = section.texts(key, false, "regular expressions for whole names", |text| {
        !text.is_empty()
    })?;
    let patterns: Vec<_> = texts.iter().map(|text| pattern(section, key, text)).collect();
    Some(Patterns::new(patterns.into_iter().collect::<Option<_>>()?))
}

fn pattern(section: &Section<'_>, key: &str, text: &str) -> Option<Pattern> {
    Pattern::new(text)
        .map_err(|error| {
            section.problem(
                key,
                &format!("\"{}\": {error}", crate::escape::visible(text, 120)),
            )
        })
        .ok()
}

fn webhook(mut section: Section<'_>, files: &Files) -> Option<Webhook> {
    // What was written is not repeated: the path of such a URL is often a secret.
    let url = section.secret_where(
        "url",
        "an https URL without user, password and fragment",
        |text| {
            Url::parse(text).is_ok_and(|url| {
                url.scheme() == "https"
                    && url.has_host()
                    && url.username().is_empty()
                    && url.password().is_none()
                    && url.fragment().is_none()
            })
        },
    );
    let authorities = section.optional_file("certificateAuthority", |path| files.read(path));
    let webhook = url.zip(authorities).and_then(|(url, authorities)| {
        let authorities = authorities.as_ref().map(|pem| pem.as_str());
        Webhook::new(Url::parse(&url).ok()?, authorities)
            .map_err(|error| section.problem("certificateAuthority", &error.to_string()))
            .ok()
    });
    section.finish();
    webhook
}
