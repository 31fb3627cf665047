//! The folder of a run under `target/kairos/runs/`: console, kernel log, manifest and result.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::identity::Identity;
use crate::outcome::{FaultRecord, Outcome};
use crate::paths;
use crate::qemu::{self, Machine};
use crate::run_options::RunOptions;
use crate::verdict::Verdict;

/// So many folders are kept; making a new one removes the oldest beyond that.
const KEPT_RUNS: usize = 200;

/// The folder of one run.
pub(crate) struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// The folder `path`, which is made if it is missing.
    pub(crate) fn at(path: PathBuf) -> Result<Self> {
        fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self { path })
    }

    /// Makes a new folder and points `runs/latest` at it.
    pub(crate) fn create() -> Result<Self> {
        let runs = paths::runs();
        fs::create_dir_all(&runs).with_context(|| format!("creating {}", runs.display()))?;
        remove_oldest(&runs);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
        // Milliseconds sort by age, the process id keeps runs of one moment apart.
        let id = format!("{:013}-{}", now.as_millis(), std::process::id());
        let path = runs.join(&id);
        fs::create_dir(&path).with_context(|| format!("creating {}", path.display()))?;
        point_latest_at(&runs, &id)?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in the folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes `manifest.json`: what the run is made of and the line that repeats it.
    pub(crate) fn write_manifest(
        &self,
        options: &RunOptions,
        machine: &Machine,
        identity: &Identity,
        qemu_line: &str,
    ) -> Result<()> {
        let manifest = json!({
            "schema": "kairos_manifest_v1",
            "replay": qemu::shell_line(&options.replay_of(identity)),
            "seed": options.chance.seed,
            "directory": paths::workspace(),
            "qemu": qemu::version()?,
            "qemu_line": qemu_line,
            "kernel_command_line": machine.append,
            "kernel": { "path": machine.kernel, "sha256": identity.kernel },
            "initramfs": { "path": machine.initrd, "sha256": identity.root },
        });
        self.write_json("manifest.json", &manifest)
    }

    /// Writes `result.json`.
    pub(crate) fn write_result(
        &self,
        outcome: &Outcome,
        took: Duration,
        qemu: Option<ExitStatus>,
        faults: FaultRecord,
        verdict: Verdict,
    ) -> Result<()> {
        let mut result = outcome.to_json(took, qemu);
        result["verdict"] = verdict.to_json();
        result["fault_seed"] = json!(faults.seed);
        result["faults_fired"] = json!(faults.fired);
        self.write_json("result.json", &result)
    }

    /// Removes the initramfs: it is large, and the manifest says how to make it again.
    pub(crate) fn drop_images(&self) {
        let _ = fs::remove_file(self.file("initramfs.cpio"));
    }

    fn write_json(&self, name: &str, value: &Value) -> Result<()> {
        let path = self.file(name);
        let text = serde_json::to_string_pretty(value)? + "\n";
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }
}

fn point_latest_at(runs: &Path, id: &str) -> Result<()> {
    // A link is replaced in one step by renaming another over it: runs may start side by side.
    let fresh = runs.join(format!(".latest-{}", std::process::id()));
    let _ = fs::remove_file(&fresh);
    symlink(id, &fresh)
        .and_then(|()| fs::rename(&fresh, runs.join("latest")))
        .context("pointing runs/latest at the run")
}

fn remove_oldest(runs: &Path) {
    let Ok(items) = fs::read_dir(runs) else { return };
    let mut folders: Vec<_> = items
        .flatten()
        .filter(|item| item.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|item| item.path())
        .collect();
    folders.sort();
    for old in folders.iter().rev().skip(KEPT_RUNS) {
        let _ = fs::remove_dir_all(old);
    }
}
