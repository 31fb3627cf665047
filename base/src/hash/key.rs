//! Keys, and how they are mixed.
//!
//! A number that the kernel gives out is mixed by a fixed function. A name comes from a program, which could choose many
//! that fall into one bucket; its hash depends on a secret that each boot draws anew.

use alloc::sync::Arc;

use super::secret;

/// What can be a key. Equal keys have equal hashes, also when one is borrowed from the other.
pub trait HashKey: Eq {
    /// A number of which each bit depends on each bit of the key. The same until the machine stops.
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
        secret::hash(self)
    }
}

impl HashKey for Arc<[u8]> {
    fn hash(&self) -> u64 {
        secret::hash(self)
    }
}
