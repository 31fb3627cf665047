//! Patching the sites of fault points and trace points: see [`base::points`].
//!
//! The other CPUs hold still meanwhile, in an NMI: one that runs with interrupts off holds still as well, and the
//! return from it makes the processor read its instructions anew.

use core::arch::x86_64::__cpuid;
use core::sync::atomic::{AtomicUsize, Ordering};

use base::points::Key;
use base::sync::MAX_CPUS;
use spin::Mutex;
use x86_64::instructions::interrupts;
use x86_64::registers::control::{Cr0, Cr0Flags};

use super::cpu_area::CpuArea;
use crate::drivers::local_apic;

/// Held by the CPU that patches. One that waits for it can hold still.
static PATCHING: Mutex<()> = Mutex::new(());
/// CPUs that hold still.
static HOLDING: AtomicUsize = AtomicUsize::new(0);

/// What `base::points` leaves at each site.
#[repr(C)]
struct Site {
    /// The no-op.
    at: *mut [u8; 5],
    /// Where to jump instead.
    target: u64,
    /// The keys that it belongs to.
    keys: u64,
}

fn sites() -> &'static [Site] {
    unsafe extern "C" {
        static point_sites_start: Site;
        static point_sites_end: Site;
    }
    let (start, end) = (&raw const point_sites_start, &raw const point_sites_end);
    // SAFETY: the linker puts whole `.point_sites` entries, and nothing else, between the two symbols.
    unsafe { core::slice::from_raw_parts(start, end.offset_from_unsigned(start)) }
}

/// Makes every site of `key` a jump.
pub(super) fn arm(key: Key) {
    interrupts::without_interrupts(|| {
        let _patching = PATCHING.lock();
        let others = || (0..MAX_CPUS).filter_map(CpuArea::of).filter(|cpu| is_other(cpu));
        let asked = others().map(ask_to_hold).count();
        wait_until_holding(asked);
        // SAFETY: the other CPUs hold still, and nothing interrupts this one.
        unsafe { patch(key) };
        others().for_each(|cpu| cpu.holds.store(false, Ordering::Release));
        wait_until_holding(0);
    });
}

fn is_other(cpu: &CpuArea) -> bool {
    cpu.is_online() && cpu.index() != CpuArea::current().index()
}

fn ask_to_hold(cpu: &CpuArea) {
    cpu.holds.store(true, Ordering::Release);
    local_apic::send_nmi(cpu.index());
}

fn wait_until_holding(count: usize) {
    while HOLDING.load(Ordering::Acquire) != count {
        core::hint::spin_loop();
    }
}

/// # Safety
///
/// No other CPU runs kernel code, and this one is not interrupted.
unsafe fn patch(key: Key) {
    let cr0 = Cr0::read();
    // SAFETY: what is written to below are the sites alone.
    unsafe { Cr0::write(cr0 - Cr0Flags::WRITE_PROTECT) };
    for site in sites().iter().filter(|site| site.keys & key as u64 != 0) {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "both lie in the image, which is smaller than 2 GiB"
        )]
        let offset = site.target.wrapping_sub(site.at.addr() as u64 + 5) as u32;
        let [a, b, c, d] = offset.to_le_bytes();
        // SAFETY: the entry names five bytes of code, a single instruction, which nobody executes now.
        unsafe { site.at.write_volatile([0xe9, a, b, c, d]) };
    }
    // SAFETY: the value that was there.
    unsafe { Cr0::write(cr0) };
    // Serializes: what was fetched before is not executed.
    __cpuid(0);
}

/// In an NMI: holds still if that is what it is for; false if not.
pub(super) fn hold_if_asked() -> bool {
    let cpu = CpuArea::current();
    if !cpu.holds.load(Ordering::Acquire) {
        return false;
    }
    HOLDING.fetch_add(1, Ordering::AcqRel);
    while cpu.holds.load(Ordering::Acquire) {
        core::hint::spin_loop();
    }
    HOLDING.fetch_sub(1, Ordering::AcqRel);
    true
}
