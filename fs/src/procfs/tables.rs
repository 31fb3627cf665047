//! What the machine has of files: types of file systems, devices, swap, and the limits under `/proc/sys/fs`.

use core::fmt::Write;

use base::Result;
use base::caller::Caller;

use super::ProcFs;
use crate::file::{NR_OPEN, OPEN_FILES_MAX, open_files};
use crate::pipe::MAX_CAPACITY;
use crate::pseudo::Text;
use crate::tty::pty::{PTYS_MAX, SLAVE_MAJOR};
use crate::vfs::device::character_devices;
use crate::vfs::{MOUNTS_MAX, file_system_types};

pub(super) fn publish(proc: &ProcFs) {
    let ProcFs { tree, sys_kernel, sys_fs, .. } = proc;
    let top = tree.root();
    tree.file(top, "filesystems", filesystems);
    tree.file(top, "devices", devices);
    tree.file(top, "partitions", |_, text| line(text, "major minor  #blocks  name\n\n"));
    tree.file(top, "swaps", |_, text| line(text, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"));
    tree.file(sys_fs, "file-max", |_, text| value(text, OPEN_FILES_MAX));
    tree.file(sys_fs, "file-nr", |_, text| {
        let _ = writeln!(text, "{}\t0\t{OPEN_FILES_MAX}", open_files());
        Ok(())
    });
    tree.file(sys_fs, "nr_open", |_, text| value(text, NR_OPEN));
    tree.file(sys_fs, "mount-max", |_, text| value(text, MOUNTS_MAX as u64));
    tree.file(sys_fs, "pipe-max-size", |_, text| value(text, MAX_CAPACITY as u64));
    let pty = tree.directory(sys_kernel, "pty");
    tree.file(&pty, "max", |_, text| value(text, PTYS_MAX.into()));
}

// A writer that is full is noticed by the frame.
fn line(text: &mut Text, line: &str) -> Result<()> {
    let _ = text.write_str(line);
    Ok(())
}

fn value(text: &mut Text, value: u64) -> Result<()> {
    let _ = writeln!(text, "{value}");
    Ok(())
}

fn filesystems(_caller: &Caller, text: &mut Text) -> Result<()> {
    for known in file_system_types() {
        let _ = writeln!(text, "{}\t{}", if known.needs_device { "" } else { "nodev" }, known.name);
    }
    Ok(())
}

/// The name under which Linux lists a driver: that of the major number, or of one device of it.
fn driver_name(major: u32, minor: u32) -> &'static [&'static str] {
    match (major, minor) {
        (1, _) => &["mem"],
        (4, _) => &["ttyS"],
        (5, _) => &["/dev/tty", "/dev/console", "/dev/ptmx"],
        (SLAVE_MAJOR, _) => &["pts"],
        _ => &["?"],
    }
}

fn devices(_caller: &Caller, text: &mut Text) -> Result<()> {
    let _ = writeln!(text, "Character devices:");
    for number in character_devices() {
        for name in driver_name(number.major, number.minor) {
            let _ = writeln!(text, "{:3} {name}", number.major);
        }
    }
    line(text, "\nBlock devices:\n")
}
