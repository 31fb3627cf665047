//! Waiting for several files at once: poll(2) and select(2).
//!
//! The first look costs no allocation. Whoever has to wait puts a watch on every source of every file, and
//! looks at all of them after each wake.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::caller::Caller;
use base::charge::Charge;
use base::time::Instant;
use base::{Errno, Result, machine};
use executor::pollwait::{Events, Reason, Wait, WaitKind, WaitSource, Watch, Watcher};

use crate::file::{FdTable, OpenFile};
use crate::handle::REVOKED;

/// Kernel memory that a watch takes.
const WATCH_BYTES: usize = 128;

/// One file of a poll.
pub struct PollEntry {
    /// The file; `None` is never ready (a negative descriptor).
    pub file: Option<Arc<OpenFile>>,
    /// The descriptor, which is looked up again after each wake.
    pub fd: i32,
    /// What is waited for: nothing else makes it ready.
    pub interest: Events,
    /// What it is ready for.
    pub ready: Events,
}

impl PollEntry {
    /// An entry as `poll(2)` has it: errors and hang-ups are waited for whether asked for or not.
    #[must_use]
    pub fn new(file: Option<Arc<OpenFile>>, fd: i32, interest: Events) -> PollEntry {
        Self::exact(file, fd, interest | Events::ALWAYS)
    }

    /// An entry as `select(2)` has it: a hang-up is not what a writer waits for.
    #[must_use]
    pub fn exact(file: Option<Arc<OpenFile>>, fd: i32, interest: Events) -> PollEntry {
        PollEntry { file, fd, interest, ready: Events::empty() }
    }

    fn look(&mut self) -> bool {
        if let Some(file) = &self.file {
            self.ready = file.poll() & self.interest;
        }
        !self.ready.is_empty()
    }

    /// As [`look`](Self::look), at whatever the descriptor is now. As on Linux, the files of the first look
    /// are the ones whose wakes count.
    fn look_again(&mut self, files: &FdTable) -> bool {
        if self.file.is_some() {
            self.ready = match files.get(self.fd) {
                Ok(file) => file.poll() & self.interest,
                Err(_) => unusable(files, self.fd),
            };
        }
        !self.ready.is_empty()
    }
}

/// What poll tells of a descriptor that names no file: it is not open, or was made from a handle that was
/// revoked.
#[must_use]
pub fn unusable(files: &FdTable, fd: i32) -> Events {
    if files.is_revoked(fd) { REVOKED } else { Events::NVAL }
}

impl OpenFile {
    /// What the file is ready for now.
    #[must_use]
    pub fn poll(&self) -> Events {
        self.ops().poll(self)
    }
}

/// Who polls: woken by any of the files.
struct Poller {
    woken: WaitSource,
}

impl Watcher for Poller {
    fn notify(&self, events: Events, reason: Reason) {
        self.woken.wake_all(events, reason);
    }

    fn wakes(&self, tell: &mut dyn FnMut(&WaitSource)) {
        tell(&self.woken);
    }
}

/// Looks at every entry; how many are ready.
fn scan(entries: &mut [PollEntry]) -> usize {
    entries.iter_mut().map(PollEntry::look).filter(|ready| *ready).count()
}

/// Waits until an entry is ready, at the latest until `deadline`; returns how many are, 0 when the time is over.
/// Entries that are ready from the start (such as bad descriptors, marked by the caller) make it return at
/// once. A drop leaves nothing behind.
///
/// # Errors
///
/// `EINTR`; `ENOMEM`.
pub async fn poll_files(
    caller: &Caller,
    files: &FdTable,
    entries: &mut [PollEntry],
    deadline: Option<Instant>,
) -> Result<usize> {
    let ready = scan(entries);
    if ready > 0 || deadline.is_some_and(|deadline| deadline <= machine::now()) {
        return Ok(ready);
    }
    let poller = Arc::new(Poller { woken: WaitSource::new(WaitKind::Poll, 0) });
    let _watches = watch_all(caller, entries, &poller)?;
    let mut over = None;
    loop {
        let seen = poller.woken.observe();
        let ready = entries.iter_mut().map(|entry| entry.look_again(files)).filter(|ready| *ready).count();
        match over {
            _ if ready > 0 => return Ok(ready),
            Some(Reason::Signal) => return Err(Errno::EINTR),
            Some(_) => return Ok(0),
            None => {}
        }
        let reason = poller.woken.wait(seen, Wait::interruptible().until(deadline)).await;
        // What came together with a signal or the deadline is reported all the same.
        over = matches!(reason, Reason::Signal | Reason::Timeout).then_some(reason);
    }
}

