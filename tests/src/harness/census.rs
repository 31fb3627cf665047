//! Kairos's count of its own objects: a case that leaves more of them than it found leaks.

use super::Case;
use std::collections::BTreeMap;

const FILE: &str = "/proc/kairos/census";
const SCHEMA: &str = "schema=kairos_census_v1";

/// Lines that must not be larger after a case than before it.
const STRICT: &[&str] = &["tasks", "processes", "open_files", "wait_nodes", "timers", "charges"];

/// The numbers of one reading; None where the kernel has no census.
pub(super) struct Census(BTreeMap<String, i64>);

impl Census {
    /// Lets the kernel finish what it does in the background, then reads.
    pub(super) fn take() -> Option<Census> {
        std::fs::write(FILE, "settle").ok()?;
        let text = std::fs::read_to_string(FILE).ok()?;
        let mut lines = text.lines();
        if lines.next() != Some(SCHEMA) {
            return None;
        }
        let pair = |line: &str| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.trim().parse().ok()?))
        };
        Some(Census(lines.filter_map(pair).collect()))
    }

    /// What grew although it should not have, one line each. What shrank was left by somebody before.
    pub(super) fn differences(&self, after: &Census, case: &Case) -> Vec<String> {
        let strict = STRICT.iter().filter(|name| !case.may_change.contains(name));
        strict
            .filter_map(|name| {
                let (before, after) = (self.0.get(*name)?, after.0.get(*name)?);
                (after > before).then(|| format!("{name}: {before} before, {after} after"))
            })
            .collect()
    }
}
