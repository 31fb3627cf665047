//! What terminals ask of processes, and processes of terminals. The personality above installs its side.

use alloc::sync::Arc;
use core::any::Any;

use base::caller::Caller;
use base::sync::Once;

use crate::vfs::DeviceNumber;

/// A terminal, as the session that it controls sees it.
pub trait ControllingTerminal: Send + Sync + Any {
    /// Its foreground process group, 0 for none.
    fn foreground(&self) -> u32;

    /// Its device, for `/proc/<pid>/stat`.
    fn device(&self) -> DeviceNumber;

    /// The session has no terminal any more: its leader exited or gave it up. The session's foreground
    /// group has been told with SIGHUP and SIGCONT.
    fn session_ended(&self, session: u32);

    /// For `/dev/tty`, which wants the terminal itself.
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// What terminals ask about processes, groups and sessions. Source: `tty_ioctl(4)`, `setpgid(2)`.
pub trait JobControl: Sync {
    /// The caller's session.
    fn session(&self, caller: &Caller) -> u32;

    /// The caller's process group.
    fn group(&self, caller: &Caller) -> u32;

    /// The session of a process group; `None` when there is no such group.
    fn session_of_group(&self, group: u32) -> Option<u32>;

    /// True when nobody is left in the session who could continue the group's stopped jobs.
    fn is_orphaned(&self, group: u32) -> bool;

    /// True when the calling thread blocks `signal` or its process ignores it: a background process then
    /// reads `EIO`, and writes and sets as if it were in the foreground.
    fn refuses(&self, caller: &Caller, signal: u32) -> bool;

    /// The terminal that controls the caller's session.
    fn terminal(&self, caller: &Caller) -> Option<Arc<dyn ControllingTerminal>>;

    /// Makes `terminal` control the caller's session. The terminal has checked that the caller leads the
    /// session and that neither of the two has another.
    fn acquire(&self, caller: &Caller, terminal: Arc<dyn ControllingTerminal>);

    /// TIOCNOTTY: a session leader gives the terminal up for the whole session, which is told with SIGHUP
    /// and SIGCONT; for anybody else nothing happens.
    fn release(&self, caller: &Caller);
}

static JOB_CONTROL: Once<&'static dyn JobControl> = Once::new();

/// Installs the personality's side. The first call wins.
pub fn install(job_control: &'static dyn JobControl) {
    JOB_CONTROL.call_once(|| job_control);
}

/// The personality's side; `None` before it is installed, when nobody is in the background.
#[must_use]
pub fn job_control() -> Option<&'static dyn JobControl> {
    JOB_CONTROL.get().copied()
}
