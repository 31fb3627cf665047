//! The local APIC of each CPU, by memory-mapped registers (xAPIC): end of interrupt, messages between
//! CPUs, the one-shot timer. Source: Intel SDM volume 3, chapter "APIC".

use base::sync::atomic::{AtomicU32, Ordering};
use base::sync::{CachePadded, MAX_CPUS, PerCpu};
use conquer_once::spin::OnceCell;

use super::mmio::Registers;
use crate::arch::trap::interrupts::{SPURIOUS, TIMER};

const ID: usize = 0x20;
const TASK_PRIORITY: usize = 0x80;
const END_OF_INTERRUPT: usize = 0xb0;
const SPURIOUS_VECTOR: usize = 0xf0;
const COMMAND_LOW: usize = 0x300;
const COMMAND_HIGH: usize = 0x310;
const TIMER_ENTRY: usize = 0x320;
const PERFORMANCE_ENTRY: usize = 0x340;
const LINT0_ENTRY: usize = 0x350;
const LINT1_ENTRY: usize = 0x360;
const ERROR_ENTRY: usize = 0x370;
const INITIAL_COUNT: usize = 0x380;
const CURRENT_COUNT: usize = 0x390;
const DIVIDE: usize = 0x3e0;

const ENABLE: u32 = 1 << 8;
const MASKED: u32 = 1 << 16;
/// Delivery mode "NMI", of a local entry or a command.
const DELIVER_NMI: u32 = 4 << 8;
const DELIVER_INIT: u32 = 5 << 8;
const DELIVER_STARTUP: u32 = 6 << 8;
const ASSERT: u32 = 1 << 14;
const PENDING: u32 = 1 << 12;
const DIVIDE_BY_1: u32 = 0b1011;

static REGISTERS: OnceCell<Registers<u32>> = OnceCell::uninit();
/// APIC id of each CPU; the id of one that is not known.
static IDS: PerCpu<AtomicU32> =
    PerCpu::from_padded([const { CachePadded(AtomicU32::new(UNKNOWN)) }; MAX_CPUS]);
const UNKNOWN: u32 = u32::MAX;

/// Maps the registers, which lie at the same address on every CPU.
///
/// # Safety
///
/// The machine's local APICs answer at physical address `physical`.
pub unsafe fn map(physical: u64) {
    // SAFETY: the caller's promise; a local APIC writes no memory.
    REGISTERS.init_once(|| unsafe { Registers::map(physical, 0x400) });
}

fn registers() -> Option<&'static Registers<u32>> {
    REGISTERS.get()
}

/// Turns this CPU's local APIC on, its timer off, everything local but NMI masked.
pub fn enable() {
    let Some(registers) = registers() else { return };
    registers.write(TASK_PRIORITY, 0);
    for entry in [TIMER_ENTRY, PERFORMANCE_ENTRY, LINT0_ENTRY, ERROR_ENTRY] {
        registers.write(entry, MASKED);
    }
    registers.write(LINT1_ENTRY, DELIVER_NMI);
    registers.write(SPURIOUS_VECTOR, ENABLE | u32::from(SPURIOUS));
    registers.write(DIVIDE, DIVIDE_BY_1);
    registers.write(INITIAL_COUNT, 0);
    registers.write(TIMER_ENTRY, u32::from(TIMER));
    registers.write(END_OF_INTERRUPT, 0);
}

/// APIC id of the CPU that runs this code; 0 before [`map`].
#[must_use]
pub fn id() -> u32 {
    registers().map_or(0, |registers| registers.read(ID) >> 24)
}

/// Notes the APIC id of `cpu`, so that messages reach it.
pub fn set_id(cpu: usize, id: u32) {
    if let Some(slot) = IDS.get(cpu) {
        slot.store(id, Ordering::Release);
    }
}

/// Tells the local APIC that the handler of the interrupt in service is done.
#[inline]
pub fn end_of_interrupt() {
    if let Some(registers) = registers() {
        registers.write(END_OF_INTERRUPT, 0);
    }
}

/// Raises `vector` on another CPU. Nothing happens when its id is not known.
pub fn send(cpu: usize, vector: u8) {
    command(cpu, u32::from(vector) | ASSERT);
}

/// Raises an NMI on another CPU.
pub fn send_nmi(cpu: usize) {
    command(cpu, DELIVER_NMI | ASSERT);
}

/// Resets another CPU into its wait for [`send_startup`].
pub fn send_init(cpu: usize) {
    command(cpu, DELIVER_INIT | ASSERT);
}

/// Starts another CPU in real mode at physical address `page * 4096`, after [`send_init`].
pub fn send_startup(cpu: usize, page: u8) {
    command(cpu, DELIVER_STARTUP | ASSERT | u32::from(page));
}

fn command(cpu: usize, low: u32) {
    let (Some(registers), Some(slot)) = (registers(), IDS.get(cpu)) else { return };
    let id = slot.load(Ordering::Acquire);
    if id == UNKNOWN {
        return;
    }
    // The command before is on its way within microseconds; an NMI handler may have cut in on one.
    while registers.read(COMMAND_LOW) & PENDING != 0 {
        core::hint::spin_loop();
    }
    registers.write(COMMAND_HIGH, id << 24);
    registers.write(COMMAND_LOW, low);
}

/// Arms this CPU's timer to raise [`TIMER`] once, `counts` of its clock from now; 0 disarms it.
pub fn arm(counts: u32) {
    if let Some(registers) = registers() {
        registers.write(INITIAL_COUNT, counts);
    }
}

/// What is left of the timer's count.
#[must_use]
pub fn remaining() -> u32 {
    registers().map_or(0, |registers| registers.read(CURRENT_COUNT))
}
