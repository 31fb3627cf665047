//! What ran, waited and called when, and what led to what: slices and arrows.

use std::collections::BTreeMap;

use base::trace::{Event, EventKind, Vocabulary};

use super::load::Trace;
use super::waits;

/// Where a slice is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Track {
    Cpu(u16),
    /// A task, by its key.
    Task(u64),
}

/// Something that lasted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) track: Track,
    /// Nanoseconds.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) name: String,
}

/// One thing led to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrow {
    pub(crate) name: &'static str,
    pub(crate) from: (Track, u64),
    pub(crate) to: (Track, u64),
}

/// A trace, drawn.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    pub(crate) slices: Vec<Slice>,
    pub(crate) arrows: Vec<Arrow>,
    /// Process and thread id of each task.
    pub(crate) tasks: BTreeMap<u64, (i32, i32)>,
}

/// What is under way while the events are gone through.
#[derive(Default)]
struct Open {
    /// When each CPU's task began to run.
    running: BTreeMap<u16, (u64, u64)>,
    /// Each task's call: its beginning and number.
    calls: BTreeMap<u64, (u64, u64)>,
    /// Who woke each task that has not run yet: CPU and time.
    woken: BTreeMap<u64, (u16, u64)>,
    /// Messages under way by their flow: sender and time.
    messages: BTreeMap<u64, (u64, u64)>,
}

impl Timeline {
    pub(crate) fn of(trace: &Trace) -> Timeline {
        let mut timeline = Timeline::default();
        let mut open = Open::default();
        for event in &trace.events {
            if event.by.task != 0 {
                timeline.tasks.insert(event.by.task, (event.by.pid, event.by.tid));
            }
            timeline.take(trace, event, &mut open);
        }
        // What had not ended lasted to the end.
        let end = trace.events.last().map_or(0, |event| event.time);
        for (cpu, (start, task)) in open.running {
            timeline.slice(Track::Cpu(cpu), start, end, task_name(trace, task));
        }
        for (task, (start, number)) in open.calls {
            timeline.slice(Track::Task(task), start, end, call_name(trace, number) + " (unfinished)");
        }
        for wait in waits::finished(trace) {
            let name = format!("wait {} ({})", wait.object, wait.reason);
            timeline.slice(Track::Task(wait.task), wait.start, wait.end, name);
        }
        timeline.slices.sort_by_key(|slice| (slice.track, slice.start, std::cmp::Reverse(slice.end)));
        timeline
    }

    fn take(&mut self, trace: &Trace, event: &Event, open: &mut Open) {
        let Event { time, cpu, by, arguments, .. } = *event;
        match EventKind::from_number(event.kind) {
            Some(EventKind::TaskRun) => {
                open.running.insert(cpu, (time, by.task));
                if let Some((waker, at)) = open.woken.remove(&by.task) {
                    let (from, to) = ((Track::Cpu(waker), at), (Track::Cpu(cpu), time));
                    self.arrows.push(Arrow { name: "wake", from, to });
                }
            }
            Some(EventKind::TaskStop) => {
                if let Some((start, task)) = open.running.remove(&cpu) {
                    self.slice(Track::Cpu(cpu), start, time, task_name(trace, task));
                }
            }
            // A wake by an interrupt has no slice that an arrow could start from; nor has one that came while the task
            // ran, since it takes effect only when the task has stopped, by its own hand.
            Some(EventKind::TaskWake) if open.running.get(&cpu).is_some_and(|(_, task)| *task == by.task) => {
                open.woken.insert(arguments[0], (cpu, time));
            }
            Some(EventKind::SyscallEnter) => drop(open.calls.insert(by.task, (time, arguments[0]))),
            Some(EventKind::SyscallExit) => {
                if let Some((start, number)) = open.calls.remove(&by.task) {
                    self.slice(Track::Task(by.task), start, time, call_name(trace, number));
                }
            }
            Some(EventKind::MessageSend) => drop(open.messages.insert(arguments[2], (by.task, time))),
            Some(EventKind::MessageReceive) => {
                if let Some((sender, at)) = open.messages.remove(&arguments[2]) {
                    let (from, to) = ((Track::Task(sender), at), (Track::Task(by.task), time));
                    for (track, at, name) in [(from.0, from.1, "send"), (to.0, to.1, "receive")] {
                        self.slice(track, at, at + 1, name.to_owned());
                    }
                    self.arrows.push(Arrow { name: "message", from, to });
                }
            }
            _ => {}
        }
    }

    fn slice(&mut self, track: Track, start: u64, end: u64, name: String) {
        self.slices.push(Slice { track, start, end, name });
    }
}

/// What a task is called.
pub(crate) fn task_name(trace: &Trace, task: u64) -> String {
    trace.names.get(&task).cloned().unwrap_or_else(|| format!("task {task:x}"))
}

fn call_name(trace: &Trace, number: u64) -> String {
    trace.word(Vocabulary::Syscall, u32::try_from(number).unwrap_or(u32::MAX))
}
