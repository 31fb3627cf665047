//! Threads: the part that others may look at. What only the thread itself touches (registers,
//! floating-point state, the syscall in flight) lives in its future, in [`run`].

pub mod attention;
pub mod clock;
pub mod counts;
pub mod dispatch;
pub mod drive;
pub mod exception;
pub mod files;
pub mod missing;
pub mod name;
pub mod resources;
mod revocable;
pub mod run;
pub mod scheduling;
pub mod strace;
pub mod watched;
pub mod words;

use alloc::sync::{Arc, Weak};

use base::Result;
use base::caller::{Caller, Credentials};
use base::charge::Charge;
use base::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use base::sync::{LockClass, Once, SpinLock};
use executor::lock::Completion;
use executor::pollwait::WaitSource;
use executor::{TaskRef, TaskState, WaitSnapshot};
use fs::vfs::FsContext;
use ipc::HandleTable;

use attention::{Attention, Reasons};
use clock::Clock;
use name::{NAME_BYTES, Name};
use resources::{Resources, Slot};
use scheduling::Scheduling;
use words::{Settings, UserWords};

use crate::mm::AddressSpace;
use crate::process::Process;
use crate::process::program::NOT_DUMPABLE;
use crate::process::usage::{Usage, Used};
use crate::process::users::Counted;
use crate::restart::Restart;
use crate::signal::{Signal, ThreadSignals};
use crate::sysv::semaphore::undo::UndoSlot;

/// A thread, as everybody else sees it.
pub struct Thread {
    tid: AtomicU32,
    key: u64,
    process: Arc<Process>,
    attention: Attention,
    published: dispatch::Published,
    task: Once<TaskRef>,
    resources: Slot,
    name: Name,
    usage: Usage,
    clock: Clock,
    words: UserWords,
    settings: Settings,
    scheduling: Scheduling,
    /// Address of the last fault that became a signal, for its frame.
    fault_address: AtomicU64,
    /// Status of exit(2).
    exit_code: AtomicU32,
    /// Threads and processes that it has made.
    children: AtomicU64,
    /// Completed when it lets go of its memory: vfork(2).
    vfork: Option<Arc<Completion>>,
    /// What it costs, until it has exited.
    costs: SpinLock<Costs>,
    signals: ThreadSignals,
    restart: Restart,
    missing: missing::Missing,
    pins: files::Pins,
    semaphore_undo: UndoSlot,
}

/// What a thread costs.
#[derive(Debug, Default)]
pub struct Costs {
    /// Its place among the threads of its user.
    pub counted: Option<Counted>,
    /// The kernel memory that it takes.
    pub charge: Option<Charge>,
}

/// What a thread starts with.
#[derive(Default)]
pub struct Birth {
    /// Its stable key.
    pub key: u64,
    /// Its settings.
    pub settings: Settings,
    /// Its scheduling attributes.
    pub scheduling: Scheduling,
    /// Its name.
    pub name: [u8; NAME_BYTES],
    /// What it costs.
    pub costs: Costs,
    /// Who waits until it lets go of its memory.
    pub vfork: Option<Arc<Completion>>,
    /// What its end takes back from semaphores.
    pub semaphore_undo: UndoSlot,
}

impl Thread {
    /// A thread of `process` with this id and stable key.
    #[must_use]
    pub fn new(tid: u32, key: u64, process: Arc<Process>) -> Arc<Thread> {
        Self::born(tid, process, Birth { key, ..Birth::default() })
    }

    /// A thread with what it inherits.
    #[must_use]
    pub fn born(tid: u32, process: Arc<Process>, birth: Birth) -> Arc<Thread> {
        let attention = Attention::default();
        attention.raise(watched::at_birth());
        Arc::new(Thread {
            tid: AtomicU32::new(tid),
            key: birth.key,
            process,
            attention,
            published: dispatch::Published::default(),
            task: Once::new(),
            resources: Slot::default(),
            name: Name::new(birth.name),
            usage: Usage::default(),
            clock: Clock::default(),
            words: UserWords::default(),
            settings: birth.settings,
            scheduling: birth.scheduling,
            fault_address: AtomicU64::new(0),
            exit_code: AtomicU32::new(0),
            children: AtomicU64::new(0),
            vfork: birth.vfork,
            costs: SpinLock::new(LockClass::Process, birth.costs),
            signals: ThreadSignals::default(),
            restart: Restart::default(),
            missing: missing::Missing::default(),
            pins: files::Pins::default(),
            semaphore_undo: birth.semaphore_undo,
        })
    }

    /// Thread id. It changes once at most, when execve(2) makes the thread its process's first.
    #[must_use]
    pub fn tid(&self) -> u32 {
        self.tid.load(Ordering::Relaxed)
    }

    /// The same in every run of one seed: a hash of the parent's key and which child it is.
    #[must_use]
    pub fn key(&self) -> u64 {
        self.key
    }

    /// The process it belongs to.
    #[must_use]
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// What the thread has to look at before it goes back to ring 3.
    #[must_use]
    pub fn attention(&self) -> &Attention {
        &self.attention
    }

