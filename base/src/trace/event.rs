//! What an event is, and its words in a ring.

use bitflags::bitflags;

use super::ring::{PAYLOAD, WORDS, whole};
use crate::current::TaskLocal;

bitflags! {
    /// Kinds of events that are recorded or not, together.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Classes: u32 {
        /// Ends of channels, and guards of capabilities that held: rare, and on from the start.
        const CHANNEL = 1 << 0;
        /// Messages and the capabilities that move in them.
        const MESSAGE = 1 << 1;
        /// Waits and wakes, and what waits in epoll, futexes and descriptors.
        const WAIT = 1 << 2;
        /// Which task runs where.
        const SCHED = 1 << 3;
        /// System calls.
        const SYSCALL = 1 << 4;
        /// Fault points that struck: on from the start.
        const FAULT = 1 << 5;
        /// Everything about channels and capabilities.
        const IPC = Self::CHANNEL.bits() | Self::MESSAGE.bits();
    }
}

impl Classes {
    /// What is recorded unless somebody asks for something else: what is rare, and in a kernel with debug
    /// checks the waits too.
    pub const DEFAULT: Classes = if cfg!(debug_assertions) {
        Classes::CHANNEL.union(Classes::FAULT).union(Classes::WAIT)
    } else {
        Classes::CHANNEL.union(Classes::FAULT)
    };

    /// Those whose points are patched when they are first asked for. The others, on from the start, are where little
    /// happens.
    pub const FREQUENT: Classes =
        Classes::MESSAGE.union(Classes::WAIT).union(Classes::SCHED).union(Classes::SYSCALL);

    /// The names by which people choose classes.
    pub const NAMES: [(&'static str, Classes); 7] = [
        ("channel", Classes::CHANNEL),
        ("message", Classes::MESSAGE),
        ("wait", Classes::WAIT),
        ("sched", Classes::SCHED),
        ("syscall", Classes::SYSCALL),
        ("fault", Classes::FAULT),
        ("ipc", Classes::IPC),
    ];

    /// The classes that `text` names, between commas or blanks; `all` and `none` too. `None` when a word is
    /// no name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Classes> {
        let words = text.split([',', ' ', '\n']).filter(|word| !word.is_empty());
        words.into_iter().try_fold(Classes::empty(), |classes, word| match word {
            "all" => Some(Classes::all()),
            "none" => Some(classes),
            word => Self::NAMES.iter().find(|(name, _)| *name == word).map(|(_, class)| classes | *class),
        })
    }

    /// Calls `each` with the name of each class in it.
    pub fn for_each_name(self, mut each: impl FnMut(&'static str)) {
        let single = Self::NAMES.iter().filter(|(_, class)| class.bits().is_power_of_two());
        single.filter(|(_, class)| self.contains(*class)).for_each(|(name, _)| each(name));
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $number:literal, $name:literal, $class:ident;)*) => {
        /// What happened. The comment of each kind says what its flags and arguments mean; times are nanoseconds
        /// since boot, a *who* is `tid << 32 | pid`.
        ///
        /// To add a kind, add a line with a new number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum EventKind {
            $($(#[$doc])* $kind = $number,)*
        }

        impl EventKind {
            /// All kinds, by number.
            pub const ALL: &'static [EventKind] = &[$(EventKind::$kind,)*];

            /// The name in text files.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(EventKind::$kind => $name,)*
                }
            }

            /// The class it is switched with.
            #[must_use]
            pub const fn class(self) -> Classes {
                match self {
                    $(EventKind::$kind => Classes::$class,)*
                }
            }
        }
    };
}

