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
usage: cargo xtask bench [GROUP...]

Measures operations in Kairos and in Debian's Linux, both in QEMU on one CPU: as instructions (exact)
and as nanoseconds (disturbed by whatever else the machine does). GROUP is a group or an operation.";

/// The guest program that measures.
const PROGRAM: &str = "bench";
/// Longer than any run takes on a busy machine.
const LIMIT_SECONDS: &str = "900";

/// What one run measured: cost by group and operation.
type Costs = BTreeMap<String, u64>;

/// What is booted and how it counts.
struct Column {
    title: &'static str,
    on_linux: bool,
    in_time: bool,
}

const COLUMNS: [Column; 4] = [
    Column { title: "Kairos", on_linux: false, in_time: false },
    Column { title: "Linux", on_linux: true, in_time: false },
    Column { title: "Kairos", on_linux: false, in_time: true },
    Column { title: "Linux", on_linux: true, in_time: true },
];

/// `cargo xtask bench ...`.
pub(crate) fn command(arguments: &mut Arguments) -> Result<u8> {
    let mut groups = Vec::new();
    while let Some(item) = arguments.next_item()? {
        match item {
            Item::Word(word) => groups.push(word),
            Item::Option(name) if name == "--help" || name == "-h" => {
                println!("{HELP}");
                return Ok(0);
            }
            other => return Err(cli::unexpected(&other)),
        }
    }
    setup::ensure(&[Need::Run])?;
    build::images(KernelProfile::Release, Freshness::Build, None)?;
    let overlay = overlay()?;
    let referee = Referee::get()?;
    let mut order = Vec::new();
    let mut table = Vec::new();
    for column in &COLUMNS {
        setup::progress(&format!("measuring {}", column.describe()));
        let costs = measure(column, &overlay, &referee, &groups, &mut order)
            .with_context(|| format!("measuring {}", column.describe()))?;
        table.push(costs);
    }
    print(&order, &table);
    Ok(0)
}

impl Column {
    fn describe(&self) -> String {
        format!("{} in {}", self.title, if self.in_time { "nanoseconds" } else { "instructions" })
    }
}

fn overlay() -> Result<PathBuf> {
    let root = paths::kairos().join("overlays/bench");
    std::fs::create_dir_all(root.join("bin"))?;
    std::fs::copy(build::guest_program(PROGRAM), root.join("bin").join(PROGRAM))
        .context("copying the bench")?;
    Ok(root)
}

/// Runs the program once; `order` collects the operations as they come.
fn measure(
    column: &Column,
    overlay: &Path,
    referee: &Referee,
    groups: &[OsString],
    order: &mut Vec<String>,
) -> Result<Costs> {
    let mut command = Command::new(std::env::current_exe().context("finding xtask itself")?);
    command
        .args(["run", "--no-build", "--release", "--smp", "1", "--timeout", LIMIT_SECONDS, "--overlay"])
        .arg(overlay);
    if column.on_linux {
        command.args(referee.run_options());
    }
    if !column.in_time {
        command.arg("--icount");
    }
    // A leader that lingers lets Linux send what it has not sent yet.
    command.args(["--", "sh", "-c", "\"$@\"; status=$?; sleep 1; exit $status", "sh", PROGRAM]);
    if column.in_time {
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

fn print(order: &[String], table: &[Costs]) {
    println!("{:34} {:>22} {:>7} {:>24} {:>7}", "", "instructions", "", "nanoseconds", "");
    println!(
        "{:34} {:>11} {:>10} {:>7} {:>13} {:>10} {:>7}",
        "operation", COLUMNS[0].title, COLUMNS[1].title, "ratio", COLUMNS[2].title, COLUMNS[3].title, "ratio"
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
