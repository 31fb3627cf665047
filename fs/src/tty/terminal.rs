//! A terminal: line discipline, window, job control, and the two queues towards programs and the line.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use base::caller::{Caller, Capabilities};
use base::memory::{BoxFuture, UserBuffer};
use base::sync::{LockClass, SpinGuard, SpinLock};
use base::{Errno, Result};
use executor::pollwait::{Events, Reason, WaitKind, WaitSource};

use super::job_control::{ControllingTerminal, job_control};
use super::line::{LineDiscipline, TypedSignal};
use super::pty::Pty;
use super::termios::{Control, Local, Termios};
use crate::file::{FileOps, Io, OpenFile, Patience, Sources, Way};
use crate::signal;
use crate::vfs::DeviceNumber;

const SIGHUP: u32 = 1;
const SIGINT: u32 = 2;
const SIGQUIT: u32 = 3;
const SIGCONT: u32 = 18;
const SIGTSTP: u32 = 20;
const SIGTTIN: u32 = 21;
pub(super) const SIGTTOU: u32 = 22;
pub(super) const SIGWINCH: u32 = 28;

/// Bytes that may wait for the line; a writer waits when there are more.
const OUTGOING: usize = 4096;
/// Bytes that one step of a read or write moves.
const STEP: usize = 256;

/// What a terminal is connected to: a serial line, or the master of a pseudo-terminal.
pub trait Driver: Send + Sync {
    /// Takes bytes, as many as it can now; returns how many. After a short count the driver calls
    /// [`Tty::output_ready`] when it takes bytes again.
    fn write(&self, bytes: &[u8]) -> usize;

    /// A program has read, so that there is room for input again.
    fn input_taken(&self) {}
}

/// `struct winsize`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowSize {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
    /// Width in pixels; kept.
    pub width: u16,
    /// Height in pixels; kept.
    pub height: u16,
}

/// A terminal.
pub struct Tty {
    number: DeviceNumber,
    driver: Box<dyn Driver>,
    state: SpinLock<State>,
    input: Arc<WaitSource>,
    output: Arc<WaitSource>,
}

/// What the lock of a terminal protects.
pub struct State {
    pub(super) line: LineDiscipline,
    pub(super) window: WindowSize,
    /// Foreground process group, 0 for none.
    pub(super) foreground: u32,
    /// Session that it controls, 0 for none.
    pub(super) session: u32,
    pub(super) hung_up: bool,
    /// No further opens: TIOCEXCL.
    pub(super) exclusive: bool,
    outgoing: VecDeque<u8>,
}

impl State {
    /// Bytes that a program may write now: none while the output is held.
    fn room(&self) -> usize {
        if self.line.is_held() { 0 } else { OUTGOING.saturating_sub(self.outgoing.len()) }
    }
}

impl Tty {
    /// A terminal with device number `number` on `driver`.
    #[must_use]
    pub fn new(number: DeviceNumber, driver: Box<dyn Driver>, termios: Termios) -> Arc<Tty> {
        let line = LineDiscipline::new(termios);
        let state = State {
            line,
            window: WindowSize::default(),
            foreground: 0,
            session: 0,
            hung_up: false,
            exclusive: false,
            outgoing: VecDeque::new(),
        };
        Arc::new(Tty {
            number,
            driver,
            state: SpinLock::new(LockClass::Tty, state),
            input: Arc::new(WaitSource::new(WaitKind::TtyRead, 0)),
            output: Arc::new(WaitSource::new(WaitKind::TtyWrite, 0)),
        })
    }

    /// Its device number.
    #[must_use]
    pub fn number(&self) -> DeviceNumber {
        self.number
    }

