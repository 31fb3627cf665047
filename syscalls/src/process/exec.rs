//! Replacing the program: execve(2), execveat(2).
//!
//! ```text
//!   open, read the strings, build the new space          errors go to the caller
//!   end the other threads, wait until they are gone      a kill ends it here
//!   ---- point of no return ----
//!   let go of the old memory (vfork's parent goes on), take the new one, new credentials
//!   close-on-exec, signal actions, name
//! ```
//!
//! The new space is complete before the old one is given up, so there is nothing that can fail behind the
//! point of no return.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::caller::{Caller, Resource};
use base::sync::atomic::Ordering;
use base::{Errno, Result};
use executor::pollwait::Wait;
use fs::vfs::{Start, Subject, WalkFlags};

use crate::elf::{ExecContext, LoadRequest, Loaded, load, strings};
use crate::machine::{UserContext, user_machine};
use crate::process::ending::ExitStatus;
use crate::process::exec_file::{self, Executor};
use crate::process::identity::image;
use crate::process::program::{DUMPABLE, Executed, NOT_DUMPABLE};
use crate::process::{Process, exit, table, users};
use crate::signal::Signal;
use crate::signal::send::{discard_timers, end_process};
use crate::thread::Thread;
use crate::thread::attention::Reasons;
use crate::thread::resources::Resources;

/// What execve(2) is asked for: which file, and where its strings are.
pub struct ExecRequest {
    /// Path as given.
    pub path: Vec<u8>,
    /// The descriptor that a relative path starts at; `None` for the working directory.
    pub directory: Option<i32>,
    /// How to walk: whether the last symbolic link is followed, and whether the path may be empty.
    pub walk: WalkFlags,
    /// Address of the argument list.
    pub arguments: u64,
    /// Address of the environment list.
    pub environment: u64,
}

/// Replaces the program of the calling thread's process.
///
/// Dropping the future leaves the old program, or, once the other threads are being ended, a process
/// that is dying anyway.
///
/// # Errors
///
/// As `execve(2)`; the old program goes on. Where Linux has no old program any more the process ends
/// with SIGSEGV.
pub async fn exec(thread: &Thread, context: &mut UserContext, request: ExecRequest) -> Result<u64> {
    let process = thread.process();
    check_thread_limit(thread)?;
    let executor = Executor::new(thread)?;
    let loaded = match prepare(thread, &executor, request).await {
        Ok(loaded) => loaded,
        Err(error) => {
            if error.fatal {
                end_process(process, ExitStatus::Signal { signal: Signal::SIGSEGV, core: true });
            }
            return Err(error.errno);
        }
    };
    let files = exec_file::own_files(thread)?;
    let handles = exec_file::own_handles(thread)?;
    become_only_thread(thread).await?;

    let (credentials, secure) = executor.credentials(loaded.program.as_ref());
    drop(executor);
    exit::release_memory(thread).await;
    let Some(old) = thread.resources() else { return Err(Errno::ESRCH) };
    let id_changed =
        credentials.euid != old.caller.credentials.euid || credentials.egid != old.caller.credentials.egid;
    let caller = Arc::new(Caller {
        tid: thread.tid(),
        credentials: Arc::new(credentials),
        memory: loaded.space.clone(),
        ..Caller::clone(&old.caller)
    });
    let place = old.place.clone();
    let old_files = files.is_some().then(|| old.files.clone());
    let files = files.unwrap_or_else(|| old.files.clone());
    let old_handles = handles.is_some().then(|| old.handles.clone());
    let handles = handles.unwrap_or_else(|| old.handles.clone());
    let space = loaded.space.clone();
    drop(old);
    thread.set_resources(Some(Arc::new(Resources {
        caller,
        space,
        files: files.clone(),
        handles: handles.clone(),
        place,
    })));
    thread.attention().raise(Reasons::SPACE);
    let gains_rights = secure || id_changed;
    enter(thread, context, &loaded, gains_rights);
    process.ending().end_exec();
    if let Some(old_files) = old_files {
        old_files.leave().await;
    }
    files.close_on_exec().await;
    if let Some(old_handles) = old_handles {
        old_handles.leave().await;
    }
    // A program that may do more than the one before it does not inherit what that one could reach.
    handles.close_on_exec(gains_rights).await;
    Ok(0)
}

/// A user that took its id while over `RLIMIT_NPROC` may not execute until it has fewer threads.
fn check_thread_limit(thread: &Thread) -> Result<()> {
    let process = thread.process();
    if process.program().is_over_limit() {
        if users::threads_of(process.real_uid()) > process.limits().soft(Resource::Processes) {
            return Err(Errno::EAGAIN);
        }
        process.program().set_over_limit(false);
    }
    Ok(())
}

