//! The end of a run: the result record, then off.

use core::fmt::{self, Arguments, Display, Write};

use base::fault;
use base::machine::Outcome;
use x86_64::instructions::port::Port;

use super::emergency;
use crate::order;

/// QEMU's isa-debug-exit device.
const DEBUG_EXIT: u16 = 0xf4;
/// What it is told at every clean end; the record says which.
const CLEAN_END: u32 = 0x10;
/// The PM1a control port of QEMU's pc and q35, and the value that means "soft off" there.
const PM1A_CONTROL: u16 = 0x604;
const SOFT_OFF: u16 = 0x2000;

/// Writes the result record and turns the machine off.
pub fn off(outcome: Outcome<'_>) -> ! {
    match outcome {
        Outcome::Exit(status) => {
            crate::console::finish();
            record("exit", "status", format_args!("{status}"));
        }
        Outcome::Panic(message) => told("panic", format_args!("{message}")),
        Outcome::Deadlock(message) => told("deadlock", format_args!("{message}")),
    }
    turn_off()
}

/// Turns the machine off without a record.
pub fn turn_off() -> ! {
    // SAFETY: the port belongs to isa-debug-exit, which ends QEMU; without it nobody listens there.
    unsafe { Port::<u32>::new(DEBUG_EXIT).write(CLEAN_END) };
    // SAFETY: asks the chipset for the soft-off state; without it nobody listens there.
    unsafe { Port::<u16>::new(PM1A_CONTROL).write(SOFT_OFF) };
    loop {
        x86_64::instructions::interrupts::disable();
        x86_64::instructions::hlt();
    }
}

/// As [`off`] after a panic, without the need for a finished string.
pub(super) fn panicked(message: Arguments<'_>) -> ! {
    told("panic", message);
    turn_off()
}

/// The record of an end that needs words.
fn told(kind: &str, message: Arguments<'_>) {
    record(kind, "message", format_args!("\"{}\"", JsonText(message)));
}

/// The record: how the run ended, and what is needed to judge and to repeat it.
fn record(kind: &str, key: &str, value: Arguments<'_>) {
    let (seed, fired) = (fault::seed(), fault::total_fired());
    emergency::line(format_args!(
        "kairos-result: {{\"kind\":\"{kind}\",\"{key}\":{value},\"fault_seed\":{seed},\"faults_fired\":{fired}{}}}",
        SchedSeed
    ));
}

/// The seed of the order of tasks as a member of the record, if there is one.
struct SchedSeed;

impl Display for SchedSeed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        order::seed().map_or(Ok(()), |seed| write!(formatter, ",\"sched_seed\":{seed}"))
    }
}

/// Text with the escapes of a JSON string (RFC 8259, section 7).
pub struct JsonText<T>(
    /// What to show.
    pub T,
);

impl<T: Display> Display for JsonText<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaper(formatter), "{}", self.0)
    }
}

struct Escaper<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaper<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            match letter {
                '"' | '\\' => write!(self.0, "\\{letter}")?,
                '\0'..'\x20' => write!(self.0, "\\u{:04x}", u32::from(letter))?,
                _ => self.0.write_char(letter)?,
            }
        }
        Ok(())
    }
}
