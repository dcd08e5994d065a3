//! A reader of one mapping that collects problems instead of stopping at the first.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::escape::visible;

/// How much of a wrong value is repeated.
const SHOWN: usize = 120;

#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<Vec<String>>);

impl Problems {
    fn push(&self, problem: String) {
        self.0.borrow_mut().push(problem);
    }

    pub(super) fn into_inner(self) -> Vec<String> {
        self.0.into_inner()
    }
}

/// One mapping of the file; [`Section::finish`] reports the keys that nothing asked for.
pub(super) struct Section<'a> {
    path: String,
    members: Map<String, Value>,
    known: BTreeSet<&'static str>,
    problems: &'a Problems,
}

impl<'a> Section<'a> {
    pub(super) fn root(value: Value, problems: &'a Problems) -> Option<Self> {
        Self::of(String::new(), value, problems)
    }

    fn of(path: String, value: Value, problems: &'a Problems) -> Option<Self> {
        match value {
            Value::Object(members) => Some(Self {
                path,
                members,
                known: BTreeSet::new(),
                problems,
            }),
            Value::Null if !path.is_empty() => Some(Self {
                path,
                members: Map::new(),
                known: BTreeSet::new(),
                problems,
            }),
            other => {
                let path = if path.is_empty() { "the file" } else { &path };
                problems.push(format!(
                    "{path}: {} is not allowed: must be a mapping",
                    shown(&other)
                ));
                None
            }
        }
    }

    fn key(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.insert(key);
        self.members.remove(key)
    }

    fn missing(&self, key: &str, allowed: &str) {
        self.problems
            .push(format!("{}: is missing: must be {allowed}", self.key(key)));
    }

    fn wrong(&self, key: &str, value: &Value, allowed: &str) {
        self.problems.push(format!(
            "{}: {} is not allowed: must be {allowed}",
            self.key(key),
            shown(value)
        ));
    }

    /// A problem with a value that is not just of the wrong form.
    pub(super) fn problem(&self, key: &str, problem: &str) {
        self.problems.push(format!("{}: {problem}", self.key(key)));
    }

    /// Reports a key that is known and not carried, by name.
    pub(super) fn refuse(&mut self, key: &'static str, why: &str) {
        if self.take(key).is_some() {
            self.problem(key, why);
        }
        self.known.remove(key);
    }

    pub(super) fn constant(&mut self, key: &'static str, only: &str) {
        self.text_where(key, &format!("{only:?}"), |text| text == only);
    }

