//! Taking dead address spaces apart, a little at a time.
//!
//! A space that no CPU has loaded and nobody names any more is buried: its root goes on a list, linked through
//! the frame entries. [`step`] frees some of its pages. The reaper task calls it between other tasks; the
//! frame allocator calls it when it has nothing else left.

use base::buddy::NONE;
use base::frame::Frame;
use base::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use base::sync::{LockClass, SpinLock};
use executor::pollwait::{Events, Reason, Wait, WaitKind, WaitSource};
use executor::yield_point;

use super::frames;
use super::table::{OWNED, SPAN, Table, frame_of};
use super::tree::Tree;

/// Lowest tables that one step takes apart: at most this many times 512 pages.
const TABLES_PER_STEP: usize = 4;

static GRAVES: SpinLock<u32> = SpinLock::new(LockClass::Frames, NONE);
static WAITING: AtomicU32 = AtomicU32::new(0);
/// Set once the reaper task runs.
static TASK: AtomicBool = AtomicBool::new(false);
static WORK: WaitSource = WaitSource::new(WaitKind::Work, 0);

/// Buries the tree: from now on it belongs to the reaper.
pub(super) fn bury(tree: Tree) {
    push(tree);
    if TASK.load(Ordering::Acquire) {
        WORK.wake_one(Events::empty(), Reason::Data);
    } else {
        while step() {}
    }
}

fn push(tree: Tree) {
    let number = tree.root().number();
    let mut head = GRAVES.lock();
    frames::entry(number).prev.store(*head, Ordering::Relaxed);
    // Frame numbers fit 32 bits: the table of frames is indexed by them.
    *head = number as u32;
    WAITING.fetch_add(1, Ordering::Relaxed);
}

fn pop() -> Option<Tree> {
    let mut head = GRAVES.lock();
    if *head == NONE {
        return None;
    }
    let number = u64::from(*head);
    *head = frames::entry(number).prev.load(Ordering::Relaxed);
    WAITING.fetch_sub(1, Ordering::Relaxed);
    // SAFETY: only `push` links roots here, and a popped one has no other owner.
    Some(unsafe { Tree::from_root(number) })
}

/// Dead spaces that have not been taken apart.
#[must_use]
pub fn waiting() -> usize {
    WAITING.load(Ordering::Relaxed) as usize
}

/// Frees a bounded part of a dead space. False when there was nothing to do.
pub fn step() -> bool {
    let Some(tree) = pop() else { return false };
    let mut from = 0;
    for _ in 0..TABLES_PER_STEP {
        let Some((base, table)) = tree.next_lowest(from, u64::MAX) else {
            // SAFETY: a buried tree is loaded nowhere, and its lower half is empty now.
            drop(unsafe { tree.into_frame() });
            return true;
        };
        free_pages(base, table);
        tree.prune(base, drop);
        from = base;
    }
    push(tree);
    true
}

fn free_pages(base: u64, table: Table) {
    for address in table.used(base..base + SPAN) {
        let bits = table.entry(address, 1).swap(0, Ordering::Relaxed);
        if bits & OWNED != 0 {
            // SAFETY: an owned entry holds one count of its frame, which is taken back once: the entry is 0 now.
            drop(unsafe { Frame::from_number(frame_of(bits)) });
        }
    }
    table.live().store(0, Ordering::Relaxed);
}

/// The reaper task: a daemon, to be spawned once.
///
/// Dropped midway: dead spaces stay on the list.
pub async fn run() {
    TASK.store(true, Ordering::Release);
    loop {
        let seen = WORK.observe();
        if step() {
            yield_point().await;
        } else {
            WORK.wait(seen, Wait::uninterruptible()).await;
        }
    }
}

const _: () = assert!(SPAN == 512 * 4096);