/// Watches and what they are charged.
struct Watches {
    _watches: Vec<Watch>,
    _charge: Option<Charge>,
}

fn watch_all(caller: &Caller, entries: &[PollEntry], poller: &Arc<Poller>) -> Result<Watches> {
    let files = || entries.iter().filter_map(|entry| entry.file.as_ref().map(|file| (file, entry.interest)));
    let count: usize = files().map(|(file, _)| file.ops().sources(file).iter().count()).sum();
    let mut watches = Vec::new();
    if count == 0 {
        return Ok(Watches { _watches: watches, _charge: None });
    }
    let charge = Charge::new(&caller.account, count.saturating_mul(WATCH_BYTES))?;
    watches.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    for (file, interest) in files() {
        for source in file.ops().sources(file).iter().take(count - watches.len()) {
            watches.push(Watch::new(source, poller.clone(), interest));
        }
    }
    Ok(Watches { _watches: watches, _charge: Some(charge) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::OpenFlags;
    use crate::pipe::pipe;
    use crate::testing;
    use core::future::Future;
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};

    fn entries(table: &FdTable, fds: &[i32], interest: Events) -> Vec<PollEntry> {
        fds.iter().map(|fd| PollEntry::new(table.get(*fd).ok(), *fd, interest)).collect()
    }

    /// A table with the two ends of a pipe as 0 and 1.
    fn piped(caller: &Caller) -> Arc<FdTable> {
        let (read, written) = pipe(caller, OpenFlags::empty()).unwrap();
        let table = FdTable::new();
        assert_eq!(table.insert(caller, read, false), Ok(0));
        assert_eq!(table.insert(caller, written, false), Ok(1));
        table
    }

    fn write(caller: &Caller, file: &OpenFile, bytes: &[u8]) -> Result<usize> {
        testing::with_bytes(bytes, |buffer| testing::now(file.write(caller, buffer)))
    }

    #[test]
    fn a_poll_wakes_when_a_pipe_is_written_and_when_it_is_closed() {
        let caller = testing::root();
        let table = piped(&caller);
        let mut list = entries(&table, &[0], Events::IN);
        {
            let mut waiting = pin!(poll_files(&caller, &table, &mut list, None));
            let mut context = Context::from_waker(Waker::noop());
            assert!(waiting.as_mut().poll(&mut context).is_pending());
            write(&caller, &table.get(1).unwrap(), b"x").unwrap();
            assert_eq!(waiting.as_mut().poll(&mut context), Poll::Ready(Ok(1)));
        }
        assert_eq!(list[0].ready, Events::IN);
        table.close(1).unwrap();
        let mut list = entries(&table, &[0], Events::IN | Events::RDNORM);
        assert_eq!(testing::now(poll_files(&caller, &table, &mut list, None)), Ok(1));
        assert_eq!(list[0].ready, Events::IN | Events::RDNORM | Events::HUP);
    }

    #[test]
    fn a_descriptor_that_was_closed_meanwhile_is_no_descriptor() {
        let caller = testing::root();
        let table = piped(&caller);
        let mut list = entries(&table, &[0], Events::IN);
        {
            let mut waiting = pin!(poll_files(&caller, &table, &mut list, None));
            let mut context = Context::from_waker(Waker::noop());
            assert!(waiting.as_mut().poll(&mut context).is_pending());
            table.close(0).unwrap();
            write(&caller, &table.get(1).unwrap(), b"x").unwrap();
            assert_eq!(waiting.as_mut().poll(&mut context), Poll::Ready(Ok(1)));
        }
        assert_eq!(list[0].ready, Events::NVAL);
    }

    #[test]
    fn a_deadline_in_the_past_only_looks() {
        let caller = testing::root();
        let table = piped(&caller);
        let mut list = entries(&table, &[0], Events::IN);
        assert_eq!(testing::now(poll_files(&caller, &table, &mut list, Some(Instant::BOOT))), Ok(0));
        let mut list = entries(&table, &[1, 0], Events::IN | Events::OUT);
        assert_eq!(testing::now(poll_files(&caller, &table, &mut list, None)), Ok(1));
        assert_eq!(list[0].ready, Events::OUT);
    }
}
