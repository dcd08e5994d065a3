//! What holders apart are invited to.

use rand_core::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::KeygenError;
use crate::{
    armor::{Armored, Block},
    kit::{Draft, Made},
    name::{Escaped, Name},
    recipient::Lock,
    words::{Words, sha256},
};

const VERSION: u8 = 1;

/// What all holders of a kit that is made apart have before them when they join: who makes it sends it to everybody, and
/// everybody's texts hold its hash. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Invitation {
    version: u8,
    /// 16 random bytes in hexadecimal: no two inits have the same hash.
    id: String,
    draft: Draft,
}

impl Armored for Invitation {
    const LABEL: &'static str = "GATEPASS INVITATION";
}

impl Invitation {
    /// Invites the holders of a draft.
    pub fn new(draft: Draft, rng: &mut (impl RngCore + CryptoRng)) -> Result<Self, KeygenError> {
        let mut id = [0; 16];
        rng.fill_bytes(&mut id);
        let invitation = Self {
            version: VERSION,
            id: data_encoding::HEXLOWER.encode(&id),
            draft,
        };
        invitation.check()?;
        Ok(invitation)
    }

    /// Reads one, and checks it.
    pub fn read(block: &Block) -> Result<Self, KeygenError> {
        let invitation: Self = block.read()?;
        invitation.check()?;
        Ok(invitation)
    }

    /// What it invites to.
    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    /// Its hash, in hexadecimal: binds every text after it.
    pub fn hash(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.digest())
    }

    /// The words by which the holders know that they have the same.
    pub fn words(&self) -> Words<12> {
        Words::of(&sha256(&[b"gatepass/invitation-words/v1\0", &self.digest()]))
    }

    fn digest(&self) -> [u8; 32] {
        let bytes = serde_json::to_vec(self).expect("an invitation is plain JSON");
        sha256(&[b"gatepass/invitation/v1\0", &bytes])
    }

    pub(super) fn check(&self) -> Result<(), KeygenError> {
        if self.version != VERSION {
            return Err(KeygenError::Invitation("it has another version"));
        }
        let id = data_encoding::HEXLOWER.decode(self.id.as_bytes());
        if !id.is_ok_and(|id| id.len() == 16) {
            return Err(KeygenError::Invitation("its id is not 32 hexadecimal digits"));
        }
        if self.draft.made != Made::Apart {
            return Err(KeygenError::Together);
        }
        self.draft.check()?;
        for (name, recipients) in &self.draft.holders {
            let lock = Lock::parse(recipients).map_err(|source| KeygenError::Recipient {
                name: name.clone(),
                source,
            })?;
            if lock == Lock::Passphrase {
                return Err(KeygenError::Passphrase(name.clone()));
            }
        }
        Ok(())
    }

    /// All of it in words, for who is asked to join: what is told, and what it says, fit for a terminal.
    pub fn describe(&self) -> Vec<(&'static str, String)> {
        let draft = &self.draft;
        let days = |days: u32| format!("{days} days");
        let names = |names: &[Name]| match names {
            [] => "anybody".to_owned(),
            names => Name::list(names),
        };
        let mut said = vec![
            ("cluster", escaped(&draft.cluster)),
            ("API server", escaped(&draft.server)),
            ("issuer", escaped(draft.issuer.as_deref().unwrap_or("none"))),
        ];
        for certificate in pem::parse_many(&draft.server_ca).unwrap_or_default() {
            said.push(("CA of the API server", fingerprint(certificate.contents())));
        }
        let minutes = draft.limits.longest_seconds / 60;
        said.extend([
            (
                "a quorum",
                format!("{} of {} holders", draft.threshold, draft.holders.len()),
            ),
            ("a certificate lives", format!("at most {minutes} minutes")),
            ("who may open", names(&draft.limits.openers)),
            ("holders are due after", days(draft.limits.recertify_days)),
            ("invited at", date(draft.created)),
            ("the authority lives", days(draft.authority_days)),
        ]);
        for (name, recipients) in &draft.holders {
            let recipients: Vec<_> = recipients.iter().map(|recipient| shown(recipient)).collect();
            said.push((
                "holder",
                format!("{name}, whose key is {}", recipients.join(" or ")),
            ));
        }
        said.push(("SHA-256 of the invitation", self.hash()));
        said
    }
}

fn escaped(text: &str) -> String {
    Escaped::new(text).to_string()
}

/// What is too long to be compared by eye is shown by its SHA-256: the beginnings of two RSA keys can be made alike.
fn shown(recipient: &str) -> String {
    match recipient.len() {
        0..=120 => escaped(recipient),
        _ => {
            let kind = recipient.split_whitespace().next().unwrap_or_default();
            let kind: String = kind.chars().take(20).collect();
            format!("{} with {}", escaped(&kind), fingerprint(recipient.as_bytes()))
        }
    }
}

fn fingerprint(bytes: &[u8]) -> String {
    format!("SHA-256 {}", data_encoding::HEXLOWER.encode(&sha256(&[bytes])))
}

fn date(unix: i64) -> String {
    let date = OffsetDateTime::from_unix_timestamp(unix).ok();
    let date = date.and_then(|date| date.format(&time::format_description::well_known::Rfc3339).ok());
    date.unwrap_or_else(|| format!("{unix}, which is no date"))
}
