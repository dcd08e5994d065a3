//! `init`: the draft of a kit, of what was typed and of kubectl's current context, and a quorum for it.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use gatepass_break_glass::{
    keygen::{self, Invitation},
    kit::{Draft, LONGEST, Limits, Made},
    name::Name,
    recipient::{Lock, Recipient},
    share::can_seal,
};
use rand_core::OsRng;

use super::{
    ceremony::pass_on,
    context::Context,
    delivery::{Delivery, made},
    error::BreakGlassError,
    files::{is_there, read_text, writable},
    join::join,
    kits::Kits,
    open::Desk,
};
use crate::{cli::break_glass::Init, error::Error, escape::Escaped};

/// How long the authority lives, in days: it must not end from disuse.
const AUTHORITY_DAYS: u32 = 20 * 365;

/// After how many days a holder is due for a proof.
const RECERTIFY_DAYS: u32 = 180;

/// Makes a quorum.
pub fn init(command: &Init, desk: &Desk<'_>, out: &mut impl Write) -> Result<(), Error> {
    let kits = Kits::new(desk.paths);
    writable(&command.out)?;
    if command.join {
        return join(command, None, desk, out);
    }
    let draft = draft(command, desk)?;
    draft.check().map_err(BreakGlassError::from)?;
    let kept = kits.all()?.into_iter().filter_map(|(_, kit)| kit.ok());
    let before: Vec<_> = kept
        .filter(|kit| kit.payload().cluster == draft.cluster)
        .collect();
    if let Some(kit) = before.first()
        && !command.rotate
    {
        return Err(BreakGlassError::Typed(format!(
            "this machine keeps a kit of {} already (words: {}); to make one that takes its place, add --rotate; to change \
             its holders, use reshare",
            draft.cluster,
            kit.words()
        ))
        .into());
    }
    can_lock(recipients(&draft.holders))?;
    if command.apart {
        let me = desk.name(command.by.as_deref())?;
        if !draft.holders.iter().any(|(name, _)| *name == me) {
            let names = Name::list(draft.holders.iter().map(|(name, _)| name));
            return Err(BreakGlassError::Typed(format!(
                "{me} is not among the holders ({names}); say who you are: --as NAME"
            ))
            .into());
        }
        let invitation = Invitation::new(draft, &mut OsRng).map_err(BreakGlassError::from)?;
        desk.terminal.say("Send this invitation to all other holders. Each runs: kubectl gatepass break-glass init --join --as NAME\n");
        pass_on(&invitation, out)?;
        join(command, Some(invitation), desk, out)?;
    } else {
        side_by_side(command, &draft, desk)?;
    }
    for kit in &before {
        desk.terminal.say(&format!(
            "\nThe kit with the words `{}` is still trusted as long as its authority's certificate (… {}) lies in the API server's \
             client CA bundle. Take it out there once the new one is in and a drill went well; then destroy its share files, \
             and remove it from {}.",
            kit.words(),
            kit.authority_id(),
            desk.paths.kit_dir().display()
        ));
    }
    Ok(())
}

/// What the kit will say, of what was typed and of kubectl's current context.
fn draft(command: &Init, desk: &Desk<'_>) -> Result<Draft, BreakGlassError> {
    let needs_context = command.server.is_none();
    let context = match needs_context {
        true => Some(Context::current()?),
        false => None,
    };
    let of_context = |what: fn(&Context) -> Option<String>| context.as_ref().and_then(what);
    let missing = |what: &str| BreakGlassError::Typed(format!("say {what}"));
    let server_ca = match &command.server_ca {
        Some(path) => read_text(path)?,
        None => of_context(|context| Some(context.server_ca.clone()))
            .ok_or_else(|| missing("--server-ca FILE"))?,
    };
    let longest = match command.longest {
        None => LONGEST,
        Some(longest) => u32::try_from(longest.whole_seconds()).unwrap_or(u32::MAX),
    };
    let openers: Result<_, _> = command.openers.iter().cloned().map(Name::try_from).collect();
    let mut holders: Vec<(Name, Vec<String>)> = Vec::new();
    for text in &command.holders {
        let (name, recipient) = holder(text)?;
        match holders.iter_mut().find(|(other, _)| *other == name) {
            Some((_, recipients)) => recipients.push(recipient),
            None => holders.push((name, vec![recipient])),
        }
    }
    for (name, recipients) in &mut holders {
        *recipients = locked(name, recipients)?.into();
    }
    Ok(Draft {
        cluster: command
            .cluster
            .clone()
            .or_else(|| of_context(|context| Some(context.cluster.clone())))
            .ok_or_else(|| missing("--cluster NAME"))?,
        issuer: command
            .issuer
            .clone()
            .or_else(|| of_context(|context| context.issuer.clone())),
        server: command
            .server
            .clone()
            .or_else(|| of_context(|context| Some(context.server.clone())))
            .ok_or_else(|| missing("--server URL"))?,
        server_ca,
        made: match command.apart {
            true => Made::Apart,
            false => Made::OneMachine,
        },
        created: desk.clock.now().unix_timestamp(),
        authority_days: AUTHORITY_DAYS,
        threshold: command.threshold.ok_or_else(|| missing("--threshold M"))?,
        holders,
        limits: Limits {
            longest_seconds: longest,
            openers: openers?,
            recertify_days: RECERTIFY_DAYS,
        },
    })
}

