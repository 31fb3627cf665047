//! `kairos-init`: pid 1 of a Kairos guest.
//!
//! It mounts the pseudo file systems (a mount that fails is left out), puts the console on
//! descriptors 0 to 2, starts one job as the leader of a session of its own with the console as
//! its controlling terminal, reaps orphans, and ends with the job's status: its exit code, or
//! 128 plus the signal that killed it. The kernel powers off when pid 1 ends.
//!
//! The job is read from `/etc/kairos/job` (NUL-separated arguments); without it the job is an
//! interactive `/bin/sh -l`. `/etc/kairos/environ` (NUL-separated `K=V`) adds to its environment.
#![no_main]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::ptr;

const JOB: &str = "/etc/kairos/job";
const ENVIRON: &str = "/etc/kairos/environ";
/// A word `NAME=1` of the kernel's command line: the kernel is to say which of its objects the job leaves behind.
const CENSUS: &str = "kairos_census";

/// File system type, mount point, options. A mount point that lies on an earlier mount is made
/// after it.
const MOUNTS: &[(&CStr, &CStr, Option<&CStr>)] = &[
    (c"proc", c"/proc", None),
    (c"sysfs", c"/sys", None),
    (c"devtmpfs", c"/dev", None),
    (c"devpts", c"/dev/pts", Some(c"mode=620,ptmxmode=666")),
    (c"tmpfs", c"/dev/shm", Some(c"mode=1777")),
    (c"mqueue", c"/dev/mqueue", None),
    (c"tmpfs", c"/tmp", Some(c"mode=1777")),
];

/// Names in `/dev` that are a matter of user space: udev makes them elsewhere.
const DEV_LINKS: &[(&CStr, &CStr)] = &[
    (c"/proc/self/fd", c"/dev/fd"),
    (c"/proc/self/fd/0", c"/dev/stdin"),
    (c"/proc/self/fd/1", c"/dev/stdout"),
    (c"/proc/self/fd/2", c"/dev/stderr"),
];

/// Program entry. The C `main` is used instead of Rust's so that pid 1 needs nothing from the
/// kernel but what it asks for itself (no signal stack, no handlers, SIGPIPE untouched).
#[unsafe(no_mangle)]
pub extern "C" fn main(_argc: i32, _argv: *const *const libc::c_char) -> i32 {
    mount_all();
    link_descriptors();
    open_console();
    let job = Job::load();
    let census = std::env::var_os(CENSUS).is_some();
    if census {
        ask_census("baseline");
    }
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        -1 => {
            complain("cannot fork the job");
            126
        }
        0 => job.exec(),
        pid => {
            let status = wait_for(pid);
            if census {
                end_others();
                ask_census("compare");
            }
            status
        }
    }
}

/// Tells the kernel to look at what there is of its objects.
fn ask_census(word: &str) {
    if std::fs::write("/proc/kairos/census", word).is_err() {
        complain("the census");
    }
}

/// Ends and reaps whatever the job has left behind.
fn end_others() {
    // SAFETY: every process but this one; `wait` takes no status.
    unsafe {
        libc::kill(-1, libc::SIGKILL);
        while libc::wait(ptr::null_mut()) > 0 {}
    }
}

fn mount_all() {
    for (kind, target, options) in MOUNTS {
        let data = options.map_or(ptr::null(), |text| text.as_ptr());
        // SAFETY: all pointers are NUL-terminated strings that live for the program.
        unsafe {
            libc::mkdir(target.as_ptr(), 0o755);
            libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, data.cast());
        }
    }
}

fn link_descriptors() {
    for (target, name) in DEV_LINKS {
        // SAFETY: NUL-terminated strings; a name that is there already stays.
        unsafe { libc::symlink(target.as_ptr(), name.as_ptr()) };
    }
}

fn open_console() {
    // SAFETY: plain descriptor calls; nobody else in this process owns 0, 1 or 2.
    unsafe {
        let console = libc::open(c"/dev/console".as_ptr(), libc::O_RDWR | libc::O_NOCTTY);
        if console < 0 {
            return;
        }
        for standard in 0..=2 {
            if standard != console {
                libc::dup2(console, standard);
            }
        }
        if console > 2 {
            libc::close(console);
        }
    }
}

