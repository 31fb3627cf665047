//! Round trips over channels, which only Kairos has: elsewhere they are left out.

use super::Operation;
use super::messages::{child, end};
use super::meter::{Meter, syscall};

const fn operation(name: &'static str, measure: fn(&Meter) -> u64) -> Operation {
    Operation { group: "ipc", name, measure }
}

pub(super) const OPERATIONS: &[Operation] = &[
    operation("channel_round_trip_64b", |meter| round_trip(meter, false)),
    operation("channel_round_trip_64b_handle", |meter| round_trip(meter, true)),
    operation("channel_call_64b", call_round_trip),
    operation("handle_duplicate_close", duplicate_close),
];

const CLOSE: i64 = 4600;
const DUPLICATE: i64 = 4601;
const CREATE: i64 = 4602;
const SEND: i64 = 4603;
const RECV: i64 = 4604;
const CALL: i64 = 4616;

const BYTES: usize = 64;

/// `channel_msg`, with its buffers.
#[repr(C)]
struct Message {
    bytes: *mut u8,
    handles: *mut i32,
    num_bytes: u32,
    num_handles: u32,
    payload: [u8; BYTES],
    handle: [i32; 1],
}

impl Message {
    fn new() -> Box<Message> {
        let mut message = Box::new(Message {
            bytes: std::ptr::null_mut(),
            handles: std::ptr::null_mut(),
            num_bytes: 0,
            num_handles: 0,
            payload: [7; BYTES],
            handle: [-1],
        });
        message.bytes = message.payload.as_mut_ptr();
        message.handles = message.handle.as_mut_ptr();
        message
    }

    fn send(&mut self, channel: i32, with_handle: bool) -> bool {
        (self.num_bytes, self.num_handles) = (BYTES as u32, u32::from(with_handle));
        self.call(SEND, channel)
    }

    fn receive(&mut self, channel: i32) -> bool {
        (self.num_bytes, self.num_handles) = (BYTES as u32, 1);
        self.call(RECV, channel) && self.num_bytes > 0
    }

    fn call(&mut self, number: i64, channel: i32) -> bool {
        syscall(number, [channel as usize, std::ptr::from_mut(self) as usize, 0, 0, 0, 0]) == 0
    }
}

/// Both ends of a channel; none where there are no channels.
fn channel() -> Option<[i32; 2]> {
    let mut ends = [0i32; 2];
    let [one, two] = &mut ends;
    let (one, two) = (std::ptr::from_mut(one) as usize, std::ptr::from_mut(two) as usize);
    (syscall(CREATE, [one, two, 0, 0, 0, 0]) == 0).then_some(ends)
}

fn close(handle: i32) {
    syscall(CLOSE, [handle as usize, 0, 0, 0, 0, 0]);
}

/// 64 bytes there and back, alone or with a handle.
fn round_trip(meter: &Meter, with_handle: bool) -> u64 {
    let (Some([near, far]), Some([moved, other])) = (channel(), channel()) else { return 0 };
    let peer = child(|| {
        let mut message = Message::new();
        while message.receive(far) && message.send(far, with_handle) {}
    });
    close(far);
    let mut message = Message::new();
    message.handle = [moved];
    let cost = meter.each(500, || {
        message.send(near, with_handle);
        message.receive(near);
    });
    end(peer);
    [near, moved, other].into_iter().for_each(close);
    cost
}

/// One call here, a receive and a send there.
fn call_round_trip(meter: &Meter) -> u64 {
    let Some([near, far]) = channel() else { return 0 };
    let peer = child(|| {
        let mut message = Message::new();
        while message.receive(far) && message.send(far, false) {}
    });
    close(far);
    let (mut question, mut answer) = (Message::new(), Message::new());
    let cost = meter.each(500, || {
        (question.num_bytes, question.num_handles) = (BYTES as u32, 0);
        (answer.num_bytes, answer.num_handles) = (BYTES as u32, 1);
        let (question, answer) = (std::ptr::from_mut(&mut *question), std::ptr::from_mut(&mut *answer));
        syscall(CALL, [near as usize, question as usize, answer as usize, usize::MAX, 0, 0])
    });
    end(peer);
    close(near);
    cost
}

fn duplicate_close(meter: &Meter) -> u64 {
    let Some([near, far]) = channel() else { return 0 };
    let mut copy = -1i32;
    let cost = meter.each(500, || {
        let out = std::ptr::from_mut(&mut copy) as usize;
        syscall(DUPLICATE, [near as usize, 0, out, 0, 0, 0]);
        close(copy);
    });
    [near, far].into_iter().for_each(close);
    cost
}
