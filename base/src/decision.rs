//! What a run decided against the default: the list that repeats it, or a part of it.
//!
//! Two things are decided by a seed: where a fault is injected ([`fault`](crate::fault)), and in which order tasks
//! run (the executor's order policy). Each decision is named by the stable key of its task and by a count of that
//! task alone, so that it means the same whatever the others do. Whoever decides says so with [`record`], which
//! gives the list of a run. A run that was given such a list with [`replay`] decides what it says and nothing
//! else: a shorter list is the same run with fewer surprises.
//!
//! A list is text, one decision a line; empty lines and lines that begin with `#` are skipped:
//!
//! ```text
//! preempt 4f2c9a77d01e3b52 17 1250     the task's slice 17 ended after 1250 ns
//! behind 4f2c9a77d01e3b52 18 1         before its slice 18 it stood in line behind 1 other only
//! fault 4f2c9a77d01e3b52 2 kmalloc     its hit 2 of this fault point fired
//! ```

use alloc::collections::BTreeMap;
use core::fmt;
use core::str::FromStr;

use crate::fault::Point;
use crate::sync::Once;
use crate::{Errno, Result};

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Preempt,
    Behind,
    Fault(u8),
}

/// One decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A slice ends early.
    Preempt {
        /// Stable key of the task.
        key: u64,
        /// Which of its slices, from 0.
        nth: u64,
        /// Length of the slice in nanoseconds.
        after: u64,
    },
    /// A task that becomes ready overtakes others.
    Behind {
        /// Stable key of the task.
        key: u64,
        /// Which of its slices it stands in line for, from 0.
        nth: u64,
        /// How many of those that wait stay before it.
        others: u64,
    },
    /// A fault is injected.
    Fault {
        /// Stable key of the task.
        key: u64,
        /// Which of its hits of this point, from 1.
        nth: u64,
        /// The point.
        point: Point,
    },
}

impl Decision {
    fn entry(self) -> ((What, u64, u64), u64) {
        match self {
            Decision::Preempt { key, nth, after } => ((What::Preempt, key, nth), after),
            Decision::Behind { key, nth, others } => ((What::Behind, key, nth), others),
            Decision::Fault { key, nth, point } => ((What::Fault(point as u8), key, nth), 0),
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Decision::Preempt { key, nth, after } => write!(formatter, "preempt {key:016x} {nth} {after}"),
            Decision::Behind { key, nth, others } => write!(formatter, "behind {key:016x} {nth} {others}"),
            Decision::Fault { key, nth, point } => {
                write!(formatter, "fault {key:016x} {nth} {}", point.name())
            }
        }
    }
}

impl FromStr for Decision {
    type Err = Errno;

    /// Reads one line; `EINVAL` when it is none.
    fn from_str(line: &str) -> Result<Decision> {
        let mut words = line.split_ascii_whitespace();
        let mut word = || words.next().ok_or(Errno::EINVAL);
        let (what, key, nth, value) = (word()?, word()?, word()?, word()?);
        let key = u64::from_str_radix(key, 16).map_err(|_| Errno::EINVAL)?;
        let nth = nth.parse().map_err(|_| Errno::EINVAL)?;
        let number = || value.parse().map_err(|_| Errno::EINVAL);
        let decision = match what {
            "preempt" => Decision::Preempt { key, nth, after: number()? },
            "behind" => Decision::Behind { key, nth, others: number()? },
            "fault" => Decision::Fault { key, nth, point: Point::from_name(value).ok_or(Errno::EINVAL)? },
            _ => return Err(Errno::EINVAL),
        };
        if words.next().is_some() { Err(Errno::EINVAL) } else { Ok(decision) }
    }
}

/// The decisions of a run that is repeated.
#[derive(Debug, Default)]
pub struct Script(BTreeMap<(What, u64, u64), u64>);

impl Script {
    /// Reads a list.
    ///
    /// # Errors
    ///
    /// The number of the first line, from 1, that is no decision.
    pub fn parse(text: &str) -> core::result::Result<Script, usize> {
        let mut script = Script::default();
        for (line, number) in text.lines().map(str::trim).zip(1usize..) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let decision: Decision = line.parse().map_err(|_| number)?;
            script.0.extend([decision.entry()]);
        }
        Ok(script)
    }

    /// How long slice `nth` of the task with this key lasts, in nanoseconds; `None` for the default.
    #[must_use]
    pub fn preempt(&self, key: u64, nth: u64) -> Option<u64> {
        self.0.get(&(What::Preempt, key, nth)).copied()
    }

    /// Behind how many others the task with this key stands in line for slice `nth`; `None` for all.
    #[must_use]
    pub fn behind(&self, key: u64, nth: u64) -> Option<u64> {
        self.0.get(&(What::Behind, key, nth)).copied()
    }

    /// Whether hit `nth` of `point` fires in the task with this key.
    #[must_use]
    pub fn fault(&self, key: u64, nth: u64, point: Point) -> bool {
        self.0.contains_key(&(What::Fault(point as u8), key, nth))
    }

    /// Number of decisions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when everything goes by default.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

static SCRIPT: Once<Script> = Once::new();
static RECORDER: Once<fn(&Decision)> = Once::new();

/// From now on `script` decides, in place of the seeds. The first call wins; returns what decides.
pub fn replay(script: Script) -> &'static Script {
    SCRIPT.call_once(|| script)
}

/// What decides in place of the seeds, if anything does.
#[inline]
#[must_use]
pub fn script() -> Option<&'static Script> {
    SCRIPT.get()
}

/// Says where decisions are written down. The recorder is called under locks of any class, so the only lock that
/// it may take is the log's. The first call wins.
pub fn set_recorder(recorder: fn(&Decision)) {
    RECORDER.call_once(|| recorder);
}

/// Writes a decision down that took effect.
pub fn record(decision: Decision) {
    if let Some(recorder) = RECORDER.get() {
        recorder(&decision);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_what_was_decided() {
        let decisions = [
            Decision::Preempt { key: 0xab, nth: 17, after: 1250 },
            Decision::Behind { key: u64::MAX, nth: 0, others: 3 },
            Decision::Fault { key: 1, nth: 2, point: Point::Kmalloc },
        ];
        let text: String = decisions.iter().map(|decision| format!("{decision}\n")).collect();
        assert_eq!(
            text,
            "preempt 00000000000000ab 17 1250\nbehind ffffffffffffffff 0 3\nfault 0000000000000001 2 kmalloc\n"
        );
        let script = Script::parse(&format!("# why\n\n{text}")).expect("a list");
        assert_eq!((script.preempt(0xab, 17), script.preempt(0xab, 16)), (Some(1250), None));
        assert_eq!((script.behind(u64::MAX, 0), script.behind(0xab, 17)), (Some(3), None));
        assert!(script.fault(1, 2, Point::Kmalloc) && !script.fault(1, 1, Point::Kmalloc));
        assert_eq!(script.len(), decisions.len());
    }

    #[test]
    fn a_line_that_is_no_decision_is_named() {
        for line in
            ["preempt", "preempt x 1 2", "preempt 1 1", "behind 1 2 3 4", "fault 1 2 nowhere", "a 1 2 3"]
        {
            assert_eq!(Script::parse(&format!("behind 1 2 3\n{line}\n")).err(), Some(2), "{line}");
        }
        assert!(Script::parse("").expect("nothing").is_empty());
    }
}
