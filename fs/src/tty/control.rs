//! The ioctls of terminals. Source: `ioctl_tty(2)`.

use alloc::sync::Arc;

use base::caller::{Caller, Capabilities};
use base::{Errno, Result};
use executor::pollwait::{Reason, Wait};

use super::job_control::{ControllingTerminal, job_control};
use super::terminal::{SIGTTOU, SIGWINCH, Tty, WindowSize};
use super::termios::{Control, TERMIOS_BYTES, TERMIOS2_BYTES};
use crate::file::{Io, get_user, put_user};

const TCGETS: u32 = 0x5401;
const TCSETS: u32 = 0x5402;
const TCSETSW: u32 = 0x5403;
const TCSETSF: u32 = 0x5404;
const TCSBRK: u32 = 0x5409;
const TCXONC: u32 = 0x540a;
const TCFLSH: u32 = 0x540b;
const TIOCEXCL: u32 = 0x540c;
const TIOCNXCL: u32 = 0x540d;
const TIOCSCTTY: u32 = 0x540e;
const TIOCGPGRP: u32 = 0x540f;
const TIOCSPGRP: u32 = 0x5410;
const TIOCOUTQ: u32 = 0x5411;
const TIOCGWINSZ: u32 = 0x5413;
const TIOCSWINSZ: u32 = 0x5414;
const FIONREAD: u32 = 0x541b;
const TIOCNOTTY: u32 = 0x5422;
const TCSBRKP: u32 = 0x5425;
const TIOCGSID: u32 = 0x5429;
const TCGETS2: u32 = 0x802c_542a;
const TCSETS2: u32 = 0x402c_542b;
const TCSETSW2: u32 = 0x402c_542c;
const TCSETSF2: u32 = 0x402c_542d;

