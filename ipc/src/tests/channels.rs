//! Messages, closing, blocking, hand-over, calls, cycles.

use core::pin::pin;
use core::task::Poll;

use base::Errno;
use executor::pollwait::Events;

use super::support::{Letter, Process, events, now, poll};
use super::{collections, is_gone};
use crate::AccessOp;
use crate::channel::{Options, Outcome, Outgoing, Sizes};
use crate::object::registry;
use crate::stats::{self, Counter};

#[test]
fn n11_messages_keep_their_boundaries() {
    let process = Process::new(1);
    let (to, from) = process.channel();
    let sizes = [0, 1, 128, 129, 512, 513, 1023, 1024];
    for size in sizes {
        let payload: Vec<u8> = (0..size).map(|at| at as u8).collect();
        process.send(to, &payload, &[]).unwrap();
    }
    for size in sizes {
        let (bytes, _) = process.receive(from).unwrap().unwrap();
        assert_eq!(bytes.len(), size);
        assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == at as u8));
    }
    assert_eq!(process.receive(from), Err(Errno::EAGAIN));
}

#[test]
fn too_little_room_leaves_the_message_and_tells_its_sizes() {
    let process = Process::new(1);
    let (to, from) = process.channel();
    let (moved, _peer) = process.channel();
    process.send(to, b"hello", &[moved]).unwrap();
    let access = process.get(from, AccessOp::Read);
    for (bytes, handles) in [(4, 8), (5, 0), (0, 0)] {
        let mut letter = Letter::with_room(bytes, handles);
        let outcome = process.end(from).try_receive(process.receiver(&access, Options::empty()), &mut letter);
        assert_eq!(outcome, Ok(Outcome::TooSmall(Sizes { bytes: 5, handles: 1 })));
    }
    let mut letter = Letter::with_room(5, 1);
    let outcome = process.end(from).try_receive(process.receiver(&access, Options::empty()), &mut letter);
    assert_eq!(outcome, Ok(Outcome::Message(Sizes { bytes: 5, handles: 1 })));
}

#[test]
fn n13_a_receiver_that_cannot_take_it_loses_nothing() {
    let process = Process::new(1);
    let receiver = Process::new(2);
    let (to, from) = process.channel();
    let moved: Vec<i32> = (0..4).flat_map(|_| <[i32; 2]>::from(process.channel())).collect();
    process.send(to, b"all", &moved).unwrap();
    let end = process.end(from);
    // Memory that is not there.
    let mut letter = Letter { bad: true, ..Letter::new() };
    let access = process.get(from, AccessOp::Read);
    let outcome = now(end.receive(receiver.receiver(&access, Options::empty()), &mut letter));
    assert_eq!(outcome, Err(Errno::EFAULT));
    assert_eq!(receiver.table.len(), 0, "no number stays taken");
    // A table with seven free numbers.
    let (filler, _) = receiver.channel();
    while receiver.table.len() < 249 {
        receiver.duplicate(filler).unwrap();
    }
    let mut letter = Letter::new();
    let outcome = end.try_receive(receiver.receiver(&access, Options::empty()), &mut letter);
    assert_eq!(outcome, Err(Errno::EMFILE));
    assert_eq!(receiver.table.len(), 249);
    receiver.table.close(filler).unwrap();
    // A page that comes at the second try.
    let mut letter = Letter { faults: 1, ..Letter::new() };
    let outcome = now(end.receive(receiver.receiver(&access, Options::empty()), &mut letter));
    assert_eq!(outcome, Ok(Outcome::Message(Sizes { bytes: 3, handles: 8 })));
    assert!(letter.handles.iter().all(|handle| receiver.table.get_any(*handle).is_ok()));
    assert_eq!(receiver.table.len(), 256);
}

#[test]
fn a_full_queue_refuses_and_the_handles_stay() {
    let process = Process::new(1);
    let (to, from) = process.channel();
    let (moved, _peer) = process.channel();
    for _ in 0..64 {
        process.send(to, b"x", &[]).unwrap();
    }
    assert!(!process.end(to).readiness().contains(Events::OUT));
    assert_eq!(process.send(to, b"x", &[moved]), Err(Errno::EAGAIN));
    assert!(process.table.get_any(moved).is_ok());
    process.receive(from).unwrap().unwrap();
    assert_eq!(process.send(to, b"x", &[moved]), Ok(()));
}

