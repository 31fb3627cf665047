//! The harness: selects cases, runs each in a process of its own, prints what came out.

mod case;
mod census;
mod faults;
mod options;
mod platform;
mod run;

pub(crate) use case::Case;
pub(crate) use case::case;
pub(crate) use platform::own_executable;
pub(crate) use run::{note, or_skip, our_children, scale, seed, skip};

use faults::Faults;
use options::{Command, Options};
use platform::Platform;
use run::Outcome;
use std::ffi::OsString;
use std::io::Write;

/// Runs the suite; returns the exit status.
pub(crate) fn main(arguments: &[OsString], tables: &[&[Case]]) -> i32 {
    let options = match options::parse(arguments) {
        Ok(Command::Run(options)) => options,
        Ok(Command::Help) => {
            print!("{}", options::HELP);
            return 0;
        }
        Err(message) => {
            eprintln!("guest-tests: {message}\n{}", options::HELP);
            return 2;
        }
    };
    let all = tables.iter().copied().flatten();
    let selected: Vec<&Case> = all.filter(|case| options.selects(&case.name())).collect();
    if options.list {
        selected.iter().for_each(|case| println!("{}{}", case.name(), case.marks()));
        return 0;
    }
    let platform = Platform::detect();
    let mut faults = match Faults::new(&options.faults, options.seed) {
        Ok(faults) => faults,
        Err(message) => {
            eprintln!("guest-tests: {message}");
            return 2;
        }
    };
    let mut totals = Totals::default();
    run::prepare(&options);
    for _ in 0..options.rounds {
        for case in &selected {
            totals.add(case, faults.watch(case.subject(), || report(case, &options, &platform)));
        }
    }
    run::clean_up();
    let silent = faults.finish();
    if !silent.is_empty() {
        println!("no fault was injected: {}", silent.join(" "));
    }
    totals.print().max(i32::from(!silent.is_empty()))
}

/// Runs one case and prints its lines.
fn report(case: &Case, options: &Options, platform: &Platform) -> Outcome {
    print!("test {} ... ", case.name());
    flush();
    let outcome = match platform.refuses(case) {
        Some(reason) => Outcome::Skipped(reason),
        None => run::run(case, options),
    };
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
    outcome
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
    fn add(&mut self, case: &Case, outcome: Outcome) {
        match outcome {
            Outcome::Passed(_) => self.passed += 1,
            Outcome::Skipped(_) => self.skipped += 1,
            Outcome::Failed(..) => self.failed.push(case.name()),
        }
    }

    fn print(&self) -> i32 {
        if !self.failed.is_empty() {
            println!("\nfailed:");
            self.failed.iter().for_each(|name| println!("    {name}"));
            println!();
        }
        println!("{} passed, {} failed, {} skipped", self.passed, self.failed.len(), self.skipped);
        flush();
        i32::from(!self.failed.is_empty())
    }
}
