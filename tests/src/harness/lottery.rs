//! Many short runs under random faults: from the seed of each follow the suite, the order of its cases, and which points
//! strike how often.

use std::ops::RangeInclusive;

use super::faults::Faults;
use super::suite::run_short;
use super::{Options, Runner, Selected, flush, run};
use crate::sys::{Random, monotonic};

/// For how long cases of one run begin, in nanoseconds.
const LENGTH_NS: i64 = 400_000_000;
/// Points that strike in one run, at most.
const MOST_POINTS: u64 = 3;
/// One in so many runs has all points instead.
const ALL_ONE_IN: u64 = 8;
/// How likely a point is to fire where it may.
const PROBABILITIES: [&str; 5] = ["0.001", "0.005", "0.02", "0.05", "0.2"];

/// Runs once for each seed; the exit status. A run says what it does before it does it, so that it is known of one that
/// brings the machine down. Fails where there are no points.
pub(super) fn play(
    selected: &[Selected],
    seeds: RangeInclusive<u64>,
    options: &Options,
    runner: &mut Runner,
) -> Result<i32, String> {
    let points = Faults::points();
    if points.is_empty() {
        return Err("this kernel has no fault points".to_owned());
    }
    run::prepare(options);
    let suites: Vec<&Selected> = selected.iter().filter(|(suite, _)| suite.runs_under_faults()).collect();
    for seed in seeds {
        let Some((suite, cases)) = suites.get(seed as usize % suites.len().max(1)) else { break };
        let mut random = Random::new(seed);
        let faults = draw(&points, &mut random);
        println!("run {seed}: suite={} faults={}", suite.name, faults.join(" "));
        flush();
        let mut options = options.clone();
        (options.seed, options.faults) = (seed, faults);
        run::sow(seed);
        runner.faults.change(&options.faults);
        runner.faults.begin(seed).expect("settings of points that there are");
        let (passed, failed) = (runner.totals.passed, runner.totals.failures());
        run_short(cases, seed, monotonic() + LENGTH_NS, |case| {
            runner.run_quietly(suite.name, case, &options);
        });
        runner.faults.end();
        let (passed, failed) = (runner.totals.passed - passed, runner.totals.failures() - failed);
        println!("ended {seed}: {passed} passed, {failed} failed");
    }
    run::clean_up();
    // Together the runs must have been struck.
    runner.faults.change(&["all".to_owned()]);
    Ok(runner.conclude())
}

/// Settings of random points.
fn draw(points: &[String], random: &mut Random) -> Vec<String> {
    let setting = |point: &str, random: &mut Random| {
        let probability = PROBABILITIES[random.below(PROBABILITIES.len() as u64) as usize];
        format!("{point}:p={probability}")
    };
    if random.one_in(ALL_ONE_IN) {
        return vec![setting("all", random)];
    }
    let count = 1 + random.below(MOST_POINTS);
    let mut left: Vec<&String> = points.iter().collect();
    (0..count)
        .map(|_| {
            let point = left.swap_remove(random.below(left.len() as u64) as usize);
            setting(point, random)
        })
        .collect()
}
