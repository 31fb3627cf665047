//! Who am I: the ids that need no lock.

use base::Result;

use crate::declare;
use crate::thread::Thread;

declare! {
    sync 39 => getpid();
    sync 186 => gettid();
}

fn getpid(thread: &Thread) -> Result<u64> {
    Ok(thread.process().pid().into())
}

fn gettid(thread: &Thread) -> Result<u64> {
    Ok(thread.tid().into())
}
