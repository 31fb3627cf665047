//! Telling the owner of a file that it became ready: `O_ASYNC` of `open(2)`, `F_SETOWN` of `fcntl(2)`.
//!
//! A file with the flag has a watcher on each of its sources; the flag is cleared by dropping them.

use alloc::sync::{Arc, Weak};

use base::sync::SpinLock;
use executor::pollwait::{Events, Reason, Watch, Watcher};

use super::flags::OpenFlags;
use super::open_file::OpenFile;
use super::ops::Sources;
use crate::signal;

/// The watchers of a file, none without `O_ASYNC`.
pub(super) type Announcer = SpinLock<[Option<Watch>; 2]>;

/// One watcher of a file.
struct Herald {
    file: Weak<OpenFile>,
    /// The descriptor by which the flag was set, which the signal names.
    fd: i32,
    /// It stands on the source for room, and there is another one for data.
    room_only: bool,
}

impl Watcher for Herald {
    fn notify(&self, woken: Events, _reason: Reason) {
        // A hang-up comes through both sources; it is told once.
        if self.room_only && woken.contains(Events::HUP) {
            return;
        }
        let Some(file) = self.file.upgrade() else { return };
        if let (Some(event), Some(sink)) = (file.ops().announce(woken), signal::sink()) {
            sink.signal_owner(&file.owner(), event, self.fd);
        }
    }
}

impl OpenFile {
    /// Sets or clears `O_ASYNC`, by descriptor `fd`: `F_SETFL`, `FIOASYNC`. False when it should be set and files of
    /// the kind tell nobody.
    pub fn set_async(self: &Arc<Self>, fd: i32, on: bool) -> bool {
        if on && !self.ops().announces() {
            return false;
        }
        if on == self.is_async() {
            return true;
        }
        let Sources { input, output } = self.ops().announcing(self);
        let herald = |room_only| Arc::new(Herald { file: Arc::downgrade(self), fd, room_only });
        let mut watches = [None, None];
        if on {
            let everything = Events::all();
            let input_watch = input.map(|source| Watch::new(source, herald(false), everything));
            let output = output.filter(|output| input.is_none_or(|input| !Arc::ptr_eq(input, output)));
            let has_input = input_watch.is_some();
            let output_watch = output.map(|source| Watch::new(source, herald(has_input), everything));
            watches = [input_watch, output_watch];
        }
        // Those that are not kept are dropped outside the lock, under which the flag changes with the watchers.
        let _unused = {
            let mut announcer = self.announcer.lock();
            if on == self.is_async() {
                watches
            } else {
                self.set_status_bit(OpenFlags::ASYNC, on);
                core::mem::replace(&mut *announcer, watches)
            }
        };
        true
    }

    fn is_async(&self) -> bool {
        self.status().contains(OpenFlags::ASYNC)
    }
}
