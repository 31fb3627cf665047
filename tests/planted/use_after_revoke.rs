//! A capability that is looked at and then used: between the two it may be revoked. Only in Kairos.

use super::{Twin, fail, yield_now};
use crate::sys::{
    Handle, NONBLOCK, channel_create, channel_recv, channel_send, handle_close, handle_duplicate,
    handle_info, handle_revoke_descendants,
};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

const ROUNDS: usize = 60;

static LENT: AtomicI32 = AtomicI32::new(-1);
static OVER: AtomicBool = AtomicBool::new(false);

pub(super) fn run(twin: Twin) {
    let (own, peer) = channel_create().expect("a channel");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !OVER.load(Ordering::SeqCst) {
                use_lent(twin, LENT.load(Ordering::SeqCst));
                yield_now();
            }
        });
        for _ in 0..ROUNDS {
            let lent = handle_duplicate(own, 0).expect("a duplicate");
            LENT.store(lent, Ordering::SeqCst);
            yield_now();
            handle_revoke_descendants(own).expect("revoke");
            let _ = handle_close(lent);
            while channel_recv(peer, NONBLOCK).is_ok() {}
        }
        OVER.store(true, Ordering::SeqCst);
    });
}

/// Sends by the lent handle, if it is still good.
fn use_lent(twin: Twin, lent: Handle) {
    if handle_info(lent).is_err() {
        return;
    }
    let sent = channel_send(lent, b"hello", &[], NONBLOCK);
    // The right program takes a handle that is gone for what it is.
    if twin == Twin::Broken && sent.is_err() {
        fail("a handle that was good a moment ago");
    }
}
