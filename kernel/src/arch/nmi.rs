//! NMIs: "say where you are", from a CPU that panics or from the runner when the time is up, and "hold still" while code
//! is patched.
//!
//! One CPU leads and asks the others one after the other, so their lines don't mix. An NMI that nobody
//! asked for comes from outside and makes its CPU the leader of a dump; the runner's NMI reaches all CPUs
//! at once, and those that come second do nothing until they are asked.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base::sync::MAX_CPUS;

use super::cpu_area::CpuArea;

use super::trap::frame::TrapFrame;
use super::{backtrace, emergency, fatal, points};
use crate::drivers::local_apic;

/// The runner reads up to this line.
const LAST_LINE: &str = "kairos-dump: end";
/// Looks at a flag before a CPU counts as deaf: a second or so under TCG.
const PATIENCE: usize = 100_000_000;

static DUMPED: AtomicBool = AtomicBool::new(false);
static DUMP_HOOK: AtomicUsize = AtomicUsize::new(0);

/// Sets what prints the tasks in a dump. It runs in NMI context: it may try locks, never wait for one.
pub fn set_dump_hook(hook: fn()) {
    DUMP_HOOK.store(hook as usize, Ordering::Release);
}

pub(super) fn handle(frame: &TrapFrame) {
    if points::hold_if_asked() {
        return;
    }
    let area = CpuArea::current();
    if area.asked.swap(false, Ordering::AcqRel) {
        report(area, frame);
        area.reported.store(true, Ordering::Release);
        while fatal::in_progress() {
            x86_64::instructions::hlt();
        }
        return;
    }
    if fatal::in_progress() || DUMPED.swap(true, Ordering::AcqRel) {
        return;
    }
    emergency::line(format_args!("kairos-dump: begin"));
    report(area, frame);
    ask_others(area);
    let hook = DUMP_HOOK.load(Ordering::Acquire);
    if hook != 0 {
        // SAFETY: only `set_dump_hook` stores here, and what it stores is a `fn()`.
        let hook = unsafe { core::mem::transmute::<usize, fn()>(hook) };
        hook();
    }
    emergency::line(format_args!("{LAST_LINE}"));
}

fn report(area: &CpuArea, frame: &TrapFrame) {
    let place = if frame.from_user() { "in user mode" } else { "in the kernel" };
    emergency::line(format_args!("cpu {}: {place}", area.index()));
    backtrace::print_frame(frame);
}

/// Has every other CPU print where it is; in a panic they stop there.
pub(super) fn ask_others(this: &CpuArea) {
    for other in (0..MAX_CPUS).filter_map(CpuArea::of) {
        if other.index() == this.index() || !other.is_online() {
            continue;
        }
        other.reported.store(false, Ordering::Release);
        other.asked.store(true, Ordering::Release);
        local_apic::send_nmi(other.index());
        if !(0..PATIENCE).any(|_| other.reported.load(Ordering::Acquire)) {
            emergency::line(format_args!("cpu {}: does not answer", other.index()));
        }
    }
}
