//! The bytes of a pipe: a ring that grows to its limit as it is used.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use base::charge::{Account, Charge};
use base::memory::UserBuffer;
use base::{Errno, Result};

/// Writes of up to this many bytes are never torn: `PIPE_BUF`.
pub(super) const PIPE_BUF: usize = 4096;

/// The first piece of memory; it doubles from here.
const FIRST_CAPACITY: usize = 4096;

/// Bytes that were written in packet mode and are read as one.
#[derive(Clone, Copy, Debug)]
struct Packet {
    start: u64,
    end: u64,
}

/// A ring of bytes. Positions count from the first byte ever written.
pub(super) struct Ring {
    bytes: Vec<u8>,
    charge: Option<Charge>,
    limit: usize,
    read_at: u64,
    written_to: u64,
    packets: VecDeque<Packet>,
    /// Room that splices have been promised.
    promised: usize,
}

impl Ring {
    pub(super) fn new(limit: usize) -> Ring {
        Ring {
            bytes: Vec::new(),
            charge: None,
            limit,
            read_at: 0,
            written_to: 0,
            packets: VecDeque::new(),
            promised: 0,
        }
    }

    /// Sets up to `wanted` bytes of room aside; returns how many.
    pub(super) fn promise(&mut self, wanted: usize) -> usize {
        let promised = wanted.min(self.free());
        self.promised += promised;
        promised
    }

    /// Takes a promise back.
    pub(super) fn release(&mut self, promised: usize) {
        self.promised -= promised;
    }

    /// Bytes to read.
    pub(super) fn len(&self) -> usize {
        (self.written_to - self.read_at) as usize
    }

