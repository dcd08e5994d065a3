//! The use case: a request, its proof and the published keys → a certificate, or a refusal.
//!
//! Every check of the exchange happens here or below, in the order in which the protocol lists them. No HTTP, no
//! clock, no network: `now`, the key sets and the source of randomness are arguments.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SecureRandom;
use gatepass_api::{CertificateRequest, CertificateResponse, path};

use crate::audit::{Receipt, Trail};
use crate::binding::{self, Binding};
use crate::ca::{CertificateAuthority, Leaf, Subject};
use crate::clock::rfc3339;
use crate::csr::VerifiedCsr;
use crate::error::Refusal;
use crate::escape::visible;
use crate::id_token::{self, Claims, KeySet, Unverified, Use};
use crate::idp::IdentityProvider;
use crate::ids;
use crate::mapping::Identity;
use crate::marker::MarkerKeys;
use crate::proof::{self, Proof, UnverifiedProof};
use crate::request;
use crate::revocation::{Holder, Login, Refused, Revocations};

/// A certificate that would end sooner is not issued: kubectl would be back before it is used.
const MIN_LIFE: i64 = 60;
/// How far `notBefore` lies back, for API servers whose clock is slow.
const BACKDATE: i64 = 120;
/// How much of a revocation's reason is told.
const SHOWN: usize = 1024;

/// The cluster that certificates are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Stable id; in every proof, session id and marker.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// This issuer's URL, without a slash at its end.
    pub url: String,
}

/// Limits of what is issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// Longest life of a certificate.
    pub certificate: Duration,
    /// Whether a certificate ends no later than the ID token.
    pub cap_at_token_expiry: bool,
    /// Longest life of a session, from the login time.
    pub session: Duration,
}

/// Everything that decides about a request, apart from the published keys.
#[derive(Debug)]
pub struct Issuer {
    /// The cluster.
    pub cluster: Cluster,
    /// The identity providers, each issuer once.
    pub idps: Vec<IdentityProvider>,
    /// Limits.
    pub lifetimes: Lifetimes,
    /// Signs certificates.
    pub ca: CertificateAuthority,
    /// Make markers, and verify them.
    pub markers: MarkerKeys,
}

/// The key sets known at one moment, one per identity provider in the order of [`Issuer::idps`]; `None` where the
/// keys are not known.
pub type KeySets = Vec<Option<Arc<KeySet>>>;

/// A request as it came in.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// Values of the header `DPoP`, of which there must be one.
    pub proofs: &'a [&'a str],
    /// The body's bytes.
    pub body: &'a [u8],
}

/// What is known at one moment beyond the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The published keys.
    pub keys: &'a KeySets,
    /// The revocations.
    pub revocations: &'a Revocations,
    /// The time in Unix seconds.
    pub now: i64,
}

/// A certificate that may not leave before its audit record is written: see [`Issued::recorded`].
#[derive(Debug)]
#[must_use]
pub struct Issued(CertificateResponse);

impl Issued {
    /// The answer, for a receipt that its record was written.
    pub fn recorded(self, _receipt: Receipt) -> CertificateResponse {
        self.0
    }
}

struct Verified {
    idp: usize,
    id_token: Claims,
    binding: Binding,
    csr: VerifiedCsr,
}

impl Issuer {
    /// Checks everything and signs. What becomes known on the way is left in `trail`, refused or not.
    pub fn exchange(
        &self,
        received: Received<'_>,
        known: Known<'_>,
        random: &dyn SecureRandom,
        trail: &mut Trail,
    ) -> Result<Issued, Refusal> {
        let proof = UnverifiedProof::only(received.proofs)?;
        let request = request::parse(received.body)?;
        trail.reason.clone_from(&request.reason);
        let verified = self.verify(&request, proof, received.body, known, trail)?;
        if request.groups.as_ref().is_some_and(|groups| !groups.is_empty()) {
            return Err(Refusal::NotPermitted);
        }
        self.sign(verified, request.ttl_seconds, known, random, trail)
    }

    fn verify(
        &self,
        request: &CertificateRequest,
        proof: UnverifiedProof<'_>,
        body: &[u8],
        known: Known<'_>,
        trail: &mut Trail,
    ) -> Result<Verified, Refusal> {
        let now = known.now;
        let id_token = Unverified::parse(request.id_token.expose())?;
        let login_token = request
            .login_token
            .as_ref()
            .map(|token| Unverified::parse(token.expose()));
        let (position, idp, keys) = self.provider(&id_token, known.keys, trail)?;
        let id_token = id_token::verify(id_token, idp, keys, Use::Fresh, now)?;
        trail.token(&id_token);
        let expected = proof::Expected {
            method: "POST",
            url: &format!("{}{}", self.cluster.url, path::CERTIFICATES),
            cluster_id: &self.cluster.id,
            body,
            now,
        };
        let proof = proof.verify(&expected)?;
        trail.proof(&proof);
        let login_token = login_token
            .map(|token| grant(token, idp, keys, &id_token, now))
            .transpose()
            .map_err(Refusal::LoginToken)?;
        let binding = self.bind(&id_token, login_token.as_ref(), &proof, now)?;
        trail.login_time = Some(binding.login_time());
        let csr = VerifiedCsr::verify(&request.csr, proof.point())?;
        Ok(Verified {
            idp: position,
            id_token,
            binding,
            csr,
        })
    }

