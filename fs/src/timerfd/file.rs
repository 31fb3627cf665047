//! A timer as an open file.

use alloc::boxed::Box;
use core::any::Any;
use core::fmt;

use base::memory::{BoxFuture, UserBuffer};
use base::{Errno, Result};
use executor::pollwait::{Events, Reason};

use super::TimerFd;
use crate::file::{FileOps, Io, OpenFile, Sources, Whence, get_user};

/// `TFD_IOC_SET_TICKS`: sets the number of expirations, as if they had come.
const SET_TICKS: u32 = 0x4008_5400;

/// Bytes of the number of expirations.
const COUNT_BYTES: usize = 8;

impl TimerFd {
    /// Pretends that `ticks` expirations came.
    fn set_ticks(&self, ticks: u64) -> Result<u64> {
        {
            let mut state = self.state.lock();
            if state.take_cancelled() {
                return Err(Errno::ECANCELED);
            }
            state.ticks = ticks;
        }
        self.expired.wake_all(Events::IN, Reason::Data);
        Ok(0)
    }
}

impl FileOps for TimerFd {
    fn read(&self, _io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        if buffer.remaining() < COUNT_BYTES {
            return Err(Errno::EINVAL);
        }
        let mut state = self.state.lock();
        if state.take_cancelled() {
            // As on Linux one that has expired is not armed again: the program has to think anew.
            if state.expired || state.is_due(self.reading(state.wall)) {
                state.schedule.expiry = None;
            }
            (state.ticks, state.expired) = (0, false);
            return Err(Errno::ECANCELED);
        }
        let mut after = *state;
        let ticks = after.take(self.reading(state.wall));
        if ticks == 0 {
            return Err(Errno::EAGAIN);
        }
        let mark = buffer.mark();
        if buffer.put(&ticks.to_ne_bytes()) != Ok(COUNT_BYTES) {
            buffer.rewind(mark);
            return Err(Errno::EFAULT);
        }
        *state = after;
        self.arm(&state);
        Ok(COUNT_BYTES)
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        let state = self.state.lock();
        if state.is_readable(self.reading(state.wall)) { Events::IN } else { Events::empty() }
    }

    fn sources(&self, _file: &OpenFile) -> Sources<'_> {
        Sources { input: Some(&self.expired), output: None }
    }

    fn seek(&self, _file: &OpenFile, current: u64, _offset: i64, _whence: Whence) -> Result<u64> {
        // Linux lets a program seek, and nothing moves.
        Ok(current)
    }

    fn ioctl<'a>(&'a self, io: &'a Io<'a>, request: u32, argument: u64) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            if request != SET_TICKS {
                return Err(Errno::ENOTTY);
            }
            let ticks = u64::from_ne_bytes(get_user(io.caller, argument).await?);
            if ticks == 0 { Err(Errno::EINVAL) } else { self.set_ticks(ticks) }
        })
    }

    fn released(&self, _file: &OpenFile) {
        self.timer.cancel();
        let steps = self.steps.lock().take();
        drop(steps);
    }

    fn describe(&self, _file: &OpenFile, out: &mut dyn fmt::Write) -> fmt::Result {
        let setting = self.get();
        let state = *self.state.lock();
        writeln!(out, "clockid: {}\nticks: {}", self.clock.id, state.ticks)?;
        writeln!(out, "settime flags: 0{:o}", state.flags)?;
        let (value, interval) = (setting.value, setting.interval);
        writeln!(out, "it_value: ({}, {})", value.as_secs(), value.subsec_nanos())?;
        writeln!(out, "it_interval: ({}, {})", interval.as_secs(), interval.subsec_nanos())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
