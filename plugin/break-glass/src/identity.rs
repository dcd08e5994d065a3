//! The keys that open share files, as people keep them: files of age and OpenSSH, plugins, passphrases.

use std::{
    io::{BufRead as _, Read as _},
    mem, str,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use age::{
    Callbacks, Decryptor,
    armor::ArmoredReader,
    secrecy::SecretString,
    ssh::{ParseRecipientKeyError, UnsupportedKey},
};
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD},
};
use zeroize::Zeroizing;

use crate::{
    name::Escaped,
    plugin::{self, Missing},
    words::sha256,
};

/// The person at this machine, as far as keys need them. What they are shown is fit for a terminal.
pub trait Person: Send + Sync {
    /// Shows a message, such as the request to touch a key.
    fn show(&self, message: &str);
    /// Asks a question with one or two answers; `None` if nobody can be asked.
    fn confirm(&self, question: &str, yes: &str, no: Option<&str>) -> Option<bool>;
    /// Asks for something that is no secret; `None` if nobody can be asked.
    fn ask(&self, question: &str) -> Option<String>;
    /// Asks for a passphrase or PIN; `None` if nobody can be asked, or they gave up.
    fn secret(&self, question: &str) -> Option<Zeroizing<String>>;
}

/// Nobody can be asked.
#[derive(Clone, Copy, Debug)]
pub struct Nobody;

impl Person for Nobody {
    fn show(&self, _: &str) {}

    fn confirm(&self, _: &str, _: &str, _: Option<&str>) -> Option<bool> {
        None
    }

    fn ask(&self, _: &str) -> Option<String> {
        None
    }

    fn secret(&self, _: &str) -> Option<Zeroizing<String>> {
        None
    }
}

/// Why the file of a key cannot be used. None repeats a line of it.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// No key in it.
    #[error(
        "there is no key in {file}: it shall hold AGE-SECRET-KEY-1… or AGE-PLUGIN-… lines, or be an OpenSSH private key"
    )]
    NoKey {
        /// The file.
        file: Escaped,
    },
    /// Longer than any.
    #[error("{file} is longer than any file with keys")]
    TooLong {
        /// The file.
        file: Escaped,
    },
    /// A line that is no key.
    #[error("line {line} of {file} is no key of age; is it whole?")]
    Line {
        /// The file.
        file: Escaped,
        /// Which line, from 1.
        line: usize,
    },
    /// The public part.
    #[error(
        "{file} is a public key, which locks and does not open; name the file of the secret part (an ssh-agent cannot stand \
         in for it: it signs and does not decrypt)"
    )]
    Public {
        /// The file.
        file: Escaped,
    },
    /// A native key of a kind that is here a plugin's.
    #[error(
        "{file} holds a post-quantum key as age-keygen writes it, and here such a key is a plugin's: \
         `age-plugin-pq -identity -o NEW-FILE {file}` writes it as one (its recipient stays the same); name NEW-FILE"
    )]
    PostQuantum {
        /// The file.
        file: Escaped,
    },
    /// Damaged, or no OpenSSH file.
    #[error("{file} cannot be read as an OpenSSH private key; is it whole?")]
    DamagedSsh {
        /// The file.
        file: Escaped,
    },
    /// A private key in another format.
    #[error(
        "{file} is a private key in a format that age does not read; `ssh-keygen -p -f` on a copy of it writes OpenSSH's"
    )]
    AnotherFormat {
        /// The file.
        file: Escaped,
    },
    /// FIDO keys.
    #[error(
        "{file} stands for a security key ({kind}), which signs and cannot decrypt; with an age plugin (age-plugin-yubikey, \
         age-plugin-fido2-hmac) such a key can open a share file that was locked to the plugin's recipient"
    )]
    SecurityKey {
        /// The file.
        file: Escaped,
        /// Its kind.
        kind: Escaped,
    },
    /// Other kinds of SSH keys.
    #[error(
        "{file} is an SSH key of the kind {kind}, with which age cannot decrypt; ssh-ed25519 and ssh-rsa can"
    )]
    OtherSsh {
        /// The file.
        file: Escaped,
        /// Its kind.
        kind: Escaped,
    },
    /// A cipher that age does not know.
    #[error(
        "{file} is encrypted with {cipher}, which age does not know; `ssh-keygen -p -f` on a copy of it takes another"
    )]
    Cipher {
        /// The file.
        file: Escaped,
        /// Which.
        cipher: Escaped,
    },
    /// Nobody gave a passphrase.
    #[error("{file} needs a passphrase, and none was given")]
    NoPassphrase {
        /// The file.
        file: Escaped,
    },
    /// Three times wrong.
    #[error("that was not the passphrase of {file}, {ATTEMPTS} times")]
    WrongPassphrase {
        /// The file.
        file: Escaped,
    },
    /// An encrypted identity file of another kind than a passphrase opens.
    #[error(
        "{file} is encrypted, and not with a passphrase: is it a share file? Here the key that opens it is needed"
    )]
    Encrypted {
        /// The file.
        file: Escaped,
    },
    /// A passphrase that would take minutes to try.
    #[error("{file} would take this machine too long to decrypt; it was not made by age")]
    TooMuchWork {
        /// The file.
        file: Escaped,
    },
    /// No such plugin.
    #[error("{file} needs the program {program}, which is not in the PATH of this machine; install it")]
    NoPlugin {
        /// The file.
        file: Escaped,
        /// The program.
        program: Escaped,
    },
}

