//! `run --trace`: the kernel's trace rings in a file that outlives the machine.
//!
//! QEMU keeps the guest's memory in a shared file. The kernel sets a part of it aside for the rings and tells on
//! the debug console where it lies; after the run, however it ended, that part is cut out of the file.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base::trace::Classes;
use serde_json::Value;

use crate::cli::usage;
use crate::report::load;
use crate::run_directory::RunDirectory;

/// What `--trace-buffer` is without the option.
pub(crate) const DEFAULT_BUFFER: &str = "32M";
/// What starts the kernel's line about where the rings lie.
const RECORD: &str = "kairos-trace: ";
/// The name of the trace in a run's folder.
pub(crate) const FILE: &str = "trace.bin";

/// The classes that `--trace=TEXT` asks for; all of them without a text.
pub(crate) fn classes(text: Option<&str>) -> Result<String> {
    let text = text.unwrap_or("all");
    match Classes::parse(text) {
        Some(classes) if !classes.is_empty() => Ok(text.replace(' ', ",")),
        _ => Err(usage(format!("--trace: {text:?} is not a list of ipc, wait, sched, syscall, fault"))),
    }
}

/// The words of the kernel command line.
pub(crate) fn command_line(classes: &str, buffer: &str) -> [String; 2] {
    [format!("trace={classes}"), format!("trace_buffer={buffer}")]
}

/// Where a run keeps its memory.
pub(crate) fn memory_file(directory: &RunDirectory) -> PathBuf {
    directory.file("memory.bin")
}

/// The arguments that put the guest's `memory` into `file`.
pub(crate) fn qemu_arguments(file: &Path, memory: &str) -> [OsString; 4] {
    let mut object = OsString::from(format!("memory-backend-file,id=ram,share=on,size={memory},mem-path="));
    object.push(file);
    ["-object".into(), object, "-machine".into(), "memory-backend=ram".into()]
}

/// Takes the trace out of a run that has ended, and says on stderr what became of it if it `tells`.
pub(crate) fn finish(directory: &RunDirectory, kernel_log: &str, tells: bool) {
    let collected = collect(directory, kernel_log);
    if tells {
        match collected {
            Ok(what) => eprintln!("xtask: {what}"),
            Err(error) => eprintln!("xtask: no trace: {error:#}"),
        }
    }
}

/// Cuts the rings out of the memory of a run that has ended, and says what is in them. The memory is removed.
fn collect(directory: &RunDirectory, kernel_log: &str) -> Result<String> {
    let memory = memory_file(directory);
    let result = cut(&memory, kernel_log);
    // It is as large as the machine's memory.
    let _ = fs::remove_file(&memory);
    let bytes = result?;
    let path = directory.file(FILE);
    fs::write(&path, &bytes).with_context(|| format!("writing {}", path.display()))?;
    let trace = load::binary(&bytes)?;
    Ok(format!(
        "{} events in {}{}; `cargo xtask report` shows them",
        trace.events.len(),
        path.display(),
        trace.loss()
    ))
}

fn cut(memory: &Path, kernel_log: &str) -> Result<Vec<u8>> {
    let record = kernel_log.lines().find_map(|line| line.strip_prefix(RECORD));
    let Some(record) = record else { bail!("the kernel did not come to its trace rings") };
    let place: Value = serde_json::from_str(record).context("reading the place of the trace rings")?;
    let number = |key: &str| place[key].as_u64().with_context(|| format!("no {key} in {record}"));
    let mut bytes = vec![0; usize::try_from(number("bytes")?)?];
    let file = File::open(memory).with_context(|| format!("opening {}", memory.display()))?;
    file.read_exact_at(&mut bytes, number("physical")?).context("reading the guest's memory")?;
    Ok(bytes)
}
