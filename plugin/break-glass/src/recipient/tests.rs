use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::*;
use crate::identity::{
    Nobody,
    tests::{Pair, ed25519, openssh, rsa, string, x25519},
};

#[test]
fn every_kind_gives_back_its_text_and_an_ssh_line_loses_its_comment() {
    let Pair { recipient, .. } = x25519();
    assert_eq!(
        Recipient::parse(&format!(" {recipient}\n")).unwrap().to_string(),
        recipient
    );
    for pair in [ed25519(None), rsa(true, None)] {
        let words: Vec<_> = pair.recipient.split(' ').collect();
        let recipient = Recipient::parse(&pair.recipient).unwrap();
        assert_eq!(recipient.to_string(), words[..2].join(" "));
        assert_eq!(Recipient::parse(&recipient.to_string()).unwrap(), recipient);
        let tabs = pair.recipient.replace(' ', " \t ");
        assert_eq!(Recipient::parse(&tabs).unwrap(), recipient);
    }
    // Both are public keys from age's own tests and documentation.
    for known in [
        "age1tag1qt8lw0ual6avlwmwatk888yqnmdamm7xfd0wak53ut6elz5c4swx2yqdj4e",
        "age1yubikey1q2w7u3vpya839jxxuq8g0sedh3d740d4xvn639sqhr95ejj8vu3hyfumptt",
    ] {
        assert_eq!(Recipient::parse(known).unwrap().to_string(), known);
    }
}

#[test]
fn a_secret_given_by_mistake_is_refused_and_not_repeated() {
    let Pair { identity, .. } = x25519();
    let secret = identity.lines().last().unwrap();
    for (mistake, error) in [
        (secret.to_owned(), RecipientError::SecretKey),
        (secret.to_lowercase(), RecipientError::SecretKey),
        (format!("alice={secret}"), RecipientError::SecretKey),
        (ed25519(None).identity, RecipientError::PrivateKey),
        ("-----BEGIN PRIVATE KEY-----".into(), RecipientError::PrivateKey),
        (
            "AGE-PLUGIN-YUBIKEY-1QVHULF".into(),
            RecipientError::PluginIdentity,
        ),
    ] {
        let refused = Recipient::parse(&mistake).unwrap_err();
        assert_eq!(refused, error);
        let (shown, tail) = (refused.to_string(), &mistake[mistake.len() - 5..]);
        assert!(!shown.contains(tail), "{shown}");
    }
}

#[test]
fn what_age_cannot_encrypt_to_is_refused_with_what_to_do() {
    for kind in ["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"] {
        let public = [string(kind.as_bytes()), string(&[1; 32])].concat();
        let line = openssh(kind, &public, &public, None).recipient;
        assert_eq!(
            Recipient::parse(&line).unwrap_err(),
            RecipientError::SecurityKey(kind)
        );
    }
    for kind in ["ecdsa-sha2-nistp256", "ecdsa-sha2-nistp521", "ssh-dss"] {
        let public = [string(kind.as_bytes()), string(&[1; 32])].concat();
        let line = openssh(kind, &public, &public, None).recipient;
        assert_eq!(
            Recipient::parse(&line).unwrap_err(),
            RecipientError::OtherSsh(kind)
        );
    }
    let certificate = "ssh-ed25519-cert-v01@openssh.com AAAA";
    assert_eq!(
        Recipient::parse(certificate).unwrap_err(),
        RecipientError::OtherSsh("certificate")
    );
    assert_eq!(Recipient::parse("ssh-agent").unwrap_err(), RecipientError::Agent);
    let long = format!("ssh-rsa {}", "A".repeat(LONGEST));
    for unknown in ["", "alice", "id_ed25519.pub", "\u{1b}[2J", &long] {
        let refused = Recipient::parse(unknown).unwrap_err();
        assert_eq!(refused, RecipientError::Unknown);
    }
}

#[test]
fn a_mistyped_or_cut_recipient_is_refused() {
    let Pair { recipient, .. } = x25519();
    let changed = format!(
        "{}{}",
        &recipient[..20],
        recipient[20..].replacen(&recipient[20..21], "p", 1)
    );
    for mistyped in [&recipient[..40], "age1", "age1yubikey1qqqq", &changed] {
        match Recipient::parse(mistyped) {
            Err(error) => assert_eq!(error, RecipientError::MistypedAge),
            // The letter was a `p` already.
            Ok(same) => assert_eq!(same.to_string(), recipient),
        }
    }
    let Pair { recipient, .. } = ed25519(None);
    assert_eq!(
        Recipient::parse(&recipient[..40]).unwrap_err(),
        RecipientError::DamagedSsh("ssh-ed25519")
    );
    assert_eq!(
        Recipient::parse("ssh-rsa").unwrap_err(),
        RecipientError::DamagedSsh("ssh-rsa")
    );
}

#[test]
fn a_short_rsa_key_is_refused() {
    let mut modulus = vec![0, 0xc1];
    modulus.resize(129, 0x55);
    let key = [string(b"ssh-rsa"), string(&[1, 0, 1]), string(&modulus)].concat();
    let line = format!("ssh-rsa {}", STANDARD.encode(key));
    assert_eq!(Recipient::parse(&line).unwrap_err(), RecipientError::RsaTooShort);
}

#[test]
fn a_passphrase_stands_alone_and_something_must_lock() {
    let Pair { recipient, .. } = x25519();
    assert_eq!(Lock::parse(&["passphrase"]), Ok(Lock::Passphrase));
    assert_eq!(
        Lock::parse(&[&recipient, "Passphrase"]),
        Err(RecipientError::PassphraseAmongOthers)
    );
    assert_eq!(Lock::parse::<&str>(&[]), Err(RecipientError::Nothing));
    assert_eq!(Lock::parse(&[&recipient; MOST + 1]), Err(RecipientError::TooMany));
    let several = Lock::parse(&[&recipient, &ed25519(None).recipient]).unwrap();
    let json = serde_json::to_string(&several).unwrap();
    assert_eq!(serde_json::from_str::<Lock>(&json).unwrap(), several);
    assert_eq!(
        serde_json::to_string(&Lock::Passphrase).unwrap(),
        r#"["passphrase"]"#
    );
    assert!(serde_json::from_str::<Lock>("[]").is_err());
}

#[test]
fn a_plugin_is_looked_for_only_when_a_file_is_encrypted() {
    let recipient = "age1yubikey1q2w7u3vpya839jxxuq8g0sedh3d740d4xvn639sqhr95ejj8vu3hyfumptt";
    let recipient = Recipient::parse(recipient).unwrap();
    let nobody: Arc<dyn Person> = Arc::new(Nobody);
    assert!(matches!(
        recipient.encryptor(&nobody),
        Err(age::EncryptError::PluginResolve(_))
    ));
}
