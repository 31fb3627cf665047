//! Messages: payload, handles, and the blocks they lie in.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use base::caller::Caller;
use base::charge::Charge;
use base::memory::UserMemory;
use base::{Errno, Result};

use super::receive::Sizes;
use crate::object::ObjectRef;
use crate::stats::{Counter, bump};
pub use crate::table::reserve::{HANDLES_PER_MESSAGE, Handles};

/// Bytes that a message carries at most.
pub const MESSAGE_BYTES: usize = 1024;

/// Bytes that fit into the block itself; more take an allocation.
pub const INLINE_BYTES: usize = 128;

/// Messages in their order. It has room for a full queue and one that came back, so it never grows.
pub(crate) type Queue = VecDeque<Box<Message>>;

/// No handles.
pub(crate) const NO_HANDLES: Handles = [const { None }; HANDLES_PER_MESSAGE];

/// The bytes of a message to send, wherever they are.
pub enum Payload<'a> {
    /// In kernel memory.
    Bytes(&'a [u8]),
    /// Still in the program's memory, where `length` bytes are at `at`.
    User {
        /// The program's memory.
        memory: &'a dyn UserMemory,
        /// Where they begin.
        at: u64,
        /// How many they are.
        length: usize,
    },
}

impl Payload<'_> {
    /// How many bytes, at most [`MESSAGE_BYTES`] in a message that can be sent.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Payload::Bytes(bytes) => bytes.len(),
            Payload::User { length, .. } => *length,
        }
    }

    /// True for a message without bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies all bytes to `place`, which is as long. `EFAULT` when a page of the program's is missing.
    #[inline]
    fn copy_to(&self, place: &mut [u8]) -> Result<()> {
        match self {
            Payload::Bytes(bytes) => place.copy_from_slice(bytes),
            Payload::User { length: 0, .. } => {}
            Payload::User { memory, at, length } => {
                if memory.copy_in_nofault(*at, place) < *length {
                    return Err(Errno::EFAULT);
                }
            }
        }
        Ok(())
    }
}

/// A payload that does not fit into a block.
pub(crate) struct Large {
    bytes: Vec<u8>,
    _charge: Charge,
}

impl Large {
    /// A copy of `payload`, if it is too long for a block.
    ///
    /// `ENOMEM`, `EFAULT`.
    #[inline]
    pub(crate) fn for_payload(caller: &Caller, payload: &Payload<'_>) -> Result<Option<Large>> {
        if payload.len() <= INLINE_BYTES { Ok(None) } else { Self::copy_of(caller, payload).map(Some) }
    }

    fn copy_of(caller: &Caller, payload: &Payload<'_>) -> Result<Large> {
        let charge = Charge::new(&caller.account, payload.len())?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(payload.len()).map_err(|_| Errno::ENOMEM)?;
        bytes.resize(payload.len(), 0);
        payload.copy_to(&mut bytes)?;
        bump(Counter::LargePayloads);
        Ok(Large { bytes, _charge: charge })
    }
}

/// A message in its block.
pub struct Message {
    length: usize,
    inline: [u8; INLINE_BYTES],
    large: Option<Large>,
    handles: Handles,
    count: usize,
    /// Its number in traces; 0 for none.
    number: u64,
    /// The next block of a list of its own.
    next: Option<Box<Message>>,
    /// Of a block that is not one of the channel's own.
    charge: Option<Charge>,
}

impl Message {
    /// A block with nothing in it.
    pub(super) fn empty() -> Box<Message> {
        Box::new(Message {
            length: 0,
            inline: [0; INLINE_BYTES],
            large: None,
            handles: NO_HANDLES,
            count: 0,
            number: 0,
            next: None,
            charge: None,
        })
    }

    /// Who pays for the block; nobody in particular for one of a channel's own, which is charged as a whole.
    pub(super) fn set_charge(&mut self, charge: Option<Charge>) {
        self.charge = charge;
    }

    /// True for a block of a channel's own.
    #[inline]
    pub(super) fn is_own(&self) -> bool {
        self.charge.is_none()
    }

