//! GDT, TSS and IDT.
//!
//! The order of the descriptors is what SYSCALL and SYSRET want: null, kernel code, kernel data,
//! user data, user code, TSS.

use core::arch::asm;
use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

use x86_64::VirtAddr;
use x86_64::instructions::tables::{lgdt, lidt, load_tss};
use x86_64::registers::segmentation::{CS, DS, ES, SS, Segment, SegmentSelector};
use x86_64::structures::DescriptorTablePointer;

use super::stacks::Stack;
use super::trap;

/// Kernel code.
pub const KERNEL_CODE: u16 = 0x08;
/// Kernel data.
pub const KERNEL_DATA: u16 = 0x10;
/// User data, with its privilege level.
pub const USER_DATA: u16 = 0x1b;
/// User code, with its privilege level.
pub const USER_CODE: u16 = 0x23;
const TSS: u16 = 0x28;
const TSS_LIMIT: u64 = 103;

const DESCRIPTORS: [u64; 7] =
    [0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0x00cf_f300_0000_ffff, 0x00af_fb00_0000_ffff, 0, 0];

/// The TSS. It starts at the second word, so that the 64-bit fields are aligned.
#[repr(C, align(8))]
struct TaskState {
    _padding: u32,
    start: AtomicU32,
    ring_stacks: [AtomicU64; 3],
    _reserved: u64,
    own_stacks: [AtomicU64; 7],
    _reserved_2: u64,
    _reserved_3: u16,
    io_map: AtomicU16,
}

/// One CPU's GDT and TSS.
#[repr(C, align(64))]
pub struct Segments {
    task: TaskState,
    descriptors: [AtomicU64; 7],
}

impl Segments {
    pub(super) const fn new() -> Self {
        let mut descriptors = [const { AtomicU64::new(0) }; 7];
        let mut index = 0;
        while index < DESCRIPTORS.len() {
            descriptors[index] = AtomicU64::new(DESCRIPTORS[index]);
            index += 1;
        }
        let task = TaskState {
            _padding: 0,
            start: AtomicU32::new(0),
            ring_stacks: [const { AtomicU64::new(0) }; 3],
            _reserved: 0,
            own_stacks: [const { AtomicU64::new(0) }; 7],
            _reserved_2: 0,
            _reserved_3: 0,
            // Past the end: no program touches a port.
            io_map: AtomicU16::new(TSS_LIMIT as u16 + 1),
        };
        Segments { task, descriptors }
    }

    /// Fills in the exceptions' own stacks from the block at `stacks`.
    pub(super) fn point_to_stacks(&self, stacks: u64) {
        let own = [Stack::DOUBLE_FAULT, Stack::NMI, Stack::MACHINE_CHECK, Stack::DEBUG];
        for (slot, stack) in self.task.own_stacks.iter().zip(own) {
            slot.store(stack.top(stacks), Ordering::Relaxed);
        }
    }

    /// Sets where the processor starts to push when a program traps.
    #[inline]
    pub(super) fn set_trap_frame_end(&self, end: u64) {
        self.task.ring_stacks[0].store(end, Ordering::Relaxed);
    }

    /// Loads GDT, TSS and IDT on this CPU, whose area this belongs to.
    pub(super) fn load(&'static self) {
        let task = core::ptr::from_ref(&self.task.start).addr() as u64;
        let low = TSS_LIMIT | (task & 0xff_ffff) << 16 | 0x89 << 40 | (task >> 24 & 0xff) << 56;
        self.descriptors[5].store(low, Ordering::Relaxed);
        self.descriptors[6].store(task >> 32, Ordering::Relaxed);
        let gdt = DescriptorTablePointer {
            limit: size_of_val(&self.descriptors) as u16 - 1,
            base: VirtAddr::from_ptr(&raw const self.descriptors),
        };
        let idt = DescriptorTablePointer {
            limit: size_of_val(&IDT) as u16 - 1,
            base: VirtAddr::from_ptr(&raw const IDT),
        };
        // SAFETY: the GDT lives for ever and has the code segment that runs now at the same place;
        // the TSS is this CPU's own, with valid stacks; the IDT has been filled.
        unsafe {
            lgdt(&gdt);
            CS::set_reg(SegmentSelector(KERNEL_CODE));
            SS::set_reg(SegmentSelector(KERNEL_DATA));
            DS::set_reg(SegmentSelector(0));
            ES::set_reg(SegmentSelector(0));
            // Clears the bases too: whoever calls sets GS afterwards.
            asm!("mov fs, {0:x}", "mov gs, {0:x}", in(reg) 0, options(nostack, preserves_flags));
            lidt(&idt);
            load_tss(SegmentSelector(TSS));
        }
    }
}

#[repr(C, align(16))]
struct Gate([AtomicU64; 2]);

static IDT: [Gate; 256] = [const { Gate([const { AtomicU64::new(0) }; 2]) }; 256];

/// Fills the IDT, which all CPUs share. Once, by the first CPU, before it loads it.
pub(super) fn fill_idt() {
    const INTERRUPT_GATE: u64 = 0x8e00;
    const FOR_PROGRAMS: u64 = 3 << 13;
    const BREAKPOINT: usize = 3;
    const OVERFLOW: usize = 4;
    unsafe extern "C" {
        static trap_stubs: u8;
    }
    let stubs = (&raw const trap_stubs).addr() as u64;
    for (vector, gate) in IDT.iter().enumerate() {
        let own_stack = match vector as u8 {
            trap::DOUBLE_FAULT => 1,
            trap::NMI => 2,
            trap::MACHINE_CHECK => 3,
            trap::DEBUG => 4,
            _ => 0,
        };
        let callable = if matches!(vector, BREAKPOINT | OVERFLOW) { FOR_PROGRAMS } else { 0 };
        let stub = stubs + 16 * vector as u64;
        let low = (stub & 0xffff)
            | u64::from(KERNEL_CODE) << 16
            | own_stack << 32
            | (INTERRUPT_GATE | callable) << 32
            | (stub >> 16 & 0xffff) << 48;
        gate.0[0].store(low, Ordering::Relaxed);
        gate.0[1].store(stub >> 32, Ordering::Relaxed);
    }
}
