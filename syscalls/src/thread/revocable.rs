//! Calls that wait in the name of a descriptor that was made from a handle: a revocation of the handle ends them,
//! whatever they wait for.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};

use base::memory::BoxFuture;
use base::{Errno, Result};
use fs::handle::Origin;
use futures_util::future::select;

use crate::declare::{Argument, Arguments, Fd, Syscall};
use crate::thread::Thread;
use crate::thread::files::WATCHED;

/// The call; its answer is `EBADF` when the handle behind one of the files that it uses is revoked while it waits. What
/// it had moved by then is not told.
///
/// Which handles those are was noted when the files were pinned: what a descriptor names by the time that the call waits
/// is of no interest.
pub(super) struct Revocable<'a, F> {
    thread: &'a Thread,
    call: Pin<&'a mut F>,
    /// Ready when a handle is revoked. Nothing when no file was made from one.
    revoked: Option<BoxFuture<'static, ()>>,
}

impl<'a, F> Revocable<'a, F> {
    /// Makes `call`, which is `syscall` with these arguments, end with a revocation.
    #[inline]
    pub(super) fn new(
        thread: &'a Thread,
        syscall: &Syscall,
        arguments: &Arguments,
        call: Pin<&'a mut F>,
    ) -> Self {
        let mut descriptors = [-1; WATCHED];
        let mut left = syscall.descriptors;
        for place in &mut descriptors {
            if left != 0 {
                *place = arguments.get(left.trailing_zeros() as usize).map_or(-1, |fd| Fd::decode(*fd).0);
                left &= left - 1;
            }
        }
        thread.pins.watch(descriptors);
        Revocable { thread, call, revoked: None }
    }
}

#[cold]
fn any_of(origins: [Option<Arc<Origin>>; WATCHED]) -> Option<BoxFuture<'static, ()>> {
    match origins {
        [Some(one), Some(two)] => Some(Box::pin(either(one, two))),
        [Some(one), None] | [None, Some(one)] => Some(Box::pin(async move { one.revoked().await })),
        [None, None] => None,
    }
}

async fn either(one: Arc<Origin>, two: Arc<Origin>) {
    select(pin!(one.revoked()), pin!(two.revoked())).await;
}

impl<F: Future<Output = Result<u64>>> Future for Revocable<'_, F> {
    type Output = Result<u64>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<u64>> {
        let this = &mut *self;
        if let Poll::Ready(result) = this.call.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        if let Some(origins) = this.thread.pins.news() {
            this.revoked = any_of(origins);
        }
        match &mut this.revoked {
            Some(revoked) => revoked.as_mut().poll(cx).map(|()| Err(Errno::EBADF)),
            None => Poll::Pending,
        }
    }
}

impl<F> Drop for Revocable<'_, F> {
    #[inline]
    fn drop(&mut self) {
        self.thread.pins.leave(self.revoked.is_some());
    }
}
