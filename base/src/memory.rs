//! User memory: addresses that a program gave, and the copies to and from them.
//!
//! Nothing outside this module's implementors touches user memory. There are two speeds:
//!
//! - the *nofault* copies move what is resident and say how much that was; they are legal
//!   under a spin lock;
//! - [`UserMemory::fault_in`] makes pages resident, may wait, and is the only source of `EFAULT`.
//!
//! An operation that comes up short unlocks, faults the range in, and starts over. A stream
//! keeps the bytes that were already moved; a message consumes nothing.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;

use crate::caller::Caller;
use crate::frame::{Frame, PAGE_SIZE};
use crate::sync::{LockClass, SpinLock};
use crate::{Errno, Result};

/// A boxed future, for the slow paths that may allocate.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the kernel is about to do with user memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read from it.
    Read,
    /// Write to it.
    Write,
}

/// The memory of one address space, as the kernel may reach it.
pub trait UserMemory: Send + Sync {
    /// Copies from user address `from`; returns the bytes copied before the first that is not
    /// readable now. Nothing outside user space is.
    fn copy_in_nofault(&self, from: u64, into: &mut [u8]) -> usize;

    /// Copies to user address `to`; returns the bytes copied before the first that is not
    /// writable now.
    fn copy_out_nofault(&self, to: u64, from: &[u8]) -> usize;

    /// Atomically replaces the aligned 32-bit word at `at` with `new` if it is `current`.
    /// `None` when the word is not resident and writable; otherwise the value found.
    fn compare_exchange_nofault(&self, at: u64, current: u32, new: u32) -> Option<u32>;

    /// Makes `length` bytes at `at` resident for `access`, or as many as is sensible (at least one). Whoever
    /// copies and faults in by turns gives way here when it has taken long, and can be killed.
    ///
    /// Dropping the future leaves the pages that are already resident, nothing else.
    ///
    /// # Errors
    ///
    /// `EFAULT` when the first byte is in no region, or in one that does not allow the access;
    /// `ENOMEM` when there is no frame for it.
    fn fault_in(&self, at: u64, length: usize, access: Access) -> BoxFuture<'_, Result<()>>;

    /// Copies part of a frame to user memory; as [`UserMemory::copy_out_nofault`].
    fn copy_out_frame_nofault(&self, to: u64, frame: &Frame, offset: usize, length: usize) -> usize {
        let mut bounce = [0u8; 256];
        let mut done = 0;
        while done < length {
            let want = bounce.len().min(length - done);
            let got = frame.read(offset + done, &mut bounce[..want]);
            let copied = self.copy_out_nofault(to + done as u64, &bounce[..got]);
            done += copied;
            if copied < want {
                break;
            }
        }
        done
    }

    /// Copies user memory into part of a frame; as [`UserMemory::copy_in_nofault`].
    fn copy_in_frame_nofault(&self, from: u64, frame: &Frame, offset: usize, length: usize) -> usize {
        let mut bounce = [0u8; 256];
        let mut done = 0;
        while done < length {
            let want = bounce.len().min(length - done);
            let got = self.copy_in_nofault(from + done as u64, &mut bounce[..want]);
            let copied = frame.write(offset + done, &bounce[..got]);
            done += copied;
            if copied < want {
                break;
            }
        }
        done
    }
}

/// One contiguous piece of a [`UserBuffer`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// First address.
    pub address: u64,
    /// Bytes.
    pub length: usize,
}

/// A cursor over user memory that one operation fills or drains: a plain range or an iovec.
///
/// The position advances with every byte moved, so an operation that has to start over
/// after a fault simply goes on.
pub struct UserBuffer<'m> {
    memory: &'m dyn UserMemory,
    segments: Segments,
    /// Index of the current segment, and bytes of it that are done.
    current: (usize, usize),
    moved: usize,
    remaining: usize,
    access: Access,
    /// Where the last copy came up short before the cursor was set back: the page to fault in.
    short_at: Option<(usize, usize)>,
}

/// A position in a [`UserBuffer`].
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    current: (usize, usize),
    moved: usize,
    remaining: usize,
}

enum Segments {
    One(Segment),
    Many(Vec<Segment>),
}

impl Segments {
    fn get(&self, index: usize) -> Option<Segment> {
        match self {
            Segments::One(segment) => (index == 0).then_some(*segment),
            Segments::Many(list) => list.get(index).copied(),
        }
    }
}

impl<'m> UserBuffer<'m> {
    /// A buffer over one range. `access` is what the kernel does with it: a `read(2)` writes
    /// to the buffer, a `write(2)` reads from it.
    #[must_use]
    pub fn new(memory: &'m dyn UserMemory, address: u64, length: usize, access: Access) -> Self {
        let segments = Segments::One(Segment { address, length });
        UserBuffer { memory, segments, current: (0, 0), moved: 0, remaining: length, access, short_at: None }
    }

