//! Whether an interrupt that came upon a program concerns the executor or the thread.

use core::sync::atomic::{AtomicUsize, Ordering};

static ASK: AtomicUsize = AtomicUsize::new(0);

/// Sets what says whether this CPU's executor wants the thread to come back. Until then, always.
pub fn set_source(ask: fn() -> bool) {
    ASK.store(ask as usize, Ordering::Release);
}

/// True when the thread should return from `run_user`.
pub(super) fn wanted() -> bool {
    let ask = ASK.load(Ordering::Acquire);
    if ask == 0 {
        return true;
    }
    // SAFETY: only `set_source` stores here, and what it stores is a `fn() -> bool`.
    let ask = unsafe { core::mem::transmute::<usize, fn() -> bool>(ask) };
    ask()
}
