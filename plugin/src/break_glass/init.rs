//! `init` and `reshare`: shares, share files, and every holder's confirmation.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use frost_ed25519::keys::KeyPackage;
use gatepass_break_glass::{
    approver::{Fit, fit},
    identity::{Identities, Person},
    keygen::{
        self, Invitation,
        apart::{Joining, Progress, Refusal, Sealing, Step},
    },
    kit::{Draft, Kit, LONGEST, Limits, Made},
    log::Event,
    name::Name,
    recipient::{Lock, Recipient},
    reshare::{Change, reshare as reshare_shares},
    share::{self, Share},
};
use rand_core::OsRng;
use zeroize::Zeroizing;

use super::{
    context::Context,
    error::BreakGlassError,
    files::{read_text, write_new},
    holders,
    journal::Journal,
    kits::{Kits, file_name},
    open::Desk,
};
use crate::{
    cli::break_glass::{Init, Reshare},
    error::Error,
};

/// How long the authority lives, in days: it must not end from disuse.
const AUTHORITY_DAYS: u32 = 20 * 365;

/// After how many days a holder is due for a proof.
const RECERTIFY_DAYS: u32 = 180;

/// Makes a quorum.
pub fn init(command: &Init, desk: &Desk<'_>, out: &mut impl Write) -> Result<(), Error> {
    let kits = Kits::new(desk.paths);
    if command.join {
        return Ok(join(command, None, desk, out)?);
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
    if command.apart {
        let invitation = Invitation::new(draft, &mut OsRng).map_err(BreakGlassError::from)?;
        desk.terminal.say("Send this invitation to all other holders. Each runs: kubectl gatepass break-glass init --join --as NAME\n");
        super::ceremony::pass_on(&invitation, out)?;
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
fn holder(text: &str) -> Result<(Name, String), BreakGlassError> {
    let Some((name, recipient)) = text.split_once('=') else {
        return Err(BreakGlassError::Typed(format!(
            "a holder is NAME=RECIPIENT; this is not: {}",
            crate::escape::Escaped(text)
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

fn locked(name: &Name, recipients: &[String]) -> Result<Lock, BreakGlassError> {
    Lock::parse(recipients).map_err(|source| BreakGlassError::Recipient {
        name: name.clone(),
        source,
    })
}

fn side_by_side(command: &Init, draft: &Draft, desk: &Desk<'_>) -> Result<(), BreakGlassError> {
    let (kit, shares) = keygen::side_by_side(draft, &mut OsRng)?;
    let journal = Journal::new(desk.paths, desk.clock, &desk.terminal);
    journal.add(made(&kit))?;
    let delivery = Delivery {
        kit: &kit,
        dir: &command.out,
        desk,
        journal: &journal,
        identities: identities(&command.identities)?
            .into_iter()
            .map(|(name, path)| (Some(name), path))
            .collect(),
    };
    delivery.all(shares)
}

fn made(kit: &Kit) -> Event {
    let payload = kit.payload();
    Event::KitMade {
        kit: kit.hash(),
        cluster: payload.cluster.clone(),
        revision: payload.revision,
        threshold: payload.threshold,
        holders: payload.holders.iter().map(|holder| holder.name.clone()).collect(),
    }
}

fn identities(texts: &[String]) -> Result<Vec<(Name, PathBuf)>, BreakGlassError> {
    let pairs = texts.iter().map(|text| match text.split_once('=') {
        Some((name, path)) => Ok((Name::try_from(name.to_owned())?, PathBuf::from(path))),
        None => Err(BreakGlassError::Typed(format!(
            "--identity is NAME=FILE here; this is not: {}",
            crate::escape::Escaped(text)
        ))),
    });
    pairs.collect()
}

/// Share files on their way to their holders.
struct Delivery<'a> {
    kit: &'a Kit,
    dir: &'a Path,
    desk: &'a Desk<'a>,
    journal: &'a Journal<'a>,
    /// Of whom, where that was said, and which file.
    identities: Vec<(Option<Name>, PathBuf)>,
}

impl Delivery<'_> {
    /// Writes the share files of all, and lets each holder open theirs and confirm the kit. Where one does not, everything that
    /// was written is removed again, for nobody else has it.
    fn all(&self, shares: Vec<(Name, KeyPackage)>) -> Result<(), BreakGlassError> {
        let mut written = Vec::new();
        let delivered = self
            .deliver(shares, &mut written)
            .and_then(|()| self.publish(&mut written));
        if delivered.is_err() {
            for path in &written {
                let _ = fs::remove_file(path);
            }
        }
        delivered
    }

    /// The same for one's own share of a kit that was made apart. Nothing is removed: the others have the kit already, and this
    /// share cannot be made again.
    fn own(&self, name: Name, key: KeyPackage) -> Result<(), BreakGlassError> {
        let mut written = Vec::new();
        let delivered = self
            .deliver(vec![(name, key)], &mut written)
            .and_then(|()| self.publish(&mut written));
        if delivered.is_err() {
            let paths: Vec<_> = written.iter().map(|path| path.display().to_string()).collect();
            self.desk.terminal.say(&format!(
                "The other holders have this kit already. What was written here stays: {}",
                paths.join(", ")
            ));
        }
        delivered
    }

    fn deliver(
        &self,
        shares: Vec<(Name, KeyPackage)>,
        written: &mut Vec<PathBuf>,
    ) -> Result<(), BreakGlassError> {
        let terminal = &self.desk.terminal;
        let mut holders = Vec::new();
        for (name, key) in shares {
            let share = Share::of(self.kit, name, key);
            let path = self.share_path(share.holder());
            let lock = self.lock(share.holder())?;
            if lock == Lock::Passphrase {
                terminal.say(&format!(
                    "\n{}: only you look at this terminal now.",
                    share.holder()
                ));
            }
            let person = Arc::clone(terminal) as Arc<dyn Person>;
            let text = share
                .encrypt(&lock, &person)
                .map_err(|source| BreakGlassError::Share {
                    path: path.clone(),
                    source,
                })?;
            write_new(&path, &text, 0o600)?;
            written.push(path.clone());
            holders.push((share.holder().clone(), path));
        }
        terminal.say(&format!(
            "\nThe kit of {} has these words:\n\n    {}\n\nEach holder now opens their share file once and confirms the \
             words. They are on the printed page, too.",
            crate::escape::Escaped(&self.kit.payload().cluster),
            self.kit.words()
        ));
        for (name, path) in &holders {
            self.confirm(name, path)?;
        }
        Ok(())
    }

    /// Lets a holder open their share file, and confirm the kit.
    fn confirm(&self, name: &Name, path: &Path) -> Result<(), BreakGlassError> {
        let terminal = &self.desk.terminal;
        terminal.say(&format!("\n{name}: open your share file, {}", path.display()));
        let own = self
            .identities
            .iter()
            .filter(|(whose, _)| whose.as_ref().is_none_or(|whose| whose == name));
        let identities: Vec<_> = own.map(|(_, path)| path.clone()).collect();
        let share = holders::open(path, &identities, terminal)?;
        if share.holder() != name || fit(&share, self.kit)? != Fit::Confirmed {
            return Err(BreakGlassError::NotConfirmed(name.clone()));
        }
        let question = format!(
            "{name}: it opens, and fits the kit. Do you confirm the words `{}`?",
            self.kit.words()
        );
        if !terminal.yes(&question)? {
            return Err(BreakGlassError::NotConfirmed(name.clone()));
        }
        self.journal.add(Event::KitConfirmed {
            kit: self.kit.hash(),
            holder: name.clone(),
        })?;
        Ok(())
    }

    /// Writes the kit and its certificate, which are public, and says what comes next.
    fn publish(&self, written: &mut Vec<PathBuf>) -> Result<(), BreakGlassError> {
        let kit_path = self.dir.join(self.file("kit"));
        let ca_path = self.dir.join(self.file("crt"));
        write_new(&kit_path, &self.kit.write(), 0o644)?;
        written.push(kit_path.clone());
        write_new(&ca_path, &self.kit.certificate_pem(), 0o644)?;
        written.push(ca_path.clone());
        let kept = match Kits::new(self.desk.paths).keep(self.kit) {
            Ok(path) => format!("a copy is kept in {}", path.display()),
            Err(error) => format!("no copy is kept here: {error}"),
        };
        self.desk.terminal.say(&format!(
            "\nThe kit is made. Public, to be copied wherever it may be needed:\n  {}  the kit ({})\n  {}  its \
             authority's certificate\nEach holder takes their own share file, and nobody else's:\n  {}\nWhat comes next:\n  1. append {} \
             to the file that the API server's --client-ca-file names\n  2. bind the group gatepass:break-glass (deploy/break-glass)\n  \
             3. print the page for bad nights: kubectl gatepass break-glass verify {} --print\n  4. hold a drill: kubectl gatepass \
             break-glass drill",
            kit_path.display(),
            kept,
            ca_path.display(),
            self.dir.join(self.file("HOLDER.share")).display(),
            ca_path.display(),
            kit_path.display(),
        ));
        Ok(())
    }

    fn lock(&self, name: &Name) -> Result<Lock, BreakGlassError> {
        let recipients = self.kit.holder(name).map(|holder| holder.recipients.clone());
        locked(name, &recipients.unwrap_or_default())
    }

    fn share_path(&self, name: &Name) -> PathBuf {
        self.dir.join(self.file(&format!("{name}.share")))
    }

    /// Two revisions of a kit lie beside each other.
    fn file(&self, ending: &str) -> String {
        match self.kit.payload().revision {
            1 => file_name(self.kit, ending),
            revision => file_name(self.kit, &format!("{revision}.{ending}")),
        }
    }
}

/// Takes part in an init apart.
fn join(
    command: &Init,
    invitation: Option<Invitation>,
    desk: &Desk<'_>,
    out: &mut impl Write,
) -> Result<(), BreakGlassError> {
    let terminal = &desk.terminal;
    let me = desk.name(command.by.as_deref())?;
    let mut own_paths = Vec::new();
    for (name, path) in identities(&command.identities)? {
        if name != me {
            return Err(BreakGlassError::Typed(format!(
                "--identity {name}=…: only your own key belongs here, {me}"
            )));
        }
        own_paths.push(path);
    }
    let own_invitation = invitation.is_some();
    let invitation = match invitation {
        Some(invitation) => invitation,
        None => {
            terminal.say("Paste the invitation, from its BEGIN line to its END line.");
            loop {
                match Invitation::read(&terminal.text()?) {
                    Ok(invitation) => break invitation,
                    Err(error) => terminal.say(&format!("This text is of no use here: {error}")),
                }
            }
        }
    };
    terminal.say("\nThe invitation:");
    terminal.table(&invitation.describe());
    terminal.say(&format!(
        "\nIts words:\n\n    {}\n\nCompare them by voice with all other holders: they say to whose keys shares are encrypted.",
        invitation.words()
    ));
    if !own_invitation
        && !terminal.yes(&format!(
            "{me}: is all of this right, and are the words the same everywhere?"
        ))?
    {
        return Err(BreakGlassError::Declined(me));
    }
    let mut age = Age::new(&own_paths, desk)?;
    let (mut joining, text) = Joining::begin(invitation, me.clone(), &mut OsRng)?;
    send(&text, desk, out)?;
    let (kit, key) = loop {
        match joining.progress(&mut age) {
            Ok(Progress::Ready) => match joining.next(&mut age, &mut OsRng)? {
                Step::Text(text) => send(&text, desk, out)?,
                Step::Kit(made) => break *made,
            },
            Ok(Progress::Need { what, from }) => {
                let names: Vec<_> = from.iter().map(Name::as_str).collect();
                terminal.say(&format!(
                    "\nWaiting for the {what} of: {}. Paste here what they send.",
                    names.join(", ")
                ));
                let block = terminal.text()?;
                if let Err(error) = joining.take(&block, &mut age) {
                    terminal.say(&format!("This text is of no use: {error}"));
                }
            }
            Err(error) => terminal.say(&format!("This text is of no use: {error}")),
        }
    };
    let journal = Journal::new(desk.paths, desk.clock, &desk.terminal);
    journal.add(made(&kit))?;
    let delivery = Delivery {
        kit: &kit,
        dir: &command.out,
        desk,
        journal: &journal,
        identities: own_paths.into_iter().map(|path| (None, path)).collect(),
    };
    terminal.say("\nCompare the kit's words by voice with all other holders before you confirm them: each has made the kit anew.");
    delivery.own(me, key)
}

fn send(text: &str, desk: &Desk<'_>, out: &mut impl Write) -> Result<(), BreakGlassError> {
    desk.terminal.say("\nSend this text to all other holders:\n");
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(BreakGlassError::Output)
}

/// Encrypts parts to other holders and opens one's own, with age.
struct Age<'a> {
    keys: Identities,
    desk: &'a Desk<'a>,
}

impl<'a> Age<'a> {
    /// Opens the holder's key before the first round: one that cannot be used is better known now.
    fn new(paths: &[PathBuf], desk: &'a Desk<'a>) -> Result<Self, BreakGlassError> {
        let mut paths = paths.to_vec();
        if paths.is_empty() {
            let question = "File with your key (an age identity or an OpenSSH private key), to open what others send you:";
            paths.push(desk.terminal.ask(question)?.into());
        }
        let keys = holders::keys(&paths, &desk.terminal)?;
        Ok(Self { keys, desk })
    }
}

impl Sealing for Age<'_> {
    fn seal(&mut self, recipients: &[String], plaintext: &[u8]) -> Result<String, Refusal> {
        let recipients: Result<Vec<_>, _> = recipients.iter().map(|text| Recipient::parse(text)).collect();
        let person = Arc::clone(&self.desk.terminal) as Arc<dyn Person>;
        Ok(share::seal(&recipients?, plaintext, &person)?)
    }

    fn open(&mut self, ciphertext: &str) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        Ok(share::unseal(ciphertext, &self.keys)?)
    }
}

/// Replaces or removes holders.
pub fn reshare(command: &Reshare, desk: &Desk<'_>) -> Result<(), Error> {
    Ok(reshare_here(command, desk)?)
}

fn reshare_here(command: &Reshare, desk: &Desk<'_>) -> Result<(), BreakGlassError> {
    let terminal = &desk.terminal;
    let kit = Kits::new(desk.paths).kit(command.which.kit.as_deref())?;
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
    if change == Change::default() {
        terminal.say("Nobody is removed or added: all holders get new shares.");
    }
    // Before anybody agrees.
    for line in planned(&change) {
        terminal.say(&line);
    }
    let threshold = kit.payload().threshold;
    terminal.say(&format!(
        "WARNING: {threshold} OLD shares that were kept together still sign, whoever is removed now. Where one may have been \
         copied, or a holder leaves in anger, make a new authority in place of this: kubectl gatepass break-glass init --rotate\nAll \
         holders' old share files are to be destroyed afterwards; those who stay are the ones who matter.\nThis machine will have all \
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
            true => {
                let answer = terminal.ask("Share file of a present holder (Enter: no more are here):")?;
                if answer.is_empty() {
                    break;
                }
                answer.into()
            }
        };
        let share = holders::open(&path, &command.shares.identities, terminal)?;
        let name = share.holder().clone();
        let _newer_is_fine_here = fit(&share, &kit)?;
        if present.iter().any(|(other, _)| *other == name) {
            return Err(BreakGlassError::Twice(name));
        }
        if !terminal.yes(&format!("{name}: do you agree that shares are made anew?"))? {
            return Err(BreakGlassError::Declined(name));
        }
        present.push((name, share.key_package().clone()));
    }
    let now = desk.clock.now().unix_timestamp();
    let (new, shares) = reshare_shares(&kit, present, change.clone(), now, &mut OsRng)?;
    let journal = Journal::new(desk.paths, desk.clock, &desk.terminal);
    journal.add(Event::Reshared {
        previous: kit.hash(),
        kit: new.hash(),
        removed: change.remove.clone(),
        added: change.add.iter().map(|(name, _)| name.clone()).collect(),
    })?;
    terminal.say("What changes:");
    for line in new.payload().differences(kit.payload()) {
        terminal.say(&format!("  {line}"));
    }
    let delivery = Delivery {
        kit: &new,
        dir: &command.out,
        desk,
        journal: &journal,
        identities: command
            .shares
            .identities
            .iter()
            .map(|path| (None, path.clone()))
            .collect(),
    };
    delivery.all(shares)?;
    for name in change
        .remove
        .iter()
        .filter(|name| new.payload().limits.openers.contains(name))
    {
        terminal.say(&format!(
            "\n{name} holds no share any more, and is still among those who may open."
        ));
    }
    terminal.say(&format!(
        "\nREMEMBER: {threshold} OLD shares still sign. Every holder who stays destroys their old share file now; the API server's \
         bundle stays as it is, for the authority is the same."
    ));
    Ok(())
}

/// What is to change, in words.
fn planned(change: &Change) -> Vec<String> {
    let removed = change.remove.iter().map(|name| format!("REMOVED  {name}"));
    let added = change.add.iter().map(|(name, recipients)| {
        let recipients: Vec<_> = recipients.iter().map(|text| recipient_words(text)).collect();
        format!(
            "ADDED    {name}, whose share is locked to {}",
            recipients.join(" or ")
        )
    });
    removed.chain(added).collect()
}

/// What a kit's file tells of recipients, for people.
pub fn recipient_words(text: &str) -> String {
    match Recipient::parse(text) {
        Ok(recipient) => recipient.to_string(),
        Err(_) => crate::escape::Escaped(text).to_string(),
    }
}