/// Writes one line to standard error; a failure has nobody to be told to.
fn complain(what: &str) {
    let text = format!("init: {what}: {}\n", std::io::Error::last_os_error());
    // SAFETY: the buffer lives across the call.
    unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
}

/// What to run: arguments and environment.
struct Job {
    argv: Vec<CString>,
    environ: Vec<CString>,
    interactive: bool,
}

impl Job {
    fn load() -> Job {
        let given: Vec<CString> = std::fs::read(JOB).map(|bytes| split(&bytes)).unwrap_or_default();
        let interactive = given.is_empty();
        let argv = if interactive { vec![c"/bin/sh".into(), c"-l".into()] } else { given };
        Job { argv, environ: environment(), interactive }
    }

    /// Becomes the job. Returns the status to exit with when that fails: 127 when there is no
    /// such program, otherwise 126, as a shell has it.
    fn exec(self) -> i32 {
        let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
            strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect()
        };
        let (argv, environ) = (pointers(&self.argv), pointers(&self.environ));
        // SAFETY: both arrays are NULL-terminated and point into strings that `self` keeps alive.
        unsafe {
            libc::setsid();
            libc::ioctl(0, libc::TIOCSCTTY, 0);
            if self.interactive {
                libc::chdir(c"/root".as_ptr());
            }
            // execvpe searches the PATH of the caller, and it is the job's that counts.
            for entry in self.environ.iter().filter(|entry| entry.as_bytes().starts_with(b"PATH=")) {
                libc::putenv(entry.as_ptr().cast_mut());
            }
            libc::execvpe(argv[0], argv.as_ptr(), environ.as_ptr());
        }
        let missing = std::io::Error::last_os_error().raw_os_error() == Some(libc::ENOENT);
        complain(&self.argv[0].to_string_lossy());
        if missing { 127 } else { 126 }
    }
}

/// The strings of a NUL-separated list; a final NUL is optional, an empty string is kept.
fn split(bytes: &[u8]) -> Vec<CString> {
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|byte| *byte == 0).filter_map(|part| CString::new(part).ok()).collect()
}

/// Defaults, then what the kernel handed over (except its HOME), then `/etc/kairos/environ`.
fn environment() -> Vec<CString> {
    let mut variables: BTreeMap<OsString, OsString> = BTreeMap::new();
    let defaults = [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", "/root"),
        ("TERM", "linux"),
    ];
    variables.extend(defaults.map(|(key, value)| (key.into(), value.into())));
    variables.extend(std::env::vars_os().filter(|(key, _)| key != "HOME" && key != CENSUS));
    for entry in std::fs::read(ENVIRON).map(|bytes| split(&bytes)).unwrap_or_default() {
        let entry = entry.into_bytes();
        if let Some(equals) = entry.iter().position(|byte| *byte == b'=') {
            let (key, value) = (entry[..equals].to_vec(), entry[equals + 1..].to_vec());
            variables.insert(OsString::from_vec(key), OsString::from_vec(value));
        }
    }
    let join = |(key, value): (OsString, OsString)| {
        let mut entry = key.into_vec();
        entry.push(b'=');
        entry.extend(value.into_vec());
        CString::new(entry).ok()
    };
    variables.into_iter().filter_map(join).collect()
}

/// Reaps children until the job is among them; returns the status to exit with.
fn wait_for(job: libc::pid_t) -> i32 {
    loop {
        let mut status = 0;
        // SAFETY: `status` is writable for the call.
        let pid = unsafe { libc::waitpid(-1, &mut status, 0) };
        if pid == -1 && std::io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD) {
            complain("lost the job");
            return 126;
        }
        if pid != job {
            continue;
        }
        if libc::WIFEXITED(status) {
            return libc::WEXITSTATUS(status);
        }
        if libc::WIFSIGNALED(status) {
            return 128 + libc::WTERMSIG(status);
        }
    }
}
