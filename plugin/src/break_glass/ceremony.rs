//! The side of who asks, at a terminal: `open`, `drill` and `recertify` hold the same two rounds.

use std::{io::Write, path::PathBuf, sync::Arc};

use gatepass_break_glass::{
    approver::{Approval, Commitment, Committed, Fit, SignatureShare, Times},
    armor::{Armored, Block},
    kit::Kit,
    log::{Asked, Event, Head},
    name::Name,
    opener::{Granted, Opening, OpeningError, Progress},
    request::{Ask, Request, RequestText, begins, shown_time},
    share::Share,
};
use rand_core::OsRng;
use time::Duration;

use super::{error::BreakGlassError, holders, journal::Journal, person::Terminal, verify};
use crate::{cli::break_glass::Shares, clock::Clock, error::Error, escape};

/// What a ceremony is held with.
pub struct Stage<'a> {
    /// The kit of the one who asks.
    pub kit: &'a Kit,
    /// The people here.
    pub terminal: &'a Arc<Terminal>,
    /// This machine's log.
    pub journal: &'a Journal<'a>,
    /// The local clock.
    pub clock: &'a dyn Clock,
    /// The API server's clock minus ours, as far as is known.
    pub offset: Duration,
}

/// A holder at this machine.
struct Here<'k> {
    share: Share,
    committed: Option<Committed<'k>>,
}

/// Both rounds as they stand.
struct Rounds<'k> {
    opening: Opening<'k>,
    here: Vec<Here<'k>>,
    /// Of the log, after the last entry of this ceremony. The log is not read again: what others write into it meanwhile must not
    /// end a ceremony.
    head: Head,
}

