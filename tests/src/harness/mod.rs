//! The harness: selects cases, runs each in a process of its own, prints what came out.

mod case;
mod census;
mod faults;
mod lottery;
mod memory;
mod noise;
mod options;
mod platform;
mod run;
mod settings;
mod soak;
mod suite;

pub(crate) use case::Case;
pub(crate) use case::case;
pub(crate) use platform::own_executable;
pub(crate) use run::{note, or_skip, our_children, rounds, seed, skip};
pub(crate) use suite::{Suite, suite};

use crate::sys::monotonic;
use faults::Faults;
use options::{Command, Options};
use platform::Platform;
use run::Outcome;
use std::ffi::OsString;
use std::fmt;
use std::io::Write;
use suite::SHORT_NS;

/// Runs the suites; returns the exit status.
pub(crate) fn main(arguments: &[OsString], suites: &'static [Suite]) -> i32 {
    let run = |options: Options| {
        let selected = select(&options, suites)?;
        if options.list {
            cases_of(&selected).for_each(|case| println!("{}{}", case.name(), case.marks()));
            return Ok(0);
        }
        let mut runner = Runner {
            platform: Platform::detect(),
            faults: Faults::new(&options.faults, options.seed)?,
            totals: Totals::default(),
        };
        Ok(match (options.soak, options.runs.clone()) {
            (Some(_), _) => soak::soak(&selected, &options, &mut runner),
            (None, Some(seeds)) => lottery::play(&selected, seeds, &options, &mut runner)?,
            (None, None) => runner.run_all(&selected, &options),
        })
    };
    let status = match options::parse(arguments) {
        Ok(Command::Run(options)) => run(options),
        Ok(Command::Help) => {
            print!("{}", options::HELP);
            Ok(0)
        }
        Err(message) => Err(format!("{message}\n{}", options::HELP)),
    };
    status.unwrap_or_else(|message| {
        eprintln!("guest-tests: {message}");
        2
    })
}

/// A suite, and those of its cases that were asked for.
type Selected = (&'static Suite, Vec<&'static Case>);

/// The suites with something that was asked for.
fn select(options: &Options, suites: &'static [Suite]) -> Result<Vec<Selected>, String> {
    let cases = |suite: &'static Suite| suite.cases().filter(|case| options.selects(&case.name())).collect();
    let mut selected: Vec<Selected> =
        options.suites(suites)?.into_iter().map(|suite| (suite, cases(suite))).collect();
    selected.retain(|(_, cases)| !cases.is_empty());
    Ok(selected)
}

fn cases_of(selected: &[Selected]) -> impl Iterator<Item = &'static Case> {
    selected.iter().flat_map(|(_, cases)| cases.iter().copied())
}

/// Runs cases, and keeps account.
struct Runner {
    platform: Platform,
    faults: Faults,
    totals: Totals,
}

impl Runner {
    fn run_all(&mut self, selected: &[Selected], options: &Options) -> i32 {
        run::prepare(options);
        self.faults.begin(options.seed).expect("settings that were taken once");
        for _ in 0..options.rounds {
            if !options.is_short() {
                cases_of(selected).for_each(|case| self.run(case.subject(), case, options));
                continue;
            }
            for (suite, cases) in selected {
                if self.faults.are_on() && !suite.runs_under_faults() {
                    continue;
                }
                let end = monotonic() + SHORT_NS;
                suite::run_short(cases, options.seed, end, |case| self.run(suite.name, case, options));
            }
        }
        self.faults.end();
        run::clean_up();
        self.conclude()
    }

    /// Runs a case and prints its lines. The faults are on the account of `group`.
    fn run(&mut self, group: &'static str, case: &Case, options: &Options) {
        print!("test {} ... ", case.name());
        flush();
        let outcome = self.outcome(group, case, options);
        match &outcome {
            Outcome::Passed(notes) => {
                println!("ok");
                notes.lines().for_each(|line| println!("    {line}"));
            }
            Outcome::Skipped(reason) => println!("skipped ({reason})"),
            Outcome::Failed(kind, details) => {
                println!("FAILED{kind}");
                details.lines().for_each(|line| println!("    {line}"));
            }
        }
        flush();
        self.totals.add(case, &outcome);
    }

    /// Runs a case and prints what went wrong.
    fn run_quietly(&mut self, group: &'static str, case: &Case, options: &Options) {
        let outcome = self.outcome(group, case, options);
        if let Outcome::Failed(kind, details) = &outcome {
            println!("test {} ... FAILED{kind}", case.name());
            details.lines().for_each(|line| println!("    {line}"));
            flush();
        }
        self.totals.add(case, &outcome);
    }

    fn outcome(&mut self, group: &'static str, case: &Case, options: &Options) -> Outcome {
        let under_faults = !options.faults.is_empty();
        match self.platform.refuses(case) {
            // It might not set the machine right again.
            None if under_faults && case.owned_guest_only => Outcome::Skipped("not under faults".to_owned()),
            Some(reason) => Outcome::Skipped(reason),
            None => self.faults.watch(group, || run::run(case, options)),
        }
    }

    /// Prints what came of everything: the exit status.
    fn conclude(&self) -> i32 {
        let silent = self.faults.report();
        if !silent.is_empty() {
            println!("no fault was injected: {}", silent.join(" "));
        }
        self.totals.print().max(i32::from(!silent.is_empty()))
    }
}

fn flush() {
    // A closed standard output is no reason to stop testing.
    let _ = std::io::stdout().flush();
}

#[derive(Default)]
struct Totals {
    passed: usize,
    failed: Vec<String>,
    skipped: usize,
}

impl Totals {
    fn add(&mut self, case: &Case, outcome: &Outcome) {
        match outcome {
            Outcome::Passed(_) => self.passed += 1,
            Outcome::Skipped(_) => self.skipped += 1,
            Outcome::Failed(..) => self.failed.push(case.name()),
        }
    }

    fn failures(&self) -> usize {
        self.failed.len()
    }

    fn print(&self) -> i32 {
        if !self.failed.is_empty() {
            println!("\nfailed:");
            self.failed.iter().for_each(|name| println!("    {name}"));
            println!();
        }
        println!("{self}");
        flush();
        i32::from(!self.failed.is_empty())
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} passed, {} failed, {} skipped", self.passed, self.failed.len(), self.skipped)
    }
}
