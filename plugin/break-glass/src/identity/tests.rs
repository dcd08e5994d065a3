use std::sync::Mutex;

use age::secrecy::ExposeSecret;
use aws_lc_rs::{
    cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey},
    iv::FixedLength,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use x509_parser::der_parser::{ber::BerObjectContent, parse_der};

use super::*;
use crate::{name::is_plain, recipient::Recipient};

/// A person who answers from a list, and remembers what they were shown and asked.
#[derive(Default)]
pub(crate) struct Answers {
    answers: Mutex<Vec<String>>,
    seen: Mutex<Vec<String>>,
}

impl Answers {
    /// Gives these answers, in this order, and then none.
    pub(crate) fn of(answers: &[&str]) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.iter().rev().map(|text| (*text).to_owned()).collect()),
            seen: Mutex::default(),
        })
    }

    /// What they were shown and asked.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    fn answer(&self, question: &str) -> Option<String> {
        self.seen.lock().unwrap().push(question.to_owned());
        self.answers.lock().unwrap().pop()
    }
}

impl Person for Answers {
    fn show(&self, message: &str) {
        self.seen.lock().unwrap().push(message.to_owned());
    }

    fn confirm(&self, question: &str, yes: &str, _: Option<&str>) -> Option<bool> {
        self.answer(question).map(|answer| answer == yes)
    }

    fn ask(&self, question: &str) -> Option<String> {
        self.answer(question)
    }

    fn secret(&self, question: &str) -> Option<Zeroizing<String>> {
        self.answer(question).map(Zeroizing::new)
    }
}

/// A key as its owner has it: the recipient's text and the identity file's.
pub(crate) struct Pair {
    pub(crate) recipient: String,
    pub(crate) identity: String,
}

pub(crate) fn x25519() -> Pair {
    let key = age::x25519::Identity::generate();
    Pair {
        recipient: key.to_public().to_string(),
        identity: format!(
            "# created: today\n# public key: …\n{}\n",
            key.to_string().expose_secret()
        ),
    }
}

/// An Ed25519 key as ssh-keygen writes it (PROTOCOL.key of OpenSSH).
pub(crate) fn ed25519(passphrase: Option<&str>) -> Pair {
    let seed = [7; 32].map(|byte: u8| byte.wrapping_mul(rand()));
    let key = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let public_key = key.public_key().as_ref();
    let public = [string(b"ssh-ed25519"), string(public_key)].concat();
    let secret = [&seed[..], public_key].concat();
    let private = [public.clone(), string(&secret)].concat();
    openssh("ssh-ed25519", &public, &private, passphrase)
}

/// An RSA key as ssh-keygen writes it, or as it did before 2014.
pub(crate) fn rsa(openssh_format: bool, passphrase: Option<&str>) -> Pair {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let pkcs8 = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&key).unwrap();
    let (_, pkcs8) = parse_der(pkcs8.as_ref()).unwrap();
    let pkcs1 = pkcs8.as_sequence().unwrap()[2].as_slice().unwrap().to_vec();
    let (_, numbers) = parse_der(&pkcs1).unwrap();
    // version, n, e, d, p, q, …, …, iqmp (RFC 8017, appendix A.1.2)
    let number = |index: usize| match &numbers.as_sequence().unwrap()[index].content {
        BerObjectContent::Integer(bytes) => string(bytes),
        other => panic!("{other:?}"),
    };
    let name = string(b"ssh-rsa");
    let public = [name.clone(), number(2), number(1)].concat();
    if openssh_format {
        let private = [
            name,
            number(1),
            number(2),
            number(3),
            number(8),
            number(4),
            number(5),
        ]
        .concat();
        return openssh("ssh-rsa", &public, &private, passphrase);
    }
    Pair {
        recipient: format!("ssh-rsa {} old@laptop", STANDARD.encode(public)),
        identity: pem::encode(&pem::Pem::new("RSA PRIVATE KEY", pkcs1)),
    }
}

fn rand() -> u8 {
    let mut byte = [0];
    rand_core::RngCore::fill_bytes(&mut rand_core::OsRng, &mut byte);
    byte[0] | 1
}

/// The `string` of RFC 4251, section 5.
pub(crate) fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

