//! Decisions at random, from a seed.

use core::str::FromStr;
use core::time::Duration;

use super::{OrderPolicy, Position, Slice, mix};

/// How a seeded order shakes a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Slices of random lengths, and half of the arrivals overtake others.
    Random,
    /// Random priorities, strictly obeyed; each task is lowered below all others `depth - 1` times, at random slices. In
    /// the manner of "probabilistic concurrency testing" (Burckhardt, Kothari, Musuvathi, Nagarakatte, ASPLOS 2010):
    /// bugs that need only few turns in the right order are likely to be found.
    Pct {
        /// How many turns the bug that is looked for depends on, 1 or more.
        depth: u32,
    },
    /// Everybody in turn, with slices of one length that the seed gives.
    RoundRobin,
}

impl FromStr for Schedule {
    type Err = base::Errno;

    /// Reads `random`, `pct:D` or `rr`; `EINVAL` for anything else.
    fn from_str(text: &str) -> base::Result<Schedule> {
        match text.split_once(':') {
            None if text == "random" => Ok(Schedule::Random),
            None if text == "rr" => Ok(Schedule::RoundRobin),
            Some(("pct", depth)) => match depth.parse() {
                Ok(depth) if (1..=MAX_DEPTH).contains(&depth) => Ok(Schedule::Pct { depth }),
                _ => Err(base::Errno::EINVAL),
            },
            _ => Err(base::Errno::EINVAL),
        }
    }
}

/// Largest depth of [`Schedule::Pct`].
const MAX_DEPTH: u32 = 16;
/// The slices of a task among which it is lowered, as a power of two.
const LOWERED_WITHIN: u32 = 10;
/// One of so many places is taken by a task that overtakes.
const PLACES: u64 = 4;
/// The shortest slice of a round robin, and how many times that the longest may be, as powers of two: 1 us to 1 ms.
const TURN: (u32, u32) = (10, 10);

/// Permutes and preempts at random from a seed.
pub struct SeededOrder {
    seed: u64,
    schedule: Schedule,
}

impl SeededOrder {
    /// The policy of this seed.
    #[must_use]
    pub const fn new(seed: u64, schedule: Schedule) -> Self {
        SeededOrder { seed, schedule }
    }

    /// The random number of a slice, for one of several purposes.
    fn draw(&self, slice: Slice, purpose: u64) -> u64 {
        mix(self.seed ^ mix(slice.key ^ slice.nth.rotate_left(32)) ^ purpose.rotate_left(56))
    }

    /// The slice of a task at whose end it is lowered for the `i`th time.
    fn lowered_at(&self, key: u64, i: u32) -> u64 {
        let random = self.draw(Slice { key, nth: u64::from(i) }, 3);
        logarithmic(random, LOWERED_WITHIN)
    }

    /// What a task is worth in line for `slice`, under [`Schedule::Pct`]; more is better, and no two are alike.
    fn priority(&self, slice: Slice, depth: u32) -> (u32, u64) {
        let lowered = (1..depth).filter(|&i| self.lowered_at(slice.key, i) < slice.nth).count();
        // The first lowering of any task is above the second of any other.
        (depth - lowered as u32, self.draw(Slice { key: slice.key, nth: 0 }, 4))
    }
}

impl OrderPolicy for SeededOrder {
    fn place(&self, slice: Slice, position: Position<'_>) -> Option<usize> {
        match self.schedule {
            Schedule::Random => {
                let random = self.draw(slice, 1);
                (random & 1 == 0).then_some((random >> 1) as usize % PLACES as usize)
            }
            Schedule::Pct { depth } => {
                let own = self.priority(slice, depth);
                position(&|other| self.priority(other, depth) < own)
            }
            Schedule::RoundRobin => None,
        }
    }

    fn length(&self, slice: Slice, default: Duration) -> Option<Duration> {
        let random = self.draw(slice, 2);
        let nanoseconds = match self.schedule {
            Schedule::Random if random & 1 == 0 => logarithmic(random >> 1, 22),
            Schedule::Random => return None,
            Schedule::Pct { depth } => {
                let is_lowered = (1..depth).any(|i| self.lowered_at(slice.key, i) == slice.nth);
                is_lowered.then(|| logarithmic(random, 22))?
            }
            Schedule::RoundRobin => {
                let random = mix(self.seed ^ 5);
                (1 << TURN.0) + logarithmic(random, TURN.0 + TURN.1)
            }
        };
        Some(Duration::from_nanos(nanoseconds)).filter(|length| *length < default)
    }

    fn outranks(&self, woken: Slice, running: Slice) -> bool {
        match self.schedule {
            Schedule::Pct { depth } => self.priority(woken, depth) > self.priority(running, depth),
            Schedule::Random | Schedule::RoundRobin => false,
        }
    }
}

/// A number below 2^`bits`, each size of number as likely as any other: races hide in slices of a few instructions
/// as well as in long ones.
fn logarithmic(random: u64, bits: u32) -> u64 {
    let size = (random as u32 % bits) + 1;
    (random >> 32) & ((1 << size) - 1)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MOST: Duration = Duration::from_millis(4);

    fn slices(key: u64) -> impl Iterator<Item = Slice> {
        (0..500).map(move |nth| Slice { key, nth })
    }

    fn nobody(_: &dyn Fn(Slice) -> bool) -> Option<usize> {
        None
    }

    #[test]
    fn one_seed_decides_alike_and_another_otherwise() {
        for schedule in ["random", "pct:3", "rr"].map(|name| name.parse().expect("a schedule")) {
            let decisions = |seed| {
                let order = SeededOrder::new(seed, schedule);
                let decide = |slice| (order.place(slice, &nobody), order.length(slice, MOST));
                slices(7).map(decide).collect::<alloc::vec::Vec<_>>()
            };
            assert_eq!(decisions(5), decisions(5));
            assert_ne!(decisions(5), decisions(6), "{schedule:?}");
        }
    }

    #[test]
    fn short_slices_are_as_likely_as_long_ones() {
        let order = SeededOrder::new(9, Schedule::Random);
        let lengths: alloc::vec::Vec<_> = slices(3).filter_map(|slice| order.length(slice, MOST)).collect();
        assert!(lengths.iter().all(|length| *length < MOST));
        let short = lengths.iter().filter(|length| length.as_nanos() < 1000).count();
        assert!((lengths.len() / 4..lengths.len() * 3 / 4).contains(&short), "{short} of {}", lengths.len());
    }

    #[test]
    fn pct_obeys_its_priorities_and_lowers_them() {
        const DEPTH: u32 = 3;
        let order = SeededOrder::new(1, Schedule::Pct { depth: DEPTH });
        let first = |key| Slice { key, nth: 0 };
        let (high, low) = if order.outranks(first(1), first(2)) { (1, 2) } else { (2, 1) };
        let before = |woken: u64, waiting: u64| {
            order.place(first(woken), &|wanted| wanted(first(waiting)).then_some(0))
        };
        assert_eq!((before(high, low), before(low, high)), (Some(0), None));
        let cuts = slices(high).filter(|slice| order.length(*slice, MOST).is_some()).count();
        assert!(cuts < DEPTH as usize);
        assert!(order.outranks(first(low), Slice { key: high, nth: 1 << LOWERED_WITHIN }));
    }

    #[test]
    fn schedules_have_names() {
        assert_eq!("pct:3".parse(), Ok(Schedule::Pct { depth: 3 }));
        for text in ["", "pct", "pct:0", "pct:17", "pct:x", "rr:1", "Random"] {
            assert!(text.parse::<Schedule>().is_err(), "{text}");
        }
    }
}
