//! Keys, and how they are mixed.

use alloc::sync::Arc;

/// What can be a key. Equal keys have equal hashes, also when one is borrowed from the other.
pub trait HashKey: Eq {
    /// A number of which each bit depends on each bit of the key.
    fn hash(&self) -> u64;
}

/// A bijection of 64 bits in which every input bit moves every output bit: the final step of MurmurHash3.
#[must_use]
pub const fn mix(mut bits: u64) -> u64 {
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ bits >> 33
}

/// FNV-1a of some bytes, in 64 bits.
#[must_use]
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

impl HashKey for u32 {
    fn hash(&self) -> u64 {
        mix((*self).into())
    }
}

impl HashKey for u64 {
    fn hash(&self) -> u64 {
        mix(*self)
    }
}

impl HashKey for [u8] {
    fn hash(&self) -> u64 {
        mix(fnv1a(self))
    }
}

impl HashKey for Arc<[u8]> {
    fn hash(&self) -> u64 {
        HashKey::hash(&**self)
    }
}
