//! Those who are killed while they wait for a page of the buffer for what they were woken for: another one gets it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::{Future, pending, poll_fn};
use core::task::Poll;

use base::Result;
use base::frame::PAGE_SIZE;
use base::memory::{Access, BoxFuture, UserBuffer, UserMemory};
use base::sync::atomic::{AtomicBool, Ordering};
use shuttle::future::block_on;
use shuttle::thread;

use super::{
    Ends, IN, Operation, a_counter, a_pipe, a_socket, control, counter, explore, give, take, waiter,
};
use crate::epoll::Epoll;
use crate::epoll::interest::RECORD_BYTES;
use crate::file::{OpenFile, OpenFlags};
use crate::pipe::pipe_of;
use crate::testing;
use crate::unix::{self, Kind, ReceiveFlags, Socket};

/// Memory whose pages are all missing: whoever waits for one waits until he is killed.
#[derive(Default)]
struct Missing {
    waited_for: AtomicBool,
}

impl UserMemory for Missing {
    fn copy_in_nofault(&self, _from: u64, _into: &mut [u8]) -> usize {
        0
    }

    fn copy_out_nofault(&self, _to: u64, _from: &[u8]) -> usize {
        0
    }

    fn compare_exchange_nofault(&self, _at: u64, _current: u32, _new: u32) -> Option<u32> {
        None
    }

    fn fault_in(&self, _at: u64, _length: usize, _access: Access) -> BoxFuture<'_, Result<()>> {
        self.waited_for.store(true, Ordering::SeqCst);
        Box::pin(pending())
    }
}

/// Makes a call, and is killed as soon as it waits for a page of `memory`.
fn killed_at_a_page<T>(memory: &Missing, call: impl Future<Output = T>) {
    let mut call = Box::pin(call);
    block_on(poll_fn(|context| match call.as_mut().poll(context) {
        Poll::Pending if !memory.waited_for.load(Ordering::SeqCst) => Poll::Pending,
        _ => Poll::Ready(()),
    }));
}

async fn read(file: &OpenFile, buffer: &mut UserBuffer<'_>) {
    let _ = file.read(&testing::root(), buffer).await;
}

async fn receive(file: &OpenFile, buffer: &mut UserBuffer<'_>) {
    let _ = Socket::of(file).unwrap().receive(buffer, ReceiveFlags::empty(), true).await;
}

/// Two wait for a token; one of them is killed when it, or the next one, has come to him.
fn the_other_takes_it(ends: Ends, take_it: impl AsyncFn(&OpenFile, &mut UserBuffer<'_>) + Send + 'static) {
    let Ends { from, to } = ends;
    let (first, second) = (from.clone(), from.clone());
    let taker = thread::spawn(move || assert_eq!(block_on(take(&first)), Ok(1)));
    let killed = thread::spawn(move || {
        let memory = Missing::default();
        let mut buffer = UserBuffer::new(&memory, 0, 8, Access::Write);
        killed_at_a_page(&memory, take_it(&second, &mut buffer));
    });
    block_on(give(&to, 1));
    taker.join().unwrap();
    block_on(give(&to, 1));
    killed.join().unwrap();
    drop(from);
}

#[test]
fn a_killed_reader_leaves_a_pipe_to_the_next() {
    explore(|| the_other_takes_it(a_pipe(), read));
}

#[test]
fn a_killed_reader_leaves_a_message_to_the_next() {
    explore(|| the_other_takes_it(a_socket(), read));
}

#[test]
fn a_killed_receiver_leaves_a_message_to_the_next() {
    explore(|| the_other_takes_it(a_socket(), receive));
}

#[test]
fn a_killed_receiver_leaves_a_stream_to_the_next() {
    explore(|| {
        let (from, to) = unix::pair(&testing::root(), Kind::Stream, OpenFlags::empty()).unwrap();
        the_other_takes_it(Ends { from, to }, receive);
    });
}

#[test]
fn a_killed_reader_leaves_a_counter_to_the_next() {
    explore(|| the_other_takes_it(a_counter(), read));
}

/// What the pipe below holds: when one of two has written there is room for the other.
const BYTES: usize = 2 * PAGE_SIZE;

/// Two wait for room in a pipe; one of them is killed before it has read what it is to write.
#[test]
fn a_killed_writer_leaves_its_room_to_the_next() {
    explore(|| {
        let Ends { from, to } = a_pipe();
        let root = testing::root();
        pipe_of(&to).unwrap().set_capacity(&root, BYTES).unwrap();
        testing::with_bytes(&[0; BYTES], |buffer| block_on(to.write(&root, buffer))).unwrap();
        let writing = to.clone();
        let writer = thread::spawn(move || block_on(give(&writing, 1)));
        let killed = thread::spawn(move || {
            let memory = Missing::default();
            let mut buffer = UserBuffer::new(&memory, 0, 8, Access::Read);
            killed_at_a_page(&memory, to.write(&testing::root(), &mut buffer));
        });
        let (read, _) = testing::into_bytes(BYTES, |buffer| block_on(from.read(&root, buffer)));
        assert_eq!(read, Ok(BYTES));
        writer.join().unwrap();
        killed.join().unwrap();
    });
}

#[test]
fn a_killed_waiter_leaves_a_ready_item_to_the_next() {
    explore(|| {
        let (epoll, file) = (Epoll::open(&testing::root()).unwrap(), counter());
        control(&epoll, Operation::Add, &file, IN, 7);
        let staying = waiter(&epoll);
        let killed: thread::JoinHandle<()> = {
            let epoll: Arc<OpenFile> = epoll.clone();
            thread::spawn(move || {
                let memory = Missing::default();
                let mut buffer = UserBuffer::new(&memory, 0, RECORD_BYTES, Access::Write);
                killed_at_a_page(&memory, Epoll::of(&epoll).unwrap().wait(&mut buffer, None));
            })
        };
        block_on(give(&file, 1));
        staying.join().unwrap();
        killed.join().unwrap();
    });
}
