//! The signal frame on the user's stack: the layout that `rt_sigreturn(2)` reads back.
//!
//! From low to high addresses:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | return address: the restorer |
//! | 304 | `ucontext`: flags, link, stack, `sigcontext` (256), mask |
//! | 128 | `siginfo` |
//! | - | gap up to a multiple of 64 |
//! | n + 4 | floating-point image and its end marker |

use crate::machine::Registers;
use crate::signal::altstack::{AltStack, STACK_T_BYTES};
use crate::signal::info::SIGINFO_BYTES;
use crate::signal::set::SignalSet;

const CONTEXT_AT: usize = 8;
const STACK_AT: usize = CONTEXT_AT + 16;
const MACHINE_AT: usize = CONTEXT_AT + 40;
const MASK_AT: usize = MACHINE_AT + 256;
const INFO_AT: usize = MASK_AT + 8;

/// Bytes of the frame without the floating-point image.
pub const FRAME_BYTES: usize = INFO_AT + SIGINFO_BYTES;

/// Offset of the `ucontext` in the frame.
pub const UCONTEXT_OFFSET: u64 = CONTEXT_AT as u64;
/// Offset of the `siginfo` in the frame.
pub const SIGINFO_OFFSET: u64 = INFO_AT as u64;

/// `uc_flags`: the image has an XSAVE header.
const UC_FP_XSTATE: u64 = 1;
/// `uc_flags`: `ss` is saved and restored.
const UC_SIGCONTEXT_SS: u64 = 2;
const UC_STRICT_RESTORE_SS: u64 = 4;

const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;
const LEGACY_BYTES: usize = 512;
const DESCRIPTION_BYTES: usize = 48;
/// Bytes of the end marker.
pub const MARKER_BYTES: usize = 4;
/// Bytes below the stack pointer that compiled code may use without moving it.
const RED_ZONE: u64 = 128;

/// Direction, resume and trap flags, which a handler starts without.
const CLEARED_FLAGS: u64 = 1 << 10 | 1 << 16 | 1 << 8;
/// Flags that a program may set through sigreturn: AC, OF, DF, TF, SF, ZF, AF, PF, CF, RF.
const RESTORABLE_FLAGS: u64 =
    1 << 18 | 1 << 11 | 1 << 10 | 1 << 8 | 1 << 7 | 1 << 6 | 1 << 4 | 1 << 2 | 1 | 1 << 16;

/// Where the pieces of a new frame go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Address of the frame: the handler's stack pointer.
    pub frame: u64,
    /// Address of the floating-point image, a multiple of 64.
    pub image: u64,
}

/// Places a frame below `top` (the stack pointer, or the alternate stack's end).
#[must_use]
pub fn place(top: u64, on_alternate: bool, image_bytes: usize) -> Placement {
    let below = if on_alternate { top } else { top.wrapping_sub(RED_ZONE) };
    let image = below.wrapping_sub((image_bytes + MARKER_BYTES) as u64) & !63;
    // The handler starts as if it had been called: 8 below a multiple of 16.
    let frame = (image.wrapping_sub(FRAME_BYTES as u64) & !15).wrapping_sub(8);
    Placement { frame, image }
}

/// What the frame saves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Registers, as they are after the interrupted call has been settled.
    pub registers: Registers,
    /// The signal mask to return to.
    pub mask: SignalSet,
    /// The alternate stack.
    pub alternate: AltStack,
    /// Address of the last page fault, for handlers that look.
    pub fault_address: u64,
}

/// Offsets of the general registers in `sigcontext`, with the field of [`Registers`].
macro_rules! each_register {
    ($apply:ident) => {
        $apply!(r8 0, r9 8, r10 16, r11 24, r12 32, r13 40, r14 48, r15 56, rdi 64, rsi 72, rbp 80,
                rbx 88, rdx 96, rax 104, rcx 112, rsp 120, rip 128, rflags 136)
    };
}

/// The frame's bytes.
#[must_use]
pub fn encode(
    saved: &Saved,
    restorer: u64,
    info: &[u8; SIGINFO_BYTES],
    image: u64,
    has_xsave_header: bool,
) -> [u8; FRAME_BYTES] {
    let mut out = [0; FRAME_BYTES];
    let xstate = if has_xsave_header { UC_FP_XSTATE } else { 0 };
    put(&mut out, 0, restorer);
    put(&mut out, CONTEXT_AT, UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS | xstate);
    out[STACK_AT..STACK_AT + STACK_T_BYTES].copy_from_slice(&saved.alternate.to_bytes(saved.registers.rsp));
    let registers = &saved.registers;
    macro_rules! store {
        ($($name:ident $offset:literal),*) => { $(put(&mut out, MACHINE_AT + $offset, registers.$name);)* };
    }
    each_register!(store);
    let selectors = (registers.cs & 0xffff) | (registers.ss & 0xffff) << 48;
    put(&mut out, MACHINE_AT + 144, selectors);
    put(&mut out, MACHINE_AT + 152, registers.error);
    put(&mut out, MACHINE_AT + 160, registers.vector);
    put(&mut out, MACHINE_AT + 168, saved.mask.0);
    put(&mut out, MACHINE_AT + 176, saved.fault_address);
    put(&mut out, MACHINE_AT + 184, image);
    put(&mut out, MASK_AT, saved.mask.0);
    out[INFO_AT..].copy_from_slice(info);
    out
}

