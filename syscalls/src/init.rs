//! The first process: made from nothing, in the root file system that was unpacked at boot.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::caller::{Caller, Credentials, Limits};
use base::charge::Charge;
use base::machine::Outcome;
use base::memory::KernelBytes;
use base::{Errno, Result, machine};
use executor::{Executor, TaskOptions, child_key};
use fs::file::{FdTable, OpenFlags};
use fs::vfs::{FsContext, Namespace, OpenHow, Start, WalkFlags, open};
use ipc::HandleTable;

use crate::machine::{Registers, UserContext, user_machine};
use crate::mm::AddressSpace;
use crate::process::numbers::PID_MAX;
use crate::process::registry::INIT;
use crate::process::users::Counted;
use crate::process::{Process, exec, oom, session, table};
use crate::signal::sink;
use crate::thread::resources::Resources;
use crate::thread::run::{Start as ThreadStart, run};
use crate::thread::{Birth, Costs, Thread};

/// What the first process is made of.
pub struct Init {
    /// The mounts, with the unpacked root.
    pub namespace: Arc<Namespace>,
    /// Program to run; without one, those of [`USUAL`] in turn.
    pub path: Option<Vec<u8>>,
    /// Arguments behind the program's own name.
    pub arguments: Vec<Vec<u8>>,
    /// Environment, as `NAME=value`.
    pub environment: Vec<Vec<u8>>,
}

/// Where the first program may be, in the order in which Linux looks.
pub const USUAL: [&[u8]; 5] = [b"/init", b"/sbin/init", b"/etc/init", b"/bin/init", b"/bin/sh"];

/// The device that becomes descriptors 0, 1 and 2.
const CONSOLE: &[u8] = b"/dev/console";

/// Bytes that the first thread is charged for.
const THREAD_BYTES: usize = 4096;

/// Starts the first process on `executor`. When it ends, the machine is powered off with its status.
pub fn start(executor: &'static Executor, init: Init) {
    session::install();
    sink::install();
    oom::install();
    let key = child_key(0, u64::from(INIT));
    executor.spawn(TaskOptions::new("init").key(key), async move {
        match first_thread(key, &init) {
            Ok(thread) => become_init(thread, init).await,
            Err(error) => give_up(error),
        }
    });
}

/// Opens the console, loads the program, and runs it to its end.
async fn become_init(thread: Arc<Thread>, init: Init) {
    thread.adopt_task();
    ipc::start();
    fs::sysfs::start(&init.namespace);
    if let Err(error) = open_console(&thread).await {
        log::warn!("the first process starts without a console: {error}");
    }
    let fpu = match user_machine().new_fpu() {
        Ok(fpu) => fpu,
        Err(error) => return give_up(error),
    };
    let mut context = UserContext { registers: Registers::default(), full_restore: true, fpu };
    match load_any(&thread, &mut context, &init).await {
        Ok(()) => run(thread, context, ThreadStart::default()).await,
        Err(error) => give_up(error),
    }
}

fn give_up(error: Errno) {
    log::error!("there is no first program that works: {error}");
    machine().power_off(Outcome::Panic("no first program works"));
}

/// Process 1 with its only thread, in the registry, without a program.
fn first_thread(key: u64, init: &Init) -> Result<Arc<Thread>> {
    // As Linux: as many threads as an eighth of memory holds, and half of that for each user.
    let threads = machine().frames().total() as u64 / 16;
    let limits = Arc::new(Limits::initial(threads.clamp(64, u64::from(PID_MAX))));
    let process = Process::new(INIT, key, limits.clone());
    let account = process.account().clone();
    let charge = Charge::new(&account, THREAD_BYTES)?;
    let counted = Counted::new(&Credentials::root(), &limits)?;
    let costs = Costs { counted: Some(counted), charge: Some(charge) };
    let thread = Thread::born(INIT, process.clone(), Birth { key, costs, ..Birth::default() });
    let caller = Caller {
        key,
        pid: INIT,
        tid: INIT,
        credentials: Arc::new(Credentials::root()),
        limits: limits.clone(),
        account: account.clone(),
        memory: Arc::new(KernelBytes::new(Vec::new())),
    };
    thread.set_resources(Some(Arc::new(Resources {
        caller: Arc::new(caller),
        space: AddressSpace::new(limits, account)?,
        files: FdTable::new(),
        handles: HandleTable::new(),
        place: FsContext::new(&init.namespace),
    })));
    let mut table = table::lock();
    let number = table.fresh_number()?;
    debug_assert_eq!(number, INIT, "nobody was there before");
    table.insert(INIT, process.clone(), thread.clone(), 0, 0);
    process.joined();
    Ok(thread)
}

/// Opens the console three times over.
async fn open_console(thread: &Thread) -> Result<()> {
    let resources = thread.resources().ok_or(Errno::ESRCH)?;
    let flags = OpenFlags::RDWR | OpenFlags::LARGEFILE | OpenFlags::NOCTTY;
    let how = OpenHow { flags, mode: 0, resolve: WalkFlags::empty() };
    let file = open(exec::subject(&resources), Start::Cwd, CONSOLE, how).await?;
    for _ in 0..3 {
        resources.files.insert(&resources.caller, file.clone(), false)?;
    }
    Ok(())
}

/// Loads the program that was asked for, or the first usual one that works.
async fn load_any(thread: &Thread, context: &mut UserContext, init: &Init) -> Result<()> {
    let asked = init.path.as_deref();
    let mut last = Errno::ENOENT;
    for path in asked.into_iter().chain(USUAL.into_iter().filter(|_| asked.is_none())) {
        let mut arguments = alloc::vec![path.to_vec()];
        arguments.extend(init.arguments.iter().cloned());
        match exec::load_first(thread, context, path, &arguments, &init.environment).await {
            Ok(()) => return Ok(()),
            Err(error) => {
                log::warn!("{} does not start: {error}", alloc::string::String::from_utf8_lossy(path));
                last = error;
            }
        }
    }
    Err(last)
}
