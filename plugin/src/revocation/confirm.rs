//! Whether an issuer follows what was written: an object alone denies nobody.
//!
//! Each issuer that follows the objects says in their status what becomes of them.

use std::time::Duration;

use gatepass_api::revocation::is_name;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    error::{Reason, RevocationError},
    list::Item,
};

/// Type of the condition that an issuer writes.
const ACCEPTED: &str = "Accepted";

/// How long to wait for an issuer's word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// In all.
    pub(super) within: Duration,
    /// Between two looks.
    pub(super) pause: Duration,
}

/// An issuer says it within a second or so; each look is a kubectl.
pub(super) const PATIENCE: Patience = Patience {
    within: Duration::from_secs(4),
    pause: Duration::from_millis(250),
};

/// What an issuer said of a revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It takes it into account.
    Accepted,
    /// It does not, and why.
    Refused(String),
}

impl Verdict {
    /// What the status of an object says, if it says anything.
    pub(super) fn of(status: &Value) -> Option<Self> {
        let conditions = status.get("conditions")?.as_array()?;
        let condition = conditions.iter().find(|one| one["type"] == ACCEPTED)?;
        match condition["status"].as_str()? {
            "True" => Some(Self::Accepted),
            "False" => {
                let said = condition["message"].as_str().filter(|said| !said.is_empty());
                Some(Self::Refused(said.unwrap_or("It does not say why.").to_owned()))
            }
            _ => None,
        }
    }
}

/// What is known of a revocation that was just written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// An issuer's word.
    Said(Verdict),
    /// No issuer's word.
    Nothing,
    /// The operator may not look.
    Forbidden,
    /// It is not there any more.
    Gone,
    /// Looking failed, and why.
    Unseen(String),
}

impl Found {
    fn of(answer: Result<Option<Item>, RevocationError>) -> Self {
        match answer {
            Ok(Some(item)) => item.verdict().map_or(Self::Nothing, Self::Said),
            Ok(None) => Self::Gone,
            Err(error) if error.reason() == Some(Reason::Forbidden) => Self::Forbidden,
            Err(error) => Self::Unseen(error.to_string()),
        }
    }

    /// Whether another look could tell more.
    fn is_open(&self) -> bool {
        match self {
            Self::Nothing | Self::Unseen(_) => true,
            Self::Said(_) | Self::Forbidden | Self::Gone => false,
        }
    }

    /// Why it may not be in force, in one line, if no issuer has said anything.
    pub(super) fn doubt(&self, patience: Patience) -> Option<String> {
        let seconds = patience.within.as_secs();
        Some(match self {
            Self::Said(_) => return None,
            Self::Nothing => {
                format!("no issuer has confirmed it within {seconds} s, so it may not be in force")
            }
            Self::Forbidden => {
                "it could not be confirmed that it is in force, because you may not read revocations".into()
            }
            Self::Gone => "somebody has deleted it already, or it had ended when it was written".into(),
            Self::Unseen(_) => {
                format!("it could not be confirmed within {seconds} s that it is in force")
            }
        })
    }

    /// The same for stderr, with what to do next. `flags` go to the commands to type.
    pub(super) fn warning(&self, name: &str, flags: &str, patience: Patience) -> Option<String> {
        let doubt = self.doubt(patience)?;
        let why = match self {
            Self::Unseen(why) => format!(": {why}"),
            Self::Said(_) | Self::Nothing | Self::Forbidden | Self::Gone => String::new(),
        };
        let next = match self {
            Self::Gone => "see what there is: kubectl gatepass revocations".to_owned() + flags,
            Self::Said(_) | Self::Nothing | Self::Forbidden | Self::Unseen(_) => format!(
                "is an issuer running with `revocation.kubernetes`? its /readyz tells, and so does the object's status: \
                 kubectl get revocation {name} -o yaml{flags}; one that reads a directory has its own command: \
                 gatepass-issuer revoke"
            ),
        };
        Some(format!(
            "the revocation {name} is written, but {doubt}{why}\n  next: {next}"
        ))
    }
}

