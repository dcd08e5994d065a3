//! One holder's share of the key, and the file it lies in.

use std::{
    fmt,
    io::{self, Read as _, Write as _},
    mem,
    sync::Arc,
};

use age::{
    DecryptError, Decryptor, EncryptError, Encryptor,
    armor::{ArmoredReader, ArmoredWriter, Format},
    secrecy::SecretString,
};
use data_encoding::HEXLOWER;
use frost_ed25519::keys::{KeyPackage, VerifyingShare};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    identity::{GREATEST_WORK, Identities, Nobody, Person, is_age},
    kit::{Kit, KitHash},
    name::{Escaped, Name},
    plugin::Fault,
    recipient::{Lock, Recipient},
};

/// One holder's share. The part of the key in it is zeroized when this is dropped.
#[derive(Clone)]
pub struct Share {
    cluster: String,
    holder: Name,
    kit_hash: KitHash,
    kit_revision: u32,
    key_package: KeyPackage,
}

/// Why a share cannot be locked into a file or taken out of one.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// Not made by age.
    #[error("this is no share file: one begins with -----BEGIN AGE ENCRYPTED FILE-----")]
    NotEncrypted,
    /// Longer than any.
    #[error("this is longer than any share file")]
    TooLong,
    /// Made by age, and not whole or not as it was.
    #[error("this share file is damaged or was cut; take another copy of it")]
    Damaged,
    /// Locked to keys, and none is there.
    #[error("this share file is locked to a key; name the file of that key with --identity")]
    NoIdentity,
    /// Other keys.
    #[error(
        "none of the given keys opens this share file: it is another holder's, or was locked to another key (the kit names \
         the recipients of each holder)"
    )]
    WrongIdentity,
    /// Nobody gave a passphrase.
    #[error("a passphrase is needed, and none was given")]
    NoPassphrase,
    /// Three times wrong.
    #[error("that was not the passphrase of the share file, {ATTEMPTS} times")]
    WrongPassphrase,
    /// A passphrase that was not repeated, or too short, three times.
    #[error("no passphrase was chosen; nothing was written")]
    NoneChosen,
    /// A passphrase that would take minutes to try.
    #[error("this share file would take this machine too long to decrypt; it was not made by this program")]
    TooMuchWork,
    /// A plugin of age.
    #[error("an age plugin failed: {0}")]
    Plugin(Escaped),
    /// No such plugin.
    #[error("the program {0} is needed and not in the PATH of this machine; install it")]
    NoPlugin(Escaped),
    /// Kinds of keys that a file cannot have beside each other.
    #[error(
        "these recipients cannot stand beside each other in one share file: one of them is post-quantum and another is not, or a \
         plugin wants to be alone"
    )]
    Incompatible,
    /// Decrypted, and something else.
    #[error("this file can be opened, and what is inside is no share")]
    NotAShare,
    /// Decrypted, and of another version.
    #[error(
        "the share inside has version {0}, and this program knows version {VERSION}; use the program that made it"
    )]
    AnotherVersion(u64),
    /// A secret that does not belong to the public part beside it.
    #[error("the share inside contradicts itself; whoever made this file was not this program")]
    Contradiction,
    /// Out of memory or the like.
    #[error("cannot encrypt the share: {0}")]
    Encrypt(#[source] io::Error),
}

/// What is inside a share file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Inside {
    version: u64,
    cluster: String,
    holder: Name,
    kit_hash: KitHash,
    kit_revision: u32,
    /// As the crate serializes it, in hexadecimal.
    key_package: Zeroizing<String>,
}

const VERSION: u64 = 1;

/// How often a passphrase is asked for.
const ATTEMPTS: usize = 3;

/// Above any share file: one for sixteen recipients has 13 KiB.
const LONGEST: usize = 64 * 1024;

/// The scrypt work factor of new files: 2^18, as age has it; about a second.
const WORK: u8 = 18;

/// Somebody with a copy of the file may guess for years.
const SHORTEST_PASSPHRASE: usize = 12;

impl Share {
    /// A share of the kit with this hash.
    pub fn new(
        cluster: String,
        holder: Name,
        kit_hash: KitHash,
        kit_revision: u32,
        key_package: KeyPackage,
    ) -> Self {
        Self {
            cluster,
            holder,
            kit_hash,
            kit_revision,
            key_package,
        }
    }

    /// A share of a kit.
    pub fn of(kit: &Kit, holder: Name, key_package: KeyPackage) -> Self {
        let payload = kit.payload();
        Self::new(
            payload.cluster.clone(),
            holder,
            kit.hash(),
            payload.revision,
            key_package,
        )
    }

    /// The cluster it opens. From a file it is anybody's text until the share was found to belong to a kit: escape it.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Whose it is.
    pub fn holder(&self) -> &Name {
        &self.holder
    }

    /// The kit that it belongs to.
    pub fn kit_hash(&self) -> KitHash {
        self.kit_hash
    }

    /// That kit's revision.
    pub fn kit_revision(&self) -> u32 {
        self.kit_revision
    }

