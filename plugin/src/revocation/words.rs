//! What revocations do, for whoever has just written one.

use gatepass_api::revocation::{LOGIN_LEEWAY, Revocation, Target};
use time::{Duration, OffsetDateTime};

use super::{
    confirm::{Found, PATIENCE, Verdict},
    list::target_words,
    when::{parse_time, written},
};
use crate::escape::Escaped;

/// What lives on whatever is revoked.
const LIVES_ON: &str = "open watches (an hour at most); exec and port-forward sessions (until closed); service account tokens,\n                 \
     bindings and whatever else was made before";

/// Tells what each does by what was found of it, what none does, and the way back. `flags` go to the commands to type.
pub(super) fn tell(written: &[Revocation], found: &[Found], flags: &str) -> String {
    let mut text = String::new();
    let ends_session = written
        .iter()
        .any(|one| matches!(one.spec.target, Target::Session(_)));
    for (revocation, found) in written.iter().zip(found) {
        text.push_str(&one(revocation, ends_session, found));
    }
    let names: Vec<_> = written.iter().map(|one| one.metadata.name.as_str()).collect();
    let is_refused = |found: &Found| matches!(found, Found::Said(Verdict::Refused(_)));
    if !found.iter().all(is_refused) {
        text.push_str(&line("does not end", LIVES_ON));
    }
    text.push_str(&line(
        "undo",
        &format!("kubectl gatepass unrevoke {}{flags}", names.join(" ")),
    ));
    text
}

/// `ends_session`: whether the certificate's session was revoked with it.
fn one(revocation: &Revocation, ends_session: bool, found: &Found) -> String {
    let spec = &revocation.spec;
    let who = target_words(&spec.target);
    let last = last_denied_login(revocation);
    let until = format!("until {last} (a minute more, because clocks differ)");
    let name = line("revocation", &revocation.metadata.name);
    let mut text = match found {
        Found::Said(Verdict::Refused(why)) => {
            let why = line("refused", &format!("the issuer says: {}", Escaped(why)));
            return format!("not revoked: {who}\n{name}{why}");
        }
        Found::Said(Verdict::Accepted) => format!("revoked: {who}\n{name}"),
        Found::Nothing | Found::Forbidden | Found::Gone | Found::Unseen(_) => {
            let doubt = found.doubt(PATIENCE).unwrap_or_default();
            format!("not confirmed: {who}\n{name}{}", line("in force?", &doubt))
        }
    };
    let denied = match (&spec.target, spec.block_issuance) {
        (Target::Session(_), _) => "every certificate of the session, and each renewal".into(),
        (Target::CredentialId(_), _) => "this certificate".into(),
        (Target::User(_) | Target::Subject(_) | Target::Uid(_) | Target::Group(_), true) => {
            format!("every credential of {who}, whenever it was made")
        }
        (Target::Subject(_), false) => format!("what comes from a login {until}"),
        (Target::User(_) | Target::Uid(_) | Target::Group(_), false) => format!(
            "what comes from a login {until};\n                 credentials of {who} that are not Gatepass's: always"
        ),
    };
    text.push_str(&line("denied", &denied));
    let logins = match (&spec.target, spec.block_issuance) {
        (_, true) => "are refused, too".into(),
        (Target::Session(_), false) => {
            "work, also by the same person; to prevent them: kubectl gatepass revoke --user NAME --block"
                .into()
        }
        (Target::CredentialId(_), false) if ends_session => {
            "work; renewals are refused with the session".into()
        }
        (Target::CredentialId(_), false) => "work, and so do renewals".into(),
        (Target::User(_) | Target::Subject(_) | Target::Uid(_) | Target::Group(_), false) => {
            format!("work after {last}; --block would refuse them")
        }
    };
    text.push_str(&line("new logins", &logins));
    let end = match (&spec.expires_at, &spec.target) {
        (Some(end), _) => Escaped(end).to_string(),
        (None, Target::Session(_)) => "the session has ended anyway".into(),
        (
            None,
            Target::User(_)
            | Target::Subject(_)
            | Target::Uid(_)
            | Target::Group(_)
            | Target::CredentialId(_),
        ) => "it is undone".into(),
    };
    text.push_str(&line("until", &end));
    if let Some(reason) = &spec.reason {
        text.push_str(&line("they are told", &Escaped(reason).to_string()));
    }
    text
}

fn line(name: &str, words: &str) -> String {
    format!("  {name:<15}{words}\n")
}

