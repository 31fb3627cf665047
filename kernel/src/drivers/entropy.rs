//! Random numbers: the processor's own, or those of the boot seed when the run is to be repeated.

use base::current::{self, TaskLocal};
use base::sync::{LockClass, SpinLock};
use conquer_once::spin::OnceCell;
use x86_64::instructions::random::RdRand;

use super::generator::Generator;
use super::{clock, tsc};

/// Where numbers come from.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// RDRAND.
    Processor(RdRand),
    /// The seed of the command line. What a task draws depends on its stable key and on how often it has drawn, so
    /// that it is the same whatever others do.
    Seed(u64),
    /// A generator stirred by the time of each call: the processor has no RDRAND. Guessable.
    Time,
}

static SOURCE: OnceCell<Source> = OnceCell::uninit();
static GENERATOR: SpinLock<Generator> = SpinLock::new(LockClass::Device, Generator::new(0));
/// RDRAND may fail now and then; Intel says that ten times in a row means a fault.
const TRIES: usize = 10;

/// Chooses the source; with a `seed`, that.
pub(super) fn init(seed: Option<u64>) -> Source {
    let source = match (seed, RdRand::new()) {
        (Some(seed), _) => Source::Seed(seed),
        (None, Some(processor)) => Source::Processor(processor),
        (None, None) => Source::Time,
    };
    *GENERATOR.lock() = Generator::new(seed.unwrap_or_else(|| {
        let wall = clock::wall_clock_at_boot().as_nanos() as u64;
        tsc::ticks() ^ wall.rotate_left(32)
    }));
    SOURCE.init_once(|| source);
    source
}

/// 64 unpredictable bits, or the next ones of the boot seed.
#[must_use]
pub fn next() -> u64 {
    let source = SOURCE.get().copied().unwrap_or(Source::Time);
    if let Source::Processor(processor) = source
        && let Some(number) = (0..TRIES).find_map(|_| processor.get_u64())
    {
        return number;
    }
    if let Source::Seed(seed) = source
        && let Some(number) = current::with(|task| drawn(seed, task))
    {
        return number;
    }
    let mut generator = GENERATOR.lock();
    if !matches!(source, Source::Seed(_)) {
        generator.stir(tsc::ticks());
    }
    generator.number()
}

/// The next number of `task`.
fn drawn(seed: u64, task: &TaskLocal) -> u64 {
    let place = Generator::new(task.key()).number() ^ u64::from(task.count_draw());
    Generator::new(seed ^ Generator::new(place).number()).number()
}
