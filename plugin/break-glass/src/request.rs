//! What a quorum is asked to sign. There are three things, and nothing else is ever signed with a share: a person's certificate,
//! a drill, and the next revision of the kit.

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use data_encoding::HEXLOWER;
use rand_core::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};
use time::{
    Duration, OffsetDateTime, UtcOffset, format_description::BorrowedFormatItem, macros::format_description,
};

use crate::{
    armor::Armored,
    certificate::{CertificateError, GROUP, Leaf, USER_PREFIX, leaf_to_be_signed},
    kit::{Kit, KitError, KitHash, Payload},
    log::Head,
    name::{Escaped, Name, Reason},
    words::{Words, sha256},
};

/// How far a certificate begins before it is made, so that a clock that is slow takes it; in seconds.
pub const BACKDATE: i64 = 300;

/// What a quorum is asked. Its texts carry it with the opener's [`Head`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    /// The kit whose quorum is asked.
    pub kit: KitHash,
    /// Who asks; claimed, not proven.
    pub by: Name,
    /// For what.
    pub ask: Ask,
}

/// What a quorum may be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Ask {
    /// A certificate for who asks.
    Certificate {
        /// Why.
        reason: Reason,
        /// Its whole life, what lies behind when it is made included.
        seconds: u32,
        /// Their public key: an uncompressed P-256 point, base64.
        key: String,
    },
    /// A drill: both rounds, and no access.
    Drill {
        /// 32 random bytes, hexadecimal.
        random: String,
    },
    /// The next revision of the kit.
    Kit {
        /// Its payload, base64.
        payload: String,
    },
}

/// The SHA-256 of a request; in texts 64 hexadecimal digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestHash(KitHash);

/// A request as it is passed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestText {
    /// The request.
    pub request: Request,
    /// The head of the opener's log.
    pub head: Head,
}

impl Armored for RequestText {
    const LABEL: &'static str = "GATEPASS REQUEST";
}

