//! Whether a hit fires: a pure function, so that a run can be replayed.

use super::Point;
use crate::hash::mix;

/// The probability, in parts per billion, of what is certain.
pub(super) const CERTAIN: u32 = 1_000_000_000;

/// Whether the `nth` hit (from 1) of `point` in the task with this stable key fires, under `seed`, with a
/// probability in parts per billion.
///
/// With one more part it fires wherever it fired before: a larger probability only adds faults.
pub(super) fn fires(seed: u64, point: Point, key: u64, nth: u64, probability: u32) -> bool {
    let place = mix(seed ^ mix(key)) ^ mix(point as u64 + 1).rotate_left(32);
    let draw = mix(place.wrapping_add(nth.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    // The high half as a fraction of one.
    let billionths = ((draw >> 32) * u64::from(CERTAIN)) >> 32;
    billionths < u64::from(probability)
}
