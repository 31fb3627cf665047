//! The kernel's log: the back end of the `log` crate, on QEMU's debug console.
//!
//! A line is `[seconds.microseconds] LEVEL target: text`. Whatever must get out when locks can't be trusted goes
//! through [`crate::arch::emergency`] instead.

use core::fmt::{self, Write};

use base::sync::{LockClass, SpinLock};
use log::{Level, LevelFilter, Log, Metadata, Record};

use super::clock;
use super::port::IoPort;

// SAFETY: QEMU's debug console takes any byte and touches no memory; elsewhere nobody listens.
const DEBUG_CONSOLE: IoPort<u8> = unsafe { IoPort::new(0xe9) };
/// Bytes of a line; what is longer is cut.
const LINE: usize = 512;

/// One line, put together before any lock is taken: what formats itself may take locks of its own.
struct Line {
    bytes: [u8; LINE],
    length: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // The last place is the line's end.
            if self.length + 1 < LINE {
                self.bytes[self.length] = byte;
                self.length += 1;
            }
        }
        Ok(())
    }
}

/// Keeps lines whole when several CPUs log.
static LINES: SpinLock<()> = SpinLock::new(LockClass::Log, ());

struct DebugConsole;

static BACK_END: DebugConsole = DebugConsole;

impl Log for DebugConsole {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let microseconds = clock::now().as_nanos() / 1000;
        let (seconds, fraction) = (microseconds / 1_000_000, microseconds % 1_000_000);
        let level = match record.level() {
            Level::Error => "ERROR",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        };
        let (target, text) = (record.target(), record.args());
        let mut line = Line { bytes: [0; LINE], length: 0 };
        // The line takes everything; a `Display` that fails has cut its own text.
        let _ = write!(line, "[{seconds:5}.{fraction:06}] {level} {target}: {text}");
        line.bytes[line.length] = b'\n';
        let _whole_line = LINES.lock();
        for &byte in &line.bytes[..=line.length] {
            DEBUG_CONSOLE.write(byte);
        }
    }

    fn flush(&self) {}
}

/// Turns the log on. `level` is the word after `log=`: off, error, warn, info, debug or trace; info without one.
pub fn init(level: Option<&str>) {
    let known = level.and_then(|word| word.parse::<LevelFilter>().ok());
    log::set_max_level(known.unwrap_or(LevelFilter::Info));
    // A second call finds the log set, which is what it wanted.
    let _ = log::set_logger(&BACK_END);
    if known.is_none()
        && let Some(word) = level
    {
        log::warn!("log={word} is no level");
    }
}