#[test]
fn the_end_comes_after_what_was_queued() {
    let process = Process::new(1);
    let (to, from) = process.channel();
    process.send(to, b"last", &[]).unwrap();
    process.table.close(to).unwrap();
    let ready = process.end(from).readiness();
    assert!(ready.contains(Events::IN | Events::HUP) && !ready.contains(Events::OUT));
    assert_eq!(process.receive(from).unwrap().unwrap().0, b"last");
    assert_eq!(process.receive(from), Ok(None));
    assert!(process.end(from).readiness().contains(Events::IN | Events::HUP), "reading still does not wait");
    assert_eq!(process.send(from, b"x", &[]), Err(Errno::EPIPE));
}

#[test]
fn kairos_channel_close_last_handle_races() {
    let process = Process::new(1);
    // A receiver whose own last handle goes.
    let (_to, from) = process.channel();
    let access = process.get(from, AccessOp::Read);
    let end = process.end(from);
    let mut letter = Letter::new();
    let receiving = end.receive(process.receiver(&access, Options::empty()), &mut letter);
    let mut receiving = pin!(receiving);
    assert!(poll(receiving.as_mut()).is_pending());
    process.table.close(from).unwrap();
    assert_eq!(poll(receiving), Poll::Ready(Ok(Outcome::End)));
    // A sender before a full queue whose other end goes.
    let (to, from) = process.channel();
    let (moved, _peer) = process.channel();
    while process.send(to, b"x", &[]).is_ok() {}
    let access = process.get(to, AccessOp::Write);
    let end = process.end(to);
    let reserved = process.table.reserve(&process.caller, &[moved]).unwrap();
    let mut outgoing = Outgoing::with_handles(b"y", reserved);
    {
        let mut sending = pin!(end.send(&process.caller, &access, &mut outgoing, Options::empty()));
        assert!(poll(sending.as_mut()).is_pending());
        assert_eq!(
            process.table.get_any(moved).map(drop),
            Err(Errno::EBADF),
            "hidden while it is being sent"
        );
        process.table.close(from).unwrap();
        assert_eq!(poll(sending), Poll::Ready(Err(Errno::EPIPE)));
    }
    drop(outgoing);
    assert!(process.table.get_any(moved).is_ok(), "the handle is where it was");
}

#[test]
fn a_blocked_call_of_a_revoked_holder_ends() {
    let process = Process::new(1);
    let (_to, from) = process.channel();
    let child = process.duplicate(from).unwrap();
    let access = process.get(child, AccessOp::Read);
    let end = process.end(from);
    let mut letter = Letter::new();
    let receiving = end.receive(process.receiver(&access, Options::empty()), &mut letter);
    let mut receiving = pin!(receiving);
    assert!(poll(receiving.as_mut()).is_pending());
    process.table.begin_revocation(from, false).map(drop).unwrap();
    assert_eq!(poll(receiving), Poll::Ready(Err(Errno::EBADF)));
}

#[test]
fn a_hand_over_passes_by_the_queue_and_is_not_lost_with_its_receiver() {
    let process = Process::new(1);
    let (to, from) = process.channel();
    let access = process.get(from, AccessOp::Read);
    let (sender, end) = (process.end(to), process.end(from));
    let handed = stats::read(Counter::Handovers);
    {
        let mut letter = Letter::with_room(8, 0);
        let receiving = end.receive(process.receiver(&access, Options::RENDEZVOUS), &mut letter);
        let mut receiving = pin!(receiving);
        assert!(poll(receiving.as_mut()).is_pending());
        let mut outgoing = Outgoing::bytes(b"abc");
        sender.try_send(&process.caller, None, &mut outgoing, Options::RENDEZVOUS).unwrap();
        assert_eq!(end.status().queued, 0);
        // Dropped with the message in its hands.
    }
    assert!(stats::read(Counter::Handovers) > handed);
    assert_eq!(end.status().queued, 1, "it is back at the head of the queue");
    assert_eq!(process.receive(from).unwrap().unwrap().0, b"abc");
    let mut outgoing = Outgoing::bytes(b"queued");
    sender.try_send(&process.caller, None, &mut outgoing, Options::RENDEZVOUS).unwrap();
    assert_eq!(end.status().queued, 1, "without a receiver it is a hint");
}

