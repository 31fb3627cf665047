//! What a thread waits for: `wchan`, `syscall` and `wait`. Source: `proc(5)`; `wait` is Kairos's own.

use core::fmt::Write;

use base::Result;
use base::caller::Caller;
use base::time::Instant;
use executor::TaskRef;
use fs::pseudo::Text;

use super::state::State;
use super::subject::Subject;
use crate::table;

/// `/proc/<pid>/wchan`: what kind of object it waits for, `0` for none or for those who may not know.
pub(super) fn wchan(subject: &Subject, caller: &Caller, text: &mut Text) -> Result<()> {
    subject.process()?;
    let wait = subject.thread().and_then(|thread| thread.current_wait());
    let wait = wait.filter(|_| subject.check_access(caller).is_ok());
    // A full text is noticed by the frame.
    let _ = text.write_str(wait.map_or("0", |wait| wait.kind.name()));
    Ok(())
}

/// `/proc/<pid>/syscall`: the call that it is blocked in, its arguments, stack and instruction pointers.
pub(super) fn syscall(subject: &Subject, _caller: &Caller, text: &mut Text) -> Result<()> {
    subject.process()?;
    let Some(thread) = subject.thread() else { return Ok(()) };
    let _ = match thread.published().get() {
        None => writeln!(text, "running"),
        Some(call) => {
            let [a, b, c, d, e, f] = call.arguments;
            let (sp, pc) = (call.stack_pointer, call.instruction_pointer);
            writeln!(text, "{} {a:#x} {b:#x} {c:#x} {d:#x} {e:#x} {f:#x} {sp:#x} {pc:#x}", call.number)
        }
    };
    Ok(())
}

/// `/proc/<pid>/wait`: name and value on each line; times are seconds since boot.
pub(super) fn wait(subject: &Subject, _caller: &Caller, text: &mut Text) -> Result<()> {
    let process = subject.process()?;
    let thread = subject.thread();
    let state = State::of(&process, thread.as_deref());
    let _ = writeln!(text, "schema=kairos_wait_v1\nstate {}", state.letter());
    let Some(thread) = thread else { return Ok(()) };
    if let Some(call) = thread.published().get() {
        let name = table::lookup(call.number).map_or("?", |syscall| syscall.name);
        let _ = writeln!(text, "syscall {name}");
    }
    if let Some(wait) = thread.current_wait() {
        let _ = writeln!(text, "kind {}\nobject {}", wait.kind.name(), wait.object);
        let _ = writeln!(text, "events {:#x}", wait.events.bits());
        moment(text, "since", Some(wait.since));
        moment(text, "deadline", wait.deadline);
    }
    if let Some(woken) = thread.task().and_then(TaskRef::last_wake) {
        let _ = writeln!(text, "woken_by {}", woken.reason.name());
        let _ = writeln!(text, "woken_kind {}\nwoken_object {}", woken.kind.name(), woken.object);
    }
    Ok(())
}

fn moment(text: &mut Text, name: &str, at: Option<Instant>) {
    let _ = match at.map(Instant::as_nanos) {
        None => writeln!(text, "{name} none"),
        Some(at) => writeln!(text, "{name} {}.{:09}", at / 1_000_000_000, at % 1_000_000_000),
    };
}
