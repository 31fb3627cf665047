//! Starting the other CPUs.
//!
//! One after the other: each is given its area, its stacks and the kernel's page table in [`PARAMETERS`],
//! and says that it is online before the next one's turn.

use core::arch::global_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use base::sync::MAX_CPUS;
use x86_64::registers::model_specific::EferFlags;

use super::cpu_area::{self, CpuArea};
use super::features::Features;
use super::layout::physical_to_virtual;
use super::stacks::{BLOCK_SIZE, Stack};
use crate::drivers::{clock, local_apic};
use crate::memory;

/// Physical address of the trampoline: below 1 MiB, which is never handed out.
const TRAMPOLINE: u64 = 0x8000;
/// How long a CPU may take after the second start message; the host may be busy.
const PATIENCE: Duration = Duration::from_secs(5);

#[repr(C)]
struct Parameters {
    efer: AtomicU64,
    page_table: AtomicU64,
    stack: AtomicU64,
    area: AtomicU64,
}

static PARAMETERS: Parameters = Parameters {
    efer: AtomicU64::new(0),
    page_table: AtomicU64::new(0),
    stack: AtomicU64::new(0),
    area: AtomicU64::new(0),
};

global_asm!(
    include_str!("trampoline.s"),
    trampoline = const TRAMPOLINE,
    parameters = sym PARAMETERS,
    efer = const offset_of!(Parameters, efer),
    page_table = const offset_of!(Parameters, page_table),
    stack = const offset_of!(Parameters, stack),
    area = const offset_of!(Parameters, area),
    ap_start = sym ap_start,
    options(att_syntax)
);

/// Starts the CPUs with these local APIC ids, but for the one that runs this. Those that don't answer, and
/// those beyond [`MAX_CPUS`], stay off and are logged.
pub fn start_others(apic_ids: &[u32]) {
    install_trampoline();
    let own = CpuArea::current().apic_id();
    for &apic_id in apic_ids.iter().filter(|&&id| id != own) {
        let index = cpu_area::online();
        if index >= MAX_CPUS {
            log::warn!("cpu with APIC id {apic_id} stays off: no more than {MAX_CPUS} are used");
            continue;
        }
        if start(index, apic_id).is_none() {
            log::warn!("cpu with APIC id {apic_id} does not start");
            // Its area and stacks may be in use after all, so no other CPU can have them.
            return;
        }
    }
}

fn install_trampoline() {
    unsafe extern "C" {
        static trampoline_start: u8;
        static trampoline_end: u8;
    }
    let (start, end) = (&raw const trampoline_start, &raw const trampoline_end);
    // SAFETY: the code lies between the symbols; the page below 1 MiB is in the physmap and nobody's, and what
    // the loader left there has been copied.
    unsafe {
        let copy = physical_to_virtual(TRAMPOLINE) as *mut u8;
        copy.copy_from_nonoverlapping(start, end.offset_from_unsigned(start));
    }
}

/// INIT, SIPI, and a second SIPI if that was not enough (Intel SDM volume 3, "MP initialization").
fn start(index: usize, apic_id: u32) -> Option<()> {
    let stacks =
        memory::map_stacks(BLOCK_SIZE, |offset| Stack::ALL.iter().any(|stack| stack.guard() == offset))?;
    local_apic::set_id(index, apic_id);
    let area = CpuArea::create(index, apic_id, stacks);
    let mut efer = EferFlags::LONG_MODE_ENABLE;
    efer.set(EferFlags::NO_EXECUTE_ENABLE, Features::get().no_execute);
    PARAMETERS.efer.store(efer.bits(), Ordering::Relaxed);
    PARAMETERS.page_table.store(memory::root(), Ordering::Relaxed);
    PARAMETERS.stack.store(Stack::KERNEL.top(stacks), Ordering::Relaxed);
    PARAMETERS.area.store(core::ptr::from_ref(area).addr() as u64, Ordering::Release);

    let page = (TRAMPOLINE >> 12) as u8;
    local_apic::send_init(index);
    clock::spin_until(clock::now() + Duration::from_micros(10), || false);
    local_apic::send_startup(index, page);
    if halt_until(Duration::from_micros(200), || area.is_online()) {
        return Some(());
    }
    local_apic::send_startup(index, page);
    halt_until(PATIENCE, || area.is_online()).then_some(())
}

/// Waits for `ready` at most `span`. The CPU that makes it true rings; a halted CPU leaves the host, or
/// under instruction counting the machine, to that one.
fn halt_until(span: Duration, ready: impl Fn() -> bool) -> bool {
    let end = clock::now() + span;
    while !ready() && clock::now() < end {
        clock::arm_timer(Some(end));
        base::machine().wait_for_interrupt(&ready);
    }
    clock::arm_timer(None);
    ready()
}

extern "C" fn ap_start(area: &'static CpuArea) -> ! {
    area.start();
    local_apic::enable();
    area.go_online();
    base::machine().kick(0);
    crate::boot::run_cpu()
}
