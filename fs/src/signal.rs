//! Signals that files send. The personality above installs where they go.

use base::caller::Caller;
use base::sync::Once;

use crate::file::FileOwner;
use executor::pollwait::Events;

/// Linux's number of the signal for a write that nobody will read.
pub const SIGPIPE: u32 = 13;
/// Linux's number of the signal for a write past `RLIMIT_FSIZE`.
pub const SIGXFSZ: u32 = 25;

/// Delivers the signals of the file layer.
pub trait SignalSink: Sync {
    /// Sends `signal` to the calling thread itself (SIGPIPE, SIGXFSZ), as the kernel.
    fn signal_caller(&self, caller: &Caller, signal: u32);

    /// Sends `signal` to every process of a process group (terminals), as the kernel.
    fn signal_group(&self, group: u32, signal: u32);

    /// Tells the owner of an `O_ASYNC` file that it became ready for `event` (`IN`, `OUT` or `HUP`); `fd` is the
    /// descriptor that the signal names. Source: `F_SETOWN`, `F_SETSIG` of `fcntl(2)`.
    fn signal_owner(&self, owner: &FileOwner, event: Events, fd: i32);
}

static SINK: Once<&'static dyn SignalSink> = Once::new();

/// Installs the sink. The first call wins.
pub fn install(sink: &'static dyn SignalSink) {
    SINK.call_once(|| sink);
}

/// The sink; `None` before the personality has installed one: signals are then lost.
#[must_use]
pub fn sink() -> Option<&'static dyn SignalSink> {
    SINK.get().copied()
}

/// Sends `signal` to the calling thread.
pub fn signal_caller(caller: &Caller, signal: u32) {
    if let Some(sink) = sink() {
        sink.signal_caller(caller, signal);
    }
}