kinds! {
    /// A wait begins. Flags: bit 0 with a deadline. Arguments: deadline (0 for none), object,
    /// `events << 32 | kind of wait`.
    WaitBlock = 1, "wait_block", WAIT;
    /// Somebody was woken. Flags: bit 31 one at most, the poll events below. Arguments: object, 0,
    /// `woken << 32 | reason << 8 | kind of wait`.
    WaitWake = 2, "wait_wake", WAIT;
    /// epoll_wait(2). Flags: 1 call, 2 ready, 4 block, 8 wake, 0x10 timeout, 0x20 interrupted. Arguments: of a
    /// call the most events wanted and the timeout in milliseconds; of a ready how many and the most wanted; of
    /// a block or timeout the deadline.
    WaitEpoll = 7, "wait_epoll", WAIT;
    /// A wait at a descriptor. Flags: 1 block, 2 wake, `what << 8` (1 eventfd read, 2 eventfd write, 3 timerfd,
    /// 4 signalfd, 5 inotify). Arguments: of a wake the poll events; object.
    WaitFdEvent = 8, "wait_fd_event", WAIT;
    /// A wait on a futex. Flags: 1 wait, 2 waitv, bit 31 its end. Arguments: user address (waitv: number of
    /// words); of a block the deadline, of an end the index in waitv or all ones.
    WaitFutex = 9, "wait_futex", WAIT;
    /// An end of a channel, versioned: see [`channel`](super::channel). Arguments: `self << 32 | peer`, 0.
    IpcChannel = 10, "ipc_channel", CHANNEL;
    /// A guard of a capability, versioned: see [`capability`](super::capability). Arguments: capability, by operation.
    IpcCap = 11, "ipc_cap", CHANNEL;
    /// A wait ended. Flags: reason. Arguments: object, when it began, kind of wait.
    WaitEnd = 12, "wait_end", WAIT;
    /// A task became ready. Flags: 1 it was running. Arguments: key of the task, its who, the CPU it last ran on.
    /// The event's own task is the waker, 0 for an interrupt.
    TaskWake = 13, "task_wake", SCHED;
    /// A task runs from now on. Flags: 1 on what was left of its waker's slice.
    TaskRun = 14, "task_run", SCHED;
    /// A task gives its CPU up. Flags: 0 it is ready, 2 it is blocked, 3 it has finished.
    TaskStop = 15, "task_stop", SCHED;
    /// A system call begins. Arguments: number, the first two of its arguments.
    SyscallEnter = 16, "syscall_enter", SYSCALL;
    /// A system call ends. Flags: 1 the thread was killed in it. Arguments: number, what it returns.
    SyscallExit = 17, "syscall_exit", SYSCALL;
    /// A message was sent. Flags: 0 queued, 1 handed over to a receiver that waited. Arguments: `self << 32 | peer`,
    /// `handles << 32 | bytes`, the message's number.
    MessageSend = 18, "message_send", MESSAGE;
    /// A message was received. Arguments: `self << 32 | peer`, `handles << 32 | bytes`, the message's number.
    MessageReceive = 19, "message_receive", MESSAGE;
    /// A capability came into being. Flags: type of object. Arguments: capability, parent (0 for a root), object.
    CapBorn = 20, "cap_born", MESSAGE;
    /// A capability moved. Flags: step (as in the transfer histories) `| rights << 8`. Arguments: capability,
    /// object, `to pid << 32 | from pid`.
    CapMove = 21, "cap_move", MESSAGE;
    /// A capability ended. Flags: 1 it was revoked. Arguments: capability, object.
    CapGone = 22, "cap_gone", MESSAGE;
    /// A fault point struck. Arguments: point, how often it has struck in this task since it was set (0 when this is
    /// the task's `fail-nth`).
    Fault = 23, "fault", FAULT;
    /// What a task is called. Arguments: up to 24 bytes of its name. It stands in a ring of its own.
    TaskName = 24, "task_name", SCHED;
    /// What a number means. Flags: `number << 8 | vocabulary`. Arguments: up to 24 bytes. It stands in a ring of
    /// its own.
    Word = 25, "word", SCHED;
}

impl EventKind {
    /// The kind with this number.
    #[must_use]
    pub fn from_number(number: u16) -> Option<EventKind> {
        Self::ALL.iter().copied().find(|kind| *kind as u16 == number)
    }
}

/// Whose doing an event is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The task's stable key; 0 for none.
    pub task: u64,
    /// Process id; -1 in a kernel service.
    pub pid: i32,
    /// Thread id; -1 in a kernel service.
    pub tid: i32,
}

impl Identity {
    /// Nobody's.
    pub const NONE: Identity = Identity { task: 0, pid: -1, tid: -1 };