pub(crate) fn openssh(kind: &str, public: &[u8], private: &[u8], passphrase: Option<&str>) -> Pair {
    let mut secret = [&[1, 2, 3, 4, 1, 2, 3, 4], private, &string(b"me@laptop")].concat();
    for pad in 1.. {
        match secret.len() % 16 {
            0 => break,
            _ => secret.push(pad),
        }
    }
    let (cipher, kdf, options) = match passphrase {
        None => ("none", "none", Vec::new()),
        Some(passphrase) => {
            let mut key = [0; 48];
            bcrypt_pbkdf::bcrypt_pbkdf(passphrase, b"salt", 2, &mut key).unwrap();
            let (key, iv) = key.split_at(32);
            let key = UnboundCipherKey::new(&AES_256, key).unwrap();
            let iv = EncryptionContext::Iv128(FixedLength::from(<[u8; 16]>::try_from(iv).unwrap()));
            (EncryptingKey::ctr(key).unwrap())
                .less_safe_encrypt(&mut secret, iv)
                .unwrap();
            (
                "aes256-ctr",
                "bcrypt",
                [string(b"salt"), 2u32.to_be_bytes().to_vec()].concat(),
            )
        }
    };
    let file = [
        b"openssh-key-v1\0".to_vec(),
        string(cipher.as_bytes()),
        string(kdf.as_bytes()),
        string(&options),
        1u32.to_be_bytes().to_vec(),
        string(public),
        string(&secret),
    ];
    Pair {
        recipient: format!("{kind} {} me@laptop", STANDARD.encode(public)),
        identity: pem::encode_config(
            &pem::Pem::new("OPENSSH PRIVATE KEY", file.concat()),
            pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
        ),
    }
}

/// Reads a file, without answers or with these.
fn read(file: &str, answers: &[&str]) -> (Result<(), IdentityError>, Vec<String>) {
    let person = Answers::of(answers);
    let mut identities = Identities::new(Arc::clone(&person) as _);
    let result = identities.read("key\u{1b}.txt", file.as_bytes());
    assert_eq!(result.is_ok(), !identities.is_empty());
    (result, person.seen())
}

#[track_caller]
fn refused(file: &str) -> IdentityError {
    let (result, seen) = read(file, &[]);
    let error = result.unwrap_err();
    assert!(error.to_string().chars().all(is_plain), "{error}");
    assert!(seen.is_empty(), "{seen:?}");
    error
}

#[test]
fn several_keys_and_comments_are_read_however_the_lines_end() {
    let file = format!(
        "{}\r\n  {}\n",
        x25519().identity.replace('\n', "\r\n"),
        x25519().identity
    );
    let mut identities = Identities::new(Arc::new(Nobody));
    identities.read("keys.txt", file.as_bytes()).unwrap();
    assert_eq!(identities.keys().count(), 2);
}

#[test]
fn a_line_that_is_no_key_is_counted_and_never_repeated() {
    let secret = x25519().identity.to_uppercase();
    let mistyped = format!(
        "# mine\n{}",
        secret.trim_end().replace("AGE-SECRET-KEY-1", "AGE-SECRET-KEY-1Q")
    );
    let mistyped = mistyped
        .lines()
        .filter(|line| !line.starts_with("# C") && !line.starts_with("# P"));
    let error = refused(&mistyped.collect::<Vec<_>>().join("\n"));
    assert!(matches!(error, IdentityError::Line { line: 2, .. }), "{error}");
    assert!(!error.to_string().contains("AGE-SECRET"), "{error}");
}

#[test]
fn what_is_no_secret_key_is_named() {
    for public in [x25519().recipient, ed25519(None).recipient] {
        assert!(matches!(refused(&public), IdentityError::Public { .. }));
    }
    assert!(matches!(refused("# nothing\n"), IdentityError::NoKey { .. }));
    assert!(matches!(refused(""), IdentityError::NoKey { .. }));
    let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(refused(certificate), IdentityError::NoKey { .. }));
    for format in ["PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "EC PRIVATE KEY"] {
        let file = format!("-----BEGIN {format}-----\nAAAA\n-----END {format}-----\n");
        assert!(matches!(refused(&file), IdentityError::AnotherFormat { .. }));
    }
    let mut identities = Identities::new(Arc::new(Nobody));
    let endless = identities.read("f", &[b'#'; LONGEST + 1]);
    assert!(matches!(endless, Err(IdentityError::TooLong { .. })));
    let binary = identities.read("f", &[0xff; 10]);
    assert!(matches!(binary, Err(IdentityError::NoKey { .. })));
}