    /// The secret, and the public parts beside it.
    pub fn key_package(&self) -> &KeyPackage {
        &self.key_package
    }

    /// The text of a share file. `person` is asked for a new passphrase, or whatever a plugin wants of them.
    pub fn encrypt(&self, lock: &Lock, person: &Arc<dyn Person>) -> Result<String, ShareError> {
        self.encrypt_with(lock, person, WORK)
    }

    fn encrypt_with(&self, lock: &Lock, person: &Arc<dyn Person>, work: u8) -> Result<String, ShareError> {
        match lock {
            Lock::Recipients(recipients) => seal(recipients, &self.inside(), person),
            Lock::Passphrase => {
                let mut recipient = age::scrypt::Recipient::new(self.choose(person.as_ref())?);
                recipient.set_work_factor(work);
                encrypt(&[Box::new(recipient)], &self.inside())
            }
        }
    }

    /// The share in a file. Where it has a passphrase, the person that `identities` know is asked for it.
    ///
    /// Anybody can make a file that a holder's key opens: what comes out says nothing before it was compared with a kit.
    pub fn decrypt(file: impl AsRef<[u8]>, identities: &Identities) -> Result<Self, ShareError> {
        let file = file.as_ref();
        if file.len() > LONGEST {
            return Err(ShareError::TooLong);
        }
        if !is_age(file) {
            return Err(ShareError::NotEncrypted);
        }
        let open = || Decryptor::new_buffered(ArmoredReader::new(file.trim_ascii_start()));
        let opened = open().map_err(|_| ShareError::Damaged)?;
        if opened.is_scrypt() {
            return with_passphrase(identities.person(), |key| read(open()?, [key].into_iter()));
        }
        Self::from_inside(&with_keys(opened, identities)?)
    }

    /// Asks for a new passphrase, twice.
    fn choose(&self, person: &dyn Person) -> Result<SecretString, ShareError> {
        let holder = &self.holder;
        for _ in 0..ATTEMPTS {
            let question = format!(
                "a new passphrase for the share file of {holder} ({SHORTEST_PASSPHRASE} characters or more)"
            );
            let mut chosen = person.secret(&question).ok_or(ShareError::NoPassphrase)?;
            if chosen.chars().count() < SHORTEST_PASSPHRASE {
                person.show(&format!(
                    "this is shorter than {SHORTEST_PASSPHRASE} characters; five or six words are good"
                ));
                continue;
            }
            let again = person
                .secret("the same passphrase again")
                .ok_or(ShareError::NoPassphrase)?;
            if *again == *chosen {
                return Ok(SecretString::from(mem::take(&mut *chosen)));
            }
            person.show("these were two different passphrases");
        }
        Err(ShareError::NoneChosen)
    }

    fn inside(&self) -> Zeroizing<Vec<u8>> {
        let package = self.key_package.serialize().map(Zeroizing::new);
        let package = package.expect("a key package that the crate made");
        let inside = Inside {
            version: VERSION,
            cluster: self.cluster.clone(),
            holder: self.holder.clone(),
            kit_hash: self.kit_hash,
            kit_revision: self.kit_revision,
            key_package: Zeroizing::new(HEXLOWER.encode(&package)),
        };
        // Room for all of it at once: a vector that grows leaves copies behind.
        let mut json = Zeroizing::new(Vec::with_capacity(LONGEST));
        serde_json::to_writer(&mut *json, &inside).expect("a share is plain JSON");
        json
    }

    fn from_inside(json: &[u8]) -> Result<Self, ShareError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let Ok(Versioned { version }) = serde_json::from_slice(json) else {
            return Err(ShareError::NotAShare);
        };
        if version != VERSION {
            return Err(ShareError::AnotherVersion(version));
        }
        // The reason is not given: it could quote what is inside.
        let inside: Inside = serde_json::from_slice(json).map_err(|_| ShareError::NotAShare)?;
        let package = HEXLOWER.decode(inside.key_package.as_bytes()).map(Zeroizing::new);
        let package = package.map_err(|_| ShareError::NotAShare)?;
        let package = KeyPackage::deserialize(&package).map_err(|_| ShareError::NotAShare)?;
        if VerifyingShare::from(*package.signing_share()) != *package.verifying_share() {
            return Err(ShareError::Contradiction);
        }
        Ok(Self::new(
            inside.cluster,
            inside.holder,
            inside.kit_hash,
            inside.kit_revision,
            package,
        ))
    }
}

/// Whether a share file is opened by a passphrase and by no key.
pub fn has_passphrase(file: &[u8]) -> bool {
    let opened = Decryptor::new_buffered(ArmoredReader::new(file.trim_ascii_start()));
    file.len() <= LONGEST && opened.is_ok_and(|file| file.is_scrypt())
}

/// Whether everything is on this machine that encrypts to these recipients: a plugin that is missing is better known before
/// anybody has typed anything.
pub fn can_seal(recipients: &[Recipient]) -> Result<(), ShareError> {
    let nobody = Arc::new(Nobody) as Arc<dyn Person>;
    let mut encryptors = recipients.iter().map(|recipient| recipient.encryptor(&nobody));
    encryptors
        .try_for_each(|found| found.map(drop))
        .map_err(encrypting)
}

