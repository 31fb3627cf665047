//! A new thread or process: fork(2), vfork(2), clone(2), clone3(2).
//!
//! Everything that can fail is made first. From the moment the new thread is in the registry nothing
//! can fail any more, so there is nothing to take back.

use alloc::sync::Arc;

use base::caller::{Caller, Limits};
use base::charge::{Account, Charge};
use base::{Errno, Result};
use executor::lock::Completion;
use executor::{CpuSet, TaskOptions, child_key};
use fs::file::{FdEntry, FdTable};
use fs::vfs::FsContext;
use ipc::HandleTable;

use crate::machine::{USER_END, UserContext, user_machine};
use crate::mm::AddressSpace;
use crate::process::clone_flags::{CloneFlags, CloneRequest};
use crate::process::pidfd::PidFd;
use crate::process::registry::INIT;
use crate::process::users::Counted;
use crate::process::{Process, table};
use crate::signal::Signal;
use crate::signal::altstack::AltStack;
use crate::sysv::semaphore::undo::UndoSlot;
use crate::thread::attention::Reasons;
use crate::thread::resources::Resources;
use crate::thread::run::{Start, run};
use crate::thread::{Birth, Costs, Thread};
use crate::user::write_u32;

/// Bytes that a thread is charged for: its shared part, its task with the future, its FPU image.
const THREAD_BYTES: usize = 4096;

/// Bytes that a process is charged for, beside its threads, its memory and its descriptors.
const PROCESS_BYTES: usize = 2048;

/// Makes the new task and answers its id; with `CLONE_VFORK` when it has let go of the memory.
///
/// Dropping the future before the task is in the registry leaves nothing; afterwards the task lives,
/// and only the wait for vfork(2) is given up.
///
/// # Errors
///
/// `EINVAL` and `EPERM` as [`CloneRequest::check`]; `EAGAIN` past `RLIMIT_NPROC` or without a free
/// number; `ENOMEM`; the restart code `ERESTARTNOINTR` when a signal waits, so that a signal to the
/// group is never lost between the two.
pub async fn clone(thread: &Thread, context: &mut UserContext, request: CloneRequest) -> Result<u64> {
    let maker = thread.process();
    let credentials = thread.credentials();
    request.check(credentials.effective, maker.pid() == INIT)?;
    if request.flags.contains(CloneFlags::SETTLS) && request.tls >= USER_END {
        return Err(Errno::EPERM);
    }
    if thread.attention().get().intersects(Reasons::SIGNAL | Reasons::DIE) {
        return Err(Errno::ERESTARTNOINTR);
    }
    let counted = Counted::new(&credentials, maker.limits())?;
    let child_context = child_context(context, &request)?;
    let parts = Parts::make(thread, &request).await?;
    let space = thread.space();
    let files = thread.files();
    let pidfd = match request.flags.contains(CloneFlags::PIDFD) {
        true => {
            let caller = thread.caller();
            let file = PidFd::open(&caller, None, false)?;
            let reserved = files.reserve(&caller, 0)?;
            write_u32(&*space, request.pidfd, reserved.number().cast_unsigned()).await?;
            Some((reserved, file))
        }
        false => None,
    };
    let completion = request.flags.contains(CloneFlags::VFORK).then(|| Arc::new(Completion::new()));
    let child = publish(thread, &request, parts, counted, completion.clone())?;
    table::count_birth();
    let tid = child.tid();
    let newborn = Newborn { thread, request: &request, child: Some((child.clone(), child_context)) };
    if request.flags.contains(CloneFlags::PARENT_SETTID) {
        // As on Linux, a bad address is the program's own affair.
        let _ = write_u32(&*space, request.parent_tid, tid).await;
    }
    drop(space);
    if let Some((reserved, file)) = pidfd {
        if let Some(pidfd) = file.ops_as::<PidFd>() {
            pidfd.fill(child.process().clone());
        }
        reserved.install(FdEntry::new(file, true));
    }
    drop((newborn, child));
    if let Some(completion) = completion {
        completion.wait().await;
    }
    Ok(tid.into())
}

/// The registers of the new task: the maker's, with answer 0.
fn child_context(context: &UserContext, request: &CloneRequest) -> Result<UserContext> {
    let mut fpu = user_machine().new_fpu()?;
    fpu.set_image(context.fpu.image())?;
    let mut registers = context.registers;
    registers.rax = 0;
    if request.stack != 0 {
        registers.rsp = request.stack;
    }
    if request.flags.contains(CloneFlags::SETTLS) {
        registers.fs_base = request.tls;
    }
    Ok(UserContext { registers, full_restore: true, fpu })
}

/// What the new task is made of, before it has a number.
struct Parts {
    limits: Arc<Limits>,
    account: Arc<Account>,
    charge: Charge,
    caller: Arc<Caller>,
    space: Arc<AddressSpace>,
    place: Arc<FsContext>,
    /// Its own descriptor table; without one it shares its maker's, counted when nothing can fail any more.
    files: Option<Arc<FdTable>>,
    /// Its own handles, as above.
    handles: Option<Arc<HandleTable>>,
}

