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

/// The call; its answer is `EBADF` when the handle behind one of its descriptors is revoked while it waits. What it
/// had moved by then is not told.
pub(super) struct Revocable<'a, F> {
    thread: &'a Thread,
    call: Pin<&'a mut F>,
    /// In whose names it may wait; -1 for none.
    descriptors: [i32; 2],
    revocation: Revocation,
}

/// What ends the call besides itself.
enum Revocation {
    /// The call has not waited yet.
    Unasked,
    /// None of its descriptors was made from a handle.
    Impossible,
    /// Ready when a handle is revoked.
    Awaited(BoxFuture<'static, ()>),
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
        let mut descriptors = [-1; 2];
        let mut left = syscall.descriptors;
        for place in &mut descriptors {
            if left != 0 {
                *place = arguments.get(left.trailing_zeros() as usize).map_or(-1, |fd| Fd::decode(*fd).0);
                left &= left - 1;
            }
        }
        Revocable { thread, call, descriptors, revocation: Revocation::Unasked }
    }

    #[cold]
    fn look(&self) -> Revocation {
        let files = self.thread.files();
        let mut origins = self.descriptors.iter().filter_map(|fd| files.origin(*fd));
        match (origins.next(), origins.next()) {
            (Some(one), None) => Revocation::Awaited(Box::pin(async move { one.revoked().await })),
            (Some(one), Some(two)) => Revocation::Awaited(Box::pin(either(one, two))),
            (None, _) => Revocation::Impossible,
        }
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
        if matches!(this.revocation, Revocation::Unasked) {
            this.revocation = if Origin::exist() { this.look() } else { Revocation::Impossible };
        }
        match &mut this.revocation {
            Revocation::Awaited(revoked) => revoked.as_mut().poll(cx).map(|()| Err(Errno::EBADF)),
            _ => Poll::Pending,
        }
    }
}
