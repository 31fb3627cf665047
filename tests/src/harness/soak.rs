//! A soak: short forms of all suites for a long time, in an order that changes with each cycle, among processes that
//! disturb, now and then under faults. The first failure ends it. At the end the machine must not use more memory than
//! in the middle.

use super::census::Memory;
use super::noise::Noise;
use super::suite::{run_short, shuffle};
use super::{Case, Options, Runner, Selected, Suite, run};
use crate::sys::{Random, monotonic};

/// Of so many iterations one is under faults.
const FAULTS_EVERY: u64 = 4;
/// A line tells of so many iterations.
const PROGRESS_EVERY: u64 = 8;
/// Seconds of a case under faults, which may wait for ever.
const DEADLINE_UNDER_FAULTS: u64 = 10;
const SECOND: i64 = 1_000_000_000;

/// A suite of the soak, and what has come of it.
struct Entry {
    suite: &'static Suite,
    cases: Vec<&'static Case>,
    runs: u64,
    runs_under_faults: u64,
}

/// Runs the soak that `options` describe; the exit status.
pub(super) fn soak(suites: &[Selected], options: &Options, runner: &mut Runner) -> i32 {
    let noise = Noise::start(options.noise);
    run::prepare(options);
    let (mut calm, mut struck) = (options.clone(), options.clone());
    calm.faults.clear();
    struck.deadline_seconds = DEADLINE_UNDER_FAULTS;
    let mut soak = Soak {
        entries: suites.iter().map(|(suite, cases)| Entry::new(suite, cases)).collect(),
        calm,
        struck,
        start: monotonic(),
        random: Random::new(options.seed),
        iterations: 0,
        memory: Memory::default(),
    };
    soak.run(options.soak.unwrap_or_default() as i64 * SECOND, &noise, runner);
    drop(noise);
    run::clean_up();
    soak.conclude(runner)
}

impl Entry {
    fn new(suite: &'static Suite, cases: &[&'static Case]) -> Entry {
        Entry { suite, cases: cases.to_vec(), runs: 0, runs_under_faults: 0 }
    }
}

struct Soak {
    entries: Vec<Entry>,
    calm: Options,
    struck: Options,
    start: i64,
    random: Random,
    iterations: u64,
    memory: Memory,
}

impl Soak {
    /// Cycles until the time is over; each suite runs at least once.
    fn run(&mut self, nanoseconds: i64, noise: &Noise, runner: &mut Runner) {
        while self.entries.iter().any(|entry| entry.runs == 0) || monotonic() - self.start < nanoseconds {
            let mut order: Vec<usize> = (0..self.entries.len()).collect();
            shuffle(&mut order, &mut self.random);
            for which in order {
                self.iterate(which, noise, runner);
                if runner.totals.failures() > 0 {
                    return;
                }
            }
            self.memory.sample();
        }
    }

    fn iterate(&mut self, which: usize, noise: &Noise, runner: &mut Runner) {
        let entry = &mut self.entries[which];
        let struck = !self.struck.faults.is_empty()
            && entry.suite.runs_under_faults()
            && self.iterations.is_multiple_of(FAULTS_EVERY);
        let options = if struck { &self.struck } else { &self.calm };
        let seed = self.random.word();
        run::sow(seed);
        noise.begin(&mut self.random);
        if struck {
            runner.faults.begin(seed).expect("settings that were taken once");
        }
        run_short(&entry.cases, seed, |case| runner.run_quietly(entry.suite.name, case, options));
        if struck {
            runner.faults.end();
        }
        noise.pause();
        entry.runs += 1;
        entry.runs_under_faults += u64::from(struck);
        self.iterations += 1;
        if self.iterations.is_multiple_of(PROGRESS_EVERY) {
            println!("soak: {}", self.state(runner));
        }
    }

    fn state(&self, runner: &Runner) -> String {
        let seconds = (monotonic() - self.start) / SECOND;
        let memory = self.memory.last().map_or(String::new(), |memory| format!(", {memory}"));
        format!("{seconds} s, {} iterations, {}{memory}", self.iterations, runner.totals)
    }

    fn conclude(&self, runner: &mut Runner) -> i32 {
        for Entry { suite, runs, runs_under_faults, .. } in &self.entries {
            println!("soak: suite={} runs={runs} under_faults={runs_under_faults}", suite.name);
        }
        println!("soak: {}", self.state(runner));
        let growth = self.memory.growth();
        if let Some(growth) = &growth {
            println!("soak: memory grows: {growth}");
        }
        let failures = runner.totals.failures() + usize::from(growth.is_some());
        match failures {
            0 => println!("soak: all passed"),
            _ => println!("soak: {failures} failures"),
        }
        runner.conclude().max(i32::from(growth.is_some()))
    }
}
