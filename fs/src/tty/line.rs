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

    fn edit(&mut self, byte: u8, echo: &mut Vec<u8>) {
        let extended = self.termios.local.contains(Local::IEXTEN);
        if self.termios.is(Control::Erase, byte) || (byte == 8 && self.termios.is(Control::Erase, 8)) {
            self.erase_character(echo);
        } else if self.termios.is(Control::Kill, byte) {
            self.kill_line(byte, echo);
        } else if extended && self.termios.is(Control::WordErase, byte) {
            self.erase_word(echo);
        } else if extended && self.termios.is(Control::LiteralNext, byte) {
            self.literal = true;
            if self.termios.local.contains(Local::ECHO | Local::ECHOCTL) {
                echo.extend_from_slice(b"^\x08");
            }
        } else if extended && self.termios.is(Control::Reprint, byte) {
            self.reprint(byte, echo);
        } else if self.termios.is(Control::EndOfFile, byte) {
            self.finish_line(None);
        } else {
            self.insert(byte, echo);
        }
    }

    /// Adds a byte to the line; one that ends it makes it readable.
    fn insert(&mut self, byte: u8, echo: &mut Vec<u8>) {
        if !self.termios.local.contains(Local::ICANON) {
            self.queue_raw(byte, echo);
            return;
        }
        let ends = self.ends_line(byte);
        // A full line can always be finished.
        if self.edit.len() + self.ready.len() >= LINE_BYTES && self.edit.pop().is_none() {
            return;
        }
        self.echo_typed(byte, echo);
        if ends {
            self.finish_line(Some(byte));
        } else {
            self.edit.push(byte);
        }
    }

    fn queue_raw(&mut self, byte: u8, echo: &mut Vec<u8>) {
        if self.ready.len() >= QUEUE_BYTES {
            return;
        }
        self.echo_typed(byte, echo);
        self.ready.push_back(Ready { byte, ends_line: false, is_end_mark: false });
    }

    fn ends_line(&self, byte: u8) -> bool {
        let second = self.termios.local.contains(Local::IEXTEN) && self.termios.is(Control::EndOfLine2, byte);
        byte == NEWLINE || self.termios.is(Control::EndOfLine, byte) || second
    }

    /// Makes the edited line readable; `None` ends it with the mark of `^D`.
    fn finish_line(&mut self, end: Option<u8>) {
        for byte in core::mem::take(&mut self.edit) {
            self.ready.push_back(Ready { byte, ends_line: false, is_end_mark: false });
        }
        self.ready.push_back(Ready { byte: end.unwrap_or(0), ends_line: true, is_end_mark: end.is_none() });
        self.lines += 1;
    }

    fn erase_character(&mut self, echo: &mut Vec<u8>) {
        let Some(last) = self.pop_character() else { return };
        self.show_erased(last, echo);
    }

    /// Takes the last character off the line: with `IUTF8` a whole one.
    fn pop_character(&mut self) -> Option<u8> {
        let mut last = self.edit.pop()?;
        while self.termios.input.contains(Input::IUTF8) && last & 0xc0 == 0x80 {
            last = self.edit.pop()?;
        }
        Some(last)
    }

    fn erase_word(&mut self, echo: &mut Vec<u8>) {
        let mut in_word = false;
        while let Some(&last) = self.edit.last() {
            let of_word = last.is_ascii_alphanumeric() || last == b'_' || last >= 0x80;
            if in_word && !of_word {
                break;
            }
            in_word |= of_word;
            self.erase_character(echo);
        }
    }

    fn kill_line(&mut self, byte: u8, echo: &mut Vec<u8>) {
        let local = self.termios.local;
        if local.contains(Local::ECHO | Local::ECHOK | Local::ECHOKE | Local::ECHOE) {
            while !self.edit.is_empty() {
                self.erase_character(echo);
            }
        } else {
            self.edit.clear();
            self.echo_control(byte, echo);
            if local.contains(Local::ECHOK) {
                self.process_output(NEWLINE, echo);
            }
        }
    }

    fn reprint(&mut self, byte: u8, echo: &mut Vec<u8>) {
        self.echo_control(byte, echo);
        self.process_output(NEWLINE, echo);
        for byte in self.edit.clone() {
            self.echo_typed(byte, echo);
        }
    }

    fn echo_typed(&mut self, byte: u8, echo: &mut Vec<u8>) {
        let local = self.termios.local;
        let newline_shown = byte == NEWLINE && local.contains(Local::ECHONL | Local::ICANON);
        if !local.contains(Local::ECHO) && !newline_shown {
            return;
        }
        if local.contains(Local::ECHOCTL) && byte.is_ascii_control() && !matches!(byte, b'\t' | NEWLINE) {
            self.show_control(byte, echo);
        } else {
            self.process_output(byte, echo);
        }
    }

    fn echo_control(&mut self, byte: u8, echo: &mut Vec<u8>) {
        if self.termios.local.contains(Local::ECHO) {
            if self.termios.local.contains(Local::ECHOCTL) && byte.is_ascii_control() {
                self.show_control(byte, echo);
            } else {
                self.process_output(byte, echo);
            }
        }
    }

    fn show_control(&mut self, byte: u8, echo: &mut Vec<u8>) {
        echo.extend_from_slice(&[b'^', byte ^ 0x40]);
        self.column += 2;
    }

    fn show_erased(&mut self, byte: u8, echo: &mut Vec<u8>) {
        let local = self.termios.local;
        if !local.contains(Local::ECHO) {
            return;
        }
        if !local.contains(Local::ECHOE) {
            if let Some(erase) = self.termios.character(Control::Erase) {
                self.echo_control(erase, echo);
            }
            return;
        }
        let columns = match byte {
            b'\t' => self.columns_of_last_tab(),
            _ if byte.is_ascii_control() && local.contains(Local::ECHOCTL) => 2,
            _ if byte.is_ascii_control() => 0,
            _ => 1,
        };
        for _ in 0..columns {
            if byte == b'\t' { echo.push(8) } else { echo.extend_from_slice(b"\x08 \x08") }
        }
        self.column = self.column.saturating_sub(columns);
    }

    /// Columns that a tab behind the edited line covers, if the line began in column 0 of a tab stop.
    fn columns_of_last_tab(&self) -> usize {
        let mut column = 0;
        for &byte in &self.edit {
            column += match byte {
                b'\t' => TAB_STOP - column % TAB_STOP,
                _ if byte.is_ascii_control() => 2,
                _ => usize::from(byte & 0xc0 != 0x80),
            };
        }
        TAB_STOP - column % TAB_STOP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn type_in(line: &mut LineDiscipline, bytes: &[u8]) -> Vec<u8> {
        let mut echo = Vec::new();
        for &byte in bytes {
            let _ = line.receive(byte, &mut echo);
        }
        echo
    }

    #[test]
    fn a_line_is_edited_before_it_is_read() {
        let mut line = LineDiscipline::default();
        let echo = type_in(&mut line, b"helo\x7flo");
        assert_eq!(echo, b"helo\x08 \x08lo");
        assert!(!line.is_readable());
        type_in(&mut line, b"\r");
        assert_eq!(line.take(100).bytes, b"hello\n");
        assert!(!line.is_readable());
    }

    #[test]
    fn a_short_read_leaves_the_rest_of_the_line() {
        let mut line = LineDiscipline::default();
        type_in(&mut line, b"one\ntwo\n");
        assert_eq!(line.take(2).bytes, b"on");
        assert_eq!(line.take(100).bytes, b"e\n");
        assert_eq!(line.take(100).bytes, b"two\n");
    }

    #[test]
    fn an_end_mark_ends_a_read_and_is_not_read() {
        let mut line = LineDiscipline::default();
        type_in(&mut line, b"ab\x04\x04");
        assert_eq!(line.take(2).bytes, b"ab");
        assert!(line.is_readable());
        assert_eq!(line.take(100).bytes, b"");
        assert!(!line.is_readable());
    }

    #[test]
    fn what_could_not_be_delivered_comes_back_with_its_end() {
        let mut line = LineDiscipline::default();
        type_in(&mut line, b"ab\x04\x04");
        let taken = line.take(100);
        line.put_back(&taken, 1);
        assert_eq!(line.take(100).bytes, b"b");
        assert_eq!(line.take(100).bytes, b"");
        assert!(!line.is_readable());
    }

    #[test]
    fn interrupt_flushes_and_signals() {
        let mut line = LineDiscipline::default();
        type_in(&mut line, b"half");
        let mut echo = Vec::new();
        assert_eq!(line.receive(3, &mut echo), Some(TypedSignal::Interrupt));
        assert_eq!(echo, b"^C");
        type_in(&mut line, b"x\n");
        assert_eq!(line.take(100).bytes, b"x\n");
    }

    #[test]
    fn raw_input_waits_for_the_minimum() {
        let mut line = LineDiscipline::default();
        let mut raw = line.termios;
        raw.local.remove(Local::ICANON | Local::ECHO);
        raw.characters[Control::Minimum as usize] = 3;
        line.set_termios(raw);
        assert_eq!(line.patience(0), Patience { least: 3, ..Patience::default() });
        type_in(&mut line, b"ab");
        assert!(line.has_input());
        assert!(!line.is_readable());
        type_in(&mut line, b"c");
        assert_eq!(line.take(100).bytes, b"abc");
    }

    #[test]
    fn time_runs_between_bytes_or_from_the_start() {
        let mut line = LineDiscipline::default();
        let mut raw = line.termios;
        raw.local.remove(Local::ICANON);
        raw.characters[Control::Minimum as usize] = 5;
        raw.characters[Control::Time as usize] = 2;
        line.set_termios(raw);
        let limit = Some(Duration::from_millis(200));
        assert_eq!(line.patience(0), Patience { least: 5, ..Patience::default() });
        assert_eq!(line.patience(1), Patience { least: 5, limit, ..Patience::default() });
        raw.characters[Control::Minimum as usize] = 0;
        line.set_termios(raw);
        assert_eq!(line.patience(0), Patience { least: 1, limit, ..Patience::default() });
    }

    #[test]
    fn what_a_call_holds_no_character_releases() {
        let mut line = LineDiscipline::default();
        type_in(&mut line, b"\x13");
        assert!(line.is_held());
        line.hold(false);
        assert!(line.is_held(), "TCOON releases only what TCOOFF held");
        line.hold(true);
        type_in(&mut line, b"\x11\x03");
        assert!(line.is_held());
        line.hold(false);
        assert!(!line.is_held());
    }

    #[test]
    fn a_full_line_can_still_be_finished() {
        let mut line = LineDiscipline::default();
        type_in(&mut line, &[b'a'; QUEUE_BYTES + 50]);
        type_in(&mut line, b"\n");
        let read = line.take(2 * QUEUE_BYTES).bytes;
        assert_eq!(read.len(), LINE_BYTES);
        assert_eq!(read.last(), Some(&NEWLINE));
    }

    #[test]
    fn output_returns_the_carriage_and_expands_tabs() {
        let mut line = LineDiscipline::default();
        let mut tabs = line.termios;
        tabs.output |= Output::XTABS;
        line.set_termios(tabs);
        let mut out = Vec::new();
        for &byte in b"ab\tc\n" {
            line.process_output(byte, &mut out);
        }
        assert_eq!(out, b"ab      c\r\n");
    }
}