/// The last login time that is denied, by what the store says.
fn last_denied_login(revocation: &Revocation) -> String {
    let created = revocation.metadata.creation_timestamp.as_ref();
    let before = revocation.spec.logged_in_before.as_ref().or(created);
    before
        .and_then(|time| parse_time(time).ok())
        .and_then(|time| written(time.checked_add(Duration::seconds(LOGIN_LEEWAY))?))
        .unwrap_or_else(|| "a minute after it was written".into())
}

/// What to say if this machine's clock, by which the end was reckoned, is not the API server's.
pub(super) fn clock_note(revocation: &Revocation, now: OffsetDateTime) -> Option<String> {
    let created = revocation.metadata.creation_timestamp.as_deref()?;
    let off = (now - parse_time(created).ok()?).whole_seconds();
    revocation.spec.expires_at.as_ref()?;
    let direction = if off > 0 { "later" } else { "earlier" };
    (off.abs() > LOGIN_LEEWAY).then(|| {
        format!(
            "this machine's clock is {} s off the API server's, so the revocation ends that much {direction} than meant; \
             please set it",
            off.abs()
        )
    })
}

/// An argument for a shell to copy.
pub(super) fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:@=,+%".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        text.into()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use gatepass_api::revocation::RevocationSpec;
    use time::macros::datetime;

    use super::*;

    fn revocation(target: Target, block_issuance: bool, expires_at: Option<&str>) -> Revocation {
        let spec = RevocationSpec {
            target,
            logged_in_before: None,
            block_issuance,
            reason: Some("laptop\u{1b}[2J".into()),
            expires_at: expires_at.map(str::to_owned),
        };
        let mut revocation = Revocation::new("n".into(), spec);
        revocation.metadata.creation_timestamp = Some("2026-11-22T00:00:00Z".into());
        revocation
    }

    fn tell(written: &[Revocation], flags: &str) -> String {
        super::tell(
            written,
            &vec![Found::Said(Verdict::Accepted); written.len()],
            flags,
        )
    }

    #[test]
    fn nobody_is_told_that_somebody_is_revoked_before_an_issuer_says_so() {
        let alice = || revocation(Target::User("alice".into()), false, None);
        for found in [
            Found::Nothing,
            Found::Forbidden,
            Found::Gone,
            Found::Unseen("why".into()),
        ] {
            let told = super::tell(&[alice()], std::slice::from_ref(&found), "");
            assert!(
                told.starts_with("not confirmed: user alice\n  revocation     n\n  in force?      "),
                "{told}"
            );
            assert!(
                told.contains("unrevoke n") && !told.contains("revoked: user"),
                "{told}"
            );
        }
        let refused = Found::Said(Verdict::Refused("It is ignored: \u{1b}[2J.".into()));
        let told = super::tell(&[alice()], &[refused], "");
        assert!(
            told.starts_with("not revoked: user alice\n")
                && told.contains("the issuer says: It is ignored: \\u{1b}[2J.")
                && !told.contains("new logins")
                && !told.contains("does not end"),
            "{told}"
        );
    }

    #[test]
    fn it_tells_who_is_denied_until_when_and_what_goes_on() {
        let alice = || Target::User("alice".into());
        let told = tell(
            &[revocation(alice(), false, Some("2026-12-22T00:00:00Z"))],
            " --context=x",
        );
        for words in [
            "revoked: user alice\n",
            "from a login until 2026-11-22T00:01:00Z",
            "new logins     work after 2026-11-22T00:01:00Z",
            "until          2026-12-22T00:00:00Z",
            "they are told  laptop\\u{1b}[2J",
            "open watches",
            "kubectl gatepass unrevoke n --context=x\n",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert!(tell(&[revocation(alice(), true, None)], "").contains("new logins     are refused, too"));
        let session = tell(&[revocation(Target::Session("s".into()), false, None)], "");
        assert!(
            session.contains("until          the session has ended anyway"),
            "{session}"
        );
        assert!(
            told.lines()
                .chain(session.lines())
                .all(|line| line.chars().count() <= 120),
            "{told}{session}"
        );
    }

    #[test]
    fn a_clock_that_is_off_is_named_where_it_moves_the_end() {
        let now = datetime!(2026-11-22 00:10:00 UTC);
        let of = |end| clock_note(&revocation(Target::User("a".into()), false, end), now);
        assert!(of(Some("2026-12-22T00:00:00Z")).unwrap().contains("600 s off"));
        assert_eq!(of(None), None);
    }

    #[test]
    fn what_is_to_be_copied_survives_a_shell() {
        assert_eq!(quoted("prod-eu"), "prod-eu");
        assert_eq!(quoted("a b'; rm"), r"'a b'\''; rm'");
    }
}
