use std::fmt;

use crate::escape::is_unseen;

/// What Kubernetes, kubeadm and Gatepass itself give meaning to; nothing that a provider says may begin so.
const RESERVED: [&str; 4] = ["system:", "kubeadm:", "gatepass:", "break-glass:"];
const MAX_USERNAME: usize = 253;
/// Far above any real name; keeps one claim from filling a certificate that every request carries.
const MAX_OTHER: usize = 1024;

/// What a string names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// A username.
    Username,
    /// A group.
    Group,
    /// A UID.
    Uid,
}

/// Why a name is never issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is empty.
    Empty,
    /// It begins with a reserved prefix.
    Reserved(&'static str),
    /// It begins or ends with a blank.
    Blank,
    /// It has a control or format character.
    Unseen,
    /// It is too long.
    TooLong(usize),
}

/// A name that is never issued. The name itself is not repeated: it may be built to deceive whoever reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forbidden {
    named: Named,
    fault: Fault,
}

impl Forbidden {
    pub(super) fn empty(named: Named) -> Self {
        Self {
            named,
            fault: Fault::Empty,
        }
    }
}

impl std::error::Error for Forbidden {}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = match self.named {
            Named::Username => "the username",
            Named::Group => "a group",
            Named::Uid => "the UID",
        };
        match self.fault {
            Fault::Empty => write!(f, "{named} is empty"),
            Fault::Reserved(prefix) => write!(f, "{named} begins with the reserved `{prefix}`"),
            Fault::Blank => write!(f, "{named} begins or ends with a blank"),
            Fault::Unseen => write!(f, "{named} has a control or format character"),
            Fault::TooLong(limit) => write!(f, "{named} is longer than {limit} bytes"),
        }
    }
}

/// The reserved prefix that `name` begins with, if any.
pub(crate) fn reserved(name: &str) -> Option<&'static str> {
    RESERVED.into_iter().find(|prefix| name.starts_with(prefix))
}

pub(super) fn check(named: Named, name: &str) -> Result<(), Forbidden> {
    let limit = if named == Named::Username {
        MAX_USERNAME
    } else {
        MAX_OTHER
    };
    let fault = if name.is_empty() {
        Fault::Empty
    } else if let Some(prefix) = reserved(name) {
        Fault::Reserved(prefix)
    } else if name.starts_with(char::is_whitespace) || name.ends_with(char::is_whitespace) {
        Fault::Blank
    } else if name.chars().any(is_unseen) {
        Fault::Unseen
    } else if name.len() > limit {
        Fault::TooLong(limit)
    } else {
        return Ok(());
    };
    Err(Forbidden { named, fault })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(named: Named, name: &str) -> Option<Fault> {
        check(named, name).err().map(|forbidden| forbidden.fault)
    }

    #[test]
    fn ordinary_names_pass() {
        for name in [
            "alice",
            "idp:alice@example.com",
            "Zoë van Dam",
            "systemd",
            "a\u{a0}b",
            "system",
            "cn=a,dc=b",
        ] {
            for named in [Named::Username, Named::Group, Named::Uid] {
                assert_eq!(fault(named, name), None, "{name:?}");
            }
        }
    }

    #[test]
    fn names_are_refused_for_each_reason() {
        for (name, expected) in [
            ("", Fault::Empty),
            ("system:masters", Fault::Reserved("system:")),
            ("system:", Fault::Reserved("system:")),
            ("kubeadm:cluster-admins", Fault::Reserved("kubeadm:")),
            ("gatepass:session:x", Fault::Reserved("gatepass:")),
            ("break-glass:alice", Fault::Reserved("break-glass:")),
            (" alice", Fault::Blank),
            ("alice\u{2003}", Fault::Blank),
            ("al\nice", Fault::Unseen),
            ("al\0ice", Fault::Unseen),
            ("al\u{202e}ice", Fault::Unseen),
            ("al\u{200b}ice", Fault::Unseen),
            ("al\u{feff}ice", Fault::Unseen),
            ("al\u{2028}ice", Fault::Unseen),
            ("al\u{85}ice", Fault::Unseen),
            ("al\u{e0061}ice", Fault::Unseen),
        ] {
            for named in [Named::Username, Named::Group, Named::Uid] {
                assert_eq!(fault(named, name), Some(expected), "{name:?}");
            }
        }
    }

    #[test]
    fn lengths_are_limited() {
        assert_eq!(fault(Named::Username, &"a".repeat(253)), None);
        assert_eq!(
            fault(Named::Username, &"a".repeat(254)),
            Some(Fault::TooLong(253))
        );
        assert_eq!(fault(Named::Group, &"a".repeat(1024)), None);
        assert_eq!(fault(Named::Group, &"a".repeat(1025)), Some(Fault::TooLong(1024)));
        assert_eq!(fault(Named::Uid, &"a".repeat(1025)), Some(Fault::TooLong(1024)));
    }
}