    /// A buffer over several ranges, in order. Their sum must fit a `usize`; readv(2) has checked it.
    #[must_use]
    pub fn vectored(memory: &'m dyn UserMemory, segments: Vec<Segment>, access: Access) -> Self {
        let remaining = segments.iter().fold(0usize, |sum, s| sum.saturating_add(s.length));
        UserBuffer {
            memory,
            segments: Segments::Many(segments),
            current: (0, 0),
            moved: 0,
            remaining,
            access,
            short_at: None,
        }
    }

    /// Bytes still to move.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// Bytes moved so far.
    #[must_use]
    pub fn moved(&self) -> usize {
        self.moved
    }

    /// True when nothing is left to move.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remaining == 0
    }

    /// Moves no more than `length` further bytes: for limits such as a file's end.
    pub fn truncate(&mut self, length: usize) {
        self.remaining = self.remaining.min(length);
    }

    /// The position now, for [`UserBuffer::rewind`].
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { current: self.current, moved: self.moved, remaining: self.remaining }
    }

    /// Goes back to `mark`: a message whose copy came up short consumes nothing.
    pub fn rewind(&mut self, mark: Mark) {
        self.short_at = Some(self.current);
        (self.current, self.moved, self.remaining) = (mark.current, mark.moved, mark.remaining);
    }

    /// Runs `step` on no more than `length` of the bytes that are left.
    pub fn within<R>(&mut self, length: usize, step: impl FnOnce(&mut Self) -> R) -> R {
        let held_back = self.remaining.saturating_sub(length);
        self.remaining -= held_back;
        let result = step(self);
        self.remaining += held_back;
        result
    }

    /// Copies `bytes` to the program. Short when the buffer is full or a page is missing.
    ///
    /// # Errors
    ///
    /// `EFAULT` when there was something to copy and not one byte could be: fault in and retry.
    pub fn put(&mut self, bytes: &[u8]) -> Result<usize> {
        let memory = self.memory;
        self.each(bytes.len(), |address, done, length| {
            memory.copy_out_nofault(address, &bytes[done..done + length])
        })
    }

    /// Copies bytes from the program. Short when the buffer is drained or a page is missing.
    ///
    /// # Errors
    ///
    /// `EFAULT` as [`UserBuffer::put`].
    pub fn take(&mut self, into: &mut [u8]) -> Result<usize> {
        let memory = self.memory;
        self.each(into.len(), |address, done, length| {
            memory.copy_in_nofault(address, &mut into[done..done + length])
        })
    }

    /// Copies `length` bytes of `frame` from `offset` on to the program.
    ///
    /// # Errors
    ///
    /// `EFAULT` as [`UserBuffer::put`].
    pub fn put_frame(&mut self, frame: &Frame, offset: usize, length: usize) -> Result<usize> {
        let memory = self.memory;
        let length = length.min(PAGE_SIZE.saturating_sub(offset));
        self.each(length, |address, done, n| memory.copy_out_frame_nofault(address, frame, offset + done, n))
    }

    /// Copies bytes from the program into `frame` at `offset`.
    ///
    /// # Errors
    ///
    /// `EFAULT` as [`UserBuffer::put`].
    pub fn take_frame(&mut self, frame: &Frame, offset: usize, length: usize) -> Result<usize> {
        let memory = self.memory;
        let length = length.min(PAGE_SIZE.saturating_sub(offset));
        self.each(length, |address, done, n| memory.copy_in_frame_nofault(address, frame, offset + done, n))
    }

    /// Passes over bytes without looking at them, as a write to `/dev/null` does; gives how many.
    pub fn skip(&mut self, length: usize) -> usize {
        // No copy, so no page can be missing.
        self.each(length, |_, _, n| n).unwrap_or(0)
    }

    /// Writes `length` zeros to the program.
    ///
    /// # Errors
    ///
    /// `EFAULT` as [`UserBuffer::put`].
    pub fn put_zeros(&mut self, length: usize) -> Result<usize> {
        static ZEROS: [u8; 1024] = [0; 1024];
        let memory = self.memory;
        self.each(length, |address, _, n| {
            let mut done = 0;
            while done < n {
                let want = ZEROS.len().min(n - done);
                let copied = memory.copy_out_nofault(address + done as u64, &ZEROS[..want]);
                done += copied;
                if copied < want {
                    break;
                }
            }
            done
        })
    }

    /// Makes the page resident at which the last copy came up short (the cursor's, unless the
    /// operation was all or nothing and has been set back), and as much behind it as is sensible, so
    /// that the operation can start over. Dropping it leaves nothing behind.
    ///
    /// # Errors
    ///
    /// `EFAULT` when the program has no business there; `ENOMEM`.
    pub async fn fault_in(&mut self) -> Result<()> {
        self.skip_finished_segments();
        let (mut index, mut done) = self.short_at.take().unwrap_or(self.current);
        while self.segments.get(index).is_some_and(|segment| done >= segment.length) {
            (index, done) = (index + 1, 0);
        }
        match self.segments.get(index) {
            Some(segment) if self.remaining > 0 => {
                let length = (segment.length - done).min(self.remaining);
                let address = segment.address.wrapping_add(done as u64);
                self.memory.fault_in(address, length, self.access).await
            }
            _ => Ok(()),
        }
    }

    fn skip_finished_segments(&mut self) {
        while let Some(segment) = self.segments.get(self.current.0) {
            if self.current.1 < segment.length {
                break;
            }
            self.current = (self.current.0 + 1, 0);
        }
    }

    /// Moves up to `length` bytes through `copy(address, done, length) -> copied`.
    fn each(&mut self, length: usize, mut copy: impl FnMut(u64, usize, usize) -> usize) -> Result<usize> {
        let goal = length.min(self.remaining);
        self.short_at = None;
        let mut done = 0;
        while done < goal {
            self.skip_finished_segments();
            let Some(segment) = self.segments.get(self.current.0) else {
                break;
            };
            let want = (segment.length - self.current.1).min(goal - done);
            let copied = copy(segment.address.wrapping_add(self.current.1 as u64), done, want);
            self.current.1 += copied;
            done += copied;
            if copied < want {
                break;
            }
        }
        self.moved += done;
        self.remaining -= done;
        if done == 0 && goal > 0 { Err(Errno::EFAULT) } else { Ok(done) }
    }
}

