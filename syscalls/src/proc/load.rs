//! The load average: how many tasks ran or wanted to, over the last one, five and fifteen minutes.
//! Source: `getloadavg(3)`.
//!
//! As on Linux, a sample every five seconds pulls three exponentially fading averages, kept as fixed-point
//! numbers with eleven binary digits.

use core::time::Duration;

use base::machine;
use base::sync::atomic::{AtomicU64, Ordering};
use executor::{Executor, TaskOptions, sleep_until};

/// Binary digits behind the point.
const SHIFT: u32 = 11;
/// 1.0.
pub const ONE: u64 = 1 << SHIFT;
/// Between two samples.
const PERIOD: Duration = Duration::from_secs(5);
/// What is left of an average after one period: 1/e^(5 s / 60 s), and so for five and fifteen minutes.
const FADING: [u64; 3] = [1884, 2014, 2037];

static AVERAGES: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

/// The three averages, in units of [`ONE`].
#[must_use]
pub fn averages() -> [u64; 3] {
    [0, 1, 2].map(|index| AVERAGES.get(index).map_or(0, |average| average.load(Ordering::Relaxed)))
}

/// An average one period later, with `active` (in units of [`ONE`]) at its end.
fn step(average: u64, fading: u64, active: u64) -> u64 {
    let sum = average * fading + active * (ONE - fading);
    // Rounded towards the sample, so that the average reaches it.
    (sum + if active >= average { ONE - 1 } else { 0 }) / ONE
}

/// Takes a sample of `runnable` tasks.
fn sample(runnable: u64) {
    for (average, fading) in AVERAGES.iter().zip(FADING) {
        let new = step(average.load(Ordering::Relaxed), fading, runnable << SHIFT);
        average.store(new, Ordering::Relaxed);
    }
}

/// Starts the sampler.
pub(super) fn start(executor: &'static Executor) {
    executor.spawn(TaskOptions::new("load").daemon(), async move {
        let mut next = machine::now();
        loop {
            next = next + PERIOD;
            sleep_until(next).await;
            // The sampler itself runs now, and does not count.
            sample(executor.runnable_count().saturating_sub(1) as u64);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_comes_to_what_it_samples_and_fades_to_nothing() {
        let mut average = 0;
        for _ in 0..12 {
            average = step(average, FADING[0], 2 * ONE);
        }
        // One minute of load 2: 2 * (1 - 1/e) = 1.26.
        assert!((2550..2620).contains(&average), "{average}");
        for _ in 0..1000 {
            average = step(average, FADING[0], 2 * ONE);
        }
        assert_eq!(average, 2 * ONE);
        for _ in 0..1000 {
            average = step(average, FADING[0], 0);
        }
        assert_eq!(average, 0);
    }
}
