//! Kairos's count of its own objects: a case that leaves more of them than it found leaks.

use super::Case;
use crate::sys::sleep_a_tick;
use std::collections::BTreeMap;

const FILE: &str = "/proc/kairos/census";
const SCHEMA: &str = "schema=kairos_census_v1";

/// Lines that must not have grown after a case.
const WATCHED: &[&str] = &[
    "tasks",
    "processes",
    "open_files",
    "objects",
    "lineage_nodes",
    "queued_messages",
    "wait_nodes",
    "timers",
    "charges",
];

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

    /// The number of a line.
    pub(super) fn value(&self, name: &str) -> Option<i64> {
        self.0.get(name).copied()
    }

    /// What is more now than it was, one line each. Services of the kernel may take their time (the collector of
    /// sockets pauses for sixteen times what its last pass took), so growth has to last.
    pub(super) fn growth(&self, case: &Case) -> Vec<String> {
        const LOOKS: usize = 250;
        let mut growth = Vec::new();
        for _ in 0..LOOKS {
            let Some(now) = Census::take() else { return Vec::new() };
            growth = self.growth_until(&now, case);
            if growth.is_empty() {
                break;
            }
            sleep_a_tick();
        }
        growth
    }

    fn growth_until(&self, now: &Census, case: &Case) -> Vec<String> {
        let watched = WATCHED.iter().filter(|name| !case.may_change.contains(name));
        watched
            .filter_map(|name| {
                let (before, now) = (self.value(name)?, now.value(name)?);
                (before < now).then(|| format!("{name}: {before} before, {now} after"))
            })
            .collect()
    }
}
