//! A lost wake-up. A consumer sleeps on a bell that counts; who looks at the bell after the queue can miss the ring
//! that came between the two looks, and sleeps beside an item.

use super::Twin;
use std::sync::atomic::{AtomicU32, Ordering};

const ITEMS: u32 = 40;
const SPINS: usize = 30;

static QUEUED: AtomicU32 = AtomicU32::new(0);
static BELL: AtomicU32 = AtomicU32::new(0);
static TAKEN: AtomicU32 = AtomicU32::new(0);

pub(super) fn run(twin: Twin) {
    std::thread::scope(|scope| {
        scope.spawn(|| (0..ITEMS).for_each(|_| take(twin)));
        for made in 1..=ITEMS {
            QUEUED.fetch_add(1, Ordering::SeqCst);
            ring(&BELL);
            // The next one is made when this one is gone.
            loop {
                let taken = TAKEN.load(Ordering::SeqCst);
                if taken == made {
                    break;
                }
                sleep_while(&TAKEN, taken);
            }
        }
    });
}

fn take(twin: Twin) {
    let mut bell = BELL.load(Ordering::SeqCst);
    while QUEUED.load(Ordering::SeqCst) == 0 {
        // Perhaps it is not worth while to sleep.
        for _ in 0..SPINS {
            std::hint::spin_loop();
        }
        if twin == Twin::Broken {
            bell = BELL.load(Ordering::SeqCst);
        }
        sleep_while(&BELL, bell);
        bell = BELL.load(Ordering::SeqCst);
    }
    QUEUED.fetch_sub(1, Ordering::SeqCst);
    ring(&TAKEN);
}

fn ring(bell: &AtomicU32) {
    bell.fetch_add(1, Ordering::SeqCst);
    let _ = syscall!(SYS_futex, bell, libc::FUTEX_WAKE, 1);
}

fn sleep_while(bell: &AtomicU32, value: u32) {
    let _ = syscall!(SYS_futex, bell, libc::FUTEX_WAIT, value, 0usize);
}