    /// Bytes that can be read in all before it is full.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn is_empty(&self) -> bool {
        self.written_to == self.read_at
    }

    /// Bytes that fit.
    pub(super) fn free(&self) -> usize {
        if self.packets.len() >= self.limit / PIPE_BUF { 0 } else { self.limit - self.len() - self.promised }
    }

    /// True when a write of up to `PIPE_BUF` bytes finds room: what poll(2) calls writable.
    pub(super) fn is_writable(&self) -> bool {
        self.free() >= PIPE_BUF
    }

    /// Bytes that one read may take: up to the end of a packet, or to the start of the next.
    pub(super) fn readable(&self) -> usize {
        self.run(0).0
    }

    /// True when a packet comes next.
    pub(super) fn at_packet(&self) -> bool {
        self.run(0).1
    }

    /// Length of what comes `offset` bytes from here, and whether it is (the rest of) a packet.
    pub(super) fn run(&self, offset: usize) -> (usize, bool) {
        let at = self.read_at + offset as u64;
        match self.packets.iter().find(|packet| packet.end > at) {
            Some(packet) if packet.start <= at => ((packet.end - at) as usize, true),
            Some(packet) => ((packet.start - at) as usize, false),
            None => (self.len().saturating_sub(offset), false),
        }
    }

    /// Copies up to `length` bytes of one run, `offset` bytes from here, behind what `target` holds. They fit there.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn copy_run(
        &self,
        offset: usize,
        length: usize,
        target: &mut Ring,
        account: &Arc<Account>,
    ) -> Result<usize> {
        let (available, packet) = self.run(offset);
        let length = length.min(available);
        target.reserve(account, length)?;
        let (first, second) = self.pieces(self.read_at + offset as u64, length);
        for (at, &byte) in (target.written_to..).zip(first.iter().chain(second)) {
            let index = target.index(at);
            if let Some(place) = target.bytes.get_mut(index) {
                *place = byte;
            }
        }
        target.publish(length, packet);
        Ok(length)
    }

    /// Takes `length` bytes out; what is left of a packet stays one.
    pub(super) fn advance(&mut self, length: usize) {
        self.read_at += (length as u64).min(self.written_to - self.read_at);
        while self.packets.front().is_some_and(|packet| packet.end <= self.read_at) {
            self.packets.pop_front();
        }
    }

    /// The first `length` bytes, or as many as there are.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn front(&self, length: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let (first, second) = self.pieces(self.read_at, length.min(self.len()));
        bytes.try_reserve_exact(first.len() + second.len()).map_err(|_| Errno::ENOMEM)?;
        bytes.extend_from_slice(first);
        bytes.extend_from_slice(second);
        Ok(bytes)
    }

    /// Changes the limit.
    ///
    /// # Errors
    ///
    /// `EBUSY` when more is in it.
    pub(super) fn set_limit(&mut self, limit: usize) -> Result<()> {
        if self.len() + self.promised > limit || self.packets.len() > limit / PIPE_BUF {
            return Err(Errno::EBUSY);
        }
        self.limit = limit;
        Ok(())
    }

    /// Gives the memory of an empty ring back, when nobody is left to use it.
    pub(super) fn clear(&mut self) {
        self.read_at = self.written_to;
        self.packets.clear();
        self.bytes = Vec::new();
        self.charge = None;
    }

    /// Makes room in memory for `more` bytes, which fit the limit.
    pub(super) fn reserve(&mut self, account: &Arc<Account>, more: usize) -> Result<()> {
        let needed = self.len() + more;
        if needed <= self.bytes.len() {
            return Ok(());
        }
        let capacity = needed.next_power_of_two().max(FIRST_CAPACITY);
        let charge = Charge::new(account, capacity)?;
        let mut grown = Vec::new();
        grown.try_reserve_exact(capacity).map_err(|_| Errno::ENOMEM)?;
        let (first, second) = self.filled();
        grown.extend_from_slice(first);
        grown.extend_from_slice(second);
        grown.resize(capacity, 0);
        // The bytes now start at the front: let the positions agree.
        let length = self.len() as u64;
        for packet in &mut self.packets {
            packet.start = packet.start.saturating_sub(self.read_at);
            packet.end -= self.read_at;
        }
        (self.read_at, self.written_to) = (0, length);
        self.bytes = grown;
        self.charge = Some(charge);
        Ok(())
    }

    fn index(&self, position: u64) -> usize {
        // The capacity is a power of two.
        position as usize & (self.bytes.len().wrapping_sub(1))
    }

    /// The bytes to read, in up to two pieces.
    fn filled(&self) -> (&[u8], &[u8]) {
        self.pieces(self.read_at, self.len())
    }

    fn pieces(&self, from: u64, length: usize) -> (&[u8], &[u8]) {
        if length == 0 {
            return (&[], &[]);
        }
        let start = self.index(from);
        let first = length.min(self.bytes.len() - start);
        (
            self.bytes.get(start..start + first).unwrap_or_default(),
            self.bytes.get(..length - first).unwrap_or_default(),
        )
    }

    /// Copies up to `length` bytes to the program without consuming them. Returns how many were copied and
    /// whether a page was missing.
    pub(super) fn copy_out(&self, buffer: &mut UserBuffer<'_>, length: usize) -> (usize, bool) {
        let length = length.min(buffer.remaining());
        let (first, second) = self.pieces(self.read_at, length);
        let mut done = 0;
        for piece in [first, second] {
            let copied = if piece.is_empty() { 0 } else { buffer.put(piece).unwrap_or(0) };
            done += copied;
            if copied < piece.len() {
                return (done, true);
            }
        }
        (done, false)
    }

    /// Takes `length` bytes out; a packet that has been read even in part goes as a whole.
    pub(super) fn consume(&mut self, length: usize) {
        self.read_at += (length as u64).min(self.written_to - self.read_at);
        while let Some(packet) = self.packets.front().copied() {
            if self.read_at <= packet.start {
                break;
            }
            self.read_at = self.read_at.max(packet.end);
            self.packets.pop_front();
        }
    }

    /// Copies up to `length` bytes from the program behind what is there, without publishing them. They fit, and
    /// there is memory for them. Returns as [`Ring::copy_out`].
    pub(super) fn copy_in(&mut self, buffer: &mut UserBuffer<'_>, length: usize) -> (usize, bool) {
        let mut done = 0;
        while done < length {
            let start = self.index(self.written_to + done as u64);
            let end = self.bytes.len().min(start + (length - done));
            let Some(piece) = self.bytes.get_mut(start..end) else { break };
            let wanted = piece.len();
            let copied = buffer.take(piece).unwrap_or(0);
            done += copied;
            if copied < wanted {
                return (done, true);
            }
        }
        (done, false)
    }

    /// Publishes `length` bytes that [`Ring::copy_in`] has put there, as a packet if so asked.
    pub(super) fn publish(&mut self, length: usize, packet: bool) {
        let start = self.written_to;
        self.written_to += length as u64;
        if packet && length > 0 {
            self.packets.push_back(Packet { start, end: self.written_to });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::memory::{Access, KernelBytes};
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(usize, bool),
        Read(usize),
        Limit(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1usize..6000, any::<bool>()).prop_map(|(length, packet)| Step::Write(length, packet)),
            (1usize..9000).prop_map(Step::Read),
            (1u32..6).prop_map(|power| Step::Limit(PIPE_BUF << power)),
        ]
    }

    /// The model: pieces in order, each a packet or a run of the stream.
    #[derive(Default)]
    struct Model(VecDeque<(Vec<u8>, bool)>);

    impl Model {
        fn len(&self) -> usize {
            self.0.iter().map(|(bytes, _)| bytes.len()).sum()
        }
        fn read(&mut self, length: usize) -> Vec<u8> {
            let mut out = Vec::new();
            while let Some((bytes, packet)) = self.0.front_mut() {
                if *packet {
                    if out.is_empty() {
                        out.extend(bytes.iter().take(length));
                        self.0.pop_front();
                    }
                    break;
                }
                let taken = bytes.len().min(length - out.len());
                out.extend(bytes.drain(..taken));
                if !bytes.is_empty() {
                    break;
                }
                self.0.pop_front();
            }
            out
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_ring_is_a_queue_of_bytes_and_packets(steps in proptest::collection::vec(step(), 1..60)) {
            crate::testing::machine();
            let account = Account::new();
            let mut ring = Ring::new(2 * PIPE_BUF);
            let mut model = Model::default();
            let mut next = 0u8;
            for step in steps {
                match step {
                    Step::Write(length, packet) => {
                        let length = if packet { length.min(PIPE_BUF) } else { length };
                        if length > ring.free() {
                            continue;
                        }
                        let bytes: Vec<u8> = (0..length).map(|i| next.wrapping_add(i as u8)).collect();
                        next = next.wrapping_add(length as u8);
                        let memory = KernelBytes::new(bytes.clone());
                        let mut buffer = UserBuffer::new(&memory, 0, length, Access::Read);
                        ring.reserve(&account, length).unwrap();
                        prop_assert_eq!(ring.copy_in(&mut buffer, length), (length, false));
                        ring.publish(length, packet);
                        model.0.push_back((bytes, packet));
                    }
                    Step::Read(length) => {
                        let want = ring.readable().min(length);
                        let memory = KernelBytes::new(alloc::vec![0; length]);
                        let mut buffer = UserBuffer::new(&memory, 0, length, Access::Write);
                        let (got, short) = ring.copy_out(&mut buffer, want);
                        prop_assert!(!short);
                        ring.consume(got);
                        drop(buffer);
                        prop_assert_eq!(&memory.into_inner()[..got], &model.read(length)[..]);
                    }
                    Step::Limit(limit) => {
                        let _ = ring.set_limit(limit);
                    }
                }
                prop_assert_eq!(ring.len(), model.len());
                prop_assert_eq!(ring.is_empty(), model.len() == 0);
            }
        }
    }
}