/// Looks at each until an issuer has said something of it, or patience is at its end.
pub(super) async fn confirm(
    names: &[String],
    patience: Patience,
    look: impl AsyncFn(&str) -> Result<Option<Item>, RevocationError>,
) -> Vec<Found> {
    let deadline = Instant::now() + patience.within;
    let mut all = vec![Found::Unseen("kubectl gave no answer".into()); names.len()];
    loop {
        for (name, found) in names.iter().zip(&mut all).filter(|(_, found)| found.is_open()) {
            // A name becomes part of a URL, and an API server says what it likes.
            if !is_name(name) {
                *found = Found::Unseen("what the API server calls it is no name".into());
            } else if let Ok(answer) = timeout_at(deadline, look(name)).await {
                *found = Found::of(answer);
            }
        }
        if !all.iter().any(Found::is_open) || Instant::now() + patience.pause >= deadline {
            return all;
        }
        sleep(patience.pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending};

    use serde_json::json;

    use super::*;
    use crate::{revocation::error::Doing, run::wait_for};

    const AT_ONCE: Patience = Patience {
        within: Duration::ZERO,
        pause: Duration::ZERO,
    };
    const LONG: Patience = Patience {
        within: Duration::from_secs(600),
        pause: Duration::ZERO,
    };

    fn status(status: &str) -> Value {
        json!({"conditions": [
            {"type": "Other", "status": "False", "message": "no"},
            {"type": "Accepted", "status": status, "reason": "r", "message": "It is so."},
        ]})
    }

    fn item(status: Value) -> Item {
        serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": {}, "status": status})).unwrap()
    }

    fn confirmed(
        names: &[&str],
        patience: Patience,
        look: impl AsyncFn(&str) -> Result<Option<Item>, RevocationError>,
    ) -> Vec<Found> {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        wait_for(async { Ok(confirm(&names, patience, look).await) }).unwrap()
    }

    #[test]
    fn an_issuers_word_is_the_condition_and_nothing_else() {
        assert_eq!(Verdict::of(&status("True")), Some(Verdict::Accepted));
        assert_eq!(
            Verdict::of(&status("False")),
            Some(Verdict::Refused("It is so.".into()))
        );
        for nothing in [
            Value::Null,
            json!({}),
            json!({"conditions": null}),
            json!({"conditions": [7, {"type": "Ready", "status": "True"}, {"type": "Accepted"}]}),
            status("Unknown"),
            status("true"),
        ] {
            assert_eq!(Verdict::of(&nothing), None, "{nothing}");
        }
        let silent = json!({"conditions": [{"type": "Accepted", "status": "False"}]});
        assert!(matches!(Verdict::of(&silent), Some(Verdict::Refused(_))));
    }

    #[test]
    fn it_is_looked_for_until_it_is_there_and_not_again_then() {
        let looks = Cell::new((0, 0));
        let found = confirmed(&["a", "b"], LONG, async |name| {
            let (a, b) = looks.get();
            if name == "a" {
                looks.set((a + 1, b));
                return Ok(Some(item(status("True"))));
            }
            looks.set((a, b + 1));
            match b {
                0 => Ok(Some(item(Value::Null))),
                1 => Err(RevocationError::kubectl(
                    Doing::Get,
                    "was refused - did you specify",
                )),
                _ => Ok(Some(item(status("False")))),
            }
        });
        let refused = Verdict::Refused("It is so.".into());
        assert_eq!(found, [Found::Said(Verdict::Accepted), Found::Said(refused)]);
        assert_eq!(looks.get(), (1, 3));
    }

    #[test]
    fn what_cannot_be_learnt_is_not_waited_for() {
        let found = confirmed(&["forbidden", "gone"], LONG, async |name| match name {
            "gone" => Ok(None),
            _ => Err(RevocationError::kubectl(
                Doing::Get,
                "Error from server (Forbidden): x",
            )),
        });
        assert_eq!(found, [Found::Forbidden, Found::Gone]);
    }

    #[test]
    fn patience_has_an_end_whatever_happens() {
        assert_eq!(
            confirmed(&["a"], AT_ONCE, async |_| Ok(Some(item(Value::Null)))),
            [Found::Nothing]
        );
        let unseen = confirmed(&["a", "?/x"], AT_ONCE, async |name| {
            assert_eq!(name, "a", "it would become a part of a URL");
            pending().await
        });
        assert!(
            unseen.iter().all(|found| matches!(found, Found::Unseen(_))),
            "{unseen:?}"
        );
    }

    #[test]
    fn every_doubt_is_told_with_a_next_step_and_a_word_of_an_issuer_is_none() {
        let warning = |found: Found| found.warning("n", " --context=x", PATIENCE);
        assert_eq!(warning(Found::Said(Verdict::Accepted)), None);
        let nothing = warning(Found::Nothing).unwrap();
        for words in [
            "no issuer has confirmed it within 4 s, so it may not be in force",
            "`revocation.kubernetes`",
            "kubectl get revocation n -o yaml --context=x",
            "/readyz",
        ] {
            assert!(nothing.contains(words), "{words}: {nothing}");
        }
        assert!(warning(Found::Forbidden).unwrap().contains("you may not read"));
        assert!(warning(Found::Gone).unwrap().contains("deleted it"));
        let unseen = warning(Found::Unseen("it broke".into())).unwrap();
        assert!(unseen.contains("could not be confirmed within 4 s") && unseen.contains(": it broke\n"));
    }
}
