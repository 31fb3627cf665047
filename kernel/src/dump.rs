//! What every task is doing, for dumps from an NMI, a panic or a deadlock: no lock is waited for.

use core::fmt;
use core::mem::ManuallyDrop;

use executor::{TaskRef, WaitSnapshot};
use syscalls::thread::Thread;

use crate::arch::emergency;
use crate::{boot, memory};

/// Prints the state of memory, and every unfinished task with its last wait.
pub fn tasks() {
    emergency::line(format_args!("{}", memory::Summary));
    let Some(executor) = boot::executor() else { return };
    let complete = executor.try_for_each_task(|task| {
        let (id, cpu, state) = (task.id(), task.cpu(), task.state());
        let kind = if task.is_daemon() { "daemon" } else { "task" };
        let wait = Wait(task.last_wait());
        let call = BlockedCall(task);
        let print = |name: &str| {
            emergency::line(format_args!("{kind} {id} \"{name}\" cpu {cpu} {state:?}{call}{wait}"))
        };
        if task.try_with_name(print).is_none() {
            print("?");
        }
    });
    if !complete {
        emergency::line(format_args!("the list of tasks was in use"));
    }
}

/// The thread that a task runs and the syscall it is blocked in, as a part of its line.
struct BlockedCall<'a>(&'a TaskRef);

impl fmt::Display for BlockedCall<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(thread) = self.0.local().and_then(|local| local.downcast::<Thread>().ok()) else {
            return Ok(());
        };
        // Never dropped: an NMI may not free memory, and a dump ends the run.
        let thread = ManuallyDrop::new(thread);
        write!(out, " pid {} tid {}", thread.process().pid(), thread.tid())?;
        let Some(call) = thread.published().get() else { return Ok(()) };
        let Some(syscall) = syscalls::table::lookup(call.number) else {
            return write!(out, " in {}()", call.number);
        };
        write!(out, " in {}(", syscall.name)?;
        for (index, (parameter, value)) in syscall.arguments.iter().zip(call.arguments).enumerate() {
            out.write_str(if index > 0 { ", " } else { "" })?;
            (parameter.render)(value, out)?;
        }
        out.write_str(")")
    }
}

/// A task's last wait, as a part of its line.
struct Wait(Option<WaitSnapshot>);

impl fmt::Display for Wait {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(wait) = &self.0 else { return Ok(()) };
        write!(out, ", wait {}", wait.kind.name())?;
        if wait.object != 0 {
            write!(out, " object {:#x}", wait.object)?;
        }
        if !wait.events.is_empty() && !wait.events.is_all() {
            out.write_str(" for ")?;
            bitflags::parser::to_writer(&wait.events, &mut *out)?;
        }
        if let Some(deadline) = wait.deadline {
            write!(out, " until {} ns", deadline.as_nanos())?;
        }
        match wait.ended {
            Some(reason) => write!(out, ", ended by {reason:?}"),
            None => Ok(()),
        }
    }
}
