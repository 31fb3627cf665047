//! The machine of the host: threads for CPUs, an arena for frames.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::HostFrames;
use super::simulation;
use crate::frame::Frames;
use crate::machine::{Machine, Outcome};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::time::Instant;

/// Frames of the double: 16 MiB, of which the host backs what is touched.
const FRAMES: usize = 4096;

/// The double.
struct HostMachine {
    frames: HostFrames,
    entropy: AtomicU64,
}

/// Installs the double as the machine, unless one is installed already.
pub fn install() {
    static HOST: OnceLock<HostMachine> = OnceLock::new();
    crate::machine::install(HOST.get_or_init(|| HostMachine {
        frames: HostFrames::new(FRAMES),
        entropy: AtomicU64::new(0x9e37_79b9_7f4a_7c15),
    }));
}

impl Machine for HostMachine {
    fn now(&self) -> Instant {
        simulation::now()
    }

    fn wall_clock_at_boot(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.saturating_sub(Duration::from_nanos(self.now().as_nanos()))
    }

    fn cpu_id(&self) -> usize {
        simulation::cpu_id()
    }

    fn cpu_count(&self) -> usize {
        simulation::cpu_count()
    }

    fn kick(&self, cpu: usize) {
        simulation::kick(cpu);
    }

    fn wait_for_interrupt(&self, work_pending: &dyn Fn() -> bool) {
        simulation::wait_for_interrupt(work_pending);
    }

    fn interrupt_window(&self) {
        simulation::interrupt_window();
    }

    fn arm_timer(&self, deadline: Option<Instant>) {
        simulation::arm_timer(deadline);
    }

    fn entropy(&self) -> u64 {
        // A linear congruential step, its halves swapped: the same numbers in every run.
        let step = |state: u64| {
            Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
        };
        let state = self.entropy.try_update(Ordering::Relaxed, Ordering::Relaxed, step);
        state.unwrap_or_else(|state| state).rotate_left(32)
    }

    fn frames(&self) -> &dyn Frames {
        &self.frames
    }

    fn power_off(&self, outcome: Outcome<'_>) -> ! {
        panic!("the machine was turned off: {outcome:?}");
    }
}
