//! Editing the line that is being typed, and what the terminal shows of it.

use alloc::vec::Vec;

use super::{LINE_BYTES, LineDiscipline, NEWLINE, QUEUE_BYTES, Ready, TAB_STOP};
use crate::tty::termios::{Control, Input, Local};

impl LineDiscipline {
    pub(super) fn edit(&mut self, byte: u8, echo: &mut Vec<u8>) {
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
    pub(super) fn insert(&mut self, byte: u8, echo: &mut Vec<u8>) {
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

    pub(super) fn queue_raw(&mut self, byte: u8, echo: &mut Vec<u8>) {
        if self.ready.len() >= QUEUE_BYTES {
            return;
        }
        self.echo_typed(byte, echo);
        self.ready.push_back(Ready { byte, ends_line: false, is_end_mark: false });
    }

    pub(super) fn ends_line(&self, byte: u8) -> bool {
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

    pub(super) fn echo_control(&mut self, byte: u8, echo: &mut Vec<u8>) {
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
