//! The program's side of a message: its `channel_msg`, and the buffers that this names. The exact ABI:
//! `docs/abi.md`.

use base::memory::{Access, BoxFuture, UserMemory};
use base::{Errno, Result};
use ipc::channel::{HANDLES_PER_MESSAGE, Incoming, MESSAGE_BYTES, Outcome, Payload, Sizes};

use crate::mm::{AddressSpace, page_floor};
use crate::user::{copy_in, copy_out};

/// Bytes of a `channel_msg`.
const HEADER_BYTES: usize = 24;

/// Where the two counts are in it.
const COUNTS_AT: u64 = 16;

/// A `channel_msg`: two addresses and two counts.
#[derive(Clone, Copy, Default)]
pub(super) struct Header {
    /// Its own address.
    pub(super) at: u64,
    /// Where the payload is.
    pub(super) bytes: u64,
    /// Where the numbers of the handles are.
    pub(super) handles: u64,
    /// How much of both.
    pub(super) sizes: Sizes,
}

impl Header {
    fn decode(at: u64, raw: [u8; HEADER_BYTES]) -> Header {
        let word = |from: usize| {
            raw.get(from..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_le_bytes(*word))
        };
        let counts = word(16);
        #[allow(clippy::cast_possible_truncation, reason = "two 32-bit halves")]
        let (bytes, handles) = (counts as u32, (counts >> 32) as u32);
        let sizes = Sizes { bytes: bytes as usize, handles: handles as usize };
        Header { at, bytes: word(0), handles: word(8), sizes }
    }

    /// The header at `at`, if it is resident.
    pub(super) fn now(memory: &AddressSpace, at: u64) -> Option<Header> {
        let mut raw = [0; HEADER_BYTES];
        (memory.copy_in_nofault(at, &mut raw) == raw.len()).then(|| Self::decode(at, raw))
    }

    /// As [`now`](Self::now), but waits for the page.
    pub(super) async fn read(memory: &AddressSpace, at: u64) -> Result<Header> {
        let mut raw = [0; HEADER_BYTES];
        copy_in(memory, at, &mut raw).await?;
        Ok(Self::decode(at, raw))
    }

    /// A buffer for something is somewhere.
    pub(super) fn check_buffers(&self) -> Result<()> {
        let missing = self.sizes.bytes > 0 && self.bytes == 0 || self.sizes.handles > 0 && self.handles == 0;
        if missing { Err(Errno::EFAULT) } else { Ok(()) }
    }

    /// Of a message to send.
    pub(super) fn check_message(&self) -> Result<()> {
        if self.sizes.bytes > MESSAGE_BYTES || self.sizes.handles > HANDLES_PER_MESSAGE {
            return Err(Errno::EMSGSIZE);
        }
        self.check_buffers()
    }

    /// What it sends, still in the program's memory.
    #[inline]
    pub(super) fn payload<'a>(&self, memory: &'a AddressSpace) -> Payload<'a> {
        Payload::User { memory, at: self.bytes, length: self.sizes.bytes }
    }

    /// True when every page of what it sends can be read now. There are two at most.
    pub(super) fn payload_is_resident(&self, memory: &AddressSpace) -> bool {
        let last = self.bytes.wrapping_add(self.sizes.bytes.saturating_sub(1) as u64);
        let is_there = |at| memory.copy_in_nofault(at, &mut [0]) == 1;
        self.sizes.bytes == 0
            || is_there(self.bytes) && (page_floor(self.bytes) == page_floor(last) || is_there(last))
    }

    /// Writes the counts back.
    pub(super) fn counts(sizes: Sizes) -> [u8; 8] {
        // Both fit: a message is no larger.
        (sizes.bytes as u64 | (sizes.handles as u64) << 32).to_le_bytes()
    }
}

