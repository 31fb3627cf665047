//! Fault injection: named places at which an operation can be made to fail, to wait, or to do less.
//!
//! | module | subject |
//! |---|---|
//! | [`point`] | the table of points |
//! | [`setting`] | what is asked of a point: probability, and whom it concerns |
//! | `decision` | whether a hit fires, as a pure function |
//! | [`task`] | what each task counts, and its `fail-nth` |
//! | [`user_copy`] | copies from and to a program |
//!
//! A point is one line at the place itself, and does what the operation's own contract allows:
//!
//! ```ignore
//! fault::check(Point::Kmalloc)?;                      // the error that the table names
//! if fault::fires(Point::PollwaitWake) { ... }        // anything else
//! ```
//!
//! Until somebody asks for faults that is one instruction without effect ([`points`]). While faults are asked for, the
//! hit is counted for the current task, and whether it fires is a function of the seed, the point, the task's stable key
//! and the number of the hit in that task: it does not depend on what other tasks do.
//!
//! The kernel's own tasks and the first process are spared unless they are named: what is under test is how
//! programs fare, and a machine whose first process dies tests nothing. What a thread does without having been
//! asked by its program (the end of a thread, a page that it touches, a signal's frame) is under [`spare`]: nobody
//! could be told of an error there.

mod decision;
pub mod point;
pub mod setting;
pub mod task;
pub mod user_copy;

use crate::current::{self, TaskLocal};
use crate::decision::{Decision, record, script};
use crate::errno::{Errno, Result};
use crate::points;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{LockClass, SpinLock};

pub use point::Point;
pub use setting::Setting;
pub use task::TaskFaults;

/// How many points and tasks ask for faults. 0 is "off": the one word that every point that is live looks at.
static ASKING: AtomicUsize = AtomicUsize::new(0);

static SEED: AtomicU64 = AtomicU64::new(0);

/// What is known of one point.
struct State {
    /// With the number of times that it was set.
    setting: SpinLock<(Option<Setting>, u32)>,
    hits: AtomicU64,
    fails: AtomicU64,
}

static STATES: [State; Point::COUNT] = [const {
    State {
        setting: SpinLock::new(LockClass::Fault, (None, 0)),
        hits: AtomicU64::new(0),
        fails: AtomicU64::new(0),
    }
}; Point::COUNT];

/// How often a point was passed by a task that it concerns, and how often it fired, since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Passed while it could have fired.
    pub hits: u64,
    /// Fired.
    pub fails: u64,
}

/// True when an interruptible wait of the current task is to end before it begins.
#[inline]
#[must_use]
pub fn cuts_wait_short() -> bool {
    if !is_on() {
        return false;
    }
    let to_the_end = fires(Point::SyscallEintr);
    if to_the_end {
        current::with(|task| task.faults().set_cut_short(true));
    }
    to_the_end || fires(Point::PollwaitBlock)
}

/// True when [`Point::SyscallEintr`] ended a wait of the call that the current task ends now.
#[inline]
#[must_use]
pub fn was_cut_short() -> bool {
    is_on() && current::with(|task| task.faults().set_cut_short(false)).unwrap_or(false)
}

/// While it lives, no point fires in the task that made it.
#[derive(Debug)]
#[must_use = "the task is spared only while this lives"]
pub struct Spared(());

/// Spares the current task. It may be held across an `await`.
pub fn spare() -> Spared {
    current::with(|task| task.faults().enter_spared());
    Spared(())
}

impl Drop for Spared {
    fn drop(&mut self) {
        current::with(|task| task.faults().leave_spared());
    }
}

/// Sets the points that `text` names: `NAME:SETTING`, or `NAME` alone for "always"; `all` names every point.
///
/// # Errors
///
/// `ENOENT` for a name that is no point's; else as [`Setting::parse`]. Nothing has changed then.
pub fn configure(text: &str) -> Result<()> {
    let (name, setting) = match text.split_once(':') {
        Some((name, setting)) => (name, Setting::parse(setting)?),
        None => (text, Some(Setting::ALWAYS)),
    };
    if name == "all" {
        Point::ALL.iter().for_each(|point| point.set(setting));
    } else {
        Point::from_name(name).ok_or(Errno::ENOENT)?.set(setting);
    }
    Ok(())
}

