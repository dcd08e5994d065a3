//! `close`: windows end before their time.

use gatepass_break_glass::{log::Event, request::shown_time};

use super::{
    error::BreakGlassError,
    journal::Journal,
    kits,
    open::Desk,
    server,
    window::{Window, WindowError, Windows},
};
use crate::{cli::break_glass::Close, error::Error, escape::Escaped};

/// Closes the window of a kit, or every window. What goes wrong with one keeps no other open, nor does a log that cannot be
/// written: whoever closes wants the key gone.
pub(super) fn close(command: &Close, desk: &Desk<'_>) -> Result<(), Error> {
    let kit = command.kit.as_deref().map(kits::read).transpose()?;
    let is_meant = |window: &&Window| kit.as_ref().is_none_or(|kit| window.is_of(kit));
    let windows = Windows::new(desk.paths);
    let found = windows.find(desk.clock.now());
    for note in &found.notes {
        desk.terminal.say(&format!("kubectl-gatepass: {note}"));
    }
    let journal = Journal::new(desk.paths, desk.clock, &desk.terminal);
    let store = desk.settings.store(desk.paths);
    let (mut closed, mut failed) = (false, false);
    for window in found.open.iter().chain(&found.set_back).filter(is_meant) {
        let key = windows.key(window, store.as_ref());
        let outcome = windows.close(window, store.as_ref());
        desk.terminal.say(&words(window, &outcome));
        failed |= outcome.is_err();
        if matches!(outcome, Ok(()) | Err(WindowError::KeyNotDeleted { .. })) {
            closed = true;
            journal.note(Event::Closed {
                credential_id: window.credential_id.clone(),
            });
            // Last of all, because nobody may be there to answer.
            if let Ok(key) = key {
                server::show(window, &key);
            }
        }
    }
    for ended in &found.ended {
        let _ = windows.close(ended, store.as_ref());
    }
    if kit.is_none() {
        windows.sweep_now();
    }
    match (failed, closed, kit) {
        (true, ..) => Err(BreakGlassError::NotClosed.into()),
        (false, true, _) => Ok(()),
        (false, false, None) => Err(BreakGlassError::NoWindow.into()),
        (false, false, Some(_)) => Err(BreakGlassError::NoWindowOfKit.into()),
    }
}

fn words(window: &Window, outcome: &Result<(), WindowError>) -> String {
    let cluster = Escaped(&window.cluster);
    match outcome {
        Ok(()) => format!(
            "The window for {cluster} is closed, and its key deleted. The certificate itself lives until {} UTC; if its key may \
             have been copied:\n  kubectl gatepass revoke --credential-id {}",
            shown_time(window.not_after),
            window.credential_id
        ),
        Err(error) => {
            let next = error.hint().map(|hint| format!("\n  next: {hint}"));
            format!(
                "The window for {cluster} could not be removed whole: {error}{}",
                next.unwrap_or_default()
            )
        }
    }
}

#[cfg(test)]
mod tests;
