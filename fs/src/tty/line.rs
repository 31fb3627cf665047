//! The line discipline: what becomes of a byte that is typed and of one that is written.
//!
//! ```text
//!   typed byte -> map (ICRNL...) -> signal? -> flow control? -> edit (canonical) -> queue -> read
//!                                      |             |             |
//!                                      v             v             v echo
//!   written byte -> post-process (ONLCR, tabs, column) ------> output
//! ```
//!
//! Plain data and bytes: no locks, no waiting, no user memory.

mod edit;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use super::termios::{Control, Input, Local, Output, Termios};
use crate::file::Patience;

/// Bytes that may be typed ahead of the readers.
pub const QUEUE_BYTES: usize = 4095;
/// Bytes of the longest line with its end. What is typed beyond takes the place of the last one.
const LINE_BYTES: usize = 4096;
/// Columns between tab stops.
const TAB_STOP: usize = 8;
const NEWLINE: u8 = b'\n';
const RETURN: u8 = b'\r';

/// A signal that a typed character sends to the foreground group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypedSignal {
    /// `^C`.
    Interrupt,
    /// `^\`.
    Quit,
    /// `^Z`.
    Suspend,
}

bitflags::bitflags! {
    /// Why output is held.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    struct Held: u8 {
        /// `^S` was typed.
        const TYPED = 1;
        /// A program asked for it: TCXONC. Nothing that is typed releases it.
        const CALLED = 2;
    }
}

/// One byte that a program may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ready {
    byte: u8,
    /// The byte ends a line: a read stops behind it.
    ends_line: bool,
    /// The end is `^D`: it stops the read and is not itself read.
    is_end_mark: bool,
}

/// What one read takes.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// The bytes to deliver; none is an end of file.
    pub bytes: Vec<u8>,
    /// An end mark stood behind them, and is taken too.
    end_mark: bool,
}

/// The state between two bytes.
#[derive(Debug, Default)]
pub struct LineDiscipline {
    /// Settings.
    pub termios: Termios,
    /// The line being edited, in canonical mode.
    edit: Vec<u8>,
    /// What programs may read.
    ready: VecDeque<Ready>,
    lines: usize,
    /// The next byte is taken literally (`^V`).
    literal: bool,
    held: Held,
    /// Column of the cursor, for tabs and erasing.
    column: usize,
}

impl LineDiscipline {
    /// A discipline with these settings and nothing typed.
    #[must_use]
    pub fn new(termios: Termios) -> LineDiscipline {
        LineDiscipline { termios, ..LineDiscipline::default() }
    }

    /// A typed byte. What is shown for it goes to `echo`, already post-processed.
    pub fn receive(&mut self, byte: u8, echo: &mut Vec<u8>) -> Option<TypedSignal> {
        let byte = self.map_input(byte)?;
        if core::mem::take(&mut self.literal) {
            self.insert(byte, echo);
            return None;
        }
        let local = self.termios.local;
        if local.contains(Local::ISIG)
            && let Some(signal) = self.typed_signal(byte)
        {
            if !local.contains(Local::NOFLSH) {
                self.flush_input();
            }
            if self.termios.input.contains(Input::IXON) {
                self.held -= Held::TYPED;
            }
            self.echo_control(byte, echo);
            return Some(signal);
        }
        if self.termios.input.contains(Input::IXON) && self.flow_control(byte) {
            return None;
        }
        if local.contains(Local::ICANON) {
            self.edit(byte, echo);
        } else {
            self.queue_raw(byte, echo);
        }
        None
    }

    /// Bytes that a read could return now: in canonical mode only whole lines count.
    #[must_use]
    pub fn available(&self) -> usize {
        match self.termios.local.contains(Local::ICANON) {
            true if self.lines == 0 => 0,
            _ => self.ready.iter().filter(|ready| !ready.is_end_mark).count(),
        }
    }

