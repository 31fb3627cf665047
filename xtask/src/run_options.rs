//! The options of `cargo xtask run`, and the words that say the same again.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::build::{Freshness, KernelProfile};
use crate::chance::Chance;
use crate::cli::{self, Arguments, Item, usage};
use crate::identity::{Expected, Identity};
use crate::qemu::Board;
use crate::trace;

pub(crate) const HELP: &str = "\
usage: cargo xtask run [options] [-- PROGRAM ARGS...]

Without PROGRAM: an interactive shell on this terminal (Ctrl-] then x ends the run, n asks the
kernel for a dump, Ctrl-] sends itself). With PROGRAM: it is the only job; its output is on
stdout, its status is the exit status.

  --stdin             pass standard input to the guest's console
  --overlay DIR       lay DIR over the initramfs root (repeatable; the last one wins)
  --init PATH         start PATH instead of /init
  --smp N             CPUs (default 2; 1 with --icount)
  --mem SIZE          memory, as QEMU writes it (default 512M)
  --append \"k=v ...\"  more words for the kernel command line (repeatable)
  --env K=V           set a variable in the job's environment (repeatable)
  --timeout SECONDS   ask for a dump, then end the run with status 203
  --stall SECONDS     the same when the console has been silent for so long
  --icount            one guest nanosecond per instruction: exact and repeatable
  --seed N            whatever is random follows from N: the order of tasks, faults, random numbers,
                      addresses; with --icount and one CPU two runs are alike to the last byte
  --schedule S        how the seed orders tasks: random (the default), pct:D or rr
  --faults SPEC       make a fault point strike: NAME[:p=0.01,after=100,times=3,...] (repeatable;
                      docs/faults.md)
  --decisions FILE    take the decisions that FILE lists and no others; each run's folder has a list
  --expect DIGESTS    refuse to run another kernel, root or QEMU than these (kernel=,root=,qemu=)
  --force             run them all the same
  --strace            log every system call (to kernel.log in the run's folder)
  --trace[=LIST]      record events (ipc, wait, sched, syscall, fault; all without LIST); `cargo xtask
                      report` says what is in them, also after a panic or a hang
  --trace-buffer SIZE memory for the events, oldest overwritten (default 32M)
  --machine NAME      pc, q35 or microvm (default: pc with the quick qboot firmware)
  --release           the kernel as it is measured
  --no-build          boot what the last build left
  --kernel FILE       boot this ELF instead of building the kernel
  --quiet             say nothing but what the program says
  --dry-run           print the QEMU command line and start nothing

exit status: the program's own (128+N for signal N); 201 panic, 202 deadlock, 203 timeout,
204 QEMU failed, 205 --faults struck nothing. target/kairos/runs/latest/result.json tells them from a program's own 201-205.";

/// What to run and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunOptions {
    pub(crate) stdin: bool,
    pub(crate) overlays: Vec<PathBuf>,
    pub(crate) init: Option<String>,
    pub(crate) smp: Option<u32>,
    pub(crate) memory: String,
    pub(crate) append: Vec<String>,
    pub(crate) environment: Vec<String>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) stall: Option<Duration>,
    pub(crate) icount: bool,
    pub(crate) chance: Chance,
    pub(crate) expected: Option<Expected>,
    pub(crate) force: bool,
    pub(crate) strace: bool,
    /// The classes of events to record, between commas.
    pub(crate) trace: Option<String>,
    pub(crate) trace_buffer: Option<String>,
    pub(crate) board: Board,
    pub(crate) profile: KernelProfile,
    pub(crate) freshness: Freshness,
    pub(crate) kernel: Option<PathBuf>,
    pub(crate) quiet: bool,
    pub(crate) dry_run: bool,
    pub(crate) help: bool,
    /// Empty: an interactive shell.
    pub(crate) program: Vec<OsString>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            stdin: false,
            overlays: Vec::new(),
            init: None,
            smp: None,
            memory: "512M".to_owned(),
            append: Vec::new(),
            environment: Vec::new(),
            timeout: None,
            stall: None,
            icount: false,
            chance: Chance::default(),
            expected: None,
            force: false,
            strace: false,
            trace: None,
            trace_buffer: None,
            board: Board::default(),
            profile: KernelProfile::default(),
            freshness: Freshness::default(),
            kernel: None,
            quiet: false,
            dry_run: false,
            help: false,
            program: Vec::new(),
        }
    }
}

