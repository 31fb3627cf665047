//! A trace for the Perfetto UI, in the JSON that it reads: a track for each CPU and each thread, slices, arrows.
//!
//! Source: the Trace Event Format, which the Perfetto documentation lists among the formats it opens.

use serde_json::{Value, json};

use super::load::Trace;
use super::timeline::{Timeline, Track, task_name};

/// The process that stands for the machine's CPUs. Kernel tasks are threads of the one before.
const CPUS: i64 = 1 << 30;
const KERNEL: i64 = CPUS - 1;

/// The whole file.
pub(crate) fn json(trace: &Trace) -> Value {
    let timeline = Timeline::of(trace);
    let mut events = vec![process_name(CPUS, "CPUs"), process_name(KERNEL, "kernel")];
    let mut named = Vec::new();
    for (index, (task, (pid, _))) in timeline.tasks.iter().enumerate() {
        let place = place_of(&timeline, Track::Task(*task));
        events.push(metadata("thread_name", place, &task_name(trace, *task)));
        events.push(sort_index(place, index));
        if *pid > 0 && !named.contains(pid) {
            named.push(*pid);
            events.push(process_name(i64::from(*pid), &task_name(trace, *task)));
        }
    }
    let mut cpus: Vec<_> = timeline.slices.iter().map(|slice| slice.track).collect();
    cpus.dedup();
    for track in cpus {
        if let Track::Cpu(cpu) = track {
            events.push(metadata("thread_name", place_of(&timeline, track), &format!("CPU {cpu}")));
        }
    }
    for slice in &timeline.slices {
        let (pid, tid) = place_of(&timeline, slice.track);
        let duration = microseconds(slice.end - slice.start);
        events.push(json!({
            "ph": "X", "name": slice.name, "pid": pid, "tid": tid,
            "ts": microseconds(slice.start), "dur": duration,
        }));
    }
    for (id, arrow) in timeline.arrows.iter().enumerate() {
        for (phase, (track, time)) in [("s", arrow.from), ("f", arrow.to)] {
            let (pid, tid) = place_of(&timeline, track);
            let mut end = json!({
                "ph": phase, "id": id, "name": arrow.name, "cat": arrow.name, "pid": pid, "tid": tid,
                "ts": microseconds(time),
            });
            if phase == "f" {
                // To the slice that is there already, not the next one.
                end["bp"] = json!("e");
            }
            events.push(end);
        }
    }
    json!({ "displayTimeUnit": "ns", "traceEvents": events })
}

fn microseconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1000.0
}

/// Process and thread of a track.
fn place_of(timeline: &Timeline, track: Track) -> (i64, i64) {
    match track {
        Track::Cpu(cpu) => (CPUS, i64::from(cpu)),
        Track::Task(task) => match timeline.tasks.get(&task) {
            Some((pid, tid)) if *pid > 0 => ((*pid).into(), (*tid).into()),
            // The UI's numbers have 32 bits; kernel tasks are few.
            _ => (KERNEL, timeline.tasks.range(..task).count() as i64),
        },
    }
}

fn process_name(pid: i64, name: &str) -> Value {
    metadata("process_name", (pid, 0), name)
}

fn metadata(kind: &str, (pid, tid): (i64, i64), name: &str) -> Value {
    json!({ "ph": "M", "name": kind, "pid": pid, "tid": tid, "args": { "name": name } })
}

fn sort_index((pid, tid): (i64, i64), index: usize) -> Value {
    json!({ "ph": "M", "name": "thread_sort_index", "pid": pid, "tid": tid, "args": { "sort_index": index } })
}
