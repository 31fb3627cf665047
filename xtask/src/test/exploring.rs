//! `explore` finds every planted bug, replays it, makes it small, and finds nothing in the program without the bug.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::TestOptions;
use super::guest_suite::kairos_run;
use super::process;
use super::tally::{Tally, Verdict};
use crate::{build, paths};

const STEP: &str = "explore";
/// Seeds among which a planted bug has to be found.
const SEEDS: &str = "1..200";
/// Most decisions that it may take.
const ENOUGH: u64 = 5;
/// Seeds of a fixed twin, at scale 1 and at most.
const FIXED: (u32, u32) = (5, 200);
/// Replays of a failure, at scale 1 and at most.
const REPLAYS: (u32, u32) = (2, 10);
/// One run; and an exploration.
const LIMITS: (Duration, Duration) = (Duration::from_secs(180), Duration::from_secs(600));
const PROGRAM: &str = "planted";

/// Everything, as far as the filter says.
pub(super) fn all(options: &TestOptions, tally: &mut Tally) -> Result<()> {
    record(tally, "another-root-is-refused", || another_root(options));
    for name in planted()? {
        record(tally, &format!("{name}-broken"), || broken(options, &name));
        record(tally, &format!("{name}-fixed"), || fixed(options, &name));
    }
    Ok(())
}

fn record(tally: &mut Tally, case: &str, check: impl FnOnce() -> Result<()>) {
    if tally.wants(STEP, case) {
        let verdict =
            check().map_or_else(|error| Verdict::Failed(format!("{error:#}")), |()| Verdict::Passed);
        tally.record(STEP, case, verdict);
    }
}

/// The names of the planted programs.
fn planted() -> Result<Vec<String>> {
    let output = Command::new(build::guest_program(PROGRAM)).arg("--list").output()?;
    ensure!(output.status.success(), "{PROGRAM} --list: {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// A replay does not run on another root by accident.
fn another_root(options: &TestOptions) -> Result<()> {
    let mut refused = kairos_run(options)?;
    refused.args(["--seed", "1", "--expect", "root=0123456789ab", "--", "true"]);
    let refused = process::capture(&mut refused, b"", LIMITS.0)?;
    ensure!(refused.finished.stderr.contains("--force"), "it was not refused: {}", refused.finished.stderr);
    let mut forced = kairos_run(options)?;
    forced.args(["--seed", "1", "--force", "--expect", "root=0123456789ab", "--", "true"]);
    let forced = process::capture(&mut forced, b"", LIMITS.0)?;
    ensure!(forced.finished.succeeded(), "{}", forced.finished.stderr);
    Ok(())
}

/// A folder that holds the planted programs.
fn programs() -> Result<PathBuf> {
    let root = paths::kairos().join("overlays/planted");
    fs::create_dir_all(root.join("bin"))?;
    fs::copy(build::guest_program(PROGRAM), root.join("bin").join(PROGRAM))
        .context("copying the programs")?;
    Ok(root)
}

/// Explores one of the twins; what it found.
fn explore(name: &str, twin: &str, seeds: &str, more: &[&str]) -> Result<Value> {
    let out = paths::kairos().join("explore").join(format!("test-{name}-{twin}"));
    let _ = fs::remove_dir_all(&out);
    let mut command = Command::new(std::env::current_exe().context("finding xtask itself")?);
    command.current_dir(paths::workspace()).args(["explore", "--no-build", "--seeds", seeds]).args(more);
    command.arg("--overlay").arg(programs()?).arg("--out").arg(&out);
    let captured = process::capture(command.args(["--", PROGRAM, name, twin]), b"", LIMITS.1)?;
    let results = fs::read(out.join("results.json"))
        .with_context(|| format!("explore left no results: {}", captured.finished.stderr))?;
    Ok(serde_json::from_slice(&results)?)
}

/// The bug is found, small, and there each time it is replayed.
fn broken(options: &TestOptions, name: &str) -> Result<()> {
    let results = explore(name, "broken", SEEDS, &["--first"])?;
    let finding = &results["findings"][0];
    let what = finding["failure"].as_str().with_context(|| format!("no seed of {SEEDS} found it"))?;
    let enough = finding["decisions_enough"]
        .as_u64()
        .with_context(|| format!("{what} is not replayed by its list"))?;
    ensure!(enough <= ENOUGH, "{what} takes {enough} decisions");
    let line = finding["replay"].as_str().context("no line that replays it")?;
    let replays = (REPLAYS.0 * options.scale).min(REPLAYS.1);
    for _ in 0..replays {
        replay(line, what)?;
    }
    Ok(())
}

/// Runs a replay line as a person would, without building again; it must fail as the finding says.
fn replay(line: &str, what: &str) -> Result<()> {
    let words = line.strip_prefix("cargo xtask run").context("the line does not start as it should")?;
    let mut shell = Command::new("sh");
    shell.current_dir(paths::workspace());
    shell.args(["-c", &format!("\"$XTASK\" run --no-build {words}")]);
    shell.env("XTASK", std::env::current_exe().context("finding xtask itself")?);
    let captured = process::capture(&mut shell, b"", LIMITS.0)?;
    let found = ending(&paths::runs().join("latest/result.json"))?;
    ensure!(found == what, "replayed, it ends with {found}, not {what}\n{}", captured.finished.stderr);
    Ok(())
}

/// How a run ended, in explore's words.
fn ending(result: &Path) -> Result<String> {
    let result: Value = serde_json::from_slice(&fs::read(result)?)?;
    Ok(match (result["kind"].as_str(), result["status"].as_u64()) {
        (Some("exit"), Some(status)) => format!("exit {status}"),
        (kind, _) => kind.unwrap_or("nothing").to_owned(),
    })
}

fn fixed(options: &TestOptions, name: &str) -> Result<()> {
    let seeds = (FIXED.0 * options.scale).min(FIXED.1);
    let results = explore(name, "fixed", &format!("1..{seeds}"), &[])?;
    let findings = results["findings"].as_array().context("no findings")?;
    ensure!(findings.is_empty(), "found what is not there: {findings:#?}");
    Ok(())
}
