//! The guest suite: first on this machine's Linux, which says what is right, then in Kairos.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::TestOptions;
use super::libtest::{self, Line};
use super::process::{self, Finished};
use super::tally::{Tally, Verdict, print};
use crate::build::{self, Freshness, KernelProfile, SUITE};
use crate::paths;
use crate::referee::Referee;

/// A case has 60 seconds in the guest, some have twice as many. A console that is silent for this long is a
/// hang below the suite.
const STALL_SECONDS: u64 = 150;
/// The whole suite at scale 1, with all restarts.
const LIMIT: Duration = Duration::from_secs(12 * 60);
/// After a panic or a hang the suite is started again behind the case that caused it, so many times.
const RESTARTS: usize = 8;
/// What a guest has beyond its own timeout, to say what it was doing and to end.
const LAST_WORDS: Duration = Duration::from_secs(60);

/// Builds what the floor runs, so that no later step builds.
pub(super) fn build(_: &TestOptions, tally: &mut Tally) -> Result<()> {
    build::images(KernelProfile::Checked, Freshness::Build, None)?;
    tally.record("build", "images", Verdict::Passed);
    Ok(())
}

pub(super) fn on_linux(options: &TestOptions, tally: &mut Tally) -> Result<()> {
    if list(options, "linux")?.is_empty() {
        return Ok(());
    }
    let mut command = Command::new(build::guest_program(SUITE));
    command.args(["--scale", &options.scale.to_string()]).args(options.inner_filter("linux"));
    let mut reader = SuiteReader::default();
    let finished =
        process::stream(&mut command, LIMIT * options.scale, |line| reader.read("linux", line, tally))?;
    reader.conclude("linux", &finished, tally);
    Ok(())
}

/// The names of the selected cases, in order.
fn list(options: &TestOptions, step: &str) -> Result<Vec<String>> {
    Ok(list_with_marks(options, step)?.into_iter().map(|(name, _)| name).collect())
}

/// The names of the selected cases with their marks, in order.
fn list_with_marks(options: &TestOptions, step: &str) -> Result<Vec<(String, String)>> {
    let mut command = Command::new(build::guest_program(SUITE));
    command.arg("--list").args(options.inner_filter(step));
    let output = command.output().context("listing the guest suite")?;
    ensure!(output.status.success(), "{SUITE} --list: {}", output.status);
    let split = |line: &str| match line.split_once(' ') {
        Some((name, marks)) => (name.to_owned(), marks.to_owned()),
        None => (line.to_owned(), String::new()),
    };
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(split).collect())
}

/// Under Debian's kernel in QEMU, the cases that this machine's Linux must not be given: they strain or change the
/// machine. A filter that names the step runs all that it selects.
pub(super) fn on_linux_in_qemu(options: &TestOptions, tally: &mut Tally) -> Result<()> {
    const STEP: &str = "linux-vm";
    let mut cases = list_with_marks(options, STEP)?;
    if !options.filter.as_ref().is_some_and(|filter| filter.starts_with(STEP)) {
        cases.retain(|(_, marks)| marks.contains("vm"));
    }
    if cases.is_empty() {
        return Ok(());
    }
    let referee = match Referee::get() {
        Ok(referee) => referee,
        Err(error) => {
            tally.record(STEP, "kernel", Verdict::Skipped(format!("no Debian kernel: {error:#}")));
            return Ok(());
        }
    };
    let mut arguments = referee.run_options();
    // The suite's word for a machine that it may strain.
    arguments.extend(["--smp", "2", "--env", "KAIROS_GUEST=1"].map(OsString::from));
    let cases = cases.into_iter().map(|(name, _)| name).collect();
    in_guest(options, tally, STEP, cases, &arguments, &LINGER)
}

pub(super) fn in_kairos(options: &TestOptions, tally: &mut Tally, cpus: u32) -> Result<()> {
    let step = format!("kairos-smp{cpus}");
    let mut cases = VecDeque::new();
    let not_yet = NotYet::read()?;
    for name in list(options, &step)? {
        match not_yet.reason(&name, cpus) {
            Some(reason) => tally.record(&step, &name, Verdict::Skipped(format!("not yet: {reason}"))),
            None => cases.push_back(name),
        }
    }
    in_guest(options, tally, &step, cases, &["--smp".into(), cpus.to_string().into()], &[])
}

/// The cases that Kairos does not pass yet, each with its reason: `tests/not-yet.txt`.
struct NotYet(String);

impl NotYet {
    fn read() -> Result<NotYet> {
        let path = paths::workspace().join("tests/not-yet.txt");
        std::fs::read_to_string(&path).map(NotYet).with_context(|| format!("reading {}", path.display()))
    }

