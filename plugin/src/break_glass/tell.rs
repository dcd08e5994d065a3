//! `report` and `status`: what the logs say, and how things stand.

use std::{io::Write, path::PathBuf};

use gatepass_break_glass::{
    approver::{Commitment, SignatureShare, Signing},
    armor::{Armored, Block, blocks},
    kit::Kit,
    log::Head,
    name::Name,
    report::{HeardHead, Source},
    request::{RequestText, shown_time},
};
use serde_json::json;

use super::{
    error::BreakGlassError,
    files::read_text,
    kits::{self, Kits},
    log_file,
    open::Desk,
    standing::standings_with_servers,
    verify::rfc3339,
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
        let bytes = log_file::read_named(path)?;
        // A wrong file must not look like somebody's broken log.
        if bytes.trim_ascii_start().first().is_some_and(|byte| *byte != b'{') {
            let why = format!("{} is no log: a log's lines begin with {{", escape::path(path));
            return Err(BreakGlassError::Typed(why).into());
        }
        files.push((path.display().to_string(), bytes));
    }
    let mut heads = Vec::new();
    for path in &command.texts {
        let before = heads.len();
        for block in blocks(&read_text(path)?).map_err(BreakGlassError::from)? {
            heads.extend(head(&block).map(|(from, head)| HeardHead {
                by: path.display().to_string(),
                from,
                head,
            }));
        }
        // Nobody shall believe that it was looked at.
        if heads.len() == before {
            let why = format!(
                "no text of a ceremony can be read in {}; is it whole?",
                escape::path(path)
            );
            return Err(BreakGlassError::Typed(why).into());
        }
    }
    let sources: Vec<_> = files.iter().map(|(name, bytes)| Source { name, bytes }).collect();
    let mut report = gatepass_break_glass::report::Report::new(&sources, &heads);
    let kits = known_kits(&command.kits, desk)?;
    report.prove(&kits);
    let text = match command.output {
        Output::Text => report.to_string(),
        Output::Json => escape::json(&serde_json::to_string_pretty(&report).expect("plain JSON")),
        Output::Yaml => escape::yaml(&report).map_err(Error::Output)?,
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
    known.extend(Kits::new(desk.paths).known()?);
    Ok(known)
}

/// Shows kits, windows, and who is due.
pub fn status(command: &Status, desk: &Desk<'_>, out: &mut impl Write) -> Result<(), Error> {
    let now = desk.clock.now();
    let standings = wait_for(async { Ok(standings_with_servers(desk.paths).await?) })?;
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
            "lastDrill": standing.last_drill.map(rfc3339),
            "faults": standing.faults(now),
        })).collect::<Vec<_>>(),
        "windows": found.open.iter().map(|window| json!({
            "cluster": window.cluster,
            "who": window.who,
            "credentialId": window.credential_id,
            "notAfter": rfc3339(window.not_after),
        })).collect::<Vec<_>>(),
        "notes": found.notes,
    });
    match command.output {
        Output::Json => {
            let text = escape::json(&serde_json::to_string_pretty(&value).expect("plain JSON"));
            return writeln!(out, "{text}").map_err(Error::Output);
        }
        Output::Yaml => {
            let text = escape::yaml(&value).map_err(Error::Output)?;
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
            // Among the faults.
            Err(_) => lines.push(format!("kit  {}", escape::path(&standing.path))),
            Ok(kit) => {
                let payload = kit.payload();
                let names = payload.holders.iter().map(|holder| &holder.name);
                lines.push(format!(
                    "kit  {}, revision {}",
                    Escaped(&payload.cluster),
                    payload.revision
                ));
                lines.push(format!("  words       {}", kit.words()));
                lines.push(format!(
                    "  quorum      {} of {}",
                    payload.threshold,
                    Name::list(names)
                ));
                lines.push(format!(
                    "  last drill  {}",
                    standing
                        .last_drill
                        .map_or("none that this machine knows of".into(), shown_time)
                ));
                lines.push(format!("  file        {}", escape::path(&standing.path)));
            }
        }
        for fault in standing.faults(now) {
            lines.push(format!(
                "  {:<11} {}",
                fault.severity.word(),
                escape::message(&fault.says)
            ));
            lines.push(format!("    next:     {}", fault.remedy));
        }
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
