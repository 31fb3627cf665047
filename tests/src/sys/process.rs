//! Processes: fork, exec, wait.

use super::{Errno, Fd, Sys, close, dup2, pipe, read_to_end};
use crate::harness;
use std::ffi::{CStr, CString};

/// How a child ended or changed, decoded from a wait status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    /// By `exit` with this code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
    /// Stopped by this signal.
    Stopped(i32),
    /// Resumed by SIGCONT.
    Continued,
}

impl Status {
    /// Decodes the word `wait4` stores.
    pub(crate) fn decode(word: i32) -> Status {
        if libc::WIFCONTINUED(word) {
            Status::Continued
        } else if libc::WIFSTOPPED(word) {
            Status::Stopped(libc::WSTOPSIG(word))
        } else if libc::WIFSIGNALED(word) {
            Status::Killed(libc::WTERMSIG(word))
        } else {
            Status::Exited(libc::WEXITSTATUS(word))
        }
    }
}

/// A child process of the case.
#[derive(Debug)]
pub(crate) struct Child {
    /// Its process id.
    pub(crate) pid: i32,
}

impl Child {
    /// Waits for its end.
    pub(crate) fn wait(&self) -> Status {
        self.wait_with(0).expect("wait4")
    }

    /// `wait4` for this child with options; must not return 0.
    pub(crate) fn wait_with(&self, options: i32) -> Sys<Status> {
        let (pid, status) = wait4(self.pid, options)?;
        assert_eq!(pid, self.pid, "wait4 of one child");
        Ok(status)
    }

    pub(crate) fn kill(&self, signal: i32) {
        kill(self.pid, signal).expect("kill");
    }

    /// Waits for its end and asserts that it exited with 0.
    #[track_caller]
    pub(crate) fn succeeds(&self) {
        assert_eq!(self.wait(), Status::Exited(0), "the child's status");
    }

    /// Kills and reaps it.
    pub(crate) fn finish(&self) {
        self.kill(libc::SIGKILL);
        assert_eq!(self.wait(), Status::Killed(libc::SIGKILL));
    }
}

/// Forks; the child runs `body` and exits with 0 (a failed assertion ends it with 101).
pub(crate) fn fork(body: impl FnOnce()) -> Child {
    fork_status(|| {
        body();
        0
    })
}

/// Forks; the child runs `body` and exits with what it returns.
pub(crate) fn fork_status(body: impl FnOnce() -> i32) -> Child {
    // SAFETY: the C library's fork takes its own locks over the fork; cases that have threads
    // keep the child to plain calls.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {:?}", last_errno()),
        0 => exit_group(body()),
        pid => Child { pid },
    }
}

/// The C library's `errno`.
pub(crate) fn last_errno() -> Errno {
    Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

/// Ends the process at once, with no destructors and no output flushed.
pub(crate) fn exit_group(status: i32) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(status) }
}

/// Ends only the calling thread (or the process, if it is the last).
pub(crate) fn exit_thread(status: i32) -> ! {
    let _ = syscall!(SYS_exit, status);
    unreachable!("exit returned");
}

/// `(pid, status)`; pid 0 (nothing to report under WNOHANG) comes with a meaningless status.
pub(crate) fn wait4(pid: i32, options: i32) -> Sys<(i32, Status)> {
    let mut word = 0;
    let pid = syscall!(SYS_wait4, pid, &mut word, options, 0)?;
    Ok((pid as i32, Status::decode(word)))
}

/// What `waitid` filled in: (si_pid, si_code, si_status, si_uid, si_signo).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ChildInfo {
    pub(crate) pid: i32,
    pub(crate) code: i32,
    pub(crate) status: i32,
    pub(crate) uid: u32,
    pub(crate) signal: i32,
}

