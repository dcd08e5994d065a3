//! What the configuration says about an identity provider.

use std::time::Duration;

use crate::mapping::Mapping;

/// An identity provider whose ID tokens are accepted.
#[derive(Clone, Debug)]
pub struct IdentityProvider {
    /// Issuer identifier, compared exactly with `iss`.
    pub issuer: String,
    /// Clients whose tokens are accepted; not empty.
    pub clients: Vec<Client>,
    /// How claims become a name and groups.
    pub mapping: Mapping,
    /// Greatest age of an ID token since its `iat`.
    pub max_token_age: Duration,
    /// PEM of the only certificate authorities trusted for this provider; `None` means the system's.
    pub certificate_authority: Option<String>,
}

impl IdentityProvider {
    /// The client of that id, if it is configured.
    pub(crate) fn client(&self, id: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.id == id)
    }
}

/// A client at an identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Gatepass's own client id there.
    pub id: String,
    /// Scopes that the plugin asks for.
    pub scopes: Vec<String>,
}
