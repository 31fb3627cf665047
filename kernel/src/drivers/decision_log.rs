//! The list of decisions that a run took, on a debug console of its own.

use core::fmt::{self, Write};

use base::decision::Decision;
use base::sync::{LockClass, SpinLock};

use super::port::IoPort;

/// The port of a second `isa-debugcon` device of QEMU's.
// SAFETY: such a device takes any byte and touches no memory; elsewhere nobody listens.
const PORT: IoPort<u8> = unsafe { IoPort::new(0xe8) };

/// Keeps lines whole when several CPUs decide.
static LINES: SpinLock<()> = SpinLock::new(LockClass::Log, ());

struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| PORT.write(byte));
        Ok(())
    }
}

/// Writes one line.
pub fn write(decision: &Decision) {
    let _whole_line = LINES.lock();
    // The console takes everything.
    let _ = writeln!(Console, "{decision}");
}