/// Encrypts to whoever has one of the keys: what holders who make a kit apart send each other.
pub fn seal(
    recipients: &[Recipient],
    plaintext: &[u8],
    person: &Arc<dyn Person>,
) -> Result<String, ShareError> {
    let encryptors = recipients.iter().map(|recipient| recipient.encryptor(person));
    let encryptors: Vec<_> = encryptors.collect::<Result<_, _>>().map_err(encrypting)?;
    encrypt(&encryptors, plaintext)
}

/// Opens what was sealed to one of these keys.
pub fn unseal(text: &str, identities: &Identities) -> Result<Zeroizing<Vec<u8>>, ShareError> {
    if text.len() > LONGEST {
        return Err(ShareError::TooLong);
    }
    let opened = Decryptor::new_buffered(ArmoredReader::new(text.trim_start().as_bytes()));
    with_keys(opened.map_err(|_| ShareError::Damaged)?, identities)
}

fn with_keys<R: io::BufRead>(
    file: Decryptor<R>,
    identities: &Identities,
) -> Result<Zeroizing<Vec<u8>>, ShareError> {
    // A passphrase is never asked for what somebody else sent.
    if file.is_scrypt() {
        return Err(ShareError::WrongIdentity);
    }
    if identities.is_empty() {
        return Err(ShareError::NoIdentity);
    }
    read(file, identities.keys()).map_err(decrypting)
}

fn encrypt(recipients: &[Box<dyn age::Recipient>], plaintext: &[u8]) -> Result<String, ShareError> {
    let recipients = recipients.iter().map(|recipient| recipient.as_ref());
    let encryptor = Encryptor::with_recipients(recipients).map_err(encrypting)?;
    let write = || -> io::Result<Vec<u8>> {
        let armor = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor)?;
        let mut file = encryptor.wrap_output(armor)?;
        file.write_all(plaintext)?;
        file.finish()?.finish()
    };
    let file = write().map_err(ShareError::Encrypt)?;
    Ok(String::from_utf8(file).expect("armor is ASCII"))
}

/// What is inside, or what age says.
fn read<'k, R: io::BufRead>(
    file: Decryptor<R>,
    keys: impl Iterator<Item = &'k dyn age::Identity>,
) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
    let file = file.decrypt(keys)?;
    let mut inside = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
    // The file has at most LONGEST bytes, and age does not compress.
    file.take(LONGEST as u64).read_to_end(&mut inside)?;
    Ok(inside)
}

fn with_passphrase(
    person: &dyn Person,
    read: impl Fn(&dyn age::Identity) -> Result<Zeroizing<Vec<u8>>, DecryptError>,
) -> Result<Share, ShareError> {
    for attempt in 1..=ATTEMPTS {
        let mut passphrase = person
            .secret("passphrase of the share file")
            .ok_or(ShareError::NoPassphrase)?;
        let mut key = age::scrypt::Identity::new(SecretString::from(mem::take(&mut *passphrase)));
        key.set_max_work_factor(GREATEST_WORK);
        match read(&key) {
            Ok(inside) => return Share::from_inside(&inside),
            Err(DecryptError::DecryptionFailed) if attempt < ATTEMPTS => {
                person.show("that is not the passphrase of the share file");
            }
            Err(DecryptError::DecryptionFailed) => {}
            Err(error) => return Err(decrypting(error)),
        }
    }
    Err(ShareError::WrongPassphrase)
}

/// Every case by hand: age's own words are for its command line, and the one about too much work can overflow.
fn decrypting(error: DecryptError) -> ShareError {
    match error {
        DecryptError::NoMatchingKeys => ShareError::WrongIdentity,
        DecryptError::ExcessiveWork { .. } => ShareError::TooMuchWork,
        DecryptError::Io(error) => Fault::of(&error).map_or(ShareError::Damaged, ShareError::Plugin),
        _ => ShareError::Damaged,
    }
}

fn encrypting(error: EncryptError) -> ShareError {
    match error {
        EncryptError::IncompatibleRecipients { .. } => ShareError::Incompatible,
        EncryptError::PluginResolve(error) => missing(error),
        EncryptError::Io(error) => match Fault::of(&error) {
            Some(words) => ShareError::Plugin(words),
            None => ShareError::Encrypt(error),
        },
        other => ShareError::Encrypt(io::Error::other(other)),
    }
}

fn missing(error: age::plugin::ResolveError) -> ShareError {
    match error {
        age::plugin::ResolveError::MissingPlugin { binary_name } => {
            ShareError::NoPlugin(Escaped::new(&binary_name))
        }
        other => ShareError::NoPlugin(Escaped::new(&other.to_string())),
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share")
            .field("cluster", &self.cluster)
            .field("holder", &self.holder)
            .field("kit_hash", &self.kit_hash)
            .field("kit_revision", &self.kit_revision)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
