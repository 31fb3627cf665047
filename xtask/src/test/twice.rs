//! Two runs with one seed are the same run: the same console, the same decisions, the same trace.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::TestOptions;
use super::guest_suite::kairos_run;
use super::process;
use super::tally::{Tally, Verdict};
use crate::build::{self, SUITE};
use crate::report::load::{self, Trace};
use crate::{paths, trace};

const STEP: &str = "twice";
/// Suites whose short forms are run.
const SUITES: [&str; 4] = ["pipe", "epoll", "signal", "ipc"];
/// Seeds under which they are run, at scale 1 and at most.
const SEEDS: (u32, u32) = (2, 50);
/// Room for every event of a run.
const BUFFER: &str = "192M";
/// One run. Instructions are counted, which takes its time.
const LIMIT: Duration = Duration::from_secs(300);

/// What a run leaves behind.
struct Record {
    console: Vec<u8>,
    decisions: Vec<u8>,
    trace: Trace,
}

pub(super) fn all(options: &TestOptions, tally: &mut Tally) -> Result<()> {
    for seed in 1..=(SEEDS.0 * options.scale).min(SEEDS.1) {
        let case = format!("seed-{seed}");
        if tally.wants(STEP, &case) {
            let verdict = twice(options, seed);
            let verdict =
                verdict.map_or_else(|error| Verdict::Failed(format!("{error:#}")), |()| Verdict::Passed);
            tally.record(STEP, &case, verdict);
        }
    }
    Ok(())
}

fn twice(options: &TestOptions, seed: u32) -> Result<()> {
    let (first, second) = (run(options, seed)?, run(options, seed)?);
    ensure!(!first.decisions.is_empty(), "nothing was decided");
    ensure!(!first.trace.events.is_empty(), "nothing was traced");
    let place = first.console.iter().zip(&second.console).take_while(|(one, other)| one == other).count();
    ensure!(first.console == second.console, "the consoles differ from byte {place} on");
    ensure!(first.decisions == second.decisions, "the decisions differ");
    let mut events = first.trace.events.iter().zip(&second.trace.events).enumerate();
    if let Some((number, (one, other))) = events.find(|(_, (one, other))| one != other) {
        anyhow::bail!("event {number} differs: {one:?}, then {other:?}");
    }
    let counts = [&first, &second].map(|record| record.trace.events.len());
    ensure!(counts[0] == counts[1], "the traces have {} and {} events", counts[0], counts[1]);
    Ok(())
}

fn run(options: &TestOptions, seed: u32) -> Result<Record> {
    let seed = seed.to_string();
    let mut command = kairos_run(options)?;
    command.args([
        "--icount",
        "--smp",
        "1",
        "--seed",
        &seed,
        "--trace",
        "--trace-buffer",
        BUFFER,
        "--overlay",
    ]);
    command.arg(build::suite_overlay()?).args(["--", SUITE, "--short", "--seed", &seed]);
    for suite in SUITES {
        command.args(["--suite", suite]);
    }
    let captured = process::capture(&mut command, b"", LIMIT)?;
    let said = || process::tail(&String::from_utf8_lossy(&captured.stdout), 20);
    ensure!(captured.finished.succeeded(), "{}\n{}", process::tail(&captured.finished.stderr, 20), said());
    let folder = paths::runs().join("latest");
    let read = |name: &str| fs::read(folder.join(name)).with_context(|| format!("reading {name}"));
    let trace = load::binary(&read(trace::FILE)?)?;
    ensure!((trace.overwritten, trace.dropped) == (0, 0), "events were lost{}", trace.loss());
    Ok(Record { console: captured.stdout, decisions: read("decisions")?, trace })
}
