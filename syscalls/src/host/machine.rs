//! A machine with one CPU, the host's clock and one arena of frames.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base::Result;
use base::frame::Frames;
use base::host::HostFrames;
use base::machine::{Machine, Outcome};
use base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use base::time::Instant;

use super::fpu::HostFpu;
use super::script;
use super::table::HostPageTable;
use crate::machine::{FpuState, PageTable, Trap, UserContext, UserMachine, Vdso};

/// Frames of the double: 256 MiB, of which the host backs what is touched.
const FRAMES: usize = 65_536;

/// The double.
pub struct HostMachine {
    frames: HostFrames,
    started: std::time::Instant,
    entropy: AtomicU64,
}

fn host() -> &'static HostMachine {
    static HOST: OnceLock<HostMachine> = OnceLock::new();
    HOST.get_or_init(|| HostMachine {
        frames: HostFrames::new(FRAMES),
        started: std::time::Instant::now(),
        entropy: AtomicU64::new(0x9e37_79b9_7f4a_7c15),
    })
}

/// Installs the double as the machine, once; every test that needs one calls it first.
pub fn install() {
    base::machine::install(host());
    crate::machine::install(host());
}

/// The double's frames, for limits and leak counts.
#[must_use]
pub fn frames() -> &'static HostFrames {
    &host().frames
}

/// Runs a future to its end on this thread, which sleeps while the future waits for other threads.
///
/// # Panics
///
/// When it has waited for a minute: the test hangs.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread, AtomicBool);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.1.store(true, Ordering::SeqCst);
            self.0.unpark();
        }
    }
    let woken = Arc::new(Unpark(std::thread::current(), AtomicBool::new(false)));
    let waker = Waker::from(woken.clone());
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let since = std::time::Instant::now();
        while !woken.1.swap(false, Ordering::SeqCst) {
            assert!(since.elapsed() < Duration::from_secs(60), "the future waits for nobody");
            std::thread::park_timeout(Duration::from_secs(1));
        }
    }
}

impl Machine for HostMachine {
    fn now(&self) -> Instant {
        #[cfg(shuttle)]
        return base::host::model_clock::now();
        #[cfg(not(shuttle))]
        return Instant::BOOT + self.started.elapsed();
    }

    fn wall_clock_at_boot(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.saturating_sub(self.started.elapsed())
    }

    fn cpu_id(&self) -> usize {
        0
    }

    fn cpu_count(&self) -> usize {
        1
    }

    fn kick(&self, _cpu: usize) {}

    fn wait_for_interrupt(&self, work_pending: &dyn Fn() -> bool) {
        if !work_pending() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn interrupt_window(&self) {}

    fn arm_timer(&self, _deadline: Option<Instant>) {}

    fn entropy(&self) -> u64 {
        // splitmix64 over a counter: the same numbers in every run.
        let mut x = self.entropy.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn frames(&self) -> &dyn Frames {
        &self.frames
    }

    fn power_off(&self, outcome: Outcome<'_>) -> ! {
        panic!("the double was turned off: {outcome:?}");
    }
}

impl UserMachine for HostMachine {
    fn run_user(&self, context: &mut UserContext, space: &Arc<dyn PageTable>) -> Trap {
        script::run(&mut context.registers, space.as_ref())
    }

    fn save_fpu(&self, _context: &mut UserContext) {}

    fn discard_fpu(&self, _context: &mut UserContext) {}

    fn new_fpu(&self) -> Result<Box<dyn FpuState>> {
        Ok(Box::new(HostFpu::new()))
    }

    fn new_page_table(&self) -> Result<Arc<dyn PageTable>> {
        Ok(Arc::new(HostPageTable::new()))
    }

    fn hwcap(&self) -> (u64, u64) {
        (0, 0)
    }

    fn vdso(&self) -> Option<&'static Vdso> {
        None
    }
}
