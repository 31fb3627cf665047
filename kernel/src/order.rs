//! In which order tasks run: what the command line says about it.
//!
//! | word | meaning |
//! |---|---|
//! | `sched_seed=N` | tasks overtake and preempt each other at random, from this seed |
//! | `schedule=S` | how: `random` (the default), `pct:D` or `rr`, see [`Schedule`] |
//! | `decisions=PATH` | a file of the initramfs: what it lists is decided, and nothing else; the seeds of orders and faults are not asked |

use alloc::boxed::Box;

use base::decision::{self, Script};
use base::machine::{Outcome, machine};
use base::sync::Once;
use executor::order::{OrderPolicy, Schedule, ScriptedOrder, SeededOrder};

use crate::command_line::CommandLine;
use crate::memory::Initrd;

static CHOSEN: Once<u64> = Once::new();

const SEED: &str = "sched_seed";
const DECISIONS: &str = "decisions";

/// True when [`policy`] will find one.
pub fn is_wanted(command_line: CommandLine<'_>) -> bool {
    [SEED, DECISIONS].iter().any(|key| command_line.value(key).is_some())
}

/// The policy that the command line asks for, if it asks for one. Says so in the log. A word that means nothing ends
/// the run: another order is not what was asked for.
pub fn policy(command_line: CommandLine<'_>, initrd: Option<&Initrd>) -> Option<Box<dyn OrderPolicy>> {
    if let Some(path) = command_line.value(DECISIONS) {
        let script = script(path, initrd);
        log::info!("decisions={path}: {} of them", script.len());
        return Some(Box::new(ScriptedOrder(script)));
    }
    let seed = command_line.value(SEED)?;
    let schedule = command_line.value("schedule").unwrap_or("random");
    log::info!("sched_seed={seed} schedule={schedule}");
    match (seed.parse(), schedule.parse::<Schedule>()) {
        (Ok(seed), Ok(schedule)) => {
            CHOSEN.call_once(|| seed);
            Some(Box::new(SeededOrder::new(seed, schedule)))
        }
        _ => refuse("the seed or the schedule cannot be read"),
    }
}

/// The seed from which the order of tasks follows.
#[must_use]
pub fn seed() -> Option<u64> {
    CHOSEN.get().copied()
}

/// Reads the list, and lets it decide from now on.
fn script(path: &str, initrd: Option<&Initrd>) -> &'static Script {
    let file = initrd.and_then(|initrd| fs::initramfs::find(initrd.bytes(), path.as_bytes()));
    let Some(file) = file else { refuse("the list of decisions is not in the initramfs") };
    let Ok(text) = core::str::from_utf8(&file) else { refuse("the list of decisions is no text") };
    match Script::parse(text) {
        Ok(script) => decision::replay(script),
        Err(line) => {
            log::error!("decisions={path}: line {line} is no decision");
            refuse("the list of decisions cannot be read")
        }
    }
}

fn refuse(why: &str) -> ! {
    machine().power_off(Outcome::Panic(why))
}