/// How often a passphrase is asked for.
const ATTEMPTS: usize = 3;

/// Above any file with keys: an RSA key of 4096 bits has 3 KiB.
const LONGEST: usize = 64 * 1024;

/// The greatest scrypt work factor that is tried: 2^20, about 4 s and 1 GiB. age and rage take 18 and what a machine does
/// in a second; anything above was made to keep somebody waiting.
pub(crate) const GREATEST_WORK: u8 = 20;

/// The keys of one person.
pub struct Identities {
    keys: Vec<Box<dyn age::Identity>>,
    person: Arc<dyn Person>,
}

impl Identities {
    /// None yet: enough for a share file with a passphrase.
    pub fn new(person: Arc<dyn Person>) -> Self {
        Self {
            keys: Vec::new(),
            person,
        }
    }

    /// Adds the keys in a file: lines of age, an OpenSSH private key, or an identity file that age encrypted with a
    /// passphrase. Where the file needs a passphrase, the person is asked now. `name` is what they are told.
    pub fn read(&mut self, name: &str, file: &[u8]) -> Result<(), IdentityError> {
        self.read_at(name, file, true)
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// What age decrypts with.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.keys.iter().map(|key| key.as_ref())
    }

    /// Whom to ask for a share file's passphrase.
    pub(crate) fn person(&self) -> &dyn Person {
        self.person.as_ref()
    }

    fn read_at(&mut self, name: &str, file: &[u8], outermost: bool) -> Result<(), IdentityError> {
        let file_name = || Escaped::new(name);
        if file.len() > LONGEST {
            return Err(IdentityError::TooLong { file: file_name() });
        }
        if is_age(file) {
            return match outermost {
                true => self.encrypted(name, file),
                false => Err(IdentityError::NoKey { file: file_name() }),
            };
        }
        let Ok(text) = str::from_utf8(file) else {
            return Err(IdentityError::NoKey { file: file_name() });
        };
        match text.find("-----BEGIN ") {
            Some(at) => self.ssh(name, &text[at..]),
            None => self.lines(name, text),
        }
    }

