//! Pseudo-terminals: a terminal whose line is another file, the master. Source: `pty(7)`, `pts(4)`.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use base::caller::Caller;
use base::charge::Charge;
use base::memory::{BoxFuture, UserBuffer};
use base::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use base::sync::{LockClass, Once, SpinLock};
use base::{Errno, Result};
use executor::pollwait::{Events, Reason, WaitKind, WaitSource};

use super::terminal::{Driver, Tty, TtyFile};
use super::termios::Termios;

use crate::file::{FileOps, Io, OpenFile, Sources, get_user, put_user};
use crate::vfs::{DeviceNumber, Inode};

/// Major number of slaves; the minor is the pseudo-terminal's index.
pub const SLAVE_MAJOR: u32 = 136;
/// Most pseudo-terminals at once: `/proc/sys/kernel/pty/max`.
pub const PTYS_MAX: u32 = 4096;
/// Bytes from the slave that wait for the master.
const QUEUE: usize = 4096;
const STEP: usize = 256;

const TIOCGPTN: u32 = 0x8004_5430;
const TIOCSPTLCK: u32 = 0x4004_5431;
const TIOCGPTLCK: u32 = 0x8004_5439;
const FIONREAD: u32 = 0x541b;

static PTYS: SpinLock<BTreeMap<u32, Arc<Pty>>> = SpinLock::new(LockClass::Registry, BTreeMap::new());

/// A pair of master and slave.
pub struct Pty {
    index: u32,
    tty: Arc<Tty>,
    line: Arc<Line>,
    /// The slave can't be opened before unlockpt(3).
    locked: AtomicBool,
    slaves: AtomicUsize,
    /// A slave was open at some time, so that having none now is a hangup.
    was_open: AtomicBool,
    owner: (u32, u32),
    /// The node in `/dev/pts`, which keeps changed attributes as long as the pair lives.
    node: Once<Arc<dyn Inode>>,
    _charge: Charge,
}

/// What the slave writes, on its way to the master.
struct Line {
    queue: SpinLock<VecDeque<u8>>,
    /// The master reads.
    input: Arc<WaitSource>,
    /// The master writes.
    output: Arc<WaitSource>,
}

/// The slave's side of the line.
struct LineDriver(Arc<Line>);

impl Driver for LineDriver {
    fn write(&self, bytes: &[u8]) -> usize {
        let taken = {
            let mut queue = self.0.queue.lock();
            let taken = bytes.len().min(QUEUE.saturating_sub(queue.len()));
            queue.extend(&bytes[..taken]);
            taken
        };
        if taken > 0 {
            self.0.input.wake_one(Events::IN | Events::RDNORM, Reason::Data);
        }
        taken
    }

    fn input_taken(&self) {
        self.0.output.wake_all(Events::OUT | Events::WRNORM, Reason::Data);
    }
}

impl Pty {
    /// A new pair, known by its index from now on.
    ///
    /// # Errors
    ///
    /// `ENOSPC` when there are too many, `ENOMEM`.
    pub fn new(caller: &Caller) -> Result<Arc<Pty>> {
        let charge = Charge::new(&caller.account, size_of::<Pty>() + size_of::<Tty>() + 2 * QUEUE)?;
        let mut ptys = PTYS.lock();
        let index = (0..PTYS_MAX).find(|index| !ptys.contains_key(index)).ok_or(Errno::ENOSPC)?;
        let line = Arc::new(Line {
            queue: SpinLock::new(LockClass::Pipe, VecDeque::new()),
            input: Arc::new(WaitSource::new(WaitKind::TtyRead, index.into())),
            output: Arc::new(WaitSource::new(WaitKind::TtyWrite, index.into())),
        });
        let number = DeviceNumber::new(SLAVE_MAJOR, index);
        let pty = Arc::new(Pty {
            index,
            tty: Tty::new(number, Box::new(LineDriver(line.clone())), Termios::default()),
            line,
            locked: AtomicBool::new(true),
            slaves: AtomicUsize::new(0),
            was_open: AtomicBool::new(false),
            owner: (caller.credentials.fsuid, caller.credentials.fsgid),
            node: Once::new(),
            _charge: charge,
        });
        ptys.insert(index, pty.clone());
        Ok(pty)
    }

    /// The pair with this index.
    #[must_use]
    pub fn find(index: u32) -> Option<Arc<Pty>> {
        PTYS.lock().get(&index).cloned()
    }

    /// The indices of all pairs, in order: the names in `/dev/pts`.
    #[must_use]
    pub fn indices() -> Vec<u32> {
        PTYS.lock().keys().copied().collect()
    }

    /// Its index.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// User and group of whoever opened the master: owner of the slave's node.
    #[must_use]
    pub fn owner(&self) -> (u32, u32) {
        self.owner
    }

    /// The slave's node, made at the first call.
    pub(crate) fn node<I: Inode>(&self, make: impl FnOnce() -> Arc<I>) -> Arc<dyn Inode> {
        self.node.call_once(|| make() as Arc<dyn Inode>).clone()
    }

