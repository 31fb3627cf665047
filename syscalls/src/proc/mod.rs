//! `/proc`: processes, and the system as a whole.
//!
//! | module | subject |
//! |---|---|
//! | [`subject`] | whom a file is about, and who may look |
//! | `directory`, `tasks` | which files there are |
//! | `stat`, `status`, [`state`] | what a process is doing |
//! | `maps`, `memory` | its memory |
//! | `descriptors`, `links` | its files, and where it stands |
//! | `handles` | its handles, and what became of them |
//! | `control` | commands to a process |
//! | `settings`, `faults`, `waiting` | what can be set; what it waits for |
//! | `system`, [`load`] | the machine: time, memory, load |
//! | `sysctl` | `/proc/sys/kernel` and `/proc/sys/vm` |
//! | `kairos` | `/proc/kairos`: the census, syscalls |

mod control;
mod descriptors;
mod directory;
mod faults;
mod handles;
mod kairos;
mod links;
pub mod load;
mod maps;
mod memory;
mod settings;
mod stat;
pub mod state;
mod status;
pub mod subject;
mod sysctl;
mod system;
mod tasks;
mod waiting;

#[cfg(test)]
mod tests;

use alloc::sync::Arc;

use executor::Executor;
use fs::vfs::DeviceNumber;

use crate::process::table;

/// Files of one process or thread: inode numbers are `number << FILES + index`.
const FILES: u32 = 10;

/// The inode number of the file `index` of what goes by `number`. The number 0 is nobody's.
fn ino(number: u32, index: u64) -> u64 {
    u64::from(number) << FILES | index
}

/// The device of the file system.
fn device() -> DeviceNumber {
    fs::procfs::procfs().map_or(DeviceNumber::default(), |proc| proc.tree.device())
}

/// Makes `/proc` and registers its type; `executor` is what runs the threads. Called once, before anything is
/// mounted.
pub fn init(executor: &'static Executor) {
    let proc = fs::procfs::init(Arc::new(tasks::Processes));
    system::publish(proc, executor);
    sysctl::publish(proc);
    crate::sysv::publish::publish(proc);
    crate::mqueue::settings::publish(proc);
    crate::mqueue::directory::register();
    kairos::publish(proc, executor);
    load::start(executor);
    fs::sysfs::show_table("processes", || table::lock().process_statistics());
    fs::sysfs::show_table("threads", || table::lock().thread_statistics());
}
