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
use crate::escape::Escaped;

/// Share files on their way to their holders.
pub(super) struct Delivery<'a> {
    kit: &'a Kit,
    dir: &'a Path,
    desk: &'a Desk<'a>,
    journal: Journal<'a>,
    /// Of whom, where that was said, and which file.
    identities: Vec<(Option<Name>, PathBuf)>,
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

    /// Writes into the log how the kit came to be.
    pub(super) fn log(&self, event: Event) -> Result<(), BreakGlassError> {
        self.journal.add(event).map(drop)
    }

    /// Writes the share files of all, and lets each holder open theirs and confirm the kit. Where one does not, everything that
    /// was written is removed again, for nobody else has it.
    pub(super) fn all(&self, shares: Vec<(Name, KeyPackage)>) -> Result<(), BreakGlassError> {
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
    pub(super) fn own(&self, name: Name, key: KeyPackage) -> Result<(), BreakGlassError> {
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
        // All are locked before one is written: whoever waits in vain for a plugin, or chooses no passphrase, leaves nothing behind.
        let mut ready = Vec::new();
        for (name, key) in shares {
            let share = Share::of(self.kit, name, key);
            let lock = self.lock(share.holder())?;
            if lock == Lock::Passphrase {
                terminal.say(&format!(
                    "\n{}: only you look at this terminal now.",
                    share.holder()
                ));
            }
            let person = Arc::clone(terminal) as Arc<dyn Person>;
            let name = share.holder().clone();
            match share.encrypt(&lock, &person) {
                Ok(text) => ready.push((name, text)),
                Err(source) => return Err(BreakGlassError::Lock { name, source }),
            }
        }
        let mut holders = Vec::new();
        for (name, text) in ready {
            let path = self.share_path(&name);
            write_new(&path, &text, 0o600)?;
            written.push(path.clone());
            holders.push((name, path));
        }
        terminal.say(&format!(
            "\nThe kit of {} has these words:\n\n    {}\n\nEach holder now opens their share file once and confirms the \
             words. They are on the printed page, too.",
            Escaped(&self.kit.payload().cluster),
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