    /// Why `case` is left out with this many CPUs. A line is a name, which may end in `*`, perhaps `@2` for two
    /// CPUs alone, and the reason.
    fn reason(&self, case: &str, cpus: u32) -> Option<&str> {
        self.0.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
            let (pattern, rest) = line.trim().split_once(' ')?;
            let (only, reason) = match rest.trim().strip_prefix("@2 ") {
                Some(reason) => (Some(2), reason),
                None => (None, rest),
            };
            let matches = match pattern.strip_suffix('*') {
                Some(prefix) => case.starts_with(prefix),
                None => case == pattern,
            };
            (matches && only.is_none_or(|only| only == cpus)).then_some(reason.trim())
        })
    }
}

/// Linux hangs a serial terminal up when the leader of its session ends, and throws away what it has
/// not sent yet: a leader that lingers lets it send.
const LINGER: [&str; 4] = ["sh", "-c", "\"$@\"; status=$?; sleep 1; exit $status", "sh"];

/// Runs the cases in `remaining` as the job of a guest that `arguments` of `run` describe, with the words of `wrapper`
/// before the suite.
fn in_guest(
    options: &TestOptions,
    tally: &mut Tally,
    step: &str,
    mut remaining: VecDeque<String>,
    arguments: &[OsString],
    wrapper: &[&str],
) -> Result<()> {
    let overlay = build::suite_overlay()?;
    let end = Instant::now() + LIMIT * options.scale;
    for _ in 0..=RESTARTS {
        let time = end.saturating_duration_since(Instant::now());
        if remaining.is_empty() {
            return Ok(());
        }
        if time.is_zero() {
            break;
        }
        let mut command = guest_run()?;
        command.args(arguments).args(["--stall", &STALL_SECONDS.to_string(), "--overlay"]).arg(&overlay);
        command.args(["--timeout", &time.as_secs().max(1).to_string()]);
        command.arg("--").args(wrapper).args([SUITE, "--scale", &options.scale.to_string()]);
        command.arg("--exact").args(&remaining);
        let mut reader = SuiteReader::default();
        let finished =
            process::stream(&mut command, time + LAST_WORDS, |line| reader.read(step, line, tally))?;
        reader.conclude(step, &finished, tally);
        remaining.retain(|name| !reader.seen.contains(name));
        if reader.seen.is_empty() {
            break;
        }
    }
    if !remaining.is_empty() {
        let names = remaining.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        let text = format!("{} cases were never reached: {names} ...", remaining.len());
        tally.record_always(step, "remaining", Verdict::Failed(text));
    }
    Ok(())
}

/// A command that boots what [`build`] made.
fn guest_run() -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("finding xtask itself")?);
    command.args(["run", "--no-build"]).current_dir(paths::workspace());
    Ok(command)
}

/// A command that boots Kairos, or what `options` put into its place.
pub(super) fn kairos_run(options: &TestOptions) -> Result<Command> {
    let mut command = guest_run()?;
    if options.on_linux {
        command.args(Referee::get()?.run_options());
    }
    Ok(command)
}

/// Follows the suite's output.
#[derive(Default)]
struct SuiteReader {
    /// The cases that got a verdict, and the one that was running at the end.
    seen: Vec<String>,
    /// The case that is running.
    open: Option<String>,
    failures: usize,
    /// Whether indented lines belong to a failed case.
    in_details: bool,
    totals: Option<String>,
}

impl SuiteReader {
    fn read(&mut self, step: &str, line: &str, tally: &mut Tally) {
        match libtest::read(line) {
            Line::Case(case, verdict) => {
                self.open = None;
                self.in_details = matches!(verdict, Verdict::Failed(_));
                self.failures += usize::from(self.in_details);
                self.seen.push(case.to_owned());
                tally.record(step, case, verdict);
            }
            Line::Open(case) => self.open = Some(case.to_owned()),
            Line::Other if line.contains(" passed, ") => self.totals = Some(line.to_owned()),
            Line::Other if self.in_details && line.starts_with("    ") => print(line),
            Line::Other if line.starts_with("    note: ") => print(line),
            Line::Other => {}
        }
    }

    /// Records what the end of the suite's program says beyond its lines.
    fn conclude(&mut self, step: &str, finished: &Finished, tally: &mut Tally) {
        let ended_well = self.totals.is_some() && finished.status.and_then(|status| status.code()).is_some();
        if ended_well && (finished.succeeded() || self.failures > 0) {
            return;
        }
        let text = format!(
            "the suite ended early: {}\n{}",
            finished.describe(),
            process::tail(&finished.stderr, 60)
        );
        let case = self.open.take();
        self.seen.extend(case.clone());
        tally.record_always(step, case.as_deref().unwrap_or("whole_suite"), Verdict::Failed(text));
    }
}
