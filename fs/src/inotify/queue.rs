//! The events that wait to be read.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use base::charge::{Account, Charge};
use base::memory::UserBuffer;

/// Bytes of a `struct inotify_event` without its name; names are padded to multiples of it.
pub(super) const HEADER_BYTES: usize = 16;

/// Events that a queue holds: `/proc/sys/fs/inotify/max_queued_events`.
pub(super) const QUEUE_MAX: usize = 16_384;

/// `IN_Q_OVERFLOW`: events were lost.
const OVERFLOW: u32 = 0x4000;
/// `IN_IGNORED`: the watch is gone.
pub(super) const IGNORED: u32 = 0x8000;

/// One event.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) wd: i32,
    pub(super) mask: u32,
    pub(super) cookie: u32,
    pub(super) name: Option<Arc<[u8]>>,
    _charge: Option<Charge>,
}

impl Queued {
    /// Bytes that a read hands out for it.
    fn bytes(&self) -> usize {
        HEADER_BYTES + self.padded()
    }

    /// Bytes of the name with at least one NUL; 0 without a name.
    fn padded(&self) -> usize {
        self.name.as_ref().map_or(0, |name| (name.len() + 1).next_multiple_of(HEADER_BYTES))
    }

    /// Copies it to the program; false when a page is missing.
    fn put(&self, buffer: &mut UserBuffer<'_>) -> bool {
        let padded = self.padded();
        let length = u32::try_from(padded).unwrap_or(0);
        let words = [self.wd.cast_unsigned(), self.mask, self.cookie, length];
        let name = self.name.as_deref().unwrap_or_default();
        words.iter().all(|word| buffer.put(&word.to_ne_bytes()) == Ok(4))
            && (name.is_empty() || buffer.put(name) == Ok(name.len()))
            && (padded == 0 || buffer.put_zeros(padded - name.len()) == Ok(padded - name.len()))
    }
}

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// As many events as there were, or fitted.
    Done,
    /// Nothing waits.
    Empty,
    /// The next event does not fit.
    TooSmall,
    /// A page is missing.
    Fault,
}

/// The queue of one instance.
#[derive(Debug, Default)]
pub(super) struct Queue {
    events: VecDeque<Queued>,
    bytes: usize,
    overflowed: bool,
}

impl Queue {
    /// Adds an event, unless it is the same as the last one. True when there is something new to read.
    pub(super) fn push(
        &mut self,
        account: &Arc<Account>,
        wd: i32,
        mask: u32,
        cookie: u32,
        name: Option<&[u8]>,
    ) -> bool {
        let same = |last: &Queued| last.wd == wd && last.mask == mask && last.name.as_deref() == name;
        if mask & IGNORED == 0 && self.events.back().is_some_and(same) {
            return false;
        }
        if self.overflowed {
            return false;
        }
        let cost = size_of::<Queued>() + name.map_or(0, <[u8]>::len);
        let full = self.events.len() >= QUEUE_MAX || self.events.try_reserve(1).is_err();
        let charge = if full { None } else { Charge::new(account, cost).ok() };
        let event = match charge {
            Some(charge) => Queued { wd, mask, cookie, name: name.map(Arc::from), _charge: Some(charge) },
            None => {
                self.overflowed = true;
                Queued { wd: -1, mask: OVERFLOW, cookie: 0, name: None, _charge: None }
            }
        };
        self.bytes += event.bytes();
        self.events.push_back(event);
        true
    }

    /// True when nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Bytes that all events take: `FIONREAD`.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Hands out as many events as fit.
    pub(super) fn read(&mut self, buffer: &mut UserBuffer<'_>) -> Read {
        let before = buffer.moved();
        while let Some(event) = self.events.front() {
            let nothing_yet = buffer.moved() == before;
            if buffer.remaining() < event.bytes() {
                return if nothing_yet { Read::TooSmall } else { Read::Done };
            }
            let mark = buffer.mark();
            if !event.put(buffer) {
                buffer.rewind(mark);
                return if nothing_yet { Read::Fault } else { Read::Done };
            }
            self.bytes -= event.bytes();
            if event.mask == OVERFLOW {
                self.overflowed = false;
            }
            self.events.pop_front();
        }
        if buffer.moved() == before { Read::Empty } else { Read::Done }
    }
}
