//! What a kit says.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::HEXLOWER;
use frost_ed25519::{
    Identifier, VerifyingKey,
    keys::{PublicKeyPackage, VerifyingShare},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{KitError, KitHash};
use crate::{
    certificate,
    name::{Escaped, Name, is_one_line},
    recipient::{PASSPHRASE, Recipient},
};

/// No certificate of a quorum lives longer, whatever a kit says; in seconds.
pub const LONGEST: u32 = 3600;

/// Nor shorter: five minutes of it lie behind when it is made.
const SHORTEST: u32 = 600;

/// So that no difference between two lies behind what a terminal shows.
const LONGEST_URL: usize = 200;

/// How many people a quorum is chosen from at most.
const MOST_HOLDERS: usize = 15;

pub(super) const VERSION: u8 = 1;

/// What a kit says, in the words of its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Payload {
    pub(super) version: u8,
    /// 1 when it is made, one more each time a quorum signs it anew.
    pub revision: u32,
    /// The hash of the revision before.
    pub previous: Option<KitHash>,
    /// The cluster's name, for people.
    pub cluster: String,
    /// URL of the cluster's issuer, as exec entries name it.
    pub issuer: Option<String>,
    /// URL of the API server.
    pub server: String,
    /// The CA of the API server's certificate, PEM.
    pub server_ca: String,
    /// Whether the shares were ever together on one machine.
    pub made: Made,
    /// When it was made first, Unix seconds.
    pub created: i64,
    /// How many holders are a quorum.
    pub threshold: u16,
    /// Those who hold a share.
    pub holders: Vec<Holder>,
    /// What a quorum may sign.
    pub limits: Limits,
    /// The certificate authority.
    pub authority: Authority,
}

/// How the key was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Made {
    /// All shares in the memory of one machine: it was as trusted as a CA's.
    OneMachine,
    /// Each share on its holder's machine and nowhere else.
    Apart,
}

/// Somebody who holds a share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Holder {
    /// Their name.
    pub name: Name,
    /// Their number in the quorum, from 1.
    pub identifier: u16,
    /// To whom their share file is encrypted.
    pub recipients: Vec<String>,
    /// What their signature shares are verified with, in hexadecimal.
    pub verifying_share: String,
    /// When they last proved that they can use their share, Unix seconds.
    pub confirmed: i64,
}

/// What a quorum may sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// The longest life of a certificate, 600 to [`LONGEST`] seconds.
    pub longest_seconds: u32,
    /// Who may open; anybody if empty.
    pub openers: Vec<Name>,
    /// After how many days without a proof a holder is due for one.
    pub recertify_days: u32,
}

/// The certificate authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authority {
    /// Its public key (Ed25519, RFC 8032), in hexadecimal.
    #[serde(serialize_with = "write_key", deserialize_with = "read_key")]
    pub key: [u8; 32],
    /// Its beginning, Unix seconds.
    pub not_before: i64,
    /// Its end, Unix seconds.
    pub not_after: i64,
}

/// A holder's verifying share, in hexadecimal.
pub(crate) fn verifying_share(keys: &PublicKeyPackage, identifier: u16) -> Result<String, KitError> {
    let missing = || bounds(format!("holder {identifier} has no verifying share"));
    let share = Identifier::try_from(identifier)
        .ok()
        .and_then(|identifier| keys.verifying_shares().get(&identifier))
        .ok_or_else(missing)?;
    Ok(HEXLOWER.encode(&share.serialize().map_err(|_| missing())?))
}

