//! What belongs to one CPU. GS points to it while kernel code runs.
//!
//! Only its own CPU writes to an area, with interrupts off, so the atomics are plain loads and
//! stores; they are atomics because NMIs and other CPUs read some of them.

use alloc::boxed::Box;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use base::sync::MAX_CPUS;
use syscalls::machine::Registers;

use super::features::{self, BaseRegister};
use super::layout;
use super::segments::Segments;
use super::stacks::{BLOCK_SIZE, Stack};

/// One CPU's area. The entry code knows the offsets of the first fields.
#[repr(C, align(64))]
pub struct CpuArea {
    /// Its own address, so that `gs:0` is a pointer to it.
    this: AtomicPtr<CpuArea>,
    /// Stack pointer to return to when a program traps.
    pub(super) kernel_rsp: AtomicU64,
    /// Registers of the thread that runs, or ran last.
    pub(super) registers: AtomicPtr<Registers>,
    /// Scratch of the syscall entry.
    pub(super) user_rsp: AtomicU64,
    /// Number of the CPU, from 0.
    index: AtomicUsize,
    /// Its local APIC's id.
    apic_id: AtomicU32,
    /// Set when it has started.
    online: AtomicBool,
    /// Set when an NMI is to make it say where it is, and when it has.
    pub(super) asked: AtomicBool,
    pub(super) reported: AtomicBool,
    /// Set when an NMI is to make it hold still.
    pub(super) holds: AtomicBool,
    /// The floating-point area whose state is in the registers; see [`super::fpu`].
    pub(super) fpu_owner: AtomicPtr<super::fpu::FpuArea>,
    /// Set when the registers hold changes that the owner's image lacks.
    pub(super) fpu_dirty: AtomicBool,
    /// FS and GS bases of programs, as the processor has them.
    pub(super) fs_base: AtomicU64,
    pub(super) gs_base: AtomicU64,
    /// Frame of the page-table root in CR3; 0 while it is the kernel's own. See [`crate::memory::spaces`].
    pub loaded_root: AtomicU64,
    /// Which of the executor's CPUs it is: the executor's own word.
    pub(super) executor_word: AtomicPtr<()>,
    /// First address of its block of stacks.
    stacks: AtomicU64,
    /// Its GDT and TSS.
    pub(super) segments: Segments,
}

/// The first CPU's, which is needed before there is a heap.
static FIRST: CpuArea = CpuArea::new();

static AREAS: [AtomicPtr<CpuArea>; MAX_CPUS] = [const { AtomicPtr::new(core::ptr::null_mut()) }; MAX_CPUS];
static ONLINE: AtomicUsize = AtomicUsize::new(0);

impl CpuArea {
    const fn new() -> Self {
        CpuArea {
            this: AtomicPtr::new(core::ptr::null_mut()),
            kernel_rsp: AtomicU64::new(0),
            registers: AtomicPtr::new(core::ptr::null_mut()),
            user_rsp: AtomicU64::new(0),
            index: AtomicUsize::new(0),
            apic_id: AtomicU32::new(0),
            online: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            reported: AtomicBool::new(false),
            holds: AtomicBool::new(false),
            fpu_owner: AtomicPtr::new(core::ptr::null_mut()),
            fpu_dirty: AtomicBool::new(false),
            fs_base: AtomicU64::new(0),
            gs_base: AtomicU64::new(0),
            loaded_root: AtomicU64::new(0),
            executor_word: AtomicPtr::new(core::ptr::null_mut()),
            stacks: AtomicU64::new(0),
            segments: Segments::new(),
        }
    }

    /// Makes the area of CPU `index`, whose block of stacks is at `stacks`.
    pub(super) fn create(index: usize, apic_id: u32, stacks: u64) -> &'static CpuArea {
        let area: &'static CpuArea = if index == 0 { &FIRST } else { Box::leak(Box::new(CpuArea::new())) };
        let address = core::ptr::from_ref(area).cast_mut();
        area.this.store(address, Ordering::Relaxed);
        area.index.store(index, Ordering::Relaxed);
        area.apic_id.store(apic_id, Ordering::Relaxed);
        area.stacks.store(stacks, Ordering::Relaxed);
        for stack in [Stack::DOUBLE_FAULT, Stack::NMI, Stack::MACHINE_CHECK, Stack::DEBUG] {
            let top = stack.top(stacks) as *mut *mut CpuArea;
            // SAFETY: the block belongs to this CPU alone, which does not run yet; the word above the
            // top of an exception stack is reserved for this.
            unsafe { top.write(address) };
        }
        area.segments.point_to_stacks(stacks);
        AREAS[index].store(address, Ordering::Release);
        area
    }

    /// The area of the CPU that runs this code.
    #[inline]
    pub fn current() -> &'static CpuArea {
        let area: *const CpuArea;
        // SAFETY: while Rust code runs, GS points to the CPU's area, whose first word is its address.
        // A kernel stack never moves to another CPU, so within a function the answer does not change.
        unsafe { asm!("mov {}, gs:[0]", out(reg) area, options(pure, nomem, nostack, preserves_flags)) };
        // SAFETY: areas live for ever.
        unsafe { &*area }
    }

    /// The area of CPU `index`, if that CPU has been started.
    #[must_use]
    pub fn of(index: usize) -> Option<&'static CpuArea> {
        let area = AREAS.get(index)?.load(Ordering::Acquire);
        // SAFETY: what `create` stored lives for ever.
        unsafe { area.as_ref() }
    }

    /// Number of the CPU, from 0.
    #[inline]
    pub fn index(&self) -> usize {
        self.index.load(Ordering::Relaxed)
    }

    /// Notes its local APIC's id, which the first CPU learns late.
    pub(crate) fn set_apic_id(&self, id: u32) {
        self.apic_id.store(id, Ordering::Relaxed);
    }

    /// Its local APIC's id.
    pub fn apic_id(&self) -> u32 {
        self.apic_id.load(Ordering::Relaxed)
    }

    /// True when `address` lies in a mapped part of one of its stacks.
    pub(super) fn on_stack(&self, address: u64) -> bool {
        let block = self.stacks.load(Ordering::Relaxed);
        Stack::ALL.into_iter().any(|stack| stack.range(block).contains(&address))
    }

    /// Makes this the area of the CPU that runs this code, and turns that CPU's features on.
    pub(super) fn start(&'static self) {
        self.segments.load();
        // SAFETY: the area of this CPU lives for ever.
        unsafe { BaseRegister::Gs.write(core::ptr::from_ref(self).addr() as u64) };
        // As `fs_base` and `gs_base` say: what a reset leaves there is not the same for all.
        // SAFETY: 0 is canonical.
        unsafe {
            BaseRegister::Fs.write(0);
            BaseRegister::KernelGs.write(0);
        }
        features::enable(self.index());
    }

    /// True once the CPU has started.
    pub(super) fn is_online(&self) -> bool {
        self.online.load(Ordering::Acquire)
    }

    /// Counts this CPU as online.
    pub(crate) fn go_online(&self) {
        self.online.store(true, Ordering::Release);
        ONLINE.fetch_add(1, Ordering::AcqRel);
    }
}

/// CPUs that are online.
#[inline]
#[must_use]
pub fn online() -> usize {
    ONLINE.load(Ordering::Relaxed)
}

/// The stacks of the first CPU, which the linker script laid out.
pub(super) fn first_stacks() -> u64 {
    let block = layout::boot_stacks();
    debug_assert_eq!(block.end - block.start, BLOCK_SIZE);
    block.start
}
