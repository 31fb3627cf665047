//! Processes: thread groups, their family tree, and what their threads share.
//!
//! | module | subject |
//! |---|---|
//! | [`numbers`], [`registry`] | ids and the family tree, as plain data |
//! | [`table`] | the one registry of this machine, and its lookups |
//! | [`clone`](mod@clone), [`clone_flags`] | new threads and processes |
//! | [`ending`], [`exit`] | why a process ends, and what its end does |
//! | [`exec`], [`exec_file`], [`program`] | what it executes |
//! | [`children`], [`report`], [`wait`] | what wait4(2) looks for |
//! | [`groups`], [`session`] | process groups, sessions, controlling terminals |
//! | [`identity`] | how credentials change |
//! | [`control`] | commands through `/proc/<pid>/control` |
//! | [`oom`] | who dies when memory is out |
//! | [`usage`], [`rusage`], [`users`] | what it has used, and what its user has |

pub mod children;
pub mod clone;
pub mod clone_flags;
pub mod control;
pub mod ending;
pub mod exec;
pub mod exec_file;
pub mod exit;
pub mod groups;
pub mod identity;
pub mod numbers;
pub mod oom;
pub mod pidfd;
pub mod program;
pub mod registry;
pub mod report;
pub mod rusage;
pub mod session;
pub mod table;
pub mod usage;
pub mod users;
pub mod wait;

use alloc::sync::Arc;

use base::caller::Limits;
use base::charge::Account;
use base::machine;
use base::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use base::sync::{LockClass, Once, SpinLock};
use base::time::Instant;

use executor::pollwait::{Events, Reason, WaitKind, WaitSource};

use ending::Ending;
use program::Program;
use report::Report;
use usage::{Usage, Used};

use crate::mm::AddressSpace;
use crate::signal::{Actions, SharedSignals, Signal};
use crate::thread::Thread;
use crate::time::timers::Timers;

/// A thread group.
///
/// Its place in the family tree is kept by the [`registry`]; the copies here (parent, group, session)
/// are written under the registry's lock and read without it.
pub struct Process {
    pid: u32,
    key: u64,
    parent: AtomicU32,
    group: AtomicU32,
    session: AtomicU32,
    started: Instant,
    program: Program,
    uid: AtomicU32,
    exit_signal: AtomicU32,
    live_threads: AtomicUsize,
    limits: Arc<Limits>,
    account: Arc<Account>,
    ending: Ending,
    signals: SharedSignals,
    actions: SpinLock<Arc<Actions>>,
    report: Report,
    /// What its finished threads used.
    usage: Usage,
    /// Woken when a child changes its state.
    children_source: Arc<WaitSource>,
    /// Woken when one of its threads is gone.
    threads_source: Arc<WaitSource>,
    /// Its last thread is gone.
    ended: AtomicBool,
    /// What its finished and awaited children used.
    children_usage: Usage,
    timers: Timers,
    /// Commands that came through `/proc`; made when the file is first looked up.
    control: Once<Arc<control::Audit>>,
}

impl Process {
    /// A process with this id and stable key. It is nobody until [`table`] has it.
    #[must_use]
    pub fn new(pid: u32, key: u64, limits: Arc<Limits>) -> Arc<Process> {
        Self::with_parts(pid, key, limits, Account::new(), Actions::new())
    }

    /// A process that is made of these parts.
    #[must_use]
    pub fn with_parts(
        pid: u32,
        key: u64,
        limits: Arc<Limits>,
        account: Arc<Account>,
        actions: Arc<Actions>,
    ) -> Arc<Process> {
        let timers = Timers::new(&limits);
        Arc::new(Process {
            pid,
            key,
            parent: AtomicU32::new(0),
            group: AtomicU32::new(pid),
            session: AtomicU32::new(pid),
            started: machine::now(),
            program: Program::default(),
            uid: AtomicU32::new(0),
            exit_signal: AtomicU32::new(Signal::SIGCHLD.number().into()),
            live_threads: AtomicUsize::new(0),
            limits,
            account,
            ending: Ending::default(),
            signals: SharedSignals::default(),
            actions: SpinLock::new(LockClass::Process, actions),
            report: Report::default(),
            usage: Usage::default(),
            children_source: Arc::new(WaitSource::new(WaitKind::Child, pid.into())),
            threads_source: Arc::new(WaitSource::new(WaitKind::Exit, pid.into())),
            ended: AtomicBool::new(false),
            children_usage: Usage::default(),
            timers,
            control: Once::new(),
        })
    }

    /// Process id: the thread id of its first thread.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The same in every run of one seed: a hash of the parent's key and which child it is.
    #[must_use]
    pub fn key(&self) -> u64 {
        self.key
    }

    /// Process id of the parent, 0 for the first process.
    #[must_use]
    pub fn parent(&self) -> u32 {
        self.parent.load(Ordering::Relaxed)
    }