/// Copies `into.len()` bytes from a program, faulting in what is not resident.
///
/// Dropped midway: some bytes have been copied.
///
/// # Errors
///
/// `EFAULT` when a byte is not readable; `ENOMEM`.
pub async fn copy_in(memory: &dyn UserMemory, from: u64, into: &mut [u8]) -> Result<()> {
    if memory.copy_in_nofault(from, into) == into.len() {
        return Ok(());
    }
    let mut buffer = UserBuffer::new(memory, from, into.len(), Access::Read);
    while !buffer.is_empty() {
        let done = buffer.moved();
        if buffer.take(&mut into[done..]).is_err() {
            buffer.fault_in().await?;
        }
    }
    Ok(())
}

/// Copies `bytes` to a program, faulting in what is not resident.
///
/// Dropped midway: some bytes have been copied.
///
/// # Errors
///
/// `EFAULT` when a byte is not writable; `ENOMEM`.
pub async fn copy_out(memory: &dyn UserMemory, to: u64, bytes: &[u8]) -> Result<()> {
    if memory.copy_out_nofault(to, bytes) == bytes.len() {
        return Ok(());
    }
    let mut buffer = UserBuffer::new(memory, to, bytes.len(), Access::Write);
    while !buffer.is_empty() {
        let done = buffer.moved();
        if buffer.put(&bytes[done..]).is_err() {
            buffer.fault_in().await?;
        }
    }
    Ok(())
}

/// The `N` bytes at a bare address of the caller, as `ioctl(2)` takes them.
///
/// # Errors
///
/// As [`copy_in`].
pub async fn get_user<const N: usize>(caller: &Caller, address: u64) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    copy_in(&*caller.memory, address, &mut bytes).await?;
    Ok(bytes)
}

/// Puts `bytes` at a bare address of the caller.
///
/// # Errors
///
/// As [`copy_out`].
pub async fn put_user(caller: &Caller, address: u64, bytes: &[u8]) -> Result<()> {
    copy_out(&*caller.memory, address, bytes).await
}

/// Kernel bytes that look like user memory, for the kernel's own reads and writes of files:
/// addresses are offsets from 0.
pub struct KernelBytes(SpinLock<Vec<u8>>);

impl KernelBytes {
    /// Bytes that an operation may read or overwrite.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        KernelBytes(SpinLock::new(LockClass::KernelBytes, bytes))
    }

    /// `length` zeros, to be read into.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn zeroed(length: usize) -> Result<Self> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
        bytes.resize(length, 0);
        Ok(Self::new(bytes))
    }

    /// The first `count` bytes as they are now.
    #[must_use]
    pub fn into_first(self, count: usize) -> Vec<u8> {
        let mut bytes = self.into_inner();
        bytes.truncate(count);
        bytes
    }

    /// The bytes as they are now.
    #[must_use]
    pub fn into_inner(self) -> Vec<u8> {
        self.0.into_inner()
    }
}