#[test]
fn a_reply_finds_its_caller() {
    let process = Process::new(1);
    let (client, server) = process.channel();
    let access = process.get(client, AccessOp::Write);
    let (near, far) = (process.end(client), process.end(server));
    let mut letter = Letter::new();
    let mut outgoing = Outgoing::bytes(b"....question");
    let calling = near.call(process.receiver(&access, Options::empty()), &mut outgoing, &mut letter, None);
    {
        let mut calling = pin!(calling);
        assert!(poll(calling.as_mut()).is_pending());
        let (question, _) = process.receive(server).unwrap().unwrap();
        assert_eq!(&question[4..], b"question");
        assert_eq!(question[3] & 0x80, 0x80, "the kernel's numbers have the top bit");
        // Something else first: it is queued.
        far.try_send(&process.caller, None, &mut Outgoing::bytes(b"news"), Options::empty()).unwrap();
        assert!(poll(calling.as_mut()).is_pending());
        let reply = [&question[..4], b"answer"].concat();
        far.try_send(&process.caller, None, &mut Outgoing::bytes(&reply), Options::empty()).unwrap();
        let outcome = poll(calling);
        assert_eq!(outcome, Poll::Ready(Ok(Outcome::Message(Sizes { bytes: 10, handles: 0 }))));
    }
    assert_eq!(&letter.bytes[4..], b"answer");
    assert_eq!(process.receive(client).unwrap().unwrap().0, b"news");
}

#[test]
fn a_reply_that_its_caller_did_not_take_is_queued() {
    let process = Process::new(1);
    let (client, server) = process.channel();
    let (moved, _peer) = process.channel();
    let access = process.get(client, AccessOp::Write);
    let near = process.end(client);
    {
        let mut letter = Letter::new();
        let mut outgoing = Outgoing::bytes(b"....");
        let mut calling =
            pin!(near.call(process.receiver(&access, Options::empty()), &mut outgoing, &mut letter, None));
        assert!(poll(calling.as_mut()).is_pending());
        let (question, _) = process.receive(server).unwrap().unwrap();
        process.send(server, &question, &[moved]).unwrap();
        process.table.close(server).unwrap();
        assert_eq!(
            process.receive(client),
            Err(Errno::EAGAIN),
            "it is not the end while the reply may come back"
        );
        // Killed with the reply in its hands.
    }
    let (_, handles) = process.receive(client).unwrap().unwrap();
    assert!(process.table.get_any(handles[0]).is_ok());
    assert_eq!(process.receive(client), Ok(None));
}

#[test]
fn a_call_ends_with_the_other_end() {
    let process = Process::new(1);
    let (client, server) = process.channel();
    let access = process.get(client, AccessOp::Write);
    let near = process.end(client);
    let mut letter = Letter::new();
    let mut outgoing = Outgoing::bytes(b"....");
    let calling = near.call(process.receiver(&access, Options::empty()), &mut outgoing, &mut letter, None);
    let mut calling = pin!(calling);
    assert!(poll(calling.as_mut()).is_pending());
    process.table.close(server).unwrap();
    assert_eq!(poll(calling), Poll::Ready(Err(Errno::EPIPE)));
}

#[test]
fn kchannel_inline_queue_takes_no_block_from_the_heap() {
    let process = Process::new(1);
    let (to, from) = process.channel();
    // Other tests count too, and leave blocks for this one, so that blocks are seen in the channel's own charges.
    let charged = process.caller.account.charged();
    for _ in 0..4 {
        process.send(to, &[7; 32], &[]).unwrap();
    }
    assert_eq!(process.caller.account.charged(), charged, "four small messages take nothing");
    process.send(to, &[7; 32], &[]).unwrap();
    assert!(process.caller.account.charged() > charged, "a fifth takes a block");
    for _ in 0..5 {
        process.receive(from).unwrap().unwrap();
    }
    let before = stats::read(Counter::LargePayloads);
    process.send(to, &[7; 129], &[]).unwrap();
    assert!(stats::read(Counter::LargePayloads) > before);
}

