//! Bindings, packets, waiting.

use core::pin::pin;
use core::task::Poll;
use std::sync::Arc;

use base::Errno;
use base::time::Instant;

use super::support::{Postcard, Process, now, poll};
use crate::port::{Packet, Port, Signals};
use crate::{AccessOp, Rights};

fn port(process: &Process) -> (i32, Arc<Port>) {
    let capability = Port::create(&process.caller).unwrap();
    let handle = process.table.insert(&process.caller, capability, false).unwrap();
    let port = process.get(handle, AccessOp::Wait).object().port().unwrap().clone();
    (handle, port)
}

fn take(port: &Port) -> Result<(u64, u32), Errno> {
    let mut card = Postcard::default();
    port.try_take(None, &mut card)?;
    let packet = card.packet.unwrap();
    Ok((packet.key, packet.observed))
}

#[test]
fn a_message_makes_a_packet_and_receiving_makes_the_next() {
    let process = Process::new(1);
    let (to, from) = process.channel();
    let (_handle, port) = port(&process);
    port.bind(&process.caller, &process.end(from), 0x55, Signals::all()).unwrap();
    assert_eq!(take(&port), Err(Errno::EAGAIN));
    process.send(to, b"1", &[]).unwrap();
    process.send(to, b"2", &[]).unwrap();
    assert_eq!(take(&port), Ok((0x55, 1)), "two messages, one packet");
    assert_eq!(take(&port), Err(Errno::EAGAIN), "nothing was received");
    process.receive(from).unwrap().unwrap();
    assert_eq!(take(&port), Ok((0x55, 1)), "one more is there");
    process.receive(from).unwrap().unwrap();
    assert_eq!(take(&port), Err(Errno::EAGAIN));
    process.send(to, b"3", &[]).unwrap();
    process.table.close(to).unwrap();
    assert_eq!(take(&port), Ok((0x55, 3)), "signals that were not told yet come together");
}

#[test]
fn binding_tells_what_is_true_already() {
    let process = Process::new(1);
    let (to, from) = process.channel();
    let (_handle, port) = port(&process);
    process.send(to, b"1", &[]).unwrap();
    port.bind(&process.caller, &process.end(from), 1, Signals::READABLE).unwrap();
    assert_eq!(take(&port), Ok((1, 1)));
    process.table.close(to).unwrap();
    assert_eq!(take(&port), Err(Errno::EAGAIN), "not subscribed");
    port.bind(&process.caller, &process.end(from), 2, Signals::PEER_CLOSED).unwrap();
    assert_eq!(take(&port), Ok((2, 2)));
}

#[test]
fn another_ports_binding_is_not_taken_away() {
    let process = Process::new(1);
    let (_to, from) = process.channel();
    let (first_handle, first) = port(&process);
    let (_second_handle, second) = port(&process);
    let end = process.end(from);
    first.bind(&process.caller, &end, 1, Signals::all()).unwrap();
    first.bind(&process.caller, &end, 2, Signals::all()).unwrap();
    assert_eq!(second.bind(&process.caller, &end, 3, Signals::all()), Err(Errno::EBUSY));
    assert_eq!(second.unbind(&end), Err(Errno::ENOENT));
    assert_eq!(first.unbind(&end), Ok(()));
    second.bind(&process.caller, &end, 3, Signals::all()).unwrap();
    second.unbind(&end).unwrap();
    first.bind(&process.caller, &end, 4, Signals::all()).unwrap();
    process.table.close(first_handle).unwrap();
    second.bind(&process.caller, &end, 5, Signals::all()).expect("nobody has the first one any more");
}

#[test]
fn n16_waits_end_when_they_should() {
    let process = Process::new(1);
    let (handle, port) = port(&process);
    let access = process.get(handle, AccessOp::Wait);
    let mut card = Postcard::default();
    assert_eq!(now(port.take(&access, &mut card, None, true)), Err(Errno::EAGAIN));
    assert_eq!(now(port.take(&access, &mut card, Some(Instant::BOOT), false)), Err(Errno::ETIMEDOUT));
}

#[test]
fn the_last_owner_ends_the_waits() {
    let process = Process::new(1);
    let (handle, port) = port(&process);
    let access = process.get(handle, AccessOp::Wait);
    let mut card = Postcard::default();
    let mut waiting = pin!(port.take(&access, &mut card, None, false));
    assert!(poll(waiting.as_mut()).is_pending());
    process.table.close(handle).unwrap();
    assert_eq!(poll(waiting), Poll::Ready(Err(Errno::EBADF)));
}

#[test]
fn a_packet_that_cannot_be_written_stays() {
    let process = Process::new(1);
    let (to, from) = process.channel();
    let (_handle, port) = port(&process);
    port.bind(&process.caller, &process.end(from), 9, Signals::all()).unwrap();
    process.send(to, b"", &[]).unwrap();
    let mut bad = Postcard { bad: true, ..Postcard::default() };
    assert_eq!(port.try_take(None, &mut bad), Err(Errno::EFAULT));
    assert_eq!(take(&port), Ok((9, 1)));
}

#[test]
fn a_port_cannot_be_sent() {
    let process = Process::new(1);
    let (to, _from) = process.channel();
    let (handle, _port) = port(&process);
    assert_eq!(process.get(handle, AccessOp::Wait).rights(), Rights::PORT);
    assert_eq!(process.send(to, b"", &[handle]), Err(Errno::EACCES));
}

#[test]
fn a_packet_has_its_layout() {
    let packet = Packet { key: 0x1122_3344_5566_7788, observed: 3 };
    let bytes = packet.to_bytes();
    assert_eq!(&bytes[..8], &0x1122_3344_5566_7788u64.to_le_bytes());
    assert_eq!(&bytes[8..], &[3, 0, 0, 0, 0, 0, 0, 0]);
}
