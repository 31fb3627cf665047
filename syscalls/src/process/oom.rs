//! Who dies when a page fault finds no memory: the process that its death gives most.

use alloc::boxed::Box;
use alloc::sync::Arc;

use base::frame::PAGE_SIZE;
use base::machine;
use base::memory::BoxFuture;
use executor::pollwait::Wait;

use crate::mm::oom::{Candidate, OutOfMemory, Relief, install as install_killer, select_victim};
use crate::process::ending::ExitStatus;
use crate::process::registry::INIT;
use crate::process::{Process, table};
use crate::signal::Signal;
use crate::signal::send::end_process;
use crate::thread::Thread;

/// `oom_score_adj` of a process that is never chosen.
const NEVER: i32 = -1000;

/// The killer.
struct Killer;

impl OutOfMemory for Killer {
    fn relieve(&self) -> BoxFuture<'_, Relief> {
        Box::pin(async {
            let own = Thread::current();
            // Somebody is on the way out already: that may be enough.
            let dying = table::all_processes().into_iter().find(|process| is_leaving(process));
            let victim = match dying {
                Some(process) => process,
                None => match choose() {
                    Some(process) => process,
                    None => return Relief::Die,
                },
            };
            log::warn!("out of memory: process {} ends", victim.pid());
            end_process(&victim, ExitStatus::Signal { signal: Signal::SIGKILL, core: false });
            if own.is_some_and(|own| own.process().pid() == victim.pid()) {
                return Relief::Die;
            }
            loop {
                let seen = victim.threads_source().observe();
                if victim.live_threads() == 0 {
                    return Relief::Retry;
                }
                let _ = victim.threads_source().wait(seen, Wait::uninterruptible()).await;
            }
        })
    }
}

fn is_leaving(process: &Process) -> bool {
    process.ending().status().is_some() && process.live_threads() > 0
}

fn choose() -> Option<Arc<Process>> {
    let processes = table::all_processes();
    let victim = select_victim(processes.iter().map(candidate), memory())?;
    processes.into_iter().find(|process| process.pid() == victim.pid)
}

pub(crate) fn candidate(process: &Arc<Process>) -> Candidate {
    let space = process.space();
    let adjustment = process.program().oom_adjustment().value;
    Candidate {
        pid: process.pid(),
        resident_pages: space.as_ref().map_or(0, |space| space.page_table().resident()),
        table_bytes: space.as_ref().map_or(0, |space| space.page_table().table_bytes()),
        charged_bytes: process.account().charged(),
        adjustment,
        killable: process.pid() != INIT && process.live_threads() > 0 && adjustment > NEVER,
    }
}

/// Bytes of memory that the machine has.
pub(crate) fn memory() -> usize {
    machine().frames().total() * PAGE_SIZE
}

/// Makes page faults ask here.
pub fn install() {
    install_killer(&Killer);
}
