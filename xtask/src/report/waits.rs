//! Waits and wakes: how many of each, and how long tasks waited for what.

use std::collections::BTreeMap;

use base::trace::{Event, EventKind, Vocabulary};
use serde_json::{Map, Value, json};

use super::count::percentile;
use super::load::Trace;

/// Flag of a block with a deadline, and of a wake of one.
const WITH_DEADLINE: u32 = 1;
const WAKE_ONE: u32 = 1 << 31;
/// Number of the reason "timeout".
const TIMEOUT: u32 = 5;
/// So many objects are printed.
const TOP: usize = 20;

/// What there is to say about waits.
pub(crate) struct Waits {
    blocks: usize,
    with_deadline: usize,
    wakes: usize,
    wake_one: usize,
    timeouts: usize,
    /// Nanoseconds of every finished wait by what it was for, sorted.
    times: BTreeMap<String, Vec<u64>>,
}

/// A wait that has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// The task that waited.
    pub(crate) task: u64,
    /// For what: kind and object.
    pub(crate) object: String,
    /// From when until when, nanoseconds.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Why it ended.
    pub(crate) reason: &'static str,
}

/// Every wait whose beginning and end are in the trace, by their ends.
pub(crate) fn finished(trace: &Trace) -> Vec<Wait> {
    let mut open: BTreeMap<u64, &Event> = BTreeMap::new();
    let mut waits = Vec::new();
    for event in &trace.events {
        match EventKind::from_number(event.kind) {
            Some(EventKind::WaitBlock) => drop(open.insert(event.by.task, event)),
            Some(EventKind::WaitEnd) => {
                let Some(block) = open.remove(&event.by.task) else { continue };
                waits.push(Wait {
                    task: event.by.task,
                    object: object_name(trace, event.arguments[2] as u32, event.arguments[0]),
                    start: block.time,
                    end: event.time,
                    reason: base::trace::channel::Wake::name_of(event.flags),
                });
            }
            _ => {}
        }
    }
    waits
}

/// What is waited for, in words.
pub(crate) fn object_name(trace: &Trace, kind: u32, object: u64) -> String {
    let kind = trace.word(Vocabulary::WaitKind, kind);
    if object == 0 { kind } else { format!("{kind} {object}") }
}

impl Waits {
    pub(crate) fn of(trace: &Trace) -> Waits {
        let count = |kind: EventKind, wanted: fn(&Event) -> bool| {
            trace.events.iter().filter(|event| event.kind == kind as u16 && wanted(event)).count()
        };
        let mut times: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for wait in finished(trace) {
            times.entry(wait.object).or_default().push(wait.end - wait.start);
        }
        times.values_mut().for_each(|times| times.sort_unstable());
        Waits {
            blocks: count(EventKind::WaitBlock, |_| true),
            with_deadline: count(EventKind::WaitBlock, |event| event.flags & WITH_DEADLINE != 0),
            wakes: count(EventKind::WaitWake, |_| true),
            wake_one: count(EventKind::WaitWake, |event| event.flags & WAKE_ONE != 0),
            timeouts: count(EventKind::WaitEnd, |event| event.flags == TIMEOUT),
            times,
        }
    }

    /// Adds the keys to a report.
    pub(crate) fn add_to(&self, report: &mut Map<String, Value>) {
        let without_deadline = self.blocks - self.with_deadline;
        let block = json!({
            "count": self.blocks, "with_deadline": self.with_deadline, "without_deadline": without_deadline,
        });
        let wake_all = self.wakes - self.wake_one;
        let wake = json!({ "count": self.wakes, "wake_one": self.wake_one, "wake_all": wake_all });
        let times: Map<_, _> =
            self.times.iter().map(|(object, times)| (object.clone(), summary(times))).collect();
        report.insert("wait_block".to_owned(), block);
        report.insert("wait_wake".to_owned(), wake);
        report.insert("wait_timeouts".to_owned(), json!(self.timeouts));
        report.insert("wait_ns_by_object".to_owned(), Value::Object(times));
    }

    pub(crate) fn print(&self) {
        if self.blocks + self.wakes == 0 {
            return;
        }
        let (block, one) = (self.with_deadline, self.wake_one);
        println!(
            "wait_block: count={} with_deadline={block} without_deadline={}",
            self.blocks,
            self.blocks - block
        );
        println!("wait_wake:  count={} wake_one={one} wake_all={}", self.wakes, self.wakes - one);
        println!("timeouts: {}", self.timeouts);
        if self.times.is_empty() {
            return;
        }
        println!("{:24} {:>8} {:>12} {:>12} {:>12}", "waited for", "times", "p50 us", "p99 us", "max us");
        let mut objects: Vec<_> = self.times.iter().collect();
        objects.sort_by_key(|(object, times)| (std::cmp::Reverse(times.len()), *object));
        for (object, times) in objects.into_iter().take(TOP) {
            let [p50, p99, max] = [500, 990, 1000].map(|rank| percentile(times, rank) as f64 / 1000.0);
            println!("{object:24} {:>8} {p50:>12.1} {p99:>12.1} {max:>12.1}", times.len());
        }
    }
}

fn summary(times: &[u64]) -> Value {
    json!({
        "count": times.len(),
        "p50": percentile(times, 500),
        "p99": percentile(times, 990),
        "max": percentile(times, 1000),
    })
}
