//! Programs with a classic bug each, and the same program without it.
//!
//! Each passes when its parts run in turn; the broken one fails when they meet at the wrong moment. What finds
//! such moments (`cargo xtask explore`) has to find all of these, and nothing in their fixed twins.
//!
//! | module | the bug |
//! |---|---|
//! | [`lost_wakeup`] | the bell is looked at after the queue, not before |
//! | [`edge_not_drained`] | an edge-triggered reader takes one message for each event |
//! | [`interrupted_read`] | `EINTR` is taken for the end |
//! | [`short_write`] | what a write did not take is forgotten |
//! | [`double_close`] | a descriptor is closed by two owners |
//! | [`use_after_revoke`] | a handle is looked at, and used when it may be gone |
//! | [`two_pipes`] | two peers fill their pipes before either reads |
//! | [`slot_reuse`] | a compare-and-swap takes a slot that came back for one that never left (ABA) |

mod double_close;
mod edge_not_drained;
mod interrupted_read;
mod lost_wakeup;
mod short_write;
mod slot_reuse;
mod two_pipes;
mod use_after_revoke;

use std::ffi::OsString;

/// Which of the twins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Twin {
    Broken,
    Fixed,
}

/// A program; it panics, fails or never ends when its bug bites.
type Program = fn(Twin);

const PROGRAMS: &[(&str, Program)] = &[
    ("lost-wakeup", lost_wakeup::run),
    ("edge-not-drained", edge_not_drained::run),
    ("interrupted-read", interrupted_read::run),
    ("short-write", short_write::run),
    ("double-close", double_close::run),
    ("use-after-revoke", use_after_revoke::run),
    ("two-pipes", two_pipes::run),
    ("slot-reuse", slot_reuse::run),
];

/// The whole program: `planted NAME broken|fixed`, or `planted --list`. The exit status: 0, 1 when the bug was seen, 2
/// for a wrong command line.
pub fn run(arguments: &[OsString]) -> i32 {
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let twin = match words.as_slice() {
        ["--list"] => {
            PROGRAMS.iter().for_each(|(name, _)| println!("{name}"));
            return 0;
        }
        [_, "broken"] => Twin::Broken,
        [_, "fixed"] => Twin::Fixed,
        _ => return wrong(),
    };
    let Some((_, program)) = PROGRAMS.iter().find(|(name, _)| *name == words[0]) else { return wrong() };
    program(twin);
    println!("done");
    0
}

fn wrong() -> i32 {
    eprintln!("usage: planted NAME broken|fixed, or planted --list");
    2
}

/// Says what went wrong, and ends the program.
fn fail(what: &str) -> ! {
    println!("failed: {what}");
    std::process::exit(1)
}

/// Lets others run.
fn yield_now() {
    let _ = syscall!(SYS_sched_yield);
}
