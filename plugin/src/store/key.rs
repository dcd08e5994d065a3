//! How an entry is called in every store: one readable text from which its parts can be read back.

use std::path::Path;

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A certificate and its key, good for minutes at one cluster.
    Credential {
        /// URL of the cluster's issuer.
        issuer: &'a str,
        /// Whose it is, where one person has several accounts.
        profile: &'a str,
    },
    /// One login at one identity provider.
    Session {
        /// The identity provider.
        idp: &'a str,
        /// Our client id there.
        client_id: &'a str,
        /// Whose it is, where one person has several accounts.
        profile: &'a str,
    },
    /// The key of a certificate that a quorum signed.
    BreakGlass {
        /// The certificate's credential ID: a key never stands in for another's.
        credential: &'a str,
    },
    /// Nothing: whether a place takes and gives back what it is to hold is tried with it.
    Trial,
}

/// The name of a session that a store holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionName {
    /// The identity provider.
    pub idp: String,
    /// Our client id there.
    pub client_id: String,
    /// Whose it is.
    pub profile: String,
}

impl SessionName {
    /// The entry of this session.
    pub fn entry(&self) -> Entry<'_> {
        Entry::Session {
            idp: &self.idp,
            client_id: &self.client_id,
            profile: &self.profile,
        }
    }
}

impl Entry<'_> {
    /// What people call it.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Credential { issuer, .. } => format!("Gatepass credential for {issuer}"),
            Self::Session { idp, .. } => format!("Gatepass session at {idp}"),
            Self::BreakGlass { credential } => format!("Gatepass break-glass key of {credential}"),
            Self::Trial => "Gatepass trial of the keyring".into(),
        }
    }

    /// The name of the entry. Parts are percent-encoded, so no part can hold the separator, and two entries never share
    /// a name. The state directory is a part: two homes of one user are two people as far as we know.
    pub(crate) fn key(&self, state_dir: &Path) -> String {
        let (kind, parts): (_, &[&str]) = match self {
            Self::Credential { issuer, profile } => (CREDENTIAL, &[issuer, profile]),
            Self::Session {
                idp,
                client_id,
                profile,
            } => (SESSION, &[idp, client_id, profile]),
            Self::BreakGlass { credential } => (BREAK_GLASS, &[credential]),
            Self::Trial => (TRIAL, &[]),
        };
        let mut key = kind.to_owned();
        for part in parts
            .iter()
            .map(|part| part.as_bytes())
            .chain([state_dir.as_os_str().as_encoded_bytes()])
        {
            key.push(':');
            escape(part, &mut key);
        }
        key
    }
}

/// Reads the session out of an entry's name; `None` for credentials, for names of another home and for foreign ones.
pub(crate) fn session(key: &str, state_dir: &Path) -> Option<SessionName> {
    let mut parts = key.split(':');
    if parts.next() != Some(SESSION) {
        return None;
    }
    let mut part = || String::from_utf8(unescape(parts.next()?)?).ok();
    let name = SessionName {
        idp: part()?,
        client_id: part()?,
        profile: part()?,
    };
    // Writing the name again compares the home, refuses what follows it, and any other spelling of the same parts.
    (name.entry().key(state_dir) == key).then_some(name)
}

const CREDENTIAL: &str = "credential";
const SESSION: &str = "session";
const BREAK_GLASS: &str = "break-glass";
const TRIAL: &str = "trial";

fn escape(bytes: &[u8], into: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        // `/` stays as it is: URLs and paths are easier to read with it, and it separates nothing here.
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push('%');
            into.push(char::from(HEX[usize::from(byte >> 4)]));
            into.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'%' {
            digit(bytes.next()?)? << 4 | digit(bytes.next()?)?
        } else {
            byte
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(entry: Entry<'_>) -> String {
        entry.key(Path::new("/home/alice/.local/state/gatepass"))
    }

    #[test]
    fn is_readable() {
        let entry = Entry::Credential {
            issuer: "https://issuer.example.com:8443",
            profile: "default",
        };
        let expected =
            "credential:https%3A//issuer.example.com%3A8443:default:/home/alice/.local/state/gatepass";
        assert_eq!(key(entry), expected);
    }

    #[test]
    fn ambiguous_parts_do_not_collide() {
        let session = |idp, client_id, profile| {
            key(Entry::Session {
                idp,
                client_id,
                profile,
            })
        };
        let credential = |issuer, profile| key(Entry::Credential { issuer, profile });
        let keys = [
            session("a", "b", "c"),
            session("a:b", "c", ""),
            session("a", "b:c", ""),
            session("a", "", "b:c"),
            session("a%3Ab", "c", ""),
            session("", "a", "b"),
            session("a b", "c", ""),
            session("a\0b", "c", ""),
            session("ä", "c", ""),
            credential("a", "b"),
            credential("a:b", ""),
            credential("a%3Ab", ""),
            credential("a", "b:c"),
            key(Entry::BreakGlass { credential: "a" }),
            key(Entry::BreakGlass { credential: "a:b" }),
            key(Entry::Trial),
        ];
        for (at, one) in keys.iter().enumerate() {
            assert!(one.is_ascii() && !one.contains(' '), "{one}");
            assert!(!keys[at + 1..].contains(one), "{one} is there twice");
        }
    }

    #[test]
    fn two_homes_never_share_an_entry() {
        let entry = Entry::Credential {
            issuer: "https://issuer",
            profile: "",
        };
        assert_ne!(entry.key(Path::new("/home/a")), entry.key(Path::new("/home/b")));
    }

    #[test]
    fn sessions_are_read_back() {
        let home = Path::new("/home/alice");
        let name = SessionName {
            idp: "https://idp.example.com/a:b%2F".into(),
            client_id: "gate pass".into(),
            profile: "ärger".into(),
        };
        let key = name.entry().key(home);
        assert_eq!(session(&key, home), Some(name));
        assert_eq!(session(&key, Path::new("/home/bob")), None);
        assert_eq!(session(&format!("{key}:x"), home), None);
        assert_eq!(session(&key.replace("%3A", "%3a"), home), None);
        for foreign in [
            "",
            "session",
            "session:%",
            "session:%4:b:c:/home/alice",
            "credential:a:b:/home/alice",
        ] {
            assert_eq!(session(foreign, home), None, "{foreign}");
        }
    }
}
