//! `verify`: what a kit or a share file is, and the page for bad nights.

use std::{io::Write, sync::Arc};

use gatepass_break_glass::{
    approver::{Fit, fit},
    identity::Person,
    kit::{Kit, Made},
    log::Event,
    name::Name,
    recipient::Lock,
    share::Share,
};
use serde_json::json;
use time::OffsetDateTime;

use super::{
    entry, error::BreakGlassError, files::replace, holders, init::recipient_words, journal::Journal,
    kits::Kits, open::Desk, page, standing::due,
};
use crate::{
    cli::{Output, break_glass::Verify},
    error::Error,
    escape::{self, Escaped},
};

/// Verifies a kit and, if named, a share file.
pub fn verify(command: &Verify, desk: &Desk<'_>, out: &mut impl Write) -> Result<(), Error> {
    let kits = Kits::new(desk.paths);
    let kit = kits.kit(command.kit.as_deref())?;
    if command.print {
        return write!(out, "{}", page::page(&kit, desk.clock.now())).map_err(Error::Output);
    }
    if command.ca {
        return write!(out, "{}", kit.certificate_pem()).map_err(Error::Output);
    }
    if command.kubeconfig {
        let text = escape::yaml(&entry::kubeconfig(&kit)).map_err(Error::Output)?;
        return write!(out, "{text}").map_err(Error::Output);
    }
    show(&kit, command.output, desk.clock.now(), out)?;
    if let Some(path) = &command.share {
        let share = holders::open(path, &command.identities, &desk.terminal)?;
        let fit = fit(&share, &kit).map_err(BreakGlassError::from)?;
        let holder = share.holder().clone();
        match fit {
            Fit::Confirmed => desk.terminal.say(&format!("{holder}: your share file opens, and belongs to this kit.")),
            Fit::Newer { confirmed } => desk.terminal.say(&format!(
                "{holder}: your share file opens, and belongs to revision {confirmed} of this kit; this is revision {}, signed by a \
                 quorum. Once you have compared its words by voice, --confirm makes your share take no older one.",
                kit.payload().revision
            )),
        }
        if command.confirm {
            confirm(&kit, share, path, desk)?;
        }
    }
    if command.keep {
        let path = kits.keep(&kit)?;
        desk.terminal
            .say(&format!("A copy of the kit is kept in {}.", path.display()));
    }
    Ok(())
}

/// Writes a share file anew, for the revision of the kit at hand.
fn confirm(kit: &Kit, share: Share, path: &std::path::Path, desk: &Desk<'_>) -> Result<(), BreakGlassError> {
    let holder = share.holder().clone();
    let question = format!("{holder}: do you confirm the words `{}`?", kit.words());
    if !desk.terminal.yes(&question)? {
        return Err(BreakGlassError::Declined(holder));
    }
    let recipients = kit.holder(&holder).map(|holder| holder.recipients.clone());
    let lock = Lock::parse(&recipients.unwrap_or_default()).map_err(|source| BreakGlassError::Recipient {
        name: holder.clone(),
        source,
    })?;
    let person = Arc::clone(&desk.terminal) as Arc<dyn Person>;
    let share = Share::of(kit, holder.clone(), share.key_package().clone());
    let text = share
        .encrypt(&lock, &person)
        .map_err(|source| BreakGlassError::Share {
            path: path.to_owned(),
            source,
        })?;
    replace(path, &text, 0o600)?;
    Journal::new(desk.paths, desk.clock, &desk.terminal).add(Event::KitConfirmed {
        kit: kit.hash(),
        holder: holder.clone(),
    })?;
    desk.terminal.say(&format!(
        "{holder}: confirmed; {} belongs to this revision now.",
        path.display()
    ));
    Ok(())
}

