//! `stat` and `statm`: one line of numbers. Source: `proc(5)`; fields as Linux 6.1 prints them.

use core::fmt::Write;

use base::Result;
use base::caller::{Caller, Resource};
use fs::pseudo::Text;

use super::state::State;
use super::subject::Subject;
use crate::mm::PAGE;
use crate::process::rusage::ticks;
use crate::process::usage::Used;
use crate::process::{Process, session, table};

/// `PF_FORKNOEXEC`: it has executed nothing since it was forked.
const NOT_EXECUTED: u64 = 0x40;
/// `PF_RANDOMIZE`: its address space is laid out at random.
const RANDOMIZED: u64 = 0x40_0000;

/// A list of words, each with a space in front.
struct Words<'a>(&'a mut Text);

impl Words<'_> {
    fn put(&mut self, words: &[u64]) {
        for word in words {
            // A full text is noticed by the frame.
            let _ = write!(self.0, " {word}");
        }
    }

    fn put_signed(&mut self, word: i64) {
        let _ = write!(self.0, " {word}");
    }
}

/// `/proc/<pid>/stat`.
pub(super) fn stat(subject: &Subject, caller: &Caller, text: &mut Text) -> Result<()> {
    let process = subject.process()?;
    let thread = subject.thread();
    let may_look = subject.check_access(caller).is_ok();
    let state = State::of(&process, thread.as_deref());
    let (name, length) = subject.name();
    let _ = write!(text, "{} (", subject.number());
    let _ = text.push_bytes(name.get(..length).unwrap_or_default());
    let _ = write!(text, ") {} {}", state.letter(), process.parent());
    let mut words = Words(text);
    words.put(&[process.group().into(), process.session().into()]);
    let terminal = session::terminal_of(process.session());
    words.put(&[terminal.as_ref().map_or(0, |terminal| terminal.device().encode())]);
    words.put_signed(terminal.map_or(-1, |terminal| terminal.foreground().into()));
    words.put(&[flags(&process)]);
    let used = used(subject, &process);
    let children = process.children_usage().get();
    words.put(&[used.minor_faults, children.minor_faults, used.major_faults, children.major_faults]);
    words.put(&[ticks(used.user), ticks(used.system), ticks(children.user), ticks(children.system)]);
    let (priority, nice, realtime, policy) = thread.as_ref().map_or((20, 0, 0, 0), |thread| {
        let scheduling = thread.scheduling();
        let nice = i64::from(scheduling.nice());
        let realtime = scheduling.priority();
        let priority = if scheduling.policy().is_realtime() { -1 - i64::from(realtime) } else { 20 + nice };
        (priority, nice, realtime.into(), scheduling.policy() as u64)
    });
    words.put_signed(priority);
    words.put_signed(nice);
    words.put(&[thread_count(&process), 0, ticks(process.started().as_nanos())]);
    memory(&mut words, subject, &process, may_look);
    signals(&mut words, subject, &process);
    let waits = !matches!(state, State::Running | State::Zombie) && may_look;
    words.put(&[waits.into(), 0, 0]);
    let exit_signal = process.exit_signal().map_or(0, |signal| signal.number().into());
    words.put_signed(if thread_is_first(subject, &process) { exit_signal } else { -1 });
    let cpu = thread.as_ref().and_then(|thread| thread.task()).map_or(0, executor::TaskRef::cpu);
    words.put(&[cpu as u64, realtime, policy, 0, 0, 0]);
    places(&mut words, subject, may_look);
    let status = process.ending().status().filter(|_| state == State::Zombie && may_look);
    words.put_signed(status.map_or(0, |status| status.to_wait_status().into()));
    let _ = text.push_bytes(b"\n");
    Ok(())
}

fn thread_is_first(subject: &Subject, process: &Process) -> bool {
    subject.number() == process.pid()
}

fn flags(process: &Process) -> u64 {
    let executed = table::lock().process(process.pid()).is_some_and(|node| node.executed);
    let randomized = if crate::mm::placement::is_randomized() { RANDOMIZED } else { 0 };
    if executed { randomized } else { randomized | NOT_EXECUTED }
}

/// What the subject used: the whole process, or one thread below `task`.
pub(super) fn used(subject: &Subject, process: &Process) -> Used {
    match subject.thread() {
        Some(thread) if subject.is_alone() => thread.used(),
        _ => process.total_usage(),
    }
}

/// Threads of a process; a first thread that has exited counts until the process is waited for.
pub(super) fn thread_count(process: &Process) -> u64 {
    let table = table::lock();
    let Some(node) = table.process(process.pid()) else { return 0 };
    let first_is_gone = !node.threads.contains(&process.pid());
    (node.threads.len() + usize::from(first_is_gone)) as u64
}

fn memory(words: &mut Words<'_>, subject: &Subject, process: &Process, may_look: bool) {
    let space = subject.space();
    let (size, resident) = space.as_ref().map_or((0, 0), |space| {
        (space.lock().regions.sums().total * PAGE, space.page_table().resident() as u64)
    });
    words.put(&[size, resident, process.limits().soft(Resource::Rss)]);
    match space.filter(|_| may_look) {
        Some(space) => {
            let image = space.image();
            words.put(&[image.code.start, image.code.end, image.stack]);
        }
        // Linux shows 1 to those who may not know, and 0 where there is no memory.
        None => {
            let hidden = u64::from(size > 0);
            words.put(&[hidden, hidden, 0]);
        }
    }
    // Stack and instruction pointer are shown of nobody who runs on.
    words.put(&[0, 0]);
}

fn signals(words: &mut Words<'_>, subject: &Subject, process: &Process) {
    const SHOWN: u64 = 0x7fff_ffff;
    let thread = subject.thread();
    let (pending, blocked) =
        thread.map_or((0, 0), |thread| (thread.signals().pending().0, thread.signals().mask().0));
    let (caught, ignored) = process.actions().summary();
    words.put(&[pending & SHOWN, blocked & SHOWN, ignored.0 & SHOWN, caught.0 & SHOWN]);
}

fn places(words: &mut Words<'_>, subject: &Subject, may_look: bool) {
    let Some(space) = subject.space().filter(|_| may_look) else {
        words.put(&[0; 7]);
        return;
    };
    let image = space.image();
    let heap = space.lock().heap.start;
    words.put(&[image.data.start, image.data.end, heap]);
    words.put(&[image.arguments.start, image.arguments.end]);
    words.put(&[image.environment.start, image.environment.end]);
}

/// `/proc/<pid>/statm`, in pages.
pub(super) fn statm(subject: &Subject, _caller: &Caller, text: &mut Text) -> Result<()> {
    subject.process()?;
    let pages = subject.space().map(|space| space.statm()).unwrap_or_default();
    let _ = writeln!(
        text,
        "{} {} {} {} 0 {} 0",
        pages.mapped.total,
        pages.resident,
        pages.resident_shared,
        pages.text,
        pages.mapped.data + pages.mapped.stack
    );
    Ok(())
}