/// Why a request is not one that a quorum may grant.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Another kit's.
    #[error(
        "it was made with another kit ({theirs}) than yours ({ours}): one of you has an old or a false one; compare the \
         words that `verify` shows, by voice"
    )]
    AnotherKit {
        /// The words of the request's.
        theirs: Words<12>,
        /// The words of ours.
        ours: Words<12>,
    },
    /// Beyond the limits.
    #[error("{0}: it was not made by an unchanged program")]
    Limits(String),
    /// Something in it cannot be read.
    #[error("its {0} cannot be read: it was not made by an unchanged program")]
    Unreadable(&'static str),
    /// The proposed kit is no successor of this one.
    #[error("the kit that it proposes cannot follow yours: {0}")]
    Kit(#[from] KitError),
    /// The certificate could not be built.
    #[error("the certificate cannot be built: {0}")]
    Certificate(#[from] CertificateError),
}

/// A request that was held against a kit: only this is ever signed.
#[derive(Clone, Debug)]
pub struct Checked {
    request: Request,
    hash: RequestHash,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Certificate { seconds: u32, key: Box<[u8; 65]> },
    Drill { random: [u8; 32] },
    Kit { bytes: Vec<u8>, proposed: Box<Payload> },
}

impl Request {
    /// A request for a certificate. `key` is an uncompressed P-256 point.
    pub fn certificate(kit: &Kit, by: Name, reason: Reason, seconds: u32, key: &[u8]) -> Self {
        let key = BASE64_STANDARD.encode(key);
        Self {
            kit: kit.hash(),
            by,
            ask: Ask::Certificate { reason, seconds, key },
        }
    }

    /// A drill.
    pub fn drill(kit: &Kit, by: Name, rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut random = [0; 32];
        rng.fill_bytes(&mut random);
        Self {
            kit: kit.hash(),
            by,
            ask: Ask::Drill {
                random: HEXLOWER.encode(&random),
            },
        }
    }

    /// A request for the kit's next revision.
    pub fn kit(kit: &Kit, by: Name, proposed: &Payload) -> Self {
        Self {
            kit: kit.hash(),
            by,
            ask: Ask::Kit {
                payload: BASE64_STANDARD.encode(proposed.bytes()),
            },
        }
    }

    /// Its hash: over kit, who, and all that is asked; the time is not in it, since it is fixed later.
    pub fn hash(&self) -> RequestHash {
        let json = serde_json::to_vec(self).expect("a request is plain JSON");
        RequestHash(KitHash(sha256(&[b"gatepass/request/v1\0", &json])))
    }

    /// Holds it against a kit.
    pub fn check(self, kit: &Kit) -> Result<Checked, RequestError> {
        if self.kit != kit.hash() {
            return Err(RequestError::AnotherKit {
                theirs: self.kit.words(),
                ours: kit.words(),
            });
        }
        let what = match &self.ask {
            Ask::Certificate { seconds, key, .. } => {
                let limits = &kit.payload().limits;
                limits.allow(&self.by, *seconds).map_err(RequestError::Limits)?;
                let key = BASE64_STANDARD.decode(key).ok();
                let key = key.and_then(|key| Box::<[u8; 65]>::try_from(key.into_boxed_slice()).ok());
                let key = key.ok_or(RequestError::Unreadable("key"))?;
                // A point that is not on the curve would make a certificate that nobody can use.
                ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, *key)
                    .map_err(|_| RequestError::Unreadable("key"))?;
                What::Certificate {
                    seconds: *seconds,
                    key,
                }
            }
            Ask::Drill { random } => {
                let random = HEXLOWER.decode(random.as_bytes()).ok();
                let random = random.and_then(|random| random.try_into().ok());
                What::Drill {
                    random: random.ok_or(RequestError::Unreadable("random bytes"))?,
                }
            }
            Ask::Kit { payload } => {
                let unreadable = RequestError::Unreadable("kit");
                let Ok(bytes) = BASE64_STANDARD.decode(payload) else {
                    return Err(unreadable);
                };
                let Ok(proposed) = serde_json::from_slice::<Payload>(&bytes) else {
                    return Err(unreadable);
                };
                proposed.follows(kit)?;
                // Shares change by `reshare` alone, where all who get one are present.
                let shares = |payload: &Payload| -> Vec<_> {
                    let holders = payload.holders.iter();
                    holders
                        .map(|holder| {
                            (
                                holder.name.clone(),
                                holder.identifier,
                                holder.verifying_share.clone(),
                                // `verify --confirm` writes a share file anew for whoever is named here.
                                holder.recipients.clone(),
                            )
                        })
                        .collect()
                };
                if shares(&proposed) != shares(kit.payload()) || proposed.made != kit.payload().made {
                    return Err(RequestError::Limits(
                        "it changes who holds a share, or to whose key one is encrypted".into(),
                    ));
                }
                What::Kit {
                    bytes,
                    proposed: Box::new(proposed),
                }
            }
        };
        Ok(Checked {
            hash: self.hash(),
            request: self,
            what,
        })
    }
}

impl RequestHash {
    /// The words that two people compare by voice: 66 bits.
    pub fn words(&self) -> Words {
        Words::of(&self.0.0)
    }
}

impl fmt::Display for RequestHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for RequestHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Checked {
    /// The request.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Its hash.
    pub fn hash(&self) -> RequestHash {
        self.hash
    }

    /// The life of the certificate, if one is asked for.
    pub fn seconds(&self) -> Option<u32> {
        match self.what {
            What::Certificate { seconds, .. } => Some(seconds),
            What::Drill { .. } | What::Kit { .. } => None,
        }
    }

    /// The proposed kit, if one is.
    pub fn proposed(&self) -> Option<&Payload> {
        match &self.what {
            What::Kit { proposed, .. } => Some(proposed),
            What::Certificate { .. } | What::Drill { .. } => None,
        }
    }

    /// The proposed kit's bytes, if one is.
    pub(crate) fn proposed_bytes(&self) -> Option<&[u8]> {
        match &self.what {
            What::Kit { bytes, .. } => Some(bytes),
            What::Certificate { .. } | What::Drill { .. } => None,
        }
    }

    /// Who has to sign: for a kit those who prove something by it, and nobody else; `None` where any quorum will do.
    pub(crate) fn signers(&self, kit: &Kit) -> Option<Vec<u16>> {
        let proposed = self.proposed()?;
        let pairs = kit.payload().holders.iter().zip(&proposed.holders);
        let proving = pairs.filter(|(before, after)| before.confirmed != after.confirmed);
        Some(proving.map(|(_, holder)| holder.identifier).collect())
    }

    /// The life of a certificate that is made at a time: half open, in Unix seconds.
    pub(crate) fn life(&self, not_before: i64) -> Option<(i64, i64)> {
        let seconds = self.seconds()?;
        Some((not_before, not_before.saturating_add(seconds.into())))
    }

    pub(crate) fn leaf_at<T>(&self, not_before: i64, build: impl FnOnce(&Leaf<'_>) -> T) -> Option<T> {
        let (not_before, not_after) = self.life(not_before)?;
        let What::Certificate { key, .. } = &self.what else {
            return None;
        };
        Some(build(&Leaf {
            who: &self.request.by,
            key,
            request: &self.hash.0.0,
            not_before,
            not_after,
        }))
    }

    /// What is signed: built here from request and kit, never taken from anybody.
    pub fn message(&self, kit: &Kit, not_before: i64) -> Result<Vec<u8>, CertificateError> {
        match &self.what {
            What::Certificate { .. } => self
                .leaf_at(not_before, |leaf| leaf_to_be_signed(kit.payload(), leaf))
                .expect("a certificate is asked for"),
            What::Drill { random } => Ok([b"gatepass/drill/v1\0".as_slice(), &kit.hash().0, random].concat()),
            What::Kit { bytes, .. } => Ok(crate::kit::message(bytes)),
        }
    }

    /// What a person is shown before they agree, line by line: a name and a value that is fit for a terminal. The words of its
    /// [`Self::hash`] belong below, apart: all of this may be anybody's, and the words are this program's.
    pub fn describe(&self, kit: &Kit) -> Vec<(&'static str, String)> {
        let payload = kit.payload();
        let by = self.request.by.to_string();
        let cluster = ("cluster", Escaped::new(&payload.cluster).to_string());
        match &self.request.ask {
            Ask::Certificate { reason, seconds, .. } => vec![
                ("who", format!("{by} (claimed, not proven: hear their voice)")),
                // Whole: it was held against all that a terminal obeys, and nobody agrees to what they do not see.
                ("why", quoted(reason)),
                cluster,
                ("API server", Escaped::new(&payload.server).to_string()),
                ("gives", format!("user {USER_PREFIX}{by}, group {GROUP}")),
                (
                    "for",
                    format!(
                        "{} minutes in all, of which {} lie behind",
                        seconds.div_ceil(60),
                        BACKDATE / 60
                    ),
                ),
            ],
            Ask::Drill { .. } => vec![("DRILL", "gives no access".to_owned()), ("who", by), cluster],
            Ask::Kit { .. } => {
                let mut lines = vec![("NEW KIT", "gives no access".to_owned()), ("who", by), cluster];
                let proposed = self.proposed().expect("a kit is asked for");
                let changes = proposed.differences(payload);
                lines.extend(changes.into_iter().map(|change| ("change", change)));
                lines
            }
        }
    }
}

/// A reason in quotation marks, so that what its writer says cannot look like what this program says; those within it are told
/// apart from the ones around it.
fn quoted(reason: &Reason) -> String {
    let reason = reason.as_str().replace('\\', r"\\").replace('"', r#"\""#);
    format!("\"{reason}\"")
}

const SHOWN: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day] [hour]:[minute]");

/// A time as people compare and type it: UTC, to the minute.
pub fn shown_time(unix: i64) -> String {
    OffsetDateTime::from_unix_timestamp(unix)
        .ok()
        .and_then(|time| time.to_offset(UtcOffset::UTC).format(SHOWN).ok())
        .unwrap_or_else(|| format!("{unix} s after 1970"))
}

/// When a certificate that is made at a time begins.
pub fn begins(now: OffsetDateTime) -> i64 {
    (now - Duration::seconds(BACKDATE)).unix_timestamp()
}
