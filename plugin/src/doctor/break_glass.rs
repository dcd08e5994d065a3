//! Whether the glass could be broken tonight.

use time::{Duration, OffsetDateTime};

use super::Line;
use crate::{
    break_glass::{server::Trusts, window::Found},
    escape::Escaped,
};

/// What was found out of break-glass on this machine.
#[derive(Default)]
pub struct BreakGlass {
    /// The kits that are kept here.
    pub kits: Vec<Kit>,
    /// The windows.
    pub windows: Found,
}

/// One kit that is kept here.
pub struct Kit {
    /// What people call the cluster.
    pub cluster: String,
    /// When its holders last confirmed it, at its making or by recertification; Unix seconds.
    pub recertified: i64,
    /// The last drill of it in this machine's log, Unix seconds.
    pub last_drill: Option<i64>,
    /// End of its CA certificate, Unix seconds.
    pub ca_not_after: i64,
    /// Whether the API server takes the CA's certificates, or why it was not asked.
    pub trusts: Result<Trusts, String>,
}

/// How long holders are taken to be still there, able and in possession of their shares.
const RECERTIFY: Duration = Duration::days(180);
/// How long a drill counts.
const DRILL: Duration = Duration::days(90);
/// How long before the end of its CA a kit should be replaced.
const CA_END: Duration = Duration::days(180);

impl BreakGlass {
    /// The lines; none where there is nothing of break-glass.
    pub fn lines(&self, now: OffsetDateTime) -> Vec<Line> {
        const CHECK: &str = "break-glass";
        let mut lines = Vec::new();
        for note in &self.windows.notes {
            lines.push(Line::warning(
                CHECK,
                note.as_str(),
                "kubectl gatepass break-glass status",
            ));
        }
        for window in &self.windows.open {
            let says = window.announcement();
            lines.push(Line::warning(
                CHECK,
                says,
                "close it when it is not needed any more",
            ));
        }
        for kit in &self.kits {
            let begin = lines.len();
            kit.faults(now, &mut lines);
            if lines.len() == begin {
                let says = format!("the kit of {} is in order", Escaped(&kit.cluster));
                lines.push(Line::ok(CHECK, says));
            }
        }
        lines
    }
}

impl Kit {
    fn faults(&self, now: OffsetDateTime, lines: &mut Vec<Line>) {
        const CHECK: &str = "break-glass";
        let says = |what: String| format!("the kit of {}: {what}", Escaped(&self.cluster));
        let days = |unix: i64| now.unix_timestamp().saturating_sub(unix) / 86400;
        if days(self.recertified) >= RECERTIFY.whole_days() {
            let what = format!(
                "nobody has asked its holders for {} days whether they still have their shares (it opens all the same)",
                days(self.recertified)
            );
            lines.push(Line::warning(
                CHECK,
                says(what),
                "kubectl gatepass break-glass recertify",
            ));
        }
        let drilled = match self.last_drill {
            None => Some("no drill of it is in this machine's log".to_owned()),
            Some(drill) if days(drill) >= DRILL.whole_days() => {
                Some(format!("the last drill was {} days ago", days(drill)))
            }
            Some(_) => None,
        };
        if let Some(what) = drilled {
            lines.push(Line::warning(
                CHECK,
                says(what),
                "kubectl gatepass break-glass drill",
            ));
        }
        let rotate = "kubectl gatepass break-glass init --rotate";
        match -days(self.ca_not_after) {
            left if left <= 0 => {
                lines.push(Line::failed(CHECK, says("its CA has ended".into()), rotate));
            }
            left if left < CA_END.whole_days() => {
                lines.push(Line::warning(
                    CHECK,
                    says(format!("its CA ends in {left} days")),
                    rotate,
                ));
            }
            _ => {}
        }
        match &self.trusts {
            Ok(Trusts::Yes) => {}
            Ok(Trusts::No) => lines.push(Line::failed(
                CHECK,
                says("the API server does not take its certificates".into()),
                "put the kit's CA into the file that --client-ca-file of the API server names, beside those that are there",
            )),
            Ok(Trusts::CannotTell(why)) => lines.push(Line::unknown(
                CHECK,
                says(format!("whether the API server takes its certificates: {why}")),
                Some("see that the kit's CA is in the API server's --client-ca-file"),
            )),
            Err(why) => lines.push(Line::unknown(
                CHECK,
                says(format!("whether the API server takes its certificates: {why}")),
                None,
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::{super::State, *};

    const NOW: OffsetDateTime = datetime!(2026-11-22 00:00:00 UTC);

    fn kit() -> Kit {
        Kit {
            cluster: "prod".into(),
            recertified: days(-179),
            last_drill: Some(days(-89)),
            ca_not_after: days(180),
            trusts: Ok(Trusts::Yes),
        }
    }

    fn days(days: i64) -> i64 {
        (NOW + Duration::days(days)).unix_timestamp()
    }

    fn lines(kit: Kit) -> Vec<Line> {
        let facts = BreakGlass {
            kits: vec![kit],
            windows: Found::default(),
        };
        facts.lines(NOW)
    }

    #[test]
    fn a_kit_that_was_tried_and_is_trusted_is_in_order() {
        let lines = lines(kit());
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].state, State::Ok, "{lines:?}");
        assert!(BreakGlass::default().lines(NOW).is_empty());
    }

    #[test]
    fn what_would_fail_tonight_is_said_today() {
        use State::{Failed, Unknown, Warning};
        let change = |change: fn(&mut Kit)| {
            let mut kit = kit();
            change(&mut kit);
            kit
        };
        let cases = [
            (
                change(|kit| kit.recertified = days(-180)),
                Warning,
                "for 180 days",
            ),
            (change(|kit| kit.last_drill = None), Warning, "no drill"),
            (
                change(|kit| kit.last_drill = Some(days(-90))),
                Warning,
                "90 days ago",
            ),
            (change(|kit| kit.ca_not_after = days(179)), Warning, "in 179 days"),
            (change(|kit| kit.ca_not_after = days(0)), Failed, "has ended"),
            (change(|kit| kit.trusts = Ok(Trusts::No)), Failed, "does not take"),
            (
                change(|kit| kit.trusts = Ok(Trusts::CannotTell("x"))),
                Unknown,
                "x",
            ),
            (
                change(|kit| kit.trusts = Err("no network".into())),
                Unknown,
                "no network",
            ),
            (change(|kit| kit.recertified = i64::MIN), Warning, "days"),
        ];
        for (kit, state, words) in cases {
            let lines = lines(kit);
            let [line] = &lines[..] else { panic!("{lines:?}") };
            assert_eq!(line.state, state, "{line:?}");
            assert!(line.says.contains(words), "{line:?}");
        }
    }
}
