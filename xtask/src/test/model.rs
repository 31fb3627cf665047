//! The model floor: loom's interleavings, shuttle's schedules, and Miri.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::TestOptions;
use super::host::{build_test_programs, from_status};
use super::libtest::{self, Line};
use super::process;
use super::tally::{Tally, Verdict};
use crate::{build, paths};

/// The crates with lock-free parts.
const CRATES: &[&str] = &["base", "executor"];
const MIRI_LIMIT: Duration = Duration::from_secs(20 * 60);

/// Runs the cases that the crates have under `cfg(loom)`.
pub(super) fn loom(options: &TestOptions, tally: &mut Tally) -> Result<()> {
    for name in CRATES {
        if !mentions_loom_model(&paths::workspace().join(name))? {
            continue;
        }
        let mut cargo = build::cargo();
        cargo
            .args(["test", "--package", name, "--release", "--target-dir"])
            .arg(paths::target().join("loom"))
            // Fat link-time optimisation takes longer than the models gain by it.
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true")
            .env("RUSTFLAGS", "--cfg loom");
        match build_test_programs(cargo)? {
            Err(verdict) => tally.record_always("loom", name, verdict),
            Ok(programs) => {
                for program in programs {
                    let scale = [("KAIROS_SCALE", options.scale.to_string())];
                    program.run("loom", options.inner_filter("loom"), &scale, tally)?;
                }
            }
        }
    }
    Ok(())
}

/// Crates with models of whole calls.
const MODELLED: &[&str] = &["fs", "ipc", "syscalls"];

/// Runs the models that the crates have under `cfg(shuttle)`: 500 schedules of each, times the scale.
pub(super) fn shuttle(options: &TestOptions, tally: &mut Tally) -> Result<()> {
    for name in MODELLED {
        let mut cargo = build::cargo();
        cargo
            .args(["test", "--package", name, "--lib", "--target-dir"])
            .arg(paths::target().join("shuttle"))
            .env("RUSTFLAGS", "--cfg shuttle");
        match build_test_programs(cargo)? {
            Err(verdict) => tally.record_always("shuttle", name, verdict),
            Ok(programs) => {
                for program in programs {
                    // One at a time: the checker cannot run the holder of a lock who belongs to another model, and
                    // counts the turns of whoever waits for it.
                    let variables =
                        [("KAIROS_SCALE", options.scale.to_string()), ("RUST_TEST_THREADS", "1".to_owned())];
                    let filter = options.inner_filter("shuttle").unwrap_or("models::");
                    program.run("shuttle", Some(filter), &variables, tally)?;
                }
            }
        }
    }
    Ok(())
}

/// Whether a source of the crate at `folder` calls `loom::model` in some form.
fn mentions_loom_model(folder: &Path) -> Result<bool> {
    for item in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = item?.path();
        let found = if path.is_dir() {
            mentions_loom_model(&path)?
        } else {
            std::fs::read_to_string(&path).is_ok_and(|text| text.contains("loom::model"))
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Runs the unit tests under Miri where a nightly toolchain has it.
pub(super) fn miri(options: &TestOptions, tally: &mut Tally) -> Result<()> {
    if !tally.wants("miri", "") && options.inner_filter("miri").is_none() {
        return Ok(());
    }
    if !has_miri() {
        tally.record_always(
            "miri",
            "toolchain",
            Verdict::Skipped("no nightly with Miri is installed".to_owned()),
        );
        return Ok(());
    }
    for name in CRATES {
        let mut cargo = Command::new("rustup");
        cargo
            .args(["run", "nightly", "cargo", "miri", "test", "--lib", "--package", name, "--target-dir"])
            .arg(paths::target().join("miri"))
            .args(options.inner_filter("miri"))
            .current_dir(paths::workspace())
            .env_remove("RUSTUP_TOOLCHAIN")
            .env_remove("CARGO")
            .env("MIRIFLAGS", "-Zmiri-disable-isolation")
            // Miri is a thousand times slower than the machine: property tests take fewer cases.
            .env("PROPTEST_CASES", "4");
        let mut failures = 0;
        let finished = process::stream(&mut cargo, MIRI_LIMIT, |line| {
            if let Line::Case(case, verdict) = libtest::read(line) {
                failures += usize::from(matches!(verdict, Verdict::Failed(_)));
                tally.record("miri", &format!("{name}::{case}"), verdict);
            }
        })?;
        if !finished.succeeded() && failures == 0 {
            tally.record_always("miri", name, from_status(&finished, 40));
        }
    }
    Ok(())
}

fn has_miri() -> bool {
    let version = Command::new("rustup")
        .args(["run", "nightly", "cargo", "miri", "--version"])
        .current_dir(paths::workspace())
        .env_remove("RUSTUP_TOOLCHAIN")
        .output();
    version.is_ok_and(|output| output.status.success())
}