impl UserMemory for KernelBytes {
    fn copy_in_nofault(&self, from: u64, into: &mut [u8]) -> usize {
        let bytes = self.0.lock();
        let start = usize::try_from(from).unwrap_or(usize::MAX).min(bytes.len());
        let length = into.len().min(bytes.len() - start);
        into[..length].copy_from_slice(&bytes[start..start + length]);
        length
    }

    fn copy_out_nofault(&self, to: u64, from: &[u8]) -> usize {
        let mut bytes = self.0.lock();
        let start = usize::try_from(to).unwrap_or(usize::MAX).min(bytes.len());
        let length = from.len().min(bytes.len() - start);
        bytes[start..start + length].copy_from_slice(&from[..length]);
        length
    }

    fn compare_exchange_nofault(&self, at: u64, current: u32, new: u32) -> Option<u32> {
        let mut bytes = self.0.lock();
        let start = usize::try_from(at).ok()?;
        let word = bytes.get_mut(start..start.checked_add(4)?)?;
        let found = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
        if found == current {
            word.copy_from_slice(&new.to_ne_bytes());
        }
        Some(found)
    }

    fn fault_in(&self, _at: u64, _length: usize, _access: Access) -> BoxFuture<'_, Result<()>> {
        // All of it is resident: whoever comes here went past the end.
        Box::pin(core::future::ready(Err(Errno::EFAULT)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_filled_in_order_across_empty_segments() {
        let memory = KernelBytes::new(alloc::vec![0; 16]);
        let segments = alloc::vec![
            Segment { address: 8, length: 3 },
            Segment { address: 0, length: 0 },
            Segment { address: 0, length: 2 },
        ];
        let mut buffer = UserBuffer::vectored(&memory, segments, Access::Write);
        assert_eq!(buffer.put(b"abcdefg"), Ok(5));
        assert_eq!((buffer.moved(), buffer.remaining()), (5, 0));
        let bytes = memory.into_inner();
        assert_eq!((&bytes[8..11], &bytes[..2]), (&b"abc"[..], &b"de"[..]));
    }

    #[test]
    fn a_message_that_came_up_short_faults_where_it_stopped() {
        use core::task::{Context, Poll, Waker};
        let memory = KernelBytes::new(alloc::vec![7; 4]);
        let mut buffer = UserBuffer::new(&memory, 0, 10, Access::Read);
        let mark = buffer.mark();
        assert_eq!(buffer.take(&mut [0; 10]), Ok(4));
        buffer.rewind(mark);
        assert_eq!((buffer.moved(), buffer.remaining()), (0, 10));
        // All that is there is resident; the place where the copy stopped is not.
        let outcome = core::pin::pin!(buffer.fault_in()).poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(outcome, Poll::Ready(Err(Errno::EFAULT)));
        assert_eq!(buffer.remaining(), 10);
    }

    #[test]
    fn a_missing_page_cuts_the_copy_short_and_then_faults() {
        let memory = KernelBytes::new(alloc::vec![7; 4]);
        let mut buffer = UserBuffer::new(&memory, 0, 10, Access::Read);
        let mut into = [0; 10];
        assert_eq!(buffer.take(&mut into), Ok(4));
        assert_eq!(buffer.take(&mut into), Err(Errno::EFAULT));
        assert_eq!(buffer.remaining(), 6);
    }

    /// Eight bytes, of which the program may use all; asked for more, it tells the address.
    struct Eight(SpinLock<Option<u64>>);

    impl UserMemory for Eight {
        fn copy_in_nofault(&self, from: u64, into: &mut [u8]) -> usize {
            into.len().min(8usize.saturating_sub(from as usize))
        }

        fn copy_out_nofault(&self, to: u64, from: &[u8]) -> usize {
            from.len().min(8usize.saturating_sub(to as usize))
        }

        fn compare_exchange_nofault(&self, _at: u64, _current: u32, _new: u32) -> Option<u32> {
            None
        }

        fn fault_in(&self, at: u64, _length: usize, _access: Access) -> BoxFuture<'_, Result<()>> {
            *self.0.lock() = Some(at);
            Box::pin(core::future::ready(if at < 8 { Ok(()) } else { Err(Errno::EFAULT) }))
        }
    }

    #[test]
    fn a_message_set_back_faults_where_it_came_up_short() {
        let memory = Eight(SpinLock::new(LockClass::KernelBytes, None));
        let mut buffer = UserBuffer::new(&memory, 4, 10, Access::Read);
        let mark = buffer.mark();
        assert_eq!(buffer.take(&mut [0; 10]), Ok(4));
        buffer.rewind(mark);
        let mut fault = core::pin::pin!(buffer.fault_in());
        let mut context = core::task::Context::from_waker(core::task::Waker::noop());
        let answer = fault.as_mut().poll(&mut context);
        assert_eq!(answer, core::task::Poll::Ready(Err(Errno::EFAULT)));
        assert_eq!(*memory.0.lock(), Some(8));
    }
}
