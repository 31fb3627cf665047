//! What both kernels have to go from one process to another and back: what channels are compared with.

use super::Operation;
use super::messages::{Direction, child, close, end, move_all, pipe, round_trip};
use super::meter::{Meter, call, sure};

const fn operation(name: &'static str, measure: fn(&Meter) -> u64) -> Operation {
    Operation { group: "ipc", name, measure }
}

pub(super) const OPERATIONS: &[Operation] = &[
    operation("pipe_round_trip_64b", |meter| round_trip(meter, [pipe(), pipe()], &[7; BYTES])),
    // A counter moves eight bytes, and what it gives may be written again.
    operation("eventfd_round_trip", |meter| round_trip(meter, [eventfd(), eventfd()], &1u64.to_ne_bytes())),
    operation("unix_stream_round_trip_64b", |meter| socket_round_trip(meter, libc::SOCK_STREAM, Plain)),
    operation("unix_seqpacket_round_trip_64b", |meter| socket_round_trip(meter, libc::SOCK_SEQPACKET, Plain)),
    operation("unix_rights_round_trip", |meter| socket_round_trip(meter, libc::SOCK_STREAM, Rights::of)),
];

const BYTES: usize = 64;

/// A counter, as the end to read from and the end to write to.
fn eventfd() -> [i32; 2] {
    let counter = sure(call!(SYS_eventfd2, 0, 0)) as i32;
    [counter, counter]
}

/// One side of a round trip over a pair of sockets.
trait Side {
    fn send(&mut self) -> bool;
    fn receive(&mut self) -> bool;
}

/// What `make` makes of each end of a pair goes there and back.
fn socket_round_trip<S: Side>(meter: &Meter, kind: i32, make: fn(i32) -> S) -> u64 {
    let mut pair = [0; 2];
    sure(call!(SYS_socketpair, libc::AF_UNIX, kind, 0, pair.as_mut_ptr()));
    let peer = child(|| {
        let mut side = make(pair[1]);
        while side.receive() && side.send() {}
    });
    let mut side = make(pair[0]);
    let cost = meter.each(500, || assert!(side.send() && side.receive(), "the other side is gone"));
    end(peer);
    close(pair);
    cost
}

/// A plain message.
struct Plain(i32);

impl Side for Plain {
    fn send(&mut self) -> bool {
        move_all(Direction::Out, self.0, &mut [7; BYTES])
    }

    fn receive(&mut self) -> bool {
        move_all(Direction::In, self.0, &mut [7; BYTES])
    }
}

/// A message with a descriptor, which goes from hand to hand: each side closes what it has sent.
struct Rights {
    socket: i32,
    moved: i32,
    control: [u64; 3],
    payload: [u8; 1],
}

/// Bytes of the control message: its header and one descriptor.
const CONTROL_BYTES: usize = size_of::<libc::cmsghdr>() + size_of::<i32>();

impl Rights {
    fn of(socket: i32) -> Rights {
        let moved = sure(call!(SYS_eventfd2, 0, 0)) as i32;
        Rights { socket, moved, control: [0; 3], payload: [7] }
    }

    /// Calls `number` with the message.
    fn call(&mut self, sends: bool) -> isize {
        let mut bytes = libc::iovec { iov_base: self.payload.as_mut_ptr().cast(), iov_len: 1 };
        // SAFETY: all zeros are a message of nothing.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        (message.msg_iov, message.msg_iovlen) = (&raw mut bytes, 1);
        (message.msg_control, message.msg_controllen) =
            (self.control.as_mut_ptr().cast(), size_of_val(&self.control));
        if sends {
            message.msg_controllen = CONTROL_BYTES;
            return call!(SYS_sendmsg, self.socket, &raw const message, 0);
        }
        call!(SYS_recvmsg, self.socket, &raw mut message, 0)
    }
}

impl Side for Rights {
    fn send(&mut self) -> bool {
        let kind = (libc::SCM_RIGHTS as u64) << 32 | libc::SOL_SOCKET as u64;
        self.control = [CONTROL_BYTES as u64, kind, self.moved as u64];
        self.call(true) == 1 && call!(SYS_close, self.moved) == 0
    }

    fn receive(&mut self) -> bool {
        let received = self.call(false) == 1;
        let arrived = self.control[2] as u32 as i32;
        // Before the first message each side has one of its own.
        self.moved = arrived;
        received
    }
}