/// The numbers of handles in `raw`, as they lie in the program's memory.
pub(super) fn decode_handles<'a>(raw: &[u8], into: &'a mut [i32; HANDLES_PER_MESSAGE]) -> &'a [i32] {
    for (word, handle) in raw.chunks_exact(4).zip(into.iter_mut()) {
        *handle = word.first_chunk().map_or(-1, |word| i32::from_le_bytes(*word));
    }
    into.get(..raw.len() / 4).unwrap_or_default()
}

/// The program's buffers for a message.
pub(super) struct Buffers<'a> {
    memory: &'a AddressSpace,
    header: &'a Header,
    /// The address and length at which the last delivery stopped.
    missing: (u64, usize),
}

impl<'a> Buffers<'a> {
    /// Those that `header` names.
    #[inline]
    pub(super) fn new(memory: &'a AddressSpace, header: &'a Header) -> Buffers<'a> {
        Buffers { memory, header, missing: (0, 0) }
    }

    #[inline]
    fn put(&mut self, to: u64, bytes: &[u8]) -> Result<()> {
        let done = self.memory.copy_out_nofault(to, bytes);
        if done == bytes.len() {
            return Ok(());
        }
        self.missing = (to.wrapping_add(done as u64), bytes.len() - done);
        Err(Errno::EFAULT)
    }

    #[inline]
    fn put_handles(&mut self, handles: &[i32]) -> Result<()> {
        if let [handle] = handles {
            return self.put(self.header.handles, &handle.to_le_bytes());
        }
        self.put_many_handles(handles)
    }

    #[inline(never)]
    fn put_many_handles(&mut self, handles: &[i32]) -> Result<()> {
        let mut raw = [0; 4 * HANDLES_PER_MESSAGE];
        for (handle, place) in handles.iter().zip(raw.chunks_exact_mut(4)) {
            place.copy_from_slice(&handle.to_le_bytes());
        }
        self.put(self.header.handles, raw.get(..4 * handles.len()).unwrap_or_default())
    }
}

impl Incoming for Buffers<'_> {
    #[inline]
    fn room(&self) -> Sizes {
        self.header.sizes
    }

    #[inline]
    fn deliver(&mut self, payload: &[u8], handles: &[i32]) -> Result<()> {
        let header = self.header;
        if !payload.is_empty() {
            self.put(header.bytes, payload)?;
        }
        if !handles.is_empty() {
            self.put_handles(handles)?;
        }
        let sizes = Sizes { bytes: payload.len(), handles: handles.len() };
        self.put(header.at.wrapping_add(COUNTS_AT), &Header::counts(sizes))
    }

    fn fault_in(&mut self) -> BoxFuture<'_, Result<()>> {
        let (at, length) = self.missing;
        self.memory.fault_in(at, length, Access::Write)
    }
}

/// What a receive that is over answers, and the counts that its delivery did not write.
fn counts_left(outcome: Outcome) -> (Option<Sizes>, Result<u64>) {
    match outcome {
        Outcome::Message(_) => (None, Ok(0)),
        Outcome::TooSmall(sizes) => (Some(sizes), Err(Errno::EMSGSIZE)),
        Outcome::End => (Some(Sizes::default()), Ok(0)),
    }
}

/// Ends a receive into the `channel_msg` at `msg`; `None` when a page is missing.
#[inline]
pub(super) fn finish_now(memory: &AddressSpace, msg: u64, outcome: Outcome) -> Option<Result<u64>> {
    let (Some(sizes), result) = counts_left(outcome) else { return Some(Ok(0)) };
    let counts = Header::counts(sizes);
    let told = memory.copy_out_nofault(msg.wrapping_add(COUNTS_AT), &counts) == counts.len();
    told.then_some(result)
}

/// As [`finish_now`], but waits for the page.
pub(super) async fn finish(memory: &AddressSpace, msg: u64, outcome: Outcome) -> Result<u64> {
    let (Some(sizes), result) = counts_left(outcome) else { return Ok(0) };
    copy_out(memory, msg.wrapping_add(COUNTS_AT), &Header::counts(sizes)).await?;
    result
}