/// Builds the new program beside the old one.
async fn prepare(
    thread: &Thread,
    executor: &Executor,
    request: ExecRequest,
) -> core::result::Result<Loaded, crate::elf::LoadError> {
    let process = thread.process();
    let (directory, inaccessible) = match request.directory {
        Some(fd) if request.path.first() != Some(&b'/') => {
            let files = thread.files();
            (Some(files.get_any(fd)?), files.cloexec(fd)?)
        }
        _ => (None, false),
    };
    let start = directory.as_ref().map_or(Start::Cwd, |file| Start::At(file.path()));
    let file = executor.open_at(start, &request.path, request.walk).await?;
    let filename = match request.directory {
        Some(fd) if directory.is_some() => exec_file::descriptor_path(fd, &request.path),
        _ => request.path,
    };
    let space = thread.space();
    let limits = process.limits();
    let (arguments, environment) =
        strings::read_all(&*space, limits, filename.len(), request.arguments, request.environment).await?;
    let request = LoadRequest {
        file,
        filename,
        path_inaccessible: inaccessible,
        arguments,
        environment,
        limits: limits.clone(),
        account: process.account().clone(),
    };
    load(request, executor).await
}

/// Gives the right to execute back when the attempt is dropped.
struct Claim<'a>(&'a Process);

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.0.ending().end_exec();
    }
}

/// Ends the other threads, waits until they are gone, and takes the process's own number.
///
/// # Errors
///
/// `EAGAIN` when the process is ending, or another thread executes a program. Nobody sees it: the thread ends.
async fn become_only_thread(thread: &Thread) -> Result<()> {
    let process = thread.process();
    if !process.ending().begin_exec() {
        // Whoever was first says the same to every thread, but may not have come to this one yet.
        thread.attention().raise(Reasons::DIE);
        return Err(Errno::EAGAIN);
    }
    let claim = Claim(process);
    table::for_each_thread(process, |other| {
        if other.tid() != thread.tid() {
            other.raise(Reasons::DIE);
        }
    });
    loop {
        let seen = process.threads_source().observe();
        if process.live_threads() <= 1 {
            break;
        }
        let _ = process.threads_source().wait(seen, Wait::uninterruptible()).await;
    }
    if thread.tid() != process.pid() {
        table::lock().take_over_leader(process.pid(), thread.tid());
        thread.take_number(process.pid());
    }
    core::mem::forget(claim);
    Ok(())
}

/// Past the point of no return: registers, signals, names.
fn enter(thread: &Thread, context: &mut UserContext, loaded: &Loaded, gained: bool) {
    let process = thread.process();
    user_machine().discard_fpu(context);
    context.fpu.reset();
    context.registers = loaded.registers;
    context.full_restore = true;
    process.set_actions(process.actions().after_exec());
    process.timers().delete_all();
    discard_timers(thread);
    thread.signals().clear_alternate();
    if gained {
        thread.settings().parent_death_signal.store(0, Ordering::Relaxed);
    }
    process.program().set_dumpable(if gained { NOT_DUMPABLE } else { DUMPABLE });
    process.program().set_file(Executed::of(&loaded.program));
    let name = loaded.filename.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    thread.set_name(name);
    process.set_exit_signal(Signal::SIGCHLD.number().into());
    if let Some(node) = table::lock().process_mut(process.pid()) {
        node.executed = true;
    }
}

/// Loads the first program: like [`exec`], but there is no old one.
///
/// # Errors
///
/// As `execve(2)`.
pub async fn load_first(
    thread: &Thread,
    context: &mut UserContext,
    path: &[u8],
    arguments: &[Vec<u8>],
    environment: &[Vec<u8>],
) -> Result<()> {
    let process = thread.process();
    let executor = Executor::new(thread)?;
    let mut lists = [strings::Strings::default(), strings::Strings::default()];
    for (list, words) in lists.iter_mut().zip([arguments, environment]) {
        for word in words {
            list.push(word)?;
        }
    }
    let [arguments, environment] = lists;
    let request = LoadRequest {
        file: executor.open(path).await?,
        filename: path.to_vec(),
        path_inaccessible: false,
        arguments,
        environment,
        limits: process.limits().clone(),
        account: process.account().clone(),
    };
    let loaded = load(request, &executor).await.map_err(|error| error.errno)?;
    let Some(old) = thread.resources() else { return Err(Errno::ESRCH) };
    let caller = Caller { memory: loaded.space.clone(), ..Caller::clone(&old.caller) };
    let resources =
        Resources { caller: Arc::new(caller), space: loaded.space.clone(), ..Resources::clone(&old) };
    thread.set_resources(Some(Arc::new(resources)));
    enter(thread, context, &loaded, false);
    Ok(())
}

/// The subject of a thread's own path walks.
#[must_use]
pub fn subject<'a>(resources: &'a Resources) -> Subject<'a> {
    Subject { caller: &resources.caller, fs: &resources.place }
}

/// The ids and the distrust of the new program, for the loader and for the thread.
pub(super) fn new_credentials(
    resources: &Resources,
    file: &image::ProgramFile,
    obstacles: image::Obstacles,
) -> (base::caller::Credentials, bool) {
    image::execute(&resources.caller.credentials, file, obstacles)
}
