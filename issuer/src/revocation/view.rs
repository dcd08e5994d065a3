use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use gatepass_api::revocation::{CREDENTIAL_ID_PREFIX, LOGIN_LEEWAY, Target};
use hashbrown::HashTable;

use super::Checked;
use crate::ids;

/// All revocations, by what they revoke.
///
/// Revoked certificates may be many, so theirs lie apart, as small as they can be.
#[derive(Debug, Default)]
pub struct View {
    named: HashMap<Key, Vec<Rule>>,
    rules: usize,
    credentials: Credentials,
    /// The last reason that came: whoever revokes many at once says the same of all.
    reason: Option<Arc<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    User,
    /// By subject id.
    Subject,
    Uid,
    Group,
    Session,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Subject => "subject",
            Self::Uid => "uid",
            Self::Group => "group",
            Self::Session => "session",
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key(Kind, Box<str>);

#[derive(Debug)]
struct Rule {
    name: Box<str>,
    logged_in_before: i64,
    blocks: bool,
    expires_at: i64,
    reason: Option<Arc<String>>,
}

impl Rule {
    /// `login` is when the credential's session began, `None` if nobody knows.
    fn denies(&self, kind: Kind, login: Option<i64>) -> bool {
        let is_later = |login| login > self.logged_in_before.saturating_add(LOGIN_LEEWAY);
        self.blocks || kind == Kind::Session || !login.is_some_and(is_later)
    }
}

/// Who presents a credential, or asks for one.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'a> {
    /// The username.
    pub user: &'a str,
    /// The UID; empty if there is none.
    pub uid: &'a str,
    /// The groups.
    pub groups: &'a [&'a str],
    /// Where the credential comes from a login, as its marker says or as was just verified.
    pub login: Option<Login<'a>>,
}

/// A login.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// Session id.
    pub session: &'a str,
    /// Subject id.
    pub subject_id: &'a str,
    /// Login time in Unix seconds.
    pub time: i64,
}

/// A revocation that stands against a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What kind of target it has.
    pub kind: &'static str,
    /// Its reason.
    pub reason: Option<Arc<String>>,
}

/// Revocations that stand against a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The reason of the one that stands longest.
    pub reason: Option<Arc<String>>,
    /// A login after this time helps, in Unix seconds; `None` if none does.
    pub login_after: Option<i64>,
}

impl View {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.rules + self.credentials.table.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts a revocation in, in place of the one of that name and target.
    pub fn put(&mut self, name: &str, revocation: &Checked<'_>) {
        let spec = revocation.spec;
        let reason = self.share(spec.reason.as_deref());
        let expires_at = revocation.expires_at.unwrap_or(i64::MAX);
        match index(&spec.target) {
            Index::Credential(digest) => self.credentials.put(name, digest, expires_at, reason),
            Index::Named(key) => {
                let rule = Rule {
                    name: name.into(),
                    logged_in_before: revocation.logged_in_before,
                    blocks: spec.block_issuance,
                    expires_at,
                    reason,
                };
                let rules = self.named.entry(key).or_default();
                match rules.iter_mut().find(|rule| *rule.name == *name) {
                    Some(old) => *old = rule,
                    None => {
                        rules.push(rule);
                        self.rules += 1;
                    }
                }
            }
        }
    }

    /// Takes the revocation of that name and target out.
    pub fn remove(&mut self, name: &str, target: &Target) {
        // One that does not check was never put in.
        if target.check().is_err() {
            return;
        }
        match index(target) {
            Index::Credential(digest) => self.credentials.remove(name, &digest),
            Index::Named(key) => {
                let Some(rules) = self.named.get_mut(&key) else {
                    return;
                };
                let before = rules.len();
                rules.retain(|rule| *rule.name != *name);
                self.rules -= before - rules.len();
                if rules.is_empty() {
                    self.named.remove(&key);
                }
            }
        }
    }

    /// Gives back memory that was needed while this grew.
    pub fn shrink(&mut self) {
        self.credentials.entries.shrink_to_fit();
    }

    fn share(&mut self, reason: Option<&str>) -> Option<Arc<String>> {
        // An empty one would leave a colon with nothing behind it.
        let reason = reason.filter(|reason| !reason.is_empty())?;
        if self.reason.as_ref().is_none_or(|last| **last != reason) {
            self.reason = Some(Arc::new(reason.to_owned()));
        }
        self.reason.clone()
    }

    /// Whether a certificate is revoked by its credential ID.
    pub fn denies_credential(&self, credential_id: &str, now: i64) -> Option<Denial> {
        let entry = self.credentials.find(&digest(credential_id)?, now)?;
        Some(Denial {
            kind: "credentialId",
            reason: entry.reason.clone(),
        })
    }

    /// Whether a credential of this holder is denied, whichever it is.
    pub fn denies(&self, holder: &Holder<'_>, now: i64) -> Option<Denial> {
        let login = holder.login.map(|login| login.time);
        self.standing(holder, now)
            .find(|(kind, rule)| rule.denies(*kind, login))
            .map(|(kind, rule)| Denial {
                kind: kind.name(),
                reason: rule.reason.clone(),
            })
    }

