//! Sessions, their controlling terminals, and what terminals ask about both. Source: `credentials(7)`,
//! `tty_ioctl(4)`.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use base::Result;
use base::caller::Caller;
use base::sync::{LockClass, SpinLock};
use fs::tty::job_control::{self, ControllingTerminal, JobControl};

use crate::process::{Process, groups, table};
use crate::signal::Signal;
use crate::thread::Thread;

/// The controlling terminal of each session that has one.
static TERMINALS: SpinLock<BTreeMap<u32, Arc<dyn ControllingTerminal>>> =
    SpinLock::new(LockClass::Session, BTreeMap::new());

/// setsid(2).
///
/// # Errors
///
/// `EPERM` for the leader of a process group.
pub fn start(process: &Process) -> Result<u32> {
    let mut table = table::lock();
    table.start_session(process.pid())?;
    table::publish_relations(&table, process.pid());
    Ok(process.pid())
}

/// The terminal that controls the session.
#[must_use]
pub fn terminal_of(session: u32) -> Option<Arc<dyn ControllingTerminal>> {
    TERMINALS.lock().get(&session).cloned()
}

/// The leader is exiting: the session loses its terminal.
pub(super) fn leader_exits(process: &Process) {
    detach(process.session());
}

/// Takes the terminal away from the whole session, and tells its foreground group.
fn detach(session: u32) {
    let Some(terminal) = TERMINALS.lock().remove(&session) else { return };
    let foreground = terminal.foreground();
    if foreground != 0 {
        groups::hang_up(foreground);
    }
    terminal.session_ended(session);
}

/// The calling thread. It is nearly always the one that runs here, which needs no look at the registry.
fn thread_of(caller: &Caller) -> Option<Arc<Thread>> {
    Thread::current().filter(|thread| thread.tid() == caller.tid).or_else(|| table::find_thread(caller.tid))
}

fn process_of(caller: &Caller) -> Option<Arc<Process>> {
    thread_of(caller).map(|thread| thread.process().clone())
}

/// What the personality answers to terminals.
struct Sessions;

impl JobControl for Sessions {
    fn session(&self, caller: &Caller) -> u32 {
        process_of(caller).map_or(0, |process| process.session())
    }

    fn group(&self, caller: &Caller) -> u32 {
        process_of(caller).map_or(0, |process| process.group())
    }

    fn session_of_group(&self, group: u32) -> Option<u32> {
        table::lock().group(group).map(|group| group.session)
    }

    fn is_orphaned(&self, group: u32) -> bool {
        table::lock().is_orphaned(group, None)
    }

    fn refuses(&self, caller: &Caller, signal: u32) -> bool {
        let Ok(signal) = i32::try_from(signal).map_or(Err(base::Errno::EINVAL), Signal::new) else {
            return false;
        };
        thread_of(caller).is_some_and(|thread| {
            thread.signals().mask().contains(signal)
                || thread.process().actions().get(signal).handler == crate::signal::action::SIG_IGN
        })
    }

    fn terminal(&self, caller: &Caller) -> Option<Arc<dyn ControllingTerminal>> {
        terminal_of(self.session(caller))
    }

    fn acquire(&self, caller: &Caller, terminal: Arc<dyn ControllingTerminal>) {
        let session = self.session(caller);
        let before = TERMINALS.lock().insert(session, terminal);
        drop(before);
    }

    fn release(&self, caller: &Caller) {
        let session = self.session(caller);
        if session == caller.pid {
            detach(session);
        }
    }
}

/// Lets terminals ask.
pub fn install() {
    job_control::install(&Sessions);
}
