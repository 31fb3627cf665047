//! What the personality asks of the machine below it: page tables and a way into ring 3.
//!
//! The kernel implements these with hardware, the host double with a scripted program, so that
//! syscalls can be tested without either.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::{ControlFlow, Range};

use base::frame::Frame;
use base::memory::{Access, BoxFuture};
use base::sync::Once;
use base::{Errno, Result};

/// The general registers of a user thread, in the order in which the trap entry stores them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(16))]
#[allow(missing_docs, reason = "the fields are the registers' names")]
pub struct Registers {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// Vector of the trap that stored the frame.
    pub vector: u64,
    /// Error code that the processor pushed, or 0.
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
    pub fs_base: u64,
    pub gs_base: u64,
}

impl Registers {
    /// A syscall's six arguments.
    #[inline]
    #[must_use]
    pub fn arguments(&self) -> [u64; 6] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }
}

/// Why a thread came back from ring 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// It executed `syscall`: number in `rax`, arguments in `rdi rsi rdx r10 r8 r9`.
    Syscall,
    /// It touched a page that is not there or does not allow it.
    PageFault {
        /// Address it touched (CR2).
        address: u64,
        /// What it wanted.
        access: FaultAccess,
        /// True when the page was present, so that the protection was the reason.
        present: bool,
    },
    /// An interrupt came and has been handled; look at slice and signals.
    Interrupt,
    /// Any other processor exception, for a signal.
    Exception {
        /// Vector, 0..=31.
        vector: u8,
        /// Error code or 0.
        error: u64,
    },
}

/// The kind of a faulting access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum FaultAccess {
    Read,
    Write,
    Execute,
}

bitflags::bitflags! {
    /// What a mapped page allows. A page without READ is not accessible at all (`PROT_NONE`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct PageFlags: u8 {
        /// Readable (x86 has no write-only or execute-only pages).
        const READ = 1;
        /// Writable.
        const WRITE = 2;
        /// Executable.
        const EXECUTE = 4;
    }
}

/// A page that is mapped.
#[derive(Debug)]
pub struct MappedPage {
    /// A reference to its frame.
    pub frame: Frame,
    /// What it allows now.
    pub flags: PageFlags,
    /// Written since it was mapped.
    pub dirty: bool,
    /// Touched since it was mapped.
    pub accessed: bool,
}

/// The page tables of one address space.
///
/// Each mapped page owns one reference to its frame. Removing or restricting pages leaves
/// stale translations on other CPUs, so such calls collect a [`Stale`] batch, which the caller
/// hands to [`PageTable::flush`] before it tells anybody that the pages are gone.
/// Methods are called under the address space's lock; `flush` is not.
pub trait PageTable: Send + Sync {
    /// Maps `frame` at the page of `address`. Replaces a page that is mapped there, whose frame goes to `stale`.
    ///
    /// # Errors
    ///
    /// `ENOMEM` when there is no frame for a table; nothing changed.
    fn map(&self, address: u64, frame: Frame, flags: PageFlags, stale: &mut Stale) -> Result<()>;

    /// The page mapped at `address`.
    fn get(&self, address: u64) -> Option<MappedPage>;

    /// Calls `each` for every mapped page of a range, in order, until it breaks off. What lies between mapped
    /// pages costs next to nothing, so that a sparse space of terabytes can be walked in bounded steps.
    fn for_each(&self, range: Range<u64>, each: &mut dyn FnMut(u64, MappedPage) -> ControlFlow<()>);

    /// Removes every page of a range (page-aligned); frames and emptied tables go to `stale`.
    fn unmap(&self, range: Range<u64>, stale: &mut Stale);

    /// Changes what the mapped pages of a range allow. With `mask`, a page keeps only flags that it
    /// has already (fork's write protection); without, it gets exactly `flags`.
    fn protect(&self, range: Range<u64>, flags: PageFlags, mask: bool, stale: &mut Stale);

    /// Moves the mapped pages of a range to another address: mremap(2).
    ///
    /// # Errors
    ///
    /// `ENOMEM`; then nothing moved.
    fn move_pages(&self, from: Range<u64>, to: u64, stale: &mut Stale) -> Result<()>;

    /// Number of mapped pages.
    fn resident(&self) -> usize;

    /// Bytes of page tables.
    fn table_bytes(&self) -> usize;

    /// Makes the translations in `stale` unusable everywhere, then frees its frames. Ready at once when
    /// no other CPU uses the space. A drop of the future frees nothing early: the batch belongs to the
    /// acknowledgements.
    fn flush(&self, stale: Stale) -> BoxFuture<'_, ()>;

    /// As [`PageTable::flush`] when no wait is needed; gives the batch back when another CPU is concerned.
    ///
    /// # Errors
    ///
    /// The batch itself, untouched.
    fn try_flush(&self, stale: Stale) -> core::result::Result<(), Stale>;

    /// As `UserMemory::copy_in_nofault`, for this space.
    fn copy_in(&self, from: u64, into: &mut [u8]) -> usize;

    /// As `UserMemory::copy_out_nofault`, for this space.
    fn copy_out(&self, to: u64, from: &[u8]) -> usize;

    /// As `UserMemory::compare_exchange_nofault`, for this space.
    fn compare_exchange(&self, at: u64, current: u32, new: u32) -> Option<u32>;

    /// As `UserMemory::copy_out_frame_nofault`.
    fn copy_out_frame(&self, to: u64, frame: &Frame, offset: usize, length: usize) -> usize;

