//! What a log's entries tell.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Head;
use crate::{
    kit::{Kit, KitHash},
    name::{Name, Reason},
    request::{Ask, Checked},
};

/// One thing that happened on this machine. Hashes, commitments and signature shares are in lower-case hexadecimal, times
/// are Unix seconds. None of it is secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Event {
    /// A kit was made.
    KitMade {
        /// Which.
        kit: KitHash,
        /// Its cluster.
        cluster: String,
        /// Its revision.
        revision: u32,
        /// How many holders it takes.
        threshold: u16,
        /// All of them.
        holders: Vec<Name>,
    },
    /// A holder compared a kit's words, and they were the same.
    KitConfirmed {
        /// Which.
        kit: KitHash,
        /// Who.
        holder: Name,
    },
    /// Something was asked of the quorum, here.
    Requested(Asked),
    /// A request was shown to a holder, here.
    Shown {
        /// To whom.
        holder: Name,
        /// What was shown.
        #[serde(flatten)]
        asked: Asked,
    },
    /// A holder agreed to what was shown.
    Agreed {
        /// The request's hash.
        request: String,
        /// Who.
        holder: Name,
    },
    /// A holder did not agree to what was shown.
    Declined {
        /// The request's hash.
        request: String,
        /// Who.
        holder: Name,
    },
    /// Round one: commitments of a holder were made here, or came here.
    Committed {
        /// The request's hash.
        request: String,
        /// Whose.
        holder: Name,
        /// To their two nonces, as the text has it.
        commitments: String,
    },
    /// What is signed was fixed.
    Signing(Fixed),
    /// Round two: the signature share of a holder was made here, or came here.
    Signed {
        /// The request's hash.
        request: String,
        /// Whose.
        holder: Name,
        /// The signature share.
        share: String,
    },
    /// The glass was broken: there is a certificate.
    Opened {
        /// The request's hash.
        request: String,
        /// As the API server's audit log writes it.
        credential_id: String,
        /// When it begins.
        not_before: i64,
        /// When it ends.
        not_after: i64,
    },
    /// The certificate was given up before its time, or after.
    Closed {
        /// As the API server's audit log writes it.
        credential_id: String,
    },
    /// A drill ended well.
    Drilled {
        /// The request's hash.
        request: String,
        /// The kit that was drilled.
        kit: KitHash,
        /// Who took part.
        holders: Vec<Name>,
    },
    /// This program refused something, and says why.
    Refused {
        /// The request's hash, where there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<String>,
        /// In words.
        why: String,
    },
    /// A text of another machine came here, with the head of its log. Who sent it is claimed, and so is the head: texts
    /// carry no signature.
    Heard {
        /// Who says to have sent it.
        from: Name,
        /// Its label, such as `GATEPASS COMMITMENT`.
        text: String,
        /// The head it carried.
        head: Head,
    },
    /// Holders were removed or replaced.
    Reshared {
        /// The kit before.
        previous: KitHash,
        /// The kit after.
        kit: KitHash,
        /// Holders of the kit before alone.
        removed: Vec<Name>,
        /// Holders of the kit after alone.
        added: Vec<Name>,
    },
    /// The holders were found to have their shares, and the kit says so.
    Recertified {
        /// The kit before.
        previous: KitHash,
        /// The kit after.
        kit: KitHash,
    },
    /// The log before this one could not be gone on with: it was put aside, whole.
    SetAside {
        /// The SHA-256 of its bytes.
        log: String,
        /// What was wrong with it.
        why: String,
    },
}

/// What a quorum is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// The request's hash.
    pub request: String,
    /// The kit it is asked of.
    pub kit: KitHash,
    /// What for.
    pub purpose: Purpose,
    /// The six words that people compare.
    pub words: String,
    /// Who asks, as they say.
    pub who: Name,
    /// Why, where a certificate is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// For how long, where a certificate is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
    /// The request itself, from which what was signed can be made again.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub content: Value,
}

impl Asked {
    /// What a request asks of the kit that it was checked against.
    pub fn of(checked: &Checked, kit: &Kit) -> Self {
        let request = checked.request();
        let (purpose, reason) = match &request.ask {
            Ask::Certificate { reason, .. } => (Purpose::Certificate, Some(reason.clone())),
            Ask::Drill { .. } => (Purpose::Drill, None),
            Ask::Kit { .. } => (Purpose::Kit, None),
        };
        Self {
            request: checked.hash().to_string(),
            kit: kit.hash(),
            purpose,
            words: checked.hash().words().to_string(),
            who: request.by.clone(),
            reason,
            seconds: checked.seconds(),
            content: serde_json::to_value(request).expect("a request is plain JSON"),
        }
    }
}

/// What is fixed between the rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fixed {
    /// The request's hash.
    pub request: String,
    /// The kit.
    pub kit: KitHash,
    /// When the certificate begins, where one is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<i64>,
    /// The commitments of each holder who signs.
    pub commitments: BTreeMap<Name, String>,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Purpose {
    /// A certificate.
    Certificate,
    /// A drill, which gives no access.
    Drill,
    /// The next revision of a kit.
    Kit,
}
