//! An init apart: each holder at a machine of their own.

use std::{io::Write, path::PathBuf, sync::Arc};

use frost_ed25519::keys::KeyPackage;
use gatepass_break_glass::{
    identity::{Identities, Person},
    keygen::{
        Invitation, KeygenError,
        apart::{Joining, Progress, Refusal, Sealing, Step},
    },
    kit::Kit,
    name::Name,
    recipient::Recipient,
    share,
};
use rand_core::OsRng;
use zeroize::Zeroizing;

use super::{
    delivery::{Delivery, made},
    error::BreakGlassError,
    holders,
    init::{can_lock, identities, recipients},
    open::Desk,
};
use crate::{cli::break_glass::Init, error::Error};

/// Takes part in an init apart.
pub(super) fn join(
    command: &Init,
    invitation: Option<Invitation>,
    desk: &Desk<'_>,
    out: &mut impl Write,
) -> Result<(), Error> {
    let me = desk.name(command.by.as_deref())?;
    let own_paths = own_keys(command, &me)?;
    let (kit, key) = make(&me, &own_paths, invitation, desk, out)?;
    let identities = own_paths.into_iter().map(|path| (None, path));
    let delivery = Delivery::new(&kit, &command.out, desk, identities);
    desk.terminal.say("\nCompare the kit's words by voice with all other holders before you confirm them: each has made the kit anew.");
    delivery.own(me, key, made(&kit))
}

/// The files with the key of the holder, as far as they were named.
fn own_keys(command: &Init, me: &Name) -> Result<Vec<PathBuf>, BreakGlassError> {
    let mut own_paths = Vec::new();
    for (name, path) in identities(&command.identities)? {
        if name != *me {
            return Err(BreakGlassError::Typed(format!(
                "--identity {name}=…: only your own key belongs here, {me}"
            )));
        }
        own_paths.push(path);
    }
    Ok(own_paths)
}

/// Makes the kit with all other holders, by texts.
fn make(
    me: &Name,
    own_paths: &[PathBuf],
    invitation: Option<Invitation>,
    desk: &Desk<'_>,
    out: &mut impl Write,
) -> Result<(Kit, KeyPackage), BreakGlassError> {
    let terminal = &desk.terminal;
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
        return Err(BreakGlassError::Declined(me.clone()));
    }
    can_lock(recipients(&invitation.draft().holders))?;
    let mut age = Age::new(own_paths, desk)?;
    let (mut joining, text) = Joining::begin(invitation, me.clone(), &mut OsRng)?;
    send(&text, desk, out)?;
    loop {
        match joining.progress(&mut age) {
            Ok(Progress::Ready) => match joining.next(&mut age, &mut OsRng) {
                Ok(Step::Text(text)) => send(&text, desk, out)?,
                Ok(Step::Kit(made)) => return Ok(*made),
                // A plugin that failed once would make everybody start over.
                Err(error @ KeygenError::Unsealed { .. }) => {
                    terminal.say(&error.to_string());
                    terminal.ask("[Enter: try again; Ctrl-C ends this for everybody]")?;
                }
                Err(error) => return Err(error.into()),
            },
            Ok(Progress::Need { what, from }) => {
                terminal.say(&format!(
                    "\nWaiting for the {what} of: {}. Paste here what they send.",
                    Name::list(&from)
                ));
                let block = terminal.text()?;
                if let Err(error) = joining.take(&block, &mut age) {
                    terminal.say(&format!("This text is of no use: {error}"));
                }
            }
            Err(error) if error.text_of().is_some() => {
                terminal.say(&format!("This text is of no use: {error}"));
            }
            // It would come again and again, without anybody being asked for anything.
            Err(error) => return Err(error.into()),
        }
    }
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
        let question =
            "File with your key (an age identity or an OpenSSH private key), to open what others send you:";
        while paths.is_empty() {
            paths.extend(desk.terminal.path(question)?);
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
