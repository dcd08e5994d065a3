//! How things stand with the kits that this machine keeps: what `doctor` and `status` warn about.

use std::{collections::BTreeSet, path::PathBuf};

use gatepass_break_glass::{
    kit::{Kit, KitHash},
    log::{Event, Log, Purpose, Recorded},
    name::Name,
};
use serde::Serialize;
use time::{Duration, OffsetDateTime};

use super::{
    error::BreakGlassError,
    kits::Kits,
    log_file,
    server::{self, Trusts},
};
use crate::{
    escape::{Escaped, argument},
    paths::Paths,
};

/// How things stand with one kit.
pub struct Standing {
    /// Its file.
    pub path: PathBuf,
    /// The kit, or why it cannot be used.
    pub kit: Result<Kit, String>,
    /// The last drill in this machine's log, Unix seconds.
    pub last_drill: Option<i64>,
    /// Whether the API server takes the authority's certificates, or why that is not known; `None` where it was not asked.
    pub trusts: Option<Result<Trusts, String>>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub says: String,
    /// What to do.
    pub remedy: String,
}

/// How bad a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The glass cannot be broken with this kit.
    Failed,
    /// It can, and somebody should do something before it cannot.
    Warning,
    /// Nobody can tell from here.
    Unknown,
}

impl Severity {
    /// In one word, for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed => "FAILS",
            Self::Warning => "WARNING",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// How long a drill counts.
const DRILL: Duration = Duration::days(90);

/// How long before the end of its authority a kit should be replaced.
const AUTHORITY_END: Duration = Duration::days(180);

/// What is known without asking anybody.
pub fn standings(paths: &Paths) -> Result<Vec<Standing>, BreakGlassError> {
    let (log, _where_it_breaks) = Log::parse_before_break(&log_file::read(&log_file::path(paths))?);
    let kits = Kits::new(paths);
    let known = kits.known()?;
    let kits = kits.all()?.into_iter();
    let last_drill = |kit: &Kit| last_drill(&log, &revisions(kit, &known));
    let standing = |(path, kit): (PathBuf, Result<Kit, BreakGlassError>)| Standing {
        last_drill: kit.as_ref().ok().and_then(last_drill),
        path,
        kit: kit.map_err(|error| error.to_string()),
        trusts: None,
    };
    Ok(kits.map(standing).collect())
}

/// What is known when the API servers were asked, each for 5 s at most.
pub async fn standings_with_servers(paths: &Paths) -> Result<Vec<Standing>, BreakGlassError> {
    let mut standings = standings(paths)?;
    for standing in &mut standings {
        if let Ok(kit) = &standing.kit {
            let payload = kit.payload();
            let seen = server::look(&payload.server, &payload.server_ca).await;
            let trusts = seen.map(|seen| seen.trusts(&kit.authority_subject()));
            standing.trusts = Some(trusts.map_err(|error| error.to_string()));
        }
    }
    Ok(standings)
}

/// The last drill in which this machine took part, of any of these revisions of a kit: the shares of all are of one key.
///
/// Who asked knows how it ended. Who approved knows that they signed, and hears no more of it.
fn last_drill(log: &Log, revisions: &[KitHash]) -> Option<i64> {
    let (mut last, mut asked_here, mut shown) = (None, BTreeSet::new(), BTreeSet::new());
    for entry in log.entries() {
        let Recorded::Known(event) = &entry.event else {
            continue;
        };
        let took_part = match event {
            Event::Requested(asked) => {
                asked_here.insert(&asked.request);
                false
            }
            Event::Shown { holder, asked } => {
                if asked.purpose == Purpose::Drill && revisions.contains(&asked.kit) {
                    shown.insert((&asked.request, holder));
                }
                false
            }
            Event::Signed { request, holder, .. } => {
                shown.contains(&(request, holder)) && !asked_here.contains(request)
            }
            Event::Drilled { kit, .. } => revisions.contains(kit),
            _ => false,
        };
        if took_part {
            last = Some(entry.time.unix_timestamp());
        }
    }
    last
}

/// The revisions of a kit that this machine knows of: its own, the one before, and all that it kept.
fn revisions(kit: &Kit, known: &[Kit]) -> Vec<KitHash> {
    let kept = known.iter();
    let kept = kept.filter(|other| other.payload().authority == kit.payload().authority);
    let kept = kept.map(Kit::hash).chain([kit.hash()]);
    kept.chain(kit.payload().previous).collect()
}

/// The holders who are due for a proof.
pub fn due(kit: &Kit, now: OffsetDateTime) -> Vec<Name> {
    let payload = kit.payload();
    let patience = Duration::days(payload.limits.recertify_days.into()).whole_seconds();
    let due = |confirmed: i64| confirmed.saturating_add(patience) <= now.unix_timestamp();
    let holders = payload.holders.iter().filter(|holder| due(holder.confirmed));
    holders.map(|holder| holder.name.clone()).collect()
}

impl Standing {
    /// What is not as it should be.
    pub fn faults(&self, now: OffsetDateTime) -> Vec<Fault> {
        let kit = match &self.kit {
            Ok(kit) => kit,
            Err(error) => {
                return vec![Fault {
                    severity: Severity::Failed,
                    says: format!("a kit cannot be used: {error}"),
                    remedy: "take another copy of it, which any holder has: kubectl gatepass break-glass verify KIT --keep"
                        .into(),
                }];
            }
        };
        let payload = kit.payload();
        let mut faults = Vec::new();
        // Each names its kit: there may be several.
        let file = argument(&self.path, "KIT");
        let recertify = format!("kubectl gatepass break-glass recertify --kit {file}");
        let drill_again = format!("kubectl gatepass break-glass drill --kit {file}");
        let mut add = |severity, says: String, remedy: &str| {
            faults.push(Fault {
                severity,
                says: format!("the kit of {}: {says}", Escaped(&payload.cluster)),
                remedy: remedy.into(),
            });
        };
        let due = due(kit, now);
        let names = Name::list(&due);
        let left = payload.holders.len() - due.len();
        if left < payload.threshold.into() {
            let says = format!(
                "fewer than a quorum have proven of late that they still have their share; due are {names} (it opens all the same)"
            );
            add(Severity::Warning, says, &recertify);
        } else if !due.is_empty() {
            let says = format!("due for recertification: {names}");
            add(Severity::Warning, says, &recertify);
        }
        let since = |unix: i64| now.unix_timestamp().saturating_sub(unix) / (24 * 60 * 60);
        let drill = match self.last_drill {
            None => Some("no drill of it is in this machine's log".to_owned()),
            Some(drill) if since(drill) >= DRILL.whole_days() => {
                Some(format!("the last drill was {} days ago", since(drill)))
            }
            Some(_) => None,
        };
        if let Some(says) = drill {
            add(Severity::Warning, says, &drill_again);
        }
        let rotate = "kubectl gatepass break-glass init --rotate";
        match -since(payload.authority.not_after) {
            left if left <= 0 => add(Severity::Failed, "its authority has ended".into(), rotate),
            left if left < AUTHORITY_END.whole_days() => {
                add(
                    Severity::Warning,
                    format!("its authority ends in {left} days"),
                    rotate,
                );
            }
            _ => {}
        }
        let bundle = format!(
            "append what `kubectl gatepass break-glass verify {file} --ca` prints to the file that the API server's \
             --client-ca-file names"
        );
        let unknown =
            |why: &str| format!("whether the API server takes its certificates is not known: {why}");
        match &self.trusts {
            None | Some(Ok(Trusts::Yes)) => {}
            Some(Ok(Trusts::No)) => {
                add(
                    Severity::Failed,
                    "the API server does not take its certificates".into(),
                    &bundle,
                );
            }
            Some(Ok(Trusts::CannotTell(why))) => add(Severity::Unknown, unknown(why), &bundle),
            Some(Err(why)) => add(
                Severity::Unknown,
                unknown(why),
                "see that this is the kit's API server (verify shows it), and that it can be reached",
            ),
        }
        faults
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use frost_ed25519::keys::KeyPackage;
    use gatepass_break_glass::{
        keygen::side_by_side,
        kit::{Draft, Limits, Made},
        log::Asked,
        reshare::{Change, reshare},
    };
    use rand_core::OsRng;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-11-22 00:00:00 UTC);

