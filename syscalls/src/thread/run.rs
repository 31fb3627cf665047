//! A thread is a task: this is its loop.
//!
//! ```text
//!            +---------------------------------------------------+
//!            v                                                   |
//!   run_user: ring 3, and the calls that answer at once          |
//!      | other calls  -> dispatch(...).await -> rax              |
//!      | page fault   -> resolve, or queue SIGSEGV / SIGBUS      |
//!      | exception    -> queue the signal                        |
//!      | interrupt    -> give way when the slice is over         |
//!      v                                                         |
//!   attention: die, stop, deliver signals -----------------------+
//! ```
//!
//! A syscall that need not wait goes round without a lock, an allocation or a look at the clock.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::pin::pin;

use base::{Errno, Result, fault};

use crate::declare::Syscall;
use crate::families::channel_wait::Rest;
use crate::machine::{FaultAccess, PageTable, Trap, UserContext, user_machine};
use crate::process::ending::ExitStatus;
use crate::process::exit;
use crate::signal::send::end_process;
use crate::signal::{Interrupted, SigInfo, Signal, deliver, force};
use crate::thread::Thread;
use crate::thread::attention::Reasons;
use crate::thread::clock::Share;
use crate::thread::dispatch::{Call, answer, dispatch, finish};
use crate::thread::drive::Drive;
use crate::thread::{exception, watched};
use crate::user::write_u32;

/// What a new thread does before its first instruction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    /// Where to write its id (`CLONE_CHILD_SETTID`), 0 for nowhere.
    pub child_tid: u64,
}

/// The first error number that is no answer but a restart code.
const FIRST_RESTART_CODE: u16 = 512;

/// Runs the thread to its end. It ends only by returning; nobody drops it.
pub async fn run(thread: Arc<Thread>, mut context: UserContext, start: Start) {
    thread.adopt_task();
    thread.resumed();
    if start.child_tid != 0 {
        // As on Linux, a bad address is the program's own affair.
        let space = thread.space();
        let write = pin!(write_u32(&*space, start.child_tid, thread.tid()));
        let _ = Drive::new(&thread, write).saving(&mut context).await;
    }
    let mut table = thread.space().page_table().clone();
    // Of the call in flight; here, so that it is written once and stays where it is.
    let mut rest = Rest::default();
    loop {
        if !thread.attention().get().is_empty() && !attend(&thread, &mut context, &mut table, None).await {
            break;
        }
        let (event, sampled) = run_user(&thread, &mut context, &table, &mut rest);
        let interrupted = match event {
            Event::Answered(interrupted) => interrupted,
            // Killed: the attention word says so too.
            Event::Call(syscall) => {
                let result = dispatch(&thread, &mut context, syscall).await;
                result.and_then(|result| give(&mut context, result))
            }
            Event::Wait(syscall) => {
                // As `dispatch::go_on`, but here: what waits most often is no future of its own.
                let result = match rest.waiting() {
                    Some(waiting) => {
                        let wait = pin!(waiting.wait());
                        Drive::new(&thread, waiting.receive(wait)).publishing().saving(&mut context).await
                    }
                    None => None,
                };
                rest.clear();
                finish(syscall, result).and_then(|result| give(&mut context, result))
            }
            Event::WatchedCall => {
                // Boxed: what is switched off is not to make every thread larger.
                let result = Box::pin(watched::call(&thread, &mut context)).await;
                result.and_then(|result| give(&mut context, result))
            }
            Event::PageFault { address, access } => {
                page_fault(&thread, &mut context, address, access).await;
                None
            }
            Event::Interrupt => {
                interrupt(&thread, &mut context).await;
                None
            }
        };
        if sampled {
            thread.clock().sample_ends();
        }
        if interrupted.is_some() && !attend(&thread, &mut context, &mut table, interrupted).await {
            break;
        }
    }
    user_machine().discard_fpu(&mut context);
    drop((context, table));
    exit::leave(thread).await;
}

