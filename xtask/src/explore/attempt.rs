//! One run of the program that is explored, and what is wrong with how it ended.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::options::Options;
use crate::build;
use crate::identity::Identity;
use crate::outcome::Outcome;
use crate::run::{self, Prepared};
use crate::run_directory::RunDirectory;
use crate::run_options::RunOptions;
use crate::verdict::{Status, Verdict};

/// A run that something outside ended is repeated so many times.
const TRIES: usize = 3;
/// Has init ask for what the program leaves behind.
const CENSUS: &str = "kairos_census=1";
/// What the kernel's log says of objects that nobody gave back.
const LEAK: &str = "kairos-leak: ";

/// What all runs have in common.
pub(super) struct Lab {
    pub(super) options: RunOptions,
    pub(super) identity: Identity,
    /// Where the runs have their folders.
    pub(super) folder: PathBuf,
    kernel: PathBuf,
    root: PathBuf,
    check: Option<String>,
}

/// A way to fail: runs with the same words are taken for the same failure.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Failure(pub(super) String);

impl Failure {
    /// The words as the name of a folder.
    pub(super) fn folder_name(&self) -> String {
        let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
        self.0.chars().map(plain).take(40).collect::<String>().trim_matches('-').to_owned()
    }
}

/// A run that has ended.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) seed: u64,
    /// Its console, its logs, its list of decisions.
    pub(super) folder: PathBuf,
    pub(super) failure: Option<Failure>,
    pub(super) seconds: f64,
}

impl Attempt {
    /// What was decided in it, one decision a line.
    pub(super) fn decisions(&self) -> Result<Vec<String>> {
        let path = self.folder.join("decisions");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Removes its folder.
    pub(super) fn forget(self) {
        let _ = fs::remove_dir_all(self.folder);
    }
}

impl Lab {
    /// Builds the images and makes the folder.
    pub(super) fn new(options: &Options, folder: PathBuf) -> Result<Self> {
        let run = &options.run;
        let images = build::images(run.profile, run.freshness, run.kernel.as_deref())?;
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let root = folder.join(run::ROOT);
        // A seed says that the root is to be the same whenever it is made.
        let mut seeded = run.clone();
        seeded.chance.seed = Some(0);
        run::write_root(&images, &seeded, &root)?;
        let identity = Identity::of(&images.kernel, &root)?;
        let check = options.check.clone();
        Ok(Self { options: run.clone(), identity, folder, kernel: images.kernel, root, check })
    }

    /// Removes what the runs shared.
    pub(super) fn close(&self) {
        let _ = fs::remove_file(&self.root);
    }

    /// The options of the run with `seed`, or with the decisions in the file `list`.
    pub(super) fn run_options(&self, seed: u64, list: Option<PathBuf>) -> RunOptions {
        let mut options = self.options.clone();
        options.chance.seed = Some(seed);
        options.chance.decisions = list;
        options.append.push(CENSUS.to_owned());
        options
    }

    /// Runs the program in a folder called `name`, with `seed`, or with the `decisions` of a list.
    pub(super) fn attempt(&self, name: &str, seed: u64, decisions: Option<&[String]>) -> Result<Attempt> {
        for _ in 0..TRIES {
            let attempt = self.attempt_once(name, seed, decisions)?;
            if let Some(attempt) = attempt {
                return Ok(attempt);
            }
        }
        bail!("QEMU was killed from outside {TRIES} times")
    }

    /// `None` when the run says nothing about the program.
    fn attempt_once(&self, name: &str, seed: u64, decisions: Option<&[String]>) -> Result<Option<Attempt>> {
        // What an exploration that was interrupted has left there is not this run's.
        let _ = fs::remove_dir_all(self.folder.join(name));
        let directory = RunDirectory::at(self.folder.join(name))?;
        let folder = directory.path().to_owned();
        let list = decisions.map(|_| folder.join("script"));
        let root = folder.join(run::ROOT);
        match (&list, decisions) {
            (Some(list), Some(decisions)) => {
                fs::write(list, decisions.iter().map(|line| format!("{line}\n")).collect::<String>())?;
                // The list is appended to it.
                fs::copy(&self.root, &root).map(|_| ())
            }
            _ => fs::hard_link(&self.root, &root),
        }
        .with_context(|| format!("making {}", root.display()))?;
        let options = self.run_options(seed, list);
        let prepared = Prepared::of(&options, self.kernel.clone(), self.identity.clone(), directory)?;
        let started = std::time::Instant::now();
        let (outcome, verdict) = prepared.boot(&options, false)?;
        if verdict.status == Status::Infra {
            if outcome == Outcome::Interrupted {
                bail!("interrupted");
            }
            return Ok(None);
        }
        let failure = self.judge(&outcome, verdict, &folder)?;
        Ok(Some(Attempt { seed, folder, failure, seconds: started.elapsed().as_secs_f64() }))
    }

    /// What is wrong with a run, if anything is.
    fn judge(&self, outcome: &Outcome, verdict: Verdict, folder: &Path) -> Result<Option<Failure>> {
        // A seed under which no fault fired is a good one.
        let words = match outcome {
            Outcome::Panic(message) => format!("panic: {message}"),
            // Whatever the record says.
            _ if verdict.reason == "panic" => verdict.reason.to_owned(),
            Outcome::Exit(0) => match leak(folder) {
                Some(leak) => leak,
                None => return self.check(folder),
            },
            Outcome::Interrupted => verdict.reason.to_owned(),
            Outcome::Exit(status @ 129..=192) => format!("signal {}", status - 128),
            Outcome::Exit(status) => format!("exit {status}"),
            Outcome::Deadlock(_) => "deadlock".to_owned(),
            Outcome::Timeout => "hang".to_owned(),
            Outcome::QemuFailed(message) => message.clone(),
        };
        Ok(Some(Failure(words)))
    }

    /// Asks the command of `--check`.
    fn check(&self, folder: &Path) -> Result<Option<Failure>> {
        let Some(command) = &self.check else { return Ok(None) };
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(folder).stdin(Stdio::null());
        let output = shell.output().context("starting the command of --check")?;
        fs::write(folder.join("check.log"), [output.stdout, output.stderr].concat())?;
        Ok((!output.status.success()).then(|| Failure(format!("check: {}", output.status))))
    }
}

/// What the kernel says that nobody gave back.
fn leak(folder: &Path) -> Option<String> {
    let log = fs::read(folder.join("kernel.log")).ok()?;
    let log = String::from_utf8_lossy(&log);
    let leaks: Vec<&str> = log.lines().filter_map(|line| Some(line.split_once(LEAK)?.1)).collect();
    (!leaks.is_empty()).then(|| format!("leak: {}", leaks.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_a_folder() {
        let name = |words: &str| Failure(words.to_owned()).folder_name();
        assert_eq!(name("exit 1"), "exit-1");
        assert_eq!(name("panic: index ../../x out of \"range\""), "panic--index-------x-out-of--range");
        assert!(name(&"x".repeat(300)).len() <= 40);
    }
}
