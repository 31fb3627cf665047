//! `bench`: what common operations cost, measured from inside the guest.
//!
//! Prints a line `GROUP NAME VALUE` for each operation: time-stamp counter ticks per operation, which
//! under `-icount shift=0` are instructions exactly, or nanoseconds with `--time`. The same
//! executable runs in Kairos and on Linux. Arguments: groups or names to measure (default: all).
#![no_main]

mod channels;
mod epoll;
mod memory;
mod messages;
mod meter;
mod observe;
mod processes;
mod round_trips;
mod signals;
mod syscalls;

use meter::Meter;

/// The argument with which the program only exits: the image that `fork_exec_wait` starts.
const EXIT_AT_ONCE: &[u8] = b"--exit-at-once";

/// One operation: its group, its name, and what measures it (cost per operation).
struct Operation {
    group: &'static str,
    name: &'static str,
    measure: fn(&Meter) -> u64,
}

const OPERATIONS: &[&[Operation]] = &[
    syscalls::OPERATIONS,
    messages::OPERATIONS,
    channels::OPERATIONS,
    round_trips::OPERATIONS,
    epoll::OPERATIONS,
    observe::OPERATIONS,
    processes::OPERATIONS,
    memory::OPERATIONS,
    signals::OPERATIONS,
];

/// Program entry. The C `main` is used instead of Rust's so that starting the program again costs
/// little of its own.
#[allow(clippy::not_unsafe_ptr_arg_deref, reason = "only the C runtime calls it")]
#[unsafe(no_mangle)]
pub extern "C" fn main(count: i32, arguments: *const *const libc::c_char) -> i32 {
    if count == 2 {
        // SAFETY: the kernel passed `count` NUL-terminated strings.
        let first = unsafe { std::ffi::CStr::from_ptr(*arguments.add(1)) };
        if first.to_bytes() == EXIT_AT_ONCE {
            return 0;
        }
    }
    let mut wanted: Vec<String> = std::env::args().skip(1).collect();
    let meter = Meter::new(wanted.iter().any(|word| word == "--time"));
    wanted.retain(|word| word != "--time");
    for operation in OPERATIONS.iter().copied().flatten() {
        if wanted.is_empty() || wanted.iter().any(|word| word == operation.group || word == operation.name) {
            println!("{} {} {}", operation.group, operation.name, (operation.measure)(&meter));
        }
    }
    0
}
