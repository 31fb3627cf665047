//! Derivation and revocation, against moves and copies.

use alloc::sync::Arc;

use base::{Errno, machine};

use super::support::{Crew, Process};
use crate::lineage::live_nodes;

executor::selftests![
    kcap_revoke_transfer_matrix_first_batch,
    kcap_revoke_transfer_matrix_second_batch,
    n10_the_forest_does_not_grow_with_the_length_of_a_line,
    n18_a_fork_beside_a_revocation_lacks_what_was_revoked,
];

const ROUNDS: usize = 48;

/// A process with a capability, a child of it, and the other end.
struct Family {
    process: Process,
    root: i32,
    child: i32,
}

impl Family {
    fn new() -> Family {
        let process = Process::new(1);
        let (root, _peer) = process.channel();
        let child = process.duplicate(root).expect("a copy");
        Family { process, root, child }
    }

    /// Revokes what was derived from the root; `whole` closes the root too.
    fn revoke(&self, whole: bool) {
        self.process.table.begin_revocation(self.root, whole).map(drop).expect("the root");
    }

    /// Commits what was reserved, when `revoked` has run, and tries to install it.
    fn install_after(&self, revoked: impl FnOnce(), reserved_first: bool) -> Result<(), Errno> {
        let Process { caller, table } = &self.process;
        let mut reserved = table.reserve(caller, &[self.child]).expect("a reservation");
        let mut flight = crate::channel::message::NO_HANDLES;
        if reserved_first {
            revoked();
            reserved.commit(&mut flight);
            drop(reserved);
        } else {
            reserved.commit(&mut flight);
            drop(reserved);
            revoked();
        }
        assert_eq!(self.hidden(), Err(Errno::EBADF), "a commit empties the slot");
        let mut landing = table.land(caller, 1, false).expect("a number");
        landing.receive(caller, machine::now(), flight[0].take().expect("it was committed"))
    }

    fn hidden(&self) -> Result<(), Errno> {
        self.process.table.get_any(self.child).map(drop)
    }
}

/// What is taken for a transfer and revoked meanwhile is neither restored nor installed.
async fn kcap_revoke_transfer_matrix_first_batch() {
    for _ in 0..ROUNDS {
        let family = Family::new();
        let reserved = family.process.table.reserve(&family.process.caller, &[family.child]);
        family.revoke(false);
        drop(reserved.expect("a reservation"));
        assert_eq!(family.hidden(), Err(Errno::EBADF), "restored after a revocation");
        for whole in [false, true] {
            let family = Family::new();
            assert_eq!(family.install_after(|| family.revoke(whole), false), Err(Errno::EACCES));
        }
        executor::yield_now().await;
    }
}

/// A reservation after a revocation fails. One before it can be committed after it, and then arrives nowhere, or be
/// aborted, and then is not restored.
async fn kcap_revoke_transfer_matrix_second_batch() {
    for _ in 0..ROUNDS {
        for whole in [false, true] {
            let family = Family::new();
            family.revoke(whole);
            let Process { caller, table } = &family.process;
            assert_eq!(table.reserve(caller, &[family.child]).map(drop), Err(Errno::EBADF));
            let family = Family::new();
            assert_eq!(family.install_after(|| family.revoke(whole), true), Err(Errno::EACCES));
        }
        let family = Family::new();
        let Process { caller, table } = &family.process;
        let reserved = table.reserve(caller, &[family.child]).expect("a reservation");
        let ticket = reserved.tickets().next().expect("one handle");
        family.revoke(false);
        assert_eq!(table.check_reservation(ticket), Ok(()), "it can still be told what becomes of it");
        drop(reserved);
        assert_eq!(family.hidden(), Err(Errno::EBADF));
        assert_eq!(table.check_reservation(ticket), Err(Errno::EBADF), "the slot is empty");
        executor::yield_now().await;
    }
}

/// However long a line of copies of copies gets, the forest keeps those that can be reached, and the first of the line
/// still reaches the last.
async fn n10_the_forest_does_not_grow_with_the_length_of_a_line() {
    // The emulated machine is many times slower than the host.
    const COPIES: usize = if cfg!(test) { 1_000_000 } else { 200_000 };
    let process = Process::new(1);
    let (root, _peer) = process.channel();
    let mut last = process.duplicate(root).expect("a copy");
    let before = live_nodes();
    for copied in 0..COPIES {
        let next = process.duplicate(last).expect("a copy");
        process.table.close(last).expect("a handle");
        last = next;
        if copied % 1000 == 0 {
            executor::yield_now().await;
        }
    }
    // On the host other tests add nodes of their own meanwhile, but not thousands.
    assert!(live_nodes() < before + COPIES / 10);
    process.table.begin_revocation(root, false).map(drop).expect("the root");
    assert_eq!(process.table.get_any(last).map(drop), Err(Errno::EBADF));
}

/// A fork while an ancestor is revoked succeeds, and the child lacks what was revoked.
async fn n18_a_fork_beside_a_revocation_lacks_what_was_revoked() {
    for _ in 0..ROUNDS {
        let parent = Arc::new(Process::new(1));
        let (root, _peer) = parent.channel();
        let lent: [i32; 4] = core::array::from_fn(|_| parent.duplicate(root).expect("a copy"));
        let (crew, revoker) = (Crew::of(1), parent.clone());
        crew.spawn(async move {
            revoker.table.begin_revocation(root, false).map(drop).expect("the root");
        });
        let child = parent.fork(2);
        crew.finished().await;
        for handle in lent {
            assert_eq!(parent.table.get_any(handle).map(drop), Err(Errno::EBADF));
            assert_eq!(child.table.get_any(handle).map(drop), Err(Errno::EBADF));
        }
        child.exit();
    }
}
