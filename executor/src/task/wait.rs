//! What a task waits for, published for others to see.

use base::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use base::time::Instant;

use crate::pollwait::{Events, Reason, SourceId, WaitKind, WaitSource};

/// A task's wait, as published when it went to sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitSnapshot {
    /// What kind of wait.
    pub kind: WaitKind,
    /// The id of the object, 0 when it has none.
    pub object: u64,
    /// The source itself; nothing for a wait that only time or an interruption ends.
    pub source: Option<SourceId>,
    /// What it waits for.
    pub events: Events,
    /// When it began.
    pub since: Instant,
    /// When it gives up.
    pub deadline: Option<Instant>,
    /// How the wait ended; nothing while it lasts.
    pub ended: Option<Reason>,
}

/// How a task's last wait that is over ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WakeSnapshot {
    /// Why it ended.
    pub reason: Reason,
    /// What kind of wait it was.
    pub kind: WaitKind,
    /// The id of the object that was waited on, 0 when it has none.
    pub object: u64,
}

/// What a task waits on.
#[derive(Clone, Copy)]
pub(crate) enum Awaited<'a> {
    /// A source.
    Source(&'a WaitSource),
    /// Time or an interruption alone.
    Nothing(WaitKind),
}

impl Awaited<'_> {
    /// Kind, object and the number of the source.
    #[inline]
    fn describe(self) -> (WaitKind, u64, u64) {
        match self {
            Awaited::Source(source) => (source.kind(), source.object(), source.identity().number()),
            Awaited::Nothing(kind) => (kind, 0, 0),
        }
    }
}

/// The last wait of a task, written by the CPU that polls it and read by anybody. A reader that meets a
/// writer may get parts of two waits; of a blocked task it gets the one it is in.
#[derive(Default)]
pub(super) struct LastWait {
    /// Kind in the low byte, reason of its end in the next (0 while it lasts), 1 << 16 when valid.
    what: AtomicU32,
    events: AtomicU32,
    object: AtomicU64,
    source: AtomicU64,
    since: AtomicU64,
    deadline: AtomicU64,
    /// The last wait that is over: kind in the low byte, reason in the next, 0 when there was none.
    ended: AtomicU32,
    ended_object: AtomicU64,
}

const WAIT_VALID: u32 = 1 << 16;

impl LastWait {
    /// Publishes what the task waits for.
    #[inline]
    pub(super) fn begin(&self, on: Awaited<'_>, events: Events, deadline: Option<Instant>) {
        let (kind, object, source) = on.describe();
        self.object.store(object, Ordering::Relaxed);
        self.source.store(source, Ordering::Relaxed);
        // The CPU's last look at the clock was at the start of this poll or later.
        let since = crate::cpu::this().map_or(0, crate::cpu::Cpu::stamp);
        self.since.store(since, Ordering::Relaxed);
        self.events.store(events.bits(), Ordering::Relaxed);
        let deadline = deadline.unwrap_or(Instant::FAR_FUTURE).as_nanos();
        self.deadline.store(deadline, Ordering::Relaxed);
        self.what.store(kind as u32 | WAIT_VALID, Ordering::Release);
    }

    /// Publishes how a wait ended, which need not have begun: what was waited for may have come before.
    #[inline]
    pub(super) fn end(&self, on: Awaited<'_>, reason: Reason) {
        let (kind, object, _) = on.describe();
        self.ended_object.store(object, Ordering::Relaxed);
        self.ended.store(kind as u32 | (reason as u32) << 8, Ordering::Relaxed);
        let what = self.what.load(Ordering::Relaxed) & !0xff00;
        self.what.store(what | (reason as u32) << 8, Ordering::Relaxed);
    }

    /// How the last wait that is over ended.
    pub(super) fn last_end(&self) -> Option<WakeSnapshot> {
        let ended = self.ended.load(Ordering::Relaxed);
        let reason = (ended >> 8) as u8;
        (reason != 0).then(|| WakeSnapshot {
            reason: Reason::from_number(reason),
            kind: WaitKind::from_number(ended as u8),
            object: self.ended_object.load(Ordering::Relaxed),
        })
    }

    /// What was published last.
    pub(super) fn read(&self) -> Option<WaitSnapshot> {
        let what = self.what.load(Ordering::Acquire);
        if what & WAIT_VALID == 0 {
            return None;
        }
        let deadline = Instant::from_nanos(self.deadline.load(Ordering::Relaxed));
        let ended = (what >> 8) as u8;
        Some(WaitSnapshot {
            kind: WaitKind::from_number(what as u8),
            object: self.object.load(Ordering::Relaxed),
            source: SourceId::from_number(self.source.load(Ordering::Relaxed)),
            events: Events::from_bits_retain(self.events.load(Ordering::Relaxed)),
            since: Instant::from_nanos(self.since.load(Ordering::Relaxed)),
            deadline: (deadline != Instant::FAR_FUTURE).then_some(deadline),
            ended: (ended != 0).then(|| Reason::from_number(ended)),
        })
    }
}
