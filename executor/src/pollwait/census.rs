//! How many nodes are on the lists of sources, for each CPU, summed on read: one that stays is a leak.

#[cfg(not(loom))]
mod count {
    use base::sync::atomic::{AtomicU64, Ordering};
    use base::sync::{CachePadded, MAX_CPUS, PerCpu};

    /// Nodes that were linked on a CPU minus those that were unlinked there; a slot wraps, the sum does not.
    static NODES: PerCpu<AtomicU64> =
        PerCpu::from_padded([const { CachePadded(AtomicU64::new(0)) }; MAX_CPUS]);

    /// Counts a node that was put on a source's list.
    #[inline]
    pub(in crate::pollwait) fn node_linked() {
        NODES.this().fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a node that was taken off a source's list.
    #[inline]
    pub(in crate::pollwait) fn node_unlinked() {
        NODES.this().fetch_sub(1, Ordering::Relaxed);
    }

    /// Waiters and watchers that are on the lists of sources now.
    #[must_use]
    pub fn linked_nodes() -> u64 {
        NODES.iter().fold(0, |sum, cpu| sum.wrapping_add(cpu.load(Ordering::Relaxed)))
    }
}

#[cfg(not(loom))]
pub use count::linked_nodes;
#[cfg(not(loom))]
pub(super) use count::{node_linked, node_unlinked};

/// The count is no part of the models.
#[cfg(loom)]
pub(super) fn node_linked() {}

/// The count is no part of the models.
#[cfg(loom)]
pub(super) fn node_unlinked() {}
