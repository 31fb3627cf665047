//! Which address space each CPU has loaded.
//!
//! A CPU keeps its last space loaded until it needs another one: kernel tasks and idleness run on whatever is there.
//! Invariant **A1**: a space's bit for a CPU is set before that CPU loads its root, and cleared after the
//! CPU has loaded another one. So whoever changes a table entry first and looks at the bits afterwards sees
//! every CPU that may still use the old entry. The CPU owns a reference to what it has loaded.

use alloc::sync::Arc;

use base::machine::cpu_id;
use base::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use base::sync::{CachePadded, LockClass, MAX_CPUS, PerCpu, SpinLock};

use super::tree::Tree;
use super::{kernel_map, reaper};
use crate::arch::cpu_area::CpuArea;

/// The page tables of an address space, as CPUs load them.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) tree: Tree,
    /// A1: one bit for each CPU.
    users: AtomicU64,
    /// Tables, the root among them.
    pub(super) tables: AtomicUsize,
    /// Mapped pages.
    pub(super) resident: AtomicUsize,
}

impl Core {
    pub(super) fn new(tree: Tree) -> Core {
        Core { tree, users: AtomicU64::new(0), tables: AtomicUsize::new(1), resident: AtomicUsize::new(0) }
    }

    /// CPUs that have the space loaded now, as bits. Entries changed before are seen by all others.
    pub(super) fn users(&self) -> u64 {
        fence(Ordering::SeqCst);
        self.users.load(Ordering::SeqCst)
    }

    /// As [`Core::users`], this CPU left out.
    pub(super) fn other_users(&self) -> u64 {
        self.users() & !this_bit()
    }

    /// True when this CPU has the space loaded.
    #[inline]
    pub(super) fn is_loaded(&self) -> bool {
        loaded_root() == self.tree.root().number()
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        debug_assert_eq!(self.users.load(Ordering::Relaxed), 0, "a CPU owns what it has loaded");
        reaper::bury(self.tree);
    }
}

/// The space that each CPU has loaded; none while it is the kernel's own. The root's frame is in
/// [`CpuArea::loaded_root`], where every way into user mode looks.
static LOADED: PerCpu<SpinLock<Option<Arc<Core>>>> =
    PerCpu::from_padded([const { CachePadded(SpinLock::new(LockClass::Frames, None)) }; MAX_CPUS]);

const _: () = assert!(MAX_CPUS <= 64, "a set of CPUs is one 64-bit word");

fn this_bit() -> u64 {
    1 << (cpu_id() % MAX_CPUS)
}

/// Loads the space on this CPU, unless it is loaded already.
#[inline]
pub(super) fn load(core: &Arc<Core>) {
    if !core.is_loaded() {
        switch_to(core);
    }
}

#[cold]
fn switch_to(core: &Arc<Core>) {
    let slot = LOADED.this();
    let bit = this_bit();
    core.users.fetch_or(bit, Ordering::SeqCst);
    let old = {
        let mut space = slot.lock();
        // SAFETY: the upper half of every tree is the kernel's, and the reference that goes into the slot keeps
        // it alive until the next load.
        unsafe { kernel_map::load(core.tree.root()) };
        CpuArea::current().loaded_root.store(core.tree.root().number(), Ordering::Relaxed);
        space.replace(core.clone())
    };
    forget(old, bit);
}

/// Loads the kernel's own tables on this CPU.
pub fn leave() {
    let slot = LOADED.this();
    let old = {
        let mut space = slot.lock();
        // SAFETY: the kernel's own tables live for ever.
        unsafe { kernel_map::load(kernel_map::root()) };
        CpuArea::current().loaded_root.store(0, Ordering::Relaxed);
        space.take()
    };
    forget(old, this_bit());
}

fn forget(old: Option<Arc<Core>>, bit: u64) {
    if let Some(old) = old {
        old.users.fetch_and(!bit, Ordering::SeqCst);
    }
}

/// Frame of the root that this CPU has loaded; 0 for the kernel's own.
#[inline]
pub(super) fn loaded_root() -> u64 {
    CpuArea::current().loaded_root.load(Ordering::Relaxed)
}
