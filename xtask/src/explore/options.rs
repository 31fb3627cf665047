//! The options of `cargo xtask explore`.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::cli::{self, Arguments, Item, usage};
use crate::run_options::RunOptions;

pub(super) const HELP: &str = "\
usage: cargo xtask explore [options] -- PROGRAM ARGS...

Runs PROGRAM once per seed on one CPU that counts instructions. A run fails when the program's status is not
0, when the kernel panics, when nothing can happen any more, when it takes too long, when --check says so, or
when the kernel has more objects afterwards than before. For each way to fail: a line that repeats it, with
the fewest decisions (preemptions, overtakings, faults) that still make it fail.

  --seeds A..B        the seeds, both ends among them (default 1..100)
  --partition K/N     only the Kth of N equal parts of the seeds
  --jobs N            runs at a time (default: the number of this machine's CPUs)
  --schedule S        how a seed orders tasks: random (the default), pct:D or rr
  --faults SPEC       inject faults: POINT or POINT:p=0.01,... (repeatable; docs/faults.md)
  --check CMD         a shell command that is run in the folder of each run (console.log, result.json, ...);
                      a status other than 0 is a failure
  --first             stop at the first failure
  --no-shrink         do not look for the fewest decisions
  --out DIR           where results.json, junit.xml and what belongs to each failure go
                      (default: target/kairos/explore/TIME)
  --timeout SECONDS   a run that takes longer hangs (default 60)

and of the options of run: --overlay, --env, --append, --init, --mem, --machine, --release, --no-build,
--kernel.

exit status: 0 when no run failed, 1 when one did.";

/// The options of `run` that explore hands on.
const HANDED_ON: &[&str] = &[
    "--schedule",
    "--faults",
    "--timeout",
    "--overlay",
    "--env",
    "--append",
    "--init",
    "--mem",
    "--machine",
    "--release",
    "--no-build",
    "--kernel",
];

/// A run that takes longer hangs.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What to explore and how.
#[derive(Debug)]
pub(super) struct Options {
    /// Of every run; each gets its own seed.
    pub(super) run: RunOptions,
    seeds: RangeInclusive<u64>,
    /// Which part of how many, from 0.
    part: (u64, u64),
    pub(super) jobs: usize,
    pub(super) check: Option<String>,
    pub(super) stops_at_first: bool,
    pub(super) shrinks: bool,
    pub(super) out: Option<PathBuf>,
    pub(super) help: bool,
}

impl Options {
    /// Reads the rest of a command line.
    pub(super) fn parse(arguments: &mut Arguments) -> Result<Self> {
        let mut options = Self {
            run: RunOptions { icount: true, timeout: Some(TIMEOUT), ..RunOptions::default() },
            seeds: 1..=100,
            part: (0, 1),
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            check: None,
            stops_at_first: false,
            shrinks: true,
            out: None,
            help: false,
        };
        while let Some(item) = arguments.next_item()? {
            match &item {
                Item::Option(name) => options.read(name, arguments)?,
                Item::Separator => options.run.program = arguments.remaining(),
                Item::Word(_) => return Err(cli::unexpected(&item)),
            }
        }
        if options.run.program.is_empty() && !options.help {
            return Err(usage("explore needs a program behind --"));
        }
        Ok(options)
    }

    fn read(&mut self, name: &str, arguments: &mut Arguments) -> Result<()> {
        match name {
            "--seeds" => self.seeds = seeds(&arguments.text(name)?)?,
            "--partition" => self.part = part(&arguments.text(name)?)?,
            "--jobs" => self.jobs = arguments.parsed::<usize>(name)?.max(1),
            "--check" => self.check = Some(arguments.text(name)?),
            "--first" => self.stops_at_first = true,
            "--no-shrink" => self.shrinks = false,
            "--out" => self.out = Some(std::path::absolute(arguments.value(name)?)?),
            "--help" | "-h" => self.help = true,
            _ if HANDED_ON.contains(&name) => self.run.read(name, arguments)?,
            _ => return Err(cli::unexpected(&Item::Option(name.to_owned()))),
        }
        Ok(())
    }

    /// The seeds of this part, in order.
    pub(super) fn seeds(&self) -> Vec<u64> {
        let (part, parts) = self.part;
        self.seeds.clone().skip(part as usize).step_by(parts as usize).collect()
    }
}

/// `A..B` or a single seed.
fn seeds(text: &str) -> Result<RangeInclusive<u64>> {
    let wrong = || usage(format!("--seeds: {text:?} is not A..B"));
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let number = |digits: &str| digits.parse::<u64>().map_err(|_| wrong());
    let range = number(first)?..=number(last)?;
    if range.is_empty() { Err(wrong()) } else { Ok(range) }
}

/// `K/N`, K from 1.
fn part(text: &str) -> Result<(u64, u64)> {
    let numbers = text.split_once('/').and_then(|(part, parts)| {
        Some((part.parse::<u64>().ok()?.checked_sub(1)?, parts.parse::<u64>().ok()?))
    });
    numbers
        .filter(|(part, parts)| part < parts)
        .ok_or_else(|| usage(format!("--partition: {text:?} is not K/N with K from 1 to N")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options> {
        let words: Vec<_> = words.iter().map(std::ffi::OsString::from).collect();
        Options::parse(&mut Arguments::new(words.into_iter()))
    }

    #[test]
    fn the_parts_are_all_seeds_once() {
        let part = |k: usize| {
            let partition = format!("{k}/3");
            parse(&["--seeds", "5..14", "--partition", &partition, "--", "true"]).unwrap().seeds()
        };
        assert_eq!((part(1), part(2), part(3)), (vec![5, 8, 11, 14], vec![6, 9, 12], vec![7, 10, 13]));
        assert_eq!(parse(&["--seeds=7", "--", "true"]).unwrap().seeds(), [7]);
    }

    #[test]
    fn mistakes_are_errors() {
        for words in [
            &[][..],
            &["true"],
            &["--seeds", "9..1", "--", "true"],
            &["--seeds", "x", "--", "true"],
            &["--partition", "0/2", "--", "true"],
            &["--partition", "3/2", "--", "true"],
            &["--seed", "1", "--", "true"],
            &["--stdin", "--", "true"],
        ] {
            assert!(parse(words).expect_err(&words.join(" ")).is::<cli::UsageError>());
        }
        assert!(parse(&["--help"]).unwrap().help);
    }
}