pub(crate) fn waitid(which: u32, id: i32, options: i32) -> Sys<ChildInfo> {
    let mut info: libc::siginfo_t = super::zeroed();
    syscall!(SYS_waitid, which, id, &mut info, options, 0)?;
    // SAFETY: the fields of the SIGCHLD layout overlay plain integers that were zeroed.
    let (pid, status, uid) = unsafe { (info.si_pid(), info.si_status(), info.si_uid()) };
    Ok(ChildInfo { pid, code: info.si_code, status, uid, signal: info.si_signo })
}

pub(crate) fn getpid() -> i32 {
    syscall!(SYS_getpid).expect("getpid") as i32
}

pub(crate) fn getppid() -> i32 {
    syscall!(SYS_getppid).expect("getppid") as i32
}

pub(crate) fn gettid() -> i32 {
    syscall!(SYS_gettid).expect("gettid") as i32
}

pub(crate) fn getpgid(pid: i32) -> Sys<i32> {
    syscall!(SYS_getpgid, pid).map(|id| id as i32)
}

pub(crate) fn setpgid(pid: i32, group: i32) -> Sys<()> {
    syscall!(SYS_setpgid, pid, group).map(drop)
}

pub(crate) fn getsid(pid: i32) -> Sys<i32> {
    syscall!(SYS_getsid, pid).map(|id| id as i32)
}

pub(crate) fn setsid() -> Sys<i32> {
    syscall!(SYS_setsid).map(|id| id as i32)
}

pub(crate) fn kill(pid: i32, signal: i32) -> Sys<()> {
    syscall!(SYS_kill, pid, signal).map(drop)
}

/// Whether a process or zombie with this id exists.
pub(crate) fn exists(pid: i32) -> bool {
    kill(pid, 0).is_ok()
}

/// `execve`; returns only when it failed.
pub(crate) fn execve(path: &CStr, argv: &[&CStr], environ: &[&CStr]) -> Errno {
    let pointers = |strings: &[&CStr]| -> Vec<usize> {
        strings.iter().map(|text| text.as_ptr() as usize).chain([0]).collect()
    };
    let (argv, environ) = (pointers(argv), pointers(environ));
    match syscall!(SYS_execve, path, argv.as_ptr(), environ.as_ptr()) {
        Err(errno) => errno,
        Ok(_) => unreachable!("execve returned without an error"),
    }
}

/// The arguments that make this same binary run a probe (see `probe`).
pub(crate) fn probe_argv(name: &str, arguments: &[&str]) -> Vec<CString> {
    let head = ["guest-tests", "--probe", name].into_iter();
    head.chain(arguments.iter().copied()).map(super::path).collect()
}

/// Replaces this process by a probe with the given environment.
pub(crate) fn exec_probe(name: &str, arguments: &[&str], environ: &[&CStr]) -> Errno {
    let argv = probe_argv(name, arguments);
    let argv: Vec<&CStr> = argv.iter().map(CString::as_c_str).collect();
    execve(harness::own_executable(), &argv, environ)
}

/// Runs `body` in a child with its standard output on a pipe: (what it wrote, its status).
pub(crate) fn output_of(body: impl FnOnce()) -> (String, Status) {
    let (from, to): (Fd, Fd) = pipe();
    let child = fork(|| {
        close(from).expect("close");
        dup2(to, 1).expect("dup2");
        if to != 1 {
            close(to).expect("close");
        }
        body();
    });
    close(to).expect("close");
    let output = read_to_end(from).expect("read");
    close(from).expect("close");
    (String::from_utf8_lossy(&output).into_owned(), child.wait())
}

/// Runs a probe: what it printed. It must exit with 0.
#[track_caller]
pub(crate) fn probe_output(name: &str, arguments: &[&str], environ: &[&CStr]) -> String {
    let (output, status) = output_of(|| {
        let errno = exec_probe(name, arguments, environ);
        panic!("execve of the probe: {errno:?}");
    });
    assert_eq!(status, Status::Exited(0), "the probe's status; it printed {output:?}");
    output
}
