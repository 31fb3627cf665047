//! Kairos's count of its own objects: a case that leaves more of them than it found leaks.

use super::Case;
use crate::sys::sleep_a_tick;
use std::collections::BTreeMap;
use std::fmt;

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
                let (before, now) = (self.0.get(*name)?, now.0.get(*name)?);
                (before < now).then(|| format!("{name}: {before} before, {now} after"))
            })
            .collect()
    }
}

/// What the machine used after each cycle of a soak.
#[derive(Default)]
pub(super) struct Memory(Vec<Used>);

/// What the machine uses at one moment.
#[derive(Clone, Copy)]
pub(super) struct Used {
    heap_bytes: i64,
    frames_free: i64,
}

impl Memory {
    /// Takes a sample, where the kernel has a census.
    pub(super) fn sample(&mut self) {
        let used = |census: Census| {
            let value = |name: &str| census.0.get(name).copied();
            // Frames in the caches of CPUs are as good as free.
            let frames_free = value("frames_free")? + value("frames_cached")?;
            Some(Used { heap_bytes: value("heap_bytes")?, frames_free })
        };
        self.0.extend(Census::take().and_then(used));
    }

    pub(super) fn last(&self) -> Option<Used> {
        self.0.last().copied()
    }

    /// How the last third of the samples is above the middle one, if it is throughout. The first third fills caches.
    pub(super) fn growth(&self) -> Option<String> {
        /// What is no growth, in bytes and in frames.
        const SLACK: (i64, i64) = (64 << 10, 64);
        let third = self.0.len() / 3;
        let (middle, last) = (&self.0[third..2 * third], &self.0[2 * third..]);
        let heap = middle.iter().map(|used| used.heap_bytes).max()?;
        let frames = middle.iter().map(|used| used.frames_free).min()?;
        let grows = last.iter().all(|used| used.heap_bytes > heap + SLACK.0)
            || last.iter().all(|used| used.frames_free < frames - SLACK.1);
        let now = self.last()?;
        grows.then(|| {
            format!("{now}; a third of the time ago at most {heap} B of heap, at least {frames} frames free")
        })
    }
}

impl fmt::Display for Used {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} B of heap, {} frames free", self.heap_bytes, self.frames_free)
    }
}