impl<'k> Stage<'k> {
    /// Holds both rounds. Texts for those who are elsewhere go to `out`.
    pub fn hold(&self, request: Request, shares: &Shares, out: &mut impl Write) -> Result<Granted, Error> {
        let opening = Opening::begin(self.kit, request.clone()).map_err(BreakGlassError::from)?;
        let head = self
            .journal
            .add(Event::Requested(Asked::of(opening.checked(), self.kit)))?;
        self.terminal.say("What is asked:");
        self.terminal.asked(opening.checked(), self.kit);
        let asked = RequestText {
            request,
            head: head.clone(),
        };
        let mut rounds = Rounds {
            opening,
            here: Vec::new(),
            head,
        };
        let (hash, drill) = (asked.request.hash(), drill(&asked.request));
        for path in self.share_files(shares)? {
            if rounds.opening.progress() == Progress::Complete {
                self.terminal.say(&format!(
                    "\n{drill}A quorum has agreed; this share file is not needed: {}",
                    escape::path(&path)
                ));
                continue;
            }
            match self.agree(&path, &shares.identities, &asked.request, &rounds.here) {
                Ok(one) => self.commit(one, &mut rounds)?,
                // One slip must not end a ceremony for everybody.
                Err(error @ (BreakGlassError::Twice(_) | BreakGlassError::Refusal(_))) => {
                    self.journal.refused(Some(hash), &error.to_string());
                    self.terminal
                        .say(&format!("This share file is left out: {error}"));
                }
                Err(error) => return Err(error.into()),
            }
        }
        if rounds.opening.progress() != Progress::Complete {
            self.terminal.say(&format!(
                "\n{drill}Send this text to the holders. Each runs: kubectl gatepass break-glass approve --share FILE\nRead the six \
                 words to them by voice: {}\n",
                hash.words()
            ));
            pass_on(&asked, out)?;
        }
        loop {
            if let Some(granted) = self.go_on(&mut rounds, out)? {
                return Ok(granted);
            }
            if let Progress::Need { more, of } = rounds.opening.progress() {
                let round = if rounds.opening.signing().is_some() {
                    "two"
                } else {
                    "one"
                };
                self.terminal.say(&format!(
                    "\n{drill}Round {round}: waiting for the text{} of {more} of: {}. Paste here what they send.",
                    if more == 1 { "" } else { "s" },
                    Name::list(&of)
                ));
            }
            let block = self.terminal.text()?;
            match self.take(&block, &mut rounds) {
                Ok(Progress::Restarted { by }) => {
                    self.terminal.say(&format!(
                        "{drill}{by} committed anew, so round one starts over: everybody else runs `approve` again with the same \
                         request. They end the one that runs with Ctrl-C. This is the request:\n"
                    ));
                    pass_on(&asked, out)?;
                    for one in std::mem::take(&mut rounds.here) {
                        self.commit(one.share, &mut rounds)?;
                    }
                }
                Ok(Progress::Need { .. } | Progress::Complete) => {}
                Err(Error::BreakGlass(
                    error @ (BreakGlassError::Opening(_)
                    | BreakGlassError::Text(_)
                    | BreakGlassError::Here(_)),
                )) => {
                    self.journal.refused(Some(hash), &error.to_string());
                    self.terminal.say(&format!("This text is of no use: {error}"));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The share files that were named, or that the person names now.
    fn share_files(&self, shares: &Shares) -> Result<Vec<PathBuf>, Error> {
        let mut files = shares.files.clone();
        if !files.is_empty() {
            return Ok(files);
        }
        let threshold = usize::from(self.kit.payload().threshold);
        while files.len() < threshold.max(self.kit.payload().holders.len()) {
            let answer = self.terminal.path(
                "Share file of a holder who is at this machine (Enter: nobody else is; the others approve on their own \
                 machines):",
            )?;
            let Some(path) = answer else { break };
            match holders::share_file(&path) {
                Ok(()) => files.push(path),
                Err(error) => self.terminal.say(&format!(
                    "  {error}; type it again, or Enter if nobody else is here"
                )),
            }
        }
        Ok(files)
    }

    /// Lets a holder at this machine see what is asked, agree, and open their share file.
    fn agree(
        &self,
        path: &std::path::Path,
        identities: &[PathBuf],
        request: &Request,
        here: &[Here<'_>],
    ) -> Result<Share, BreakGlassError> {
        self.terminal.say(&format!("\nShare file {}:", path.display()));
        let share = holders::open(path, identities, self.terminal)?;
        let holder = share.holder().clone();
        if here.iter().any(|other| *other.share.holder() == holder) {
            return Err(BreakGlassError::Twice(holder));
        }
        let approval = Approval::begin(self.kit, share.clone(), request.clone())?;
        agree(self.kit, &approval, self.terminal, self.journal)?;
        Ok(share)
    }

    fn commit(&self, share: Share, rounds: &mut Rounds<'k>) -> Result<(), BreakGlassError> {
        let holder = share.holder().clone();
        let request = rounds.opening.checked().request().clone();
        let approval = Approval::begin(self.kit, share.clone(), request)?;
        let head = self.journal.add(Event::Agreed {
            request: approval.checked().hash().to_string(),
            holder: holder.clone(),
        })?;
        let (committed, text) = approval.commit(head, &mut OsRng);
        rounds.head = self.journal.committed(&text)?;
        let _shown_by_the_caller = rounds.opening.commitment(&text)?;
        rounds.here.push(Here {
            share,
            committed: Some(committed),
        });
        Ok(())
    }

    /// Begins round two when round one is complete, and ends when round two is.
    fn go_on(&self, rounds: &mut Rounds<'k>, out: &mut impl Write) -> Result<Option<Granted>, Error> {
        if rounds.opening.progress() != Progress::Complete {
            return Ok(None);
        }
        if rounds.opening.signing().is_none() {
            self.begin_signing(rounds, out)?;
        }
        if rounds.opening.progress() != Progress::Complete {
            return Ok(None);
        }
        Ok(Some(rounds.opening.finish().map_err(BreakGlassError::from)?))
    }

    fn begin_signing(&self, rounds: &mut Rounds<'k>, out: &mut impl Write) -> Result<(), Error> {
        let Rounds { opening, here, head } = rounds;
        let now = self.clock.now();
        let not_before = begins(now.checked_add(self.offset).unwrap_or(now));
        let signing = opening
            .sign(not_before, head.clone())
            .map_err(BreakGlassError::from)?
            .clone();
        *head = self.journal.signing(self.kit, opening.checked(), &signing)?;
        let elsewhere = signing.commitments.len() > here.len();
        for one in here.iter_mut() {
            let Some(committed) = one.committed.take() else {
                continue;
            };
            let typed = typed(&committed, &signing, self.clock, self.terminal)?;
            let now = self.clock.now().unix_timestamp();
            let text = committed
                .sign(&signing, now, typed.as_deref(), head.clone())
                .map_err(BreakGlassError::from)?;
            *head = self.journal.signed(&text)?;
            let _shown_by_the_caller = opening.signature_share(&text).map_err(BreakGlassError::from)?;
        }
        if elsewhere {
            if opening.checked().seconds().is_some() {
                self.terminal.say(&format!(
                    "\nThe certificate will begin at {} UTC.",
                    shown_time(not_before)
                ));
            }
            let drill = drill(opening.checked().request());
            self.terminal.say(&format!(
                "{drill}Round one is complete. Send this text to the same holders:\n"
            ));
            pass_on(&signing, out)?;
        }
        Ok(())
    }

    fn take(&self, block: &Block, rounds: &mut Rounds<'k>) -> Result<Progress, Error> {
        let Rounds { opening, here, head } = rounds;
        // Whoever is here says nothing through the chat. A text in their name would take the place of what they have made
        // here, and their nonces are used up by then.
        let elsewhere = |holder: &Name| match here.iter().any(|one| one.share.holder() == holder) {
            true => Err(BreakGlassError::Here(holder.clone())),
            false => Ok(()),
        };
        if block.is::<SignatureShare>() {
            let text: SignatureShare = block.read().map_err(BreakGlassError::from)?;
            elsewhere(&text.holder)?;
            let progress = opening.signature_share(&text).map_err(BreakGlassError::from)?;
            self.journal.heard::<SignatureShare>(&text.holder, &text.head);
            *head = self.journal.signed(&text)?;
            return Ok(progress);
        }
        let text: Commitment = block.read().map_err(BreakGlassError::from)?;
        elsewhere(&text.holder)?;
        let progress = match opening.commitment(&text) {
            Err(error @ (OpeningError::Late(_) | OpeningError::Another(_))) => {
                let holder = &text.holder;
                let begun = opening.signing().is_some();
                let question = match (&error, begun) {
                    (OpeningError::Late(_), _) => format!(
                        "Round two has begun without {holder}. Is somebody else gone, so that round one starts over with {holder}?"
                    ),
                    (_, true) => format!(
                        "{holder} has committed already, and this is another commitment. Anybody in the chat could have written it: ask \
                         {holder} by voice. Did they run `approve` again, so that round one starts over?"
                    ),
                    (_, false) => format!(
                        "{holder} has committed already, and this is another commitment. Anybody in the chat could have written one of \
                         them: ask {holder} by voice. Is this what their `approve` printed last?"
                    ),
                };
                match self.terminal.yes(&question)? {
                    true => opening.replace(&text),
                    false => Err(error),
                }
            }
            taken => taken,
        };
        let progress = progress.map_err(BreakGlassError::from)?;
        self.journal.heard::<Commitment>(&text.holder, &text.head);
        *head = self.journal.committed(&text)?;
        Ok(progress)
    }
}

/// Shows a holder what is asked, and asks them to agree.
pub fn agree(
    kit: &Kit,
    approval: &Approval<'_>,
    terminal: &Terminal,
    journal: &Journal<'_>,
) -> Result<(), BreakGlassError> {
    let holder = approval.holder().clone();
    if let Fit::Newer { confirmed } = approval.fit() {
        terminal.say(&format!(
            "\n{holder}: you confirmed revision {confirmed} of this kit, and this is revision {}. A quorum signed it, perhaps \
             without you. This is what it says:\n\n{}\n",
            kit.payload().revision,
            verify::words(kit, &[])
        ));
        let question = format!("{holder}: do you know this revision, and is it right?");
        if !terminal.yes(&question)? {
            return Err(BreakGlassError::Declined(holder));
        }
    }
    journal.add(Event::Shown {
        holder: holder.clone(),
        asked: Asked::of(approval.checked(), kit),
    })?;
    if terminal.yes(&format!("{holder}: do you agree to sign this with your share?"))? {
        return Ok(());
    }
    journal.add(Event::Declined {
        request: approval.checked().hash().to_string(),
        holder: holder.clone(),
    })?;
    Err(BreakGlassError::Declined(holder))
}

/// Where the times do not fit this machine's clock, what the person types after both were shown.
pub fn typed(
    committed: &Committed<'_>,
    signing: &gatepass_break_glass::approver::Signing,
    clock: &dyn Clock,
    terminal: &Terminal,
) -> Result<Option<String>, BreakGlassError> {
    let now = clock.now().unix_timestamp();
    let Times::Odd { begins, ends, why } = committed.check(signing, now)? else {
        return Ok(None);
    };
    terminal.say(&format!(
        "{}: by this machine's clock {why}:\n  it begins    {begins} UTC\n  it ends      {ends} UTC\n  your clock   {} UTC\nIf a clock on \
         the wall agrees with the certificate and not with this machine, type the time at which it begins; else press Enter.",
        committed.holder(),
        shown_time(now)
    ));
    loop {
        let typed = terminal.ask("It begins at (YYYY-MM-DD HH:MM, UTC):")?;
        if typed.is_empty() || typed == begins {
            return Ok(Some(typed));
        }
        // A slip must not end a ceremony.
        terminal.say("That is not how it is shown above. Type it again, or press Enter to refuse.");
    }
}

/// What each screen of a drill begins with: nobody shall take one for the real thing, nor the other way round.
pub fn drill(request: &Request) -> &'static str {
    match request.ask {
        Ask::Drill { .. } => "DRILL: ",
        Ask::Certificate { .. } | Ask::Kit { .. } => "",
    }
}

/// Prints a text that has to reach others.
pub fn pass_on(text: &impl Armored, out: &mut impl Write) -> Result<(), Error> {
    out.write_all(text.armor().as_bytes())
        .and_then(|()| out.flush())
        .map_err(Error::Output)
}
