//! Secrets in pieces, for stores whose entries are short.

use std::{any::Any, collections::HashMap, fmt, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use keyring_core::{
    CredentialStore, Entry, Error,
    api::{CredentialApi, CredentialStoreApi},
};
use zeroize::Zeroizing;

use super::Result;

/// Keeps each secret as pieces and a head that names them.
///
/// A new secret's pieces lie beside those of the old one until the head, written last, changes over: a crash leaves one
/// of the two. The head holds a digest, so pieces of two writers never pass for one secret.
#[derive(Debug)]
pub(super) struct SplitStore {
    inner: Arc<CredentialStore>,
    longest: usize,
}

impl SplitStore {
    /// No entry of `inner` is made longer than `longest` bytes.
    pub(super) fn new(inner: Arc<CredentialStore>, longest: usize) -> Self {
        Self { inner, longest }
    }
}

impl CredentialStoreApi for SplitStore {
    fn vendor(&self) -> String {
        self.inner.vendor()
    }

    fn id(&self) -> String {
        self.inner.id()
    }

    fn build(&self, service: &str, user: &str, modifiers: Option<&HashMap<&str, &str>>) -> Result<Entry> {
        let owned = |(name, value): (&&str, &&str)| ((*name).to_owned(), (*value).to_owned());
        Ok(Entry::new_with_credential(Arc::new(SplitEntry {
            inner: Arc::clone(&self.inner),
            longest: self.longest,
            service: service.into(),
            user: user.into(),
            modifiers: modifiers.into_iter().flatten().map(owned).collect(),
        })))
    }

    /// Heads, and pieces as well: their names end in what no entry's name does.
    fn search(&self, spec: &HashMap<&str, &str>) -> Result<Vec<Entry>> {
        self.inner.search(spec)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[derive(Debug)]
struct SplitEntry {
    inner: Arc<CredentialStore>,
    longest: usize,
    service: String,
    user: String,
    modifiers: HashMap<String, String>,
}

/// Which pieces are the secret.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    generation: u8,
    pieces: usize,
    digest: String,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "gatepass 1 {} {} {}",
            self.generation, self.pieces, self.digest
        )
    }
}

impl Head {
    fn parse(text: &[u8]) -> Option<Self> {
        let mut words = str::from_utf8(text).ok()?.strip_prefix("gatepass 1 ")?.split(' ');
        Some(Self {
            generation: words.next()?.parse().ok()?,
            pieces: words.next()?.parse().ok()?,
            digest: words.next()?.into(),
        })
    }
}

impl SplitEntry {
    fn part(&self, suffix: &str) -> Result<Entry> {
        let modifiers = self
            .modifiers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        self.inner
            .build(&self.service, &format!("{}{suffix}", self.user), Some(&modifiers))
    }

    fn piece(&self, generation: u8, number: usize) -> Result<Entry> {
        self.part(&format!("#{generation}.{number}"))
    }

    /// The head; `None` if it is not readable, so that the next secret takes its place.
    fn head(&self) -> Result<Option<Head>> {
        match self.part("")?.get_secret() {
            Ok(text) => Ok(Head::parse(&text)),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn remove_pieces(&self, head: &Head) -> Result<()> {
        for number in 0..head.pieces {
            match self.piece(head.generation, number)?.delete_credential() {
                Ok(()) | Err(Error::NoEntry) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn digest_of(secret: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, secret).as_ref())
}

impl CredentialApi for SplitEntry {
    fn set_secret(&self, secret: &[u8]) -> Result<()> {
        let old = self.head()?;
        let generation = old.as_ref().map_or(0, |old| 1 - old.generation.min(1));
        let pieces = secret.chunks(self.longest);
        let head = Head {
            generation,
            pieces: pieces.len(),
            digest: digest_of(secret),
        };
        for (number, piece) in pieces.enumerate() {
            self.piece(generation, number)?.set_secret(piece)?;
        }
        self.part("")?.set_secret(head.to_string().as_bytes())?;
        old.map_or(Ok(()), |old| self.remove_pieces(&old))
    }

    /// Pieces that are missing, or not those of the head, are no secret.
    fn get_secret(&self) -> Result<Vec<u8>> {
        let head = self.head()?.ok_or(Error::NoEntry)?;
        let mut secret = Zeroizing::new(Vec::new());
        for number in 0..head.pieces {
            let piece = Zeroizing::new(self.piece(head.generation, number)?.get_secret()?);
            secret.extend_from_slice(&piece);
        }
        if digest_of(&secret) != head.digest {
            return Err(Error::NoEntry);
        }
        Ok(std::mem::take(&mut *secret))
    }

    fn delete_credential(&self) -> Result<()> {
        let head = self.head()?;
        self.part("")?.delete_credential()?;
        head.map_or(Ok(()), |head| self.remove_pieces(&head))
    }

    fn get_credential(&self) -> Result<Option<Arc<keyring_core::Credential>>> {
        self.get_secret().map(Zeroizing::new).map(|_| None)
    }

    fn get_specifiers(&self) -> Option<(String, String)> {
        Some((self.service.clone(), self.user.clone()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Memory, *};

    fn scratch() -> (Memory, Entry) {
        let memory = Memory::default();
        let entry = SplitStore::new(Arc::new(memory.clone()), 4)
            .build("gatepass", "session", None)
            .unwrap();
        (memory, entry)
    }

    #[test]
    fn long_secrets_come_back_and_leave_nothing() {
        let (memory, entry) = scratch();
        for secret in [b"0123456789".as_slice(), b"", b"0123", b"01234567"] {
            entry.set_secret(secret).unwrap();
            assert_eq!(entry.get_secret().unwrap(), secret);
            assert_eq!(
                memory.held().len(),
                1 + secret.len().div_ceil(4),
                "the old pieces are still there"
            );
        }
        entry.delete_credential().unwrap();
        assert!(memory.held().is_empty());
        assert!(matches!(entry.get_secret(), Err(Error::NoEntry)));
        assert!(matches!(entry.delete_credential(), Err(Error::NoEntry)));
    }

    #[test]
    fn a_writer_that_died_leaves_the_old_secret() {
        let (memory, entry) = scratch();
        entry.set_secret(b"the old one").unwrap();
        memory
            .build("gatepass", "session#1.0", None)
            .unwrap()
            .set_secret(b"the ")
            .unwrap();
        assert_eq!(entry.get_secret().unwrap(), b"the old one");
    }

    #[test]
    fn pieces_that_do_not_fit_are_no_secret_and_heal() {
        let (memory, entry) = scratch();
        for (name, foreign) in [
            ("session#0.1", "else"),
            ("session", "garbage"),
            ("session", "gatepass 1 9"),
        ] {
            entry.delete_credential().ok();
            entry.set_secret(b"0123456789").unwrap();
            memory
                .build("gatepass", name, None)
                .unwrap()
                .set_secret(foreign.as_bytes())
                .unwrap();
            assert!(
                matches!(entry.get_secret(), Err(Error::NoEntry)),
                "{name}: {foreign}"
            );
        }
        entry.set_secret(b"new").unwrap();
        assert_eq!(entry.get_secret().unwrap(), b"new");
    }
}
