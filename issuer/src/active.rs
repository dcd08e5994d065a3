//! What decides about requests at one moment. A reload replaces it whole, so no request sees half of two configurations.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::detection::Detection;
use crate::issue::Issuer;
use crate::key_source::KeySources;

/// An issuer and the keys of exactly its identity providers, in the same order.
#[derive(Clone, Debug)]
pub struct Active {
    /// Decides.
    pub issuer: Arc<Issuer>,
    /// The providers' keys.
    pub keys: Arc<KeySources>,
    /// Common names of the API servers that may use the webhooks.
    pub webhook_clients: Arc<[String]>,
    /// What is expected of users with certificates.
    pub detection: Arc<Detection>,
}

/// The active one, which a request takes once and keeps to its end.
pub type Current = Arc<ArcSwap<Active>>;