/// How often any point fired since boot.
#[must_use]
pub fn total_fired() -> u64 {
    Point::ALL.iter().map(|point| point.counts().fails).sum()
}

/// True while somebody asks for faults.
#[inline]
#[must_use]
pub fn is_on() -> bool {
    points::are_live::<{ points::FAULT }>() && ASKING.load(Ordering::Relaxed) != 0
}

/// True when the operation at `point` has to go wrong now.
#[inline]
#[must_use]
pub fn fires(point: Point) -> bool {
    is_on() && current::with(|task| hit(point, task)).unwrap_or(false)
}

/// As [`fires`], for a point whose outcome is an error.
///
/// # Errors
///
/// That of the table, when the point fires.
#[inline]
pub fn check(point: Point) -> Result<()> {
    match point.error() {
        Some(error) if fires(point) => Err(error),
        _ => Ok(()),
    }
}

#[cold]
fn hit(point: Point, task: &TaskLocal) -> bool {
    let state = point.state();
    let faults = task.faults();
    if faults.is_spared() {
        return false;
    }
    if point.is_failure() && faults.is_counting() {
        state.hits.fetch_add(1, Ordering::Relaxed);
        // It takes precedence over the settings, as on Linux.
        return faults.count_down() && strike(point, 0);
    }
    let (setting, epoch) = *state.setting.lock();
    let Some(setting) = setting.filter(|setting| setting.concerns(task)) else { return false };
    state.hits.fetch_add(1, Ordering::Relaxed);
    let hit = faults.count_hit(point, epoch);
    if hit.number <= setting.after || hit.fired >= setting.times {
        return false;
    }
    let (key, nth) = (task.key(), hit.number);
    let fires = match script() {
        Some(script) => script.fault(key, nth, point),
        None => decision::fires(seed(), point, key, nth, setting.probability),
    };
    if !fires {
        return false;
    }
    record(Decision::Fault { key, nth, point });
    faults.count_fired(point);
    strike(point, hit.fired + 1)
}

/// It fires: for the `nth` time in its task, or 0 when that one's `fail-nth` has come.
fn strike(point: Point, nth: u64) -> bool {
    point.state().fails.fetch_add(1, Ordering::Relaxed);
    #[cfg(not(loom))]
    crate::trace::event(crate::trace::EventKind::Fault, || (0, [point as u64, nth, 0]));
    true
}

/// The seed of all decisions.
#[must_use]
pub fn seed() -> u64 {
    SEED.load(Ordering::Relaxed)
}

/// Sets the seed.
pub fn set_seed(seed: u64) {
    SEED.store(seed, Ordering::Relaxed);
}

impl Point {
    fn state(self) -> &'static State {
        &STATES[self as usize]
    }

    /// Asks for faults at this point, or with `None` for no more. The hits of each task are counted from now on.
    pub fn set(self, setting: Option<Setting>) {
        let setting = setting.filter(Setting::can_fire);
        let old = {
            let mut state = self.state().setting.lock();
            state.1 = state.1.wrapping_add(1);
            core::mem::replace(&mut state.0, setting)
        };
        match (old, setting) {
            (None, Some(_)) => asks(),
            (Some(_), None) => asks_no_more(),
            _ => {}
        }
    }

    /// What is asked of this point.
    #[must_use]
    pub fn setting(self) -> Option<Setting> {
        self.state().setting.lock().0
    }

    /// How often it was passed and fired.
    #[must_use]
    pub fn counts(self) -> Counts {
        let state = self.state();
        let (hits, fails) = (&state.hits, &state.fails);
        Counts { hits: hits.load(Ordering::Relaxed), fails: fails.load(Ordering::Relaxed) }
    }
}

/// One more point or task asks for faults.
fn asks() {
    ASKING.fetch_add(1, Ordering::Relaxed);
    points::go_live(points::Key::Fault);
}

/// One less does.
fn asks_no_more() {
    ASKING.fetch_sub(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests;