    /// The terminal's state. For its ioctls and for `/proc/<pid>/stat`.
    pub fn lock(&self) -> SpinGuard<'_, State> {
        self.state.lock()
    }

    /// The session that it controls, 0 for none.
    #[must_use]
    pub fn session(&self) -> u32 {
        self.state.lock().session
    }

    /// Bytes that were typed. Called by the driver's task, not from an interrupt.
    pub fn receive(&self, bytes: &[u8]) {
        let mut echo = Vec::new();
        let mut signals = Vec::new();
        let (readable, writable) = {
            let mut state = self.state.lock();
            if state.hung_up {
                return;
            }
            let could_write = state.room() > 0;
            for &byte in bytes {
                let signal = state.line.receive(byte, &mut echo);
                if signal.is_some() && !state.line.termios.local.contains(Local::NOFLSH) {
                    state.outgoing.clear();
                }
                signals.extend(signal);
            }
            // An echo that finds no room is lost, as on Linux.
            let room = OUTGOING.saturating_sub(state.outgoing.len());
            state.outgoing.extend(echo.into_iter().take(room));
            self.send(&mut state);
            (state.line.has_input(), !could_write && state.room() > 0)
        };
        for typed in signals {
            self.signal_foreground(match typed {
                TypedSignal::Interrupt => SIGINT,
                TypedSignal::Quit => SIGQUIT,
                TypedSignal::Suspend => SIGTSTP,
            });
        }
        if readable {
            self.input.wake_one(Events::IN | Events::RDNORM, Reason::Data);
        }
        if writable {
            self.output.wake_all(Events::OUT | Events::WRNORM, Reason::Data);
        }
    }

    /// The driver takes bytes again, or the output is no longer held.
    pub fn output_ready(&self) {
        let has_room = {
            let mut state = self.state.lock();
            self.send(&mut state);
            state.room() > 0
        };
        if has_room {
            self.output.wake_all(Events::OUT | Events::WRNORM, Reason::Data);
        }
    }

    /// The line is gone: reads end, writes fail, and the session is told.
    pub fn hang_up(&self) {
        let told = {
            let mut state = self.state.lock();
            state.hung_up = true;
            state.line.flush_input();
            state.outgoing.clear();
            // The session's leader leads the group of the same number.
            [core::mem::take(&mut state.session), core::mem::take(&mut state.foreground)]
        };
        for group in told.into_iter().filter(|&group| group != 0) {
            signal_group(group, SIGHUP);
            signal_group(group, SIGCONT);
        }
        self.input.wake_all(Events::IN | Events::HUP, Reason::Hup);
        self.output.wake_all(Events::OUT | Events::HUP, Reason::Hup);
    }

    pub(super) fn signal_foreground(&self, signal: u32) {
        let foreground = self.foreground();
        if foreground != 0 {
            signal_group(foreground, signal);
        }
    }

    /// Wakes readers and writers after settings changed what they may do.
    pub(super) fn settings_changed(&self) {
        self.output_ready();
        self.input.wake_all(Events::IN | Events::RDNORM, Reason::Data);
    }

    /// Bytes of input that find room now.
    #[must_use]
    pub fn input_room(&self) -> usize {
        let state = self.state.lock();
        // After a hangup what is typed goes nowhere, at once.
        if state.hung_up { OUTGOING } else { state.line.room() }
    }

    /// Bytes of output that the line has not taken.
    #[must_use]
    pub fn pending_output(&self) -> usize {
        self.state.lock().outgoing.len()
    }

    /// Where those wait who have it open.
    pub(super) fn sources(&self) -> Sources<'_> {
        Sources { input: Some(&self.input), output: Some(&self.output) }
    }

    /// What to wait on until output moves.
    pub(super) fn output_source(&self) -> &WaitSource {
        &self.output
    }

    /// Sends a control character at once, held or not; nothing when it is switched off.
    pub(super) fn send_character(&self, control: Control) {
        let mut state = self.state.lock();
        if let Some(character) = state.line.termios.character(control)
            && self.driver.write(&[character]) == 0
        {
            state.outgoing.push_front(character);
        }
    }

    /// Forgets output that the line has not taken: TCFLSH.
    pub(super) fn flush_output(&self) {
        self.state.lock().outgoing.clear();
        self.output_ready();
    }

    /// Stops a background caller that may not do what `signal` stands for.
    ///
    /// # Errors
    ///
    /// `EIO` when stopping is impossible; `ERESTARTSYS` after the signal was sent.
    pub(super) fn require_foreground(&self, caller: &Caller, signal: u32) -> Result<()> {
        let Some(control) = job_control() else { return Ok(()) };
        let group = control.group(caller);
        let (session, foreground) = {
            let state = self.state.lock();
            (state.session, state.foreground)
        };
        if session == 0 || foreground == 0 || foreground == group || session != control.session(caller) {
            return Ok(());
        }
        if control.refuses(caller, signal) {
            return if signal == SIGTTOU { Ok(()) } else { Err(Errno::EIO) };
        }
        if control.is_orphaned(group) {
            return Err(Errno::EIO);
        }
        signal_group(group, signal);
        Err(Errno::ERESTARTSYS)
    }

    /// Gives the driver what it takes.
    fn send(&self, state: &mut State) {
        while !state.line.is_held() && !state.outgoing.is_empty() {
            let (front, _) = state.outgoing.as_slices();
            let taken = self.driver.write(front);
            if taken == 0 {
                return;
            }
            state.outgoing.drain(..taken);
        }
    }
}

fn signal_group(group: u32, number: u32) {
    if let Some(sink) = signal::sink() {
        sink.signal_group(group, number);
    }
}

impl ControllingTerminal for Tty {
    fn foreground(&self) -> u32 {
        self.state.lock().foreground
    }

    fn device(&self) -> DeviceNumber {
        self.number
    }