    /// True when there is something to read. An end mark counts: it is an end of file.
    #[must_use]
    pub fn has_input(&self) -> bool {
        if self.termios.local.contains(Local::ICANON) { self.lines > 0 } else { !self.ready.is_empty() }
    }

    /// True when poll(2) is to call it readable: in raw mode without a timer that takes the minimum.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        let minimum = if self.tenths() == 0 { self.minimum().max(1) } else { 1 };
        self.has_input() && (self.termios.local.contains(Local::ICANON) || self.ready.len() >= minimum)
    }

    /// Bytes that a raw read waits for: VMIN.
    fn minimum(&self) -> usize {
        usize::from(self.termios.characters[Control::Minimum as usize])
    }

    /// Tenths of a second: VTIME.
    fn tenths(&self) -> u8 {
        self.termios.characters[Control::Time as usize]
    }

    /// True when a read answers at once, with nothing if there is nothing: raw mode with a minimum of 0 and
    /// no time.
    #[must_use]
    pub fn reads_at_once(&self) -> bool {
        !self.termios.local.contains(Local::ICANON) && self.minimum() == 0 && self.tenths() == 0
    }

    /// How a read that has `moved` bytes waits for more: the four cases of "noncanonical mode" in `termios(3)`.
    #[must_use]
    pub fn patience(&self, moved: usize) -> Patience {
        if self.termios.local.contains(Local::ICANON) {
            return Patience::default();
        }
        // With a minimum the time runs between bytes, without one from the start.
        let timed = self.tenths() > 0 && (moved > 0 || self.minimum() == 0);
        let limit = timed.then(|| Duration::from_millis(u64::from(self.tenths()) * 100));
        Patience { least: self.minimum().max(1), limit, ..Patience::default() }
    }

    /// Bytes that can be typed before a reader has to come. A line being edited takes any number: what does
    /// not fit is dropped, so that it can still be finished or erased.
    #[must_use]
    pub fn room(&self) -> usize {
        let left = QUEUE_BYTES.saturating_sub(self.ready.len());
        if self.termios.local.contains(Local::ICANON) && self.lines == 0 { left.max(1) } else { left }
    }

    /// Takes bytes for one read: up to the end of a line in canonical mode, whatever is there otherwise.
    /// Empty is an end of file when [`LineDiscipline::is_readable`] was true.
    pub fn take(&mut self, limit: usize) -> Taken {
        let canonical = self.termios.local.contains(Local::ICANON);
        let mut end_mark = false;
        let mut out = Vec::with_capacity(limit.min(self.ready.len()));
        while out.len() < limit || self.ready.front().is_some_and(|next| next.is_end_mark && !out.is_empty())
        {
            let Some(next) = self.ready.pop_front() else { break };
            if next.ends_line {
                self.lines -= 1;
            }
            end_mark = next.is_end_mark;
            if !next.is_end_mark {
                out.push(next.byte);
            }
            if canonical && next.ends_line {
                break;
            }
        }
        Taken { bytes: out, end_mark }
    }

    /// Puts back what a read could not deliver behind the first `delivered` bytes; it is read first again.
    pub fn put_back(&mut self, taken: &Taken, delivered: usize) {
        let bytes = taken.bytes.get(delivered..).unwrap_or_default();
        if taken.end_mark && !bytes.is_empty() {
            self.lines += 1;
            self.ready.push_front(Ready { byte: 0, ends_line: true, is_end_mark: true });
        }
        for &byte in bytes.iter().rev() {
            let ends_line = self.ends_line(byte);
            self.lines += usize::from(ends_line);
            self.ready.push_front(Ready { byte, ends_line, is_end_mark: false });
        }
    }

    /// A written byte, post-processed into `out`.
    pub fn process_output(&mut self, byte: u8, out: &mut Vec<u8>) {
        let modes = self.termios.output;
        if !modes.contains(Output::OPOST) {
            out.push(byte);
            return;
        }
        match byte {
            NEWLINE => {
                if modes.contains(Output::ONLCR) {
                    out.push(RETURN);
                }
                if modes.intersects(Output::ONLCR | Output::ONLRET) {
                    self.column = 0;
                }
                out.push(NEWLINE);
            }
            RETURN if modes.contains(Output::ONOCR) && self.column == 0 => {}
            RETURN => {
                self.column = if modes.contains(Output::OCRNL | Output::ONLRET) { self.column } else { 0 };
                out.push(if modes.contains(Output::OCRNL) { NEWLINE } else { RETURN });
            }
            b'\t' => {
                let spaces = TAB_STOP - self.column % TAB_STOP;
                self.column += spaces;
                if modes.contains(Output::XTABS) {
                    out.extend(core::iter::repeat_n(b' ', spaces));
                } else {
                    out.push(byte);
                }
            }
            8 => {
                self.column = self.column.saturating_sub(1);
                out.push(byte);
            }
            _ => {
                let shown = if modes.contains(Output::OLCUC) { byte.to_ascii_uppercase() } else { byte };
                self.column += usize::from(!byte.is_ascii_control() && byte & 0xc0 != 0x80);
                out.push(shown);
            }
        }
    }

    /// True while the output is held.
    #[must_use]
    pub fn is_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// Holds the output, or releases what was held so: TCXONC.
    pub fn hold(&mut self, held: bool) {
        if held {
            self.held |= Held::CALLED | Held::TYPED;
        } else if self.held.contains(Held::CALLED) {
            self.held = Held::empty();
        }
    }

    /// Forgets what was typed and not read: TCFLSH, signals.
    pub fn flush_input(&mut self) {
        self.edit.clear();
        self.ready.clear();
        self.lines = 0;
    }

    /// Installs other settings. Leaving canonical mode makes the edited line readable as it is.
    pub fn set_termios(&mut self, termios: Termios) {
        let was_canonical = self.termios.local.contains(Local::ICANON);
        let is_canonical = termios.local.contains(Local::ICANON);
        self.termios = termios;
        if was_canonical && !is_canonical {
            for byte in core::mem::take(&mut self.edit) {
                self.ready.push_back(Ready { byte, ends_line: false, is_end_mark: false });
            }
        } else if !was_canonical && is_canonical {
            // What was typed raw is readable at once, as if it were one line.
            if let Some(last) = self.ready.back_mut() {
                self.lines += usize::from(!last.ends_line);
                last.ends_line = true;
            }
        }
        if !termios.input.contains(Input::IXON) {
            self.held -= Held::TYPED;
        }
    }

    fn map_input(&self, byte: u8) -> Option<u8> {
        let modes = self.termios.input;
        let byte = if modes.contains(Input::ISTRIP) { byte & 0x7f } else { byte };
        match byte {
            RETURN if modes.contains(Input::IGNCR) => None,
            RETURN if modes.contains(Input::ICRNL) => Some(NEWLINE),
            NEWLINE if modes.contains(Input::INLCR) => Some(RETURN),
            _ if modes.contains(Input::IUCLC) => Some(byte.to_ascii_lowercase()),
            _ => Some(byte),
        }
    }

    fn typed_signal(&self, byte: u8) -> Option<TypedSignal> {
        let pairs = [
            (Control::Interrupt, TypedSignal::Interrupt),
            (Control::Quit, TypedSignal::Quit),
            (Control::Suspend, TypedSignal::Suspend),
        ];
        pairs.into_iter().find(|(control, _)| self.termios.is(*control, byte)).map(|(_, signal)| signal)
    }

    /// True when the byte was a start or stop character and is done with.
    fn flow_control(&mut self, byte: u8) -> bool {
        if self.termios.is(Control::Start, byte) {
            self.held -= Held::TYPED;
            return true;
        }
        if self.termios.is(Control::Stop, byte) {
            self.held |= Held::TYPED;
            return true;
        }
        if self.termios.input.contains(Input::IXANY) {
            self.held -= Held::TYPED;
        }
        false
    }
}

#[cfg(test)]
mod tests;