    /// The provider whose token this claims to be, and its keys.
    pub(crate) fn provider<'a>(
        &'a self,
        token: &Unverified<'_>,
        keys: &'a KeySets,
        trail: &mut Trail,
    ) -> Result<(usize, &'a IdentityProvider, Option<&'a KeySet>), id_token::Error> {
        let position = self
            .idps
            .iter()
            .position(|idp| idp.issuer == token.issuer())
            .ok_or(id_token::Error::UnknownIdp)?;
        let idp = &self.idps[position];
        trail.idp = Some(position);
        trail.identity_provider = Some(idp.issuer.clone());
        Ok((position, idp, keys.get(position).and_then(Option::as_deref)))
    }

    fn bind(
        &self,
        id_token: &Claims,
        login_token: Option<&Claims>,
        proof: &Proof,
        now: i64,
    ) -> Result<Binding, Refusal> {
        Ok(binding::bind(
            id_token,
            login_token,
            proof,
            self.lifetimes.session,
            now,
        )?)
    }

    fn sign(
        &self,
        verified: Verified,
        wished: Option<u64>,
        Known { revocations, now, .. }: Known<'_>,
        random: &dyn SecureRandom,
        trail: &mut Trail,
    ) -> Result<Issued, Refusal> {
        let Verified {
            idp,
            id_token,
            binding,
            csr,
        } = verified;
        let subject_id = ids::subject_id(id_token.issuer(), id_token.subject());
        let identity = self.idps[idp].mapping.identity(&id_token, &subject_id)?;
        let login_id = ids::login_id(
            &self.cluster.id,
            id_token.issuer(),
            id_token.subject(),
            binding.nonce(),
        );
        let session = ids::session_id(&subject_id, &login_id);
        let login = Login {
            session: &session,
            subject_id: &subject_id,
            time: binding.login_time(),
        };
        refuse_revoked(&identity, login, revocations, now)?;
        let not_after = self.not_after(&id_token, &binding, wished, now)?;
        let marker = self.markers.make(
            &self.cluster.id,
            &identity,
            &session,
            binding.login_time(),
            not_after,
        );
        let subject = Subject {
            identity: &identity,
            marker: &marker,
            not_before: now - BACKDATE,
            not_after,
        };
        let leaf = self.ca.sign(csr, &subject, random)?;
        trail.issued(&identity, &session, &leaf, not_after);
        Ok(Issued(answer(identity, session, leaf, not_after, &binding, now)))
    }

    fn not_after(
        &self,
        id_token: &Claims,
        binding: &Binding,
        wished: Option<u64>,
        now: i64,
    ) -> Result<i64, Refusal> {
        let earliest = now + MIN_LIFE;
        if self.lifetimes.cap_at_token_expiry && id_token.expires() < earliest {
            return Err(Refusal::TokenEnds);
        }
        if binding.session_end() < earliest {
            return Err(Refusal::SessionEnds);
        }
        if self.ca.not_after() < earliest {
            return Err(Refusal::AuthorityEnds);
        }
        let longest = self.lifetimes.certificate.as_secs();
        // A wish only ever shortens.
        let life = wished.map_or(longest, |wished| wished.min(longest));
        let mut end = now.saturating_add(i64::try_from(life).unwrap_or(i64::MAX));
        end = end.min(binding.session_end()).min(self.ca.not_after());
        if self.lifetimes.cap_at_token_expiry {
            end = end.min(id_token.expires());
        }
        Ok(end)
    }
}

/// The last check: what the webhook would deny is not signed.
fn refuse_revoked(
    identity: &Identity,
    login: Login<'_>,
    revocations: &Revocations,
    now: i64,
) -> Result<(), Refusal> {
    let groups: Vec<&str> = identity.groups().iter().map(String::as_str).collect();
    let holder = Holder {
        user: identity.username(),
        uid: identity.uid(),
        groups: &groups,
        login: Some(login),
    };
    match revocations.ask(now, |view| view.refuses(&holder, now))? {
        None => Ok(()),
        Some(Refused { reason, login_after }) => Err(Refusal::Revoked {
            reason: reason.map(|reason| visible(&reason, SHOWN).into_owned()),
            login_after,
        }),
    }
}

/// Why a login token is no grant for an ID token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// It fails a check of its own.
    #[error("the login token: {0}")]
    Token(#[from] id_token::Error),
    /// It is another user's, client's or provider's.
    #[error("the login token and the ID token have different `{0}`")]
    Differs(&'static str),
}

/// The login token is the grant: it passes every check of an ID token but `exp` and freshness, by a key published
/// now, and it is the same login of the same user.
fn grant(
    token: Result<Unverified<'_>, id_token::Error>,
    idp: &IdentityProvider,
    keys: Option<&KeySet>,
    id_token: &Claims,
    now: i64,
) -> Result<Claims, GrantError> {
    let token = token?;
    if token.issuer() != idp.issuer {
        return Err(GrantError::Differs("iss"));
    }
    let grant = id_token::verify(token, idp, keys, Use::Grant, now)?;
    if grant.subject() != id_token.subject() {
        return Err(GrantError::Differs("sub"));
    }
    if grant.client_id() != id_token.client_id() {
        return Err(GrantError::Differs("azp"));
    }
    // A session at the provider, where it names one: another `sid` is another login, which has its own grant.
    if let (Some(theirs), Some(ours)) = (grant.get("sid"), id_token.get("sid"))
        && theirs != ours
    {
        return Err(GrantError::Differs("sid"));
    }
    Ok(grant)
}

fn answer(
    identity: Identity,
    session: String,
    leaf: Leaf,
    not_after: i64,
    binding: &Binding,
    now: i64,
) -> CertificateResponse {
    CertificateResponse {
        certificate: leaf.pem,
        not_before: rfc3339(leaf.not_before),
        not_after: rfc3339(not_after),
        credential_id: leaf.credential_id,
        username: identity.username().to_owned(),
        uid: identity.uid().to_owned(),
        groups: identity.groups().to_vec(),
        session,
        session_end: rfc3339(binding.session_end()),
        bound: true,
        server_time: rfc3339(now),
    }
}
