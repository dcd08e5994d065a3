//! What changes from one revision of a kit to the next, in words.

use data_encoding::HEXLOWER;

use super::Payload;
use crate::{name::Name, words::sha256};

impl Payload {
    /// What differs from another, in words for the people who are asked to sign it.
    pub fn differences(&self, before: &Self) -> Vec<String> {
        let mut words = Vec::new();
        // Whole, because a change could stand behind a cut: both were checked, and are plain.
        let mut differ = |what: &str, old: String, new: String| {
            if old != new {
                words.push(format!("{what}: {old} → {new}"));
            }
        };
        let none = || "none".to_owned();
        let issuer = |payload: &Self| payload.issuer.clone().unwrap_or_else(none);
        let openers = |payload: &Self| match payload.limits.openers.as_slice() {
            [] => "anybody".to_owned(),
            names => Name::list(names),
        };
        let life = |payload: &Self| match payload.limits.longest_seconds {
            whole if whole % 60 == 0 => format!("{} minutes", whole / 60),
            other => format!("{other} seconds"),
        };
        differ("API server", before.server.clone(), self.server.clone());
        differ("issuer", issuer(before), issuer(self));
        differ("longest life of a certificate", life(before), life(self));
        differ("who may open", openers(before), openers(self));
        differ(
            "days until a holder is due",
            before.limits.recertify_days.to_string(),
            self.limits.recertify_days.to_string(),
        );
        if before.server_ca != self.server_ca {
            let hash = HEXLOWER.encode(&sha256(&[self.server_ca.as_bytes()]));
            words.push(format!(
                "the CA of the API server is another: its PEM has the SHA-256 {hash}"
            ));
        }
        if before.made != self.made {
            words.push("shares were together on one machine since".into());
        }
        let find = |payload: &Self, name: &Name| {
            let mut holders = payload.holders.iter();
            holders.find(|holder| holder.name == *name).cloned()
        };
        for old in &before.holders {
            match find(self, &old.name) {
                None => words.push(format!("{} is a holder no longer", old.name)),
                Some(new) => {
                    if new.recipients != old.recipients {
                        words.push(format!("the share of {} is encrypted to another key", old.name));
                    }
                    if new.verifying_share != old.verifying_share || new.identifier != old.identifier {
                        words.push(format!("{} has a new share", old.name));
                    }
                    if new.confirmed != old.confirmed {
                        words.push(format!("{} proves today that they can use their share", old.name));
                    }
                }
            }
        }
        for new in self
            .holders
            .iter()
            .filter(|new| find(before, &new.name).is_none())
        {
            words.push(format!("{} becomes a holder", new.name));
        }
        words
    }
}