impl Payload {
    /// The bytes that are hashed and signed.
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a kit is plain JSON")
    }

    /// The hash of a kit with these bytes.
    pub fn hash(&self) -> KitHash {
        KitHash::of(&self.bytes())
    }

    /// What the quorum signs to make it a kit.
    pub fn message(&self) -> Vec<u8> {
        super::message(&self.bytes())
    }

    /// What the quorum signs, once, to make the authority's certificate.
    pub fn authority_to_be_signed(&self) -> Result<Vec<u8>, KitError> {
        Ok(certificate::authority_to_be_signed(self)?)
    }

    /// The quorum's public keys, if all is within bounds.
    pub fn check(&self) -> Result<PublicKeyPackage, KitError> {
        if self.version != VERSION {
            let version = self.version;
            return Err(bounds(format!(
                "it has version {version}, this program knows {VERSION}"
            )));
        }
        if self.revision == 0 || (self.revision == 1) != self.previous.is_none() {
            return Err(bounds(
                "its revision and the hash of the one before do not fit".into(),
            ));
        }
        check_texts(
            &self.cluster,
            self.issuer.as_deref(),
            &self.server,
            &self.server_ca,
        )?;
        let names: Vec<_> = self.holders.iter().map(|holder| &holder.name).collect();
        check_quorum(self.threshold, &names)?;
        check_recipients(
            self.holders
                .iter()
                .map(|holder| (&holder.name, holder.recipients.as_slice())),
        )?;
        self.limits.check()?;
        if self.authority.not_before >= self.authority.not_after {
            return Err(bounds("its authority ends before it begins".into()));
        }
        self.public_keys()
    }

    fn public_keys(&self) -> Result<PublicKeyPackage, KitError> {
        let mut shares = BTreeMap::new();
        for holder in &self.holders {
            let wrong = |_| bounds(format!("the verifying share of {} is none", holder.name));
            let bytes = HEXLOWER.decode(holder.verifying_share.as_bytes()).map_err(|_| {
                bounds(format!(
                    "the verifying share of {} is not hexadecimal",
                    holder.name
                ))
            })?;
            let share = VerifyingShare::deserialize(&bytes).map_err(wrong)?;
            let identifier = Identifier::try_from(holder.identifier)
                .map_err(|_| bounds(format!("{} has the number 0", holder.name)))?;
            if shares.values().any(|other| *other == share) || shares.insert(identifier, share).is_some() {
                return Err(bounds(format!(
                    "{} has another holder's number or share",
                    holder.name
                )));
            }
        }
        let key = VerifyingKey::deserialize(&self.authority.key)
            .map_err(|_| bounds("the authority's key is none".into()))?;
        Ok(PublicKeyPackage::new(shares, key, Some(self.threshold)))
    }

    /// Checks that it may follow a kit: of the same authority, for the same cluster, the next revision.
    pub fn follows(&self, kit: &super::Kit) -> Result<(), KitError> {
        let before = kit.payload();
        self.check()?;
        let refuse = |what: &str| {
            Err(bounds(format!(
                "{what} cannot change from one revision to the next"
            )))
        };
        if self.previous != Some(kit.hash()) || Some(self.revision) != before.revision.checked_add(1) {
            return refuse("the order of revisions");
        }
        if self.authority != before.authority {
            return refuse("the authority");
        }
        if self.threshold != before.threshold {
            return refuse("the threshold");
        }
        if self.cluster != before.cluster || self.created != before.created {
            return refuse("the cluster's name, and when the kit was made");
        }
        Ok(())
    }
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), KitError> {
        match self.longest_seconds {
            SHORTEST..=LONGEST => Ok(()),
            other => Err(bounds(format!(
                "a certificate's longest life is {SHORTEST} to {LONGEST} seconds, not {other}"
            ))),
        }
    }

    /// Whether somebody may open for so many seconds; else why not.
    pub fn allow(&self, opener: &Name, seconds: u32) -> Result<(), String> {
        // The program's own limit: a kit must not be able to lift it.
        let longest = self.longest_seconds.min(LONGEST);
        if !(SHORTEST..=longest).contains(&seconds) {
            return Err(format!(
                "it asks for a certificate of {seconds} s; the kit allows {SHORTEST} to {longest} s"
            ));
        }
        if !self.openers.is_empty() && !self.openers.contains(opener) {
            return Err(format!("the kit does not allow {opener} to open"));
        }
        Ok(())
    }
}

pub(super) fn bounds(what: String) -> KitError {
    KitError::Bounds(what)
}

pub(super) fn check_texts(
    cluster: &str,
    issuer: Option<&str>,
    server: &str,
    server_ca: &str,
) -> Result<(), KitError> {
    // An invitation shows it in a row of a table, as a request does a reason.
    if cluster.len() > 100 || !is_one_line(cluster) {
        return Err(bounds(
            "the cluster's name is 1 to 100 bytes on one line, without invisible characters and without gaps"
                .into(),
        ));
    }
    for url in [Some(server), issuer].into_iter().flatten() {
        let fits = url.starts_with("https://") && url.len() <= LONGEST_URL;
        if !fits || url.contains(char::is_whitespace) || !is_one_line(url) {
            return Err(bounds(format!("{} is no https URL", Escaped::new(url))));
        }
    }
    match pem::parse_many(server_ca) {
        Ok(blocks) if !blocks.is_empty() && blocks.iter().all(|block| block.tag() == "CERTIFICATE") => Ok(()),
        _ => Err(bounds("the API server's CA is not PEM certificates".into())),
    }
}

pub(super) fn check_quorum(threshold: u16, names: &[&Name]) -> Result<(), KitError> {
    let holders = names.len();
    if threshold < 2 {
        return Err(bounds(
            "a quorum is at least 2 holders: nobody opens alone".into(),
        ));
    }
    if usize::from(threshold) > holders || holders > MOST_HOLDERS {
        return Err(bounds(format!(
            "{threshold} of {holders} holders cannot be: there are at least as many holders as a quorum needs, and at \
             most {MOST_HOLDERS}"
        )));
    }
    match names.iter().collect::<BTreeSet<_>>().len() == holders {
        true => Ok(()),
        false => Err(bounds("two holders have one name".into())),
    }
}

/// Nobody shall be two holders at once by having one key.
pub(super) fn check_recipients<'h>(
    holders: impl Iterator<Item = (&'h Name, &'h [String])>,
) -> Result<(), KitError> {
    let mut before: BTreeMap<String, &Name> = BTreeMap::new();
    for (name, recipients) in holders {
        for text in recipients {
            // The same key may be written in several ways. A passphrase is each holder's own.
            let key = match Recipient::parse(text) {
                Ok(recipient) => recipient.to_string(),
                Err(_) if text == PASSPHRASE => continue,
                Err(_) => text.clone(),
            };
            match before.insert(key, name) {
                Some(other) if other != name => {
                    return Err(bounds(format!(
                        "the shares of {other} and {name} would be locked to the same key: whoever has it would be two \
                         holders at once"
                    )));
                }
                Some(_) | None => {}
            }
        }
    }
    Ok(())
}

pub(crate) fn key_bytes(key: &VerifyingKey) -> Result<[u8; 32], KitError> {
    let bytes = key.serialize().ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| bounds("the authority's key is none".into()))
}

fn write_key<S: Serializer>(key: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&HEXLOWER.encode(key))
}

fn read_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
    let text = String::deserialize(deserializer)?;
    let bytes = HEXLOWER.decode(text.as_bytes()).ok();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| serde::de::Error::custom("a key is 64 hexadecimal digits in lower case"))
}