    pub(super) fn section(&mut self, key: &'static str) -> Option<Section<'a>> {
        match self.take(key) {
            Some(value) => Self::of(self.key(key), value, self.problems),
            None => {
                self.missing(key, "a mapping");
                None
            }
        }
    }

    pub(super) fn optional_section(&mut self, key: &'static str) -> Option<Section<'a>> {
        let value = self.take(key)?;
        Self::of(self.key(key), value, self.problems)
    }

    /// The elements of a list of mappings; an absent or empty list is empty.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Section<'a>> {
        match self.take(key) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(list)) => list
                .into_iter()
                .enumerate()
                .filter_map(|(at, value)| Self::of(format!("{}[{at}]", self.key(key)), value, self.problems))
                .collect(),
            Some(other) => {
                self.wrong(key, &other, "a list");
                Vec::new()
            }
        }
    }

    /// Names a key as one that could be there.
    pub(super) fn knows(&mut self, key: &'static str) {
        self.known.insert(key);
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.members.contains_key(key)
    }

    /// A text that is not repeated if it is wrong.
    pub(super) fn secret_where(
        &mut self,
        key: &'static str,
        allowed: &str,
        is_allowed: impl Fn(&str) -> bool,
    ) -> Option<String> {
        match self.take(key) {
            None => {
                self.missing(key, allowed);
                None
            }
            Some(Value::String(text)) if is_allowed(&text) => Some(text),
            Some(_) => {
                self.problem(key, &format!("must be {allowed}"));
                None
            }
        }
    }

    pub(super) fn text_where(
        &mut self,
        key: &'static str,
        allowed: &str,
        is_allowed: impl Fn(&str) -> bool,
    ) -> Option<String> {
        match self.take(key) {
            None => {
                self.missing(key, allowed);
                None
            }
            Some(Value::String(text)) if is_allowed(&text) => Some(text),
            Some(other) => {
                let hint = if other.is_string() {
                    ""
                } else {
                    " (a text; put it in quotes)"
                };
                self.wrong(key, &other, &format!("{allowed}{hint}"));
                None
            }
        }
    }

    /// `None` if absent or wrong.
    pub(super) fn optional_text(
        &mut self,
        key: &'static str,
        allowed: &str,
        is_allowed: impl Fn(&str) -> bool,
    ) -> Option<String> {
        if !self.has(key) {
            self.known.insert(key);
            return None;
        }
        self.text_where(key, allowed, is_allowed)
    }

    pub(super) fn parsed<T: FromStr>(&mut self, key: &'static str, allowed: &str) -> Option<T> {
        self.text_where(key, allowed, |text| text.parse::<T>().is_ok())?
            .parse()
            .ok()
    }

    /// A list of texts that are each allowed and together distinct; `None` if absent (reported if `required`) or wrong.
    pub(super) fn texts(
        &mut self,
        key: &'static str,
        required: bool,
        allowed: &str,
        is_allowed: impl Fn(&str) -> bool,
    ) -> Option<Vec<String>> {
        let allowed = format!("a list, not empty and without repetition, of {allowed}");
        let value = match self.take(key) {
            Some(value) => value,
            None => {
                if required {
                    self.missing(key, &allowed);
                }
                return None;
            }
        };
        let texts: Option<Vec<String>> = value.as_array().filter(|list| !list.is_empty()).and_then(|list| {
            list.iter()
                .map(|text| text.as_str().filter(|text| is_allowed(text)).map(str::to_owned))
                .collect()
        });
        let texts = texts.filter(|texts| texts.iter().collect::<BTreeSet<_>>().len() == texts.len());
        if texts.is_none() {
            self.wrong(key, &value, &allowed);
        }
        texts
    }

    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&str, T)],
        default: Option<&str>,
    ) -> Option<T> {
        let find = |text: &str| {
            choices
                .iter()
                .find(|(name, _)| *name == text)
                .map(|(_, value)| *value)
        };
        if let (false, Some(default)) = (self.has(key), default) {
            self.known.insert(key);
            return find(default);
        }
        let names: Vec<String> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
        find(&self.text_where(key, &names.join(" or "), |text| find(text).is_some())?)
    }

    pub(super) fn boolean(&mut self, key: &'static str, default: bool) -> Option<bool> {
        match self.take(key) {
            None => Some(default),
            Some(Value::Bool(value)) => Some(value),
            Some(other) => {
                self.wrong(key, &other, "true or false");
                None
            }
        }
    }

    pub(super) fn number(
        &mut self,
        key: &'static str,
        default: usize,
        range: RangeInclusive<usize>,
    ) -> Option<usize> {
        let Some(value) = self.take(key) else {
            return Some(default);
        };
        let number = value
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .filter(|n| range.contains(n));
        if number.is_none() {
            self.wrong(
                key,
                &value,
                &format!("a whole number from {} to {}", range.start(), range.end()),
            );
        }
        number
    }

    pub(super) fn duration(
        &mut self,
        key: &'static str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let Some(value) = self.take(key) else {
            return Some(default);
        };
        let duration = value
            .as_str()
            .and_then(parse_duration)
            .filter(|duration| range.contains(duration));
        if duration.is_none() {
            let (low, high) = (write_duration(*range.start()), write_duration(*range.end()));
            self.wrong(
                key,
                &value,
                &format!("a duration such as 90s, 10m or 1h30m, from {low} to {high}"),
            );
        }
        duration
    }

    /// What `read` makes of the path under `key`.
    pub(super) fn file<T, E: Display>(
        &mut self,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let path = self.text_where(key, "a path", |path| !path.is_empty())?;
        read(&path)
            .map_err(|error| self.problem(key, &format!("{}: {error}", visible(&path, SHOWN))))
            .ok()
    }

    /// The same, where the key may be absent; `None` only if there is a problem.
    pub(super) fn optional_file<T, E: Display>(
        &mut self,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Option<T>> {
        if !self.has(key) {
            self.knows(key);
            return Some(None);
        }
        self.file(key, read).map(Some)
    }

    /// What `read` makes of each path in the list under `key`.
    pub(super) fn files<T, E: Display>(
        &mut self,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let paths = self.texts(key, true, "paths", |path| !path.is_empty())?;
        let read = |path: &String| {
            read(path)
                .map_err(|error| self.problem(key, &format!("{}: {error}", visible(path, SHOWN))))
                .ok()
        };
        // All are read before the first failure ends it.
        paths.iter().map(read).collect::<Vec<_>>().into_iter().collect()
    }

    pub(super) fn finish(self) {
        for (key, _) in &self.members {
            let known: Vec<&str> = self.known.iter().copied().collect();
            let key = self.key(&visible(key, SHOWN));
            self.problems.push(format!(
                "{key}: unknown key: allowed here are {}",
                known.join(", ")
            ));
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "a mapping".into(),
        Value::Null => "nothing".into(),
        Value::String(text) => format!("\"{}\"", visible(text, SHOWN)),
        other => visible(&other.to_string(), SHOWN).into_owned(),
    }
}

/// Go's form, which Kubernetes' files use: `90s`, `10m`, `1h30m`; whole numbers only.
fn parse_duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u32 = rest[..digits].parse().ok()?;
        let (unit, after) = match rest.as_bytes().get(digits)? {
            b'h' => (3600, 1),
            b'm' => (60, 1),
            b's' => (1, 1),
            _ => return None,
        };
        total = total.checked_add(Duration::from_secs(unit).checked_mul(number)?)?;
        rest = &rest[digits + after..];
    }
    (!text.is_empty()).then_some(total)
}

fn write_duration(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, seconds) in [
            ("90s", Some(90)),
            ("10m", Some(600)),
            ("1h30m", Some(5400)),
            ("12h0m0s", Some(43200)),
        ]
        .into_iter()
        .chain(["", "10", "m", "1d", "-1m", "1.5h", "99999999999h", "1é", "1m "].map(|text| (text, None)))
        {
            assert_eq!(parse_duration(text), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