fn show(kit: &Kit, output: Output, now: OffsetDateTime, out: &mut impl Write) -> Result<(), Error> {
    let payload = kit.payload();
    let due = due(kit, now);
    let holders: Vec<_> = payload
        .holders
        .iter()
        .map(|holder| {
            json!({
                "name": holder.name,
                "recipients": holder.recipients.iter().map(|text| recipient_words(text)).collect::<Vec<_>>(),
                "confirmed": (holder.confirmed > 0).then(|| rfc3339(holder.confirmed)),
                "due": due.contains(&holder.name),
            })
        })
        .collect();
    let made = match payload.made {
        Made::OneMachine => "oneMachine",
        Made::Apart => "apart",
    };
    let value = json!({
        "cluster": payload.cluster,
        "server": payload.server,
        "issuer": payload.issuer,
        "revision": payload.revision,
        "hash": kit.hash(),
        "words": kit.words().to_string(),
        "threshold": payload.threshold,
        "holders": holders,
        "longestSeconds": payload.limits.longest_seconds,
        "openers": payload.limits.openers,
        "made": made,
        "created": rfc3339(payload.created),
        "authority": {
            "id": kit.authority_id(),
            "fingerprint": fingerprint(kit),
            "notAfter": rfc3339(payload.authority.not_after),
        },
    });
    let text = match output {
        Output::Json => escape::json(&serde_json::to_string_pretty(&value).expect("plain JSON")),
        Output::Yaml => escape::yaml(&value).map_err(Error::Output)?,
        Output::Text => words(kit, &due),
    };
    writeln!(out, "{}", text.trim_end()).map_err(Error::Output)
}

/// What a kit is, in words.
pub(super) fn words(kit: &Kit, due: &[Name]) -> String {
    let payload = kit.payload();
    let mut lines = vec![
        format!(
            "The kit is signed by its own quorum. Whether that is yours, only its words tell:\n\n    {}\n",
            kit.words()
        ),
        format!(
            "  cluster       {}, {}",
            Escaped(&payload.cluster),
            Escaped(&payload.server)
        ),
        format!(
            "  issuer        {}",
            payload
                .issuer
                .as_deref()
                .map_or("none".into(), |url| Escaped(url).to_string())
        ),
        format!(
            "  revision      {}; the authority was made {}",
            payload.revision,
            rfc3339(payload.created)
        ),
        format!(
            "  quorum        {} of {} holders",
            payload.threshold,
            payload.holders.len()
        ),
    ];
    for holder in &payload.holders {
        let due = if due.contains(&holder.name) {
            "; DUE for recertification"
        } else {
            ""
        };
        // 0 is who has a share since a reshare and has not signed with it.
        let proved = match holder.confirmed {
            0 => "has not proved their new share yet".to_owned(),
            at => format!("last proved their share {}", rfc3339(at)),
        };
        lines.push(format!("    {:<12}{proved}{due}", holder.name.as_str()));
        for recipient in &holder.recipients {
            lines.push(format!(
                "                locked to {}",
                recipient_words(recipient)
            ));
        }
    }
    let openers = &payload.limits.openers;
    lines.push(format!(
        "  may open      {}, for {} minutes at most",
        if openers.is_empty() {
            "anybody whom a quorum believes".into()
        } else {
            Name::list(openers)
        },
        payload.limits.longest_seconds / 60
    ));
    lines.push(match payload.made {
        Made::OneMachine => {
            "  key           all shares were in the memory of one machine: it was as trusted as a CA's".into()
        }
        Made::Apart => {
            "  key           each share was made on its holder's machine, and was nowhere else".to_owned()
        }
    });
    lines.push(format!(
        "  authority     {} (SHA-256 of its certificate), until {}",
        fingerprint(kit),
        rfc3339(payload.authority.not_after)
    ));
    if payload.revision > 1 {
        lines.push(format!(
            "  NOTE          {} shares that a reshare replaced, kept together, still sign",
            payload.threshold
        ));
    }
    lines.join("\n")
}

/// The SHA-256 of the authority's certificate, as `openssl x509 -fingerprint -sha256` shows it, without colons.
pub fn fingerprint(kit: &Kit) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, kit.certificate());
    data_encoding::HEXUPPER.encode(hash.as_ref())
}

pub(super) fn rfc3339(unix: i64) -> String {
    use time::format_description::well_known::Rfc3339;
    let time = OffsetDateTime::from_unix_timestamp(unix).ok();
    time.and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{unix} s after 1970"))
}
