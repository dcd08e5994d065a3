//! Names derived by hashing: subject, login and session id.

use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::{Encoding, Specification};

/// RFC 4648 base32, lower case, unpadded.
pub(crate) fn base32(bytes: &[u8]) -> String {
    static ENCODING: std::sync::LazyLock<Encoding> = std::sync::LazyLock::new(|| {
        let mut specification = Specification::new();
        specification.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
        specification
            .encoding()
            .expect("the alphabet has 32 distinct symbols")
    });
    ENCODING.encode(bytes)
}

/// Each field preceded by its length, 4 bytes big-endian: no two lists of fields feed the same bytes.
pub(crate) fn each_field<'a>(fields: impl IntoIterator<Item = &'a str>, mut feed: impl FnMut(&[u8])) {
    for field in fields {
        // Fields come from tokens of at most 64 KiB and from the configuration.
        let length = u32::try_from(field.len()).expect("a field is far shorter than 4 GiB");
        feed(&length.to_be_bytes());
        feed(field.as_bytes());
    }
}

fn hash(fields: &[&str]) -> String {
    let mut context = Context::new(&SHA256);
    each_field(fields.iter().copied(), |bytes| context.update(bytes));
    base32(&context.finish().as_ref()[..16])
}

/// Names a person at an identity provider, whatever they are called there.
pub(crate) fn subject_id(issuer: &str, subject: &str) -> String {
    hash(&[issuer, subject])
}

/// Names one login at one cluster; `nonce` is its text as in the token.
pub(crate) fn login_id(cluster_id: &str, issuer: &str, subject: &str, nonce: &str) -> String {
    hash(&[cluster_id, issuer, subject, nonce])
}

/// Names a session: one login, one session, on every replica.
pub(crate) fn session_id(subject_id: &str, login_id: &str) -> String {
    format!("{subject_id}-{login_id}")
}

#[cfg(test)]
mod tests;