/// `NAME=RECIPIENT`; the recipient may be a file with a public key.
pub(super) fn holder(text: &str) -> Result<(Name, String), BreakGlassError> {
    let Some((name, recipient)) = text.split_once('=') else {
        return Err(BreakGlassError::Typed(format!(
            "a holder is NAME=RECIPIENT; this is not: {}",
            Escaped(text)
        )));
    };
    let name = Name::try_from(name.to_owned())?;
    let path = Path::new(recipient);
    let recipient = match recipient.ends_with(".pub") && path.is_file() {
        true => read_text(path)?.trim().to_owned(),
        false => recipient.to_owned(),
    };
    Ok((name, recipient))
}

/// Holders and their recipients, as [`can_lock`] takes them.
pub(super) fn recipients(holders: &[(Name, Vec<String>)]) -> impl Iterator<Item = (&Name, &[String])> {
    holders
        .iter()
        .map(|(name, recipients)| (name, recipients.as_slice()))
}

/// What a holder's share file is locked to.
pub(super) fn locked(name: &Name, recipients: &[String]) -> Result<Lock, BreakGlassError> {
    Lock::parse(recipients).map_err(|source| BreakGlassError::Recipient {
        name: name.clone(),
        source,
    })
}

/// Sees to it that all these share files can be locked here, before people have done their part for nothing.
pub(super) fn can_lock<'h>(
    holders: impl IntoIterator<Item = (&'h Name, &'h [String])>,
) -> Result<(), BreakGlassError> {
    for (name, recipients) in holders {
        if let Lock::Recipients(recipients) = locked(name, recipients)? {
            can_seal(&recipients).map_err(|source| BreakGlassError::Lock {
                name: name.clone(),
                source,
            })?;
        }
    }
    Ok(())
}

fn side_by_side(command: &Init, draft: &Draft, desk: &Desk<'_>) -> Result<(), Error> {
    let own = identities(&command.identities)?;
    for (name, path) in &own {
        if !draft.holders.iter().any(|(holder, _)| holder == name) {
            let names = Name::list(draft.holders.iter().map(|(name, _)| name));
            let why = format!("--identity {name}=…: there is no such holder; there are {names}");
            return Err(BreakGlassError::Typed(why).into());
        }
        is_there(path)?;
    }
    let (kit, shares) = keygen::side_by_side(draft, &mut OsRng).map_err(BreakGlassError::from)?;
    let identities = own.into_iter().map(|(name, path)| (Some(name), path));
    let delivery = Delivery::new(&kit, &command.out, desk, identities);
    delivery.all(shares, made(&kit))
}

/// `NAME=FILE`, each.
pub(super) fn identities(texts: &[String]) -> Result<Vec<(Name, PathBuf)>, BreakGlassError> {
    let pairs = texts.iter().map(|text| match text.split_once('=') {
        Some((name, path)) => Ok((Name::try_from(name.to_owned())?, PathBuf::from(path))),
        None => Err(BreakGlassError::Typed(format!(
            "--identity is NAME=FILE here; this is not: {}",
            Escaped(text)
        ))),
    });
    pairs.collect()
}

/// What a kit's file tells of recipients, for people.
pub fn recipient_words(text: &str) -> String {
    match Recipient::parse(text) {
        Ok(recipient) => recipient.to_string(),
        Err(_) => Escaped(text).to_string(),
    }
}
