//! Which objects came or went, for the one task that projects the registry into sysfs.
//!
//! The registry only puts an id into a bounded queue and wakes the task. What became of the object is not said:
//! the task looks it up, so that an object that came and went before it was looked at costs one look. When the
//! queue is full the id is dropped and the task compares everything, so that a drop delays and loses nothing.

use base::machine;
use base::sync::Once;
use base::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crossbeam_queue::ArrayQueue;
use executor::pollwait::{Events, Reason, Seq, Wait, WaitKind, WaitSource};

/// Ids that the queue holds.
const CAPACITY: usize = 1024;

static QUEUE: Once<ArrayQueue<u32>> = Once::new();
static WORK: WaitSource = WaitSource::new(WaitKind::Work, 0);
/// Something is not in the queue: what was there before it, or what found it full.
static INCOMPLETE: AtomicBool = AtomicBool::new(true);
static CHANGES: AtomicU64 = AtomicU64::new(0);
static DROPS: AtomicU64 = AtomicU64::new(0);
static COMPARISONS: AtomicU64 = AtomicU64::new(0);
/// Since when there has been work, in nanoseconds since boot; 0 when there is none.
static BEHIND_SINCE: AtomicU64 = AtomicU64::new(0);

/// What the task is to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The object with this id came or went.
    Object(u32),
    /// Any of them may have.
    Everything,
}

/// The end of the queue at which ids are taken out. There is one, so what it feeds has one writer.
pub struct Feed {
    queue: &'static ArrayQueue<u32>,
}

/// The object with this id came or went. Called after the registry shows it, without locks.
pub(super) fn changed(id: u32) {
    let Some(queue) = QUEUE.get() else { return };
    CHANGES.fetch_add(1, Ordering::Relaxed);
    note_work();
    if queue.push(id).is_err() {
        DROPS.fetch_add(1, Ordering::Relaxed);
        INCOMPLETE.store(true, Ordering::Release);
    }
    WORK.wake_one(Events::IN, Reason::Data);
}

/// There is work from now on, unless there has been for longer.
fn note_work() {
    if BEHIND_SINCE.load(Ordering::Relaxed) == 0 {
        BEHIND_SINCE.store(machine::now().as_nanos().max(1), Ordering::Relaxed);
    }
}

impl Feed {
    /// The taking end: for the first who asks.
    #[must_use]
    pub fn open() -> Option<Feed> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        let queue = QUEUE.call_once(|| ArrayQueue::new(CAPACITY));
        (!TAKEN.swap(true, Ordering::AcqRel)).then_some(Feed { queue })
    }

    /// What to look at next; everything, to begin with.
    pub fn take(&mut self) -> Option<Change> {
        // Before anything is taken, so that there is never work of which neither the queue nor the moment tells: what
        // `changed` found there may have been cleared below since.
        if INCOMPLETE.load(Ordering::Acquire) || !self.queue.is_empty() {
            note_work();
        }
        // Before the ids that still are in the queue: they may be looked at twice, which does no harm.
        if INCOMPLETE.swap(false, Ordering::AcqRel) {
            COMPARISONS.fetch_add(1, Ordering::Relaxed);
            return Some(Change::Everything);
        }
        let id = self.queue.pop();
        if id.is_none() {
            BEHIND_SINCE.store(0, Ordering::Relaxed);
        }
        id.map(Change::Object)
    }

    /// The queue as it is now, for [`wait`](Self::wait).
    #[must_use]
    pub fn observe(&self) -> Seq {
        WORK.observe()
    }

    /// Waits until something came after `seen`. A drop leaves nothing behind.
    pub async fn wait(&mut self, seen: Seq) {
        WORK.wait(seen, Wait::uninterruptible()).await;
    }
}

/// How far the projection is behind the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Ids in the queue.
    pub depth: usize,
    /// For how long there has been work without a break, in nanoseconds; 0 when there is none.
    pub lag_ns: u64,
    /// Objects that came or went since the queue was made.
    pub changes: u64,
    /// Ids that found the queue full.
    pub drops: u64,
    /// Comparisons of everything: one to begin with, the others after drops.
    pub comparisons: u64,
}

/// The progress now.
#[must_use]
pub fn progress() -> Progress {
    let since = BEHIND_SINCE.load(Ordering::Relaxed);
    Progress {
        depth: QUEUE.get().map_or(0, ArrayQueue::len),
        lag_ns: if since == 0 { 0 } else { machine::now().as_nanos().saturating_sub(since) },
        changes: CHANGES.load(Ordering::Relaxed),
        drops: DROPS.load(Ordering::Relaxed),
        comparisons: COMPARISONS.load(Ordering::Relaxed),
    }
}
