//! What every task is doing, for dumps from an NMI, a panic or a deadlock: no lock is waited for.

use crate::arch::emergency;
use crate::boot;

/// Prints every unfinished task with its last wait.
pub fn tasks() {
    let Some(executor) = boot::executor() else { return };
    let complete = executor.try_for_each_task(|task| {
        let (id, cpu, state) = (task.id(), task.cpu(), task.state());
        let kind = if task.is_daemon() { "daemon" } else { "task" };
        task.with_name(|name| {
            emergency::line(format_args!(
                "{kind} {id} \"{name}\" cpu {cpu} {state:?} {:?}",
                task.last_wait()
            ));
        });
    });
    if !complete {
        emergency::line(format_args!("the list of tasks was in use"));
    }
}
