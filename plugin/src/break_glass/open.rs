//! `open`, `drill` and `recertify`.

use std::{io::Write, sync::Arc};

use gatepass_break_glass::{
    certificate::USER_PREFIX,
    kit::{Kit, LONGEST},
    log::Event,
    name::{Name, Reason},
    opener::{Certificate, Granted},
    request::{BACKDATE, Request, shown_time},
};
use rand_core::OsRng;
use time::Duration;

use super::{
    binding,
    ceremony::Stage,
    entry,
    error::BreakGlassError,
    files::{replace, writable},
    holders,
    journal::Journal,
    kits::{Kits, file_name},
    outage,
    person::Terminal,
    server,
    window::{Signed, Window, Windows},
};
use crate::{
    cli::break_glass::{Ceremony, Open, Recertify},
    clock::Clock,
    error::Error,
    escape::Escaped,
    keys::CredentialKey,
    paths::Paths,
    run::wait_for,
    settings::{IssuerUrl, Settings},
};

/// What the commands are run with.
pub struct Desk<'a> {
    /// The settings: where secrets rest.
    pub settings: Settings,
    /// Where files lie.
    pub paths: &'a Paths,
    /// The local clock.
    pub clock: &'a dyn Clock,
    /// The people here.
    pub terminal: Arc<Terminal>,
    /// What the person is called on this machine.
    pub user: Option<String>,
}

/// What is lost where a certificate or a kit cannot be kept.
const SIGNED: &str = "what the quorum signed";

impl Desk<'_> {
    /// What the person is called in a ceremony.
    pub(super) fn name(&self, typed: Option<&str>) -> Result<Name, BreakGlassError> {
        match typed.or(self.user.as_deref()) {
            Some(name) => Ok(Name::try_from(name.to_owned())?),
            None => Err(BreakGlassError::Typed(
                "say who you are, as holders know you: --as NAME".into(),
            )),
        }
    }

    /// The API server's clock minus ours, as far as it says.
    fn offset(&self, kit: &Kit) -> Duration {
        let payload = kit.payload();
        let looked = wait_for(async { Ok(server::look(&payload.server, &payload.server_ca).await) });
        let now = self.clock.now();
        match looked {
            Ok(Ok(seen)) => {
                if seen.trusts(&kit.authority_subject()) == server::Trusts::No {
                    self.terminal.say(
                        "WARNING: the API server does not name this kit's authority among those whose clients it takes: the \
                         certificate may be refused. The authority belongs into its client CA bundle (verify --ca prints it).",
                    );
                }
                if let Some(time) = seen.unproven_time {
                    let offset = time - now;
                    // Its Date has whole seconds.
                    if offset.abs() < Duration::seconds(2) {
                        return Duration::ZERO;
                    }
                    if offset.abs() >= Duration::minutes(1) {
                        self.terminal.say(&format!(
                            "The API server's clock shows {} UTC (unproven), this machine's {} UTC: the API server's counts.",
                            shown_time(time.unix_timestamp()),
                            shown_time(now.unix_timestamp())
                        ));
                    }
                    return offset;
                }
            }
            Ok(Err(error)) => self.terminal.say(&format!(
                "The API server does not tell its time ({error}), so this machine's clock counts: {} UTC.",
                shown_time(now.unix_timestamp())
            )),
            Err(error) => self
                .terminal
                .say(&format!("The API server was not asked for its time: {error}")),
        }
        Duration::ZERO
    }

    /// Keeps what people have made together. It is not thrown away because a keyring is locked or a disk is full: that can be
    /// mended, and tried again.
    pub(super) fn until<T>(&self, lost: &str, keep: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
        loop {
            let error = match keep() {
                Ok(kept) => return Ok(kept),
                Err(error) => error,
            };
            self.terminal.say(&error.to_string());
            if let Some(hint) = error.hint() {
                self.terminal.say(&format!("  next: {hint}"));
            }
            if !self
                .terminal
                .yes(&format!("Try again? (With no, {lost} is lost.)"))?
            {
                return Err(error);
            }
        }
    }

    fn stage<'s>(&'s self, kit: &'s Kit, journal: &'s Journal<'s>, offset: Duration) -> Stage<'s> {
        Stage {
            kit,
            terminal: &self.terminal,
            journal,
            clock: self.clock,
            offset,
        }
    }
}