impl RunOptions {
    /// Reads the rest of a command line.
    pub(crate) fn parse(arguments: &mut Arguments) -> Result<Self> {
        let mut options = Self::default();
        while let Some(item) = arguments.next_item()? {
            match &item {
                Item::Option(name) => options.read(name, arguments)?,
                Item::Separator => {
                    options.program = arguments.remaining();
                    if options.program.is_empty() {
                        return Err(usage("-- needs a program behind it"));
                    }
                }
                Item::Word(word) => {
                    return Err(usage(format!("unexpected {word:?}: a program stands behind --")));
                }
            }
        }
        if options.trace_buffer.is_some() && options.trace.is_none() {
            return Err(usage("--trace-buffer needs --trace"));
        }
        Ok(options)
    }

    /// Reads the option `name`.
    pub(crate) fn read(&mut self, name: &str, arguments: &mut Arguments) -> Result<()> {
        match name {
            "--stdin" => self.stdin = true,
            // Absolute, so that the replay line works from anywhere.
            "--overlay" => self.overlays.push(std::path::absolute(arguments.value(name)?)?),
            "--init" => self.init = Some(one_word(name, arguments.text(name)?)?),
            "--smp" => self.smp = Some(cpus(arguments.parsed(name)?)?),
            "--mem" => self.memory = memory(name, arguments.text(name)?)?,
            "--append" => self.append.push(arguments.text(name)?),
            "--env" => self.environment.push(assignment(arguments.text(name)?)?),
            "--timeout" => self.timeout = Some(seconds(name, arguments.parsed(name)?)?),
            "--stall" => self.stall = Some(seconds(name, arguments.parsed(name)?)?),
            "--icount" => self.icount = true,
            "--expect" => self.expected = Some(Expected::parse(&arguments.text(name)?)?),
            "--force" => self.force = true,
            "--strace" => self.strace = true,
            "--trace" => self.trace = Some(trace::classes(arguments.attached_text(name)?.as_deref())?),
            "--trace-buffer" => self.trace_buffer = Some(memory(name, arguments.text(name)?)?),
            "--machine" => self.board = Board::named(&arguments.text(name)?)?,
            "--release" => self.profile = KernelProfile::Release,
            "--no-build" => self.freshness = Freshness::Reuse,
            "--kernel" => self.kernel = Some(std::path::absolute(arguments.value(name)?)?),
            "--quiet" => self.quiet = true,
            "--dry-run" => self.dry_run = true,
            "--help" | "-h" => self.help = true,
            _ if self.chance.read(name, arguments)? => {}
            _ => return Err(cli::unexpected(&Item::Option(name.to_owned()))),
        }
        Ok(())
    }

    /// The number of CPUs. Instruction counting runs all CPUs in turn on one thread, where a CPU
    /// that spins burns the others' instructions: one is its default.
    pub(crate) fn cpus(&self) -> u32 {
        self.smp.unwrap_or(if self.icount { 1 } else { 2 })
    }

    /// Whether the guest's console hears this process's standard input.
    pub(crate) fn has_input(&self) -> bool {
        self.stdin || self.program.is_empty()
    }

    /// The command line that repeats this run of `identity`. One that was left to chance is bound to it.
    pub(crate) fn replay_of(&self, identity: &Identity) -> Vec<OsString> {
        let mut options = self.clone();
        if options.chance.is_any() {
            options.expected = Expected::parse(&identity.short()).ok();
            options.force = false;
        }
        options.replay()
    }

    /// The command line that runs the same again, with defaults spelled out.
    pub(crate) fn replay(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["cargo".into(), "xtask".into(), "run".into()];
        let mut flag = |on: bool, name: &str| {
            if on {
                words.push(name.into());
            }
        };
        flag(self.stdin, "--stdin");
        flag(self.icount, "--icount");
        flag(self.strace, "--strace");
        flag(self.force, "--force");
        flag(self.profile == KernelProfile::Release, "--release");
        let mut option = |name: &str, value: OsString| words.extend([name.into(), value]);
        option("--smp", self.cpus().to_string().into());
        option("--mem", self.memory.clone().into());
        if let Some(name) = self.board.name() {
            option("--machine", name.into());
        }
        self.overlays.iter().for_each(|dir| option("--overlay", dir.into()));
        self.init.iter().for_each(|path| option("--init", path.into()));
        self.kernel.iter().for_each(|path| option("--kernel", path.into()));
        self.trace_buffer.iter().for_each(|size| option("--trace-buffer", size.into()));
        self.append.iter().for_each(|text| option("--append", text.into()));
        self.environment.iter().for_each(|text| option("--env", text.into()));
        self.timeout.iter().for_each(|limit| option("--timeout", limit.as_secs_f64().to_string().into()));
        self.chance.options().into_iter().for_each(|(name, value)| option(name, value));
        self.expected.iter().for_each(|expected| option("--expect", expected.text().into()));
        self.stall.iter().for_each(|limit| option("--stall", limit.as_secs_f64().to_string().into()));
        self.trace.iter().for_each(|classes| words.push(format!("--trace={classes}").into()));
        if !self.program.is_empty() {
            words.push("--".into());
            words.extend(self.program.iter().cloned());
        }
        words
    }
}

