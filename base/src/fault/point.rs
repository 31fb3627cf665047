//! The table of fault points.

use crate::Errno;

/// What becomes of an operation whose point fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It fails for want of something, with this error. These are the hits that `fail-nth` counts.
    Fails(Errno),
    /// It is interrupted, as by a signal: `EINTR`.
    Interrupted,
    /// It takes another way to the same end: it waits, looks again, does less, or does it twice.
    Detour,
}

macro_rules! points {
    ($($(#[$doc:meta])* $point:ident = $name:literal $outcome:ident $(($error:ident))?;)*) => {
        /// A named place at which something can be made to go wrong.
        ///
        /// To add one, add a line here and `fault::check` or `fault::fires` at the place.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Point {
            $($(#[$doc])* $point,)*
        }

        impl Point {
            /// All points, in the order of the table.
            pub const ALL: &'static [Point] = &[$(Point::$point,)*];

            /// Number of points.
            pub const COUNT: usize = Point::ALL.len();

            /// The name in settings and reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Point::$point => $name,)*
                }
            }

            /// What becomes of the operation when it fires.
            #[must_use]
            pub const fn outcome(self) -> Outcome {
                match self {
                    $(Point::$point => Outcome::$outcome $((Errno::$error))?,)*
                }
            }
        }
    };
}

points! {
    /// Kernel memory cannot be charged to the process that needs it.
    Kmalloc = "kmalloc" Fails(ENOMEM);
    /// There is no page frame for what a call needs: a page, a copy of one, page tables. A page that the program
    /// itself touches is not concerned, since nobody could be told.
    PageAlloc = "page_alloc" Fails(ENOMEM);
    /// A call's argument is not readable.
    CopyFromUser = "copy_from_user" Fails(EFAULT);
    /// The place for a call's answer is not writable.
    CopyToUser = "copy_to_user" Fails(EFAULT);
    /// A page of a call's buffer is not resident when it is copied: it is faulted in, and the call goes on.
    CopyNofault = "copy_nofault" Detour;
    /// A channel's send is interrupted before it has done anything.
    IpcChannelSend = "ipc_channel_send" Interrupted;
    /// A channel's receive is interrupted before it has done anything.
    IpcChannelRecv = "ipc_channel_recv" Interrupted;
    /// The wakes of a channel's close are issued twice.
    IpcChannelClose = "ipc_channel_close" Detour;
    /// A packet for a port wakes everybody who waits there.
    PortEnqueue = "port_enqueue" Detour;
    /// An object cannot be made known.
    RegistryAdd = "registry_add" Fails(ENOMEM);
    /// A derived capability is refused at its new place, as if it had just been revoked.
    LineageBind = "lineage_bind" Fails(EACCES);
    /// A handle table has no free number.
    HandleInstall = "handle_install" Fails(EMFILE);
    /// An interruptible wait ends before it begins, as by a signal that somebody else then took.
    PollwaitBlock = "pollwait_block" Interrupted;
    /// A wake that was meant for one wakes everybody.
    PollwaitWake = "pollwait_wake" Detour;
    /// A file that is added to an epoll instance, or changed there, is listed as ready though it is not.
    EpollReady = "epoll_ready" Detour;
    /// A timer fires late.
    TimerLate = "timer_late" Detour;
    /// As [`PollwaitBlock`](Point::PollwaitBlock), and the call answers `EINTR`, as if a handler without
    /// `SA_RESTART` had run.
    SyscallEintr = "syscall_eintr" Interrupted;
    /// A read of a pipe or a file with data gives half of what was asked for.
    ShortRead = "short_read" Detour;
    /// A write to a file, or of more than a page to a pipe, takes half of what it is given.
    ShortWrite = "short_write" Detour;
}

impl Point {
    /// The point of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Point> {
        Point::ALL.iter().copied().find(|point| point.name() == name)
    }

    /// True when `fail-nth` counts it.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self.outcome(), Outcome::Fails(_))
    }

    /// The error of the operation when it fires; `None` when it is none.
    #[must_use]
    pub const fn error(self) -> Option<Errno> {
        match self.outcome() {
            Outcome::Fails(error) => Some(error),
            Outcome::Interrupted => Some(Errno::EINTR),
            Outcome::Detour => None,
        }
    }
}
