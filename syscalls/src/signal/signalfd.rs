//! Signals as a descriptor. Source: `signalfd(2)`.
//!
//! Whoever reads takes its own signals: those of the reading thread and those of its process, whoever made
//! the descriptor. So the descriptor has a source of its own, and stands as a watcher on the source of each
//! process that has looked at it.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use core::any::Any;
use core::fmt;

use base::caller::Caller;
use base::charge::Charge;
use base::memory::UserBuffer;
use base::sync::atomic::{AtomicU64, Ordering};
use base::sync::{LockClass, SpinLock};
use base::{Errno, Result};
use executor::pollwait::{Events, Reason, WaitKind, WaitSource, Watch, Watcher};
use fs::file::{FileOps, Io, OpenFile, OpenFlags, Sources, Whence};

use crate::process::Process;
use crate::signal::record::{RECORD_BYTES, record};
use crate::signal::send::take_matching;
use crate::signal::{SigInfo, SignalSet, recompute};
use crate::thread::Thread;

/// Kernel memory that a descriptor takes beside its open file.
const SIGNALFD_BYTES: usize = 512;

/// Processes that are remembered before the first look for those that are gone.
const FIRST_PRUNE: usize = 4;

/// The signals in a mask, for whoever reads.
pub struct SignalFd {
    mask: AtomicU64,
    changed: Arc<WaitSource>,
    watched: SpinLock<Watched>,
    /// Signals that a read took and could not tell, because the page of its buffer went away in between: the
    /// first of the next read.
    untold: SpinLock<VecDeque<SigInfo>>,
    this: Weak<SignalFd>,
    _charge: Charge,
}

/// The processes on whose sources the descriptor stands, by their stable keys.
struct Watched {
    processes: BTreeMap<u64, (Weak<Process>, Watch)>,
    prune_at: usize,
}

impl SignalFd {
    /// An open file for the signals in `mask`; SIGKILL and SIGSTOP are left out.
    ///
    /// # Errors
    ///
    /// `ENFILE`, `ENOMEM`.
    pub fn open(caller: &Caller, mask: SignalSet, nonblocking: bool) -> Result<Arc<OpenFile>> {
        let charge = Charge::new(&caller.account, SIGNALFD_BYTES)?;
        let watched = Watched { processes: BTreeMap::new(), prune_at: FIRST_PRUNE };
        let ops = Arc::new_cyclic(|this| SignalFd {
            mask: AtomicU64::new(mask.minus(SignalSet::UNBLOCKABLE).0),
            changed: Arc::new(WaitSource::new(WaitKind::SignalFd, 0)),
            watched: SpinLock::new(LockClass::EventSetting, watched),
            untold: SpinLock::new(LockClass::EventSetting, VecDeque::new()),
            this: this.clone(),
            _charge: charge,
        });
        let mut flags = OpenFlags::RDWR;
        flags.set(OpenFlags::NONBLOCK, nonblocking);
        OpenFile::anonymous(caller, ops, "anon_inode:[signalfd]", flags)
    }

    /// The descriptor behind an open file.
    ///
    /// # Errors
    ///
    /// `EINVAL` when it is none.
    pub fn of(file: &OpenFile) -> Result<&SignalFd> {
        file.ops_as::<SignalFd>().ok_or(Errno::EINVAL)
    }

    /// Replaces the mask, for those who wait already as well.
    pub fn set_mask(&self, mask: SignalSet) {
        self.mask.store(mask.minus(SignalSet::UNBLOCKABLE).0, Ordering::SeqCst);
        self.changed.wake_all(Events::IN, Reason::Data);
    }

    fn mask(&self) -> SignalSet {
        SignalSet(self.mask.load(Ordering::SeqCst))
    }

    /// From now on the descriptor hears of the signals of `process`. What came before is looked at after
    /// this call.
    fn attach(&self, process: &Arc<Process>) {
        let mut watched = self.watched.lock();
        if watched.processes.contains_key(&process.key()) {
            return;
        }
        let Some(this) = self.this.upgrade() else { return };
        if watched.processes.len() >= watched.prune_at {
            watched.processes.retain(|_, (process, _)| process.strong_count() > 0);
            watched.prune_at = FIRST_PRUNE.max(2 * watched.processes.len());
        }
        let watch = Watch::new(process.signals().source(), this, Events::IN);
        watched.processes.insert(process.key(), (Arc::downgrade(process), watch));
    }

    /// The signal to tell next.
    fn take(&self, thread: &Thread) -> Option<SigInfo> {
        let untold = self.untold.lock().pop_front();
        untold.or_else(|| take_matching(thread, self.mask()))
    }

    /// True when the thread has a signal in the mask.
    fn is_ready(&self, thread: &Thread) -> bool {
        self.attach(thread.process());
        if !self.untold.lock().is_empty() {
            return true;
        }
        let pending = thread.signals().pending().union(thread.process().signals().pending());
        !pending.and(self.mask()).is_empty()
    }
}

impl Watcher for SignalFd {
    fn notify(&self, events: Events, reason: Reason) {
        self.changed.wake_all(events, reason);
    }
}

impl FileOps for SignalFd {
    fn read(&self, _io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        let thread = Thread::current().ok_or(Errno::EAGAIN)?;
        if buffer.remaining() < RECORD_BYTES {
            return Err(Errno::EINVAL);
        }
        let before = buffer.moved();
        while buffer.remaining() >= RECORD_BYTES && self.is_ready(&thread) {
            // Whether there is room is found out before a signal is taken, so that none gets lost.
            let mark = buffer.mark();
            let room = buffer.put(&[0; RECORD_BYTES]) == Ok(RECORD_BYTES);
            buffer.rewind(mark);
            if !room && buffer.moved() == before {
                return Err(Errno::EFAULT);
            }
            let taken = if room { self.take(&thread) } else { None };
            // Another thread may have taken it.
            let Some(info) = taken else { break };
            if buffer.put(&record(&info)) != Ok(RECORD_BYTES) {
                buffer.rewind(mark);
                self.untold.lock().push_back(info);
                recompute(&thread);
                match buffer.moved() - before {
                    0 => return Err(Errno::EFAULT),
                    _ => break,
                }
            }
        }
        recompute(&thread);
        match buffer.moved() - before {
            0 => Err(Errno::EAGAIN),
            moved => Ok(moved),
        }
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        match Thread::current() {
            Some(thread) if self.is_ready(&thread) => Events::IN,
            _ => Events::empty(),
        }
    }

    fn sources(&self, _file: &OpenFile) -> Sources<'_> {
        Sources { input: Some(&self.changed), output: None }
    }

    fn seek(&self, _file: &OpenFile, current: u64, _offset: i64, _whence: Whence) -> Result<u64> {
        // Linux lets a program seek, and nothing moves.
        Ok(current)
    }

    fn released(&self, _file: &OpenFile) {
        let watched = core::mem::take(&mut self.watched.lock().processes);
        drop(watched);
    }

    fn describe(&self, _file: &OpenFile, out: &mut dyn fmt::Write) -> fmt::Result {
        writeln!(out, "sigmask:\t{:016x}", self.mask().0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