/// Asks a quorum for a certificate, and opens a window with it.
pub fn open(command: &Open, mut desk: Desk<'_>, out: &mut impl Write) -> Result<(), Error> {
    let kit = Kits::new(desk.paths).kit(command.ceremony.which.kit.as_deref())?;
    let payload = kit.payload();
    let by = desk.name(command.ceremony.by.as_deref())?;
    // A space too many is a slip.
    let words: Vec<_> = command
        .reason
        .split(' ')
        .filter(|word| !word.is_empty())
        .collect();
    let reason = words.join(" ");
    if reason.is_empty() {
        let why = "--reason is empty: say why, such as 'IdP down, ticket 4711'";
        return Err(BreakGlassError::Typed(why.into()).into());
    }
    let reason = Reason::try_from(reason).map_err(BreakGlassError::from)?;
    let seconds = match command.lasts {
        None => payload.limits.longest_seconds.min(LONGEST),
        Some(lasts) => u32::try_from(lasts.whole_seconds()).unwrap_or(u32::MAX),
    };
    payload
        .limits
        .allow(&by, seconds)
        .map_err(BreakGlassError::Typed)?;
    holders::readable(&command.ceremony.shares)?;
    if let Some(issuer) = &payload.issuer
        && !command.even_if_they_answer
    {
        desk.settings.issuer = IssuerUrl::parse(issuer).ok();
        if outage::both_answer(&desk.settings, desk.paths, desk.clock) == Some(true) {
            return Err(BreakGlassError::TheyAnswer(issuer.clone()).into());
        }
    }
    let windows = Windows::new(desk.paths);
    let open = || {
        let open = windows.find(desk.clock.now()).open.into_iter();
        open.filter(|window| window.is_of(&kit)).collect::<Vec<_>>()
    };
    for window in open() {
        let question = format!(
            "A window for {} is open until {} UTC, and kubectl uses it. Ask the quorum for another one, in its place?",
            Escaped(&window.cluster),
            shown_time(window.not_after)
        );
        if !desk.terminal.yes(&question)? {
            return Err(BreakGlassError::Typed("nothing was asked".into()).into());
        }
    }
    let journal = Journal::new(desk.paths, desk.clock, &desk.terminal);
    let offset = desk.offset(&kit);
    let key = CredentialKey::generate()?;
    let request = Request::certificate(&kit, by.clone(), reason, seconds, key.public_point());
    let hash = request.hash().to_string();
    let granted = desk
        .stage(&kit, &journal, offset)
        .hold(request, &command.ceremony.shares, out)?;
    let Granted::Certificate(certificate) = granted else {
        unreachable!("a certificate was asked for");
    };
    // That the quorum signed is in the log; what it signed must not be lost because a disk is full since.
    journal.note(Event::Opened {
        request: hash,
        credential_id: certificate.credential_id.clone(),
        not_before: certificate.not_before,
        not_after: certificate.not_after,
    });
    let window = Signed {
        kit_hash: kit.hash(),
        cluster: &payload.cluster,
        issuer: payload.issuer.as_deref(),
        server: &payload.server,
        server_ca: &payload.server_ca,
        who: by.as_str(),
        certificate: &certificate.pem,
        forced: command.even_if_they_answer,
    };
    let window = Window::new(&window, desk.clock.now(), offset).map_err(Error::Window)?;
    let replaced = open();
    desk.until(SIGNED, || {
        let store = desk.settings.store(desk.paths);
        let now = desk.clock.now();
        windows.open(&window, &key.pem(), store.as_ref(), now, &*desk.terminal)?;
        Ok(())
    })?;
    desk.terminal
        .say(&opened(&by, &certificate, payload.issuer.is_some()));
    for window in replaced {
        desk.terminal.say(&format!(
            "It took the place of the window that was open. That one's certificate lives until {} UTC; if its key may have been copied:\n  \
             kubectl gatepass revoke --credential-id {}",
            shown_time(window.not_after),
            window.credential_id
        ));
        journal.note(Event::Closed {
            credential_id: window.credential_id,
        });
    }
    if let Some(words) = entry::words(&kit, command.ceremony.which.kit.as_deref()) {
        desk.terminal.say(&words);
    }
    Ok(())
}

fn opened(by: &Name, certificate: &Certificate, has_issuer: bool) -> String {
    let how = match has_issuer {
        true => "kubectl uses it by itself, with the kubeconfig entry that you always use",
        false => {
            "kubectl uses it by itself, with the kubeconfig entry for this API server that runs kubectl-gatepass"
        }
    };
    format!(
        "\nThe glass is broken: you are {USER_PREFIX}{by} until {} UTC; {how}.\n  credential ID   {}\n  when done       kubectl gatepass \
         break-glass close\nEach use is reported by the issuer's audit sink; who approved is in the logs: kubectl gatepass \
         break-glass report",
        shown_time(certificate.not_after),
        certificate.credential_id
    )
}

