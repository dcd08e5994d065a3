use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;

/// Base64url without padding.
pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    BASE64URL_NOPAD.encode(bytes.as_ref())
}

/// The bytes of base64url without padding.
///
/// # Panics
///
/// If it is not that.
pub fn unb64(text: &str) -> Vec<u8> {
    BASE64URL_NOPAD
        .decode(text.as_bytes())
        .expect("base64url without padding")
}

/// SHA-256.
pub fn sha256(bytes: impl AsRef<[u8]>) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes.as_ref()).as_ref());
    hash
}

/// A compact JWS over exactly these texts, so that hostile JSON (duplicate members, say) can be signed too.
pub fn compact(header: &str, payload: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let input = format!("{}.{}", b64(header), b64(payload));
    let signature = sign(input.as_bytes());
    format!("{input}.{}", b64(signature))
}

/// A token without a signature, under any header: `alg: none`, for one.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    compact(&header.to_string(), &claims.to_string(), |_| Vec::new())
}
