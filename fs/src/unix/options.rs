//! What `setsockopt(2)` changes. Source: `socket(7)`, `unix(7)`.

use core::time::Duration;

use base::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use base::time::Instant;
use base::{Errno, Result, machine};
use executor::pollwait::{Baton, Events, Reason, Seq, Wait, WaitSource};

/// `SO_SNDBUF` and `SO_RCVBUF` of a new socket: `net.core.wmem_default`.
pub const BUFFER_DEFAULT: usize = 212_992;
/// The largest value that `SO_SNDBUF` takes, before it is doubled: `net.core.wmem_max`.
pub const BUFFER_MAX: usize = 4_194_304;
/// The smallest send buffer.
pub const SEND_BUFFER_MIN: usize = 4608;
/// The smallest receive buffer.
pub const RECEIVE_BUFFER_MIN: usize = 2304;

bitflags::bitflags! {
    /// Options that are on or off.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Switches: u32 {
        /// `SO_PASSCRED`: messages tell who sent them.
        const PASS_CREDENTIALS = 1;
        /// `SO_PASSPIDFD`: and by a descriptor of the process.
        const PASS_PIDFD = 2;
        /// `SO_PASSSEC`: security labels, of which there are none.
        const PASS_SECURITY = 4;
        /// `SO_REUSEADDR`, without effect here, as are those that follow.
        const REUSE_ADDRESS = 8;
        /// `SO_BROADCAST`.
        const BROADCAST = 0x10;
        /// `SO_KEEPALIVE`.
        const KEEP_ALIVE = 0x20;
        /// `SO_OOBINLINE`.
        const OUT_OF_BAND_INLINE = 0x40;
        /// `SO_DONTROUTE`.
        const DONT_ROUTE = 0x80;
        /// `SO_TIMESTAMP`: the time of arrival comes with each message, in microseconds.
        const TIMESTAMP = 0x100;
        /// `SO_TIMESTAMPNS`, in nanoseconds.
        const TIMESTAMP_NANOS = 0x200;
        /// `SO_PASSRIGHTS` is off: descriptors are not taken.
        const REFUSE_RIGHTS = 0x400;
    }
}

/// Never: a timeout that is not there.
const NEVER: u64 = u64::MAX;

/// The options of one socket.
pub struct Options {
    switches: AtomicU32,
    receive_timeout: AtomicU64,
    send_timeout: AtomicU64,
    low_water: AtomicU32,
    receive_buffer: AtomicU32,
    priority: AtomicU32,
    linger: AtomicU64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            switches: AtomicU32::new(0),
            receive_timeout: AtomicU64::new(NEVER),
            send_timeout: AtomicU64::new(NEVER),
            low_water: AtomicU32::new(1),
            receive_buffer: AtomicU32::new(BUFFER_DEFAULT as u32),
            priority: AtomicU32::new(0),
            linger: AtomicU64::new(0),
        }
    }
}

fn timeout(cell: &AtomicU64) -> Option<Duration> {
    match cell.load(Ordering::Relaxed) {
        NEVER => None,
        nanos => Some(Duration::from_nanos(nanos)),
    }
}

fn set_timeout(cell: &AtomicU64, value: Option<Duration>) {
    let nanos = value.map_or(NEVER, |value| u64::try_from(value.as_nanos()).unwrap_or(NEVER));
    cell.store(nanos, Ordering::Relaxed);
}

impl Options {
    /// True when all of `switches` are on.
    #[must_use]
    pub fn has(&self, switches: Switches) -> bool {
        self.switches().contains(switches)
    }

    /// What is on.
    #[must_use]
    pub fn switches(&self) -> Switches {
        Switches::from_bits_retain(self.switches.load(Ordering::Relaxed))
    }

    /// Turns `switches` on or off.
    pub fn switch(&self, switches: Switches, on: bool) {
        if on {
            self.switches.fetch_or(switches.bits(), Ordering::Relaxed);
        } else {
            self.switches.fetch_and(!switches.bits(), Ordering::Relaxed);
        }
    }

    /// `SO_RCVTIMEO`: how long a receive or an accept waits; `None` is for ever.
    #[must_use]
    pub fn receive_timeout(&self) -> Option<Duration> {
        timeout(&self.receive_timeout)
    }

    /// Sets `SO_RCVTIMEO`.
    pub fn set_receive_timeout(&self, value: Option<Duration>) {
        set_timeout(&self.receive_timeout, value);
    }

    /// `SO_SNDTIMEO`: how long a send or a connect waits; `None` is for ever.
    #[must_use]
    pub fn send_timeout(&self) -> Option<Duration> {
        timeout(&self.send_timeout)
    }

