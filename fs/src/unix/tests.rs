//! Sockets without a machine.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::caller::Caller;
use base::{Errno, Result};

use super::{Kind, Outgoing, ReceiveFlags, Reception, Rights, SendFlags, Socket, pair};
use crate::file::{FdEntry, OpenFile, OpenFlags};
use crate::testing;
use executor::pollwait::Events;

fn two(caller: &Caller, kind: Kind) -> (Arc<OpenFile>, Arc<OpenFile>) {
    pair(caller, kind, OpenFlags::NONBLOCK).unwrap()
}

fn send(caller: &Caller, file: &OpenFile, bytes: &[u8], rights: Vec<FdEntry>) -> Result<usize> {
    let outgoing = Outgoing {
        rights: if rights.is_empty() { None } else { Some(Rights::new(caller, rights)?) },
        ..Outgoing::default()
    };
    let socket = Socket::of(file)?;
    testing::with_bytes(bytes, |buffer| {
        testing::now(socket.send(caller, buffer, outgoing, SendFlags::NO_SIGNAL, false))
    })
}

fn receive(file: &OpenFile, length: usize, flags: ReceiveFlags) -> Result<(Vec<u8>, Reception)> {
    let socket = Socket::of(file)?;
    let (result, bytes) =
        testing::into_bytes(length, |buffer| testing::now(socket.receive(buffer, flags, false)));
    result.map(|(_, reception)| (bytes, reception))
}

fn entry(file: &Arc<OpenFile>) -> FdEntry {
    FdEntry::new(file.clone(), false)
}

#[test]
fn a_stream_mixes_messages_and_a_datagram_socket_does_not() {
    let caller = testing::root();
    let (one, other) = two(&caller, Kind::Stream);
    send(&caller, &one, b"ab", Vec::new()).unwrap();
    send(&caller, &one, b"cd", Vec::new()).unwrap();
    assert_eq!(receive(&other, 3, ReceiveFlags::PEEK).unwrap().0, b"abc");
    assert_eq!(receive(&other, 3, ReceiveFlags::empty()).unwrap().0, b"abc");
    assert_eq!(receive(&other, 3, ReceiveFlags::empty()).unwrap().0, b"d");
    let (one, other) = two(&caller, Kind::Datagram);
    send(&caller, &one, b"ab", Vec::new()).unwrap();
    send(&caller, &one, b"cd", Vec::new()).unwrap();
    let (bytes, reception) = receive(&other, 1, ReceiveFlags::empty()).unwrap();
    assert_eq!((bytes.as_slice(), reception.truncated), (b"a".as_slice(), true));
    assert_eq!(receive(&other, 9, ReceiveFlags::empty()).unwrap().0, b"cd");
    assert_eq!(receive(&other, 9, ReceiveFlags::empty()).err(), Some(Errno::EAGAIN));
}

#[test]
fn a_close_is_heard_at_the_other_end() {
    let caller = testing::root();
    let (one, other) = two(&caller, Kind::Stream);
    send(&caller, &one, b"x", Vec::new()).unwrap();
    send(&caller, &other, b"unread", Vec::new()).unwrap();
    drop(one);
    assert!(other.poll().contains(Events::ERR | Events::HUP | Events::RDHUP | Events::IN | Events::OUT));
    assert_eq!(send(&caller, &other, b"y", Vec::new()), Err(Errno::EPIPE));
    assert_eq!(receive(&other, 9, ReceiveFlags::empty()).unwrap().0, b"x");
    assert_eq!(receive(&other, 9, ReceiveFlags::empty()).err(), Some(Errno::ECONNRESET));
    assert_eq!(receive(&other, 9, ReceiveFlags::empty()).unwrap().0, b"");
}

#[test]
fn a_budget_fills_and_is_given_back_by_the_receiver() {
    let caller = testing::root();
    let (one, other) = two(&caller, Kind::Stream);
    let mut count = 0;
    while send(&caller, &one, b"x", Vec::new()).is_ok() {
        count += 1;
    }
    assert_eq!(count, 278);
    assert!(!one.poll().contains(Events::OUT));
    assert_eq!(receive(&other, 208, ReceiveFlags::empty()).unwrap().0.len(), 208);
    assert!(!one.poll().contains(Events::OUT));
    receive(&other, 1, ReceiveFlags::empty()).unwrap();
    assert!(one.poll().contains(Events::OUT));
}