    fn lines(&mut self, name: &str, text: &str) -> Result<(), IdentityError> {
        let file = || Escaped::new(name);
        let before = self.keys.len();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Ok(key) = line.parse::<age::x25519::Identity>() {
                self.keys.push(Box::new(key));
            } else if let Ok(key) = line.parse::<age::plugin::Identity>() {
                let key = plugin::Identity::new(key, &self.person);
                let key = key.map_err(|Missing(program)| IdentityError::NoPlugin {
                    file: file(),
                    program: Escaped::new(&program),
                })?;
                self.keys.push(Box::new(key));
            } else if line.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-PQ-") {
                return Err(IdentityError::PostQuantum { file: file() });
            } else {
                let public = ["age1", "ssh-", "ecdsa-", "sk-"];
                return Err(match public.iter().any(|start| line.starts_with(start)) {
                    true => IdentityError::Public { file: file() },
                    false => IdentityError::Line {
                        file: file(),
                        line: index + 1,
                    },
                });
            }
        }
        match self.keys.len() == before {
            true => Err(IdentityError::NoKey { file: file() }),
            false => Ok(()),
        }
    }

    fn ssh(&mut self, name: &str, text: &str) -> Result<(), IdentityError> {
        let file = || Escaped::new(name);
        let known = ["OPENSSH", "RSA"].map(|kind| format!("-----BEGIN {kind} PRIVATE KEY-----"));
        if !known.iter().any(|begin| text.starts_with(begin)) {
            return Err(
                match text
                    .lines()
                    .next()
                    .is_some_and(|line| line.contains("PRIVATE KEY"))
                {
                    true => IdentityError::AnotherFormat { file: file() },
                    false => IdentityError::NoKey { file: file() },
                },
            );
        }
        let Ok(key) = age::ssh::Identity::from_buffer(text.as_bytes(), None) else {
            return Err(IdentityError::DamagedSsh { file: file() });
        };
        // Its public part names the kind, before anybody types a passphrase for nothing.
        if let Err(ParseRecipientKeyError::Unsupported(kind)) = age::ssh::Recipient::try_from(key.clone()) {
            return Err(other_ssh(file(), &kind));
        }
        let key = match key {
            age::ssh::Identity::Unencrypted(key) => key,
            age::ssh::Identity::Encrypted(key) => self.passphrase(name, |passphrase| {
                // The check within an OpenSSH file is 32 bits: what it lets pass does not open the share file.
                Ok(key.decrypt(passphrase).ok())
            })?,
            age::ssh::Identity::Unsupported(why) => {
                return Err(match why {
                    UnsupportedKey::EncryptedPem => IdentityError::AnotherFormat { file: file() },
                    UnsupportedKey::EncryptedSsh(cipher) => IdentityError::Cipher {
                        file: file(),
                        cipher: Escaped::new(&cipher),
                    },
                    UnsupportedKey::Hardware(kind) | UnsupportedKey::Type(kind) => other_ssh(file(), &kind),
                });
            }
        };
        self.keys.push(Box::new(age::ssh::Identity::Unencrypted(key)));
        Ok(())
    }

    /// An identity file that `age -p` or `rage -p` encrypted.
    fn encrypted(&mut self, name: &str, file: &[u8]) -> Result<(), IdentityError> {
        let file_name = || Escaped::new(name);
        let open = || Decryptor::new_buffered(ArmoredReader::new(file));
        if !open().is_ok_and(|file| file.is_scrypt()) {
            return Err(IdentityError::Encrypted { file: file_name() });
        }
        let plain = self.passphrase(name, |passphrase| {
            let mut key = age::scrypt::Identity::new(passphrase);
            key.set_max_work_factor(GREATEST_WORK);
            let file = open().and_then(|file| file.decrypt([&key as &dyn age::Identity].into_iter()));
            match file {
                Ok(mut plain) => {
                    let mut text = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
                    let read = plain.by_ref().take(LONGEST as u64 + 1).read_to_end(&mut text);
                    read.map_err(|_| IdentityError::Encrypted { file: file_name() })?;
                    Ok(Some(text))
                }
                Err(age::DecryptError::ExcessiveWork { .. }) => {
                    Err(IdentityError::TooMuchWork { file: file_name() })
                }
                Err(_) => Ok(None),
            }
        })?;
        self.read_at(name, &plain, false)
    }

    /// Asks for a file's passphrase until one fits.
    fn passphrase<T>(
        &self,
        name: &str,
        mut fits: impl FnMut(SecretString) -> Result<Option<T>, IdentityError>,
    ) -> Result<T, IdentityError> {
        let file = || Escaped::new(name);
        let question = format!("passphrase of {}", file());
        for attempt in 1..=ATTEMPTS {
            let Some(mut passphrase) = self.person.secret(&question) else {
                return Err(IdentityError::NoPassphrase { file: file() });
            };
            if let Some(opened) = fits(SecretString::from(mem::take(&mut *passphrase)))? {
                return Ok(opened);
            }
            if attempt < ATTEMPTS {
                self.person
                    .show(&format!("that is not the passphrase of {}", file()));
            }
        }
        Err(IdentityError::WrongPassphrase { file: file() })
    }
}

fn other_ssh(file: Escaped, kind: &str) -> IdentityError {
    let shown = Escaped::new(kind);
    match kind.starts_with("sk-") {
        true => IdentityError::SecurityKey { file, kind: shown },
        false => IdentityError::OtherSsh { file, kind: shown },
    }
}