fn one_word(name: &str, text: String) -> Result<String> {
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err(usage(format!("{name}: {text:?} must be one word of the kernel command line")));
    }
    Ok(text)
}

fn cpus(count: u32) -> Result<u32> {
    if count == 0 { Err(usage("--smp: a machine needs a CPU")) } else { Ok(count) }
}

fn memory(name: &str, text: String) -> Result<String> {
    let digits = text.trim_end_matches(['k', 'K', 'm', 'M', 'g', 'G']);
    let is_size = text.len() - digits.len() <= 1 && digits.parse::<u64>().is_ok_and(|size| size > 0);
    if is_size { Ok(text) } else { Err(usage(format!("{name}: {text:?} is no size such as 512M"))) }
}

fn assignment(text: String) -> Result<String> {
    match text.split_once('=') {
        Some((name, _)) if !name.is_empty() && !text.contains('\0') => Ok(text),
        _ => Err(usage(format!("--env: {text:?} is not NAME=value"))),
    }
}

fn seconds(name: &str, value: f64) -> Result<Duration> {
    match Duration::try_from_secs_f64(value) {
        Ok(limit) if !limit.is_zero() => Ok(limit),
        _ => Err(usage(format!("{name}: {value} is no number of seconds"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<RunOptions> {
        let words: Vec<_> = words.iter().map(OsString::from).collect();
        RunOptions::parse(&mut Arguments::new(words.into_iter()))
    }

    #[test]
    fn a_replay_line_means_the_same_run() {
        let words = [
            "--stdin",
            "--overlay",
            "a",
            "--overlay=b",
            "--init=/sbin/x",
            "--smp",
            "3",
            "--mem",
            "64M",
            "--append",
            "log=debug x=y",
            "--env",
            "A=b c",
            "--timeout",
            "1.5",
            "--stall=2",
            "--icount",
            "--strace",
            "--seed=18446744073709551615",
            "--schedule",
            "pct:3",
            "--trace=ipc,wait",
            "--trace-buffer=8M",
            "--faults",
            "kmalloc:p=0.1,times=2",
            "--decisions=list",
            "--expect",
            "root=ab,qemu=7.2",
            "--force",
            "--machine",
            "q35",
            "--release",
            "--kernel",
            "k",
            "--",
            "sh",
            "-c",
            "exit 7",
        ];
        let options = parse(&words).unwrap();
        let replay: Vec<_> = options.replay().split_off(3);
        assert_eq!(RunOptions::parse(&mut Arguments::new(replay.into_iter())).unwrap(), options);
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let options = parse(&[]).unwrap();
        assert_eq!((options.cpus(), options.memory.as_str(), options.has_input()), (2, "512M", true));
        assert_eq!(parse(&["--icount"]).unwrap().cpus(), 1);
        assert!(!parse(&["--", "true"]).unwrap().has_input());
    }

    #[test]
    fn mistakes_are_errors() {
        for words in [
            &["--sm", "2"][..],
            &["--smp", "0"],
            &["--smp"],
            &["--mem", "many"],
            &["--env", "A"],
            &["--timeout", "-1"],
            &["--timeout", "nan"],
            &["--machine", "vax"],
            &["true"],
            &["--"],
            &["--init", "a b"],
            &["--seed", "-1"],
            &["--schedule", "fifo"],
            &["--faults", "a b"],
            &["--expect", "x"],
            &["--trace=everything"],
            &["--trace-buffer", "1M"],
            &["--quiet=1"],
        ] {
            let error = parse(words).expect_err(&words.join(" "));
            assert!(error.is::<cli::UsageError>(), "{words:?}");
        }
    }
}
