//! From a trapped `syscall` instruction to its handler, and back.

use alloc::boxed::Box;
use core::pin::pin;

use base::fault;
use base::memory::BoxFuture;
use base::sync::atomic::{AtomicU64, Ordering};
use base::{Errno, Result};

use crate::declare::{Arguments, Entry, Syscall, Tried};
use crate::families::channel_wait::Rest;
use crate::machine::{Registers, UserContext, user_machine};
use crate::table;
use crate::thread::drive::Drive;
use crate::thread::revocable::Revocable;
use crate::thread::{Thread, counts};

/// Number that [`Published`] shows while no syscall is blocked.
const NOT_BLOCKED: u64 = u64::MAX;

/// The syscall a thread is blocked in, published at its first wait so that nobody has to look into
/// a pinned future. Readers may see a mixture of two calls; they show it to people, nothing else.
#[derive(Debug)]
pub struct Published {
    number: AtomicU64,
    arguments: [AtomicU64; 6],
    stack_pointer: AtomicU64,
    instruction_pointer: AtomicU64,
}

impl Default for Published {
    fn default() -> Self {
        Published {
            number: AtomicU64::new(NOT_BLOCKED),
            arguments: Default::default(),
            stack_pointer: AtomicU64::new(0),
            instruction_pointer: AtomicU64::new(0),
        }
    }
}

/// What [`Published::get`] shows: the contents of `/proc/<pid>/syscall`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockedCall {
    /// Syscall number.
    pub number: u64,
    /// Its arguments.
    pub arguments: Arguments,
    /// User stack pointer.
    pub stack_pointer: u64,
    /// User instruction pointer, behind the `syscall` instruction.
    pub instruction_pointer: u64,
}

impl BlockedCall {
    /// The call in a thread's registers.
    #[inline]
    pub(super) fn of(registers: &Registers) -> BlockedCall {
        BlockedCall {
            number: registers.rax,
            arguments: registers.arguments(),
            stack_pointer: registers.rsp,
            instruction_pointer: registers.rip,
        }
    }
}

impl Published {
    #[inline]
    pub(super) fn set(&self, call: &BlockedCall) {
        for (slot, value) in self.arguments.iter().zip(call.arguments) {
            slot.store(value, Ordering::Relaxed);
        }
        self.stack_pointer.store(call.stack_pointer, Ordering::Relaxed);
        self.instruction_pointer.store(call.instruction_pointer, Ordering::Relaxed);
        self.number.store(call.number, Ordering::Release);
    }

    pub(super) fn clear(&self) {
        self.number.store(NOT_BLOCKED, Ordering::Release);
    }

    /// The blocked call, if the thread is blocked in one.
    #[must_use]
    pub fn get(&self) -> Option<BlockedCall> {
        let number = self.number.load(Ordering::Acquire);
        (number != NOT_BLOCKED).then(|| BlockedCall {
            number,
            arguments: core::array::from_fn(|i| self.arguments[i].load(Ordering::Relaxed)),
            stack_pointer: self.stack_pointer.load(Ordering::Relaxed),
            instruction_pointer: self.instruction_pointer.load(Ordering::Relaxed),
        })
    }
}

/// What a trapped `syscall` instruction asks for.
pub(super) enum Call {
    /// This was it; the error may be one of the restart codes.
    Done(Result<u64>),
    /// To be awaited: [`dispatch`].
    Await(&'static Syscall),
    /// Its try before the future left the wait to do, which is in `rest`.
    Wait(&'static Syscall),
}

/// Looks up the syscall in the registers, and makes it if it can answer at once. What a call that has to wait leaves to
/// do goes into `rest`.
#[inline(always)]
pub(super) fn answer(thread: &Thread, registers: &Registers, rest: &mut Rest) -> Call {
    let slot = table::slot(registers.rax);
    counts::count(slot);
    match table::at(slot) {
        Some(syscall) => {
            let tried = match syscall.entry {
                Entry::Sync(handler) => Tried::Done(handler(thread, registers)),
                Entry::Async { attempt: Some(attempt), .. } => attempt(thread, registers, rest),
                _ => Tried::Nothing,
            };
            match tried {
                Tried::Nothing | Tried::Done(Err(Errno::ENOPAGE)) => Call::Await(syscall),
                Tried::Done(result) => Call::Done(result.map_err(|error| syscall.settle(error))),
                Tried::Waits => Call::Wait(syscall),
            }
        }
        None => Call::Done(Err(Errno::ENOSYS)),
    }
}

/// Makes a call that may wait. `None` when the thread was killed meanwhile; the call was dropped then.
///
/// Dropping the future drops the call in flight, with what that leaves behind.
pub(super) async fn dispatch(
    thread: &Thread,
    context: &mut UserContext,
    syscall: &'static Syscall,
) -> Option<Result<u64>> {
    let result = match syscall.entry {
        Entry::Sync(handler) => {
            let future = pin!(call_again(thread, context.registers, handler));
            Drive::new(thread, future).publishing().saving(context).await
        }
        Entry::Async { start, .. } => {
            let arguments = context.registers.arguments();
            let future = pin!(start(thread, arguments));
            let future = pin!(Revocable::new(thread, syscall, &arguments, future));
            Drive::new(thread, future).publishing().saving(context).await
        }
        Entry::Context(handler) => {
            // The handler borrows the registers and may copy the floating-point image, so the
            // image is brought up to date first and needs no saving when the call waits.
            user_machine().save_fpu(context);
            let call = BlockedCall::of(&context.registers);
            let arguments = call.arguments;
            let future = pin!(handler(thread, context, arguments));
            Drive::new(thread, future).publishing_as(&call).await
        }
    };
    finish(syscall, result)
}

/// Goes on with a call whose try before the future left only the wait, which is in `rest`. As [`dispatch`]; for threads
/// that are watched. Boxed, so that the loop of the others has [`Receiving`](crate::families::channel_wait::Receiving) in
/// line with it.
pub(super) async fn go_on(
    thread: &Thread,
    context: &mut UserContext,
    syscall: &'static Syscall,
    rest: &mut Rest,
) -> Option<Result<u64>> {
    let result = match rest.waiting() {
        Some(waiting) => {
            let wait = pin!(waiting.wait());
            let receiving: BoxFuture<'_, _> = Box::pin(waiting.receive(wait));
            Drive::new(thread, receiving).publishing().saving(context).await
        }
        None => None,
    };
    rest.clear();
    finish(syscall, result)
}

/// The end of a call that may have waited: its error as the program or the restart is to see it.
pub(super) fn finish(syscall: &Syscall, result: Option<Result<u64>>) -> Option<Result<u64>> {
    // Asked of every such call: what one leaves behind would be taken for the next one's.
    let cut_short = fault::was_cut_short();
    result.map(|result| {
        result.map_err(|error| match syscall.settle(error) {
            // As if a handler without SA_RESTART had run.
            error if cut_short && error.number() >= Errno::ERESTARTSYS.number() => Errno::EINTR,
            error => error,
        })
    })
}

/// Makes a call that answers at once, and found that it has to fault user memory in first.
async fn call_again(
    thread: &Thread,
    registers: Registers,
    handler: fn(&Thread, &Registers) -> Result<u64>,
) -> Result<u64> {
    loop {
        thread.fault_missing_in().await?;
        match handler(thread, &registers) {
            Err(Errno::ENOPAGE) => {}
            result => return result,
        }
    }
}
