//! Waiting for items. Source: `epoll_wait(2)`.

use core::time::Duration;

use base::memory::UserBuffer;
use base::time::Instant;
use base::trace::wait_core::{self, Counter};
use base::trace::{self, EventKind};
use base::{Errno, Result, machine};
use executor::pollwait::{Baton, Reason, Wait};

use super::instance::Epoll;
use super::interest::{Interest, RECORD_BYTES, record};
use super::list::After;

/// Items that are looked at between two chances for other tasks.
const STEP: usize = 64;

/// How one pass over the ready items ended.
enum Pass {
    /// It saw them all, or the buffer is full.
    Complete,
    /// There may be more.
    More,
    /// A page of the buffer is missing.
    Fault,
    /// Another waiter has an item in hand that may be ready, or has put one back since this one counted them.
    Busy,
}

impl Epoll {
    /// Waits until an item is ready, at the latest until `deadline`, and puts a record into `out` for each
    /// that is, as many as fit. Returns how many; 0 when the time is over.
    ///
    /// A drop midway may lose edges whose records are in `out` already: they were delivered.
    ///
    /// # Errors
    ///
    /// `EINTR`; `EFAULT`, with nothing lost.
    pub async fn wait(&self, out: &mut UserBuffer<'_>, deadline: Option<Instant>) -> Result<usize> {
        let most = (out.remaining() / RECORD_BYTES) as u64;
        note_call(most, || deadline.map(|deadline| deadline - machine::now()));
        let mut over = None;
        let mut baton = Baton::new();
        loop {
            let seen = self.ready.waiters.observe();
            let count = self.report(out).await?;
            baton.used();
            match over {
                _ if count > 0 => {
                    note_ready(count as u64, most);
                    return Ok(count);
                }
                Some(Reason::Signal) => return Err(Errno::EINTR),
                Some(_) => return Ok(0),
                None if deadline.is_some_and(|deadline| deadline <= machine::now()) => return Ok(0),
                None => {}
            }
            let reason = baton.wait(&self.ready.waiters, seen, Wait::interruptible().until(deadline)).await;
            // What came together with a signal or the deadline is reported all the same.
            over = matches!(reason, Reason::Signal | Reason::Timeout).then_some(reason);
        }
    }

    /// Answers at once what [`wait`](Self::wait) would, if something is ready or the call does not wait anyhow (`at_once`).
    /// `None` when nothing happened that shows.
    pub fn try_wait(&self, out: &mut UserBuffer<'_>, at_once: bool) -> Option<usize> {
        let most = (out.remaining() / RECORD_BYTES) as u64;
        let mut budget = self.ready.list.lock().linked();
        if budget > STEP {
            return None;
        }
        let pass = self.pass(out, &mut budget);
        let count = out.moved() / RECORD_BYTES;
        if count == 0 && !(at_once && matches!(pass, Pass::Complete)) {
            return None;
        }
        note_call(most, || at_once.then_some(Duration::ZERO));
        // As after a report.
        self.ready.pass_on();
        if count > 0 {
            note_ready(count as u64, most);
        }
        Some(count)
    }

    /// Reports what is ready now, and wakes the next waiter for what is left of it. An error, with nobody woken, only
    /// when nothing was reported.
    async fn report(&self, out: &mut UserBuffer<'_>) -> Result<usize> {
        let mut budget = self.ready.list.lock().linked();
        let count = |out: &UserBuffer<'_>| out.moved() / RECORD_BYTES;
        loop {
            match self.pass(out, &mut budget) {
                Pass::Complete => break,
                Pass::More => executor::yield_point().await,
                Pass::Busy if count(out) > 0 => break,
                Pass::Busy => {
                    executor::yield_now().await;
                    budget = self.ready.list.lock().linked();
                }
                Pass::Fault if count(out) > 0 => break,
                Pass::Fault => out.fault_in().await?,
            }
        }
        // What stays on the list is for the next waiter; so is what is ready as long as it lasts.
        self.ready.pass_on();
        Ok(count(out))
    }

    /// Looks at up to [`STEP`] of the `budget` items that were on the list: those that come behind them were
    /// reported already, or wait for the next call.
    fn pass(&self, out: &mut UserBuffer<'_>, budget: &mut usize) -> Pass {
        let steps = STEP.min(*budget);
        for _ in 0..steps {
            if out.remaining() < RECORD_BYTES {
                return Pass::Complete;
            }
            let Some(item) = self.ready.take() else { break };
            *budget -= 1;
            // Kept until the item is finished with.
            let file = item.file.file();
            let ready = file.as_ref().map(|file| item.file.poll(file) & item.interest.events());
            let after = match ready.filter(|events| !events.is_empty()) {
                None => After::Quiet,
                Some(events) => {
                    let mark = out.mark();
                    if out.put(&record(events, item.data)) == Ok(RECORD_BYTES) {
                        after_report(item.interest)
                    } else {
                        out.rewind(mark);
                        After::Retry
                    }
                }
            };
            self.ready.finish(item.handle, after);
            if after == After::Retry {
                *budget += 1;
                return Pass::Fault;
            }
        }
        let list = self.ready.list.lock();
        match () {
            () if *budget > 0 && list.linked() > 0 => Pass::More,
            // Nobody is told of an item that is put back: whoever found it in another's hand has to look again.
            () if list.is_busy() || list.linked() > 0 => Pass::Busy,
            () => Pass::Complete,
        }
    }
}

/// Counts and records a call for `most` events; `left` says how long it may wait, nothing for ever.
#[inline]
fn note_call(most: u64, left: impl FnOnce() -> Option<Duration>) {
    wait_core::add(Counter::EpollWaitCalls, 1);
    trace::event(EventKind::WaitEpoll, || {
        let milliseconds = |left: Duration| left.as_nanos().div_ceil(1_000_000) as u64;
        // A wait for ever has the timeout -1.
        (0x1, [most, left().map_or(u64::MAX, milliseconds), 0])
    });
}

/// Counts and records a call that returns `count` events of `most`.
fn note_ready(count: u64, most: u64) {
    wait_core::add(Counter::EpollReadyReturns, 1);
    wait_core::add(Counter::EpollReadyEvents, count);
    trace::event(EventKind::WaitEpoll, || (0x2, [count, most, 0]));
}

/// What becomes of an item that has been reported.
fn after_report(interest: Interest) -> After {
    match interest {
        _ if interest.is_oneshot() => After::Disarm,
        _ if interest.is_edge() => After::Quiet,
        _ => After::Again,
    }
}
