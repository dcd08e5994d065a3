//! `reshare`: other holders, or other shares, for the same authority.

use frost_ed25519::keys::KeyPackage;
use gatepass_break_glass::{
    approver::fit,
    kit::Kit,
    log::Event,
    name::Name,
    reshare::{Change, check, reshare as reshare_shares},
};
use rand_core::OsRng;

use super::{
    delivery::Delivery,
    error::BreakGlassError,
    files::writable,
    holders,
    init::{can_lock, holder, locked, recipient_words, recipients},
    kits::Kits,
    open::Desk,
};
use crate::{cli::break_glass::Reshare, error::Error};

/// What is to be delivered.
struct Reshared {
    change: Change,
    new: Kit,
    shares: Vec<(Name, KeyPackage)>,
}

/// Replaces or removes holders.
pub(super) fn reshare(command: &Reshare, desk: &Desk<'_>) -> Result<(), Error> {
    let terminal = &desk.terminal;
    let kit = Kits::new(desk.paths).kit(command.which.kit.as_deref())?;
    let Reshared { change, new, shares } = make(command, &kit, desk)?;
    let identities = command.shares.identities.iter().map(|path| (None, path.clone()));
    let delivery = Delivery::new(&new, &command.out, desk, identities);
    let reshared = Event::Reshared {
        previous: kit.hash(),
        kit: new.hash(),
        removed: change.remove.clone(),
        added: change.add.iter().map(|(name, _)| name.clone()).collect(),
    };
    delivery.all(shares, reshared)?;
    for name in change
        .remove
        .iter()
        .filter(|name| new.payload().limits.openers.contains(name))
    {
        terminal.say(&format!(
            "\n{name} holds no share any more, and is still among those who may open."
        ));
    }
    let threshold = kit.payload().threshold;
    terminal.say(&format!(
        "\nREMEMBER: {threshold} OLD shares still sign. Every holder who stays destroys their old share file now; the API server's \
         bundle stays as it is, for the authority is the same."
    ));
    Ok(())
}

/// Makes the next revision of the kit and its shares with those who are present, in memory alone.
fn make(command: &Reshare, kit: &Kit, desk: &Desk<'_>) -> Result<Reshared, BreakGlassError> {
    let terminal = &desk.terminal;
    let remove: Result<_, _> = command.remove.iter().cloned().map(Name::try_from).collect();
    let mut change = Change {
        remove: remove?,
        add: Vec::new(),
    };
    for text in &command.add {
        let (name, recipient) = holder(text)?;
        let lock = locked(&name, &[recipient])?;
        change.add.push((name, lock.into()));
    }
    check(kit, &change)?;
    writable(&command.out)?;
    holders::readable(&command.shares)?;
    if change == Change::default() {
        terminal.say("Nobody is removed or added: all holders get new shares.");
    }
    // Before anybody agrees.
    for line in planned(&change) {
        terminal.say(&line);
    }
    let holders = kit.payload().holders.iter();
    let stay = holders.filter(|holder| !change.remove.contains(&holder.name));
    can_lock(stay.map(|holder| (&holder.name, holder.recipients.as_slice())))?;
    can_lock(recipients(&change.add))?;
    let threshold = kit.payload().threshold;
    terminal.say(&format!(
        "WARNING: {threshold} OLD shares that were kept together still sign, whoever is removed now. Where one may have been \
         copied, or a holder leaves in anger, make a new authority in place of this: kubectl gatepass break-glass init --rotate\nAll \
         holders' old share files are to be destroyed afterwards; only those who stay can: see that they do.\nThis machine will have all \
         shares in its memory, and the kit will say so.\n"
    ));
    if !terminal.yes("Go on?")? {
        return Err(BreakGlassError::Typed("nothing was changed".into()));
    }
    let mut present = Vec::new();
    let mut paths = command.shares.files.clone();
    while present.len() < kit.payload().holders.len() {
        let path = match paths.is_empty() {
            false => paths.remove(0),
            true if present.len() >= threshold.into() && !command.shares.files.is_empty() => break,
            true => match terminal.path("Share file of a present holder (Enter: no more are here):")? {
                Some(path) => path,
                None => break,
            },
        };
        let share = holders::open(&path, &command.shares.identities, terminal)?;
        let name = share.holder().clone();
        let _newer_is_fine_here = fit(&share, kit)?;
        if present.iter().any(|(other, _)| *other == name) {
            return Err(BreakGlassError::Twice(name));
        }
        if !terminal.yes(&format!("{name}: do you agree that shares are made anew?"))? {
            return Err(BreakGlassError::Declined(name));
        }
        present.push((name, share.key_package().clone()));
    }
    let now = desk.clock.now().unix_timestamp();
    let (new, shares) = reshare_shares(kit, present, change.clone(), now, &mut OsRng)?;
    terminal.say("What changes:");
    for line in new.payload().differences(kit.payload()) {
        terminal.say(&format!("  {line}"));
    }
    Ok(Reshared { change, new, shares })
}

/// What is to change, in words.
fn planned(change: &Change) -> Vec<String> {
    let removed = change.remove.iter().map(|name| format!("WILL REMOVE  {name}"));
    let added = change.add.iter().map(|(name, recipients)| {
        let recipients: Vec<_> = recipients.iter().map(|text| recipient_words(text)).collect();
        format!(
            "WILL ADD     {name}, whose share is locked to {}",
            recipients.join(" or ")
        )
    });
    removed.chain(added).collect()
}
