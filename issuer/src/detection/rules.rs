use std::fmt;

use regex_lite::Regex;

/// Longer than any name that is issued; a pattern is not tried on such a text.
const MAX_NAME: usize = 1024;

/// A regular expression for a whole name.
#[derive(Clone)]
pub struct Pattern(Regex);

/// What was written is no regular expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(String);

impl Pattern {
    /// Reads one, in the syntax of the `regex` crate without Unicode classes.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let failed = |error: regex_lite::Error| PatternError(error.to_string());
        // On its own first: `a)|(b` must not become whole by what is put around it.
        Regex::new(text).map_err(failed)?;
        Regex::new(&format!(r"\A(?:{text})\z")).map(Self).map_err(failed)
    }

    fn matches(&self, name: &str) -> bool {
        name.len() <= MAX_NAME && self.0.is_match(name)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.as_str())
    }
}

/// Patterns of which one must match.
#[derive(Clone, Debug, Default)]
pub struct Patterns(Vec<Pattern>);

impl Patterns {
    /// Any of these.
    pub fn new(patterns: Vec<Pattern>) -> Self {
        Self(patterns)
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name))
    }
}

/// Who may come with a certificate that is not Gatepass's.
#[derive(Clone, Debug)]
pub struct Allowed {
    /// Their names.
    pub username: Pattern,
    /// The groups that their certificates may have, besides what the API server adds; no other.
    pub groups: Patterns,
}

/// The control plane as kubeadm makes it. Not among them: the API server itself, which shows itself a token; and
/// `kubernetes-admin`, which is a person with a certificate that ends in a year.
const CONTROL_PLANE: [(&str, &[&str]); 4] = [
    ("system:kube-controller-manager", &[]),
    ("system:kube-scheduler", &[]),
    ("system:kube-proxy", &["system:node-proxier"]),
    ("system:node:[a-z0-9]([-.a-z0-9]*[a-z0-9])?", &["system:nodes"]),
];

/// What is expected of X.509 users.
#[derive(Clone, Debug)]
pub struct Rules {
    allowed: Vec<Allowed>,
    usernames: Option<Patterns>,
    groups: Option<Patterns>,
}

impl Default for Rules {
    fn default() -> Self {
        Self::new(Vec::new(), None, None)
    }
}

impl Rules {
    /// The control plane and `more` are allowed; where names are not said, each that is not reserved is expected.
    pub fn new(more: Vec<Allowed>, usernames: Option<Patterns>, groups: Option<Patterns>) -> Self {
        let pattern = |text: &&str| Pattern::new(text).expect("this is a regular expression");
        let mut allowed: Vec<Allowed> = CONTROL_PLANE
            .iter()
            .map(|(username, groups)| Allowed {
                username: pattern(username),
                groups: Patterns(groups.iter().map(pattern).collect()),
            })
            .collect();
        allowed.extend(more);
        Self {
            allowed,
            usernames,
            groups,
        }
    }

    /// What the configuration leaves open, by its key.
    pub fn open(&self) -> Vec<&'static str> {
        [
            ("audit.expected.usernames", &self.usernames),
            ("audit.expected.groups", &self.groups),
        ]
        .into_iter()
        .filter_map(|(key, patterns)| patterns.is_none().then_some(key))
        .collect()
    }

    /// The groups that somebody of this name may have without a marker; `None` if the name is not allowed any.
    pub(super) fn allowed(&self, username: &str) -> Option<Vec<&Patterns>> {
        let groups: Vec<_> = self
            .allowed
            .iter()
            .filter(|allowed| allowed.username.matches(username))
            .map(|allowed| &allowed.groups)
            .collect();
        (!groups.is_empty()).then_some(groups)
    }

    pub(super) fn expects_username(&self, username: &str) -> bool {
        self.usernames
            .as_ref()
            .is_none_or(|patterns| patterns.matches(username))
    }

    pub(super) fn expects_group(&self, group: &str) -> bool {
        self.groups
            .as_ref()
            .is_none_or(|patterns| patterns.matches(group))
    }
}
