use std::fmt;

use crate::revocation::is_session_id;

/// What every group of Gatepass's own begins with.
pub const GROUP_PREFIX: &str = "gatepass:";
const PREFIX: &str = "gatepass:session:";
/// Base32 of 16 bytes.
const TAG_LEN: usize = 26;

/// The group that ties a certificate to a session: `gatepass:session:<session id>:<login time>:<not after>:<tag>`.
///
/// What it says is worth nothing until its tag was verified, which only an issuer can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker<'a> {
    /// The session id.
    pub session: &'a str,
    /// When the login began, in Unix seconds.
    pub login_time: i64,
    /// When the certificate ends, in Unix seconds.
    pub not_after: i64,
    /// The tag.
    pub tag: &'a str,
}

impl<'a> Marker<'a> {
    /// The parts of a group that is exactly a marker.
    pub fn parse(group: &'a str) -> Option<Self> {
        let mut fields = group.strip_prefix(PREFIX)?.split(':');
        let (session, login, end, tag) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let marker = Self {
            session,
            login_time: login.parse().ok()?,
            not_after: end.parse().ok()?,
            tag,
        };
        let is_tag = tag.len() == TAG_LEN && tag.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'));
        // Written again it must be the same text: no plus sign, no leading zero, no fifth field.
        (is_session_id(session) && is_tag && marker.to_string() == group).then_some(marker)
    }

    /// The subject id: the session id's first half.
    pub fn subject_id(&self) -> &'a str {
        self.session
            .split_once('-')
            .map_or(self.session, |(subject, _)| subject)
    }
}

impl fmt::Display for Marker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            session,
            login_time,
            not_after,
            tag,
        } = self;
        write!(f, "{PREFIX}{session}:{login_time}:{not_after}:{tag}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_parses_exactly_or_not_at_all() {
        let (id, tag) = ("a".repeat(26), "b".repeat(26));
        let text = format!("gatepass:session:{id}-{id}:1790000000:1790000600:{tag}");
        let marker = Marker::parse(&text).unwrap();
        assert_eq!(
            (marker.login_time, marker.not_after),
            (1_790_000_000, 1_790_000_600)
        );
        assert_eq!(
            (marker.subject_id(), marker.to_string()),
            (id.as_str(), text.clone())
        );
        for (from, to) in [
            ("gatepass:session:", "gatepass:sessions:"),
            (":1790000000:", ":01790000000:"),
            (":1790000000:", ":+1790000000:"),
            (":1790000000:", ": 1790000000:"),
            (":1790000000:", ":99999999999999999999:"),
            (":1790000000:", ":"),
            (tag.as_str(), "bbb"),
            (tag.as_str(), "BBBBBBBBBBBBBBBBBBBBBBBBBB"),
        ] {
            assert_eq!(Marker::parse(&text.replacen(from, to, 1)), None, "{from} {to}");
        }
        assert_eq!(Marker::parse(&format!("{text}:")), None);
        assert_eq!(Marker::parse(&format!("{text}\n")), None);
    }
}
