//! Wait, wake, requeue and wake-op. Source: `futex(2)`.

use alloc::sync::Arc;
use core::pin::pin;

use base::memory::{Access, UserMemory};
use base::time::Instant;
use base::trace::wait_core::{self, Counter};
use base::trace::{self, EventKind};
use base::{Errno, Result};
use executor::pollwait::{Events, Reason, Wait};

use crate::futex::pi::locks as pi;
use crate::futex::table::{find, join};
use crate::mm::futex_key::FutexSharing;
use crate::mm::{AddressSpace, FutexKey};

/// Matches every waiter: `FUTEX_BITSET_MATCH_ANY`.
pub const MATCH_ANY: u32 = u32::MAX;

/// Flags of `wait_futex`: a wait, and its end.
const TRACE_WAIT: u32 = 1;
const TRACE_END: u32 = 1 << 31;

/// A futex word: where it is, and how its users name it.
pub struct Word<'a> {
    space: &'a Arc<AddressSpace>,
    address: u64,
    key: FutexKey,
}

impl<'a> Word<'a> {
    /// The word at `address`.
    ///
    /// # Errors
    ///
    /// `EINVAL` when it is not aligned, `EFAULT` when a shared word lies in no mapping.
    pub fn new(space: &'a Arc<AddressSpace>, address: u64, sharing: FutexSharing) -> Result<Word<'a>> {
        if !address.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        if address >= crate::machine::USER_END {
            return Err(Errno::EFAULT);
        }
        let key = space.futex_key(address, sharing)?;
        Ok(Word { space, address, key })
    }

    pub(super) fn space(&self) -> &Arc<AddressSpace> {
        self.space
    }

    pub(super) fn address(&self) -> u64 {
        self.address
    }

    pub(super) fn key(&self) -> &FutexKey {
        &self.key
    }

    pub(super) async fn load(&self) -> Result<u32> {
        crate::user::read_u32(&**self.space, self.address).await
    }

    /// Its value, if its page is there.
    pub(super) fn peek(&self) -> Option<u32> {
        let mut bytes = [0; 4];
        let read = self.space.copy_in_nofault(self.address, &mut bytes);
        (read == bytes.len()).then(|| u32::from_ne_bytes(bytes))
    }

    /// Puts `new` in the place of `seen`.
    pub(super) fn exchange(&self, seen: u32, new: u32) -> Exchange {
        match self.space.compare_exchange_nofault(self.address, seen, new) {
            None => Exchange::Missing,
            Some(found) if found == seen => Exchange::Done,
            Some(_) => Exchange::Changed,
        }
    }

    /// Replaces the word through `change` until nobody came in between; gives the old value.
    async fn update(&self, change: impl Fn(u32) -> u32) -> Result<u32> {
        let mut old = self.load().await?;
        loop {
            match self.space.compare_exchange_nofault(self.address, old, change(old)) {
                Some(found) if found == old => return Ok(old),
                Some(found) => old = found,
                None => self.space.fault_in(self.address, 4, Access::Write).await?,
            }
        }
    }
}

/// What came of putting a new value in the place of one that was seen.
pub(super) enum Exchange {
    /// It is there.
    Done,
    /// The page is missing, or cannot be written now.
    Missing,
    /// The word held something else.
    Changed,
}

/// Waits until somebody wakes the word, if it still holds `expected`. Success means that a wake has counted this waiter.
///
/// A drop leaves the queue; a wake that had been given to this waiter goes to the next.
///
/// # Errors
///
/// `EAGAIN` when the word holds something else, `ETIMEDOUT`, `EINTR`, `EINVAL` for an empty set of bits,
/// `EFAULT`.
pub async fn wait(word: &Word<'_>, expected: u32, bits: u32, deadline: Option<Instant>) -> Result<()> {
    if bits == 0 {
        return Err(Errno::EINVAL);
    }
    let membership = join(word.key);
    let wait = Wait::interruptible().until(deadline).events(Events::from_bits_retain(bits));
    let deadline = deadline.map_or(0, Instant::as_nanos);
    loop {
        // Observed before the word is read: a waker changes the word first and wakes then.
        let seen = membership.queue().observe();
        if word.load().await? != expected {
            return Err(Errno::EAGAIN);
        }
        trace::event(EventKind::WaitFutex, || (TRACE_WAIT, [word.address, deadline, 0]));
        let mut waiting = pin!(membership.queue().wait(seen, wait));
        let reason = waiting.as_mut().await;
        trace::event(EventKind::WaitFutex, || (TRACE_WAIT | TRACE_END, [word.address, u64::MAX, 0]));
        match reason {
            Reason::Timeout => return Err(Errno::ETIMEDOUT),
            Reason::Signal => return Err(Errno::EINTR),
            Reason::Data | Reason::Hup | Reason::Close if waiting.has_begun() => return Ok(()),
            // Others were woken or moved meanwhile, and nobody has counted this one.
            Reason::Data | Reason::Hup | Reason::Close => {}
        }
    }
}

/// Wakes up to `count` waiters that wait for one of `bits`; gives how many.
///
/// # Errors
///
/// `EINVAL` for an empty set of bits, or a word that is waited for as a lock.
pub fn wake(word: &Word<'_>, count: usize, bits: u32) -> Result<usize> {
    if bits == 0 || pi::is_awaited(&word.key) {
        return Err(Errno::EINVAL);
    }
    Ok(wake_key(&word.key, count, bits))
}

/// Wakes waiters of a word that the kernel itself changed, whichever way they named it: pthread_join
/// waits on a thread's word as a shared one, others as a private one.
pub fn wake_either(word: &Word<'_>, count: usize) {
    if wake_key(&word.key, count, MATCH_ANY) == 0 {
        let private = FutexKey::Private { space: word.space.id(), address: word.address };
        wake_key(&private, count, MATCH_ANY);
    }
}

fn wake_key(key: &FutexKey, count: usize, bits: u32) -> usize {
    // An empty set of events concerns everybody, which is what "any bit" means.
    let events = if bits == MATCH_ANY { Events::empty() } else { Events::from_bits_retain(bits) };
    let woken = find(key).map_or(0, |queue| queue.wake_n(count, events, Reason::Data));
    wait_core::add(Counter::FutexWakeCalls, 1);
    wait_core::add(Counter::FutexWakeWoken, woken as u64);
    woken
}

/// Wakes up to `wake` waiters and moves up to `requeue` others to `target`. With `expected`, only if the
/// word holds it. Gives how many were woken and how many moved.
///
/// # Errors
///
/// `EAGAIN` when the word holds something else, `EFAULT`, `EINVAL` when it is waited for as a lock.
pub async fn requeue(
    word: &Word<'_>,
    wake: usize,
    requeue: usize,
    target: &Word<'_>,
    expected: Option<u32>,
) -> Result<(usize, usize)> {
    if let Some(expected) = expected
        && word.load().await? != expected
    {
        return Err(Errno::EAGAIN);
    }
    if pi::is_awaited(&word.key) {
        return Err(Errno::EINVAL);
    }
    let Some(queue) = find(&word.key) else { return Ok((0, 0)) };
    let membership = join(target.key);
    Ok(queue.requeue(wake, requeue, membership.shared()))
}

/// Changes `second` as `encoded` says, wakes waiters of `first`, and waiters of `second` if its old value
/// compares as `encoded` says. Gives how many were woken in all.
///
/// # Errors
///
/// `ENOSYS` for an unknown operation or comparison, `EFAULT`, `EINVAL` when one is waited for as a lock.
pub async fn wake_op(
    first: &Word<'_>,
    second: &Word<'_>,
    wake_first: usize,
    wake_second: usize,
    encoded: u32,
) -> Result<usize> {
    let operation = Operation::decode(encoded)?;
    let old = second.update(|old| operation.apply(old)).await?;
    let mut woken = wake(first, wake_first, MATCH_ANY)?;
    if operation.holds(old) {
        woken += wake(second, wake_second, MATCH_ANY)?;
    }
    Ok(woken)
}

/// The decoded operation of `FUTEX_WAKE_OP`.
struct Operation {
    operation: u32,
    comparison: u32,
    operand: i32,
    comparand: i32,
}

impl Operation {
    fn decode(encoded: u32) -> Result<Operation> {
        let sign_extend = |value: u32| (value << 20).cast_signed() >> 20;
        let shift = encoded >> 31 != 0;
        let raw = sign_extend(encoded >> 12 & 0xfff);
        let operand = if shift { 1i32.wrapping_shl(raw.cast_unsigned()) } else { raw };
        let decoded = Operation {
            operation: encoded >> 28 & 7,
            comparison: encoded >> 24 & 15,
            operand,
            comparand: sign_extend(encoded & 0xfff),
        };
        if decoded.operation > 4 || decoded.comparison > 5 { Err(Errno::ENOSYS) } else { Ok(decoded) }
    }

    fn apply(&self, old: u32) -> u32 {
        let operand = self.operand.cast_unsigned();
        match self.operation {
            0 => operand,
            1 => old.wrapping_add(operand),
            2 => old | operand,
            3 => old & !operand,
            _ => old ^ operand,
        }
    }

    fn holds(&self, old: u32) -> bool {
        let old = old.cast_signed();
        match self.comparison {
            0 => old == self.comparand,
            1 => old != self.comparand,
            2 => old < self.comparand,
            3 => old <= self.comparand,
            4 => old > self.comparand,
            _ => old >= self.comparand,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_operation_is_decoded_with_its_signs() {
        // ADD -1, wake the second if the old value is greater than -2.
        let encoded = 1 << 28 | 4 << 24 | 0xfff << 12 | 0xffe;
        let operation = Operation::decode(encoded).unwrap();
        assert_eq!(operation.apply(5), 4);
        assert!(operation.holds(u32::MAX));
        assert!(!operation.holds(0xffff_fffe));
        assert!(matches!(Operation::decode(5 << 28), Err(Errno::ENOSYS)));
    }
}
