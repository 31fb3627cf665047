//! What a wait is for, as a small number with a name.

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal;)*) => {
        /// What a wait is for: shown in dumps, traces and the wait graph.
        ///
        /// To add a kind, add a line.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum WaitKind {
            $($(#[$doc])* $kind,)*
        }

        impl WaitKind {
            /// All kinds, in the order of their numbers.
            pub const ALL: &'static [WaitKind] = &[$(WaitKind::$kind,)*];

            /// The lower-case name shown in dumps.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(WaitKind::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// Something that no other kind names.
    Other = "other";
    /// A point in time.
    Sleep = "sleep";
    /// An asynchronous mutex.
    Mutex = "mutex";
    /// An asynchronous reader-writer lock.
    RwLock = "rwlock";
    /// An asynchronous semaphore.
    Semaphore = "semaphore";
    /// A completion.
    Completion = "completion";
    /// A signal: pause, sigsuspend, sigtimedwait.
    Signal = "signal";
    /// A child's change of state.
    Child = "child";
    /// The end of another process.
    Exit = "exit";
    /// The vfork parent's wait for exec or exit.
    Vfork = "vfork";
    /// A stopped thread's wait for SIGCONT.
    Stopped = "stopped";
    /// A futex word.
    Futex = "futex";
    /// Data in a pipe.
    PipeRead = "pipe_read";
    /// Room in a pipe.
    PipeWrite = "pipe_write";
    /// The other end of a FIFO.
    FifoOpen = "fifo_open";
    /// Input of a terminal.
    TtyRead = "tty_read";
    /// Room in a terminal's output.
    TtyWrite = "tty_write";
    /// An eventfd.
    Event = "eventfd";
    /// A timerfd.
    TimerFd = "timerfd";
    /// A signalfd.
    SignalFd = "signalfd";
    /// An inotify queue.
    Inotify = "inotify";
    /// An epoll instance.
    Epoll = "epoll";
    /// poll(2) and select(2).
    Poll = "poll";
    /// A socket.
    Socket = "socket";
    /// A channel.
    Channel = "channel";
    /// A port.
    Port = "port";
    /// A file lock.
    FileLock = "file_lock";
    /// A page being read or written.
    Page = "page";
    /// A System V semaphore.
    SysvSemaphore = "sysv_sem";
    /// A POSIX message queue.
    MessageQueue = "mqueue";
    /// A System V message, or room for one.
    SysvMessage = "sysv_msg";
    /// A device.
    Device = "device";
    /// Work for a kernel service.
    Work = "work";
    /// Acknowledgements of other CPUs.
    ShootDown = "shoot_down";
}

impl WaitKind {
    /// The kind with this number, as stored in a task's last wait.
    #[must_use]
    pub(crate) fn from_number(number: u8) -> WaitKind {
        WaitKind::ALL.get(usize::from(number)).copied().unwrap_or(WaitKind::Other)
    }
}