/// Rehearses both rounds, and asks the API server whether the group's binding still exists.
pub fn drill(command: &Ceremony, desk: &Desk<'_>, out: &mut impl Write) -> Result<(), Error> {
    let kit = Kits::new(desk.paths).kit(command.which.kit.as_deref())?;
    let by = desk.name(command.by.as_deref())?;
    holders::readable(&command.shares)?;
    let journal = Journal::new(desk.paths, desk.clock, &desk.terminal);
    desk.terminal
        .say("DRILL: both rounds are held, and nobody gets access by it.\n");
    let request = Request::drill(&kit, by, &mut OsRng);
    let hash = request.hash().to_string();
    let signers = desk.stage(&kit, &journal, Duration::ZERO);
    let Granted::Drill { holders } = signers.hold(request, &command.shares, out)? else {
        unreachable!("a drill was asked for");
    };
    journal.add(Event::Drilled {
        request: hash,
        kit: kit.hash(),
        holders: holders.clone(),
    })?;
    desk.terminal.say(&format!(
        "\nDRILL: it went well, with {}. It is noted as the last drill.",
        Name::list(&holders)
    ));
    desk.offset(&kit);
    desk.terminal.say(&binding::words(&kit.payload().server));
    if let Some(words) = entry::words(&kit, command.which.kit.as_deref()) {
        desk.terminal.say(&words);
    }
    Ok(())
}

/// Lets holders prove their shares with the next revision of the kit.
pub fn recertify(command: &Recertify, desk: &Desk<'_>, out: &mut impl Write) -> Result<(), Error> {
    let kits = Kits::new(desk.paths);
    let kit = kits.kit(command.ceremony.which.kit.as_deref())?;
    let by = desk.name(command.ceremony.by.as_deref())?;
    writable(&command.out)?;
    holders::readable(&command.ceremony.shares)?;
    let journal = Journal::new(desk.paths, desk.clock, &desk.terminal);
    let mut next = kit.payload().clone();
    next.revision += 1;
    next.previous = Some(kit.hash());
    if let Some(longest) = command.longest {
        next.limits.longest_seconds = u32::try_from(longest.whole_seconds()).unwrap_or(u32::MAX);
    }
    for name in &command.without {
        let name = Name::try_from(name.clone()).map_err(BreakGlassError::from)?;
        if kit.holder(&name).is_none() {
            return Err(
                BreakGlassError::Typed(format!("--without {name}: the kit has no such holder")).into(),
            );
        }
    }
    let left = next.holders.len().saturating_sub(command.without.len());
    if left < next.threshold.into() {
        return Err(BreakGlassError::Typed(format!(
            "{left} holders would be left to sign, and a quorum is {}",
            next.threshold
        ))
        .into());
    }
    let now = desk.clock.now().unix_timestamp();
    for holder in &mut next.holders {
        if !command.without.iter().any(|name| name == holder.name.as_str()) {
            // Never the same as before: it is how the kit says who took part.
            holder.confirmed = now.max(holder.confirmed.saturating_add(1));
        }
    }
    let request = Request::kit(&kit, by, &next);
    let granted = desk
        .stage(&kit, &journal, Duration::ZERO)
        .hold(request, &command.ceremony.shares, out)?;
    let Granted::Kit(new) = granted else {
        unreachable!("a kit was asked for");
    };
    let path = command.out.join(file_name(&new, "kit"));
    let written = || {
        kits.keep(&new)?;
        replace(&path, &new.write(), 0o644)
    };
    desk.until(SIGNED, || written().map_err(Error::from))?;
    // That it exists is not lost because a disk is full since.
    journal.note(Event::Recertified {
        previous: kit.hash(),
        kit: new.hash(),
    });
    desk.terminal.say(&format!(
        "\nThis is revision {} of the kit now: {}\n  its words   {}\nGive it to every holder. Each compares the words and types, on \
         their own machine:\n  kubectl gatepass break-glass verify {} --keep --share THEIR-SHARE-FILE --confirm\nThen their share \
         takes no older revision any more.\nThe printed page is out of date now: print it again with verify --print.",
        new.payload().revision,
        path.display(),
        new.words(),
        path.file_name().unwrap_or_default().to_string_lossy()
    ));
    Ok(())
}

const _: () = assert!(
    (LONGEST as i64) > BACKDATE,
    "something is left of every certificate"
);
