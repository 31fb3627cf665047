//! What msgctl(2) reads. Source: `msgctl(2)`.

use super::super::permission::Permissions;
use super::super::record::Record;
use super::super::settings::{MESSAGE_BYTES, QUEUE_BYTES, QUEUES};
use super::QUEUES_BY_ID;
use super::queue::MessageQueue;

/// Constants of Linux that limit nothing: bytes of a segment, and segments.
const SEGMENT_BYTES: u64 = 16;
const SEGMENTS: u16 = 0xffff;

/// A queue, for `IPC_STAT` and for `/proc/sysvipc/msg`. Times are seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Owner and mode.
    pub permissions: Permissions,
    /// When a message was sent last, and by which process.
    pub sent: (u64, u32),
    /// When a message was received last, and by which process.
    pub received: (u64, u32),
    /// When the queue was made or changed last.
    pub changed: u64,
    /// Bytes of text in it.
    pub bytes: u64,
    /// Messages in it.
    pub messages: u64,
    /// Bytes that it may hold.
    pub capacity: u64,
}

impl Status {
    /// `struct msqid64_ds`.
    #[must_use]
    pub fn record(&self) -> Record {
        let record = self.permissions.record(0);
        let record = record.u64(self.sent.0).u64(self.received.0).u64(self.changed);
        let record = record.u64(self.bytes).u64(self.messages).u64(self.capacity);
        record.u32(self.sent.1).u32(self.received.1).zeros(16)
    }
}

impl MessageQueue {
    /// The queue as it is now.
    #[must_use]
    pub fn status(&self) -> Status {
        let state = self.lock();
        Status {
            permissions: state.permissions,
            sent: state.sent,
            received: state.received,
            changed: state.changed,
            bytes: state.bytes,
            messages: state.messages.len() as u64,
            capacity: state.capacity,
        }
    }
}

/// `struct msginfo` and the highest index in use: `IPC_INFO`, or with `usage` `MSG_INFO`.
#[must_use]
pub fn info(usage: bool) -> (Record, u16) {
    let (queues, highest) = QUEUES_BY_ID.extent();
    let (pool, map, total) = if usage {
        let (messages, bytes) = totals();
        (queues as u64, messages, bytes)
    } else {
        (QUEUES.get() * QUEUE_BYTES.get() / 1024, QUEUE_BYTES.get(), QUEUE_BYTES.get())
    };
    let record = Record::default()
        .limit(pool)
        .limit(map)
        .limit(MESSAGE_BYTES.get())
        .limit(QUEUE_BYTES.get())
        .limit(QUEUES.get())
        .limit(SEGMENT_BYTES)
        .limit(total)
        .u16(SEGMENTS)
        .zeros(2);
    (record, highest)
}

/// Messages in all queues, and bytes of their texts.
fn totals() -> (u64, u64) {
    let (mut messages, mut bytes, mut next) = (0, 0, Some(0));
    while let Some((index, queue)) = next.and_then(|index| QUEUES_BY_ID.next(index)) {
        let status = queue.status();
        messages += status.messages;
        bytes += status.bytes;
        next = index.checked_add(1);
    }
    (messages, bytes)
}
