//! Terminal settings. Source: `termios(3)`, `ioctl_tty(2)`; the kernel's own layouts.

use bitflags::bitflags;

bitflags! {
    /// `c_iflag`: input processing.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Input: u32 {
        /// Ignore breaks.
        const IGNBRK = 0o1;
        /// A break is an interrupt.
        const BRKINT = 0o2;
        /// Strip the eighth bit.
        const ISTRIP = 0o40;
        /// Newline becomes carriage return.
        const INLCR = 0o100;
        /// Carriage returns are dropped.
        const IGNCR = 0o200;
        /// Carriage return becomes newline.
        const ICRNL = 0o400;
        /// Upper case becomes lower case.
        const IUCLC = 0o1000;
        /// Start and stop characters hold the output.
        const IXON = 0o2000;
        /// Any character starts held output.
        const IXANY = 0o4000;
        /// A full queue rings the bell.
        const IMAXBEL = 0o20000;
        /// Input is UTF-8: erase takes whole characters.
        const IUTF8 = 0o40000;
        const _ = !0;
    }
}

bitflags! {
    /// `c_oflag`: output processing.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Output: u32 {
        /// Process output at all.
        const OPOST = 0o1;
        /// Lower case becomes upper case.
        const OLCUC = 0o2;
        /// Newline becomes carriage return and newline.
        const ONLCR = 0o4;
        /// Carriage return becomes newline.
        const OCRNL = 0o10;
        /// No carriage return in column 0.
        const ONOCR = 0o20;
        /// Newline returns the carriage.
        const ONLRET = 0o40;
        /// Tabs become spaces (`XTABS`).
        const XTABS = 0o14000;
        const _ = !0;
    }
}

bitflags! {
    /// `c_lflag`: local modes.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Local: u32 {
        /// Signal characters send signals.
        const ISIG = 0o1;
        /// Lines are edited and read whole.
        const ICANON = 0o2;
        /// Input is shown.
        const ECHO = 0o10;
        /// Erase is shown as backspace, space, backspace.
        const ECHOE = 0o20;
        /// Kill is shown by a newline.
        const ECHOK = 0o40;
        /// Newline is shown though nothing else is.
        const ECHONL = 0o100;
        /// Signals do not flush the queues.
        const NOFLSH = 0o200;
        /// Background writes stop the writer.
        const TOSTOP = 0o400;
        /// Control characters are shown as ^X.
        const ECHOCTL = 0o1000;
        /// Kill is shown by erasing the line.
        const ECHOKE = 0o4000;
        /// Word erase, reprint and literal next work.
        const IEXTEN = 0o100000;
        const _ = !0;
    }
}

/// Number of control characters in the kernel's `termios`.
pub const CONTROL_COUNT: usize = 19;
/// Bytes of `struct termios` as TCGETS moves it.
pub const TERMIOS_BYTES: usize = 36;
/// Bytes of `struct termios2`, which adds the two speeds.
pub const TERMIOS2_BYTES: usize = 44;

/// Index of a control character in `c_cc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are termios(3)'s")]
#[repr(usize)]
pub enum Control {
    Interrupt = 0,
    Quit = 1,
    Erase = 2,
    Kill = 3,
    EndOfFile = 4,
    Time = 5,
    Minimum = 6,
    Start = 8,
    Stop = 9,
    Suspend = 10,
    EndOfLine = 11,
    Reprint = 12,
    WordErase = 14,
    LiteralNext = 15,
    EndOfLine2 = 16,
}

/// The settings of one terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Termios {
    /// Input modes.
    pub input: Input,
    /// Output modes.
    pub output: Output,
    /// Control modes; kept, and without effect on a terminal that has no line.
    pub control: u32,
    /// Local modes.
    pub local: Local,
    /// Line discipline; 0 is the only one.
    pub line: u8,
    /// Control characters, 0 for one that is off.
    pub characters: [u8; CONTROL_COUNT],
    /// Input and output speed in baud; kept.
    pub speeds: [u32; 2],
}

impl Default for Termios {
    /// What Linux gives a new terminal.
    fn default() -> Self {
        let mut characters = [0; CONTROL_COUNT];
        let set: [(Control, u8); 14] = [
            (Control::Interrupt, 3),
            (Control::Quit, 28),
            (Control::Erase, 127),
            (Control::Kill, 21),
            (Control::EndOfFile, 4),
            (Control::Minimum, 1),
            (Control::Start, 17),
            (Control::Stop, 19),
            (Control::Suspend, 26),
            (Control::Reprint, 18),
            (Control::WordErase, 23),
            (Control::LiteralNext, 22),
            (Control::Time, 0),
            (Control::EndOfLine, 0),
        ];
        for (which, character) in set {
            characters[which as usize] = character;
        }
        // The discard character, which does nothing on Linux.
        characters[13] = 15;
        Termios {
            input: Input::ICRNL | Input::IXON,
            output: Output::OPOST | Output::ONLCR,
            control: 0o277, // 38400 baud, 8 bits, receiver on
            local: Local::ISIG
                | Local::ICANON
                | Local::ECHO
                | Local::ECHOE
                | Local::ECHOK
                | Local::ECHOCTL
                | Local::ECHOKE
                | Local::IEXTEN,
            line: 0,
            characters,
            speeds: [38400; 2],
        }
    }
}

impl Termios {
    /// The control character `which`, unless it is off.
    #[must_use]
    pub fn character(&self, which: Control) -> Option<u8> {
        Some(self.characters[which as usize]).filter(|&character| character != 0)
    }

    /// True when `byte` is the control character `which`.
    #[must_use]
    pub fn is(&self, which: Control, byte: u8) -> bool {
        self.character(which) == Some(byte)
    }

    /// The settings as TCGETS2 moves them; TCGETS takes the first [`TERMIOS_BYTES`].
    #[must_use]
    pub fn to_bytes(&self) -> [u8; TERMIOS2_BYTES] {
        let mut out = [0; TERMIOS2_BYTES];
        let words = [self.input.bits(), self.output.bits(), self.control, self.local.bits()];
        for (slot, word) in out.chunks_exact_mut(4).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        out[16] = self.line;
        out[17..36].copy_from_slice(&self.characters);
        out[36..40].copy_from_slice(&self.speeds[0].to_le_bytes());
        out[40..44].copy_from_slice(&self.speeds[1].to_le_bytes());
        out
    }

    /// These settings with the bytes of TCSETS (36) or TCSETS2 (44) in their place.
    #[must_use]
    pub fn with_bytes(&self, bytes: &[u8]) -> Termios {
        let word =
            |at: usize| bytes.get(at..at + 4).map_or(0, |w| u32::from_le_bytes([w[0], w[1], w[2], w[3]]));
        let mut new = *self;
        new.input = Input::from_bits_retain(word(0));
        new.output = Output::from_bits_retain(word(4));
        new.control = word(8);
        new.local = Local::from_bits_retain(word(12));
        new.line = bytes.get(16).copied().unwrap_or(0);
        if let Some(characters) = bytes.get(17..36) {
            new.characters.copy_from_slice(characters);
        }
        if bytes.len() >= TERMIOS2_BYTES {
            new.speeds = [word(36), word(40)];
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_the_way_to_a_program_and_back() {
        let mut settings = Termios::default();
        settings.local.remove(Local::ECHO);
        settings.characters[3] = 99;
        assert_eq!(Termios::default().with_bytes(&settings.to_bytes()), settings);
        assert_eq!(Termios::default().with_bytes(&settings.to_bytes()[..TERMIOS_BYTES]), settings);
    }
}