    fn session_ended(&self, session: u32) {
        let mut state = self.state.lock();
        if state.session == session {
            state.session = 0;
            state.foreground = 0;
        }
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// An open terminal.
pub struct TtyFile {
    tty: Arc<Tty>,
    /// The pair that counts this open, when the terminal is a pseudo-terminal's slave.
    pty: Option<Arc<Pty>>,
}

impl TtyFile {
    /// An open of `tty`; the caller's session may take it as its controlling terminal.
    ///
    /// # Errors
    ///
    /// `EIO` after a hangup, `EBUSY` while it is exclusively open and the caller is not privileged.
    pub fn open(tty: &Arc<Tty>, caller: &Caller, takes_control: bool) -> Result<Arc<TtyFile>> {
        TtyFile::new(tty, None, caller, takes_control)
    }

    /// An open of a pseudo-terminal's slave. Errors as [`TtyFile::open`].
    pub(super) fn of_pty(
        pty: &Arc<Pty>,
        tty: &Arc<Tty>,
        caller: &Caller,
        takes_control: bool,
    ) -> Result<Arc<TtyFile>> {
        TtyFile::new(tty, Some(pty.clone()), caller, takes_control)
    }

    fn new(
        tty: &Arc<Tty>,
        pty: Option<Arc<Pty>>,
        caller: &Caller,
        takes_control: bool,
    ) -> Result<Arc<TtyFile>> {
        {
            let state = tty.state.lock();
            if state.hung_up {
                return Err(Errno::EIO);
            }
            if state.exclusive && !caller.credentials.capable(Capabilities::SYS_ADMIN) {
                return Err(Errno::EBUSY);
            }
        }
        if takes_control {
            // Only a leader without a terminal takes one; for everybody else opening changes nothing.
            let _ = tty.acquire(caller, false);
        }
        Ok(Arc::new(TtyFile { tty: tty.clone(), pty }))
    }

    /// The terminal.
    #[must_use]
    pub fn tty(&self) -> &Arc<Tty> {
        &self.tty
    }
}

impl FileOps for TtyFile {
    fn announces(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn read(&self, io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        self.tty.require_foreground(io.caller, SIGTTIN)?;
        let mut state = self.tty.state.lock();
        if state.hung_up {
            return Ok(0);
        }
        if !state.line.has_input() {
            return if state.line.reads_at_once() { Ok(0) } else { Err(Errno::EAGAIN) };
        }
        let taken = state.line.take(buffer.remaining().min(STEP * 16));
        let moved = if taken.bytes.is_empty() { Ok(0) } else { buffer.put(&taken.bytes) };
        state.line.put_back(&taken, moved.unwrap_or(0));
        let more = state.line.has_input();
        drop(state);
        self.tty.driver.input_taken();
        if more {
            self.tty.input.wake_one(Events::IN | Events::RDNORM, Reason::Data);
        }
        moved
    }

    fn write(&self, io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        let stops = self.tty.state.lock().line.termios.local.contains(Local::TOSTOP);
        if stops {
            self.tty.require_foreground(io.caller, SIGTTOU)?;
        }
        let mut done = 0;
        let mut chunk = [0; STEP];
        let mut processed = Vec::with_capacity(2 * STEP);
        let mut state = self.tty.state.lock();
        loop {
            if state.hung_up {
                return Err(Errno::EIO);
            }
            // Every byte becomes eight at most (a tab), so a step never overruns by more than that.
            let room = state.room();
            let want = chunk.len().min(buffer.remaining());
            if want == 0 {
                return Ok(done);
            }
            if room == 0 {
                return if done > 0 { Ok(done) } else { Err(Errno::EAGAIN) };
            }
            let got = match buffer.take(&mut chunk[..want]) {
                Ok(got) => got,
                Err(_) if done > 0 => return Ok(done),
                Err(error) => return Err(error),
            };
            processed.clear();
            for &byte in &chunk[..got] {
                state.line.process_output(byte, &mut processed);
            }
            state.outgoing.extend(&processed);
            self.tty.send(&mut state);
            done += got;
        }
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        let state = self.tty.state.lock();
        let mut events = Events::empty();
        if state.line.is_readable() || state.hung_up {
            events |= Events::IN | Events::RDNORM;
        }
        if state.room() > 0 || state.hung_up {
            events |= Events::OUT | Events::WRNORM;
        }
        if state.hung_up {
            events |= Events::HUP | Events::ERR;
        }
        events
    }

    fn splices(&self, _way: Way) -> bool {
        true
    }

    fn patience(&self, _file: &OpenFile, way: Way, moved: usize) -> Patience {
        match way {
            Way::Read => self.tty.state.lock().line.patience(moved),
            Way::Write => Patience::default(),
        }
    }

    fn sources(&self, _file: &OpenFile) -> Sources<'_> {
        self.tty.sources()
    }

    fn wakes(&self, _file: &OpenFile, tell: &mut dyn FnMut(&WaitSource)) {
        // What is at the other end of a line is outside the machine.
        if let Some(pty) = &self.pty {
            pty.master_sources().iter().for_each(|source| tell(source));
        }
    }

    fn ioctl<'a>(&'a self, io: &'a Io<'a>, request: u32, argument: u64) -> BoxFuture<'a, Result<u64>> {
        Box::pin(self.tty.control(io, request, argument))
    }

    fn released(&self, _file: &OpenFile) {
        if let Some(pty) = &self.pty {
            pty.slave_closed();
        }
    }
}
