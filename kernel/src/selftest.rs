//! `selftest=MASK`: instead of a first process, the tests of the floors below run as tasks of the kernel.
//!
//! | bit | tests |
//! |---|---|
//! | 0x1 | wait core and faults of `executor` and `ipc`, handles, lineage, channels, ports |
//!
//! Each is named in the kernel's log before it runs; one that fails panics, which ends the run. At the end stands, in
//! the log:
//!
//! ```text
//! kairos-selftest: {"schema_version":1,"mask":1,"passed":18,"failed":0,"done":true}
//! ```

use base::machine::Outcome;
use executor::selftest::SelfTest;
use executor::{Executor, TaskOptions};

use crate::arch::emergency;
use crate::command_line::CommandLine;

/// The groups, by bit of the mask.
const GROUPS: &[&[&[&[SelfTest]]]] = &[&[executor::selftest::TESTS, ipc::selftest::TESTS]];

/// Starts the tests that the command line asks for; false when it asks for none.
pub fn start(executor: &'static Executor, command_line: CommandLine<'_>) -> bool {
    let Some(value) = command_line.value("selftest") else { return false };
    let Some(mask) = mask(value) else {
        log::error!("selftest={value}: no mask of {} groups", GROUPS.len());
        base::machine().power_off(Outcome::Panic("no such selftest"));
    };
    executor.spawn(TaskOptions::new("selftest"), run(mask));
    true
}

/// A mask with at least one bit, all of them of groups.
fn mask(text: &str) -> Option<u32> {
    let mask = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok()?,
        None => text.parse().ok()?,
    };
    (mask != 0 && mask >> GROUPS.len() == 0).then_some(mask)
}

async fn run(mask: u32) {
    ipc::start();
    let mut passed = 0;
    for (bit, crates) in GROUPS.iter().enumerate() {
        for test in crates.concat().concat().iter().filter(|_| mask & 1 << bit != 0) {
            log::info!("selftest: {}", test.name);
            (test.start)().await;
            passed += 1;
        }
    }
    emergency::line(format_args!(
        "kairos-selftest: {{\"schema_version\":1,\"mask\":{mask},\"passed\":{passed},\"failed\":0,\"done\":true}}"
    ));
    base::machine().power_off(Outcome::Exit(0));
}
