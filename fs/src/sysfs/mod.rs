//! `/sys`: the tree, and the processors that C libraries count there. Source: `sysfs(5)`.
//!
//! Who owns what is shown adds it to the tree.
//!
//! | module | subject |
//! |---|---|
//! | `ipc` | lists of objects, and counters |
//! | `objects` | pages of objects, and a directory for each |
//! | `projection` | the task that keeps those directories |
//! | `self_check` | a look at one of the files at boot |

mod fault_inject;
mod ipc;
mod objects;
mod projection;
mod self_check;

pub(crate) use ipc::guard;
pub use ipc::show_table;

use alloc::sync::Arc;
use core::fmt::Write;

use base::sync::Once;
use base::{Errno, Result, machine};

use crate::pseudo::{PseudoDir, PseudoTree, Rules, Text};
use crate::vfs::{self, FileSystemType, Namespace, SuperBlock};

/// `SYSFS_MAGIC`.
const MAGIC: u64 = 0x6265_6572;

/// The tree and those of its directories that several owners fill.
pub struct SysFs {
    /// The tree itself.
    pub tree: PseudoTree,
    /// `/sys/kernel`.
    pub kernel: Arc<PseudoDir>,
    /// `/sys/devices/system`.
    pub devices_system: Arc<PseudoDir>,
    /// `/sys/ipc/objects`, where the projection adds directories.
    objects: Arc<PseudoDir>,
}

static SYS: Once<SysFs> = Once::new();

/// The tree; `None` before [`init`].
#[must_use]
pub fn sysfs() -> Option<&'static SysFs> {
    SYS.get()
}

/// Makes the tree and registers its type. Called once, when all processors are online, before anything is
/// mounted.
pub fn init() -> &'static SysFs {
    let sys = SYS.call_once(|| {
        show_table("dentries", vfs::dentry_statistics);
        make(machine().cpu_count())
    });
    vfs::register(FileSystemType { name: "sysfs", needs_device: false, mount });
    sys
}

/// Starts what goes on by itself: the projection of objects. `namespace` is whose files and names `/sys/ipc` lists.
/// Called once, on a CPU of the executor, when the first process has its root.
pub fn start(namespace: &Arc<Namespace>) {
    vfs::observe(namespace);
    if let Some(sys) = sysfs() {
        projection::start(sys);
    }
}

fn mount(_source: &[u8], data: &[u8]) -> Result<Arc<SuperBlock>> {
    if !data.is_empty() {
        return Err(Errno::EINVAL);
    }
    sysfs().map(|sys| sys.tree.super_block().clone()).ok_or(Errno::ENODEV)
}

fn make(cpus: usize) -> SysFs {
    let tree = PseudoTree::new("sysfs", MAGIC, Rules { directory_mode: 0o755, enforced: true }, None);
    let top = tree.root().clone();
    let kernel = tree.directory(&top, "kernel");
    let devices = tree.directory(&top, "devices");
    let devices_system = tree.directory(&devices, "system");
    fault_inject::publish(&tree, &kernel);
    let objects = ipc::publish(&tree);
    processors(&tree, &devices_system, cpus);
    SysFs { tree, kernel, devices_system, objects }
}

/// `/sys/devices/system/cpu`: no processor comes or goes after the start.
fn processors(tree: &PseudoTree, devices_system: &PseudoDir, cpus: usize) {
    let cpu = tree.directory(devices_system, "cpu");
    for name in ["online", "possible", "present"] {
        tree.file(&cpu, name, move |_, text| range(text, cpus));
    }
    tree.file(&cpu, "offline", |_, text| range(text, 0));
    tree.file(&cpu, "kernel_max", |_, text| {
        let _ = writeln!(text, "{}", base::sync::MAX_CPUS - 1);
        Ok(())
    });
    for index in 0..cpus {
        tree.directory(&cpu, &alloc::format!("cpu{index}"));
    }
}

/// The first `count` numbers as a list of ranges.
fn range(text: &mut Text, count: usize) -> Result<()> {
    let _ = match count {
        0 => writeln!(text),
        1 => writeln!(text, "0"),
        _ => writeln!(text, "0-{}", count - 1),
    };
    Ok(())
}

#[cfg(test)]
mod tests;
