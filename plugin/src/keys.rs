//! The two kinds of key: one per session, which signs proofs and nothing else, and one per credential.

use aws_lc_rs::{digest, error::Unspecified, rand::SecureRandom};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use gatepass_api::{PROOF_TYPE, ProofClaims, Salt};
use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{Jwk, ThumbprintHash},
};
use rcgen::{CertificateParams, KeyPair};
use zeroize::Zeroizing;

/// A key could not be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system's random number generator failed.
    #[error("the system's random number generator failed")]
    Random(#[from] Unspecified),
    /// Key or certificate request.
    #[error("cannot make a key or certificate request: {0}")]
    Key(#[from] rcgen::Error),
    /// The proof could not be signed.
    #[error("cannot sign the proof: {0}")]
    Proof(#[from] jsonwebtoken::errors::Error),
}

/// P-256 key of one session. It signs proofs and nothing else.
pub struct SessionKey {
    signing: EncodingKey,
    public: Jwk,
    thumbprint: String,
}

impl SessionKey {
    /// Makes a key; the PKCS#8 is what the session keeps.
    pub fn generate() -> Result<(Self, Zeroizing<Vec<u8>>), KeyError> {
        let pkcs8 = Zeroizing::new(KeyPair::generate()?.serialize_der());
        Ok((Self::from_pkcs8(&pkcs8)?, pkcs8))
    }

    /// Reads a key that a session kept.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let signing = EncodingKey::from_ec_der(pkcs8);
        let public = Jwk::from_encoding_key(&signing, Algorithm::ES256)?;
        let thumbprint = public.thumbprint(ThumbprintHash::SHA256)?;
        Ok(Self {
            signing,
            public,
            thumbprint,
        })
    }

    /// RFC 7638 SHA-256 thumbprint, base64url.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// The nonce that commits an ID token to this key and the salt.
    pub fn commitment(&self, salt: &Salt) -> String {
        sha256_base64url(&salt.commitment_preimage(&self.thumbprint))
    }

    /// Signs a proof (RFC 9449 section 4.2).
    pub fn proof(&self, claims: &ProofClaims) -> Result<String, KeyError> {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(PROOF_TYPE.into());
        header.jwk = Some(self.public.clone());
        Ok(jsonwebtoken::encode(&header, claims, &self.signing)?)
    }
}

/// P-256 key of one credential, made for each certificate; only its CSR leaves the machine.
pub struct CredentialKey(KeyPair);

impl CredentialKey {
    /// Makes a key.
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self(KeyPair::generate()?))
    }

    /// A certificate signing request, PEM. The issuer takes nothing but the public key from it.
    pub fn csr(&self) -> Result<String, KeyError> {
        Ok(CertificateParams::default().serialize_request(&self.0)?.pem()?)
    }

    /// The public key as an uncompressed point (SEC 1 section 2.3.3).
    pub fn public_point(&self) -> &[u8] {
        self.0.public_key_raw()
    }

    /// PKCS#8, PEM, as kubectl wants it.
    pub fn pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.serialize_pem())
    }
}

/// SHA-256 as base64url without padding.
pub fn sha256_base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, bytes))
}

/// Fresh random bytes.
pub fn random<const N: usize>(rng: &dyn SecureRandom) -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    rng.fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_kept_key_signs_proofs_that_carry_its_public_half_only() {
        let (key, pkcs8) = SessionKey::generate().unwrap();
        let again = SessionKey::from_pkcs8(&pkcs8).unwrap();
        assert_eq!(key.thumbprint(), again.thumbprint());
        assert_eq!(key.thumbprint().len(), 43);

        let claims = ProofClaims {
            htm: "POST".into(),
            htu: "https://i/v1/certificates".into(),
            iat: 1,
            jti: "j".into(),
            cluster: "c".into(),
            salt: "s".into(),
            body: "b".into(),
        };
        let proof = again.proof(&claims).unwrap();
        let header = URL_SAFE_NO_PAD.decode(proof.split('.').next().unwrap()).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        assert_eq!(header["typ"], "dpop+jwt");
        assert_eq!(header["alg"], "ES256");
        assert_eq!(header["jwk"]["crv"], "P-256");
        assert_eq!(header["jwk"]["d"], Value::Null);
    }

    #[test]
    fn each_credential_has_a_key_and_request_of_its_own() {
        let (one, two) = (
            CredentialKey::generate().unwrap(),
            CredentialKey::generate().unwrap(),
        );
        assert_ne!(*one.pem(), *two.pem());
        assert!(
            one.csr()
                .unwrap()
                .starts_with("-----BEGIN CERTIFICATE REQUEST-----")
        );
    }
}
