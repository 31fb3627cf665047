//! `struct rusage` and `struct tms`, as programs get them. Source: `getrusage(2)`, `times(2)`.

use crate::process::usage::Used;

/// Bytes of a `struct rusage`.
pub const RUSAGE_BYTES: usize = 144;

/// Nanoseconds of a clock tick (`CLK_TCK` is 100).
pub const TICK_NANOS: u64 = 10_000_000;

/// The `struct rusage`.
#[must_use]
pub fn encode(used: &Used) -> [u8; RUSAGE_BYTES] {
    let timeval = |nanoseconds: u64| [nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000 / 1000];
    let [user_seconds, user_micros] = timeval(used.user);
    let [system_seconds, system_micros] = timeval(used.system);
    let mut words = [0u64; RUSAGE_BYTES / 8];
    words[..5].copy_from_slice(&[
        user_seconds,
        user_micros,
        system_seconds,
        system_micros,
        used.max_resident / 1024,
    ]);
    (words[8], words[9]) = (used.minor_faults, used.major_faults);
    (words[16], words[17]) = (used.voluntary, used.involuntary);
    let mut bytes = [0; RUSAGE_BYTES];
    for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// Clock ticks in `nanoseconds`.
#[must_use]
pub fn ticks(nanoseconds: u64) -> u64 {
    nanoseconds / TICK_NANOS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_where_the_abi_puts_them() {
        let used = Used {
            user: 1_500_000_000,
            system: 2_000_001_000,
            minor_faults: 3,
            involuntary: 4,
            max_resident: 5 << 10,
            ..Used::default()
        };
        let bytes = encode(&used);
        let word = |index: usize| u64::from_le_bytes(bytes[index * 8..index * 8 + 8].try_into().unwrap());
        assert_eq!([word(0), word(1), word(2), word(3), word(4)], [1, 500_000, 2, 1, 5]);
        assert_eq!((word(8), word(17)), (3, 4));
        assert_eq!(ticks(used.user), 150);
    }
}