    /// Process group id.
    #[must_use]
    pub fn group(&self) -> u32 {
        self.group.load(Ordering::Relaxed)
    }

    /// Session id.
    #[must_use]
    pub fn session(&self) -> u32 {
        self.session.load(Ordering::Relaxed)
    }

    /// True when it leads its session.
    #[must_use]
    pub fn is_session_leader(&self) -> bool {
        self.session() == self.pid
    }

    /// When it was made.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// What it executes, and what follows from that.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// What a forked process has from its parent, beside what is shared or copied as a whole.
    pub(super) fn inherit(&self, parent: &Process) {
        self.set_uid(parent.real_uid());
        self.program.inherit(&parent.program);
    }

    /// Real user id, as the thread that changed it last left it: signals to the parent carry it.
    #[must_use]
    pub fn real_uid(&self) -> u32 {
        self.uid.load(Ordering::Relaxed)
    }

    /// Publishes the real user id.
    pub(crate) fn set_uid(&self, uid: u32) {
        self.uid.store(uid, Ordering::Relaxed);
    }

    /// The signal that tells the parent of the end; `None` when there is none.
    #[must_use]
    pub fn exit_signal(&self) -> Option<Signal> {
        i32::try_from(self.exit_signal.load(Ordering::Relaxed)).ok().and_then(|n| Signal::new(n).ok())
    }

    /// Sets the signal that tells the parent; a number that is no signal means none.
    pub(crate) fn set_exit_signal(&self, number: u32) {
        self.exit_signal.store(number, Ordering::Relaxed);
    }

    /// Threads that have not exited.
    #[must_use]
    pub fn live_threads(&self) -> usize {
        self.live_threads.load(Ordering::Relaxed)
    }

    /// Resource limits.
    #[must_use]
    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// Who pays for its kernel memory.
    #[must_use]
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Signals sent to the process as a whole, and whether it is stopped.
    #[must_use]
    pub fn signals(&self) -> &SharedSignals {
        &self.signals
    }

    /// What it does about each signal.
    #[must_use]
    pub fn actions(&self) -> Arc<Actions> {
        self.actions.lock().clone()
    }

    /// Replaces its actions as a whole: clone, exec.
    pub fn set_actions(&self, actions: Arc<Actions>) {
        let before = core::mem::replace(&mut *self.actions.lock(), actions);
        drop(before);
    }

    /// Whether it is ending, and how.
    #[must_use]
    pub fn ending(&self) -> &Ending {
        &self.ending
    }

    /// The stop or continuation that its parent has not waited for.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// A live thread, the first one if it lives: what `/proc/<pid>` shows of the whole process.
    #[must_use]
    pub fn first_thread(&self) -> Option<Arc<Thread>> {
        let table = table::lock();
        let node = table.process(self.pid)?;
        node.threads.iter().find_map(|tid| table.thread(*tid)).cloned()
    }

    /// Its memory; `None` when its threads have exited.
    #[must_use]
    pub fn space(&self) -> Option<Arc<AddressSpace>> {
        self.first_thread()?.resources().map(|resources| resources.space.clone())
    }

    /// What wait4(2) waits on: woken when a child ends, stops or is continued.
    #[must_use]
    pub fn children_source(&self) -> &Arc<WaitSource> {
        &self.children_source
    }

    /// Woken when one of its threads is gone: execve(2) waits for the others, pidfds for the last.
    #[must_use]
    pub(crate) fn threads_source(&self) -> &Arc<WaitSource> {
        &self.threads_source
    }

    /// True when its last thread is gone, whether anybody waited for it or not.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Its last thread is gone.
    pub(super) fn set_ended(&self) {
        self.ended.store(true, Ordering::Release);
        self.threads_source.wake_all(Events::IN, Reason::Data);
    }

    /// One thread more; under the registry's lock.
    pub(crate) fn joined(&self) {
        self.live_threads.fetch_add(1, Ordering::Relaxed);
    }

    /// One thread less; under the registry's lock.
    pub(super) fn left(&self) {
        self.live_threads.fetch_sub(1, Ordering::Relaxed);
    }

    /// What all its threads used, finished and live ones.
    #[must_use]
    pub fn total_usage(&self) -> Used {
        let mut total = self.usage.get();
        table::for_each_thread(self, |thread| total = total + thread.used());
        total
    }

    /// What its finished threads used; add the live ones for the whole.
    #[must_use]
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Its timers that send signals, and its limit on CPU time.
    #[must_use]
    pub fn timers(&self) -> &Timers {
        &self.timers
    }

    /// The audit of the commands that came through `/proc`.
    #[must_use]
    pub fn control(&self) -> &Arc<control::Audit> {
        self.control.call_once(|| Arc::new(control::Audit::new()))
    }

    /// What its awaited children, and theirs, used.
    #[must_use]
    pub fn children_usage(&self) -> &Usage {
        &self.children_usage
    }
}

impl core::fmt::Debug for Process {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "process {}", self.pid)
    }
}