    /// Raises reasons, and makes the thread look at them wherever it is: in ring 3, waiting, or queued.
    pub fn raise(&self, reasons: Reasons) {
        self.attention.raise(reasons);
        self.interrupt();
    }

    /// Ends the thread's interruptible wait, if it is in one, with the reason `Signal`; a thread that
    /// runs in ring 3 comes back from it.
    pub fn interrupt(&self) {
        if let Some(task) = self.task.get() {
            task.interrupt();
        }
    }

    /// Its signals: mask, queue, alternate stack.
    #[must_use]
    pub fn signals(&self) -> &ThreadSignals {
        &self.signals
    }

    /// What restart_syscall(2) goes on with.
    #[must_use]
    pub fn restart(&self) -> &Restart {
        &self.restart
    }

    /// Has the thread's task polled again, without ending its wait.
    pub fn wake(&self) {
        if let Some(task) = self.task.get() {
            task.wake();
        }
    }

    /// What its end takes back from System V semaphores.
    #[must_use]
    pub fn semaphore_undo(&self) -> &UndoSlot {
        &self.semaphore_undo
    }

    /// What the thread is blocked in, for those who watch it.
    #[must_use]
    pub fn published(&self) -> &dispatch::Published {
        &self.published
    }

    /// What it acts with; `None` once it has exited.
    #[must_use]
    pub fn resources(&self) -> Option<Arc<Resources>> {
        self.resources.get()
    }

    /// Replaces what it acts with. Only the thread itself does this; `None` when it exits.
    pub fn set_resources(&self, resources: Option<Arc<Resources>>) {
        drop(self.resources.replace(resources));
    }

    /// unshare(2): own copies of what other threads or processes share. A drop midway leaves the old
    /// table counted as used, so that its files close later, when it goes.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; nothing changed then.
    pub(crate) async fn unshare(&self, place: bool, files: bool) -> Result<()> {
        let Some(resources) = self.resources() else { return Ok(()) };
        let mut new = Resources::clone(&resources);
        let shared = files && resources.files.is_shared();
        if shared {
            new.files = resources.files.duplicate(&resources.caller)?;
            new.handles = resources.handles.duplicate(&resources.caller)?;
        }
        if place {
            new.place = resources.place.duplicate();
        }
        self.set_resources(Some(Arc::new(new)));
        if shared {
            resources.files.leave().await;
            resources.handles.leave().await;
        }
        Ok(())
    }

    /// Itself, as `fs` and `ipc` know it. For the thread's own syscalls.
    ///
    /// # Panics
    ///
    /// When the thread has exited: it makes no syscalls then.
    #[must_use]
    pub fn caller(&self) -> Arc<Caller> {
        self.own(|resources| resources.caller.clone())
    }

    /// Its ids and capabilities. Panics as [`Thread::caller`].
    #[must_use]
    pub fn credentials(&self) -> Arc<Credentials> {
        self.own(|resources| resources.caller.credentials.clone())
    }

    /// Reads its credentials in place. Panics as [`Thread::caller`].
    pub fn with_credentials<R>(&self, read: impl FnOnce(&Credentials) -> R) -> R {
        self.own(|resources| read(&resources.caller.credentials))
    }

    /// Replaces its credentials, with what follows from that: whoever took other ids or more capabilities
    /// is not to be looked into, and a user with too many threads may not execute.
    pub(crate) fn set_credentials(&self, new: Credentials) {
        let Some(old) = self.resources() else { return };
        let before = &old.caller.credentials;
        let gained = (before.euid, before.egid, before.fsuid, before.fsgid)
            != (new.euid, new.egid, new.fsuid, new.fsgid)
            || !before.permitted.contains(new.permitted);
        if gained {
            self.process.program().set_dumpable(NOT_DUMPABLE);
            self.settings.parent_death_signal.store(0, Ordering::Relaxed);
        }
        if before.uid != new.uid {
            let over = self.count_for(new.uid);
            self.process.program().set_over_limit(over);
            self.process.set_uid(new.uid);
        }
        self.set_resources(Some(Arc::new(old.with_credentials(new))));
    }

    /// Its memory. Panics as [`Thread::caller`].
    #[must_use]
    pub fn space(&self) -> Arc<AddressSpace> {
        self.own(|resources| resources.space.clone())
    }

    /// Its handles. Panics as [`Thread::caller`].
    #[must_use]
    pub fn handles(&self) -> Arc<HandleTable> {
        self.own(|resources| resources.handles.clone())
    }

    /// Its root, working directory and umask. Panics as [`Thread::caller`].
    #[must_use]
    pub fn fs_context(&self) -> Arc<FsContext> {
        self.own(|resources| resources.place.clone())
    }

    fn own<R>(&self, read: impl FnOnce(&Resources) -> R) -> R {
        self.resources.map(read).expect("a thread that runs has its resources")
    }

    /// Its name: `prctl(PR_SET_NAME)`, `/proc/<pid>/comm`.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Renames it, and its task in the dumps.
    pub fn set_name(&self, name: &[u8]) {
        self.name.set(name);
        let padded = self.name.get();
        let length = padded.iter().position(|&byte| byte == 0).unwrap_or(padded.len());
        if let (Some(task), Ok(text)) = (self.task.get(), core::str::from_utf8(&padded[..length])) {
            task.set_name(text);
        }
    }

