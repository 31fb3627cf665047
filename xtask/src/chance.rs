//! What is left to chance in a run: its seed, how it orders tasks, the faults, and decisions taken from a list.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;

use crate::cli::{Arguments, usage};

/// Where the kernel finds the list of decisions that it shall take.
pub(crate) const SCRIPT: &str = "etc/kairos/decisions";

/// What is left to chance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chance {
    /// Everything random follows from it: the order of tasks, faults, random numbers, addresses.
    pub(crate) seed: Option<u64>,
    /// How the seed orders tasks, in the kernel's words.
    pub(crate) schedule: Option<String>,
    /// What faults are injected, in the kernel's words.
    pub(crate) faults: Vec<String>,
    /// The list of decisions that are taken, in place of those that follow from the seed.
    pub(crate) decisions: Option<PathBuf>,
}

impl Chance {
    /// Reads the option `name`; false when it is none of these.
    pub(crate) fn read(&mut self, name: &str, arguments: &mut Arguments) -> Result<bool> {
        match name {
            "--seed" => self.seed = Some(arguments.parsed(name)?),
            "--schedule" => self.schedule = Some(schedule(arguments.text(name)?)?),
            "--faults" => self.faults.push(fault(arguments.text(name)?)?),
            "--decisions" => self.decisions = Some(std::path::absolute(arguments.value(name)?)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether the kernel decides anything by chance, so that there is a list of it.
    pub(crate) fn is_any(&self) -> bool {
        self.seed.is_some() || self.decisions.is_some() || !self.faults.is_empty()
    }

    /// The words for the kernel's command line.
    pub(crate) fn kernel_words(&self) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(seed) = self.seed {
            words.extend(["seed", "sched_seed", "fault_seed"].map(|key| format!("{key}={seed}")));
        }
        words.extend(self.schedule.iter().map(|schedule| format!("schedule={schedule}")));
        words.extend(self.faults.iter().map(|fault| format!("fault={fault}")));
        words.extend(self.decisions.iter().map(|_| format!("decisions={SCRIPT}")));
        words
    }

    /// The options that say the same again.
    pub(crate) fn options(&self) -> Vec<(&'static str, OsString)> {
        let mut options: Vec<(&'static str, OsString)> = Vec::new();
        options.extend(self.seed.map(|seed| ("--seed", seed.to_string().into())));
        options.extend(self.schedule.iter().map(|schedule| ("--schedule", schedule.into())));
        options.extend(self.faults.iter().map(|fault| ("--faults", fault.into())));
        options.extend(self.decisions.iter().map(|path| ("--decisions", path.into())));
        options
    }
}

fn schedule(text: String) -> Result<String> {
    let is_known = match text.split_once(':') {
        Some(("pct", depth)) => depth.parse::<u32>().is_ok_and(|depth| (1..=16).contains(&depth)),
        Some(_) => false,
        None => text == "random" || text == "rr",
    };
    if is_known { Ok(text) } else { Err(usage(format!("--schedule: {text:?} is none of random, pct:D, rr"))) }
}

fn fault(text: String) -> Result<String> {
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err(usage(format!("--faults: {text:?} is not NAME or NAME:p=0.01,...")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_checked_before_the_kernel_is_started() {
        for good in ["random", "rr", "pct:1", "pct:16"] {
            assert!(schedule(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "pct", "pct:0", "pct:17", "rr:2", "Random"] {
            assert!(schedule(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_seed_is_everybody_s() {
        let chance = Chance { seed: Some(7), faults: vec!["kmalloc:p=0.1".into()], ..Chance::default() };
        assert_eq!(chance.kernel_words(), ["seed=7", "sched_seed=7", "fault_seed=7", "fault=kmalloc:p=0.1"]);
        assert!(chance.is_any() && !Chance::default().is_any());
    }
}