    pub(crate) fn kit() -> Kit {
        quorum().0
    }

    fn quorum() -> (Kit, Vec<(Name, KeyPackage)>) {
        let draft = Draft {
            cluster: "prod".into(),
            issuer: None,
            server: "https://server".into(),
            server_ca: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".into(),
            made: Made::OneMachine,
            created: NOW.unix_timestamp(),
            authority_days: 7300,
            threshold: 2,
            holders: ["alice", "bob"]
                .map(|name| (name_of(name), vec![name.into()]))
                .into(),
            limits: Limits {
                longest_seconds: 3600,
                openers: Vec::new(),
                recertify_days: 180,
            },
        };
        side_by_side(&draft, &mut OsRng).unwrap()
    }

    fn name_of(name: &str) -> Name {
        Name::try_from(name.to_owned()).unwrap()
    }

    fn faults(standing: &Standing, days: i64) -> Vec<(Severity, String)> {
        let faults = standing.faults(NOW + Duration::days(days)).into_iter();
        faults.map(|fault| (fault.severity, fault.says)).collect()
    }

    #[test]
    fn what_is_due_is_said_on_its_day_and_not_before() {
        let mut standing = Standing {
            path: PathBuf::new(),
            kit: Ok(kit()),
            last_drill: Some(NOW.unix_timestamp()),
            trusts: Some(Ok(Trusts::Yes)),
        };
        assert_eq!(faults(&standing, 89), []);
        let said = |days, severity, what: &str| {
            let faults = faults(&standing, days);
            let found = faults
                .iter()
                .any(|(how, says)| *how == severity && says.contains(what));
            assert!(found, "{faults:?}");
        };
        said(90, Severity::Warning, "the last drill was 90 days ago");
        said(180, Severity::Warning, "due are alice, bob");
        assert!(
            !faults(&standing, 179)
                .iter()
                .any(|(_, says)| says.contains("alice"))
        );
        said(7300 - 179, Severity::Warning, "its authority ends in 179 days");
        said(7300, Severity::Failed, "its authority has ended");
        standing.last_drill = None;
        assert!(faults(&standing, 0)[0].1.contains("no drill"));
    }

