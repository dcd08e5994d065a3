//! Plugins of age: programs by other people, which encrypt and decrypt with keys that age does not know itself. What one does
//! wrong is told apart from a damaged file, and names it.

use std::{collections::HashSet, io, slice, sync::Arc};

use age::{
    DecryptError, EncryptError,
    plugin::{IdentityPluginV1, RecipientPluginV1, ResolveError},
};
use age_core::format::{FileKey, Stanza};

use crate::{
    identity::{Asking, Person, without_isolates},
    name::Escaped,
};

/// A key that a plugin decrypts with.
pub(crate) struct Identity {
    program: String,
    key: IdentityPluginV1<Asking>,
}

/// A recipient that a plugin encrypts to.
pub(crate) struct Recipient {
    program: String,
    recipient: String,
    key: RecipientPluginV1<Asking>,
}

impl Identity {
    /// Finds the program.
    pub(crate) fn new(key: age::plugin::Identity, person: &Arc<dyn Person>) -> Result<Self, Missing> {
        let program = program(key.plugin());
        match IdentityPluginV1::new(key.plugin(), slice::from_ref(&key), Asking::of(person)) {
            Ok(key) => Ok(Self { program, key }),
            Err(_) => Err(Missing(program)),
        }
    }
}

impl Recipient {
    /// Finds the program.
    pub(crate) fn new(key: &age::plugin::Recipient, person: &Arc<dyn Person>) -> Result<Self, ResolveError> {
        let one = slice::from_ref(key);
        RecipientPluginV1::new(key.plugin(), one, &[], Asking::of(person)).map(|plugin| Self {
            program: program(key.plugin()),
            recipient: key.to_string(),
            key: plugin,
        })
    }
}

/// The program of a plugin that is not there.
#[derive(Debug)]
pub(crate) struct Missing(pub(crate) String);

/// What a plugin did wrong, fit for a terminal. age carries it as an I/O error, and has no other place for it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Fault(Escaped);

impl Fault {
    /// Takes it out again; `None` if the error is no plugin's.
    pub(crate) fn of(error: &io::Error) -> Option<Escaped> {
        let Self(words) = error.get_ref()?.downcast_ref()?;
        Some(words.clone())
    }

    /// `words` may be the plugin's own.
    fn error(program: &str, words: &str) -> io::Error {
        let words = without_isolates(words);
        let words = match words.contains(program) {
            true => words,
            false => format!("{program}: {words}"),
        };
        io::Error::other(Self(Escaped::new(&words)))
    }

    /// A plugin that broke off.
    fn broken(program: &str, error: &io::Error) -> io::Error {
        match error.kind() {
            io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
                Self::error(program, "it ended without an answer")
            }
            io::ErrorKind::InvalidData => Self::error(program, "it does not speak as a plugin of age does"),
            _ => Self::error(program, &error.to_string()),
        }
    }
}

fn program(plugin: &str) -> String {
    format!("age-plugin-{plugin}")
}

fn words(errors: &[impl ToString]) -> String {
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    errors.join("; ")
}

impl age::Identity for Identity {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        self.unwrap_stanzas(slice::from_ref(stanza))
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, DecryptError>> {
        let key = self.key.unwrap_stanzas(stanzas)?;
        Some(key.map_err(|error| {
            DecryptError::Io(match error {
                DecryptError::Plugin(errors) => Fault::error(&self.program, &words(&errors)),
                DecryptError::Io(error) => Fault::broken(&self.program, &error),
                // The only other thing that age finds wrong with what a plugin gives.
                _ => Fault::error(&self.program, "what it gave as the file's key is none"),
            })
        }))
    }
}

impl age::Recipient for Recipient {
    fn wrap_file_key(&self, key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        self.key.wrap_file_key(key).map_err(|error| match error {
            EncryptError::Plugin(errors) => {
                // A post-quantum recipient is longer than all that is shown of a text, and the reason follows it.
                let short: String = self.recipient.chars().take(SHOWN).collect();
                let words = words(&errors).replace(&self.recipient, &format!("{short}…"));
                EncryptError::Io(Fault::error(&self.program, &words))
            }
            EncryptError::Io(error) => EncryptError::Io(Fault::broken(&self.program, &error)),
            error => error,
        })
    }
}

/// How much is shown of a recipient: enough to tell which of several it is.
const SHOWN: usize = 24;