    /// Its page faults and switches; [`Thread::used`] has the times too.
    #[must_use]
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Its time in ring 3 and in the kernel.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// It runs from now on: its clock counts, and its process's timers that count CPU time look again.
    pub fn resumed(&self) {
        self.clock.resume();
        self.process.timers().resumed(&self.process);
    }

    /// Everything it has used so far.
    #[must_use]
    pub fn used(&self) -> Used {
        let (user, system) = self.clock.now();
        Used { user, system, ..self.usage.get() }
    }

    /// The words in user memory that concern its end.
    #[must_use]
    pub fn words(&self) -> &UserWords {
        &self.words
    }

    /// Its scheduling attributes.
    #[must_use]
    pub fn scheduling(&self) -> &Scheduling {
        &self.scheduling
    }

    /// Its settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// One more child: its number among this thread's children, from 0.
    pub(crate) fn count_child(&self) -> u64 {
        self.children.fetch_add(1, Ordering::Relaxed)
    }

    /// True when it has ever made a thread or process.
    pub(crate) fn has_children(&self) -> bool {
        self.children.load(Ordering::Relaxed) > 0
    }

    /// Ends the wait of vfork(2) for this thread. Further calls have no effect.
    pub(crate) fn complete_vfork(&self) {
        if let Some(completion) = &self.vfork {
            completion.complete();
        }
    }

    /// Where its parent waits in vfork(2).
    pub(crate) fn vfork_source(&self) -> Option<&WaitSource> {
        self.vfork.as_deref().map(Completion::source)
    }

    /// The status of exit(2).
    pub(crate) fn exit_code(&self) -> u8 {
        u8::try_from(self.exit_code.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// exit(2): the thread leaves its process at its next look at the attention word.
    pub(crate) fn exit(&self, code: u8) {
        self.exit_code.store(code.into(), Ordering::Relaxed);
        self.attention.raise(Reasons::DIE);
    }

    /// execve(2) made it the first thread of its process.
    pub(crate) fn take_number(&self, tid: u32) {
        self.tid.store(tid, Ordering::Relaxed);
        if let Some(task) = self.task.get() {
            task.task_local().set_thread(self.process.pid(), tid);
        }
    }

    /// The signal that it wants when its parent thread ends.
    pub(crate) fn parent_death_signal(&self) -> Option<Signal> {
        let number = self.settings.parent_death_signal.load(Ordering::Relaxed);
        i32::try_from(number).ok().and_then(|number| Signal::new(number).ok())
    }

    /// Counts it for another user: setuid(2). True when that user is over `RLIMIT_NPROC` now.
    pub(crate) fn count_for(&self, uid: u32) -> bool {
        let mut costs = self.costs.lock();
        let limits = self.process.limits();
        costs.counted.as_mut().is_some_and(|counted| counted.pass_to(uid, limits))
    }

    /// Gives back what it cost: it has exited.
    pub(crate) fn release_costs(&self) {
        let costs = core::mem::take(&mut *self.costs.lock());
        drop(costs);
    }

    /// Address of the last fault that became a signal: `cr2` in a signal frame.
    #[must_use]
    pub fn fault_address(&self) -> u64 {
        self.fault_address.load(Ordering::Relaxed)
    }

    /// Notes the address of a fault.
    pub(crate) fn set_fault_address(&self, address: u64) {
        self.fault_address.store(address, Ordering::Relaxed);
    }

    /// The task that runs it, once it has run.
    #[must_use]
    pub fn task(&self) -> Option<&TaskRef> {
        self.task.get()
    }

    /// The wait that it is in now; nothing when it runs or could.
    #[must_use]
    pub fn current_wait(&self) -> Option<WaitSnapshot> {
        let task = self.task().filter(|task| task.state() == TaskState::Blocked)?;
        task.last_wait().filter(|wait| wait.ended.is_none())
    }

    /// The thread that runs on this CPU now; `None` in a kernel service.
    #[must_use]
    pub fn current() -> Option<Arc<Thread>> {
        executor::current()?.local()?.downcast().ok()
    }

    /// Makes the current task the one that runs this thread. Whoever raised reasons before this is
    /// seen at the first look at the attention word.
    pub(crate) fn adopt_task(self: &Arc<Self>) {
        if let Some(task) = executor::current() {
            self.set_task(task);
        }
    }

    /// `task` runs this thread, and tells so. Further calls have no effect.
    pub(crate) fn set_task(self: &Arc<Self>, task: TaskRef) {
        let local: Weak<Thread> = Arc::downgrade(self);
        task.set_local(local);
        task.task_local().set_thread(self.process.pid(), self.tid());
        self.task.call_once(|| task);
    }

    /// Takes back what [`Thread::interrupt`] did: the thread has looked.
    pub fn clear_interrupt(&self) {
        if let Some(task) = self.task.get() {
            task.clear_interrupt();
        }
    }
}

impl core::fmt::Debug for Thread {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "thread {} of {:?}", self.tid(), self.process)
    }
}
