//! Writing objects, and deleting those that have ended.

use gatepass_api::revocation::{GROUP, KIND, RevocationSpec, VERSION};
use kube::api::{DeleteParams, DynamicObject, ListParams, PostParams};
use serde_json::json;

use super::document::{Document, Due};
use super::{Kubernetes, PAGE, words};
use crate::revocation::store::{Existing, WriteError};

/// How often a write is tried against others who write the same object.
const ATTEMPTS: usize = 5;

impl Kubernetes {
    pub(in crate::revocation) async fn put(
        &self,
        name: &str,
        spec: &RevocationSpec,
        existing: Existing,
    ) -> Result<(), WriteError> {
        let api = self.api().await.map_err(|error| WriteError(error.to_string()))?;
        let failed = |error: kube::Error| WriteError(words(&error));
        for _ in 0..ATTEMPTS {
            let object = json!({
                "apiVersion": format!("{GROUP}/{VERSION}"), "kind": KIND, "metadata": {"name": name}, "spec": spec,
            });
            let object = serde_json::from_value(object).map_err(|error| WriteError(error.to_string()))?;
            match api.create(&PostParams::default(), &object).await {
                Ok(made) => return self.written(made),
                Err(kube::Error::Api(status)) if status.is_already_exists() => {}
                Err(error) => return Err(failed(error)),
            }
            let Some(mut old) = api.get_opt(name).await.map_err(failed)? else {
                continue;
            };
            let there = Document::new(old.clone());
            let Some(spec) = there.joined(spec, existing).map_err(WriteError)? else {
                return self.written(old);
            };
            // The resource version goes with it: what somebody else has written meanwhile is not lost.
            old.data["spec"] = json!(spec);
            match api.replace(name, &PostParams::default(), &old).await {
                Ok(made) => return self.written(made),
                Err(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found() => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(WriteError(format!("others keep writing {name}")))
    }

    /// Knows at once what was just written: whoever asked for it need not wait for the watch.
    fn written(&self, object: DynamicObject) -> Result<(), WriteError> {
        let document = Document::new(object);
        let checked = document.checked().map_err(WriteError)?;
        let Some((revocations, _)) = self.contact.known() else {
            return Ok(());
        };
        revocations.change(|view| view.put(&document.name, &checked));
        if let Some(next) = &mut self.state().next {
            next.view.put(&document.name, &checked);
            next.written.push(document);
        }
        Ok(())
    }

    /// Deletes what has ended; how many there were.
    pub(in crate::revocation) async fn sweep(&self, now: i64, session_max: i64) -> Result<usize, WriteError> {
        let before = {
            let mut state = self.state();
            if !state.due.is_come(now, session_max) {
                return Ok(0);
            }
            // What comes while this runs is added to nothing.
            std::mem::replace(&mut state.due, Due::NEVER)
        };
        let swept = self.sweep_all(now, session_max).await;
        let due = swept.as_ref().map_or(before, |(_, due)| *due);
        self.state().due.merge(due);
        swept.map(|(count, _)| count)
    }

    async fn sweep_all(&self, now: i64, session_max: i64) -> Result<(usize, Due), WriteError> {
        let failed = |error: kube::Error| WriteError(words(&error));
        let api = self.api().await.map_err(|error| WriteError(error.to_string()))?;
        let (mut count, mut due) = (0, Due::NEVER);
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let list = api.list(&page).await.map_err(failed)?;
            for document in list.items.into_iter().map(Document::new) {
                let end = document.end();
                if end.is_none_or(|end| now < end.at(session_max)) {
                    due.and(end);
                    continue;
                }
                let this = DeleteParams::default().preconditions(document.preconditions());
                match api.delete(&document.name, &this).await {
                    Ok(_) => count += 1,
                    // Another replica was faster, or somebody has just made it last longer.
                    Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {
                        due.and(end);
                    }
                    Err(error) => return Err(failed(error)),
                }
            }
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok((count, due)),
            }
        }
    }
}
