//! The end of a thread, and of the process with its last one.
//!
//! ```text
//!   user words     clear_child_tid, robust futexes       while the memory is still there
//!   vfork          the parent goes on
//!   semaphores     what SEM_UNDO asked for
//!   descriptors    closed here, in the thread's own task: peers see EOF before wait(2) returns
//!   memory, place  let go
//!   last thread    children to their reaper, orphaned groups, controlling terminal,
//!                  zombie or gone, SIGCHLD, the parent's waits
//! ```

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use base::machine::Outcome;
use base::{Result, fault, machine};
use executor::pollwait::{Events, Reason};

use crate::futex;
use crate::mm::AddressSpace;
use crate::process::children::Change;
use crate::process::ending::ExitStatus;
use crate::process::program::Remains;
use crate::process::registry::INIT;
use crate::process::{Process, groups, session, table};
use crate::signal::action::{ActionFlags, SIG_IGN};
use crate::signal::child::child_info;
use crate::signal::deliver::thread_left;
use crate::signal::{SigInfo, Signal, send_to_process};
use crate::thread::clock::Share;
use crate::thread::{Thread, strace};
use crate::user::write_u32;

/// Takes the calling thread out of its process. Its task ends when this returns.
pub async fn leave(thread: Arc<Thread>) {
    let _spared = fault::spare();
    let process = thread.process().clone();
    release_memory(&thread).await;
    if let Some(list) = thread.semaphore_undo().leave() {
        // Rare, and so no part of every thread's future.
        Box::pin(list.take_back(process.pid())).await;
    }
    futex::pi::release_all(&thread, true);
    if let Some(resources) = thread.resources() {
        if thread.tid() == process.pid() {
            let credentials = resources.caller.credentials.clone();
            process.program().set_remains(Remains { name: thread.name().get(), credentials });
        }
        thread.set_resources(None);
        resources.files.leave().await;
        resources.handles.leave().await;
    }
    // Alone from here on there is no await, so that nobody on this CPU sees a step in between.
    thread.clock().pause(machine::now(), Share::System);
    process.usage().add(&thread.used());
    process.ending().thread_left(thread.exit_code());
    let (last, pass_on) = {
        let mut table = table::lock();
        let last = table.remove_thread(process.pid(), thread.tid());
        process.left();
        let heir = table.process(process.pid()).and_then(|node| node.threads.first().copied());
        let pass_on = match heir {
            Some(heir) if thread.has_children() => {
                table.hand_over_children(process.pid(), thread.tid(), heir)
            }
            _ => Vec::new(),
        };
        (last, pass_on)
    };
    thread.release_costs();
    for child in pass_on {
        parent_died(child);
    }
    thread_left(&thread);
    process.threads_source().wake_all(Events::IN, Reason::Data);
    strace::ended(&thread, process.ending().status().filter(|_| last));
    if last {
        end(&process);
    }
}

/// What exit(2) and execve(2) do before a thread lets go of its memory: the futex words that it left
/// with the kernel, and the parent that vfork(2) made wait.
pub async fn release_memory(thread: &Thread) {
    let (clear_tid, robust) = thread.words().take();
    if let Some(resources) = thread.resources() {
        let space = &resources.space;
        if robust != 0 {
            futex::robust::release(space, robust, thread.tid()).await;
        }
        futex::pi::release_all(thread, false);
        // Nobody else can see the word in a space that this thread has for itself.
        if clear_tid != 0 && is_shared(thread, space) {
            let _ = clear_word(space, clear_tid).await;
        }
    }
    thread.complete_vfork();
}

/// Zeroes the word that the thread named, and wakes who joins the thread by it.
///
/// # Errors
///
/// `EFAULT` for a bad address, which is the program's own affair.
async fn clear_word(space: &Arc<AddressSpace>, address: u64) -> Result<()> {
    write_u32(&**space, address, 0).await?;
    futex::wake_at(space, address).await;
    Ok(())
}

/// Whether another thread may look at this thread's memory.
fn is_shared(thread: &Thread, space: &Arc<AddressSpace>) -> bool {
    // Each user has one reference in its resources and one in the caller that is part of them.
    const OWN_REFERENCES: usize = 2;
    thread.process().live_threads() > 1 || Arc::strong_count(space) > OWN_REFERENCES
}

/// The last thread is gone.
fn end(process: &Arc<Process>) {
    let status = process.ending().finish();
    if process.pid() == INIT {
        machine().power_off(Outcome::Exit(status.to_shell_status()));
    }
    process.report().clear();
    process.timers().end();
    process.program().set_file(None);
    if process.is_session_leader() {
        session::leader_exits(process);
    }
    let adopted = {
        let mut table = table::lock();
        let adopted = table.orphan(process.pid());
        for child in &adopted {
            // In one step with the adoption: what its maker had chosen must not reach the new parent, nor a sibling
            // that it makes.
            if let Some(node) = table.process(child.child) {
                node.payload.set_exit_signal(Signal::SIGCHLD.number().into());
            }
            table::publish_relations(&table, child.child);
        }
        adopted
    };
    groups::orphaned_by(process);
    for child in adopted {
        parent_died(child.child);
        if let Some(orphan) = table::find_process(child.child) {
            groups::orphaned_by_adoption(process, &orphan);
            if child.zombie {
                tell_parent(&orphan);
            }
        }
    }
    become_zombie(process);
}

/// `PR_SET_PDEATHSIG`: the thread that made `child` has ended.
fn parent_died(child: u32) {
    let Some(process) = table::find_process(child) else { return };
    let signals = table::threads_of(&process).into_iter().filter_map(|thread| thread.parent_death_signal());
    for signal in signals {
        // A real-time signal that finds no room is lost, as on Linux.
        let _ = send_to_process(&process, SigInfo::kernel(signal));
    }
}

/// The two steps in which a process becomes a zombie: whoever looks between them waits for the second,
/// so that the signal is never late and never early.
fn become_zombie(process: &Arc<Process>) {
    table::lock().become_zombie(process.pid());
    process.set_ended();
    tell_parent(process);
}

/// Tells the parent that `child` is a zombie, or takes the zombie away when the parent does not care.
fn tell_parent(child: &Arc<Process>) {
    let (parent, signal) = {
        // Together: an adoption changes both.
        let table = table::lock();
        (table.process(child.parent()).map(|node| node.payload.clone()), child.exit_signal())
    };
    let mut ignored = false;
    if let (Some(parent), Some(signal)) = (&parent, signal) {
        let action = parent.actions().get(Signal::SIGCHLD);
        let nobody_waits = signal == Signal::SIGCHLD
            && (action.handler == SIG_IGN || action.flags.contains(ActionFlags::NOCLDWAIT));
        if !(signal == Signal::SIGCHLD && action.handler == SIG_IGN) {
            let status = child.ending().status().unwrap_or(ExitStatus::Code(0));
            let (code, number) = Change::Ended(status).to_siginfo();
            let info = SigInfo { signal, ..child_info(child, code, number) };
            // A standard signal always finds its place.
            let _ = send_to_process(parent, info);
        }
        ignored = nobody_waits;
    }
    {
        let mut table = table::lock();
        if let Some(node) = table.process_mut(child.pid()) {
            node.reported = true;
        }
        if ignored || parent.is_none() {
            drop(table.reap(child.pid()));
        }
    }
    if let Some(parent) = parent {
        parent.children_source().wake_all(Events::IN, Reason::Data);
    }
}
