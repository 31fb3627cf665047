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
    if core::ptr::eq(&raw const **sender.process(), target) {
        return Ok(());
    }
    let (ids, is_privileged) =
        sender.with_credentials(|own| ([own.euid, own.uid], own.capable(Capabilities::KILL)));
    let same_user = || ids_of(target).is_some_and(|theirs| ids.iter().any(|id| theirs.contains(id)));
    let continues =
        || signal == i32::from(Signal::SIGCONT.number()) && target.session() == sender.process().session();
    if is_privileged || same_user() || continues() { Ok(()) } else { Err(Errno::EPERM) }
}

/// Real and saved user id of a process; `None` for one that has ended, which only root may signal.
pub(super) fn ids_of(target: &Process) -> Option<[u32; 2]> {
    let resources = table::threads_of(target).iter().find_map(|thread| thread.resources())?;
    let credentials = &resources.caller.credentials;
    Some([credentials.uid, credentials.suid])
}
