//! The root file system from the initial ramdisk, and the first process in it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::Result;
use base::caller::{Caller, Credentials, Limits};
use base::charge::Account;
use base::machine::{Outcome, machine};
use base::memory::KernelBytes;
use executor::Executor;
use fs::initramfs;
use fs::tmpfs::TmpFs;
use fs::vfs::{FsContext, Mount, MountFlags, Namespace, Subject};
use syscalls::init::Init;

use crate::command_line::CommandLine;
use crate::memory::Initrd;

/// Words of the command line that concern the kernel. Others are the first program's, as with Linux.
const OURS: &[&str] = &[
    "init",
    "console",
    "strace",
    "norandmaps",
    "vdso",
    "quiet",
    "log",
    "seed",
    "sched_seed",
    "schedule",
    "decisions",
    "fault",
    "fault_seed",
    "deadlock",
    "selftest",
    "trace",
    "trace_buffer",
];

/// Unpacks the ramdisk, gives its memory back, and starts the first process.
pub fn start(executor: &'static Executor, initrd: Option<Initrd>, command_line: CommandLine<'_>) {
    let namespace = match unpack(initrd) {
        Ok(namespace) => namespace,
        Err(error) => {
            log::error!("no root file system: {error}");
            machine().power_off(Outcome::Panic("no root file system"));
        }
    };
    let mut environment = Vec::from([b"HOME=/".to_vec(), b"TERM=linux".to_vec()]);
    let mut arguments = Vec::new();
    for word in command_line.words() {
        match word.split_once('=') {
            _ if word.split('=').next().is_some_and(|key| OURS.contains(&key)) => {}
            Some(_) => environment.push(word.as_bytes().to_vec()),
            None => arguments.push(word.as_bytes().to_vec()),
        }
    }
    if command_line.has("strace") || command_line.value("strace").is_some_and(|value| value != "0") {
        syscalls::thread::strace::enable();
    }
    let path = command_line.value("init").map(|path| path.as_bytes().to_vec());
    syscalls::init::start(executor, Init { namespace, path, arguments, environment });
}

fn unpack(initrd: Option<Initrd>) -> Result<Arc<Namespace>> {
    let root = Mount::new(&TmpFs::new_root()?, b"rootfs", MountFlags::empty());
    let namespace = Namespace::new(&root);
    let Some(initrd) = initrd else {
        log::warn!("no initial ramdisk: the root is empty");
        return Ok(namespace);
    };
    let context = FsContext::new(&namespace);
    context.set_umask(0);
    let caller = Caller {
        key: 0,
        pid: 0,
        tid: 0,
        credentials: Arc::new(Credentials::root()),
        limits: Arc::new(Limits::initial(u64::MAX)),
        account: Account::new(),
        memory: Arc::new(KernelBytes::new(Vec::new())),
    };
    let summary = initramfs::unpack(Subject { caller: &caller, fs: &context }, initrd.bytes());
    log::info!("root: {} entries, {} problems", summary.entries, summary.problems);
    Ok(namespace)
}
