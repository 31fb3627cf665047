//! What the wait core counts and records of waits and wakes.
//!
//! The counters are those of [`base::trace::wait_core`]. Only some kinds of waits have counters of their own; for
//! the others, and while waits are not recorded, a wait passes here with one comparison.

use base::points;
use base::time::Instant;
use base::trace::wait_core::{self, Counter};
use base::trace::{self, Classes, EventKind};

use super::events::{Events, Reason};
use super::kind::WaitKind;
use super::source::WaitSource;
use crate::cpu::Cpu;

/// Flag of a wake that is for one waiter at most.
const WAKE_ONE: u32 = 1 << 31;

/// The directions of a wait at a descriptor that are told apart.
#[derive(Clone, Copy)]
struct Descriptor {
    /// Its number in `wait_fd_event`.
    number: u32,
    blocks: Counter,
    wakes: Counter,
}

impl Descriptor {
    /// The descriptor that a source of `kind` belongs to, when something is counted of it.
    fn of(kind: WaitKind, events: Events) -> Option<Descriptor> {
        let (number, blocks, wakes) = match kind {
            WaitKind::Event if events.contains(Events::OUT) && !events.contains(Events::IN) => {
                (2, Counter::EventfdWriteBlocks, Counter::EventfdWriteWakes)
            }
            WaitKind::Event => (1, Counter::EventfdReadBlocks, Counter::EventfdReadWakes),
            WaitKind::TimerFd => (3, Counter::TimerfdReadBlocks, Counter::TimerfdReadWakes),
            WaitKind::SignalFd => (4, Counter::SignalfdReadBlocks, Counter::SignalfdReadWakes),
            WaitKind::Inotify => (5, Counter::InotifyReadBlocks, Counter::InotifyReadWakes),
            _ => return None,
        };
        Some(Descriptor { number, blocks, wakes })
    }
}

/// True for the kinds that have counters of their own.
#[inline]
const fn has_counters(kind: WaitKind) -> bool {
    matches!(
        kind,
        WaitKind::Event
            | WaitKind::TimerFd
            | WaitKind::SignalFd
            | WaitKind::Inotify
            | WaitKind::Epoll
            | WaitKind::Futex
    )
}

/// Counts on `cpu` a wait that ended before it began.
#[cold]
pub(super) fn count_skipped(cpu: Option<&Cpu>) {
    if let Some(cpu) = cpu {
        wait_core::add_on(cpu.index, Counter::SeqSkipPreSleep, 1);
    }
}

/// Counts on `cpu` a wait that ended because of `reason`.
#[inline]
pub(super) fn count_reason(cpu: &Cpu, reason: Reason) {
    let counter = match reason {
        Reason::Data => Counter::ReasonData,
        Reason::Hup => Counter::ReasonHup,
        Reason::Close => Counter::ReasonClose,
        Reason::Signal => Counter::ReasonSignal,
        Reason::Timeout => Counter::ReasonTimeout,
    };
    wait_core::add_on(cpu.index, counter, 1);
}

/// The task that is polled here waits for `events` of an object from now on.
#[cold]
pub(super) fn note_block(kind: WaitKind, object: u64, events: Events, deadline: Option<Instant>) {
    let deadline_ns = deadline.map_or(0, Instant::as_nanos);
    trace::event(EventKind::WaitBlock, || {
        let what = trace::pair(events.bits(), kind as u32);
        (u32::from(deadline.is_some()), [deadline_ns, object, what])
    });
    match kind {
        WaitKind::Epoll => {
            wait_core::add(Counter::EpollBlocks, 1);
            trace::event(EventKind::WaitEpoll, || (0x4, [deadline_ns, 0, object]));
        }
        WaitKind::Futex => wait_core::add(Counter::FutexWaitBlocks, 1),
        _ => {
            if let Some(descriptor) = Descriptor::of(kind, events) {
                wait_core::add(descriptor.blocks, 1);
                trace::event(EventKind::WaitFdEvent, || (0x1 | descriptor.number << 8, [0, object, 0]));
            }
        }
    }
}

/// The task that is polled here does not wait any more.
#[inline]
pub(super) fn ended(kind: WaitKind, object: u64, reason: Reason, since: impl FnOnce() -> Instant) {
    if has_counters(kind) || trace::is_on(Classes::WAIT) {
        note_end(kind, object, reason, since());
    }
}

#[cold]
fn note_end(kind: WaitKind, object: u64, reason: Reason, since: Instant) {
    trace::event(EventKind::WaitEnd, || (reason as u32, [object, since.as_nanos(), kind as u64]));
    let [woken, timeout, interrupt] = match kind {
        WaitKind::Epoll => [Counter::EpollWakeups, Counter::EpollTimeouts, Counter::EpollInterrupts],
        WaitKind::Futex => {
            [Counter::FutexWaitWakes, Counter::FutexWaitTimeouts, Counter::FutexWaitInterrupts]
        }
        _ => return,
    };
    let (counter, flag) = match reason {
        Reason::Timeout => (timeout, 0x10),
        Reason::Signal => (interrupt, 0x20),
        _ => (woken, 0x8),
    };
    wait_core::add(counter, 1);
    if kind == WaitKind::Epoll {
        trace::event(EventKind::WaitEpoll, || (flag, [0, 0, object]));
    }
}

/// Counts a wake that finds somebody.
#[inline]
pub(super) fn count_wake() {
    wait_core::add(Counter::PollHeadWakeCalls, 1);
}

/// True when waits and wakes of `kind` are counted for themselves, or may be recorded or disturbed.
#[inline]
pub(super) fn is_noted(kind: WaitKind) -> bool {
    points::are_live::<{ points::FAULT | points::TRACE }>() || has_counters(kind)
}

/// A wake of `source` found `woken` waiters, perhaps watchers. `limit` is how many it was for.
pub(super) fn note_wake(source: &WaitSource, limit: usize, events: Events, reason: Reason, woken: usize) {
    let (kind, object) = (source.kind(), source.object());
    trace::event(EventKind::WaitWake, || {
        let one = if limit == 1 { WAKE_ONE } else { 0 };
        let woken = u32::try_from(woken).unwrap_or(u32::MAX);
        let what = (reason as u32) << 8 | kind as u32;
        (one | events.bits() & !WAKE_ONE, [object, 0, trace::pair(woken, what)])
    });
    if let Some(descriptor) = Descriptor::of(kind, events) {
        wait_core::add(descriptor.wakes, 1);
        let poll_events = u64::from(events.bits());
        trace::event(EventKind::WaitFdEvent, || (0x2 | descriptor.number << 8, [poll_events, object, 0]));
    }
}
