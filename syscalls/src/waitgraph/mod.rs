//! `/sys/kernel/waitgraph`: what every thread waits for, who could wake it, and who waits in a circle.
//!
//! | module | subject |
//! |---|---|
//! | `waiters` | every thread and its wait |
//! | `relations` | who may wake whom |
//! | `graph` | cycles, on a plain graph |
//! | `text` | the file |
//!
//! The threads are looked at first, then those who may wake them, then the threads again: one that waits as it
//! did has waited all the time, so a cycle of such threads was there at one moment. No lock is held for longer
//! than it takes to copy one process, descriptor or queue; a reader may meet processes that come and go.

mod graph;
mod relations;
mod text;
mod waiters;

use base::caller::Caller;
use base::{Errno, Result};
use fs::pseudo::{Attributes, PseudoFile, Text};

/// Adds the file. Called once, when the tree of `/sys` stands.
pub fn publish() {
    let Some(sys) = fs::sysfs::sysfs() else { return };
    let attributes = Attributes::root(sys.tree.device(), 0o400);
    sys.kernel.add("waitgraph", PseudoFile::guarded(attributes, check_access, |_, text| show(text)));
}

/// Root alone may look: the file shows every process.
fn check_access(caller: &Caller) -> Result<()> {
    if caller.credentials.fsuid == 0 { Ok(()) } else { Err(Errno::EACCES) }
}

fn show(text: &mut Text) -> Result<()> {
    let (mut waiters, complete) = waiters::waiters();
    let mut relations = relations::Relations::of(&waiters);
    if !complete {
        relations.graph.truncate();
    }
    waiters.iter_mut().for_each(waiters::Waiter::look_again);
    // A full text is noticed by the frame.
    let _ = text::write(text, &waiters, &relations);
    Ok(())
}