    /// The last drill of a log with these events, one in each minute, in minutes.
    fn last_minute(events: &[Event], revisions: &[KitHash]) -> Option<i64> {
        let mut log = Log::default();
        for (minute, event) in events.iter().enumerate() {
            let now = OffsetDateTime::UNIX_EPOCH + Duration::minutes(minute as i64);
            log.append(event.clone(), now, &mut OsRng);
        }
        last_drill(&log, revisions).map(|last| last / 60)
    }

    #[test]
    fn a_drill_counts_where_somebody_signed_in_it_and_where_it_was_asked_for_when_it_ended() {
        let hash = |digits: &str| KitHash::try_from(digits.repeat(32)).unwrap();
        let (ours, others) = (hash("ab"), hash("cd"));
        let asked = |purpose| Asked {
            request: "12".into(),
            kit: ours,
            purpose,
            words: String::new(),
            who: name_of("alice"),
            reason: None,
            seconds: None,
            content: serde_json::Value::Null,
        };
        let shown = |purpose| Event::Shown {
            holder: name_of("bob"),
            asked: asked(purpose),
        };
        let signed = |request: &str, holder| Event::Signed {
            request: request.into(),
            holder: name_of(holder),
            share: String::new(),
        };
        let drilled = Event::Drilled {
            request: "12".into(),
            kit: ours,
            holders: vec![name_of("bob")],
        };
        // Who approved.
        let approved = [shown(Purpose::Drill), signed("12", "bob")];
        assert_eq!(last_minute(&approved, &[others, ours]), Some(1));
        assert_eq!(last_minute(&approved, &[others]), None);
        assert_eq!(last_minute(&approved[..1], &[ours]), None);
        for other in [
            [shown(Purpose::Certificate), signed("12", "bob")],
            [shown(Purpose::Drill), signed("34", "bob")],
            [shown(Purpose::Drill), signed("12", "carol")],
        ] {
            assert_eq!(last_minute(&other, &[ours]), None, "{other:?}");
        }
        // Who asked, and signed here: others may never have.
        let began = [&[Event::Requested(asked(Purpose::Drill))], &approved[..]].concat();
        assert_eq!(last_minute(&began, &[ours]), None);
        let ended = [&began[..], &[drilled]].concat();
        assert_eq!(last_minute(&ended, &[ours]), Some(3));
        assert_eq!(last_minute(&ended, &[others]), None);
    }

    #[test]
    fn a_drill_of_any_revision_that_was_kept_counts_and_another_kits_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::from_env(|_| Some(dir.path().to_path_buf())).unwrap();
        let (first, mut shares) = quorum();
        let drilled = Event::Drilled {
            request: "12".into(),
            kit: first.hash(),
            holders: Vec::new(),
        };
        let line = Log::default().append(drilled, NOW, &mut OsRng);
        let log = log_file::path(&paths);
        std::fs::create_dir_all(log.parent().unwrap()).unwrap();
        std::fs::write(log, line).unwrap();
        let kits = Kits::new(&paths);
        let mut kit = first;
        kits.keep(&kit).unwrap();
        for _ in 0..2 {
            (kit, shares) = reshare(&kit, shares, Change::default(), 0, &mut OsRng).unwrap();
            kits.keep(&kit).unwrap();
        }
        assert_eq!(kit.payload().revision, 3);
        kits.keep(&quorum().0).unwrap();
        let mut drills = standings(&paths).unwrap();
        drills.sort_by_key(|standing| standing.kit.as_ref().unwrap().payload().revision);
        let drills = drills.iter().map(|standing| standing.last_drill);
        assert_eq!(drills.collect::<Vec<_>>(), [None, Some(NOW.unix_timestamp())]);
    }

    #[test]
    fn a_kit_that_the_api_server_does_not_know_or_that_was_changed_cannot_open() {
        let mut standing = Standing {
            path: PathBuf::new(),
            kit: Ok(kit()),
            last_drill: Some(NOW.unix_timestamp()),
            trusts: Some(Ok(Trusts::No)),
        };
        assert_eq!(faults(&standing, 0)[0].0, Severity::Failed);
        standing.trusts = Some(Err("gone".into()));
        assert_eq!(faults(&standing, 0)[0].0, Severity::Unknown);
        standing.kit = Err("changed".into());
        assert_eq!(
            faults(&standing, 0),
            [(Severity::Failed, "a kit cannot be used: changed".into())]
        );
    }
}
