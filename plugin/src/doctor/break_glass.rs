//! Whether the glass could be broken tonight.

use time::OffsetDateTime;

use super::Line;
use crate::{
    break_glass::{
        entry,
        standing::{Severity, Standing},
        window::Found,
    },
    escape::Escaped,
    kubeconfig::Config,
};

const CHECK: &str = "break-glass";

/// The lines; none where there is nothing of break-glass on this machine.
pub(super) fn lines(
    standings: &[Standing],
    windows: &Found,
    config: Option<&Config>,
    now: OffsetDateTime,
) -> Vec<Line> {
    let mut lines = Vec::new();
    for note in &windows.notes {
        lines.push(Line::warning(
            CHECK,
            note.as_str(),
            "kubectl gatepass break-glass status",
        ));
    }
    for window in &windows.open {
        lines.push(Line::warning(
            CHECK,
            window.announcement(),
            "close it when it is not needed any more",
        ));
    }
    for standing in standings {
        let faults = standing.faults(now);
        if let Ok(kit) = &standing.kit {
            match config.and_then(|config| entry::missing(kit, config)) {
                Some(says) => lines.push(Line::warning(CHECK, says, entry::remedy(Some(&standing.path)))),
                None if faults.is_empty() => {
                    let says = format!("the kit of {} is in order", Escaped(&kit.payload().cluster));
                    lines.push(Line::ok(CHECK, says));
                }
                None => {}
            }
        }
        lines.extend(faults.into_iter().map(|fault| match fault.severity {
            Severity::Failed => Line::failed(CHECK, fault.says, fault.remedy),
            Severity::Warning => Line::warning(CHECK, fault.says, fault.remedy),
            Severity::Unknown => Line::unknown(CHECK, fault.says, Some(&fault.remedy)),
        }));
    }
    lines
}
