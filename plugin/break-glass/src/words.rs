//! Words that two people compare by voice.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use bip39::Language;

/// The first bits of a SHA-256, eleven to a word, as words of the BIP-39 English list, which differ in their first four letters.
///
/// Six are 66 bits: nobody finds another request for the words of one that exists. Twelve, 132 bits, are for what one person
/// writes and all others take over, an invitation or a kit: nobody even finds two of them with the same words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words<const N: usize = 6>([u16; N]);

impl<const N: usize> Words<N> {
    /// The words of a hash.
    pub(crate) fn of(hash: &[u8; 32]) -> Self {
        Self(std::array::from_fn(|word| {
            (0..11).fold(0, |bits, bit| {
                let at = word * 11 + bit;
                bits << 1 | u16::from(hash[at / 8] >> (7 - at % 8) & 1)
            })
        }))
    }
}

impl<const N: usize> fmt::Display for Words<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = Language::English.word_list();
        let words = self.0.map(|word| list[usize::from(word)]);
        f.write_str(&words.join(" "))
    }
}

/// SHA-256 over parts, the first of which says what they are.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let hash = digest(&SHA256, &parts.concat());
    hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eleven_bits_are_a_word() {
        assert_eq!(
            Words::<6>::of(&[0; 32]).to_string(),
            "abandon abandon abandon abandon abandon abandon"
        );
        assert_eq!(Words::<6>::of(&[255; 32]).to_string(), "zoo zoo zoo zoo zoo zoo");
        let mut hash = [0; 32];
        // Bit 10 is the last of the first word, bit 65 the last of the sixth, bit 66 in none.
        (hash[1], hash[8]) = (0b0010_0000, 0b0110_0000);
        assert_eq!(
            Words::<6>::of(&hash).to_string(),
            "ability abandon abandon abandon abandon ability"
        );
    }
}
