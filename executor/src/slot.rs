//! A future built in place, in a slot of fixed size.

use alloc::boxed::Box;
use core::future::Future;
use core::marker::{PhantomData, PhantomPinned};
use core::mem::{MaybeUninit, align_of, size_of};
use core::pin::Pin;
use core::task::{Context, Poll};

/// Room for a future of up to `SIZE` bytes whose type is not named.
///
/// A task that runs one operation after another, each a future of its own type, keeps them all in one
/// slot of its own future: no allocation for each operation, and the task is as large as the largest
/// and not as their sum.
///
/// # Invariant
///
/// - **F1** `bytes` holds a live value of the type that `poll` and `drop` were made for, from the construction
///   to the drop, and it does not move after the first poll.
pub struct FutureSlot<'a, T, const SIZE: usize> {
    bytes: Bytes<SIZE>,
    poll: unsafe fn(*mut (), &mut Context<'_>) -> Poll<T>,
    drop: unsafe fn(*mut ()),
    _future: PhantomData<dyn Future<Output = T> + Send + 'a>,
    _pinned: PhantomPinned,
}

/// The alignment that every future in a slot gets.
const ALIGNMENT: usize = 16;

#[repr(align(16))]
struct Bytes<const SIZE: usize>(MaybeUninit<[u8; SIZE]>);

/// # Safety
///
/// `future` points to a live, pinned `F` that is borrowed by nobody else.
unsafe fn poll_as<F: Future>(future: *mut (), context: &mut Context<'_>) -> Poll<F::Output> {
    // SAFETY: the caller's promise.
    unsafe { Pin::new_unchecked(&mut *future.cast::<F>()) }.poll(context)
}

/// # Safety
///
/// `future` points to a live `F`, which is not used again.
unsafe fn drop_as<F>(future: *mut ()) {
    // SAFETY: the caller's promise.
    unsafe { future.cast::<F>().drop_in_place() }
}

struct Fits<F, const SIZE: usize>(PhantomData<F>);

impl<F, const SIZE: usize> Fits<F, SIZE> {
    const YES: bool = size_of::<F>() <= SIZE && align_of::<F>() <= ALIGNMENT;
    const CHECKED: () = assert!(Self::YES, "this future is larger than its slot: box it");
}

impl<'a, T, const SIZE: usize> FutureSlot<'a, T, SIZE> {
    /// A slot with `future` in it. A future that is too large does not compile.
    #[inline]
    pub fn new<F>(future: F) -> Self
    where
        F: Future<Output = T> + Send + 'a,
    {
        const { Fits::<F, SIZE>::CHECKED };
        // SAFETY: the assertion above says that it fits.
        unsafe { Self::put(future) }
    }

    /// A slot with `future` in it, or with a box of it when it is too large.
    #[inline]
    pub fn new_or_boxed<F>(future: F) -> Self
    where
        F: Future<Output = T> + Send + 'a,
    {
        const { Fits::<Pin<Box<F>>, SIZE>::CHECKED };
        if Fits::<F, SIZE>::YES {
            // SAFETY: the condition says that it fits.
            unsafe { Self::put(future) }
        } else {
            // SAFETY: the assertion above says that the box fits.
            unsafe { Self::put(Box::pin(future)) }
        }
    }

    /// # Safety
    ///
    /// `F` fits.
    #[inline]
    unsafe fn put<F>(future: F) -> Self
    where
        F: Future<Output = T> + Send + 'a,
    {
        let mut bytes = Bytes(MaybeUninit::uninit());
        // SAFETY: the caller says that size and alignment fit.
        unsafe { bytes.0.as_mut_ptr().cast::<F>().write(future) };
        FutureSlot {
            bytes,
            poll: poll_as::<F>,
            drop: drop_as::<F>,
            _future: PhantomData,
            _pinned: PhantomPinned,
        }
    }
}

// SAFETY: every future that is put into a slot is Send.
unsafe impl<T, const SIZE: usize> Send for FutureSlot<'_, T, SIZE> {}

impl<T, const SIZE: usize> Future for FutureSlot<'_, T, SIZE> {
    type Output = T;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // SAFETY: the future in the slot is pinned with it (F1), and nothing is moved.
        let slot = unsafe { self.get_unchecked_mut() };
        // SAFETY: F1.
        unsafe { (slot.poll)(slot.bytes.0.as_mut_ptr().cast(), context) }
    }
}

impl<T, const SIZE: usize> Drop for FutureSlot<'_, T, SIZE> {
    fn drop(&mut self) {
        // SAFETY: F1; this is the end of the slot.
        unsafe { (self.drop)(self.bytes.0.as_mut_ptr().cast()) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use alloc::sync::Arc;
    use futures_util::task::noop_waker;

    fn run<T>(future: impl Future<Output = T>) -> T {
        let mut future = core::pin::pin!(future);
        let waker = noop_waker();
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                return value;
            }
        }
    }

    #[test]
    fn futures_of_different_types_pass_through_one_slot() {
        let text = alloc::string::String::from("borrowed");
        let sum = run(async {
            let one: FutureSlot<'_, usize, 64> = FutureSlot::new(async { text.len() });
            let first = one.await;
            let two: FutureSlot<'_, usize, 64> = FutureSlot::new(async {
                crate::yield_now().await;
                2
            });
            first + two.await
        });
        assert_eq!(sum, 10);
    }

    #[test]
    fn a_large_future_is_boxed_and_everything_is_dropped() {
        let witness = Arc::new(());
        let large = {
            let witness = Arc::clone(&witness);
            async move {
                let bytes = [1_u8; 500];
                crate::yield_now().await;
                drop(witness);
                bytes.iter().map(|&byte| u32::from(byte)).sum::<u32>()
            }
        };
        let slot: FutureSlot<'_, u32, 32> = FutureSlot::new_or_boxed(large);
        assert_eq!(run(slot), 500);
        let unused: FutureSlot<'_, Arc<()>, 32> = {
            let witness = Arc::clone(&witness);
            FutureSlot::new(async move { witness })
        };
        drop(unused);
        assert_eq!(Arc::strong_count(&witness), 1);
    }
}