/// What sigreturn finds in a frame. Nothing in it is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Registers, with selectors and flags of a user thread whatever the frame said.
    pub registers: Registers,
    /// The mask to install.
    pub mask: SignalSet,
    /// The `stack_t` to install.
    pub stack: [u8; STACK_T_BYTES],
    /// Address of the floating-point image; 0 for none.
    pub image: u64,
}

/// Reads a frame back over the thread's present registers.
#[must_use]
pub fn decode(frame: &[u8; FRAME_BYTES], present: &Registers) -> Restored {
    let mut registers = *present;
    macro_rules! load {
        ($($name:ident $offset:literal),*) => { $(registers.$name = get(frame, MACHINE_AT + $offset);)* };
    }
    each_register!(load);
    registers.rflags = (registers.rflags & RESTORABLE_FLAGS) | (present.rflags & !RESTORABLE_FLAGS);
    let mut stack = [0; STACK_T_BYTES];
    stack.copy_from_slice(&frame[STACK_AT..STACK_AT + STACK_T_BYTES]);
    Restored { registers, mask: SignalSet(get(frame, MASK_AT)), stack, image: get(frame, MACHINE_AT + 184) }
}

/// The registers with which a handler starts.
#[must_use]
pub fn handler_registers(present: &Registers, frame: u64, handler: u64, signal: u8) -> Registers {
    Registers {
        rip: handler,
        rsp: frame,
        rax: 0,
        rdi: signal.into(),
        rsi: frame + SIGINFO_OFFSET,
        rdx: frame + UCONTEXT_OFFSET,
        rflags: present.rflags & !CLEARED_FLAGS,
        ..*present
    }
}

/// Offset in the image of what [`description`] gives.
pub const DESCRIPTION_AT: u64 = 464;

/// The software-reserved bytes of an image of this length, by which programs and sigreturn can tell how long it is.
#[must_use]
pub fn description(image_bytes: usize) -> [u8; DESCRIPTION_BYTES] {
    let mut out = [0; DESCRIPTION_BYTES];
    let features = features(image_bytes);
    if features != 0 {
        let length = image_bytes as u64;
        put(&mut out, 0, u64::from(MAGIC1) | (length + MARKER_BYTES as u64) << 32);
        put(&mut out, 8, features);
        put(&mut out, 16, length);
    }
    out
}

/// The end marker behind an image.
#[must_use]
pub fn end_marker() -> [u8; MARKER_BYTES] {
    MAGIC2.to_le_bytes()
}

/// True when an image of this length starts with an XSAVE header behind the legacy area.
#[must_use]
pub fn has_xsave_header(image_bytes: usize) -> bool {
    features(image_bytes) != 0
}

/// State components of an image in the standard format: x87 and SSE, and AVX when there is room for it.
fn features(image_bytes: usize) -> u64 {
    match image_bytes {
        0..=LEGACY_BYTES => 0,
        513..=576 => 3,
        _ => 7,
    }
}

fn put(out: &mut [u8], at: usize, value: u64) {
    out[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

fn get(frame: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&frame[at..at + 8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signal::info::SigInfo;
    use crate::signal::set::Signal;

    #[test]
    fn the_frame_has_the_size_and_alignment_of_the_abi() {
        assert_eq!(FRAME_BYTES, 440);
        for top in 0x7000_0000_0000_u64..0x7000_0000_0080 {
            let placed = place(top, false, 832);
            assert_eq!(placed.image % 64, 0);
            assert_eq!(placed.frame % 16, 8);
            assert!(placed.frame + FRAME_BYTES as u64 <= placed.image);
            assert!(placed.image + 836 <= top - RED_ZONE);
        }
    }

    #[test]
    fn sigreturn_restores_what_the_frame_saved_but_no_privilege() {
        let registers = Registers {
            rax: 1,
            rbx: 2,
            rsp: 0x1000,
            rip: 0x2000,
            rflags: 0x246,
            cs: 0x23,
            ss: 0x1b,
            ..Registers::default()
        };
        let saved = Saved { registers, mask: SignalSet(5), alternate: AltStack::default(), fault_address: 9 };
        let info = SigInfo::kernel(Signal::SIGUSR1).to_bytes();
        let mut frame = encode(&saved, 0x3000, &info, 0x4000, true);
        put(&mut frame, MACHINE_AT + 136, u64::MAX);
        let present = Registers { rflags: 0x202, cs: 0x23, ss: 0x1b, ..Registers::default() };
        let restored = decode(&frame, &present);
        assert_eq!((restored.registers.rbx, restored.registers.rip, restored.mask.0), (2, 0x2000, 5));
        assert_eq!(restored.registers.rflags & (3 << 12), 0, "no I/O privilege");
        assert_eq!(restored.registers.cs, 0x23);
        assert_eq!(restored.image, 0x4000);
    }
}
