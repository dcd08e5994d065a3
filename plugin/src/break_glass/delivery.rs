//! Share files on their way to their holders, who open them and confirm the kit.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use frost_ed25519::keys::KeyPackage;
use gatepass_break_glass::{
    approver::{Fit, fit},
    identity::Person,
    kit::Kit,
    log::Event,
    name::Name,
    recipient::Lock,
    share::Share,
};

use super::{
    error::BreakGlassError,
    files::write_new,
    holders,
    init::locked,
    journal::Journal,
    kits::{Kits, file_name},
    open::Desk,
};
use crate::{
    error::Error,
    escape::{self, Escaped},
};

/// Share files on their way to their holders.
pub(super) struct Delivery<'a> {
    kit: &'a Kit,
    dir: &'a Path,
    desk: &'a Desk<'a>,
    journal: Journal<'a>,
    /// Of whom, where that was said, and which file.
    identities: Vec<(Option<Name>, PathBuf)>,
}

/// A share file as it is to lie in the directory.
struct ShareFile {
    holder: Name,
    path: PathBuf,
    text: String,
}

impl<'a> Delivery<'a> {
    /// Nothing is written yet.
    pub(super) fn new(
        kit: &'a Kit,
        dir: &'a Path,
        desk: &'a Desk<'a>,
        identities: impl IntoIterator<Item = (Option<Name>, PathBuf)>,
    ) -> Self {
        Self {
            kit,
            dir,
            desk,
            journal: Journal::new(desk.paths, desk.clock, &desk.terminal),
            identities: identities.into_iter().collect(),
        }
    }

    /// Lets each holder open their share and confirm the kit, and writes everything when all have. Before that there is nothing
    /// but in this program's memory, so an init or a reshare that somebody ends leaves nothing behind. `event` says in the log
    /// how the kit came to be.
    pub(super) fn all(&self, shares: Vec<(Name, KeyPackage)>, event: Event) -> Result<(), Error> {
        let files = self.encrypt(shares)?;
        let delivered = self.confirm_all(&files).map_err(Error::from).and_then(|()| {
            self.desk
                .until("what the holders confirmed", || Ok(self.write_all(&files)?))
        });
        match delivered {
            Ok(()) => self.journal.note(event),
            Err(_) => self.desk.terminal.say("Nothing was written; this kit is gone."),
        }
        delivered
    }

    /// Everything or nothing, for nobody else has any of it.
    fn write_all(&self, files: &[ShareFile]) -> Result<(), BreakGlassError> {
        let mut written = Vec::new();
        let delivered = self
            .write(files, &mut written)
            .and_then(|()| self.publish(&mut written));
        if delivered.is_err() {
            for path in &written {
                let _ = fs::remove_file(path);
            }
        }
        delivered
    }

    /// The same for one's own share of a kit that was made apart. It is written first and never removed: the others have the kit
    /// already, and this share cannot be made again.
    pub(super) fn own(&self, name: Name, key: KeyPackage, event: Event) -> Result<(), Error> {
        self.journal.note(event);
        let lost = format!("the share of {name}");
        let files = self.desk.until(&lost, || {
            let files = self.encrypt(vec![(name.clone(), key.clone())])?;
            self.write(&files, &mut Vec::new())?;
            Ok(files)
        })?;
        let mut written: Vec<_> = files.iter().map(|file| file.path.clone()).collect();
        let delivered = self.confirm_all(&files).and_then(|()| self.publish(&mut written));
        if delivered.is_err() {
            let paths: Vec<_> = written.iter().map(|path| escape::path(path)).collect();
            self.desk.terminal.say(&format!(
                "The other holders have this kit already. What was written here stays: {}",
                paths.join(", ")
            ));
        }
        Ok(delivered?)
    }

