//! Claims → username, groups and UID, in the semantics of the API server's `claimMappings` by claim and prefix.

mod names;

use serde_json::Value;

use crate::id_token::Claims;

pub(crate) use names::reserved;
pub use names::{Forbidden, Named};

/// A claim and what is put before its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixedClaim {
    /// Name of a top-level claim.
    pub claim: String,
    /// Put before the value.
    pub prefix: String,
}

/// How one identity provider's claims become a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The username.
    pub username: PrefixedClaim,
    /// The groups; `None`: no groups.
    pub groups: Option<PrefixedClaim>,
    /// The claim with the UID; `None`: the subject id.
    pub uid: Option<String>,
}

/// Why claims do not become a user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A claim is missing or has the wrong type.
    #[error("claim `{0}` is missing or of the wrong type")]
    Claim(String),
    /// The username is an e-mail address that the provider has not verified.
    #[error("the username is claim `email`, and `email_verified` is not true")]
    EmailNotVerified,
    /// The result is never issued.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
}

/// Who a certificate names; only mapping makes one, so every name in it may be issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    username: String,
    groups: Vec<String>,
    uid: String,
}

impl Identity {
    /// The username.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The groups, in mapped order, each once.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// The UID.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    #[cfg(test)]
    pub(crate) fn unchecked(username: &str, groups: &[&str], uid: &str) -> Self {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        Self {
            username: username.to_owned(),
            groups,
            uid: uid.to_owned(),
        }
    }
}

impl Mapping {
    /// Maps verified claims; `subject_id` is the UID unless the mapping names a claim.
    pub fn identity(&self, claims: &Claims, subject_id: &str) -> Result<Identity, Error> {
        // As the API server does (KEP-3331): an address that anybody may claim is nobody's name.
        if self.username.claim == "email"
            && claims
                .get("email_verified")
                .is_some_and(|verified| *verified != Value::Bool(true))
        {
            return Err(Error::EmailNotVerified);
        }
        let username = format!(
            "{}{}",
            self.username.prefix,
            text(claims, &self.username.claim, Named::Username)?
        );
        names::check(Named::Username, &username)?;
        let mut groups: Vec<String> = Vec::new();
        if let Some(mapping) = &self.groups {
            let mut seen = std::collections::HashSet::new();
            for value in list(claims, &mapping.claim)? {
                // Under a prefix an empty value would become the prefix itself.
                if value.is_empty() {
                    return Err(Forbidden::empty(Named::Group).into());
                }
                let group = format!("{}{value}", mapping.prefix);
                names::check(Named::Group, &group)?;
                if seen.insert(group.clone()) {
                    groups.push(group);
                }
            }
        }
        let uid = match &self.uid {
            Some(claim) => text(claims, claim, Named::Uid)?,
            None => subject_id,
        };
        names::check(Named::Uid, uid)?;
        Ok(Identity {
            username,
            groups,
            uid: uid.to_owned(),
        })
    }
}

fn text<'a>(claims: &'a Claims, name: &str, named: Named) -> Result<&'a str, Error> {
    let value = claims
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| Error::Claim(name.to_owned()))?;
    if value.is_empty() {
        return Err(Forbidden::empty(named).into());
    }
    Ok(value)
}

fn list<'a>(claims: &'a Claims, name: &str) -> Result<Vec<&'a str>, Error> {
    let wrong = || Error::Claim(name.to_owned());
    match claims.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![one]),
        Some(Value::Array(list)) => list
            .iter()
            .map(|value| value.as_str().ok_or_else(wrong))
            .collect(),
        Some(_) => Err(wrong()),
    }
}
