//! Stub until S is merged.
use crate::{kit::KitHash, name::Name};
use frost_ed25519::keys::KeyPackage;

/// A share.
#[derive(Clone)]
pub struct Share {
    pub(crate) cluster: String,
    pub(crate) holder: Name,
    pub(crate) kit_hash: KitHash,
    pub(crate) kit_revision: u32,
    pub(crate) key_package: KeyPackage,
}
impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Share")
    }
}
impl Share {
    /// x
    pub fn key_package(&self) -> &KeyPackage {
        &self.key_package
    }
    /// x
    pub fn holder(&self) -> &Name {
        &self.holder
    }
    /// x
    pub fn kit_hash(&self) -> KitHash {
        self.kit_hash
    }
    /// x
    pub fn kit_revision(&self) -> u32 {
        self.kit_revision
    }
}
impl Share {
    /// x
    pub fn new(kit: &crate::kit::Kit, holder: Name, key_package: KeyPackage) -> Self {
        Self {
            cluster: kit.payload().cluster.clone(),
            holder,
            kit_hash: kit.hash(),
            kit_revision: kit.payload().revision,
            key_package,
        }
    }
}
