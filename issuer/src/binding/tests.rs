//! What the route cannot tell apart, because the last minute of a session is refused with the same code.

use fakes::{Idp, Login};
use serde_json::json;

use super::*;
use crate::id_token::{KeySet, Unverified, Use, verify};
use crate::idp::{Client, IdentityProvider};
use crate::mapping::{Mapping, PrefixedClaim};
use crate::proof::{Expected, UnverifiedProof};

const NOW: i64 = 1_790_000_000;

#[test]
fn a_session_is_over_from_its_last_second_on() {
    let (idp, login) = (Idp::new("i"), Login::new(NOW.unsigned_abs()));
    let username = PrefixedClaim {
        claim: "sub".into(),
        prefix: String::new(),
    };
    let provider = IdentityProvider {
        issuer: "i".into(),
        clients: vec![Client {
            id: "c".into(),
            scopes: Vec::new(),
        }],
        mapping: Mapping {
            username,
            groups: None,
            uid: None,
        },
        max_token_age: Duration::from_secs(600),
        certificate_authority: None,
    };
    let keys = KeySet::parse(idp.jwks().to_string().as_bytes()).unwrap();
    let claims =
        json!({"iss": "i", "sub": "s", "aud": "c", "iat": NOW, "exp": NOW + 9, "nonce": login.nonce()});
    let token = idp.sign("ES256", &claims);
    let claims = verify(
        Unverified::parse(&token).unwrap(),
        &provider,
        Some(&keys),
        Use::Grant,
        NOW,
    )
    .unwrap();
    let text = login.proof("u", "c", b"", NOW);
    let expected = Expected {
        method: "POST",
        url: "u",
        cluster_id: "c",
        body: b"",
        now: NOW,
    };
    let proof = UnverifiedProof::parse(&text).unwrap().verify(&expected).unwrap();
    let bound = |now| bind(&claims, None, &proof, Duration::from_secs(3600), now);
    let binding = bound(NOW + 3599).unwrap();
    assert_eq!((binding.login_time(), binding.session_end()), (NOW, NOW + 3600));
    assert_eq!(bound(NOW + 3600).unwrap_err(), Error::SessionEnded(0));
    assert_eq!(bound(NOW + 3601).unwrap_err(), Error::SessionEnded(1));
}