    /// Opens the slave.
    ///
    /// # Errors
    ///
    /// `EIO` while it is locked or after the master closed.
    pub fn open_slave(self: &Arc<Self>, caller: &Caller, takes_control: bool) -> Result<Arc<TtyFile>> {
        if self.locked.load(Ordering::Acquire) {
            return Err(Errno::EIO);
        }
        let file = TtyFile::of_pty(self, &self.tty, caller, takes_control)?;
        self.slaves.fetch_add(1, Ordering::AcqRel);
        self.was_open.store(true, Ordering::Release);
        Ok(file)
    }

    /// A slave's last descriptor is closed.
    pub(super) fn slave_closed(&self) {
        if self.slaves.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.line.input.wake_all(Events::IN | Events::HUP, Reason::Hup);
        }
    }

    /// Where those wait who have the master.
    pub(super) fn master_sources(&self) -> Sources<'_> {
        Sources { input: Some(&self.line.input), output: Some(&self.line.output) }
    }

    fn has_lost_slave(&self) -> bool {
        self.was_open.load(Ordering::Acquire) && self.slaves.load(Ordering::Acquire) == 0
    }
}

/// The master: what it reads the slave's programs wrote, what it writes they read.
pub struct PtyMaster(Arc<Pty>);

impl PtyMaster {
    /// The master of a new pair: an open of `/dev/ptmx`.
    ///
    /// # Errors
    ///
    /// As [`Pty::new`].
    pub fn open(caller: &Caller) -> Result<Arc<PtyMaster>> {
        Ok(Arc::new(PtyMaster(Pty::new(caller)?)))
    }

    /// The pair.
    #[must_use]
    pub fn pty(&self) -> &Arc<Pty> {
        &self.0
    }

    async fn control(&self, io: &Io<'_>, request: u32, argument: u64) -> Result<u64> {
        let pty = &self.0;
        match request {
            TIOCGPTN => put_user(io.caller, argument, &pty.index.to_le_bytes()).await.map(|()| 0),
            TIOCSPTLCK => {
                let locked = i32::from_le_bytes(get_user::<4>(io.caller, argument).await?) != 0;
                pty.locked.store(locked, Ordering::Release);
                Ok(0)
            }
            TIOCGPTLCK => {
                let locked = i32::from(pty.locked.load(Ordering::Acquire));
                put_user(io.caller, argument, &locked.to_le_bytes()).await.map(|()| 0)
            }
            FIONREAD => {
                let waiting = i32::try_from(pty.line.queue.lock().len()).unwrap_or(i32::MAX);
                put_user(io.caller, argument, &waiting.to_le_bytes()).await.map(|()| 0)
            }
            // Settings, window and foreground group are those of the slave.
            _ => pty.tty.control(io, request, argument).await,
        }
    }
}

impl FileOps for PtyMaster {
    fn announces(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn read(&self, _io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        let pty = &self.0;
        let mut queue = pty.line.queue.lock();
        if queue.is_empty() {
            return Err(if pty.has_lost_slave() { Errno::EIO } else { Errno::EAGAIN });
        }
        let mut moved = 0;
        while !queue.is_empty() && !buffer.is_empty() {
            let (front, _) = queue.as_slices();
            match buffer.put(front) {
                Ok(count) => {
                    queue.drain(..count);
                    moved += count;
                }
                Err(error) if moved == 0 => return Err(error),
                Err(_) => break,
            }
        }
        drop(queue);
        pty.tty.output_ready();
        Ok(moved)
    }

    fn write(&self, _io: &Io<'_>, buffer: &mut UserBuffer<'_>) -> Result<usize> {
        let mut chunk = [0; STEP];
        let mut done = 0;
        while !buffer.is_empty() {
            let room = self.0.tty.input_room().min(STEP);
            if room == 0 {
                return if done > 0 { Ok(done) } else { Err(Errno::EAGAIN) };
            }
            match buffer.take(&mut chunk[..room]) {
                Ok(count) => {
                    self.0.tty.receive(&chunk[..count]);
                    done += count;
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    fn poll(&self, _file: &OpenFile) -> Events {
        let mut events = Events::empty();
        if !self.0.line.queue.lock().is_empty() {
            events |= Events::IN | Events::RDNORM;
        }
        if self.0.tty.input_room() > 0 {
            events |= Events::OUT | Events::WRNORM;
        }
        if self.0.has_lost_slave() {
            events |= Events::HUP;
        }
        events
    }

    fn sources(&self, _file: &OpenFile) -> Sources<'_> {
        self.0.master_sources()
    }

    fn wakes(&self, _file: &OpenFile, tell: &mut dyn FnMut(&WaitSource)) {
        self.0.tty.sources().iter().for_each(|source| tell(source));
    }

    fn ioctl<'a>(&'a self, io: &'a Io<'a>, request: u32, argument: u64) -> BoxFuture<'a, Result<u64>> {
        Box::pin(self.control(io, request, argument))
    }

    fn released(&self, _file: &OpenFile) {
        drop(PTYS.lock().remove(&self.0.index));
        self.0.tty.hang_up();
    }
}