/// Whether the key in a file could open a share file, as far as that shows before anybody is asked for a passphrase: an SSH key
/// says in the clear which one it is, and a share file which SSH keys it is locked to (age's specification, "ssh-ed25519" and
/// "ssh-rsa" recipient stanzas).
pub fn may_open(key: &[u8], share: &[u8]) -> bool {
    let Some(public) = ssh_public(key) else {
        return true;
    };
    let tag = BASE64_STANDARD_NO_PAD.encode(&sha256(&[&public])[..4]);
    let mut lines = ArmoredReader::new(share).take(LONGEST as u64).split(b'\n');
    let mut header = lines
        .by_ref()
        .map_while(Result::ok)
        .take_while(|line| !line.starts_with(b"---"));
    header.any(|line| {
        let line = String::from_utf8_lossy(&line);
        let words: Vec<_> = line.split(' ').collect();
        matches!(words[..], ["->", kind, of, ..] if kind.starts_with("ssh-") && of == tag)
    })
}

/// The public part of an OpenSSH private key, as its protocol writes it.
fn ssh_public(file: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(file).ok()?;
    let text = &text[text.find("-----BEGIN ")?..];
    let key = age::ssh::Identity::from_buffer(text.as_bytes(), None).ok()?;
    let recipient = age::ssh::Recipient::try_from(key).ok()?.to_string();
    BASE64_STANDARD.decode(recipient.split(' ').nth(1)?).ok()
}

/// Whether bytes say that age made them, armored or not.
pub fn is_age(file: &[u8]) -> bool {
    let file = file.trim_ascii_start();
    file.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----") || file.starts_with(b"age-encryption.org/")
}

/// Whether a file names a key that a plugin has, which may ask for a touch or a PIN.
pub fn needs_plugin(file: &[u8]) -> bool {
    let mut lines = file.split(|byte| *byte == b'\n');
    lines.any(|line| {
        line.trim_ascii_start()
            .to_ascii_uppercase()
            .starts_with(b"AGE-PLUGIN-")
    })
}

/// A [`Person`] as age asks them. What a plugin says comes from another program: it is escaped.
#[derive(Clone)]
pub(crate) struct Asking {
    person: Arc<dyn Person>,
    /// Whether a question waits for its answer.
    waits: Arc<AtomicBool>,
}

impl Asking {
    pub(crate) fn of(person: &Arc<dyn Person>) -> Self {
        Self {
            person: Arc::clone(person),
            waits: Arc::default(),
        }
    }

    fn question<T>(&self, ask: impl FnOnce(&dyn Person) -> T) -> T {
        self.waits.store(true, Ordering::Relaxed);
        let answer = ask(self.person.as_ref());
        self.waits.store(false, Ordering::Relaxed);
        answer
    }
}

impl Callbacks for Asking {
    fn display_message(&self, message: &str) {
        // A plugin that has asked something is silent until it has the answer. It is age then, which says after ten seconds that
        // it waits for the plugin: but all wait for the person, who shall not be told so in the middle of a PIN.
        if !self.waits.load(Ordering::Relaxed) {
            self.person
                .show(&Escaped::new(&without_isolates(message)).to_string());
        }
    }

    fn confirm(&self, message: &str, yes: &str, no: Option<&str>) -> Option<bool> {
        let escaped = |text| Escaped::new(text).to_string();
        let no = no.map(escaped);
        self.question(|person| person.confirm(&escaped(message), &escaped(yes), no.as_deref()))
    }

    fn request_public_string(&self, description: &str) -> Option<String> {
        self.question(|person| person.ask(&Escaped::new(description).to_string()))
    }

    fn request_passphrase(&self, description: &str) -> Option<SecretString> {
        let description = Escaped::new(description).to_string();
        let mut secret = self.question(|person| person.secret(&description))?;
        Some(SecretString::from(mem::take(&mut *secret)))
    }
}

/// age's own words without the marks (Unicode's first strong isolates) that its translations put around a plugin's name. They do
/// no harm where nothing is turned around, so a plugin's own may go with them.
pub(crate) fn without_isolates(words: &str) -> String {
    words.replace(['\u{2068}', '\u{2069}'], "")
}

#[cfg(test)]
pub(crate) mod tests;
