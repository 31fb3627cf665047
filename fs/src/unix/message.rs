//! What lies in a socket's queue.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::caller::Caller;
use base::charge::Charge;
use base::memory::UserBuffer;
use base::{Errno, Result};

use super::address::Address;
use super::budget::Share;
use super::credentials::Sender;
use super::rights::Rights;

/// Bytes, with what came along with them.
pub(super) struct Message {
    bytes: Vec<u8>,
    /// Bytes that a stream's reader has taken already.
    taken: usize,
    /// The sender's name, if it has one.
    pub(super) from: Option<Arc<Address>>,
    /// Who sent it, if anybody asked.
    pub(super) sender: Option<Sender>,
    /// Descriptors that came with the bytes.
    pub(super) rights: Option<Rights>,
    _share: Share,
    _charge: Charge,
}

impl Message {
    /// Takes `length` bytes from the program.
    ///
    /// # Errors
    ///
    /// `EFAULT` when a page is missing: the buffer is as it was; `ENOMEM`.
    pub(super) fn from_user(
        caller: &Caller,
        buffer: &mut UserBuffer<'_>,
        length: usize,
        share: Share,
    ) -> Result<Message> {
        // What the queue grows by is paid for as well.
        let charge = Charge::new(&caller.account, length + 2 * size_of::<Message>())?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
        bytes.resize(length, 0);
        let mark = buffer.mark();
        let copied = if length == 0 { 0 } else { buffer.take(&mut bytes).unwrap_or(0) };
        if copied < length {
            buffer.rewind(mark);
            return Err(Errno::EFAULT);
        }
        Ok(Message {
            bytes,
            taken: 0,
            from: None,
            sender: None,
            rights: None,
            _share: share,
            _charge: charge,
        })
    }

    /// The bytes that are left.
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    /// Takes `count` bytes off.
    pub(super) fn consume(&mut self, count: usize) {
        self.taken = self.bytes.len().min(self.taken + count);
    }
}
