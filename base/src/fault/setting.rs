//! What is asked of a point: `p=0.01,after=100,times=3,pid=7,task=4f2c...,marked`.
//!
//! | word | meaning | without it |
//! |---|---|---|
//! | `p=F` | probability of each hit, 0 to 1, up to nine decimals | 1 |
//! | `after=N` | the first N hits of each task pass | 0 |
//! | `times=N` | it fires N times in each task, at most | no limit |
//! | `pid=N` | only threads of process N | every process but the first |
//! | `task=HEX` | only the task with this stable key | every task of those processes |
//! | `marked` | only tasks whose `make-it-fail` is set | marked or not |
//! | `off` | nothing is asked | |

use core::fmt;

use super::decision::CERTAIN;
use crate::current::TaskLocal;
use crate::{Errno, Result};

/// The first process, whose end is the machine's.
const INIT: u32 = 1;

/// What is asked of one point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Probability of each hit, in parts per billion.
    pub probability: u32,
    /// Hits of each task that pass first.
    pub after: u64,
    /// Most times that it fires in one task.
    pub times: u64,
    /// The only process that it concerns.
    pub pid: Option<u32>,
    /// The only task that it concerns, by its stable key.
    pub task: Option<u64>,
    /// It concerns only tasks that are marked.
    pub marked: bool,
}

impl Setting {
    /// Every hit, of every process but the first.
    pub const ALWAYS: Setting =
        Setting { probability: CERTAIN, after: 0, times: u64::MAX, pid: None, task: None, marked: false };

    /// The setting that `text` describes; `None` for `off`.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a word that is none of the above; `ERANGE` for a number that is too
    /// large.
    pub fn parse(text: &str) -> Result<Option<Setting>> {
        let text = text.trim();
        if text == "off" {
            return Ok(None);
        }
        let mut setting = Setting::ALWAYS;
        for word in text.split(',') {
            match word.split_once('=') {
                Some(("p", value)) => setting.probability = probability(value)?,
                Some(("after", value)) => setting.after = number(value, 10)?,
                Some(("times", value)) => setting.times = number(value, 10)?,
                Some(("pid", value)) => {
                    let pid = u32::try_from(number(value, 10)?).map_err(|_| Errno::ERANGE)?;
                    setting.pid = Some(pid);
                }
                Some(("task", value)) => setting.task = Some(number(value, 16)?),
                None if word == "marked" => setting.marked = true,
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(Some(setting))
    }

    /// True when it concerns `task`.
    pub(super) fn concerns(&self, task: &TaskLocal) -> bool {
        let pid = task.pid();
        let named = match (self.pid, self.task) {
            (Some(only), _) => pid == only,
            (None, Some(_)) => true,
            (None, None) => pid > INIT,
        };
        named
            && self.task.is_none_or(|only| only == task.key())
            && (!self.marked || task.faults().is_marked())
    }

    /// False when no hit can ever fire.
    pub(super) fn can_fire(&self) -> bool {
        self.probability > 0 && self.times > 0
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, decimals) = (self.probability / CERTAIN, self.probability % CERTAIN);
        write!(f, "p={whole}.{decimals:09}")?;
        if self.after > 0 {
            write!(f, ",after={}", self.after)?;
        }
        if self.times < u64::MAX {
            write!(f, ",times={}", self.times)?;
        }
        if let Some(pid) = self.pid {
            write!(f, ",pid={pid}")?;
        }
        if let Some(task) = self.task {
            write!(f, ",task={task:x}")?;
        }
        if self.marked { write!(f, ",marked") } else { Ok(()) }
    }
}

/// A number without a sign.
fn number(text: &str, radix: u32) -> Result<u64> {
    if text.is_empty() || !text.chars().all(|digit| digit.is_digit(radix)) {
        return Err(Errno::EINVAL);
    }
    u64::from_str_radix(text, radix).map_err(|_| Errno::ERANGE)
}

/// `0`, `1`, or a fraction of up to nine decimals, in parts per billion.
fn probability(text: &str) -> Result<u32> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    if decimals.len() > 9 {
        return Err(Errno::EINVAL);
    }
    let scale = 10u64.pow(9 - decimals.len() as u32);
    let whole = number(whole, 10)?.checked_mul(CERTAIN.into()).ok_or(Errno::ERANGE)?;
    let parts = whole.checked_add(number(decimals, 10)? * scale).ok_or(Errno::ERANGE)?;
    u32::try_from(parts).ok().filter(|parts| *parts <= CERTAIN).ok_or(Errno::ERANGE)
}
