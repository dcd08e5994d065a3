use crate::config::{ConfigError, Contents};

/// Decides what a look at the files means, from what the looks before it have seen.
pub(super) struct Watch {
    active: Contents,
    /// What the last look saw.
    seen: Contents,
    /// What was refused and said.
    refused: Option<(Contents, ConfigError)>,
}

/// What follows from a look.
#[derive(Debug, PartialEq)]
#[must_use]
pub(super) enum Step<T> {
    /// What is on disk is what is in force.
    Unchanged,
    /// It may be half of a change.
    LookAgain,
    /// It takes effect.
    Apply(T),
    /// It is refused, which nobody has been told yet.
    Refuse(ConfigError),
    /// It is refused for the reasons that were told.
    StillRefused,
}

impl Watch {
    pub(super) fn new(active: Contents) -> Self {
        Self {
            active,
            seen: active,
            refused: None,
        }
    }

    /// What is in force.
    pub(super) fn active(&self) -> Contents {
        self.active
    }

    /// `outcome` is what `contents` mean now, `None` for those that are in force; `asked`: somebody says that they are
    /// done with their changes.
    pub(super) fn step<T>(
        &mut self,
        contents: Contents,
        outcome: Result<Option<T>, ConfigError>,
        asked: bool,
    ) -> Step<T> {
        let settled = asked || self.seen == contents;
        self.seen = contents;
        if !settled {
            return Step::LookAgain;
        }
        match outcome {
            Ok(new) => {
                self.refused = None;
                self.active = contents;
                new.map_or(Step::Unchanged, Step::Apply)
            }
            // Also what is in force may be refused after a while: a certificate ends, a file becomes readable for all.
            Err(error) => {
                let refused = Some((contents, error.clone()));
                if !asked && self.refused == refused {
                    return Step::StillRefused;
                }
                self.refused = refused;
                Step::Refuse(error)
            }
        }
    }
}
