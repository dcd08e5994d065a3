//! What a share file is locked to: public keys that age encrypts to, or a passphrase.

use std::{fmt, sync::Arc};

use age::ssh::ParseRecipientKeyError;
use serde::{Deserialize, Serialize};

use crate::{identity::Person, plugin};

/// A public key that age encrypts to: `age1…`, a plugin's such as `age1yubikey1…`, or an `ssh-ed25519` or `ssh-rsa` line.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Recipient(Kind);

#[derive(Clone)]
enum Kind {
    X25519(age::x25519::Recipient),
    Tag(age::tag::Recipient),
    Plugin(age::plugin::Recipient),
    Ssh(Box<age::ssh::Recipient>),
}

/// What a holder's share file is locked to. age allows nothing beside a passphrase, so it is one or the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub enum Lock {
    /// Any of these keys opens it; at least one.
    Recipients(Vec<Recipient>),
    /// A passphrase: the last resort, because whoever has a copy of the file may guess at leisure.
    Passphrase,
}

/// Why a text is no recipient. None repeats the text, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecipientError {
    /// Nothing that is known here.
    #[error(
        "this is no recipient: give age1…, a plugin's such as age1yubikey1…, the ssh-ed25519 or ssh-rsa line of a .pub file \
         (the line, not the file's name), or the word passphrase"
    )]
    Unknown,
    /// `age1…` that is not whole.
    #[error("a recipient that begins with age1 is mistyped or not whole; copy it again")]
    MistypedAge,
    /// An SSH line that is not whole.
    #[error("the {0} line is damaged; copy it whole from the .pub file")]
    DamagedSsh(&'static str),
    /// A secret key of age.
    #[error(
        "this is a secret key, which belongs on its owner's machine alone; give its public part, which `age-keygen -y FILE` \
         prints (and make a new one if others could see this)"
    )]
    SecretKey,
    /// A private key of SSH, or any other.
    #[error(
        "this is a private key, which belongs on its owner's machine alone; give the line of the file beside it that ends in \
         .pub (and make a new one if others could see this)"
    )]
    PrivateKey,
    /// `AGE-PLUGIN-…`.
    #[error(
        "this is a plugin's identity, for its owner's machine; give its recipient, which begins with age1"
    )]
    PluginIdentity,
    /// FIDO keys.
    #[error(
        "an {0} key lives in a security key that signs and cannot decrypt; give the recipient of an age plugin \
         (age-plugin-yubikey, age-plugin-fido2-hmac), or an ssh-ed25519 key in a file"
    )]
    SecurityKey(&'static str),
    /// An agent.
    #[error(
        "an ssh-agent signs and cannot decrypt; give the line of an ssh-ed25519 or ssh-rsa key that is in a file"
    )]
    Agent,
    /// Other kinds of SSH keys.
    #[error(
        "age cannot encrypt to an SSH key of the kind {0}; give an ssh-ed25519 or ssh-rsa line, or age1…"
    )]
    OtherSsh(&'static str),
    /// Weak RSA.
    #[error(
        "this ssh-rsa key has fewer than 2048 bits, which no longer keeps a secret; give a longer one or ssh-ed25519"
    )]
    RsaTooShort,
    /// RSA that age does not take.
    #[error("this ssh-rsa key is longer than age can use (4096 bits); give ssh-ed25519 or age1…")]
    RsaTooLong,
    /// A passphrase and something else.
    #[error("a share file with a passphrase can have no other recipient; give one or the other")]
    PassphraseAmongOthers,
    /// age1pq1… and a key of another kind.
    #[error(
        "a share file that is locked to age1pq1… can have no other kind of key beside it, by which a quantum computer would get \
         in; give age1pq1… for each, or none"
    )]
    PostQuantumAmongOthers,
    /// Nothing to lock with.
    #[error("a share file needs at least one recipient")]
    Nothing,
    /// More than anybody has.
    #[error("a share file has at most {MOST} recipients")]
    TooMany,
}

/// How many recipients a share file may have.
const MOST: usize = 16;

/// Longer than any recipient: the longest are the ssh-rsa lines of 4096 bits and plugins' for the time after quantum
/// computers, with less than 3 KiB.
const LONGEST: usize = 8 * 1024;

/// The word that stands for a passphrase among recipients.
pub(crate) const PASSPHRASE: &str = "passphrase";

impl Recipient {
    /// Reads a recipient; the comment of an SSH line is dropped.
    pub fn parse(text: &str) -> Result<Self, RecipientError> {
        let text = text.trim();
        if text.len() > LONGEST {
            return Err(RecipientError::Unknown);
        }
        let upper = text.to_ascii_uppercase();
        if upper.contains("AGE-SECRET-KEY") {
            return Err(RecipientError::SecretKey);
        }
        if upper.contains("PRIVATE KEY") {
            return Err(RecipientError::PrivateKey);
        }
        if upper.starts_with("AGE-PLUGIN-") {
            return Err(RecipientError::PluginIdentity);
        }
        if text == "agent" || text.starts_with("ssh-agent") {
            return Err(RecipientError::Agent);
        }
        match upper.starts_with("AGE1") {
            true => age(text),
            false => ssh(text),
        }
        .map(Self)
    }

