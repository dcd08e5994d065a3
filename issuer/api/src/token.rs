use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A token in transit: redacted in `Debug`, wiped from memory when dropped, readable only through [`Token::expose`].
#[derive(Clone, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// Wraps the text of a token.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself. Every caller is a place where a token could leak: `grep expose` is the audit.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}
