//! The trace rings of this machine, and what the command line says of them.
//!
//! | word | meaning |
//! |---|---|
//! | `trace=ipc,wait,...` | the classes of events to record; `all`, `none` |
//! | `trace_buffer=16M` | memory for the rings, in one piece whose place the log tells |

use alloc::vec::Vec;

use base::trace::{self, Classes, Vocabulary, area};
use executor::pollwait::WaitKind;

use crate::arch::{cpu_area, emergency};
use crate::command_line::CommandLine;
use crate::memory::TraceRange;

/// Events that each CPU remembers unless the command line gives more room.
const EVENTS: usize = 256;

/// Memory that the command line wants for the rings, in bytes; 0 when it says nothing.
#[must_use]
pub fn buffer_bytes(command_line: CommandLine<'_>) -> u64 {
    command_line.value("trace_buffer").and_then(parse_size).unwrap_or(0)
}

/// A number of bytes, with `k`, `M` or `G` behind it.
fn parse_size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['k', 'K', 'm', 'M', 'g', 'G']);
    let unit = match text.get(digits.len()..)? {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// Makes the rings and begins to record.
pub fn start(command_line: CommandLine<'_>) {
    let cpus = cpu_area::online();
    let classes = command_line.value("trace").map_or(Some(Classes::DEFAULT), Classes::parse);
    let classes = classes.unwrap_or_else(|| {
        log::warn!("trace=: not every word names a class of events");
        Classes::DEFAULT
    });
    let lines = match TraceRange::get() {
        Some(range) => {
            let TraceRange { start, bytes } = range;
            // For whoever reads the rings from outside; not a line of the log, which can be switched off.
            emergency::line(format_args!("kairos-trace: {{\"physical\":{start},\"bytes\":{bytes}}}"));
            range.lines()
        }
        None => {
            let mut lines = Vec::new();
            lines.resize_with(area::lines_for(cpus, EVENTS), Default::default);
            lines.leak()
        }
    };
    trace::install(lines, cpus, classes);
    for kind in WaitKind::ALL {
        trace::define(Vocabulary::WaitKind, *kind as u32, kind.name());
    }
    for point in base::fault::Point::ALL {
        trace::define(Vocabulary::FaultPoint, *point as u32, point.name());
    }
    syscalls::table::for_each(|number, name| trace::define(Vocabulary::Syscall, number, name));
}
