//! A soak: short forms of all suites for a long time, in an order that changes with each cycle, among processes that
//! disturb, now and then under faults. The first failure ends it. At the end the machine must not use more memory than
//! in the middle. It ends in time: no case begins when the time is over.

use super::memory::Memory;
use super::noise::Noise;
use super::suite::{SHORT_NS, run_short, shuffle};
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
        length: options.soak.unwrap_or_default() as i64 * SECOND,
        random: Random::new(options.seed),
        iterations: 0,
        memory: Memory::new(),
    };
    soak.run(&noise, runner);
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
    /// When it began on the monotonic clock, and how long it lasts, in nanoseconds.
    start: i64,
    length: i64,
    random: Random,
    iterations: u64,
    memory: Memory,
}

impl Soak {
    /// Cycles until the time is over.
    fn run(&mut self, noise: &Noise, runner: &mut Runner) {
        while !self.is_over() {
            let mut order: Vec<usize> = (0..self.entries.len()).collect();
            shuffle(&mut order, &mut self.random);
            for which in order {
                if self.is_over() {
                    return;
                }
                self.iterate(which, noise, runner);
                if runner.totals.failures() > 0 {
                    return;
                }
            }
        }
    }

    fn elapsed(&self) -> i64 {
        monotonic() - self.start
    }

    fn is_over(&self) -> bool {
        self.elapsed() >= self.length
    }

    fn iterate(&mut self, which: usize, noise: &Noise, runner: &mut Runner) {
        let end = (monotonic() + SHORT_NS).min(self.start + self.length);
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
        run_short(&entry.cases, seed, end, |case| runner.run_quietly(entry.suite.name, case, options));
        if struck {
            runner.faults.end();
        }
        noise.pause();
        entry.runs += 1;
        entry.runs_under_faults += u64::from(struck);
        self.iterations += 1;
        let elapsed = self.elapsed();
        self.memory.sample(elapsed, self.length);
        if self.iterations.is_multiple_of(PROGRESS_EVERY) {
            println!("soak: {}", self.state(runner));
        }
    }

    fn state(&self, runner: &Runner) -> String {
        let seconds = self.elapsed() / SECOND;
        format!("{seconds} s, {} iterations, {}{}", self.iterations, runner.totals, self.memory)
    }

    fn conclude(&self, runner: &mut Runner) -> i32 {
        for Entry { suite, runs, runs_under_faults, .. } in &self.entries {
            println!("soak: suite={} runs={runs} under_faults={runs_under_faults}", suite.name);
        }
        println!("soak: {}", self.state(runner));
        self.memory.changed_classes().iter().for_each(|line| println!("soak: heap, objects of {line}"));
        let growth = self.memory.growth();
        growth.iter().for_each(|line| println!("soak: memory grows: {line}"));
        let failures = runner.totals.failures() + growth.len();
        match failures {
            0 => println!("soak: all passed"),
            _ => println!("soak: {failures} failures"),
        }
        runner.conclude().max(i32::from(!growth.is_empty()))
    }
}
