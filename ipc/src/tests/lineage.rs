//! Derivation and revocation.

use base::Errno;

use super::support::{Process, events};
use crate::channel::Options;
use crate::lineage::{CapId, find};
use crate::{AccessOp, Rights};

#[test]
fn revoking_reaches_every_descendant_wherever_it_is() {
    let broker = Process::new(1);
    let worker = Process::new(2);
    let (root, _peer) = broker.channel();
    let child = broker.duplicate(root).unwrap();
    let grandchild = broker.duplicate(child).unwrap();
    // One more in another process, by way of a message.
    let sent = broker.duplicate(grandchild).unwrap();
    let (to, from) = broker.channel();
    broker.send(to, b"x", &[sent]).unwrap();
    let access = broker.get(from, AccessOp::Read);
    let mut letter = super::support::Letter::new();
    let end = access.object().channel().unwrap();
    end.try_receive(worker.receiver(&access, Options::empty()), &mut letter).unwrap();
    let received = letter.handles[0];
    assert!(worker.table.get_any(received).is_ok());
    broker.table.begin_revocation(root, false).map(drop).unwrap();
    for handle in [child, grandchild] {
        assert_eq!(broker.table.get_any(handle).map(drop), Err(Errno::EBADF));
    }
    assert_eq!(worker.table.get_any(received).map(drop), Err(Errno::EBADF));
    assert!(worker.table.is_empty(), "the slot is free, not only unusable");
    assert!(broker.duplicate(root).is_ok(), "the root stays and may be duplicated again");
    broker.table.begin_revocation(root, true).map(drop).unwrap();
    assert_eq!(broker.table.get_any(root).map(drop), Err(Errno::EBADF));
}

#[test]
fn closing_without_the_flag_leaves_descendants_to_the_ancestors() {
    let process = Process::new(1);
    let (root, _peer) = process.channel();
    let child = process.duplicate(root).unwrap();
    let grandchild = process.duplicate(child).unwrap();
    process.table.close(child).unwrap();
    assert!(process.table.get_any(grandchild).is_ok());
    process.table.begin_revocation(root, false).map(drop).unwrap();
    assert!(process.table.get_any(grandchild).is_err());
}

#[test]
fn a_revoked_handle_arrives_as_minus_one_and_the_rest_intact() {
    let process = Process::new(1);
    let (to, from) = process.channel();
    let (root, _peer) = process.channel();
    let (other, _other_peer) = process.channel();
    let child = process.duplicate(root).unwrap();
    process.send(to, b"both", &[child, other]).unwrap();
    process.table.begin_revocation(root, false).map(drop).unwrap();
    let (bytes, handles) = process.receive(from).unwrap().unwrap();
    assert_eq!((&bytes[..], handles[0]), (&b"both"[..], -1));
    assert!(process.table.get_any(handles[1]).is_ok());
}

#[test]
fn a_move_keeps_the_node_and_its_children() {
    let process = Process::new(1);
    let (to, from) = process.channel();
    let (moved, _peer) = process.channel();
    let before = process.table.info(moved).unwrap();
    let child = process.duplicate(moved).unwrap();
    process.send(to, b"m", &[moved]).unwrap();
    let handle = process.receive(from).unwrap().unwrap().1[0];
    let after = process.table.info(handle).unwrap();
    assert_eq!(before, after);
    let access = process.get(handle, AccessOp::Read);
    assert_eq!(events(&access), ["take", "enqueue", "deliver", "install", "release"]);
    process.table.begin_revocation(handle, false).map(drop).unwrap();
    assert!(process.table.get_any(child).is_err(), "the new holder may revoke what the old one derived");
}

#[test]
fn a_revoked_handle_can_be_neither_used_nor_derived_from() {
    let process = Process::new(1);
    let (root, _peer) = process.channel();
    let child = process.duplicate(root).unwrap();
    let access = process.get(child, AccessOp::Read);
    process.table.begin_revocation(root, false).map(drop).unwrap();
    assert_eq!(access.check(), Err(Errno::EBADF));
    let derived = crate::Capability::derive(
        &process.caller,
        access.node(),
        Rights::READ,
        crate::capability::OwnerClass::Handle,
    );
    assert!(matches!(derived.map(drop), Err(Errno::EACCES | Errno::ENOENT)));
}

#[test]
fn revoking_costs_what_is_below_and_not_what_is_beside() {
    let process = Process::new(1);
    let (root, beside) = process.channel();
    // A hundred below, in a line of ten with nine more hanging from each of it.
    let mut parent = root;
    for _ in 0..10 {
        let next = process.duplicate(parent).unwrap();
        let _siblings: Vec<i32> = (0..9).map(|_| process.duplicate(parent).unwrap()).collect();
        parent = next;
    }
    let others: Vec<Process> = (0..20).map(|pid| Process::new(10 + pid)).collect();
    for other in &others {
        let (one, _) = other.channel();
        let _copies: Vec<i32> = (0..200).map(|_| other.duplicate(one).unwrap()).collect();
    }
    let revocation = process.table.begin_revocation(root, false).unwrap();
    assert_eq!(revocation.finish_counting(), 100);
    assert_eq!(process.table.len(), 2, "the root and what is beside it");
    process.table.get_any(beside).unwrap();
}

#[test]
fn what_is_closed_while_a_revocation_is_under_way_hides_nothing_below_it() {
    // Whichever step it is at when an inner capability ends, its children are revoked all the same.
    for pause in 0..40 {
        let process = Process::new(1);
        let (root, _) = process.channel();
        let inner: Vec<i32> = (0..4).map(|_| process.duplicate(root).unwrap()).collect();
        let mut leaves = Vec::new();
        for parent in &inner {
            for _ in 0..(pause % 3) {
                leaves.push(process.duplicate(*parent).unwrap());
            }
        }
        let mut revocation = process.table.begin_revocation(root, false).unwrap();
        revocation.mark_for_test(pause);
        // Those that are not marked yet end by their holder's hand.
        let _closed: Vec<_> = inner.iter().map(|handle| process.table.close(*handle)).collect();
        drop(revocation);
        for handle in inner.iter().chain(&leaves) {
            assert!(process.table.get_any(*handle).is_err(), "after {pause} steps");
        }
        assert_eq!(process.table.len(), 2, "after {pause} steps");
    }
}

#[test]
fn a_living_capability_is_found_by_its_number() {
    let process = Process::new(1);
    let (root, _peer) = process.channel();
    let child = process.duplicate(root).unwrap();
    let grandchild = process.duplicate(child).unwrap();
    let id = |handle| process.table.get_any(handle).unwrap().node().id();
    let [root_id, child_id, grandchild_id] = [root, child, grandchild].map(id);
    let parent = |id: CapId| find(id.as_u64()).map(|(node, parent)| (node.id(), parent));
    assert_eq!(parent(root_id), Some((root_id, None)));
    assert_eq!(parent(grandchild_id), Some((grandchild_id, Some(child_id))));
    process.table.close(child).unwrap();
    assert_eq!(parent(child_id), None);
    assert_eq!(parent(grandchild_id), Some((grandchild_id, Some(root_id))), "the nearest that lives");
    // Thousands come and go, and the table grows and shrinks with them.
    let many: Vec<_> = (0..200).map(|_| process.duplicate(root).unwrap()).collect();
    assert!(many.iter().all(|handle| parent(id(*handle)) == Some((id(*handle), Some(root_id)))));
    for handle in many {
        process.table.close(handle).unwrap();
    }
    assert_eq!(parent(root_id), Some((root_id, None)));
}