#[test]
fn a_message_is_charged_to_its_sender() {
    let (sender, receiver) = (Process::new(1), Process::new(2));
    let (to, from) = receiver.channel();
    let end = receiver.end(to);
    let before = sender.caller.account.charged();
    end.try_send(&sender.caller, None, &mut Outgoing::bytes(&[1; 1000]), Options::empty()).unwrap();
    assert_eq!(sender.caller.account.charged(), before + 1000);
    receiver.receive(from).unwrap().unwrap();
    assert_eq!(sender.caller.account.charged(), before);
}

#[test]
fn n5_a_long_chain_of_channels_in_channels_is_taken_down_without_recursion() {
    let process = Process::new(1);
    let (mut outer, mut outer_end) = process.channel();
    let first = outer_end;
    let mut ids = Vec::new();
    // Each level of a recursion would take some hundred bytes of a stack of two megabytes; the guest's case
    // has ten times as many links.
    for _ in 0..1_000 {
        // Each channel's receiving end travels in the queue of the one before.
        let (to, from) = process.channel();
        ids.push(process.table.info(from).unwrap().object);
        process.send(outer, b"", &[from]).unwrap();
        process.table.close(outer).unwrap();
        (outer, outer_end) = (to, from);
    }
    let _ = outer_end;
    process.table.close(outer).unwrap();
    assert!(registry::lookup(ids[0]).is_some());
    process.table.close(first).unwrap();
    // Another test may have started the task to which the rest is left.
    while !ids.iter().all(|id| is_gone(*id)) {
        crate::teardown::drop_rest();
        std::thread::yield_now();
    }
}

#[test]
fn n6_endpoints_in_each_others_queues_are_collected() {
    let _turn = collections();
    let process = Process::new(1);
    let (a, b) = process.channel();
    assert_eq!(process.send(a, b"", &[b]), Err(Errno::EINVAL), "not into its own queue");
    let (c, d) = process.channel();
    let ids = [b, d].map(|handle| process.table.info(handle).unwrap().object);
    process.send(c, b"", &[b]).unwrap();
    process.send(a, b"", &[d]).unwrap();
    // Reachable as long as somebody holds the message's way: nobody can receive from b or d any more.
    // Handles that other tests move make a look inconclusive.
    while !ids.iter().all(|id| is_gone(*id)) {
        now(crate::collector::collect());
    }
    assert!(process.end(a).readiness().contains(Events::HUP));
    assert!(process.end(c).readiness().contains(Events::HUP));
    process.table.close(a).unwrap();
    process.table.close(c).unwrap();
    assert!(ids.iter().all(|id| is_gone(*id)));
}

#[test]
fn the_collector_leaves_what_can_be_received() {
    let _turn = collections();
    let process = Process::new(1);
    let (a, b) = process.channel();
    let (c, d) = process.channel();
    process.send(c, b"", &[b]).unwrap();
    process.send(a, b"", &[a]).map_err(drop).unwrap();
    now(crate::collector::collect());
    let b = process.receive(d).unwrap().unwrap().1[0];
    let a = process.receive(b).unwrap().unwrap().1[0];
    process.send(a, b"alive", &[]).unwrap();
    assert_eq!(process.receive(b).unwrap().unwrap().0, b"alive");
}

#[test]
fn queued_handles_are_dropped_when_the_end_closes() {
    let process = Process::new(1);
    let (to, from) = process.channel();
    let (moved, peer) = process.channel();
    let access = process.get(moved, AccessOp::Read);
    process.send(to, b"", &[moved]).unwrap();
    assert!(process.end(peer).readiness() == (Events::OUT | Events::WRNORM));
    process.table.close(from).unwrap();
    assert!(process.end(peer).readiness().contains(Events::HUP), "although the sending end still lives");
    assert_eq!(events(&access).last(), Some(&"drop"));
}
