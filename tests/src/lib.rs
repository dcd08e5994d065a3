//! End-to-end harness: a real control plane, identity provider, keyring and browser.
