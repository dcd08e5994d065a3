//! `report` and `status`: what the logs say, and how things stand.

use std::{io::Write, path::PathBuf};

use gatepass_break_glass::{
    approver::{Commitment, SignatureShare, Signing},
    armor::{Armored, Block, blocks},
    kit::Kit,
    log::{Event, Head, Log, Recorded},
    name::Name,
    report::{HeardHead, Source},
    request::{RequestText, shown_time},
};
use serde_json::json;

use super::{
    error::BreakGlassError,
    files::{read, read_text},
    kits::{self, Kits},
    log_file,
    open::Desk,
    server::{self, Trusts},
    verify::due,
    window::Windows,
};
use crate::{
    cli::{
        Output,
        break_glass::{Report, Status},
    },
    error::Error,
    escape::{self, Escaped},
    run::wait_for,
};

/// Shows and verifies logs.
pub fn report(command: &Report, desk: &Desk<'_>, out: &mut impl Write) -> Result<(), Error> {
    let own = log_file::path(desk.paths);
    let mut files: Vec<(String, Vec<u8>)> = vec![("this machine's log".into(), log_file::read(&own)?)];
    if files[0].1.is_empty() && !command.logs.is_empty() {
        files.clear();
    }
    for path in &command.logs {
        files.push((path.display().to_string(), read(path)?.to_vec()));
    }
    let mut heads = Vec::new();
    for path in &command.texts {
        for block in blocks(&read_text(path)?).map_err(BreakGlassError::from)? {
            heads.extend(head(&block).map(|(from, head)| HeardHead {
                by: path.display().to_string(),
                from,
                head,
            }));
        }
    }
    let sources: Vec<_> = files.iter().map(|(name, bytes)| Source { name, bytes }).collect();
    let mut report = gatepass_break_glass::report::Report::new(&sources, &heads);
    let kits = known_kits(&command.kits, desk)?;
    report.prove(&kits);
    let text = match command.output {
        Output::Text => report.to_string(),
        Output::Json => escape::json(&serde_json::to_string_pretty(&report).expect("plain JSON")),
        Output::Yaml => {
            serde_saphyr::to_string(&report).map_err(|error| Error::Output(std::io::Error::other(error)))?
        }
    };
    writeln!(out, "{}", text.trim_end()).map_err(Error::Output)?;
    match report.findings().is_empty() {
        true => Ok(()),
        false => Err(BreakGlassError::Findings.into()),
    }
}

/// Who sent a text, and the head of their log as it carried it.
fn head(block: &Block) -> Option<(String, Head)> {
    fn read<T: Armored>(block: &Block, of: impl Fn(T) -> (String, Head)) -> Option<(String, Head)> {
        block.read::<T>().ok().map(of)
    }
    read(block, |text: RequestText| {
        (text.request.by.to_string(), text.head)
    })
    .or_else(|| read(block, |text: Commitment| (text.holder.to_string(), text.head)))
    .or_else(|| read(block, |text: SignatureShare| (text.holder.to_string(), text.head)))
    .or_else(|| read(block, |text: Signing| ("who opened".into(), text.head)))
}

fn known_kits(named: &[PathBuf], desk: &Desk<'_>) -> Result<Vec<Kit>, BreakGlassError> {
    let mut known = Vec::new();
    for path in named {
        known.push(kits::read(path)?);
    }
    known.extend(
        Kits::new(desk.paths)
            .all()?
            .into_iter()
            .filter_map(|(_, kit)| kit.ok()),
    );
    Ok(known)
}

/// How things stand with one kit.
pub struct Standing {
    /// Its file.
    pub path: PathBuf,
    /// The kit, or why it cannot be used.
    pub kit: Result<Kit, String>,
    /// Warnings, each with what to do.
    pub warnings: Vec<String>,
    /// When the last drill was, in Unix seconds.
    pub last_drill: Option<i64>,
}

/// After how many days without a drill one is due.
const DRILL_DAYS: i64 = 100;

/// How things stand with all kits that are kept; asks the API servers, each for at most 5 s, if `ask`.
pub fn standings(desk: &Desk<'_>, ask: bool) -> Result<Vec<Standing>, BreakGlassError> {
    let log = Log::parse_before_break(&log_file::read(&log_file::path(desk.paths))?).0;
    let now = desk.clock.now();
    let mut standings = Vec::new();
    for (path, kit) in Kits::new(desk.paths).all()? {
        let mut warnings = Vec::new();
        let mut last_drill = None;
        if let Ok(kit) = &kit {
            let due = due(kit, now);
            if !due.is_empty() {
                let names: Vec<_> = due.iter().map(Name::as_str).collect();
                warnings.push(format!(
                    "due for recertification: {}; kubectl gatepass break-glass recertify",
                    names.join(", ")
                ));
            }
            last_drill = log.entries().iter().rev().find_map(|entry| match &entry.event {
                Recorded::Known(Event::Drilled { kit: drilled, .. }) if *drilled == kit.hash() => {
                    Some(entry.time.unix_timestamp())
                }
                _ => None,
            });
            if last_drill
                .is_none_or(|drill| drill.saturating_add(DRILL_DAYS * 24 * 3600) < now.unix_timestamp())
            {
                warnings.push(
                    "no drill that this machine knows of in 100 days; kubectl gatepass break-glass drill"
                        .into(),
                );
            }
            if ask {
                warnings.extend(bundle(kit));
            }
        }
        standings.push(Standing {
            path,
            kit: kit.map_err(|error| error.to_string()),
            warnings,
            last_drill,
        });
    }
    Ok(standings)
}

