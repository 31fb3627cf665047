//! SipHash-1-3 of the bytes of a name, under a secret of this boot.
//!
//! Source: J.-P. Aumasson and D. J. Bernstein, *SipHash: a fast short-input PRF* (2012), with one round for each word and
//! three at the end, as hash tables elsewhere use it.

use crate::machine::machine;
use crate::sync::Once;

/// The secret: the machine's first use of a name as a key draws it, so a seeded run has always the same one.
static SECRET: Once<[u64; 2]> = Once::new();

/// The hash of `bytes`.
///
/// # Panics
///
/// Before a machine is installed.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    sip13(*SECRET.call_once(|| [machine().entropy(), machine().entropy()]), bytes)
}

struct State {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl State {
    #[inline(always)]
    fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.rotate_left(32);
    }

    #[inline(always)]
    fn word(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.v0 ^= word;
    }
}

fn sip13([k0, k1]: [u64; 2], bytes: &[u8]) -> u64 {
    let mut state = State {
        v0: k0 ^ 0x736f_6d65_7073_6575,
        v1: k1 ^ 0x646f_7261_6e64_6f6d,
        v2: k0 ^ 0x6c79_6765_6e65_7261,
        v3: k1 ^ 0x7465_6462_7974_6573,
    };
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state.word(u64::from_le_bytes(*word));
    }
    let rest = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    state.word((bytes.len() as u64) << 56 | rest);
    state.v2 ^= 0xff;
    state.round();
    state.round();
    state.round();
    state.v0 ^ state.v1 ^ state.v2 ^ state.v3
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{DefaultHasher, Hasher};

    #[test]
    fn the_values_are_those_of_rust_s_library() {
        let bytes: std::vec::Vec<u8> = (0..64).collect();
        for length in 0..=bytes.len() {
            let mut hasher = DefaultHasher::new();
            hasher.write(&bytes[..length]);
            assert_eq!(sip13([0, 0], &bytes[..length]), hasher.finish(), "{length} bytes");
        }
    }

    #[test]
    fn another_secret_is_another_function() {
        assert_ne!(sip13([1, 0], b"name"), sip13([0, 0], b"name"));
        assert_ne!(sip13([0, 1], b"name"), sip13([0, 0], b"name"));
        crate::host::install();
        assert_eq!(hash(b"name"), hash(b"name"));
    }
}
