//! The machine as the floors above see it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::AtomicPtr;
use core::time::Duration;

use base::Result;
use base::frame::Frames;
use base::machine::{Machine, Outcome};
use base::memory::BoxFuture;
use base::points::Key;
use base::time::Instant;
use syscalls::machine::{FpuState, PageTable, Trap, UserContext, UserMachine, Vdso};
use x86_64::instructions::interrupts;

use super::cpu_area::{self, CpuArea};
use super::features::Features;
use super::fpu::FpuArea;
use super::trap::interrupts::{BELL, total as interrupts_taken};
use super::{points, power, user, vdso};
use crate::drivers::{clock, entropy, local_apic};
use crate::memory::frames::KernelFrames;
use crate::memory::reaper;
use crate::memory::user::UserSpace;

/// A PC. One that is `ORDERED` tells the executor's order policy of each entry to user mode and each return.
#[derive(Debug)]
pub struct Pc<const ORDERED: bool>;

static PC: Pc<false> = Pc;
static ORDERED_PC: Pc<true> = Pc;

/// Installs the machine for the floors above; with `ordered`, for an executor that has an order policy.
pub fn install(ordered: bool) {
    base::machine::install(&PC);
    syscalls::machine::install(if ordered { &ORDERED_PC } else { &PC });
}

/// What `base::machine::cpu_id` links to: the trait's answer without the call through it.
// SAFETY: nothing else in the program has this name.
#[unsafe(no_mangle)]
extern "Rust" fn kairos_cpu_id() -> usize {
    CpuArea::current().index()
}

/// What `base::machine::now` links to.
// SAFETY: nothing else in the program has this name.
#[unsafe(no_mangle)]
extern "Rust" fn kairos_now() -> Instant {
    clock::now()
}

/// Where the executor keeps which of its CPUs this one is.
// SAFETY: nothing else in the program has this name.
#[unsafe(no_mangle)]
extern "Rust" fn kairos_executor_word() -> &'static AtomicPtr<()> {
    &CpuArea::current().executor_word
}

impl Machine for Pc<false> {
    fn now(&self) -> Instant {
        clock::now()
    }

    fn wall_clock_at_boot(&self) -> Duration {
        clock::wall_clock_at_boot()
    }

    #[inline]
    fn cpu_id(&self) -> usize {
        CpuArea::current().index()
    }

    fn cpu_count(&self) -> usize {
        cpu_area::online()
    }

    fn arm_points(&self, key: Key) {
        points::arm(key);
    }

    fn kick(&self, cpu: usize) {
        local_apic::send(cpu, BELL);
    }

    fn wait_for_interrupt(&self, work_pending: &dyn Fn() -> bool) {
        if !work_pending() {
            // `sti` takes effect after the instruction that follows it, so no interrupt is lost before `hlt`.
            interrupts::enable_and_hlt();
            interrupts::disable();
        }
    }

    fn interrupt_window(&self) {
        interrupts::enable();
        x86_64::instructions::nop();
        interrupts::disable();
    }

    fn arm_timer(&self, deadline: Option<Instant>) {
        clock::arm_timer(deadline);
    }

    fn entropy(&self) -> u64 {
        entropy::next()
    }

    fn frames(&self) -> &dyn Frames {
        &KernelFrames
    }

    fn power_off(&self, outcome: Outcome<'_>) -> ! {
        power::off(outcome)
    }
}

impl<const ORDERED: bool> UserMachine for Pc<ORDERED> {
    fn run_user(&self, context: &mut UserContext, space: &Arc<dyn PageTable>) -> Trap {
        user_space(space).load();
        if !ORDERED {
            return user::run(CpuArea::current(), context);
        }
        if executor::enter_user() {
            return Trap::Interrupt;
        }
        let trap = user::run(CpuArea::current(), context);
        executor::leave_user();
        trap
    }

    fn save_fpu(&self, context: &mut UserContext) {
        FpuArea::of(context).save();
    }

    fn discard_fpu(&self, context: &mut UserContext) {
        FpuArea::of(context).discard();
    }

    fn new_fpu(&self) -> Result<Box<dyn FpuState>> {
        Ok(FpuArea::create()?)
    }

    fn new_page_table(&self) -> Result<Arc<dyn PageTable>> {
        Ok(UserSpace::create()?)
    }

    fn interrupts(&self) -> u64 {
        interrupts_taken()
    }

    fn settle(&self) -> BoxFuture<'static, ()> {
        Box::pin(async {
            while reaper::step() {
                executor::yield_point().await;
            }
        })
    }

    fn hwcap(&self) -> (u64, u64) {
        // AT_HWCAP2 would say that programs may use FSGSBASE, which is off.
        (u64::from(Features::get().hwcap), 0)
    }

    fn wall_clock_moved(&self, offset: Duration) {
        vdso::set_clock(clock::relation(), offset);
    }

    fn vdso(&self) -> Option<&'static Vdso> {
        vdso::get()
    }
}

#[inline]
fn user_space(space: &Arc<dyn PageTable>) -> &UserSpace {
    debug_assert!(space.as_any().is::<UserSpace>());
    let space: *const dyn PageTable = &raw const **space;
    // SAFETY: there is one machine per program, and all this machine ever makes are `UserSpace`s.
    unsafe { &*space.cast::<UserSpace>() }
}