/// What is wrong with the API server's client CA bundle, as far as it says.
fn bundle(kit: &Kit) -> Option<String> {
    let payload = kit.payload();
    let looked = wait_for(async { Ok(server::look(&payload.server, &payload.server_ca).await) });
    match looked {
        Ok(Ok(seen)) => match seen.trusts(&kit.authority_subject()) {
            Trusts::Yes => None,
            Trusts::No => Some(
                "the API server does not take this authority's clients: append what `verify --ca` prints to the file that its \
                 --client-ca-file names"
                    .into(),
            ),
            Trusts::CannotTell(why) => Some(format!("whether the API server takes this authority's clients is unknown: {why}")),
        },
        Ok(Err(error)) => Some(format!("whether the API server takes this authority's clients is unknown: {error}")),
        Err(error) => Some(error.to_string()),
    }
}

/// Shows kits, windows, and who is due.
pub fn status(command: &Status, desk: &Desk<'_>, out: &mut impl Write) -> Result<(), Error> {
    let standings = standings(desk, true)?;
    let found = Windows::new(desk.paths).find(desk.clock.now());
    let value = json!({
        "kits": standings.iter().map(|standing| json!({
            "file": standing.path,
            "error": standing.kit.as_ref().err(),
            "cluster": standing.kit.as_ref().ok().map(|kit| &kit.payload().cluster),
            "revision": standing.kit.as_ref().ok().map(|kit| kit.payload().revision),
            "words": standing.kit.as_ref().ok().map(|kit| kit.words().to_string()),
            "threshold": standing.kit.as_ref().ok().map(|kit| kit.payload().threshold),
            "holders": standing.kit.as_ref().ok().map(|kit| {
                kit.payload().holders.iter().map(|holder| holder.name.clone()).collect::<Vec<_>>()
            }),
            "lastDrill": standing.last_drill.map(shown_time),
            "warnings": standing.warnings,
        })).collect::<Vec<_>>(),
        "windows": found.open.iter().map(|window| json!({
            "cluster": window.cluster,
            "who": window.who,
            "credentialId": window.credential_id,
            "notAfter": shown_time(window.not_after),
        })).collect::<Vec<_>>(),
        "notes": found.notes,
    });
    match command.output {
        Output::Json => {
            let text = escape::json(&serde_json::to_string_pretty(&value).expect("plain JSON"));
            return writeln!(out, "{text}").map_err(Error::Output);
        }
        Output::Yaml => {
            let text = serde_saphyr::to_string(&value)
                .map_err(|error| Error::Output(std::io::Error::other(error)))?;
            return write!(out, "{text}").map_err(Error::Output);
        }
        Output::Text => {}
    }
    let mut lines = Vec::new();
    if standings.is_empty() {
        lines.push(
            "This machine keeps no break-glass kit. One is made by `init`, and kept by `verify KIT --keep`."
                .to_owned(),
        );
    }
    for standing in &standings {
        match &standing.kit {
            Err(error) => lines.push(format!("kit  UNUSABLE: {}", escape::message(error))),
            Ok(kit) => {
                let payload = kit.payload();
                let names: Vec<_> = payload
                    .holders
                    .iter()
                    .map(|holder| holder.name.as_str())
                    .collect();
                lines.push(format!(
                    "kit  {}, revision {}",
                    Escaped(&payload.cluster),
                    payload.revision
                ));
                lines.push(format!("  words       {}", kit.words()));
                lines.push(format!(
                    "  quorum      {} of {}",
                    payload.threshold,
                    names.join(", ")
                ));
                lines.push(format!(
                    "  last drill  {}",
                    standing
                        .last_drill
                        .map_or("none that this machine knows of".into(), shown_time)
                ));
                lines.push(format!("  file        {}", standing.path.display()));
            }
        }
        lines.extend(
            standing
                .warnings
                .iter()
                .map(|warning| format!("  WARNING     {}", escape::message(warning))),
        );
    }
    for window in &found.open {
        lines.push(format!(
            "window OPEN  {} as break-glass:{} until {} UTC\n  credential ID {}",
            Escaped(&window.cluster),
            Escaped(&window.who),
            shown_time(window.not_after),
            window.credential_id
        ));
    }
    if found.open.is_empty() {
        lines.push("No window is open.".into());
    }
    lines.extend(
        found
            .notes
            .iter()
            .map(|note| format!("NOTE  {}", escape::message(note))),
    );
    writeln!(out, "{}", lines.join("\n")).map_err(Error::Output)
}