#[test]
fn descriptors_arrive_with_the_bytes_that_carried_them() {
    let caller = testing::root();
    let (one, other) = two(&caller, Kind::Stream);
    let (reader, writer) = crate::pipe::pipe(&caller, OpenFlags::NONBLOCK).unwrap();
    send(&caller, &one, b"ab", Vec::new()).unwrap();
    send(&caller, &one, b"cd", alloc::vec![entry(&writer)]).unwrap();
    send(&caller, &one, b"ef", Vec::new()).unwrap();
    drop(writer);
    let (bytes, reception) = receive(&other, 1, ReceiveFlags::empty()).unwrap();
    assert_eq!((bytes.as_slice(), reception.rights.len()), (b"a".as_slice(), 0));
    let (bytes, reception) = receive(&other, 9, ReceiveFlags::PEEK).unwrap();
    assert_eq!((bytes.as_slice(), reception.rights.len()), (b"bcd".as_slice(), 1));
    drop(reception);
    assert_eq!(reader.poll(), Events::empty());
    let (bytes, reception) = receive(&other, 9, ReceiveFlags::empty()).unwrap();
    assert_eq!((bytes.as_slice(), reception.rights.len()), (b"bcd".as_slice(), 1));
    drop(reception);
    assert_eq!(reader.poll(), Events::HUP);
    assert_eq!(receive(&other, 9, ReceiveFlags::empty()).unwrap().0, b"ef");
}

#[test]
fn a_long_chain_of_sockets_in_sockets_closes_without_recursion() {
    let caller = testing::root();
    let (reader, writer) = crate::pipe::pipe(&caller, OpenFlags::NONBLOCK).unwrap();
    let mut held = writer;
    for _ in 0..4_000 {
        let (one, other) = two(&caller, Kind::Datagram);
        send(&caller, &one, b"", alloc::vec![entry(&held)]).unwrap();
        held = other;
    }
    assert_eq!(reader.poll(), Events::empty());
    drop(held);
    // The tests of this crate share one grave, and another test may be at it.
    while reader.poll() != Events::HUP {
        std::thread::yield_now();
    }
}

#[test]
fn sockets_that_only_their_own_queues_hold_are_collected() {
    let caller = testing::root();
    for kind in [Kind::Stream, Kind::Datagram, Kind::SeqPacket] {
        let (reader, writer) = crate::pipe::pipe(&caller, OpenFlags::NONBLOCK).unwrap();
        let (one, other) = two(&caller, kind);
        let (third, fourth) = two(&caller, kind);
        // one's queue holds one, third and the pipe; third's holds fourth; fourth's holds one again.
        send(&caller, &other, b"1", alloc::vec![entry(&one), entry(&third), entry(&writer)]).unwrap();
        send(&caller, &fourth, b"2", alloc::vec![entry(&fourth)]).unwrap();
        send(&caller, &third, b"3", alloc::vec![entry(&one)]).unwrap();
        drop((writer, third, fourth, other));
        // What other tests move makes a look inconclusive.
        while testing::now(ipc::collector::collect()).is_none() {}
        assert_eq!(reader.poll(), Events::empty(), "one still leads into the knot");
        drop(one);
        while reader.poll() != Events::HUP {
            testing::now(ipc::collector::collect());
        }
    }
}

#[test]
fn a_connect_that_is_given_up_leaves_no_trace() {
    use crate::tmpfs::TmpFs;
    use crate::vfs::{FsContext, Mount, MountFlags, Namespace, Subject};
    let caller = testing::root();
    let root = Mount::new(&TmpFs::new_root().unwrap(), b"rootfs", MountFlags::empty());
    let context = FsContext::new(&Namespace::new(&root));
    let subject = Subject { caller: &caller, fs: &context };
    for name in [b"\x01\0\0abstract".as_slice(), b"\x01\0/path"] {
        let open = || Socket::open(&caller, Kind::Stream, OpenFlags::empty()).unwrap();
        let server = open();
        let listener = Socket::of(&server).unwrap();
        listener.bind(subject, name).unwrap();
        listener.listen(&caller, 0).unwrap();
        let (first, second) = (open(), open());
        testing::now(Socket::of(&first).unwrap().connect(subject, name, true)).unwrap();
        assert!(testing::try_now(Socket::of(&second).unwrap().connect(subject, name, true)).is_none());
        let connection = testing::now(listener.accept(&caller, OpenFlags::empty(), false)).unwrap();
        assert_eq!(
            testing::now(listener.accept(&caller, OpenFlags::empty(), false)).err(),
            Some(Errno::EAGAIN)
        );
        assert!(second.poll().contains(Events::HUP));
        send(&caller, &first, b"hello", Vec::new()).unwrap();
        assert_eq!(receive(&connection, 9, ReceiveFlags::empty()).unwrap().0, b"hello");
        // Given up in the queue, it is as if the server had refused.
        testing::now(Socket::of(&second).unwrap().connect(subject, name, true)).unwrap();
        drop(server);
        assert_eq!(receive(&second, 9, ReceiveFlags::empty()).err(), Some(Errno::ECONNRESET));
    }
}