    /// Sets `SO_SNDTIMEO`.
    pub fn set_send_timeout(&self, value: Option<Duration>) {
        set_timeout(&self.send_timeout, value);
    }

    /// `SO_RCVLOWAT`: bytes that a stream's receive waits for.
    #[must_use]
    pub fn low_water(&self) -> u32 {
        self.low_water.load(Ordering::Relaxed)
    }

    /// Sets `SO_RCVLOWAT`.
    pub fn set_low_water(&self, bytes: u32) {
        self.low_water.store(bytes, Ordering::Relaxed);
    }

    /// `SO_RCVBUF`, which an AF_UNIX socket keeps and does not use: the sender's budget counts.
    #[must_use]
    pub fn receive_buffer(&self) -> u32 {
        self.receive_buffer.load(Ordering::Relaxed)
    }

    /// Sets `SO_RCVBUF`.
    pub fn set_receive_buffer(&self, bytes: u32) {
        self.receive_buffer.store(bytes, Ordering::Relaxed);
    }

    /// `SO_PRIORITY`, which nothing looks at.
    #[must_use]
    pub fn priority(&self) -> u32 {
        self.priority.load(Ordering::Relaxed)
    }

    /// Sets `SO_PRIORITY`.
    pub fn set_priority(&self, priority: u32) {
        self.priority.store(priority, Ordering::Relaxed);
    }

    /// `SO_LINGER`: on or off, and seconds. A close never waits here.
    #[must_use]
    pub fn linger(&self) -> (bool, u32) {
        let word = self.linger.load(Ordering::Relaxed);
        #[allow(clippy::cast_possible_truncation, reason = "two halves")]
        (word >> 32 != 0, word as u32)
    }

    /// Sets `SO_LINGER`.
    pub fn set_linger(&self, on: bool, seconds: u32) {
        self.linger.store(u64::from(on) << 32 | u64::from(seconds), Ordering::Relaxed);
    }

    /// What a connection takes over from the listening socket.
    pub(super) fn inherit(&self, listener: &Options) {
        let inherited = Switches::PASS_CREDENTIALS
            | Switches::PASS_PIDFD
            | Switches::PASS_SECURITY
            | Switches::REFUSE_RIGHTS;
        self.switch(listener.switches() & inherited, true);
    }
}

/// How long one call may wait, and what an interruption of it means.
#[derive(Clone, Copy, Debug)]
pub(super) enum Endurance {
    /// Not at all.
    None,
    /// For ever; interrupted, the call starts again.
    Endless,
    /// Until then; interrupted, it does not start again, since it would wait the whole time once more.
    Until(Instant),
}

impl Endurance {
    /// That of a call that does not wait, or for as long as the option says.
    pub(super) fn new(waits: bool, timeout: Option<Duration>) -> Endurance {
        match timeout {
            _ if !waits => Endurance::None,
            None => Endurance::Endless,
            Some(Duration::ZERO) => Endurance::None,
            Some(time) => Endurance::Until(machine::now() + time),
        }
    }

    fn deadline(self) -> Result<Option<Instant>> {
        match self {
            Endurance::None => Err(Errno::EAGAIN),
            Endurance::Endless => Ok(None),
            Endurance::Until(deadline) => Ok(Some(deadline)),
        }
    }

    /// What a signal makes of the call.
    fn interrupted(self) -> Errno {
        if matches!(self, Endurance::Until(_)) { Errno::EINTR_NO_RESTART } else { Errno::EINTR }
    }
}

/// The waits of one call.
pub(super) struct Waits<'a> {
    endurance: Endurance,
    /// How the last one ended.
    last: Option<Reason>,
    baton: Baton<'a>,
}

impl<'a> Waits<'a> {
    /// None yet, of a call that may wait for so long.
    pub(super) fn new(endurance: Endurance) -> Waits<'a> {
        Waits { endurance, last: None, baton: Baton::new() }
    }

    /// Waits for `events` since `source` was `seen`, because a try found nothing; another try follows, whatever ended the
    /// wait.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when there is no waiting, or the last wait took all the time; `EINTR` when it ended with a signal.
    pub(super) async fn wait(&mut self, source: &'a WaitSource, seen: Seq, events: Events) -> Result<()> {
        match self.last {
            Some(Reason::Signal) => return Err(self.endurance.interrupted()),
            Some(Reason::Timeout) => return Err(Errno::EAGAIN),
            _ => {}
        }
        let wait = Wait::interruptible().until(self.endurance.deadline()?).events(events);
        self.last = Some(self.baton.wait(source, seen, wait).await);
        Ok(())
    }

    /// What the last wait was for has been taken. Without that, the wake that ended it is the next waiter's.
    pub(super) fn succeeded(&mut self) {
        self.baton.used();
    }
}
