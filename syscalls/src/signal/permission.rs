//! Who may signal whom. Source: `kill(2)`.

use base::caller::Capabilities;
use base::{Errno, Result};

use crate::process::{Process, table};
use crate::signal::Signal;
use crate::thread::Thread;

/// Checks that `sender` may send signal number `signal` (0 for none) to `target`.
///
/// # Errors
///
/// `EPERM` when neither the user ids match nor `CAP_KILL` is there. `SIGCONT` passes within a session.
pub fn may_signal(sender: &Thread, target: &Process, signal: i32) -> Result<()> {
    let own = sender.credentials();
    let same_user = ids_of(target).is_some_and(|ids| [own.euid, own.uid].iter().any(|id| ids.contains(id)));
    let same_process = core::ptr::eq(&raw const **sender.process(), target);
    let continues =
        signal == i32::from(Signal::SIGCONT.number()) && target.session() == sender.process().session();
    if same_process || same_user || continues || own.capable(Capabilities::KILL) {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

/// Real and saved user id of a process; `None` for one that has ended, which only root may signal.
fn ids_of(target: &Process) -> Option<[u32; 2]> {
    let resources = table::threads_of(target).iter().find_map(|thread| thread.resources())?;
    let credentials = &resources.caller.credentials;
    Some([credentials.uid, credentials.suid])
}
