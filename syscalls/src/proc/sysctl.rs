//! `/proc/sys/kernel` and `/proc/sys/vm`. Source: `proc(5)`, `random(4)`.

use alloc::string::String;
use core::fmt::Write;

use base::caller::{Caller, Capabilities};
use base::sync::Once;
use base::{Errno, Result};
use fs::dev::fill_random;
use fs::procfs::ProcFs;
use fs::pseudo::Text;

use crate::mm::{LOWEST, MAX_REGIONS};
use crate::process::numbers::PID_MAX;
use crate::process::table;
use crate::system_name::{self, FIELD_BYTES, RELEASE, SYSTEM, VERSION};

/// Highest capability number.
const CAP_LAST_CAP: u64 = 40;
/// Most supplementary groups.
const NGROUPS_MAX: u64 = 65_536;
/// User and group that an id stands for which cannot be shown.
const OVERFLOW_ID: u64 = 65_534;
/// Bits of the random generator's state, which is always full.
const ENTROPY_BITS: u64 = 256;
/// `overcommit_memory`: mappings are never refused for want of memory.
const OVERCOMMIT_ALWAYS: u64 = 1;

pub(super) fn publish(proc: &ProcFs) {
    let ProcFs { tree, sys_kernel, sys_vm, .. } = proc;
    for (name, text) in [("ostype", SYSTEM), ("osrelease", RELEASE), ("version", VERSION)] {
        tree.file(sys_kernel, name, move |_, out| line(out, text.as_bytes()));
    }
    tree.writable(
        sys_kernel,
        "hostname",
        |_, text| line(text, &system_name::names().0),
        |caller, bytes| set_name(caller, bytes, system_name::set_host),
    );
    tree.writable(
        sys_kernel,
        "domainname",
        |_, text| line(text, &system_name::names().1),
        |caller, bytes| set_name(caller, bytes, system_name::set_domain),
    );
    for (name, value) in [
        ("pid_max", PID_MAX.into()),
        ("ngroups_max", NGROUPS_MAX),
        ("cap_last_cap", CAP_LAST_CAP),
        ("overflowuid", OVERFLOW_ID),
        ("overflowgid", OVERFLOW_ID),
    ] {
        tree.file(sys_kernel, name, move |_, text| number(text, value));
    }
    tree.file(sys_kernel, "threads-max", |_, text| number(text, most_threads()));
    let random = tree.directory(sys_kernel, "random");
    tree.file(&random, "boot_id", |_, text| uuid(text, BOOT_ID.call_once(random_bytes)));
    tree.file(&random, "uuid", |_, text| uuid(text, &random_bytes()));
    for name in ["entropy_avail", "poolsize"] {
        tree.file(&random, name, |_, text| number(text, ENTROPY_BITS));
    }
    for (name, value) in [
        ("overcommit_memory", OVERCOMMIT_ALWAYS),
        ("max_map_count", MAX_REGIONS as u64),
        ("mmap_min_addr", LOWEST),
    ] {
        tree.file(sys_vm, name, move |_, text| number(text, value));
    }
}

static BOOT_ID: Once<[u8; 16]> = Once::new();

fn random_bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    fill_random(&mut bytes);
    bytes
}

/// A line of the bytes before the first NUL.
fn line(text: &mut Text, bytes: &[u8]) -> Result<()> {
    let shown = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    // A full text is noticed by the frame.
    let _ = text.push_bytes(shown);
    let _ = text.push_bytes(b"\n");
    Ok(())
}

fn number(text: &mut Text, value: u64) -> Result<()> {
    let _ = writeln!(text, "{value}");
    Ok(())
}

/// As many threads as the first process was allowed.
fn most_threads() -> u64 {
    table::find_process(crate::process::registry::INIT)
        .map_or(0, |init| init.limits().hard(base::caller::Resource::Processes))
}

/// Takes the first line of what was written.
fn set_name(caller: &Caller, bytes: &[u8], set: fn(&[u8])) -> Result<()> {
    if !caller.credentials.capable(Capabilities::SYS_ADMIN) {
        return Err(Errno::EPERM);
    }
    let name = bytes.split(|&byte| byte == b'\n' || byte == 0).next().unwrap_or_default();
    set(name.get(..name.len().min(FIELD_BYTES - 1)).unwrap_or_default());
    Ok(())
}

/// A random UUID (version 4) of `bytes`.
fn uuid(text: &mut Text, bytes: &[u8; 16]) -> Result<()> {
    let mut shown = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        let byte = match index {
            6 => byte & 0x0f | 0x40,
            8 => byte & 0x3f | 0x80,
            _ => *byte,
        };
        let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
        let _ = write!(shown, "{dash}{byte:02x}");
    }
    line(text, shown.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_says_its_version() {
        let mut text = Text::default();
        uuid(&mut text, &[0xff; 16]).unwrap();
        assert_eq!(text.as_bytes(), b"ffffffff-ffff-4fff-bfff-ffffffffffff\n");
    }
}
