//! `cargo xtask soak`: the guest suite for minutes or hours, in short forms, among processes that disturb, now and then
//! under faults.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::Result;

use crate::build::{self, Freshness, SUITE};
use crate::cli::{self, Arguments, Item};
use crate::run;
use crate::run_options::RunOptions;

const HELP: &str = "\
usage: cargo xtask soak [options]

Runs the suites of the guest suite in Kairos again and again: in a new order each time, with few rounds of each case,
among processes that take CPUs and give them back, and every fourth time under faults. No case begins when the time is
over. The first failure ends it; memory that grew until the end fails it. A line tells how far it is.

  --minutes M         how long (default 10)
  --seed N            the order of suites and cases, their random numbers, the faults (default 1)
  --faults SPEC       POINT or POINT:p=0.01,... (repeatable; default all:p=0.02; docs/faults.md)
  --suite NAME        of this suite only (repeatable)
  --noise N           at most so many processes that disturb (default 3, at most 16)

and of the options of run: --smp, --mem, --append, --trace, --trace-buffer, --machine, --release, --no-build, --kernel.

exit status: 0 when nothing failed, as `cargo xtask run` when something did.";

/// The options of `run` that are handed on.
const HANDED_ON: &[&str] = &[
    "--smp",
    "--mem",
    "--append",
    "--trace",
    "--trace-buffer",
    "--machine",
    "--release",
    "--no-build",
    "--kernel",
];

/// What strikes when nothing else is asked for.
const FAULTS: &str = "all:p=0.02";
/// Beyond its minutes, for the boot, and for the case that was begun before they were over.
const SLACK: Duration = Duration::from_secs(300);
/// A guest that says nothing for so long hangs.
const STALL: Duration = Duration::from_secs(240);

/// How long to soak, and in what.
struct Options {
    run: RunOptions,
    minutes: u64,
    seed: u64,
    faults: Vec<String>,
    suites: Vec<String>,
    noise: Option<u64>,
    help: bool,
}

/// `cargo xtask soak ...`: the exit status to hand on.
pub(crate) fn command(arguments: &mut Arguments) -> Result<u8> {
    let options = Options::parse(arguments)?;
    if options.help {
        println!("{HELP}");
        return Ok(0);
    }
    build::images(options.run.profile, options.run.freshness, options.run.kernel.as_deref())?;
    run::run(&options.guest()?)
}

impl Options {
    fn parse(arguments: &mut Arguments) -> Result<Self> {
        let mut options = Self {
            run: RunOptions::default(),
            minutes: 10,
            seed: 1,
            faults: Vec::new(),
            suites: Vec::new(),
            noise: None,
            help: false,
        };
        while let Some(item) = arguments.next_item()? {
            match &item {
                Item::Option(name) => options.read(name, arguments)?,
                other => return Err(cli::unexpected(other)),
            }
        }
        if options.faults.is_empty() {
            options.faults.push(FAULTS.to_owned());
        }
        Ok(options)
    }

    fn read(&mut self, name: &str, arguments: &mut Arguments) -> Result<()> {
        match name {
            "--minutes" => self.minutes = arguments.parsed(name)?,
            "--seed" => self.seed = arguments.parsed(name)?,
            "--faults" => self.faults.push(arguments.text(name)?),
            "--suite" => self.suites.push(arguments.text(name)?),
            "--noise" => self.noise = Some(arguments.parsed(name)?),
            "--help" | "-h" => self.help = true,
            _ if HANDED_ON.contains(&name) => self.run.read(name, arguments)?,
            _ => return Err(cli::unexpected(&Item::Option(name.to_owned()))),
        }
        Ok(())
    }

    /// The guest that soaks.
    fn guest(self) -> Result<RunOptions> {
        let time = Duration::from_secs(self.minutes * 60);
        let mut program = vec![SUITE.to_owned(), "--soak".to_owned(), time.as_secs().to_string()];
        let mut option = |name: &str, value: String| program.extend([name.to_owned(), value]);
        option("--seed", self.seed.to_string());
        self.faults.into_iter().for_each(|fault| option("--faults", fault));
        self.suites.into_iter().for_each(|suite| option("--suite", suite));
        self.noise.into_iter().for_each(|noise| option("--noise", noise.to_string()));
        Ok(RunOptions {
            overlays: vec![build::suite_overlay()?],
            timeout: Some(time + SLACK),
            stall: Some(STALL),
            freshness: Freshness::Reuse,
            program: program.into_iter().map(OsString::from).collect(),
            ..self.run
        })
    }
}
