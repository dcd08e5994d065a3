//! Measures issuance in process.

fn main() {}
