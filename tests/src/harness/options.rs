//! The command line of `guest-tests`.

use super::Suite;
use std::ffi::OsString;
use std::ops::RangeInclusive;

pub(super) const HELP: &str = "\
usage: guest-tests [options] [FILTER...]
  FILTER            run cases whose name contains one of these (default: all)
  --exact           a FILTER is a whole name
  --skip TEXT       leave out cases whose name contains this (repeatable)
  --suite NAME      of this suite only (repeatable)
  --short           the short form of each suite: two seconds of cases in the seed's order, with few rounds
  --soak SECONDS    short forms until the time is over, among processes that disturb; every fourth one under
                    --faults; the first failure ends it
  --runs A..B       for each seed from A to B a short run of one suite under random points, which follow from it
  --noise N         at most so many processes that disturb a soak (default 3, at most 16)
  --list            print the selected names and their marks
  --scale N         multiply the rounds of long cases (default 1)
  --rounds N        run the selection so many times (default 1)
  --seed S          seed of random cases (default 1)
  --faults SPEC     run the cases under fault injection: POINT[:p=0.02,...] (repeatable, only in Kairos);
                    failures are then allowed, leaks and sleepers that could go on are not
  --deadline SECS   a case that takes longer is a hang (default 60)
  --jobs 1          cases at a time; only 1 is possible
";

/// What the command line asks for.
pub(super) enum Command {
    Run(Options),
    Help,
}

/// Options of a run.
#[derive(Clone)]
pub(super) struct Options {
    filters: Vec<String>,
    skips: Vec<String>,
    exact: bool,
    suites: Vec<String>,
    short: bool,
    /// How long a soak lasts, in seconds.
    pub(super) soak: Option<u64>,
    /// Seeds of short runs under random faults.
    pub(super) runs: Option<RangeInclusive<u64>>,
    pub(super) noise: u64,
    pub(super) list: bool,
    pub(super) scale: u64,
    pub(super) seed: u64,
    pub(super) rounds: u64,
    pub(super) deadline_seconds: u64,
    pub(super) faults: Vec<String>,
}

impl Options {
    pub(super) fn selects(&self, name: &str) -> bool {
        let matches =
            |filter: &String| if self.exact { name == filter } else { name.contains(filter.as_str()) };
        (self.filters.is_empty() || self.filters.iter().any(matches))
            && !self.skips.iter().any(|skip| name.contains(skip.as_str()))
    }

    /// The suites that are asked for, in their own order.
    pub(super) fn suites(&self, all: &'static [Suite]) -> Result<Vec<&'static Suite>, String> {
        if let Some(unknown) = self.suites.iter().find(|name| all.iter().all(|suite| suite.name != **name)) {
            let names: Vec<&str> = all.iter().map(|suite| suite.name).collect();
            return Err(format!("{unknown} is none of the suites {}", names.join(" ")));
        }
        let is_asked_for =
            |suite: &&Suite| self.suites.is_empty() || self.suites.iter().any(|name| name == suite.name);
        Ok(all.iter().filter(is_asked_for).collect())
    }

    /// Whether cases have few rounds.
    pub(super) fn is_short(&self) -> bool {
        self.short || self.soak.is_some() || self.runs.is_some()
    }
}

pub(super) fn parse(arguments: &[OsString]) -> Result<Command, String> {
    let mut options = Options {
        filters: Vec::new(),
        skips: Vec::new(),
        exact: false,
        suites: Vec::new(),
        short: false,
        soak: None,
        runs: None,
        noise: 3,
        list: false,
        scale: 1,
        seed: 1,
        rounds: 1,
        deadline_seconds: 60,
        faults: Vec::new(),
    };
    let mut rest = arguments.iter().map(|argument| argument.to_string_lossy().into_owned());
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--help" | "-h" => return Ok(Command::Help),
            "--list" => options.list = true,
            "--exact" => options.exact = true,
            "--suite" => options.suites.push(value()?),
            "--short" => options.short = true,
            "--soak" => options.soak = Some(number(&value()?)?),
            "--runs" => options.runs = Some(range(&value()?)?),
            "--noise" => options.noise = number(&value()?)?,
            "--skip" => options.skips.push(value()?),
            "--scale" => options.scale = number(&value()?)?.max(1),
            "--seed" => options.seed = number(&value()?)?,
            "--rounds" => options.rounds = number(&value()?)?,
            "--deadline" => options.deadline_seconds = number(&value()?)?.max(1),
            "--faults" => options.faults.push(value()?),
            "--jobs" => match number(&value()?)? {
                1 => {}
                _ => return Err("cases run one at a time: --jobs 1".to_owned()),
            },
            option if option.starts_with('-') => return Err(format!("unknown option {option}")),
            _ => options.filters.push(argument),
        }
    }
    Ok(Command::Run(options))
}

/// `A..B`, both included.
fn range(text: &str) -> Result<RangeInclusive<u64>, String> {
    let (first, last) = text.split_once("..").ok_or(format!("{text} is not A..B"))?;
    Ok(number(first)?..=number(last)?)
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is not a number"))
}
