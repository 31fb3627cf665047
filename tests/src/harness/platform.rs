//! Where the suite runs: which kernel, as whom, and whether the machine is ours to strain.

use super::Case;
use crate::sys::zeroed;
use std::ffi::{CStr, CString};
use std::sync::OnceLock;

pub(super) struct Platform {
    is_root: bool,
    is_kairos: bool,
    owns_machine: bool,
    version: (u32, u32),
}

impl Platform {
    pub(super) fn detect() -> Platform {
        let mut names: libc::utsname = zeroed();
        let _ = syscall!(SYS_uname, &mut names);
        // SAFETY: the kernel fills NUL-terminated strings; zeroed ones are terminated too.
        let release = unsafe { CStr::from_ptr(names.release.as_ptr()) }.to_string_lossy();
        let is_kairos = release.contains("kairos");
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
        Platform {
            is_root: syscall!(SYS_geteuid) == Ok(0),
            is_kairos,
            owns_machine: is_kairos || std::env::var_os("KAIROS_GUEST").is_some_and(|value| value == "1"),
            version: (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)),
        }
    }

    /// Why the case can't run here, if it can't.
    pub(super) fn refuses(&self, case: &Case) -> Option<String> {
        if case.kairos_only && !self.is_kairos {
            return Some("only in Kairos".to_owned());
        }
        if case.owned_guest_only && !self.owns_machine {
            return Some("strains the machine: only in a guest".to_owned());
        }
        if case.needs_root && !self.is_root {
            return Some("needs root".to_owned());
        }
        let (major, minor) = case.since;
        (!self.is_kairos && case.since > self.version).then(|| format!("needs Linux {major}.{minor}"))
    }
}

static OWN_EXECUTABLE: OnceLock<CString> = OnceLock::new();

/// An absolute path of this program, found before any case changes the working folder.
pub(crate) fn own_executable() -> &'static CStr {
    OWN_EXECUTABLE.get_or_init(|| {
        let by_proc = std::fs::read_link("/proc/self/exe");
        let by_name = || std::env::args_os().next().and_then(|name| std::fs::canonicalize(name).ok());
        let path = by_proc.ok().or_else(by_name).unwrap_or_else(|| "/bin/guest-tests".into());
        CString::new(path.into_os_string().into_encoded_bytes()).expect("a path without NUL")
    })
}