    /// Who a task is.
    #[must_use]
    pub fn of(task: &TaskLocal) -> Identity {
        let number = |id: u32| if id == 0 { -1 } else { id.cast_signed() };
        Identity { task: task.key(), pid: number(task.pid()), tid: number(task.tid()) }
    }

    /// Process and thread id in one word.
    #[must_use]
    pub const fn who(self) -> u64 {
        pair(self.tid.cast_unsigned(), self.pid.cast_unsigned())
    }
}

/// Two halves of a word.
#[inline]
#[must_use]
pub const fn pair(high: u32, low: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

/// The halves of a word: high, low.
#[inline]
#[must_use]
pub const fn halves(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

/// One event, as it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, nanoseconds since boot.
    pub time: u64,
    /// The how manieth of its ring, from 1.
    pub seq: u64,
    /// On which CPU.
    pub cpu: u16,
    /// Number of its [`EventKind`].
    pub kind: u16,
    /// By kind.
    pub flags: u32,
    /// Who did it.
    pub by: Identity,
    /// By kind.
    pub arguments: [u64; 3],
}

impl Event {
    /// Its words but the stamp.
    #[must_use]
    pub const fn payload(&self) -> [u64; PAYLOAD] {
        let what = pair(self.flags, (self.cpu as u32) << 16 | self.kind as u32);
        let [first, second, third] = self.arguments;
        [self.time, what, self.by.who(), self.by.task, first, second, third]
    }

    /// The event with number `seq` and these words.
    #[must_use]
    pub const fn from_payload(seq: u64, payload: [u64; PAYLOAD]) -> Event {
        let [time, what, who, task, first, second, third] = payload;
        let (flags, place) = halves(what);
        let (tid, pid) = halves(who);
        Event {
            time,
            seq,
            cpu: (place >> 16) as u16,
            kind: place as u16,
            flags,
            by: Identity { task, pid: pid.cast_signed(), tid: tid.cast_signed() },
            arguments: [first, second, third],
        }
    }

    /// As a record of a stream: the words of its slot.
    #[must_use]
    pub fn record(&self) -> [u64; WORDS] {
        let payload = self.payload();
        core::array::from_fn(|index| match index {
            0 => whole(self.seq),
            _ => payload.get(index - 1).copied().unwrap_or(0),
        })
    }

    /// The event in a record or slot; `None` when it is empty or was being written.
    #[must_use]
    pub fn from_record(record: [u64; WORDS]) -> Option<Event> {
        let [stamp, payload @ ..] = record;
        (stamp != 0 && stamp & 1 == 0).then(|| Event::from_payload(stamp >> 1, payload))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_event_survives_its_words() {
        let event = Event {
            time: 123_456_789_012,
            seq: 1 << 40,
            cpu: 31,
            kind: EventKind::IpcChannel as u16,
            flags: 0x1001_3303,
            by: Identity { task: 77, pid: 12, tid: -1 },
            arguments: [pair(211, 212), u64::MAX, 3],
        };
        assert_eq!(Event::from_record(event.record()), Some(event));
        assert_eq!(Event::from_record([0; WORDS]), None);
        let mut torn = event.record();
        torn[0] |= 1;
        assert_eq!(Event::from_record(torn), None);
    }

    #[test]
    fn numbers_and_names_are_all_different() {
        for (index, kind) in EventKind::ALL.iter().enumerate() {
            assert_eq!(EventKind::from_number(*kind as u16), Some(*kind));
            assert!(EventKind::ALL[..index].iter().all(|other| other.name() != kind.name()));
        }
    }

    #[test]
    fn classes_are_chosen_by_name() {
        assert_eq!(Classes::parse("ipc,wait"), Some(Classes::IPC | Classes::WAIT));
        assert_eq!(Classes::parse(" none\n"), Some(Classes::empty()));
        assert_eq!(Classes::parse("all"), Some(Classes::all()));
        assert_eq!(Classes::parse("ipc,woit"), None);
        let mut names = Vec::new();
        (Classes::IPC | Classes::FAULT).for_each_name(|name| names.push(name));
        assert_eq!(names, ["channel", "message", "fault"]);
    }
}