    /// Encrypts each share to its holder.
    fn encrypt(&self, shares: Vec<(Name, KeyPackage)>) -> Result<Vec<ShareFile>, BreakGlassError> {
        let terminal = &self.desk.terminal;
        let file = |ending: &str| self.dir.join(self.file(ending));
        // Better known now than when everybody has typed a passphrase.
        let holders = shares.iter().map(|(holder, _)| file(&format!("{holder}.share")));
        let mut paths = [file("kit"), file("crt")].into_iter().chain(holders);
        if let Some(path) = paths.find(|path| path.exists()) {
            return Err(BreakGlassError::Exists(path));
        }
        let mut files = Vec::new();
        for (holder, key) in shares {
            let path = file(&format!("{holder}.share"));
            let lock = self.lock(&holder)?;
            if lock == Lock::Passphrase {
                terminal.say(&format!("\n{holder}: only you look at this terminal now."));
            }
            let person = Arc::clone(terminal) as Arc<dyn Person>;
            let encrypted = Share::of(self.kit, holder.clone(), key).encrypt(&lock, &person);
            match encrypted {
                Ok(text) => files.push(ShareFile { holder, path, text }),
                Err(source) => {
                    return Err(BreakGlassError::Lock { name: holder, source });
                }
            }
        }
        Ok(files)
    }

    fn write(&self, files: &[ShareFile], written: &mut Vec<PathBuf>) -> Result<(), BreakGlassError> {
        for file in files {
            write_new(&file.path, &file.text, 0o600)?;
            written.push(file.path.clone());
        }
        Ok(())
    }

    fn confirm_all(&self, files: &[ShareFile]) -> Result<(), BreakGlassError> {
        self.desk.terminal.say(&format!(
            "\nThe kit of {} has these words:\n\n    {}\n\nEach holder now opens their share once and confirms the words. They are \
             on the printed page, too.",
            Escaped(&self.kit.payload().cluster),
            self.kit.words()
        ));
        files.iter().try_for_each(|file| self.confirm(file))
    }

    /// Lets a holder open their share, and confirm the kit.
    fn confirm(&self, file: &ShareFile) -> Result<(), BreakGlassError> {
        let (name, terminal) = (&file.holder, &self.desk.terminal);
        terminal.say(&format!("\n{name}: open your share, {}", file.path.display()));
        let own = self
            .identities
            .iter()
            .filter(|(whose, _)| whose.as_ref().is_none_or(|whose| whose == name));
        let identities: Vec<_> = own.map(|(_, path)| path.clone()).collect();
        let share = holders::open_text(&file.path, file.text.as_bytes(), &identities, terminal)?;
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
        let shares: Vec<_> = written
            .iter()
            .map(|path| format!("  {}", path.display()))
            .collect();
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
        let first = match self.kit.payload().revision {
            1 => format!(
                "append {} to the file that the API server's --client-ca-file names, and bind the group gatepass:break-glass \
                 (deploy/break-glass)",
                ca_path.display()
            ),
            _ => "every holder destroys their old share file; nothing changes at the API server".into(),
        };
        self.desk.terminal.say(&format!(
            "\nThe kit is made. Public, to be copied wherever it may be needed:\n  {}  the kit ({})\n  {}  its \
             authority's certificate\nEach holder takes their own share file, and nobody else's:\n{}\nWhat comes next:\n  1. {first}\n  \
             2. print the page for bad nights: kubectl gatepass break-glass verify {} --print\n  3. hold a drill: kubectl gatepass \
             break-glass drill",
            kit_path.display(),
            kept,
            ca_path.display(),
            shares.join("\n"),
            escape::argument(&kit_path, "KIT"),
        ));
        Ok(())
    }

    fn lock(&self, name: &Name) -> Result<Lock, BreakGlassError> {
        let recipients = self.kit.holder(name).map(|holder| holder.recipients.clone());
        locked(name, &recipients.unwrap_or_default())
    }

    /// Two revisions of a kit lie beside each other.
    fn file(&self, ending: &str) -> String {
        match self.kit.payload().revision {
            1 => file_name(self.kit, ending),
            revision => file_name(self.kit, &format!("{revision}.{ending}")),
        }
    }
}

/// That a kit was made.
pub(super) fn made(kit: &Kit) -> Event {
    let payload = kit.payload();
    Event::KitMade {
        kit: kit.hash(),
        cluster: payload.cluster.clone(),
        revision: payload.revision,
        threshold: payload.threshold,
        holders: payload.holders.iter().map(|holder| holder.name.clone()).collect(),
    }
}
