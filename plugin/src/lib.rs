//! The kubectl credential plugin.
