//! Into a signal handler, and back out of it: what is saved on the user's stack, and restored from there.
//!
//! Both work on what is resident and change nothing until they can't fail any more; when a page is missing they
//! fault it in and start over. So nothing as large as a frame lives in a thread's future.

use base::{Errno, Result};

use crate::declare::Pointer;
use crate::machine::{FPU_IMAGE_BYTES, UserContext, user_machine};
use crate::signal::action::{Action, ActionFlags};
use crate::signal::altstack::{AltStack, SS_AUTODISARM};
use crate::signal::frame::{self, FRAME_BYTES, Restored, Saved};
use crate::signal::{SigInfo, SignalSet, set_mask};
use crate::thread::Thread;

/// Builds the frame and points the registers at the handler. Dropped midway: the stack below the stack pointer
/// may have been written.
///
/// # Errors
///
/// `EFAULT` when the frame cannot be written; nothing has changed for the thread then.
pub(super) async fn call_handler(
    thread: &Thread,
    context: &mut UserContext,
    info: &SigInfo,
    action: &Action,
) -> Result<()> {
    if !action.flags.contains(ActionFlags::RESTORER) {
        return Err(Errno::EFAULT);
    }
    user_machine().save_fpu(context);
    let alternate = thread.signals().alternate();
    let (frame, on_alternate) = loop {
        match write_frame(thread, context, info, action, alternate) {
            Err(Errno::ENOPAGE) => thread.fault_missing_in().await?,
            result => break result?,
        }
    };
    if on_alternate && alternate.flags & SS_AUTODISARM != 0 {
        thread.signals().clear_alternate();
    }
    enter(thread, context, info, action, frame);
    Ok(())
}

/// Writes the frame, and says where it is, and whether that is on the alternate stack.
fn write_frame(
    thread: &Thread,
    context: &UserContext,
    info: &SigInfo,
    action: &Action,
    alternate: AltStack,
) -> Result<(u64, bool)> {
    let (top, on_alternate) = stack_for(&alternate, context.registers.rsp, action.flags);
    let image = context.fpu.image();
    let placed = frame::place(top, on_alternate, image.len());
    if on_alternate && !alternate.holds(placed.frame) {
        return Err(Errno::EFAULT);
    }
    let saved = Saved {
        registers: context.registers,
        mask: thread.signals().lasting_mask(),
        alternate,
        fault_address: thread.fault_address(),
    };
    let has_header = frame::has_xsave_header(image.len());
    let bytes = frame::encode(&saved, action.restorer, &info.to_bytes(), placed.image, has_header);
    thread.put(Pointer(placed.image), image)?;
    thread.put(Pointer(placed.image + frame::DESCRIPTION_AT), &frame::description(image.len()))?;
    thread.put(Pointer(placed.image + image.len() as u64), &frame::end_marker())?;
    thread.put(Pointer(placed.frame), &bytes)?;
    Ok((placed.frame, on_alternate))
}

/// The handler is what runs next.
fn enter(thread: &Thread, context: &mut UserContext, info: &SigInfo, action: &Action, frame: u64) {
    let signals = thread.signals();
    context.registers =
        frame::handler_registers(&context.registers, frame, action.handler, info.signal.number());
    context.full_restore = true;
    user_machine().discard_fpu(context);
    context.fpu.reset();
    // The frame has the mask to return to, which is the one from before a mask was borrowed.
    let _ = signals.take_borrowed();
    let own = match action.flags.contains(ActionFlags::NODEFER) {
        true => SignalSet::EMPTY,
        false => SignalSet::of(&[info.signal]),
    };
    let _ = set_mask(thread, signals.mask().union(action.mask).union(own));
}

/// The stack that the frame goes on, and whether it is the alternate one.
fn stack_for(alternate: &AltStack, stack_pointer: u64, flags: ActionFlags) -> (u64, bool) {
    if alternate.contains(stack_pointer) {
        return (stack_pointer, true);
    }
    if flags.contains(ActionFlags::ONSTACK) && alternate.is_armed() {
        return (alternate.top(), true);
    }
    (stack_pointer, false)
}

/// Restores what the frame at the stack pointer saved: sigreturn(2). Dropped midway: nothing has changed.
///
/// # Errors
///
/// `EFAULT` when the frame cannot be read; nothing has changed for the thread then.
pub async fn return_from_handler(thread: &Thread, context: &mut UserContext) -> Result<()> {
    let (restored, image) = loop {
        match read_frame(thread, context) {
            Err(Errno::ENOPAGE) => thread.fault_missing_in().await?,
            result => break result?,
        }
    };
    user_machine().discard_fpu(context);
    match image {
        Some(image) => context.fpu.set_image(&image[..context.fpu.image().len()])?,
        None => context.fpu.reset(),
    }
    context.registers = restored.registers;
    context.full_restore = true;
    let _ = set_mask(thread, restored.mask);
    // As Linux: a stack that can't be installed is no reason to fail.
    if let Ok(stack) = thread.signals().alternate().replace(&restored.stack, context.registers.rsp) {
        thread.signals().set_alternate(stack);
    }
    Ok(())
}

/// Reads the frame and its floating-point image, if it has one.
fn read_frame(thread: &Thread, context: &UserContext) -> Result<(Restored, Option<[u8; FPU_IMAGE_BYTES]>)> {
    // The handler's `ret` popped the return address.
    let at = context.registers.rsp.wrapping_sub(8);
    let mut bytes = [0; FRAME_BYTES];
    thread.get(Pointer(at), &mut bytes)?;
    let restored = frame::decode(&bytes, &context.registers);
    if restored.image == 0 {
        return Ok((restored, None));
    }
    let mut image = [0; FPU_IMAGE_BYTES];
    thread.get(Pointer(restored.image), &mut image[..context.fpu.image().len()])?;
    Ok((restored, Some(image)))
}