/// What brought a thread back to its loop.
enum Event {
    /// A call that may wait.
    Call(&'static Syscall),
    /// A call of which only the wait is left.
    Wait(&'static Syscall),
    /// A call that somebody watches.
    WatchedCall,
    /// A call or an exception after which something wants the thread's attention.
    Answered(Option<Interrupted>),
    /// A missing page.
    PageFault { address: u64, access: FaultAccess },
    /// An interrupt of the machine.
    Interrupt,
}

/// Ring 3 and the calls that answer at once, again and again, until there is something to await. The second
/// value says whether the clock measures what comes now.
///
/// It is no future, so that what it goes round with stays in the processor's registers.
fn run_user(
    thread: &Thread,
    context: &mut UserContext,
    table: &Arc<dyn PageTable>,
    rest: &mut Rest,
) -> (Event, bool) {
    let machine = user_machine();
    let clock = thread.clock();
    loop {
        let sampled = clock.count_call();
        if sampled {
            clock.sample_begins();
        }
        let trap = machine.run_user(context, table);
        if sampled {
            clock.account(Share::User);
        }
        let interrupted = match trap {
            Trap::Syscall if !thread.attention().watched().is_empty() => {
                return (Event::WatchedCall, sampled);
            }
            Trap::Syscall => match answer(thread, &context.registers, rest) {
                Call::Done(result) => give(context, result),
                Call::Await(syscall) => return (Event::Call(syscall), sampled),
                Call::Wait(syscall) => return (Event::Wait(syscall), sampled),
            },
            Trap::PageFault { address, access, .. } => {
                return (Event::PageFault { address, access }, sampled);
            }
            Trap::Interrupt => return (Event::Interrupt, sampled),
            Trap::Exception { vector, error } => {
                force(thread, exception::signal_for(vector, error, context.registers.rip));
                None
            }
        };
        if interrupted.is_some() || !thread.attention().get().is_empty() {
            return (Event::Answered(interrupted), sampled);
        }
        if sampled {
            clock.sample_ends();
        }
    }
}

/// The answer goes to `rax`, unless it is a restart code, which goes to the signals.
#[inline]
fn give(context: &mut UserContext, result: Result<u64>) -> Option<Interrupted> {
    let number = context.registers.rax;
    match result {
        Ok(value) => {
            context.registers.rax = value;
            None
        }
        Err(error) => {
            context.registers.rax = error.as_return_value();
            (error.number() >= FIRST_RESTART_CODE).then_some(Interrupted { number, error })
        }
    }
}

/// Looks at everything that others want of the thread. False when it has to exit.
async fn attend(
    thread: &Arc<Thread>,
    context: &mut UserContext,
    table: &mut Arc<dyn PageTable>,
    interrupted: Option<Interrupted>,
) -> bool {
    let reasons = thread.attention().get();
    if reasons.contains(Reasons::DIE) {
        return false;
    }
    if reasons.contains(Reasons::SPACE) {
        thread.attention().clear(Reasons::SPACE);
        *table = thread.space().page_table().clone();
    }
    if reasons.contains(Reasons::MOVE) {
        thread.attention().clear(Reasons::MOVE);
        interrupt(thread, context).await;
    }
    if reasons.intersects(Reasons::SIGNAL | Reasons::STOP | Reasons::WORK) || interrupted.is_some() {
        thread.attention().clear(Reasons::WORK);
        user_machine().save_fpu(context);
        let mut future = pin!(deliver(thread, context, interrupted));
        let _ = Drive::new(thread, future.as_mut()).await;
    }
    !thread.attention().is_dying()
}

/// A page is missing, or does not allow what the program did.
async fn page_fault(thread: &Arc<Thread>, context: &mut UserContext, address: u64, access: FaultAccess) {
    let _spared = fault::spare();
    let space = thread.space();
    let mut fault = pin!(space.handle_fault(address, access));
    let drive = Drive::new(thread, fault.as_mut()).saving(context);
    match drive.await {
        Some(Ok(())) => thread.usage().count_fault(false),
        Some(Err(deserved)) => {
            thread.set_fault_address(deserved.address);
            match signal_of(deserved.signo) {
                Ok(Signal::SIGKILL) | Err(_) => kill(thread),
                Ok(signal) => force(thread, SigInfo::fault(signal, deserved.code, deserved.address)),
            }
        }
        None => {}
    }
}

fn signal_of(number: u8) -> Result<Signal> {
    Signal::new(number.into()).map_err(|_| Errno::EINVAL)
}

/// An interrupt brought the thread back from ring 3: perhaps others have waited long enough, or it may not run here.
async fn interrupt(thread: &Arc<Thread>, context: &mut UserContext) {
    if executor::slice_over() {
        user_machine().save_fpu(context);
        thread.usage().count_switch(false);
        thread.clock().pause(executor::poll_ends(), Share::Mixed);
        executor::yield_now().await;
        thread.resumed();
    }
}

/// There is no memory for it, and it was chosen to give some back.
fn kill(thread: &Arc<Thread>) {
    end_process(thread.process(), ExitStatus::Signal { signal: Signal::SIGKILL, core: false });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a thread's future may take: with what async-task adds it fits the heap's class of 1536 bytes.
    const BUDGET: usize = 1456;

    fn size_of_future<F: Future>(_run: fn(Arc<Thread>, UserContext, Start) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_future_of_a_thread_fits_its_budget() {
        let size = size_of_future(run);
        assert!(size <= BUDGET, "{size} bytes");
    }
}
