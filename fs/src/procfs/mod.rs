//! `/proc`: the tree, and the files whose subject is this crate's.
//!
//! Who owns what is shown adds it: processes and the system as a whole are the personality's, processors and
//! interrupts the machine's.
//!
//! | module | subject |
//! |---|---|
//! | `ipc` | histories of objects |
//! | [`mounts`] | `mounts` and `mountinfo` of a process |
//! | `tables` | file systems, devices, limits on files |

mod ipc;
pub mod mounts;
mod tables;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;

use base::Result;
use base::caller::Caller;
use base::sync::Once;

use crate::pseudo::{Attributes, DynamicEntries, PseudoDir, PseudoLink, PseudoTree, Rules};
use crate::vfs::{self, FileSystemType, LinkTarget, SuperBlock};

/// `PROC_SUPER_MAGIC`.
const MAGIC: u64 = 0x9fa0;

/// The tree and those of its directories that several owners fill.
pub struct ProcFs {
    /// The tree itself.
    pub tree: PseudoTree,
    /// `/proc/sys/kernel`.
    pub sys_kernel: Arc<PseudoDir>,
    /// `/proc/sys/vm`.
    pub sys_vm: Arc<PseudoDir>,
    /// `/proc/sys/fs`.
    pub sys_fs: Arc<PseudoDir>,
    /// `/proc/sys/net`.
    pub sys_net: Arc<PseudoDir>,
}

static PROC: Once<ProcFs> = Once::new();

/// The tree; `None` before [`init`].
#[must_use]
pub fn procfs() -> Option<&'static ProcFs> {
    PROC.get()
}

/// Makes the tree, with the directories of processes that `processes` makes up, and registers its type. Called
/// once, before anything is mounted.
pub fn init(processes: Arc<dyn DynamicEntries>) -> &'static ProcFs {
    let proc = PROC.call_once(|| make(processes));
    vfs::register(FileSystemType { name: "proc", needs_device: false, mount });
    proc
}

fn mount(_source: &[u8], data: &[u8]) -> Result<Arc<SuperBlock>> {
    if !data.is_empty() {
        // hidepid= and gid= are not there, nor is any other option.
        return Err(base::Errno::EINVAL);
    }
    procfs().map(|proc| proc.tree.super_block().clone()).ok_or(base::Errno::ENODEV)
}

fn make(processes: Arc<dyn DynamicEntries>) -> ProcFs {
    let tree =
        PseudoTree::new("proc", MAGIC, Rules { directory_mode: 0o555, enforced: false }, Some(processes));
    let top = tree.root().clone();
    let sys = tree.directory(&top, "sys");
    let sys_kernel = tree.directory(&sys, "kernel");
    let sys_vm = tree.directory(&sys, "vm");
    let sys_fs = tree.directory(&sys, "fs");
    let sys_net = tree.directory(&sys, "net");
    let links = Attributes::root(tree.device(), 0o777);
    top.add("self", PseudoLink::new(links, |caller| Ok(LinkTarget::Text(number(caller.pid)))));
    top.add("thread-self", PseudoLink::new(links, |caller| Ok(LinkTarget::Text(own_thread(caller)))));
    tree.link(&top, "mounts", "self/mounts");
    let proc = ProcFs { tree, sys_kernel, sys_vm, sys_fs, sys_net };
    tables::publish(&proc);
    ipc::publish(&proc);
    crate::unix::publish(&proc);
    crate::epoll::limit::publish(&proc);
    proc
}

fn number(number: u32) -> Vec<u8> {
    alloc::format!("{number}").into_bytes()
}

fn own_thread(caller: &Caller) -> Vec<u8> {
    let mut text = alloc::string::String::new();
    let _ = write!(text, "{}/task/{}", caller.pid, caller.tid);
    text.into_bytes()
}

#[cfg(test)]
mod tests;