#[test]
fn a_security_key_and_an_ecdsa_key_are_refused_before_a_passphrase_is_typed() {
    for (kind, is_hardware) in [
        ("sk-ssh-ed25519@openssh.com", true),
        ("sk-ecdsa-sha2-nistp256@openssh.com", true),
        ("ecdsa-sha2-nistp256", false),
    ] {
        let public = [string(kind.as_bytes()), string(&[1; 32])].concat();
        for passphrase in [None, Some("locked")] {
            let file = openssh(kind, &public, &public, passphrase).identity;
            match refused(&file) {
                IdentityError::SecurityKey { .. } => assert!(is_hardware),
                IdentityError::OtherSsh { .. } => assert!(!is_hardware),
                other => panic!("{other}"),
            }
        }
    }
}

#[test]
fn an_ssh_key_that_is_cut_or_encrypted_the_old_way_is_named() {
    let whole = ed25519(None).identity;
    let cut = whole.lines().take(3).collect::<Vec<_>>().join("\n");
    assert!(matches!(refused(&cut), IdentityError::DamagedSsh { .. }));
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA \
               PRIVATE KEY-----\n";
    assert!(matches!(refused(old), IdentityError::AnotherFormat { .. }));
}

#[test]
fn the_passphrase_of_an_ssh_key_is_asked_for_three_times() {
    let file = ed25519(Some("open sesame")).identity;
    let (read_at_last, seen) = read(&file, &["wrong", "", "open sesame"]);
    read_at_last.unwrap();
    assert_eq!(seen.len(), 5, "{seen:?}");
    assert!(
        seen.iter().flat_map(|text| text.chars()).all(is_plain),
        "{seen:?}"
    );
    let (never, _) = read(&file, &["wrong", "wrong", "wrong", "open sesame"]);
    assert!(matches!(never, Err(IdentityError::WrongPassphrase { .. })));
    let (none, _) = read(&file, &[]);
    assert!(matches!(none, Err(IdentityError::NoPassphrase { .. })));
}

#[test]
fn an_identity_file_that_age_encrypted_is_opened_with_its_passphrase() {
    let mut lock = age::scrypt::Recipient::new(SecretString::from("open sesame".to_owned()));
    lock.set_work_factor(2);
    let file = age::encrypt_and_armor(&lock, x25519().identity.as_bytes()).unwrap();
    let (opened, seen) = read(&file, &["wrong", "open sesame"]);
    opened.unwrap();
    assert_eq!(seen.len(), 3);
    // Not one within the other for ever.
    let twice = age::encrypt_and_armor(&lock, file.as_bytes()).unwrap();
    let (twice, _) = read(&twice, &["open sesame", "open sesame"]);
    assert!(matches!(twice, Err(IdentityError::NoKey { .. })));
    // And a share file is not taken for one.
    let key: age::x25519::Recipient = x25519().recipient.parse().unwrap();
    let share = age::encrypt_and_armor(&key, b"share").unwrap();
    assert!(matches!(refused(&share), IdentityError::Encrypted { .. }));
}

