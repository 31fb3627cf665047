//! `cargo xtask bench`: what operations cost in Kairos, next to the same program on Linux.
//!
//! Instructions come from runs under `-icount`, where they are exact; times from runs without it, on
//! the same machine one after the other, where only the ratio says much.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::build::{self, Freshness, KernelProfile};
use crate::cli::{self, Arguments, Item};
use crate::paths;
use crate::referee::Referee;
use crate::setup::{self, Need};

const HELP: &str = "\
usage: cargo xtask bench [--points] [GROUP...]

Measures operations in Kairos and in Debian's Linux, both in QEMU on one CPU: as instructions (exact)
and as nanoseconds (disturbed by whatever else the machine does). GROUP is a group or an operation.

  --points  as instructions in Kairos with everything off, and in a Kairos that is built without
            trace points and fault points: what they cost while they are off";

/// The guest program that measures.
const PROGRAM: &str = "bench";
/// Longer than any run takes on a busy machine.
const LIMIT_SECONDS: &str = "900";

/// What one run measured: cost by group and operation.
type Costs = BTreeMap<String, u64>;

/// What is booted and how it counts.
struct Column {
    title: &'static str,
    boots: Boots,
    in_time: bool,
    /// Events that are recorded from the start are not, either.
    is_quiet: bool,
}

enum Boots {
    Kairos,
    Linux(Referee),
    /// A kernel of ours that was built in another way.
    Kernel(PathBuf),
}

/// `cargo xtask bench ...`.
pub(crate) fn command(arguments: &mut Arguments) -> Result<u8> {
    let (mut groups, mut points) = (Vec::new(), false);
    while let Some(item) = arguments.next_item()? {
        match item {
            Item::Word(word) => groups.push(word),
            Item::Option(name) if name == "--points" => points = true,
            Item::Option(name) if name == "--help" || name == "-h" => {
                println!("{HELP}");
                return Ok(0);
            }
            other => return Err(cli::unexpected(&other)),
        }
    }
    setup::ensure(&[Need::Run])?;
    let columns = if points { points_columns()? } else { platform_columns()? };
    build::images(KernelProfile::Release, Freshness::Build, None)?;
    let overlay = overlay()?;
    let mut order = Vec::new();
    let mut table = Vec::new();
    for column in &columns {
        setup::progress(&format!("measuring {}", column.describe()));
        let costs = column
            .measure(&overlay, &groups, &mut order)
            .with_context(|| format!("measuring {}", column.describe()))?;
        table.push(costs);
    }
    if points {
        print_points(&order, &table);
    } else {
        print_platforms(&order, &table);
    }
    Ok(0)
}

/// Kairos and Linux, each in instructions and in time.
fn platform_columns() -> Result<Vec<Column>> {
    let linux = || Ok::<_, anyhow::Error>(Boots::Linux(Referee::get()?));
    Ok(vec![
        Column { title: "Kairos", boots: Boots::Kairos, in_time: false, is_quiet: false },
        Column { title: "Linux", boots: linux()?, in_time: false, is_quiet: false },
        Column { title: "Kairos", boots: Boots::Kairos, in_time: true, is_quiet: false },
        Column { title: "Linux", boots: linux()?, in_time: true, is_quiet: false },
    ])
}

/// Kairos as it is, and without its points.
fn points_columns() -> Result<Vec<Column>> {
    let without = Boots::Kernel(build::kernel_without_points()?);
    Ok(vec![
        Column { title: "Kairos", boots: Boots::Kairos, in_time: false, is_quiet: true },
        Column { title: "Kairos without points", boots: without, in_time: false, is_quiet: true },
    ])
}

fn overlay() -> Result<PathBuf> {
    let root = paths::kairos().join("overlays/bench");
    std::fs::create_dir_all(root.join("bin"))?;
    std::fs::copy(build::guest_program(PROGRAM), root.join("bin").join(PROGRAM))
        .context("copying the bench")?;
    Ok(root)
}

impl Column {
    fn describe(&self) -> String {
        format!("{} in {}", self.title, if self.in_time { "nanoseconds" } else { "instructions" })
    }

    /// Runs the program once; `order` collects the operations as they come.
    fn measure(&self, overlay: &Path, groups: &[OsString], order: &mut Vec<String>) -> Result<Costs> {
        let mut command = Command::new(std::env::current_exe().context("finding xtask itself")?);
        command
            .args(["run", "--no-build", "--release", "--smp", "1", "--timeout", LIMIT_SECONDS, "--overlay"])
            .arg(overlay);
        match &self.boots {
            Boots::Kairos => {}
            Boots::Linux(referee) => drop(command.args(referee.run_options())),
            Boots::Kernel(kernel) => drop(command.arg("--kernel").arg(kernel)),
        }
        if !self.in_time {
            command.arg("--icount");
        }
        if self.is_quiet {
            command.args(["--append", "trace=none"]);
        }
        // A leader that lingers lets Linux send what it has not sent yet.
        command.args(["--", "sh", "-c", "\"$@\"; status=$?; sleep 1; exit $status", "sh", PROGRAM]);
        if self.in_time {
            command.arg("--time");
        }
        let output = command.args(groups).stderr(Stdio::inherit()).output().context("starting a run")?;
        if !output.status.success() {
            bail!("the run ended with {}", output.status);
        }
        let mut costs = Costs::new();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let Some((name, cost)) = line.trim().rsplit_once(' ') else { continue };
            let Ok(cost) = cost.parse() else { continue };
            if !order.iter().any(|known| known == name) {
                order.push(name.to_owned());
            }
            costs.insert(name.to_owned(), cost);
        }
        Ok(costs)
    }
}

fn print_points(order: &[String], table: &[Costs]) {
    println!("{:34} {:>12} {:>15} {:>11}", "operation", "with points", "without points", "difference");
    for name in order {
        let cost = |column: usize| table.get(column).and_then(|costs| costs.get(name)).copied();
        let (Some(with), Some(without)) = (cost(0), cost(1)) else { continue };
        println!("{name:34} {with:>12} {without:>15} {:>+11}", i128::from(with) - i128::from(without));
    }
}

fn print_platforms(order: &[String], table: &[Costs]) {
    println!("{:34} {:>22} {:>7} {:>24} {:>7}", "", "instructions", "", "nanoseconds", "");
    println!(
        "{:34} {:>11} {:>10} {:>7} {:>13} {:>10} {:>7}",
        "operation", "Kairos", "Linux", "ratio", "Kairos", "Linux", "ratio"
    );
    for name in order {
        let cell = |column: usize| table.get(column).and_then(|costs| costs.get(name)).copied();
        let text = |column| cell(column).map_or("-".to_owned(), |cost| cost.to_string());
        let ratio = |ours, theirs| match (cell(ours), cell(theirs)) {
            (Some(ours), Some(theirs)) if theirs > 0 => format!("{:.2}", ours as f64 / theirs as f64),
            _ => "-".to_owned(),
        };
        println!(
            "{name:34} {:>11} {:>10} {:>7} {:>13} {:>10} {:>7}",
            text(0),
            text(1),
            ratio(0, 1),
            text(2),
            text(3),
            ratio(2, 3)
        );
    }
}