impl Tty {
    /// One ioctl. A drop while it waits for the output to drain changes no settings.
    pub(super) async fn control(self: &Arc<Self>, io: &Io<'_>, request: u32, argument: u64) -> Result<u64> {
        let caller = io.caller;
        if self.lock().hung_up {
            return Err(if request == TIOCSPGRP { Errno::ENOTTY } else { Errno::EIO });
        }
        match request {
            TCGETS => self.get_settings(caller, argument, TERMIOS_BYTES).await,
            TCGETS2 => self.get_settings(caller, argument, TERMIOS2_BYTES).await,
            TCSETS | TCSETSW | TCSETSF | TCSETS2 | TCSETSW2 | TCSETSF2 => {
                self.set_settings(caller, request, argument).await
            }
            TIOCGWINSZ => self.get_window(caller, argument).await,
            TIOCSWINSZ => self.set_window(caller, argument).await,
            TIOCGPGRP | TIOCGSID => self.get_job(caller, request, argument).await,
            TIOCSPGRP => self.set_foreground(caller, argument).await,
            TIOCSCTTY => self.acquire(caller, argument == 1).map(|()| 0),
            TIOCNOTTY => self.give_up(caller),
            TIOCEXCL | TIOCNXCL => {
                self.lock().exclusive = request == TIOCEXCL;
                Ok(0)
            }
            FIONREAD => self.put_count(caller, argument, self.lock_available()).await,
            TIOCOUTQ => self.put_count(caller, argument, self.pending_output()).await,
            TCFLSH => self.flush(caller, argument),
            TCXONC => self.flow(caller, argument),
            TCSBRK | TCSBRKP => {
                // There is no line to break; with an argument it is tcdrain(3).
                self.require_foreground(caller, SIGTTOU)?;
                self.drain().await.map(|()| 0)
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    fn lock_available(&self) -> usize {
        self.lock().line.available()
    }

    async fn put_count(&self, caller: &Caller, at: u64, count: usize) -> Result<u64> {
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        put_user(caller, at, &count.to_le_bytes()).await.map(|()| 0)
    }

    async fn get_settings(&self, caller: &Caller, at: u64, length: usize) -> Result<u64> {
        let bytes = self.lock().line.termios.to_bytes();
        put_user(caller, at, bytes.get(..length).unwrap_or(&bytes)).await.map(|()| 0)
    }

    async fn set_settings(&self, caller: &Caller, request: u32, at: u64) -> Result<u64> {
        self.require_foreground(caller, SIGTTOU)?;
        let mut bytes = [0; TERMIOS2_BYTES];
        let length = if matches!(request, TCSETS | TCSETSW | TCSETSF) {
            bytes[..TERMIOS_BYTES].copy_from_slice(&get_user::<TERMIOS_BYTES>(caller, at).await?);
            TERMIOS_BYTES
        } else {
            bytes = get_user::<TERMIOS2_BYTES>(caller, at).await?;
            TERMIOS2_BYTES
        };
        if matches!(request, TCSETSW | TCSETSF | TCSETSW2 | TCSETSF2) {
            self.drain().await?;
        }
        {
            let mut state = self.lock();
            let new = state.line.termios.with_bytes(&bytes[..length]);
            state.line.set_termios(new);
            if matches!(request, TCSETSF | TCSETSF2) {
                state.line.flush_input();
            }
        }
        self.settings_changed();
        Ok(0)
    }

    /// Waits until the line has taken all output.
    async fn drain(&self) -> Result<()> {
        loop {
            let seen = self.output_source().observe();
            if self.pending_output() == 0 {
                return Ok(());
            }
            if self.output_source().wait(seen, Wait::interruptible()).await == Reason::Signal {
                return Err(Errno::ERESTARTSYS);
            }
        }
    }

    async fn get_window(&self, caller: &Caller, at: u64) -> Result<u64> {
        let window = self.lock().window;
        let mut bytes = [0; 8];
        let fields = [window.rows, window.columns, window.width, window.height];
        for (slot, field) in bytes.chunks_exact_mut(2).zip(fields) {
            slot.copy_from_slice(&field.to_le_bytes());
        }
        put_user(caller, at, &bytes).await.map(|()| 0)
    }

    async fn set_window(&self, caller: &Caller, at: u64) -> Result<u64> {
        let b = get_user::<8>(caller, at).await?;
        let field = |at: usize| u16::from_le_bytes([b[at], b[at + 1]]);
        let window = WindowSize { rows: field(0), columns: field(2), width: field(4), height: field(6) };
        let before = core::mem::replace(&mut self.lock().window, window);
        if before != window {
            self.signal_foreground(SIGWINCH);
        }
        Ok(0)
    }

    /// TIOCGPGRP and TIOCGSID: only for the caller's own controlling terminal.
    async fn get_job(&self, caller: &Caller, request: u32, at: u64) -> Result<u64> {
        let session = self.require_own(caller)?;
        let number = if request == TIOCGSID { session } else { self.foreground() };
        put_user(caller, at, &number.to_le_bytes()).await.map(|()| 0)
    }

    /// The session, when this terminal controls the caller's.
    fn require_own(&self, caller: &Caller) -> Result<u32> {
        let control = job_control().ok_or(Errno::ENOTTY)?;
        let session = self.session();
        if session != 0 && session == control.session(caller) { Ok(session) } else { Err(Errno::ENOTTY) }
    }

    async fn set_foreground(&self, caller: &Caller, at: u64) -> Result<u64> {
        let session = self.require_own(caller)?;
        self.require_foreground(caller, SIGTTOU)?;
        let group = i32::from_le_bytes(get_user::<4>(caller, at).await?);
        let group = u32::try_from(group).map_err(|_| Errno::EINVAL)?;
        match job_control().and_then(|control| control.session_of_group(group)) {
            None => Err(Errno::ESRCH),
            Some(other) if other != session => Err(Errno::EPERM),
            Some(_) => {
                self.lock().foreground = group;
                Ok(0)
            }
        }
    }

    /// Makes this the controlling terminal of the caller's session.
    ///
    /// # Errors
    ///
    /// `EPERM` unless the caller leads a session without a terminal, and this terminal controls none, or is
    /// taken by force.
    pub(super) fn acquire(self: &Arc<Self>, caller: &Caller, force: bool) -> Result<()> {
        let control = job_control().ok_or(Errno::EPERM)?;
        let (own, leads) = (control.session(caller), control.session(caller) == caller.pid);
        let current = self.session();
        if leads && current == own {
            return Ok(());
        }
        if !leads || control.terminal(caller).is_some() {
            return Err(Errno::EPERM);
        }
        if current != 0 && !(force && caller.credentials.capable(Capabilities::SYS_ADMIN)) {
            return Err(Errno::EPERM);
        }
        // Asked before the lock: processes come before terminals in the order of locks.
        let group = control.group(caller);
        {
            let mut state = self.lock();
            state.session = own;
            state.foreground = group;
        }
        control.acquire(caller, self.clone());
        Ok(())
    }

    fn give_up(&self, caller: &Caller) -> Result<u64> {
        self.require_own(caller)?;
        if let Some(control) = job_control() {
            control.release(caller);
        }
        Ok(0)
    }

    fn flush(&self, caller: &Caller, which: u64) -> Result<u64> {
        self.require_foreground(caller, SIGTTOU)?;
        if which > 2 {
            return Err(Errno::EINVAL);
        }
        if which != 1 {
            self.lock().line.flush_input();
        }
        if which != 0 {
            self.flush_output();
        }
        Ok(0)
    }

    fn flow(&self, caller: &Caller, action: u64) -> Result<u64> {
        self.require_foreground(caller, SIGTTOU)?;
        match action {
            0 | 1 => {
                self.lock().line.hold(action == 0);
                self.output_ready();
                Ok(0)
            }
            2 | 3 => {
                // The other side is told in its own language.
                let control = if action == 2 { Control::Stop } else { Control::Start };
                self.send_character(control);
                Ok(0)
            }
            _ => Err(Errno::EINVAL),
        }
    }
}