impl Parts {
    async fn make(thread: &Thread, request: &CloneRequest) -> Result<Parts> {
        let maker = thread.process();
        let has = |flag| request.flags.contains(flag);
        let own = thread.resources().ok_or(Errno::ESRCH)?;
        let (limits, account, bytes) = if has(CloneFlags::THREAD) {
            (maker.limits().clone(), maker.account().clone(), THREAD_BYTES)
        } else {
            let limits = Arc::new(Limits::clone(maker.limits()));
            (limits, Account::new(), THREAD_BYTES + PROCESS_BYTES)
        };
        let charge = Charge::new(&account, bytes)?;
        let space = if has(CloneFlags::VM) {
            own.space.clone()
        } else {
            own.space.fork(limits.clone(), account.clone()).await?
        };
        let caller = Arc::new(Caller {
            limits: limits.clone(),
            account: account.clone(),
            memory: space.clone(),
            ..Caller::clone(&own.caller)
        });
        let place = if has(CloneFlags::FS) { own.place.clone() } else { own.place.duplicate() };
        let files = match has(CloneFlags::FILES) {
            true => None,
            false => Some(own.files.duplicate(&caller)?),
        };
        let handles = match files {
            Some(_) => Some(own.handles.duplicate(&caller)?),
            None => None,
        };
        Ok(Parts { limits, account, charge, caller, space, place, files, handles })
    }
}

/// Gives the new task its number and its place in the tree.
fn publish(
    thread: &Thread,
    request: &CloneRequest,
    parts: Parts,
    counted: Counted,
    completion: Option<Arc<Completion>>,
) -> Result<Arc<Thread>> {
    let maker = thread.process();
    let has = |flag| request.flags.contains(flag);
    let key = child_key(thread.key(), thread.count_child());
    let alternate = if has(CloneFlags::VM) && !has(CloneFlags::VFORK) {
        AltStack::default()
    } else {
        thread.signals().alternate()
    };
    let birth = Birth {
        key,
        settings: thread.settings().inherit(),
        scheduling: thread.scheduling().inherit(),
        name: thread.name().get(),
        costs: Costs { counted: Some(counted), charge: Some(parts.charge) },
        vfork: completion,
        semaphore_undo: match has(CloneFlags::SYSVSEM) {
            true => UndoSlot::sharing(thread.semaphore_undo().list()),
            false => UndoSlot::default(),
        },
    };
    let (own_files, own_handles) = (thread.files(), thread.handles());
    let mut table = table::lock();
    if thread.attention().is_dying() || has(CloneFlags::THREAD) && maker.ending().forbids_threads() {
        return Err(Errno::ERESTARTNOINTR);
    }
    let tid = match request.wanted {
        0 => table.fresh_number()?,
        wanted if table.is_free(wanted) => wanted,
        _ => return Err(Errno::EEXIST),
    };
    let process = if has(CloneFlags::THREAD) {
        maker.clone()
    } else {
        let actions = match () {
            () if has(CloneFlags::SIGHAND) => maker.actions(),
            () if has(CloneFlags::CLEAR_SIGHAND) => maker.actions().after_exec(),
            () => maker.actions().fork(),
        };
        let process = Process::with_parts(tid, key, parts.limits, parts.account, actions);
        process.inherit(maker);
        let exit_signal = if has(CloneFlags::PARENT) {
            maker.exit_signal().map_or(0, Signal::number).into()
        } else {
            request.exit_signal
        };
        process.set_exit_signal(exit_signal);
        process
    };
    let child = Thread::born(tid, process.clone(), birth);
    child.signals().inherit(thread.signals().mask(), alternate);
    let caller = Arc::new(Caller { key, pid: process.pid(), tid, ..Caller::clone(&parts.caller) });
    let files = parts.files.unwrap_or_else(|| own_files.share());
    let handles = parts.handles.unwrap_or_else(|| own_handles.share());
    let resources = Resources { caller, space: parts.space, files, handles, place: parts.place };
    child.set_resources(Some(Arc::new(resources)));
    if has(CloneFlags::THREAD) {
        table.insert_thread(maker.pid(), tid, child.clone());
    } else {
        let (parent, parent_thread) = parent_of(&table, thread, has(CloneFlags::PARENT));
        table.insert(tid, process.clone(), child.clone(), parent, parent_thread);
        table::publish_relations(&table, tid);
    }
    process.joined();
    // A stop that began before the thread was there concerns it too.
    if has(CloneFlags::THREAD) && maker.signals().is_stopped() {
        child.attention().raise(Reasons::STOP);
    }
    Ok(child)
}

/// The new process's parent: its maker, or with `CLONE_PARENT` its maker's parent.
fn parent_of(table: &table::Table, thread: &Thread, sibling: bool) -> (u32, u32) {
    let pid = thread.process().pid();
    match table.process(pid) {
        Some(node) if sibling => (node.parent, node.parent_thread),
        _ => (pid, thread.tid()),
    }
}

/// A task with a number that does not run yet. It starts when this is dropped, also when its maker is killed
/// while it tells the number: somebody has to run it.
struct Newborn<'a> {
    thread: &'a Thread,
    request: &'a CloneRequest,
    child: Option<(Arc<Thread>, UserContext)>,
}

impl Drop for Newborn<'_> {
    fn drop(&mut self) {
        if let Some((child, context)) = self.child.take() {
            start(self.thread, child, context, self.request);
        }
    }
}

fn start(thread: &Thread, child: Arc<Thread>, context: UserContext, request: &CloneRequest) {
    let has = |flag| request.flags.contains(flag);
    if has(CloneFlags::CHILD_CLEARTID) {
        child.words().set_clear_child_tid(request.child_tid);
    }
    let start = Start { child_tid: if has(CloneFlags::CHILD_SETTID) { request.child_tid } else { 0 } };
    spawn(child, context, start, thread.task().map_or(CpuSet::ALL, executor::TaskRef::affinity));
}

/// Makes the task that runs `thread`.
pub fn spawn(thread: Arc<Thread>, context: UserContext, start: Start, affinity: CpuSet) {
    let name = thread.name().get();
    let length = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    let name = core::str::from_utf8(&name[..length]).unwrap_or("?");
    let options = TaskOptions::new(name).key(thread.key()).affinity(affinity);
    let task = executor::spawn(options, run(thread.clone(), context, start));
    // Others may ask for its task before it has run for the first time.
    thread.set_task(task);
}