    /// Puts a payload into the block. One that is too long comes as `large` too.
    ///
    /// `EFAULT` when a page of the program's is missing; the block is empty then.
    #[inline]
    pub(super) fn fill(&mut self, payload: &Payload<'_>, large: Option<Large>) -> Result<()> {
        if large.is_some() {
            self.large = large;
        } else {
            let place = self.inline.get_mut(..payload.len()).ok_or(Errno::EMSGSIZE)?;
            payload.copy_to(place)?;
        }
        self.length = payload.len();
        Ok(())
    }

    /// Empties the block for the next message; what it had beside it is dropped outside any lock.
    #[inline]
    pub(super) fn clear(&mut self) -> Option<Large> {
        self.length = 0;
        self.number = 0;
        self.large.take()
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        match &self.large {
            Some(large) => &large.bytes,
            None => self.inline.get(..self.length).unwrap_or_default(),
        }
    }

    /// Replaces the first four bytes of the payload.
    pub(crate) fn set_prefix(&mut self, prefix: [u8; 4]) {
        let payload = match &mut self.large {
            Some(large) => large.bytes.get_mut(..4),
            None => self.inline.get_mut(..4),
        };
        if let Some(place) = payload {
            place.copy_from_slice(&prefix);
        }
    }

    /// The first four bytes of the payload as a number.
    pub(crate) fn prefix(&self) -> Option<u32> {
        Some(u32::from_le_bytes(*self.payload().first_chunk()?))
    }

    /// Its payload and its handles.
    #[inline]
    pub(crate) fn sizes(&self) -> Sizes {
        Sizes { bytes: self.length, handles: self.count }
    }

    /// Its number in traces; 0 for none.
    #[inline]
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Gives it its number in traces.
    #[inline]
    pub(crate) fn set_number(&mut self, number: u64) {
        self.number = number;
    }

    /// How many handles it carries.
    #[must_use]
    pub fn handle_count(&self) -> usize {
        self.count
    }

    /// True when the `index`th handle was revoked on its way.
    pub(crate) fn is_revoked(&self, index: usize) -> bool {
        self.handles.get(index).and_then(Option::as_ref).is_none_or(|handle| handle.is_revoked())
    }

    /// Says how many handles it will carry, before they are attached.
    pub(crate) fn promise(&mut self, count: usize) {
        self.count = count;
    }

    /// Where its handles go, as many as were promised.
    pub(super) fn handles_mut(&mut self) -> &mut Handles {
        &mut self.handles
    }

    /// Takes its handles out, one after the other.
    pub(super) fn take_handles(&mut self) -> impl Iterator<Item = Option<crate::InFlight>> {
        let count = core::mem::take(&mut self.count);
        self.handles.iter_mut().take(count).map(Option::take)
    }

    /// What its handles name.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &ObjectRef> {
        self.handles.iter().flatten().filter_map(|handle| handle.object())
    }

    pub(crate) fn set_next(&mut self, next: Option<Box<Message>>) {
        self.next = next;
    }

    pub(crate) fn take_next(&mut self) -> Option<Box<Message>> {
        self.next.take()
    }
}

/// Empty blocks, linked through themselves.
pub(super) struct Blocks(Option<Box<Message>>);

impl Blocks {
    /// None.
    pub(super) const fn new() -> Blocks {
        Blocks(None)
    }

    /// One more.
    #[inline]
    pub(super) fn push(&mut self, mut block: Box<Message>) {
        fill(&mut block.next, self.0.take());
        fill(&mut self.0, Some(block));
    }

    /// The one that came last.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<Box<Message>> {
        let mut block = self.0.take()?;
        fill(&mut self.0, block.next.take());
        Some(block)
    }
}

/// Writes to a place where nothing is, without a look for what there is to drop.
#[inline(always)]
fn fill<T>(place: &mut Option<T>, value: Option<T>) {
    debug_assert!(place.is_none());
    core::mem::forget(core::mem::replace(place, value));
}