    /// As `UserMemory::copy_in_frame_nofault`.
    fn copy_in_frame(&self, from: u64, frame: &Frame, offset: usize, length: usize) -> usize;

    /// For downcasts by the machine that made it.
    fn as_any(&self) -> &dyn core::any::Any;
}

/// Translations that other CPUs may still hold, and the frames that must not be freed before they forget them.
#[derive(Debug, Default)]
pub struct Stale {
    /// Pages concerned; empty when nothing was removed or restricted.
    pub ranges: Vec<Range<u64>>,
    /// Frames (of pages and of tables) to free afterwards.
    pub frames: Vec<Frame>,
}

impl Stale {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Stale {
        Stale::default()
    }

    /// True when nothing has to be flushed or freed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.frames.is_empty()
    }
}

/// Bytes of the longest floating-point image: x87, SSE and AVX in XSAVE's standard format.
pub const FPU_IMAGE_BYTES: usize = 832;

/// Floating-point and vector state of a thread: an XSAVE image that belongs to the machine.
///
/// While a CPU owns the state, the image is old; [`UserMachine::save_fpu`] brings it up to date.
pub trait FpuState: Send {
    /// The image as the ABI of signal frames defines it (XSAVE standard format, with the software-reserved
    /// bytes of the legacy area left to the caller); [`FPU_IMAGE_BYTES`] long at the most.
    fn image(&self) -> &[u8];

    /// Replaces the image, sanitised so that loading it cannot fault.
    ///
    /// # Errors
    ///
    /// `EINVAL` when it cannot be made valid.
    fn set_image(&mut self, image: &[u8]) -> Result<()>;

    /// Back to the state of a new program.
    fn reset(&mut self);

    /// For downcasts by the machine that made it.
    fn as_any(&mut self) -> &mut dyn core::any::Any;
}

/// What a thread owns of the machine: its registers, its floating-point state, and where it runs.
pub struct UserContext {
    /// General registers.
    pub registers: Registers,
    /// Set when the registers must all be loaded (new thread, signal, sigreturn, after an interrupt), so that the
    /// way out is `iretq`; clear after a syscall, when `sysret` will do.
    pub full_restore: bool,
    /// Floating-point state.
    pub fpu: alloc::boxed::Box<dyn FpuState>,
}

/// A machine that runs user threads.
pub trait UserMachine: Sync {
    /// Enters ring 3 in `space` with the registers of `context`, and returns when the thread traps.
    /// Called with interrupts off; the registers are sanitised whatever they hold.
    fn run_user(&self, context: &mut UserContext, space: &Arc<dyn PageTable>) -> Trap;

    /// Brings the floating-point image of `context` up to date and, with more than one CPU, gives the state
    /// up; called before the thread becomes visible to another CPU and before anybody looks at the image.
    fn save_fpu(&self, context: &mut UserContext);

    /// Forgets the state that this CPU may own for `context`: the thread is dying or its image was replaced.
    fn discard_fpu(&self, context: &mut UserContext);

    /// A fresh floating-point state.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn new_fpu(&self) -> Result<alloc::boxed::Box<dyn FpuState>>;

    /// Page tables with nothing mapped in user space.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn new_page_table(&self) -> Result<Arc<dyn PageTable>>;

    /// Interrupts that all CPUs have taken since boot.
    fn interrupts(&self) -> u64 {
        0
    }

    /// Frees what dead address spaces still hold, so that a count of frames is true. A drop leaves the rest.
    fn settle(&self) -> BoxFuture<'static, ()> {
        alloc::boxed::Box::pin(core::future::ready(()))
    }

    /// Features for `AT_HWCAP` (CPUID.1:EDX) and `AT_HWCAP2`.
    fn hwcap(&self) -> (u64, u64);

    /// Tells the vDSO that the wall clock is `offset` ahead of the monotonic one from now on: clock_settime(2).
    /// A machine without a vDSO has nobody to tell.
    fn wall_clock_moved(&self, offset: core::time::Duration) {
        let _ = offset;
    }

    /// Frames of the vDSO image and of its data page, and the image's offsets; `None` when it is turned off.
    fn vdso(&self) -> Option<&'static Vdso>;
}

/// The vDSO: pages that are mapped into every program.
#[derive(Debug)]
pub struct Vdso {
    /// Data page, mapped read-only right before the code.
    pub data: Vec<Frame>,
    /// The ELF image.
    pub code: Vec<Frame>,
}

/// First address past user space, and below the canonical hole.
pub const USER_END: u64 = 0x7fff_ffff_f000;

static USER_MACHINE: Once<&'static dyn UserMachine> = Once::new();

/// Installs the machine for user threads. The first call wins.
pub fn install(machine: &'static dyn UserMachine) {
    USER_MACHINE.call_once(|| machine);
}

/// The machine for user threads.
///
/// # Panics
///
/// Before [`install`]: there are no user threads without one.
#[must_use]
pub fn user_machine() -> &'static dyn UserMachine {
    *USER_MACHINE.get().expect("the user machine is installed at boot")
}

/// Checks that `[address, address + length)` lies in user space.
///
/// # Errors
///
/// `EFAULT` when it does not.
pub fn check_user_range(address: u64, length: u64, _access: Access) -> Result<()> {
    match address.checked_add(length) {
        Some(end) if end <= USER_END => Ok(()),
        _ => Err(Errno::EFAULT),
    }
}
