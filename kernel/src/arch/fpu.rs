//! Floating-point and vector state.
//!
//! The kernel is soft-float, so a program's state stays in the registers while the kernel runs. Invariants,
//! cited by the `SAFETY` comments:
//!
//! - **X1** The registers of CPU c hold the state of area A exactly when c's `fpu_owner` is A and A's
//!   `last_cpu` is c. Both are needed: either may be stale, and an area may be freed and its place reused.
//! - **X2** When c's `fpu_dirty` is set, X1 holds for the owner, which is alive: an area that is dropped or
//!   discarded clears it, and with more than one CPU it is clear whenever a thread is not being polled.
//! - **X3** An image can always be loaded: it is made by `reset`, by the processor, or by `set_image`, which
//!   sanitises it.

use alloc::boxed::Box;
use core::arch::asm;
use core::sync::atomic::Ordering;

use base::{Errno, Result};
use syscalls::machine::{FPU_IMAGE_BYTES, FpuState, UserContext};

use super::cpu_area::CpuArea;
use super::features::Features;

const LEGACY_SIZE: usize = 512;
const CONTROL_WORD: usize = 0;
const MXCSR: usize = 24;
const MXCSR_MASK: usize = 28;
const STATE_COMPONENTS: usize = 512;
const HEADER_REST: core::ops::Range<usize> = 520..576;
const X87_SSE: u64 = 3;
/// No processor.
const NOWHERE: usize = usize::MAX;

/// One thread's state.
#[repr(C, align(64))]
pub struct FpuArea {
    image: [u8; FPU_IMAGE_BYTES],
    /// CPU that loaded it last; [`NOWHERE`] when no CPU's registers are its state (X1).
    last_cpu: usize,
}

impl FpuArea {
    /// A fresh state.
    ///
    /// # Errors
    ///
    /// `ENOMEM` when the heap is exhausted.
    pub(super) fn create() -> Result<Box<FpuArea>> {
        let layout = alloc::alloc::Layout::new::<FpuArea>();
        // SAFETY: the layout is not empty.
        let memory = unsafe { alloc::alloc::alloc_zeroed(layout) }.cast::<FpuArea>();
        if memory.is_null() {
            return Err(Errno::ENOMEM);
        }
        // SAFETY: allocated for this type, and zeros are one of its values.
        let mut area = unsafe { Box::from_raw(memory) };
        area.reset();
        Ok(area)
    }

    /// The area of a thread.
    #[inline]
    pub(super) fn of(context: &mut UserContext) -> &mut FpuArea {
        debug_assert!(context.fpu.as_any().is::<FpuArea>());
        let state: *mut dyn FpuState = &raw mut *context.fpu;
        // SAFETY: there is one machine per program, and all this machine ever makes are `FpuArea`s.
        unsafe { &mut *state.cast::<FpuArea>() }
    }

    /// X1: true when this CPU's registers hold this state.
    #[inline]
    pub(super) fn is_loaded(&self, cpu: &CpuArea) -> bool {
        core::ptr::eq(cpu.fpu_owner.load(Ordering::Relaxed), self) && self.last_cpu == cpu.index()
    }

    /// Loads this state into the registers, and saves what they held if nobody else has it.
    pub(super) fn load(&mut self, cpu: &CpuArea) {
        if cpu.fpu_dirty.load(Ordering::Relaxed) {
            // SAFETY: X2, the owner is alive, and it is not `self`, which X1 says is not loaded.
            unsafe { save_registers(cpu.fpu_owner.load(Ordering::Relaxed)) };
            cpu.fpu_dirty.store(false, Ordering::Relaxed);
        }
        // SAFETY: X3.
        unsafe { restore_registers(self) };
        self.last_cpu = cpu.index();
        cpu.fpu_owner.store(self, Ordering::Relaxed);
    }

    /// Brings the image up to date.
    pub(super) fn save(&mut self) {
        let cpu = CpuArea::current();
        if cpu.fpu_dirty.load(Ordering::Relaxed) && self.is_loaded(cpu) {
            // SAFETY: X1, the registers are this state.
            unsafe { save_registers(self) };
            cpu.fpu_dirty.store(false, Ordering::Relaxed);
        }
    }

    /// The registers no longer count as this state.
    pub(super) fn discard(&mut self) {
        let cpu = CpuArea::current();
        if self.is_loaded(cpu) {
            cpu.fpu_dirty.store(false, Ordering::Relaxed);
            cpu.fpu_owner.store(core::ptr::null_mut(), Ordering::Relaxed);
        }
        self.last_cpu = NOWHERE;
    }

    fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.image[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn get<const N: usize>(&self, offset: usize) -> [u8; N] {
        core::array::from_fn(|index| self.image[offset + index])
    }
}

impl Drop for FpuArea {
    fn drop(&mut self) {
        self.discard();
    }
}

impl FpuState for FpuArea {
    fn image(&self) -> &[u8] {
        &self.image[..Features::get().fpu_image_size.min(FPU_IMAGE_BYTES)]
    }

    fn set_image(&mut self, image: &[u8]) -> Result<()> {
        // What a processor reports that says nothing (Intel SDM volume 1, 11.6.6).
        const DEFAULT_MXCSR_MASK: u32 = 0xffbf;
        if image.len() < LEGACY_SIZE {
            return Err(Errno::EINVAL);
        }
        self.discard();
        let mask = match u32::from_le_bytes(self.get(MXCSR_MASK)) {
            0 => DEFAULT_MXCSR_MASK,
            mask => mask,
        };
        let length = image.len().min(FPU_IMAGE_BYTES);
        self.image[length..].fill(0);
        self.put(0, &image[..length]);
        let mxcsr = u32::from_le_bytes(self.get(MXCSR)) & mask;
        self.put(MXCSR, &mxcsr.to_le_bytes());
        self.put(MXCSR_MASK, &mask.to_le_bytes());
        let components = match (Features::get().xsave, length) {
            (None, _) => 0,
            (Some(_), LEGACY_SIZE) => X87_SSE,
            (Some(on), _) => u64::from_le_bytes(self.get(STATE_COMPONENTS)) & on,
        };
        self.put(STATE_COMPONENTS, &components.to_le_bytes());
        self.image[HEADER_REST].fill(0);
        Ok(())
    }

    fn reset(&mut self) {
        const INITIAL_CONTROL_WORD: u16 = 0x37f;
        const INITIAL_MXCSR: u32 = 0x1f80;
        self.discard();
        self.image.fill(0);
        self.put(CONTROL_WORD, &INITIAL_CONTROL_WORD.to_le_bytes());
        self.put(MXCSR, &INITIAL_MXCSR.to_le_bytes());
    }

    fn as_any(&mut self) -> &mut dyn core::any::Any {
        self
    }
}

/// # Safety
///
/// `area` is alive and the registers hold its state.
unsafe fn save_registers(area: *mut FpuArea) {
    // SAFETY: the image has room for the components that XCR0 allows, and is aligned to 64 bytes.
    unsafe {
        match Features::get().xsave {
            Some(_) => {
                asm!("xsave64 [{}]", in(reg) area, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack))
            }
            None => asm!("fxsave64 [{}]", in(reg) area, options(nostack)),
        }
    }
}

/// # Safety
///
/// The image can be loaded (X3).
unsafe fn restore_registers(area: &FpuArea) {
    // SAFETY: as above; the compiler itself uses none of these registers.
    unsafe {
        match Features::get().xsave {
            Some(_) => {
                asm!("xrstor64 [{}]", in(reg) area, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack))
            }
            None => asm!("fxrstor64 [{}]", in(reg) area, options(nostack)),
        }
    }
}