#[test]
fn an_identity_file_that_would_take_for_ever_to_open_is_not_tried() {
    let mut lock = age::scrypt::Recipient::new(SecretString::from("open sesame".to_owned()));
    lock.set_work_factor(2);
    let file = age::encrypt(&lock, x25519().identity.as_bytes()).unwrap();
    let at = file.windows(3).position(|bytes| bytes == b" 2\n").unwrap();
    let changed = [&file[..at], b" 21\n", &file[at + 3..]].concat();
    let mut identities = Identities::new(Answers::of(&["open sesame"]));
    let refused = identities.read("f", &changed);
    assert!(
        matches!(refused, Err(IdentityError::TooMuchWork { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_plugin_that_is_not_there_is_named() {
    let plugin = age::plugin::Identity::default_for_plugin("gatepass-none").unwrap();
    let error = refused(&plugin.to_string());
    assert!(matches!(&error, IdentityError::NoPlugin { .. }), "{error}");
    assert!(error.to_string().contains("age-plugin-gatepass-none"), "{error}");
}

#[test]
fn what_a_plugin_says_moves_no_cursor() {
    let person = Answers::of(&["yes", "1234", "5678"]);
    let asking = Asking::of(&(Arc::clone(&person) as Arc<dyn Person>));
    let hostile = "touch\u{1b}[2J\u{202e}\nme";
    asking.display_message(hostile);
    assert_eq!(asking.confirm(hostile, "yes", Some(hostile)), Some(true));
    assert_eq!(asking.request_public_string(hostile).unwrap(), "1234");
    assert_eq!(
        asking.request_passphrase(hostile).unwrap().expose_secret(),
        "5678"
    );
    assert_eq!(person.seen().len(), 4);
    assert!(person.seen().iter().flat_map(|text| text.chars()).all(is_plain));
}

#[test]
fn a_locked_ssh_key_tells_whose_share_file_it_is_not_for() {
    let (mine, other, age) = (ed25519(Some("a passphrase")), ed25519(None), x25519());
    let seal = |recipients: &[&Pair]| {
        let recipients = recipients
            .iter()
            .map(|pair| Recipient::parse(&pair.recipient).unwrap());
        let person = Arc::new(Nobody) as Arc<dyn Person>;
        crate::share::seal(&recipients.collect::<Vec<_>>(), b"share", &person).unwrap()
    };
    for (key, locked_to, may) in [
        (&mine, &[&mine][..], true),
        (&mine, &[&age, &mine], true),
        (&mine, &[&other], false),
        (&mine, &[&age], false),
        (&other, &[&mine], false),
        // An identity of age does not say.
        (&age, &[&mine], true),
    ] {
        let file = seal(locked_to);
        assert_eq!(
            may_open(key.identity.as_bytes(), file.as_bytes()),
            may,
            "{} for {}",
            key.recipient,
            locked_to[0].recipient
        );
    }
    assert!(may_open(b"no key", b"no file"));
    assert!(!may_open(mine.identity.as_bytes(), b"no file"));
}

#[test]
fn nobody_is_told_to_wait_for_a_plugin_that_waits_for_them() {
    /// Somebody who takes their time: age's clock strikes while they are asked.
    struct Slow(Arc<Answers>, Mutex<Option<Asking>>);

    impl Slow {
        fn strikes(&self) {
            let asking = self.1.lock().unwrap().clone().unwrap();
            asking.display_message("Waiting for \u{2068}age-plugin-slow\u{2069}...");
        }
    }

    impl Person for Slow {
        fn show(&self, message: &str) {
            self.0.show(message);
        }

        fn confirm(&self, question: &str, yes: &str, no: Option<&str>) -> Option<bool> {
            self.strikes();
            self.0.confirm(question, yes, no)
        }

        fn ask(&self, question: &str) -> Option<String> {
            self.strikes();
            self.0.ask(question)
        }

        fn secret(&self, question: &str) -> Option<Zeroizing<String>> {
            self.strikes();
            self.0.secret(question)
        }
    }

    let answers = Answers::of(&["yes", "4711", "1234"]);
    let slow = Arc::new(Slow(Arc::clone(&answers), Mutex::default()));
    let asking = Asking::of(&(Arc::clone(&slow) as Arc<dyn Person>));
    *slow.1.lock().unwrap() = Some(asking.clone());
    asking.confirm("sure?", "yes", None).unwrap();
    asking.request_public_string("serial?").unwrap();
    asking.request_passphrase("PIN?").unwrap();
    assert_eq!(answers.seen(), ["sure?", "serial?", "PIN?"]);
    // Once it has the answers, it is the plugin that lets wait.
    slow.strikes();
    assert_eq!(answers.seen()[3..], ["Waiting for age-plugin-slow..."]);
}

#[test]
fn a_post_quantum_key_as_age_keygen_writes_it_is_told_from_a_mistyped_one() {
    for line in ["AGE-SECRET-KEY-PQ-1QQQSECRET", "age-secret-key-pq-1qqqsecret"] {
        let error = refused(&format!("# created: today\n# public key: age1pq1…\n{line}\n"));
        assert!(matches!(error, IdentityError::PostQuantum { .. }), "{error}");
        let shown = error.to_string().to_lowercase();
        assert!(
            shown.contains("age-plugin-pq -identity") && !shown.contains("qqqsecret"),
            "{error}"
        );
    }
}

#[test]
fn a_file_with_a_plugins_key_is_known() {
    assert!(needs_plugin(b"# mine\n  age-plugin-fake-1xyz\n"));
    assert!(needs_plugin(b"AGE-PLUGIN-PQ-1XYZ"));
    assert!(!needs_plugin(x25519().identity.as_bytes()));
    assert!(!needs_plugin(b"# AGE-PLUGIN-PQ-1XYZ is at home\n\xff"));
}
