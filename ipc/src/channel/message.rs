//! Messages: payload, handles, and the blocks they lie in.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use base::caller::Caller;
use base::charge::Charge;
use base::{Errno, Result};

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

/// A payload that does not fit into a block.
pub(crate) struct Large {
    bytes: Vec<u8>,
    _charge: Charge,
}

impl Large {
    /// A copy of `payload`, if it is too long for a block.
    ///
    /// `ENOMEM`.
    pub(crate) fn for_payload(caller: &Caller, payload: &[u8]) -> Result<Option<Large>> {
        if payload.len() <= INLINE_BYTES {
            return Ok(None);
        }
        let charge = Charge::new(&caller.account, payload.len())?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(payload.len()).map_err(|_| Errno::ENOMEM)?;
        bytes.extend_from_slice(payload);
        bump(Counter::LargePayloads);
        Ok(Some(Large { bytes, _charge: charge }))
    }
}

/// A message in its block.
pub struct Message {
    length: usize,
    inline: [u8; INLINE_BYTES],
    large: Option<Large>,
    handles: Handles,
    count: usize,
    /// The next block of a list of its own.
    next: Option<Box<Message>>,
    /// Of a block that is not one of the channel's own.
    _charge: Option<Charge>,
}

impl Message {
    /// A block that belongs to a channel, which is charged for it.
    pub(crate) fn empty(charge: Option<Charge>) -> Box<Message> {
        Box::new(Message {
            length: 0,
            inline: [0; INLINE_BYTES],
            large: None,
            handles: NO_HANDLES,
            count: 0,
            next: None,
            _charge: charge,
        })
    }

    /// A block charged to `caller`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn fresh(caller: &Caller) -> Result<Box<Message>> {
        let charge = Charge::new(&caller.account, size_of::<Message>())?;
        bump(Counter::FreshBlocks);
        Ok(Self::empty(Some(charge)))
    }

    /// A block with `payload` in it, charged to `caller`: for a sender that has to wait.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn staged(caller: &Caller, payload: &[u8]) -> Result<Box<Message>> {
        let large = Large::for_payload(caller, payload)?;
        let mut message = Self::fresh(caller)?;
        message.fill(payload, large);
        Ok(message)
    }

    /// Puts a payload into the block. One that is too long comes as `large`.
    pub(crate) fn fill(&mut self, payload: &[u8], large: Option<Large>) {
        self.length = payload.len();
        self.large = large;
        if let (None, Some(place)) = (&self.large, self.inline.get_mut(..payload.len())) {
            place.copy_from_slice(payload);
        }
    }

    /// Empties the block for the next message.
    pub(crate) fn clear(&mut self) {
        self.large = None;
        self.length = 0;
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

    pub(crate) fn attach(&mut self, handles: Handles, count: usize) {
        self.handles = handles;
        self.count = count;
    }

    pub(crate) fn detach(&mut self) -> Handles {
        self.count = 0;
        core::mem::replace(&mut self.handles, NO_HANDLES)
    }

    /// What its handles name.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &ObjectRef> {
        self.handles.iter().flatten().filter_map(|handle| handle.object())
    }

    /// Its handles.
    pub(crate) fn flights(&self) -> impl Iterator<Item = &crate::InFlight> {
        self.handles.iter().flatten()
    }

    pub(crate) fn set_next(&mut self, next: Option<Box<Message>>) {
        self.next = next;
    }

    pub(crate) fn take_next(&mut self) -> Option<Box<Message>> {
        self.next.take()
    }
}
