//! The hash of a name, under a secret of this boot: a program that wants many names to fall into one bucket would have to
//! know it.
//!
//! Two words of the name are mixed at a time, by a product of 128 bits whose halves are folded together. A name of up to
//! 16 bytes, as most are, takes two products.
//!
//! Source: Wang Yi's wyhash (2019), with secrets that are drawn and not chosen.

use crate::machine::machine;
use crate::sync::Once;

/// The machine's first use of a name as a key draws it, so a seeded run has always the same one.
static SECRET: Once<[u64; 2]> = Once::new();

/// The hash of `bytes`.
///
/// # Panics
///
/// Before a machine is installed.
#[inline]
pub(super) fn hash(bytes: &[u8]) -> u64 {
    // Odd, so that no factor is ever 0 for all names.
    keyed(*SECRET.call_once(|| [machine().entropy() | 1, machine().entropy() | 1]), bytes)
}

/// Both halves of the product.
#[inline(always)]
fn fold(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    product as u64 ^ (product >> 64) as u64
}

#[inline(always)]
fn keyed([first, second]: [u64; 2], bytes: &[u8]) -> u64 {
    let mut state = first ^ bytes.len() as u64;
    let mut rest = bytes;
    while let Some((block, more)) = rest.split_first_chunk::<16>()
        && !more.is_empty()
    {
        let [low, high] = halves(block);
        state = fold(low ^ second, high ^ state);
        rest = more;
    }
    let [low, high] = last(rest);
    fold(second ^ bytes.len() as u64, fold(low ^ second, high ^ state))
}

#[inline(always)]
fn halves(block: &[u8; 16]) -> [u64; 2] {
    let (words, _) = block.as_chunks::<8>();
    core::array::from_fn(|index| words.get(index).map_or(0, |word| u64::from_le_bytes(*word)))
}

/// Up to 16 bytes as two words. They overlap, and no two texts of one length have the same.
#[inline(always)]
fn last(bytes: &[u8]) -> [u64; 2] {
    if let (Some(low), Some(high)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        return [u64::from_le_bytes(*low), u64::from_le_bytes(*high)];
    }
    if let (Some(low), Some(high)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        return [u32::from_le_bytes(*low).into(), u32::from_le_bytes(*high).into()];
    }
    match *bytes {
        [one, two, three] => [u64::from(one) | u64::from(two) << 8 | u64::from(three) << 16, 0],
        [one, two] => [u64::from(one) | u64::from(two) << 8, 0],
        [one] => [one.into(), 0],
        _ => [0, 0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    #[test]
    fn each_byte_and_the_length_matter() {
        let secret = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3211];
        for length in 0..=70 {
            let text: Vec<u8> = (0..length).map(|byte| byte as u8 + 1).collect();
            let hash = keyed(secret, &text);
            for at in 0..length {
                let mut other = text.clone();
                other[at] ^= 0x80;
                assert_ne!(keyed(secret, &other), hash, "byte {at} of {length}");
            }
            assert_ne!(keyed(secret, &[text.as_slice(), &[0]].concat()), hash, "{length} bytes and a zero");
        }
    }

    #[test]
    fn similar_names_spread() {
        crate::host::install();
        for _ in 0..16 {
            let secret = [machine().entropy() | 1, machine().entropy() | 1];
            let hashes = (0..4096).map(|number| keyed(secret, std::format!("file{number}").as_bytes()));
            // The low bits choose the bucket. 4096 balls leave about 1 - 1/e of 4096 boxes filled.
            let buckets: BTreeSet<u64> = hashes.map(|hash| hash % 4096).collect();
            assert!(buckets.len() > 2400, "{secret:x?}: {} buckets", buckets.len());
        }
    }

    #[test]
    fn another_secret_is_another_function() {
        assert_ne!(keyed([1, 3], b"name"), keyed([1, 5], b"name"));
        assert_ne!(keyed([1, 3], b"name"), keyed([7, 3], b"name"));
        crate::host::install();
        assert_eq!(hash(b"name"), hash(b"name"));
    }
}
