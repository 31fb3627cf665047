//! `cargo xtask test`: everything there is to test, one line a case, one line of totals.

mod clients;
mod exploring;
mod false_kernel;
mod faults;
mod guest_suite;
mod host;
mod libtest;
mod model;
mod process;
mod programs;
mod recording;
mod runs;
mod session;
mod steps;
#[cfg(test)]
mod table;
mod tally;
mod twice;

use std::time::Duration;

use anyhow::Result;

use crate::cli::{self, Arguments, Item, usage};
use crate::setup::{self, Need};
use steps::{Floor, STEPS, Step};
use tally::{Tally, Verdict};

/// The whole test at scale 1. It takes half of it when nothing hangs.
const LIMIT: Duration = Duration::from_secs(55 * 60);

const HELP: &str = "\
usage: cargo xtask test [FILTER] [--floor host|model|guest] [--scale N]

  FILTER           only cases whose full name (STEP:CASE) contains this
  --floor NAME     only this floor (repeatable): host (unit tests and lints), model (loom,
                   shuttle and Miri), guest (the guest suite on Linux and in Kairos, runs, sessions)
  --scale N        more rounds: 1 (the default) takes less than half an hour on two cores
  --on-linux       boot Debian's kernel instead of Kairos in runs, sessions and programs: whether
                   what they expect is right
  --list           the steps";

/// What the command line asked for.
pub(crate) struct TestOptions {
    filter: Option<String>,
    floors: Vec<Floor>,
    scale: u32,
    /// Guests boot Debian's kernel instead of Kairos: a test of the tests.
    on_linux: bool,
}

impl TestOptions {
    /// Whether something in `step` may be wanted. A filter that does not name the step may still
    /// name one of its cases, which only the step can tell.
    fn wants(&self, step: &Step) -> bool {
        let names_another = |filter: &String| {
            filter.split_once(':').is_some_and(|(prefix, rest)| {
                !rest.starts_with(':')
                    && STEPS.iter().any(|other| other.name == prefix)
                    && prefix != step.name
            })
        };
        let asked_for = self.filter.as_ref().is_some_and(|filter| filter.starts_with(step.name));
        (self.floors.is_empty() || self.floors.contains(&step.floor))
            && (!step.on_request || asked_for)
            && !self.filter.as_ref().is_some_and(names_another)
    }

    /// True for a wanted step, and for the foundation of one.
    fn needs(&self, step: &Step) -> bool {
        let carries = |other: &Step| other.floor == step.floor && self.wants(other);
        self.wants(step) || step.is_foundation && STEPS.iter().any(carries)
    }

    /// The filter that a test program of `step` can be given: it sees case names only.
    fn inner_filter(&self, step: &str) -> Option<&str> {
        let filter = self.filter.as_deref()?;
        if step.contains(filter) {
            return None;
        }
        Some(filter.strip_prefix(step).and_then(|rest| rest.strip_prefix(':')).unwrap_or(filter))
            .filter(|f| !f.is_empty())
    }
}

/// `cargo xtask test ...`: 0 if nothing failed.
pub(crate) fn command(arguments: &mut Arguments) -> Result<u8> {
    let mut options = TestOptions { filter: None, floors: Vec::new(), scale: 1, on_linux: false };
    while let Some(item) = arguments.next_item()? {
        match item {
            Item::Option(name) => match name.as_str() {
                "--floor" => options.floors.push(Floor::named(&arguments.text(&name)?)?),
                "--scale" => options.scale = arguments.parsed(&name)?,
                "--on-linux" => options.on_linux = true,
                "--list" => {
                    STEPS
                        .iter()
                        .for_each(|step| println!("{:6} {:14} {}", step.floor.name(), step.name, step.what));
                    return Ok(0);
                }
                "--help" | "-h" => {
                    println!("{HELP}");
                    return Ok(0);
                }
                _ => return Err(cli::unexpected(&Item::Option(name))),
            },
            Item::Word(word) if options.filter.is_none() => {
                options.filter = Some(word.to_string_lossy().into_owned())
            }
            other => return Err(cli::unexpected(&other)),
        }
    }
    if options.scale == 0 {
        return Err(usage("--scale: at least 1"));
    }
    setup::ensure(&[Need::Run])?;
    Ok(u8::from(run_steps(&options) > 0))
}

/// Runs the selected steps; the number of failed cases.
fn run_steps(options: &TestOptions) -> usize {
    let mut tally = Tally::new(options.filter.clone());
    process::limit_everything(LIMIT * options.scale);
    let mut broken: Vec<Floor> = Vec::new();
    for step in STEPS.iter().filter(|step| options.needs(step)) {
        if process::time_left().is_zero() {
            let text = format!(
                "not started: the whole test has taken {} minutes",
                LIMIT.as_secs() / 60 * u64::from(options.scale)
            );
            tally.record_always(step.name, "step", Verdict::Failed(text));
            continue;
        }
        if broken.contains(&step.floor) {
            tally.record(
                step.name,
                "step",
                Verdict::Failed("not started: its floor could not be built".to_owned()),
            );
            continue;
        }
        if let Err(error) = (step.run)(options, &mut tally) {
            tally.record_always(step.name, "step", Verdict::Failed(format!("{error:#}")));
            if step.is_foundation {
                broken.push(step.floor);
            }
        }
    }
    tally.finish()
}
