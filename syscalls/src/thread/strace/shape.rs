//! What an argument is, by the names in its call's declaration.

use super::names::{self, Names};
use crate::declare::{Arguments, Syscall};

/// How an argument is shown.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// As its type says.
    Plain,
    /// An address or a word of bits.
    Hex,
    /// Permission bits.
    Octal,
    /// A string that ends with a NUL.
    Text,
    /// Bytes that the program passes; how many says the argument with this index.
    BytesIn(usize),
    /// Bytes that the program gets; how many says the answer.
    BytesOut,
    /// A vector of byte ranges that the program passes.
    VectorIn,
    /// A vector of strings.
    Strings,
    /// The same, counted.
    StringCount,
    /// Two descriptors that the program gets.
    PairOut,
    /// A status of wait4(2).
    StatusOut,
    /// A `struct stat`.
    StatOut,
    /// A `struct timespec` that the program passes.
    TimeIn,
    /// A `struct timespec` that the program gets.
    TimeOut,
    /// The `struct pollfd`s that the program passes.
    PollIn,
    /// A set of signals.
    SignalSetIn,
    /// A set of signals that the program gets.
    SignalSetOut,
    /// A `struct sigaction`.
    ActionIn,
    /// One of several values with names.
    One(Names),
    /// Several bits with names.
    Bits(Names),
    /// The flags of open(2): an access mode and bits.
    OpenFlags,
    /// A command and bits, as futex(2) has them.
    FutexOperation,
}

impl Shape {
    /// True when the call fills it in, so that it can be shown only afterwards.
    pub(super) fn is_filled_in(self) -> bool {
        use Shape::{BytesOut, PairOut, SignalSetOut, StatOut, StatusOut, TimeOut};
        matches!(self, BytesOut | PairOut | SignalSetOut | StatOut | StatusOut | TimeOut)
    }
}

/// What the argument called `parameter` of `call` is.
pub(super) fn of(call: &str, parameter: &str) -> Shape {
    match parameter {
        "path" | "name" => return Shape::Text,
        "signal" => return Shape::One(names::SIGNALS),
        "protection" => return Shape::Bits(names::PROTECTIONS),
        "whence" => return Shape::One(names::WHENCES),
        "advice" if call == "madvise" => return Shape::One(names::ADVICES),
        "address" | "new_address" | "stack" | "parent_tid" | "child_tid" | "tls" | "word" | "head" => {
            return Shape::Hex;
        }
        "mode" if !call.contains("access") => return Shape::Octal,
        "mode" => return Shape::Bits(names::ACCESSES),
        _ => {}
    }
    match (call, parameter) {
        ("rename" | "renameat" | "renameat2" | "link" | "linkat", "old" | "new")
        | ("symlink" | "symlinkat" | "mount" | "umount2", "target")
        | ("mount", "source" | "kind") => Shape::Text,
        ("execve" | "execveat", "arguments") => Shape::Strings,
        ("execve" | "execveat", "environment") => Shape::StringCount,
        ("write" | "pwrite64", "buffer") => Shape::BytesIn(2),
        ("sendto", "buffer") => Shape::BytesIn(2),
        ("read" | "pread64" | "readlink" | "readlinkat" | "getcwd" | "getrandom" | "recvfrom", "buffer") => {
            Shape::BytesOut
        }
        ("writev" | "pwritev" | "pwritev2", "vector") => Shape::VectorIn,
        ("pipe" | "pipe2", "fds") => Shape::PairOut,
        ("wait4", "status") => Shape::StatusOut,
        ("stat" | "lstat" | "fstat" | "newfstatat", "buffer") => Shape::StatOut,
        (_, "request") if call.contains("nanosleep") => Shape::TimeIn,
        ("ppoll" | "pselect6" | "rt_sigtimedwait", "timeout") | ("clock_settime", "time") => Shape::TimeIn,
        ("clock_gettime", "time") | ("clock_getres", "resolution") => Shape::TimeOut,
        ("poll" | "ppoll", "fds") => Shape::PollIn,
        ("rt_sigprocmask" | "rt_sigsuspend" | "rt_sigtimedwait", "set") => Shape::SignalSetIn,
        ("rt_sigprocmask", "old") | ("rt_sigpending", "set") => Shape::SignalSetOut,
        ("rt_sigaction", "action") => Shape::ActionIn,
        ("rt_sigprocmask", "how") => Shape::One(names::MASK_CHANGES),
        ("open" | "openat", "flags") => Shape::OpenFlags,
        ("pipe2" | "dup3", "flags") => Shape::Bits(names::OPENS),
        ("mmap", "flags") => Shape::Bits(names::MAPPINGS),
        ("mremap", "flags") => Shape::Bits(names::REMAPPINGS),
        ("clone" | "unshare", "flags") => Shape::Bits(names::CLONES),
        ("wait4" | "waitid", "options") => Shape::Bits(names::WAITS),
        ("fcntl", "command") => Shape::One(names::FCNTLS),
        ("ioctl", "request") => Shape::One(names::IOCTLS),
        ("futex", "operation") => Shape::FutexOperation,
        ("prctl", "option") => Shape::One(names::PRCTLS),
        ("arch_prctl", "option") => Shape::One(names::ARCH_PRCTLS),
        (_, "resource") => Shape::One(names::RESOURCES),
        ("clock_gettime" | "clock_settime" | "clock_getres" | "clock_nanosleep", "id") => {
            Shape::One(names::CLOCKS)
        }
        ("splice" | "tee" | "vmsplice", "flags") => Shape::Bits(names::SPLICES),
        (_, "flags") if call.ends_with("at") || matches!(call, "statx" | "faccessat2") => {
            Shape::Bits(names::AT_FLAGS)
        }
        ("ioctl" | "fcntl" | "prctl" | "arch_prctl", _) if parameter != "fd" => Shape::Hex,
        _ => Shape::Plain,
    }
}

/// What a call answers.
pub(super) fn answer(call: &str) -> Shape {
    match call {
        "mmap" | "mremap" | "brk" => Shape::Hex,
        "umask" => Shape::Octal,
        _ => Shape::Plain,
    }
}

/// How many of its arguments a call looks at.
pub(super) fn shown(syscall: &Syscall, arguments: &Arguments) -> usize {
    const CREATES: u64 = 0o100 | 0o20_000_000;
    let all = syscall.arguments.len();
    let flags = match syscall.name {
        "open" => arguments[1],
        "openat" => arguments[2],
        _ => return all,
    };
    if flags & CREATES == 0 { all - 1 } else { all }
}