    /// Whether this holder gets no certificate from this login.
    pub fn refuses(&self, holder: &Holder<'_>, now: i64) -> Option<Refused> {
        let login = holder.login.map(|login| login.time);
        self.standing(holder, now)
            .filter(|(kind, rule)| rule.denies(*kind, login))
            .map(|(kind, rule)| Refused {
                reason: rule.reason.clone(),
                login_after: if rule.blocks {
                    None
                } else if kind == Kind::Session {
                    // Any other login is another session.
                    login
                } else {
                    Some(rule.logged_in_before.saturating_add(LOGIN_LEEWAY))
                },
            })
            // What helps must help against all of them.
            .max_by_key(|refused| refused.login_after.unwrap_or(i64::MAX))
    }

    fn standing<'a>(&'a self, holder: &Holder<'a>, now: i64) -> impl Iterator<Item = (Kind, &'a Rule)> {
        let login = holder.login.into_iter();
        [(Kind::User, holder.user), (Kind::Uid, holder.uid)]
            .into_iter()
            .chain(
                login.flat_map(|login| [(Kind::Session, login.session), (Kind::Subject, login.subject_id)]),
            )
            .chain(holder.groups.iter().map(|group| (Kind::Group, *group)))
            .filter_map(|(kind, text)| Some((kind, self.rules_of(kind, text)?)))
            .flat_map(|(kind, rules)| rules.iter().map(move |rule| (kind, rule)))
            .filter(move |(_, rule)| now < rule.expires_at)
    }

    fn rules_of(&self, kind: Kind, text: &str) -> Option<&Vec<Rule>> {
        if self.named.is_empty() {
            return None;
        }
        self.named.get(&Key(kind, text.into()))
    }
}

enum Index {
    Named(Key),
    Credential([u8; 32]),
}

/// Where a target that was checked is looked up.
fn index(target: &Target) -> Index {
    let named = |kind, text: &str| Index::Named(Key(kind, text.into()));
    match target {
        Target::User(user) => named(Kind::User, user),
        Target::Uid(uid) => named(Kind::Uid, uid),
        Target::Group(group) => named(Kind::Group, group),
        Target::Session(session) => named(Kind::Session, session),
        Target::Subject(subject) => named(Kind::Subject, &ids::subject_id(&subject.issuer, &subject.subject)),
        Target::CredentialId(id) => {
            Index::Credential(digest(id).expect("a target is checked before it is put in"))
        }
    }
}

fn digest(credential_id: &str) -> Option<[u8; 32]> {
    let hex = credential_id.strip_prefix(CREDENTIAL_ID_PREFIX)?;
    let mut digest = [0; 32];
    // `decode_mut` panics on another length.
    if hex.len() != 64 {
        return None;
    }
    HEXLOWER.decode_mut(hex.as_bytes(), &mut digest).ok()?;
    Some(digest)
}

/// Revoked certificates: 56 bytes each, and 5 in the table.
#[derive(Debug, Default)]
struct Credentials {
    /// Positions in `entries`.
    table: HashTable<u32>,
    entries: Vec<Entry>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Entry {
    digest: [u8; 32],
    /// Hash of the revocation's name, to tell several for one certificate apart.
    name: u64,
    reason: Option<Arc<String>>,
    /// Unix seconds; [`u32::MAX`]: never.
    expires_at: u32,
}

impl Credentials {
    fn put(&mut self, name: &str, digest: [u8; 32], expires_at: i64, reason: Option<Arc<String>>) {
        let name = self.hasher.hash_one(name);
        let entry = Entry {
            digest,
            name,
            reason,
            expires_at: u32::try_from(expires_at.max(0)).unwrap_or(u32::MAX),
        };
        let hash = self.hasher.hash_one(digest);
        let entries = &mut self.entries;
        let old = self.table.find(hash, |at| {
            let entry = &entries[*at as usize];
            entry.digest == digest && entry.name == name
        });
        if let Some(at) = old {
            entries[*at as usize] = entry;
            return;
        }
        let at =
            u32::try_from(entries.len()).expect("four thousand million certificates do not fit in memory");
        entries.push(entry);
        let hasher = &self.hasher;
        self.table
            .insert_unique(hash, at, |at| hasher.hash_one(entries[*at as usize].digest));
    }

    fn remove(&mut self, name: &str, digest: &[u8; 32]) {
        let name = self.hasher.hash_one(name);
        let entries = &mut self.entries;
        let found = self.table.find_entry(self.hasher.hash_one(digest), |at| {
            let entry = &entries[*at as usize];
            entry.digest == *digest && entry.name == name
        });
        let Ok(found) = found else { return };
        let (at, _) = found.remove();
        entries.swap_remove(at as usize);
        // The last entry has moved to the gap.
        let Some(moved) = entries.get(at as usize) else {
            return;
        };
        let old = u32::try_from(entries.len()).expect("it was a position before");
        let hash = self.hasher.hash_one(moved.digest);
        if let Some(place) = self.table.find_mut(hash, |place| *place == old) {
            *place = at;
        }
    }

    fn find(&self, digest: &[u8; 32], now: i64) -> Option<&Entry> {
        if self.entries.is_empty() {
            return None;
        }
        self.table
            .iter_hash(self.hasher.hash_one(digest))
            .map(|at| &self.entries[*at as usize])
            .find(|entry| {
                entry.digest == *digest && (entry.expires_at == u32::MAX || now < i64::from(entry.expires_at))
            })
    }
}
