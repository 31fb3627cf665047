//! The tree of page tables of one address space: finding, making and pruning its lowest tables.
//!
//! Only the lower half is looked at; the upper half of the root is the kernel's. The number of entries in use is
//! kept with each table, so that an emptied one is noticed in constant time.
//!
//! Whoever calls has exclusive use of the tree: the address space's lock, or its death.

use base::frame::{Frame, Frames, Reserve};
use base::sync::atomic::Ordering;
use base::{Errno, Result};

use super::frames::KernelFrames;
use super::table::{PAGE, PRESENT, SPAN, Table, USER, WRITABLE, address_bits, coverage};
use super::{kernel_map, physmap};

/// One past the last address of the lower half.
const LOWER_HALF: u64 = 1 << 47;

/// A fresh, empty table.
fn new_table() -> Result<Table> {
    let number = KernelFrames.allocate(Reserve::Keep).ok_or(Errno::ENOMEM)?;
    // SAFETY: F2; the frame is new. From now on it is a table (T1) until `release`.
    let table = unsafe {
        physmap::frame_pointer(number).write_bytes(0, PAGE as usize);
        Table::new(number)
    };
    table.live().store(0, Ordering::Relaxed);
    Ok(table)
}

/// Turns a table that no entry points to any more back into a frame, to be freed when no CPU can walk it.
fn release(table: Table) -> Frame {
    // SAFETY: the count that `allocate` set to 1 belongs to the tree, which gives it up here.
    unsafe { Frame::from_number(table.number()) }
}

/// The root of an address space.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tree(Table);

impl Tree {
    /// A tree that maps the kernel's half and nothing else.
    pub(super) fn new() -> Result<Tree> {
        let root = new_table()?;
        kernel_map::copy_upper_half(root);
        Ok(Tree(root))
    }

    /// The tree with this root.
    ///
    /// # Safety
    ///
    /// `number` is the root's frame of a tree whose owner gave it up with [`Tree::root`].
    pub(super) unsafe fn from_root(number: u64) -> Tree {
        // SAFETY: the caller's promise.
        Tree(unsafe { Table::new(number) })
    }

    /// The root table.
    pub(super) fn root(self) -> Table {
        self.0
    }

    /// The lowest table that covers `address`.
    #[inline]
    pub(super) fn lowest(self, address: u64) -> Option<Table> {
        self.0.child(address, 4)?.child(address, 3)?.child(address, 2)
    }

    /// The lowest table that covers `address`, made if need be. `made` counts new tables, which stay, empty,
    /// when a later one fails.
    #[inline]
    pub(super) fn lowest_or_new(self, address: u64, made: &mut usize) -> Result<Table> {
        let mut table = self.0;
        for level in [4, 3, 2] {
            table = match table.child(address, level) {
                Some(child) => child,
                None => {
                    let child = new_table()?;
                    *made += 1;
                    let bits = address_bits(child.number()) | PRESENT | WRITABLE | USER;
                    table.entry(address, level).store(bits, Ordering::Release);
                    table.live().fetch_add(1, Ordering::Relaxed);
                    child
                }
            };
        }
        Ok(table)
    }

    /// The first lowest table that covers a part of `from..end`, with the first address it covers.
    pub(super) fn next_lowest(self, from: u64, end: u64) -> Option<(u64, Table)> {
        let end = end.min(LOWER_HALF);
        let mut address = from;
        'search: while address < end {
            let mut table = self.0;
            for level in [4, 3, 2] {
                let size = coverage(level + 1);
                let covered = (address & !(size - 1)) + size;
                let Some(used) = table.next_used(address, covered.min(end), level) else {
                    address = covered;
                    continue 'search;
                };
                address = used;
                // What is not empty in these tables is a table.
                table = table.child(address, level)?;
            }
            return Some((address & !(SPAN - 1), table));
        }
        None
    }

    /// Takes the empty tables that cover `address` out of the tree, except the root.
    pub(super) fn prune(self, address: u64, mut emptied: impl FnMut(Frame)) {
        let path = |depth: u32| {
            let mut table = Some(self.0);
            for level in (5 - depth..=4).rev() {
                table = table.and_then(|found| found.child(address, level));
            }
            table
        };
        // From the lowest table (depth 3) upwards, as long as each is empty.
        for depth in (1..=3).rev() {
            let Some(table) = path(depth) else { continue };
            let Some(parent) = path(depth - 1) else { return };
            if table.live().load(Ordering::Relaxed) > 0 {
                return;
            }
            parent.entry(address, 5 - depth).store(0, Ordering::Release);
            parent.live().fetch_sub(1, Ordering::Relaxed);
            emptied(release(table));
        }
    }

    /// The frame of the root, when nothing uses the tree any more.
    ///
    /// # Safety
    ///
    /// No CPU has the root loaded, and the lower half is empty.
    pub(super) unsafe fn into_frame(self) -> Frame {
        release(self.0)
    }
}
