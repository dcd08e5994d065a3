//! An object of the API server, as far as it matters here.

use gatepass_api::revocation::{RevocationSpec, Target};
use kube::api::{DynamicObject, Preconditions};
use serde_json::{Value, json};

use crate::clock::rfc3339;
use crate::escape::visible;
use crate::revocation::store::{self, Existing};
use crate::revocation::{Checked, SpecError};

/// Type of the one condition.
const ACCEPTED: &str = "Accepted";
/// How much is repeated of what somebody else wrote.
const SHOWN: usize = 300;

/// An object. Any document is read, whatever the definition in the cluster lets through: one that makes no sense must not
/// keep the others from being known.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) version: String,
    pub(super) generation: Option<i64>,
    created: Option<i64>,
    spec: Result<RevocationSpec, String>,
    pub(super) status: Value,
}

impl Document {
    pub(super) fn new(mut object: DynamicObject) -> Self {
        let metadata = object.metadata;
        let mut take = |key| object.data.get_mut(key).map(Value::take).unwrap_or_default();
        Self {
            name: metadata.name.unwrap_or_default(),
            uid: metadata.uid.unwrap_or_default(),
            version: metadata.resource_version.unwrap_or_default(),
            generation: metadata.generation,
            created: metadata.creation_timestamp.map(|time| time.0.as_second()),
            spec: serde_json::from_value(take("spec")).map_err(|error| format!("spec: {error}")),
            status: take("status"),
        }
    }

    /// What it revokes; else why nothing.
    pub(super) fn checked(&self) -> Result<Checked<'_>, String> {
        let spec = self
            .spec
            .as_ref()
            .map_err(|error| visible(error, SHOWN).into_owned())?;
        Checked::new(spec, self.created).map_err(|error: SpecError| error.to_string())
    }

    /// Its target, whether it can be used or not.
    pub(super) fn target(&self) -> Option<&Target> {
        self.spec.as_ref().ok().map(|spec| &spec.target)
    }

    /// What has to be written so that this denies what `new` does, too; see [`store::joined`].
    pub(super) fn joined(
        &self,
        new: &RevocationSpec,
        existing: Existing,
    ) -> Result<Option<RevocationSpec>, String> {
        match &self.spec {
            Ok(old) if old.target == new.target => {
                store::joined(old, self.created, new, existing).map_err(|error| error.to_string())
            }
            Ok(_) | Err(_) => Err(format!("{} is there already, with another target", self.name)),
        }
    }

    /// When it ends, where it does.
    pub(super) fn end(&self) -> Option<End> {
        let checked = self.checked().ok()?;
        match (checked.expires_at(), self.target()?) {
            (Some(at), _) => Some(End::At(at)),
            (None, Target::Session(_)) => self.created.map(End::WithSessionsBegunAt),
            (
                None,
                Target::User(_)
                | Target::Subject(_)
                | Target::Uid(_)
                | Target::Group(_)
                | Target::CredentialId(_),
            ) => None,
        }
    }

    /// This object and this state of it, and no other of its name.
    pub(super) fn preconditions(&self) -> Preconditions {
        Preconditions {
            uid: Some(self.uid.clone()),
            resource_version: Some(self.version.clone()),
        }
    }

    /// The patch that brings its status up to date; `None` if it is.
    ///
    /// What it says depends on the document alone, and a patch fits one state only, so replicas never undo one another.
    pub(super) fn status_patch(&self, now: i64) -> Option<Value> {
        let (status, reason, message) = match self.checked() {
            Ok(_) => (
                "True",
                "Checked",
                "It is in force until it ends or is deleted.".to_owned(),
            ),
            Err(why) => ("False", "Refused", format!("It is ignored: {why}.")),
        };
        let old = self.status["conditions"]
            .as_array()
            .and_then(|all| all.iter().find(|one| one["type"] == ACCEPTED));
        let mut since = Value::from(rfc3339(now));
        if let Some(old) = old {
            if old["status"] == status && old["reason"] == reason && old["message"] == *message {
                return None;
            }
            if old["status"] == status {
                since = old["lastTransitionTime"].clone();
            }
        }
        let mut condition = json!({
            "type": ACCEPTED, "status": status, "reason": reason, "message": message, "lastTransitionTime": since,
        });
        if let Some(generation) = self.generation {
            condition["observedGeneration"] = generation.into();
        }
        Some(json!({"metadata": {"resourceVersion": self.version}, "status": {"conditions": [condition]}}))
    }
}

/// When a revocation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// At this time.
    At(i64),
    /// When no session can be left that began at this time or before.
    WithSessionsBegunAt(i64),
}

impl End {
    pub(super) fn at(self, session_max: i64) -> i64 {
        match self {
            Self::At(at) => at,
            Self::WithSessionsBegunAt(began) => began.saturating_add(session_max),
        }
    }
}

/// The first ends there are, of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    at: i64,
    session_begun_at: i64,
}

impl Due {
    pub(super) const NEVER: Self = Self {
        at: i64::MAX,
        session_begun_at: i64::MAX,
    };

    pub(super) fn and(&mut self, end: Option<End>) {
        match end {
            Some(End::At(at)) => self.at = self.at.min(at),
            Some(End::WithSessionsBegunAt(began)) => {
                self.session_begun_at = self.session_begun_at.min(began);
            }
            None => {}
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.and(Some(End::At(other.at)));
        self.and(Some(End::WithSessionsBegunAt(other.session_begun_at)));
    }

    pub(super) fn is_come(&self, now: i64, session_max: i64) -> bool {
        self.at <= now || self.session_begun_at.saturating_add(session_max) <= now
    }
}
