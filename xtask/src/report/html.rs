//! One page about a trace that needs nothing else: no network, no other file.

use std::collections::BTreeMap;

use base::trace::{Event, EventKind, halves};
use serde_json::{Value, json};

use super::load::Trace;
use super::summary;
use super::timeline::task_name;
use super::waits;

/// The page, with a place for the data.
const PAGE: &str = include_str!("page.html");
/// That place.
const PLACE: &str = "/*DATA*/null";
/// Steps of the transfer histories, by number.
const STEPS: [&str; 8] = ["?", "take", "enqueue", "deliver", "install", "restore", "drop", "release"];

/// The page about `trace`.
pub(super) fn page(trace: &Trace) -> String {
    // A script ends at the first "</", wherever it stands.
    PAGE.replace(PLACE, &data(trace).to_string().replace("</", "<\\/"))
}

/// What the page shows.
pub(super) fn data(trace: &Trace) -> Value {
    json!({
        "processes": processes(trace),
        "capabilities": capabilities(trace),
        "traffic": traffic(trace),
        "waits": waits(trace),
        "summary": summary(trace),
        "span": [trace.events.first().map_or(0, |event| event.time), trace.events.last().map_or(0, |event| event.time)],
    })
}

/// What each process is called: as its first thread.
fn processes(trace: &Trace) -> Value {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for event in &trace.events {
        let leads = event.by.pid > 0 && event.by.pid == event.by.tid;
        if let Some(name) = trace.names.get(&event.by.task).filter(|_| leads) {
            names.entry(event.by.pid.to_string()).or_insert_with(|| name.clone());
        }
    }
    json!(names)
}

fn of_kind(trace: &Trace, kind: EventKind) -> impl Iterator<Item = &Event> {
    trace.events.iter().filter(move |event| event.kind == kind as u16)
}

/// The lineage forest: each capability with its parent, its moves and its end. Numbers are texts: they have
/// more bits than a script's numbers.
fn capabilities(trace: &Trace) -> Value {
    let mut forest: BTreeMap<u64, Value> = BTreeMap::new();
    for event in of_kind(trace, EventKind::CapBorn) {
        let [id, parent, object] = event.arguments;
        let born = json!({
            "id": id.to_string(), "parent": parent.to_string(), "object": object, "type": event.flags,
            "by": event.by.pid, "born": event.time, "moves": [],
        });
        forest.insert(id, born);
    }
    for event in of_kind(trace, EventKind::CapMove) {
        let [id, object, who] = event.arguments;
        let (to, from) = halves(who);
        let step = STEPS.get((event.flags & 0xff) as usize).copied().unwrap_or("?");
        let unseen = || json!({ "id": id.to_string(), "parent": "0", "object": object, "moves": [] });
        let capability = forest.entry(id).or_insert_with(unseen);
        if let Some(moves) = capability["moves"].as_array_mut() {
            moves.push(json!([event.time, step, from.cast_signed(), to.cast_signed()]));
        }
    }
    for event in of_kind(trace, EventKind::CapGone) {
        if let Some(capability) = forest.get_mut(&event.arguments[0]) {
            capability["gone"] = json!(event.time);
            capability["revoked"] = json!(event.flags & 1 != 0);
        }
    }
    Value::Array(forest.into_values().collect())
}

/// Messages, bytes and handles from each process to each other one.
fn traffic(trace: &Trace) -> Value {
    let mut senders: BTreeMap<u64, &Event> = BTreeMap::new();
    let mut sums: BTreeMap<(i32, i32), [u64; 3]> = BTreeMap::new();
    for event in &trace.events {
        match EventKind::from_number(event.kind) {
            Some(EventKind::MessageSend) => drop(senders.insert(event.arguments[2], event)),
            Some(EventKind::MessageReceive) => {
                let Some(sent) = senders.remove(&event.arguments[2]) else { continue };
                let (handles, bytes) = halves(event.arguments[1]);
                let sum = sums.entry((sent.by.pid, event.by.pid)).or_default();
                *sum = [sum[0] + 1, sum[1] + u64::from(bytes), sum[2] + u64::from(handles)];
            }
            _ => {}
        }
    }
    sums.into_iter()
        .map(|((from, to), [messages, bytes, handles])| json!([from, to, messages, bytes, handles]))
        .collect()
}

/// Every wait: who, for what, from when until when, why it ended.
fn waits(trace: &Trace) -> Value {
    let threads: BTreeMap<u64, i32> =
        trace.events.iter().map(|event| (event.by.task, event.by.tid)).collect();
    // Threads of one program have one name: their numbers tell them apart.
    let label = |task| match threads.get(&task) {
        Some(tid) if *tid > 0 => format!("{} {tid}", task_name(trace, task)),
        _ => task_name(trace, task),
    };
    let wait = |wait: waits::Wait| json!([label(wait.task), wait.object, wait.start, wait.end, wait.reason]);
    waits::finished(trace).into_iter().map(wait).collect()
}
