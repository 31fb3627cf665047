//! `/sys/kernel/tracepoint`: the trace rings as text, as JSON Lines and as a stream of records.
//!
//! | file | mode | content |
//! |---|---|---|
//! | `wait_events`, `wait_core_events`, `ipc_events`, `ipc_cap_events` | 0444 | rows in stable columns, the newest last |
//! | `wait_core_stats` | 0444 | the counters of the wait core |
//! | `reset` | 0200 | any write hides the events so far and takes the counters back to 0 |
//! | `enable` | 0644 | the classes of events that are recorded |
//! | `events.jsonl` | 0400 | all events as JSON Lines |
//! | `stream` | 0400 | all events as records of 64 bytes, each once: see [`stream`] |
//!
//! The rows give the rings as they were at one moment. When they are too many the oldest are left out; a last line
//! that begins with `#` says how many, and how many were overwritten in the rings before that.

pub mod stream;

use core::fmt::Write;

use base::caller::Caller;
use base::trace::rows::{Table, json};
use base::trace::{self, Classes, Event, wait_core};
use base::{Errno, Result};
use fs::pseudo::{Attributes, PseudoDir, PseudoFile, PseudoOpen, Text};
use fs::sysfs::SysFs;

use crate::thread::watched;

/// Rows of one CPU that a file shows at most.
const ROWS: usize = 4096;

/// Adds the directory.
pub fn publish(sys: &SysFs) {
    let SysFs { tree, kernel, .. } = sys;
    let directory = tree.directory(kernel, "tracepoint");
    table(sys, &directory, "wait_events", Table::Wait);
    table(sys, &directory, "wait_core_events", Table::WaitCore);
    table(sys, &directory, "ipc_events", Table::Channel);
    table(sys, &directory, "ipc_cap_events", Table::Capability);
    tree.file(&directory, "wait_core_stats", |_, text| {
        // A full text is noticed by the frame.
        let _ = wait_core::write(text);
        Ok(())
    });
    tree.writable(&directory, "enable", show_classes, store_classes);
    let attributes = |mode| Attributes::root(tree.device(), mode);
    directory.add("reset", PseudoFile::writable(attributes(0o200), |_, _| Err(Errno::EINVAL), reset));
    directory.add("events.jsonl", PseudoFile::new(attributes(0o400), show_json));
    directory.add("stream", PseudoOpen::new(attributes(0o400), |_| Ok(stream::open())));
}

fn table(sys: &SysFs, directory: &PseudoDir, name: &str, table: Table) {
    sys.tree.file(directory, name, move |caller, text| {
        if !trace::COMPILED_IN {
            let _ = text.write_str("# tracepoints disabled\n");
            return Ok(());
        }
        let addresses = caller.credentials.fsuid == 0;
        let _ = text.write_str(table.header());
        rows(
            text,
            |event| table.shows(event),
            |text, event| {
                let _ = table.row(text, event, addresses);
            },
        );
        Ok(())
    });
}

/// Writes a row for each event that is wanted, and what is missing.
fn rows(text: &mut Text, wanted: impl Fn(&Event) -> bool, row: impl Fn(&mut Text, &Event)) {
    let Some(area) = trace::area() else { return };
    let (events, omitted) = area.newest(ROWS, wanted);
    for event in &events {
        row(text, event);
    }
    let (overwritten, dropped) = area.lost();
    if omitted > 0 || overwritten > 0 || dropped > 0 {
        let _ = writeln!(text, "# omitted={omitted} overwritten={overwritten} dropped={dropped}");
    }
}

fn show_json(_caller: &Caller, text: &mut Text) -> Result<()> {
    let Some(area) = trace::area() else { return Ok(()) };
    let (events, _) = area.newest(ROWS, |_| true);
    for event in &events {
        let _ = json(text, event);
    }
    Ok(())
}

fn show_classes(_caller: &Caller, text: &mut Text) -> Result<()> {
    let classes = trace::classes();
    let mut separator = "";
    classes.for_each_name(|name| {
        let _ = write!(text, "{separator}{name}");
        separator = " ";
    });
    let _ = text.write_str(if classes.is_empty() { "none\n" } else { "\n" });
    Ok(())
}

/// Records the named classes, and no others.
fn store_classes(_caller: &Caller, words: &[u8]) -> Result<()> {
    let words = core::str::from_utf8(words).map_err(|_| Errno::EINVAL)?;
    let classes = Classes::parse(words).ok_or(Errno::EINVAL)?;
    trace::set_classes(classes);
    watched::follow_classes();
    Ok(())
}

fn reset(_caller: &Caller, _anything: &[u8]) -> Result<()> {
    if let Some(area) = trace::area() {
        area.reset();
    }
    wait_core::reset();
    Ok(())
}
