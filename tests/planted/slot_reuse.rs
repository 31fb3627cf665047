//! A stack of free slots whose head is swapped by number alone (ABA). Who has read the head and its next is put to
//! sleep; the others take both, and put the first one back: the swap succeeds, and gives away a slot that is in use.

use super::{Twin, fail, yield_now};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const SLOTS: usize = 3;
const ROUNDS: usize = 150;
/// Words of a slot.
const WORDS: usize = 64;
const NONE: u64 = 0xffff;

/// The number of the first free slot, and in the fixed twin above it how often it was swapped.
static HEAD: AtomicU64 = AtomicU64::new(0);
static NEXT: [AtomicU64; SLOTS] = [AtomicU64::new(1), AtomicU64::new(2), AtomicU64::new(NONE)];
static CONTENT: [[AtomicU64; WORDS]; SLOTS] = [const { [const { AtomicU64::new(0) }; WORDS] }; SLOTS];
static IN_USE: [AtomicBool; SLOTS] = [const { AtomicBool::new(false) }; SLOTS];

pub(super) fn run(twin: Twin) {
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..ROUNDS).for_each(|_| work(twin)));
        }
    });
}

/// Takes up to two slots, gives the first one back, and the other a little later.
fn work(twin: Twin) {
    let (first, second) = (pop(twin), pop(twin));
    if let Some(slot) = first {
        push(twin, slot);
    }
    yield_now();
    if let Some(slot) = second {
        push(twin, slot);
    }
    yield_now();
}

fn pop(twin: Twin) -> Option<usize> {
    loop {
        let head = HEAD.load(Ordering::SeqCst);
        let slot = head & NONE;
        let next = NEXT.get(slot as usize)?.load(Ordering::SeqCst);
        look_at(slot as usize);
        if swap(twin, head, next) {
            let slot = slot as usize;
            if IN_USE[slot].swap(true, Ordering::SeqCst) {
                fail("a slot was given out twice");
            }
            return Some(slot);
        }
    }
}

/// Looks at what is in a slot. That takes its time, in which the slot may come and go; the compiler must not see that
/// nothing comes of it.
fn look_at(slot: usize) {
    for word in black_box(&CONTENT[slot]) {
        black_box(word.load(Ordering::SeqCst));
    }
}

fn push(twin: Twin, slot: usize) {
    IN_USE[slot].store(false, Ordering::SeqCst);
    loop {
        let head = HEAD.load(Ordering::SeqCst);
        NEXT[slot].store(head & NONE, Ordering::SeqCst);
        if swap(twin, head, slot as u64) {
            return;
        }
    }
}

/// Makes `slot` the head, if the head is still `old`.
fn swap(twin: Twin, old: u64, slot: u64) -> bool {
    let count = match twin {
        Twin::Broken => 0,
        Twin::Fixed => (old >> 16).wrapping_add(1) << 16,
    };
    HEAD.compare_exchange(old, count | slot, Ordering::SeqCst, Ordering::SeqCst).is_ok()
}