    /// What age encrypts with. Only a plugin asks the person anything.
    pub(crate) fn encryptor(
        &self,
        person: &Arc<dyn Person>,
    ) -> Result<Box<dyn age::Recipient>, age::EncryptError> {
        Ok(match &self.0 {
            Kind::X25519(key) => Box::new(key.clone()),
            Kind::Tag(key) => Box::new(key.clone()),
            Kind::Ssh(key) => key.clone(),
            Kind::Plugin(key) => {
                Box::new(plugin::Recipient::new(key, person).map_err(age::EncryptError::PluginResolve)?)
            }
        })
    }
}

fn age(text: &str) -> Result<Kind, RecipientError> {
    // The kinds that age knows itself come first: to it, a plugin's recipient is any `age1name1…`.
    if let Ok(key) = text.parse() {
        return Ok(Kind::X25519(key));
    }
    if let Ok(key) = text.parse() {
        return Ok(Kind::Tag(key));
    }
    (text.parse().map(Kind::Plugin)).map_err(|_: &str| RecipientError::MistypedAge)
}

fn is_post_quantum(Recipient(kind): &Recipient) -> bool {
    matches!(kind, Kind::Plugin(key) if key.plugin() == "pq")
}

fn ssh(text: &str) -> Result<Kind, RecipientError> {
    /// What is told apart, so that no message repeats what was typed.
    const KINDS: [&str; 8] = [
        "ssh-ed25519",
        "ssh-rsa",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "ssh-dss",
    ];
    let word = text.split_whitespace().next().unwrap_or_default();
    let Some(kind) = KINDS.into_iter().find(|kind| *kind == word) else {
        return Err(match word {
            _ if word.starts_with("sk-") => RecipientError::SecurityKey("sk-"),
            _ if word.contains("-cert-v01@") => RecipientError::OtherSsh("certificate"),
            _ => RecipientError::Unknown,
        });
    };
    if kind.starts_with("sk-") {
        return Err(RecipientError::SecurityKey(kind));
    }
    // As OpenSSH has it: one space, and what follows the key is a comment.
    let key = text.split_whitespace().nth(1).unwrap_or_default();
    match format!("{kind} {key}").parse() {
        Ok(key) => Ok(Kind::Ssh(Box::new(key))),
        Err(ParseRecipientKeyError::RsaModulusTooSmall) => Err(RecipientError::RsaTooShort),
        Err(ParseRecipientKeyError::RsaModulusTooLarge) => Err(RecipientError::RsaTooLong),
        Err(_) if matches!(kind, "ssh-ed25519" | "ssh-rsa") => Err(RecipientError::DamagedSsh(kind)),
        Err(_) => Err(RecipientError::OtherSsh(kind)),
    }
}

impl TryFrom<String> for Recipient {
    type Error = RecipientError;

    fn try_from(text: String) -> Result<Self, RecipientError> {
        Self::parse(&text)
    }
}

impl From<Recipient> for String {
    fn from(recipient: Recipient) -> Self {
        recipient.to_string()
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::X25519(key) => key.fmt(f),
            Kind::Tag(key) => key.fmt(f),
            Kind::Plugin(key) => key.fmt(f),
            Kind::Ssh(key) => key.fmt(f),
        }
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Recipient {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Recipient {}

impl Lock {
    /// Reads what a holder's share file shall be locked to.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, RecipientError> {
        let is_passphrase = |text: &T| text.as_ref().trim().eq_ignore_ascii_case(PASSPHRASE);
        match texts {
            [] => return Err(RecipientError::Nothing),
            [only] if is_passphrase(only) => return Ok(Self::Passphrase),
            _ if texts.iter().any(is_passphrase) => return Err(RecipientError::PassphraseAmongOthers),
            _ if texts.len() > MOST => return Err(RecipientError::TooMany),
            _ => {}
        }
        let recipients = texts.iter().map(|text| Recipient::parse(text.as_ref()));
        let recipients: Vec<_> = recipients.collect::<Result<_, _>>()?;
        // age says so too, but only once the plugin has run. Another plugin may be fit to stand beside it.
        let is_old = |Recipient(kind): &Recipient| !matches!(kind, Kind::Plugin(_));
        if recipients.iter().any(is_post_quantum) && recipients.iter().any(is_old) {
            return Err(RecipientError::PostQuantumAmongOthers);
        }
        Ok(Self::Recipients(recipients))
    }
}

impl TryFrom<Vec<String>> for Lock {
    type Error = RecipientError;

    fn try_from(texts: Vec<String>) -> Result<Self, RecipientError> {
        Self::parse(&texts)
    }
}

impl From<Lock> for Vec<String> {
    fn from(lock: Lock) -> Self {
        match lock {
            Lock::Recipients(recipients) => recipients.into_iter().map(String::from).collect(),
            Lock::Passphrase => vec![PASSPHRASE.into()],
        }
    }
}

#[cfg(test)]
mod tests;
