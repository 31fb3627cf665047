//! Whom to kill when a page cannot be had, and how the fault path asks for it.

use base::memory::BoxFuture;
use base::sync::Once;

/// A process that might be killed to get memory back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Process id.
    pub pid: u32,
    /// Pages that its space maps.
    pub resident_pages: usize,
    /// Bytes of page tables.
    pub table_bytes: usize,
    /// Bytes of kernel memory charged to it.
    pub charged_bytes: usize,
    /// `oom_score_adj`, in thousandths of memory.
    pub adjustment: i32,
    /// False for pid 1, kernel services, and what is dying already.
    pub killable: bool,
}

impl Candidate {
    /// Bytes that its death gives back.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let resident = self.resident_pages.saturating_mul(base::frame::PAGE_SIZE);
        resident.saturating_add(self.table_bytes).saturating_add(self.charged_bytes)
    }
}

impl Candidate {
    /// What it is judged by in a machine of `memory` bytes: what its death gives back, adjusted.
    #[must_use]
    pub fn badness(&self, memory: usize) -> i128 {
        self.bytes() as i128 + i128::from(self.adjustment) * memory as i128 / 1000
    }
}

/// The candidate whose death gives most, as adjusted in a machine of `memory` bytes; of equals the youngest, which is the one with the greatest pid.
#[must_use]
pub fn select_victim(candidates: impl Iterator<Item = Candidate>, memory: usize) -> Option<Candidate> {
    candidates
        .filter(|candidate| candidate.killable)
        .max_by_key(|candidate| (candidate.badness(memory), candidate.pid))
}

/// What the fault path should do after [`OutOfMemory::relieve`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relief {
    /// Memory may have come back: try again.
    Retry,
    /// The faulting process itself was chosen, or nobody could be: it must die.
    Die,
}

/// Finds memory when a page fault cannot be served.
pub trait OutOfMemory: Sync {
    /// Kills the victim that [`select_victim`] names and waits until it has given memory back.
    /// A drop changes nothing about the kill.
    fn relieve(&self) -> BoxFuture<'_, Relief>;
}

static OUT_OF_MEMORY: Once<&'static dyn OutOfMemory> = Once::new();

/// Installs the killer. The first call wins.
pub fn install(killer: &'static dyn OutOfMemory) {
    OUT_OF_MEMORY.call_once(|| killer);
}

/// Asks for memory on behalf of a fault. Without a killer the faulting process dies.
pub(super) async fn relieve() -> Relief {
    match OUT_OF_MEMORY.get() {
        Some(killer) => killer.relieve().await,
        None => Relief::Die,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(pid: u32, resident_pages: usize, charged_bytes: usize) -> Candidate {
        Candidate { pid, resident_pages, table_bytes: 0, charged_bytes, adjustment: 0, killable: pid != 1 }
    }

    #[test]
    fn the_largest_sum_dies_and_never_pid_one() {
        let all = [candidate(1, 1000, 0), candidate(2, 1, 90_000), candidate(3, 3, 0), candidate(4, 3, 0)];
        assert_eq!(select_victim(all.into_iter(), 1 << 30).map(|c| c.pid), Some(2));
        let all = [candidate(1, 1000, 0), candidate(3, 3, 0), candidate(4, 3, 0)];
        assert_eq!(select_victim(all.into_iter(), 1 << 30).map(|c| c.pid), Some(4));
        assert_eq!(select_victim([candidate(1, 1, 0)].into_iter(), 1 << 30), None);
    }
}
