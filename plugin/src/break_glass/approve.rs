//! `approve`: a holder at their own machine.

use std::{io::Write, sync::Arc};

use gatepass_break_glass::{
    approver::{Approval, Committed, Refusal, Signing, Times},
    kit::Kit,
    log::Event,
    request::{Checked, RequestText},
};
use rand_core::OsRng;
use time::Duration;

use super::{
    ceremony::{agree, drill, pass_on, typed},
    error::BreakGlassError,
    files::read,
    holders,
    journal::Journal,
    kits::Kits,
    person::Terminal,
};
use crate::{cli::break_glass::Approve, clock::Clock, error::Error, paths::Paths};

/// How long an agreement counts without a further question.
const STALE: Duration = Duration::minutes(30);

/// Approves what somebody asks, if the holder agrees.
pub fn approve(
    command: &Approve,
    paths: &Paths,
    clock: &dyn Clock,
    terminal: &Arc<Terminal>,
    out: &mut impl Write,
) -> Result<(), Error> {
    let kit = Kits::new(paths).kit(command.which.kit.as_deref())?;
    let journal = Journal::new(paths, clock, terminal);
    // Better known now than after the call.
    read(&command.share)?;
    terminal.say("Paste the request, from its BEGIN line to its END line.");
    let asked = request(&kit, terminal, &journal)?;
    let checked = asked.request.clone().check(&kit);
    // `request` has held it against the kit.
    let checked = checked.map_err(|error| BreakGlassError::Refusal(error.into()))?;
    terminal.say("\nWhat is asked of you:");
    terminal.asked(&checked, &kit);
    terminal.say(&format!(
        "Call {}, hear their voice, and compare the six words. Whoever sent this text need not be who it says.\n",
        checked.request().by
    ));
    let share = holders::open(&command.share, &command.identities, terminal)?;
    let approval = match Approval::begin(&kit, share, asked.request.clone()) {
        Ok(approval) => approval,
        Err(refusal) => {
            journal.refused(Some(checked.hash()), &refusal.to_string());
            return Err(BreakGlassError::from(refusal).into());
        }
    };
    agree(&kit, &approval, terminal, &journal)?;
    let head = journal.add(Event::Agreed {
        request: checked.hash().to_string(),
        holder: approval.holder().clone(),
    })?;
    let agreed = clock.now();
    let holder = approval.holder().clone();
    let (committed, commitment) = approval.commit(head, &mut OsRng);
    journal.committed(&commitment)?;
    let drill = drill(checked.request());
    terminal.say(&format!("\n{drill}Send this text to {}:\n", checked.request().by));
    pass_on(&commitment, out)?;
    terminal.say(&format!(
        "\n{drill}Keep this running: what it needs for round two is nowhere else. Paste the text of round two when it comes."
    ));
    let (signing, typed) = round_two(&committed, &checked, clock, terminal, &journal)?;
    let since = (clock.now() - agreed).abs();
    if since > STALE {
        let question = format!(
            "{holder}: you agreed {} minutes ago. Do you still?",
            since.whole_minutes()
        );
        if !terminal.yes(&question)? {
            return Err(BreakGlassError::Declined(holder).into());
        }
    }
    journal.heard::<Signing>(&checked.request().by, &signing.head);
    let head = journal.signing(&kit, &checked, &signing)?;
    let share = committed
        .sign(&signing, clock.now().unix_timestamp(), typed.as_deref(), head)
        .map_err(BreakGlassError::from)?;
    journal.signed(&share)?;
    terminal.say(&format!(
        "\n{drill}Send this text to {}; then you are done, {holder}:\n",
        checked.request().by
    ));
    pass_on(&share, out)
}

/// The beginning of round two that fits what the holder agreed to, and the time that they typed where clocks disagree. What does not
/// fit is refused with words, and another may follow.
fn round_two(
    committed: &Committed<'_>,
    checked: &Checked,
    clock: &dyn Clock,
    terminal: &Terminal,
    journal: &Journal<'_>,
) -> Result<(Signing, Option<String>), BreakGlassError> {
    loop {
        let block = terminal.text()?;
        if block.is::<RequestText>() {
            terminal.say(
                "This is a request, where the text of round two is needed. If round one starts over: end this with Ctrl-C, run \
                 `approve` again, and paste the request there.",
            );
            continue;
        }
        let signing = match block.read::<Signing>() {
            Ok(signing) => signing,
            Err(error) => {
                terminal.say(&format!("This text is of no use here: {error}"));
                continue;
            }
        };
        let now = clock.now().unix_timestamp();
        match committed.check(&signing, now) {
            Err(refusal) => {
                journal.refused(Some(checked.hash()), &refusal.to_string());
                terminal.say(&format!(
                    "Refused: {refusal}\nNothing was signed. Paste the right text, or end this with Ctrl-C."
                ));
            }
            Ok(Times::Fine) => return Ok((signing, None)),
            Ok(Times::Odd { begins, .. }) => {
                let typed = typed(committed, &signing, clock, terminal)?;
                if typed.as_deref() == Some(&*begins) {
                    return Ok((signing, typed));
                }
                terminal.say("Nothing was signed. Paste the text again, or end this with Ctrl-C.");
            }
        }
    }
}

/// The first request that is pasted and fits the kit. One that does not is refused with words, and another may follow.
fn request(kit: &Kit, terminal: &Terminal, journal: &Journal<'_>) -> Result<RequestText, BreakGlassError> {
    loop {
        let block = terminal.text()?;
        let text = match block.read::<RequestText>() {
            Ok(text) => text,
            Err(error) => {
                terminal.say(&format!("This text is of no use here: {error}"));
                continue;
            }
        };
        journal.heard::<RequestText>(&text.request.by, &text.head);
        match text.request.clone().check(kit) {
            Ok(_) => return Ok(text),
            Err(error) => {
                let refusal = Refusal::from(error);
                journal.refused(Some(text.request.hash()), &refusal.to_string());
                terminal.say(&format!("Refused: {refusal}\nNothing was signed."));
            }
        }
    }
}
