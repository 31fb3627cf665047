//! Waiting for a child's change of state: wait4(2), waitid(2).

use base::{Errno, Result};
use executor::pollwait::{Reason, Wait};

use crate::process::children::{Found, Look, Search, Selector, WaitOptions, look};
use crate::process::table;
use crate::thread::Thread;

/// Waits until a child of the caller's process has something to report, and takes it; `None` with
/// `WNOHANG` when none has.
///
/// Dropping the future leaves every child as it was.
///
/// # Errors
///
/// `ECHILD` when there is no such child; `EINTR`.
pub async fn wait(thread: &Thread, selector: Selector, options: WaitOptions) -> Result<Option<Found>> {
    let process = thread.process();
    let search = Search { pid: process.pid(), tid: thread.tid(), selector, options };
    let source = process.children_source();
    let mut interrupted = false;
    loop {
        let seen = source.observe();
        let looked = look(&mut table::lock(), &search)?;
        match looked {
            Look::Found(found) => return Ok(Some(found)),
            Look::Soon => {
                executor::yield_now().await;
                continue;
            }
            Look::Nothing => {}
        }
        if options.contains(WaitOptions::NOHANG) {
            return Ok(None);
        }
        if interrupted {
            return Err(Errno::EINTR);
        }
        // A child's SIGCHLD comes before the wake that it sends: whoever is interrupted looks once more, so that a
        // child's own signal never keeps the caller from it.
        interrupted = source.wait(seen, Wait::interruptible()).await == Reason::Signal;
    }
}
