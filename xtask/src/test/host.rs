//! The host floor: lints, unit tests, documentation examples.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::TestOptions;
use super::libtest::{self, Line};
use super::process::{self, Finished};
use super::tally::{Tally, Verdict, print};
use crate::build;

/// The crates that build for the host and have tests.
const HOST_CRATES: &[&str] = &["base", "executor", "ipc", "fs", "syscalls", "xtask"];
/// Those with a library, whose documentation may hold examples.
const LIBRARIES: &[&str] = &["base", "executor", "ipc", "fs", "syscalls"];

/// A build or a test program that takes longer is stuck.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// Case name and arguments of cargo.
const LINTS: &[(&str, &[&str])] = &[
    ("format", &["fmt", "--all", "--", "--check", "--files-with-diff"]),
    (
        "host",
        &[
            "clippy",
            "--workspace",
            "--exclude",
            "kernel",
            "--exclude",
            "tests",
            "--all-targets",
            "--",
            "-Dwarnings",
        ],
    ),
    ("kernel", &["clippy", "--package", "kernel", "--target", "x86_64-unknown-none", "--", "-Dwarnings"]),
    ("guest", &["clippy", "--package", "tests", "--target", "x86_64-unknown-linux-gnu", "--", "-Dwarnings"]),
];

pub(super) fn lints(_: &TestOptions, tally: &mut Tally) -> Result<()> {
    for (case, arguments) in LINTS {
        if tally.wants("lint", case) {
            let mut output = String::new();
            let finished = process::stream(build::cargo().args(*arguments), LIMIT, |line| {
                output += line;
                output.push('\n');
            })?;
            let verdict = match from_status(&finished, 60) {
                Verdict::Failed(text) => Verdict::Failed(text + &output),
                other => other,
            };
            tally.record("lint", case, verdict);
        }
    }
    Ok(())
}

/// Passed if the program ended well; otherwise the last `lines` of its stderr.
pub(super) fn from_status(finished: &Finished, lines: usize) -> Verdict {
    if finished.succeeded() {
        return Verdict::Passed;
    }
    Verdict::Failed(format!("{}\n{}", finished.describe(), process::tail(&finished.stderr, lines)))
}

pub(super) fn unit_tests(options: &TestOptions, tally: &mut Tally) -> Result<()> {
    let mut crates = build::cargo();
    crates.arg("test").args(HOST_CRATES.iter().flat_map(|name| ["--package", name]));
    // Of the guest programs' crate, only the test that builds parts of the kernel is one of the host.
    let mut kernel_parts = build::cargo();
    kernel_parts.args(["test", "--package", "tests", "--test", "kernel_parts"]);
    for cargo in [crates, kernel_parts] {
        let programs = match build_test_programs(cargo)? {
            Ok(programs) => programs,
            Err(verdict) => {
                tally.record_always("unit", "build", verdict);
                return Ok(());
            }
        };
        for program in programs {
            program.run("unit", options.inner_filter("unit"), &[], tally)?;
        }
    }
    Ok(())
}

/// A compiled test program of one crate.
pub(super) struct TestProgram {
    executable: PathBuf,
    package: PathBuf,
    /// `crate` for a library's own tests, `crate/target` for others.
    name: String,
}

/// Builds the test programs that `cargo` (a `cargo test` without `--no-run`) would run; the inner
/// error is a build that failed.
pub(super) fn build_test_programs(mut cargo: Command) -> Result<Result<Vec<TestProgram>, Verdict>> {
    cargo.args(["--no-run", "--message-format", "json-render-diagnostics"]);
    let mut programs = Vec::new();
    let finished = process::stream(&mut cargo, LIMIT, |line| programs.extend(test_program(line)))?;
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(if finished.succeeded() { Ok(programs) } else { Err(from_status(&finished, 80)) })
}

/// The test program that a message of cargo announces, if it announces one.
fn test_program(message: &str) -> Option<TestProgram> {
    let message: Value = serde_json::from_str(message).ok()?;
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
        return None;
    }
    let executable = message["executable"].as_str()?.into();
    let package = Path::new(message["manifest_path"].as_str()?).parent()?.to_path_buf();
    let (crate_name, target) =
        (package.file_name()?.to_str()?.to_owned(), message["target"]["name"].as_str()?);
    let name = if target == crate_name { crate_name } else { format!("{crate_name}/{target}") };
    Some(TestProgram { executable, package, name })
}

impl TestProgram {
    /// Where it is.
    pub(super) fn executable(&self) -> &Path {
        &self.executable
    }

    /// Its crate, with the target's name behind it for others than a library's own tests.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Runs the program and records each of its cases as `CRATE::CASE`.
    pub(super) fn run(
        &self,
        step: &str,
        filter: Option<&str>,
        variables: &[(&str, String)],
        tally: &mut Tally,
    ) -> Result<()> {
        // A filter with the crate's name in front is meant for all of its cases, or for one.
        let own = |filter: &str| {
            filter.strip_prefix(&self.name).map(|rest| rest.trim_start_matches(':').to_owned())
        };
        let inner = filter.map(|filter| own(filter).unwrap_or_else(|| filter.to_owned()));
        let mut command = Command::new(&self.executable);
        command.current_dir(&self.package).env("CARGO_MANIFEST_DIR", &self.package);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.args(inner.filter(|filter| !filter.is_empty()));
        self.report(step, &mut command, tally)
    }

    fn report(&self, step: &str, command: &mut Command, tally: &mut Tally) -> Result<()> {
        let mut failures = 0;
        let mut in_details = false;
        let finished = process::stream(command, LIMIT, |line| match libtest::read(line) {
            Line::Case(case, verdict) => {
                failures += usize::from(matches!(verdict, Verdict::Failed(_)));
                tally.record(step, &format!("{}::{case}", self.name), verdict);
            }
            _ if line.starts_with("---- ") => {
                in_details = true;
                print(&format!("    {line}"));
            }
            _ if line == "failures:" || line.starts_with("test result:") => in_details = false,
            _ if in_details => print(&format!("    {line}")),
            _ => {}
        })?;
        // A program that dies takes the verdicts of the cases it was running with it.
        if !finished.succeeded() && failures == 0 {
            tally.record_always(step, &format!("{}::whole_program", self.name), from_status(&finished, 40));
        }
        Ok(())
    }
}

pub(super) fn doc_tests(options: &TestOptions, tally: &mut Tally) -> Result<()> {
    for library in LIBRARIES {
        if !has_examples(&crate::paths::workspace().join(library).join("src"))? {
            continue;
        }
        let mut cargo = build::cargo();
        cargo.args(["test", "--doc", "--package", library]).args(options.inner_filter("doc"));
        let mut failures = 0;
        let finished = process::stream(&mut cargo, LIMIT, |line| {
            if let Line::Case(case, verdict) = libtest::read(line) {
                failures += usize::from(matches!(verdict, Verdict::Failed(_)));
                tally.record("doc", case, verdict);
            }
        })?;
        if !finished.succeeded() && failures == 0 {
            tally.record_always("doc", library, from_status(&finished, 40));
        }
    }
    Ok(())
}

/// Whether a source below `folder` has a fenced block in its documentation: running rustdoc to
/// find out that there is none takes longer than all unit tests.
fn has_examples(folder: &Path) -> Result<bool> {
    for item in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = item?.path();
        let found = if path.is_dir() {
            has_examples(&path)?
        } else {
            std::fs::read_to_string(&path).is_ok_and(|text| {
                text.lines().any(|line| {
                    ["//! ```", "/// ```"].iter().any(|fence| line.trim_start().starts_with(fence))
                })
            })
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}
