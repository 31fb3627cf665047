//! Models for the checker shuttle: whole calls on pipes, event counters, sockets and epoll instances under schedules of
//! its choice. A wake that is lost leaves a thread asleep, which the checker reports.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test -p fs --lib --target-dir target/shuttle models -- --test-threads 1`

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use base::Errno;
use base::memory::{Access, KernelBytes, UserBuffer};
use base::sync::atomic::{AtomicU64, Ordering};
use executor::modelled;
use executor::pollwait::Events;
use shuttle::future::block_on;
use shuttle::thread;
use std::sync::Mutex;

use crate::epoll::interest::{Interest, RECORD_BYTES};
use crate::epoll::{Epoll, Operation};
use crate::eventfd::{EventFd, EventFdFlags};
use crate::file::{FdEntry, FdTable, OpenFile, OpenFlags};
use crate::pipe::pipe;
use crate::poll::{PollEntry, poll_files};
use crate::testing;
use crate::unix::{self, Kind};

mod collected;
mod fifo;
mod killed;
mod timer;

fn explore(model: impl Fn() + Send + Sync + 'static) {
    testing::machine();
    first_uses();
    base::sync::explore(model);
}

/// What is made at its first use is made here, where there is one thread: one that waits for another to make it would
/// wait for ever.
fn first_uses() {
    modelled::prepare();
    let caller = testing::root();
    let files = [
        Vec::from(<[_; 2]>::from(pipe(&caller, OpenFlags::empty()).unwrap())),
        Vec::from(<[_; 2]>::from(unix::pair(&caller, Kind::SeqPacket, OpenFlags::empty()).unwrap())),
        vec![EventFd::open(&caller, 1, EventFdFlags::empty()).unwrap(), Epoll::open(&caller).unwrap()],
        timer::first_uses(),
    ];
    files.iter().flatten().for_each(|file| discard(file.poll()));
}

fn discard<T>(_value: T) {}

/// Where tokens go in and come out.
#[derive(Clone)]
struct Ends {
    from: Arc<OpenFile>,
    to: Arc<OpenFile>,
}

async fn give(file: &OpenFile, token: u64) {
    let memory = KernelBytes::new(token.to_ne_bytes().to_vec());
    let mut buffer = UserBuffer::new(&memory, 0, 8, Access::Read);
    assert_eq!(file.write(&testing::root(), &mut buffer).await, Ok(8));
}

async fn take(file: &OpenFile) -> base::Result<u64> {
    let memory = KernelBytes::new(vec![0; 8]);
    {
        let mut buffer = UserBuffer::new(&memory, 0, 8, Access::Write);
        assert_eq!(file.read(&testing::root(), &mut buffer).await?, 8);
    }
    Ok(u64::from_ne_bytes(memory.into_inner().try_into().unwrap()))
}

/// Begins to take and gives up, as a thread does that is killed in the call.
fn take_or_give_up(file: &OpenFile) -> Option<u64> {
    let mut taking = Box::pin(take(file));
    let taken = block_on(poll_fn(|context| match taking.as_mut().poll(context) {
        Poll::Ready(token) => Poll::Ready(token.ok()),
        Poll::Pending => Poll::Ready(None),
    }));
    thread::yield_now();
    taken
}

/// Two producers, two takers that take all there is, one that begins to take again and again and gives up. What it gets
/// all the same it gives back.
fn tokens(make: fn() -> Ends, expected: &[u64]) {
    const EACH: u64 = 2;
    let ends = make();
    let log = Arc::new(Mutex::new(Vec::new()));
    let producer = |first: u64| {
        let to = ends.to.clone();
        thread::spawn(move || (first..first + EACH).for_each(|token| block_on(give(&to, token))))
    };
    let taker = |_| {
        let (from, log) = (ends.from.clone(), log.clone());
        thread::spawn(move || {
            for _ in 0..EACH {
                let token = block_on(take(&from)).unwrap();
                log.lock().unwrap().push(token);
            }
        })
    };
    let mut threads: Vec<_> = [1, 1 + EACH].into_iter().map(producer).collect();
    threads.extend([0, 1].map(taker));
    let Ends { from, to } = ends;
    threads.push(thread::spawn(move || {
        for _ in 0..3 {
            if let Some(token) = take_or_give_up(&from) {
                block_on(give(&to, token));
            }
        }
    }));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let mut log = log.lock().unwrap();
    log.sort_unstable();
    assert_eq!(*log, expected);
}

/// One token, one taker, one that begins to take and gives up: the taker gets it.
fn one_token(make: fn() -> Ends) {
    let Ends { from, to } = make();
    let taken = from.clone();
    let taker = thread::spawn(move || assert_eq!(block_on(take(&taken)), Ok(1)));
    let back = to.clone();
    let leaver = thread::spawn(move || {
        if let Some(token) = take_or_give_up(&from) {
            block_on(give(&back, token));
        }
    });
    block_on(give(&to, 1));
    taker.join().unwrap();
    leaver.join().unwrap();
}

fn a_pipe() -> Ends {
    let (from, to) = pipe(&testing::root(), OpenFlags::empty()).unwrap();
    Ends { from, to }
}

fn a_socket() -> Ends {
    let (from, to) = unix::pair(&testing::root(), Kind::SeqPacket, OpenFlags::empty()).unwrap();
    Ends { from, to }
}

fn a_counter() -> Ends {
    let counter = EventFd::open(&testing::root(), 0, EventFdFlags::SEMAPHORE).unwrap();
    Ends { from: counter.clone(), to: counter }
}

#[test]
fn pipe_records_come_once() {
    explore(|| tokens(a_pipe, &[1, 2, 3, 4]));
}

#[test]
fn socket_messages_come_once() {
    explore(|| tokens(a_socket, &[1, 2, 3, 4]));
}

#[test]
fn counter_tokens_come_once() {
    // The producers add 1 to 4, a taker takes 1 at a time: what is left at the end does not matter.
    explore(|| tokens(a_counter, &[1; 4]));
}

#[test]
fn a_pipe_wakes_who_stays() {
    explore(|| one_token(a_pipe));
}

#[test]
fn a_socket_wakes_who_stays() {
    explore(|| one_token(a_socket));
}

#[test]
fn a_counter_wakes_who_stays() {
    explore(|| one_token(a_counter));
}

/// One write is worth two reads.
#[test]
fn a_counter_wakes_as_many_as_it_serves() {
    explore(|| {
        let Ends { from, to } = a_counter();
        let taker = |from: Arc<OpenFile>| thread::spawn(move || assert_eq!(block_on(take(&from)), Ok(1)));
        let takers = [taker(from.clone()), taker(from)];
        block_on(give(&to, 2));
        takers.into_iter().for_each(|taker| taker.join().unwrap());
    });
}

/// What an instance reports now or when something is ready: the data of one item.
async fn wait(epoll: &OpenFile) -> u64 {
    let memory = KernelBytes::new(vec![0; RECORD_BYTES]);
    {
        let mut buffer = UserBuffer::new(&memory, 0, RECORD_BYTES, Access::Write);
        assert_eq!(Epoll::of(epoll).unwrap().wait(&mut buffer, None).await, Ok(1));
    }
    u64::from_ne_bytes(memory.into_inner()[4..].try_into().unwrap())
}

fn control(epoll: &OpenFile, operation: Operation, file: &Arc<OpenFile>, interest: u32, data: u64) {
    let interest = Interest::from_program(interest);
    let entry = FdEntry::new(file.clone(), false);
    block_on(Epoll::control(&testing::root(), epoll, Some(operation), &entry, 3, interest, data)).unwrap();
}

/// Waits until the file is readable, as poll(2) does.
async fn readable(file: &Arc<OpenFile>) {
    let (caller, files) = (testing::root(), FdTable::new());
    let fd = files.insert(&caller, file.clone(), false).unwrap();
    let mut entries = [PollEntry::new(Some(file.clone()), fd, Events::IN)];
    assert_eq!(poll_files(&caller, &files, &mut entries, None).await, Ok(1));
}

fn counter() -> Arc<OpenFile> {
    EventFd::open(&testing::root(), 0, EventFdFlags::NONBLOCK).unwrap()
}

const IN: u32 = Events::IN.bits();
const STOP: u64 = u64::MAX;

/// Workers that drain what an edge tells of; meanwhile the items are modified. No edge is lost.
#[test]
fn edges_are_reported() {
    explore(|| {
        let epoll = Epoll::open(&testing::root()).unwrap();
        let (files, stop) = ([counter(), counter()], counter());
        for (file, data) in files.iter().zip(0..) {
            control(&epoll, Operation::Add, file, IN | Interest::EDGE, data);
        }
        control(&epoll, Operation::Add, &stop, IN, STOP);
        let taken = Arc::new(AtomicU64::new(0));
        let mut threads = Vec::new();
        for file in files.clone() {
            threads.push(thread::spawn(move || (0..2).for_each(|_| block_on(give(&file, 1)))));
        }
        for _ in 0..2 {
            let (epoll, files, taken, stop) = (epoll.clone(), files.clone(), taken.clone(), stop.clone());
            threads.push(thread::spawn(move || {
                loop {
                    let data = block_on(wait(&epoll));
                    let Some(file) = files.get(data as usize) else { return };
                    loop {
                        match block_on(take(file)) {
                            Ok(value) => {
                                if taken.fetch_add(value, Ordering::SeqCst) + value == 4 {
                                    block_on(give(&stop, 1));
                                }
                            }
                            Err(error) => {
                                assert_eq!(error, Errno::EAGAIN);
                                break;
                            }
                        }
                    }
                }
            }));
        }
        let modifier = (epoll.clone(), files[0].clone());
        threads.push(thread::spawn(move || {
            control(&modifier.0, Operation::Modify, &modifier.1, IN | Interest::EDGE, 0);
        }));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(taken.load(Ordering::SeqCst), 4);
    });
}

/// An instance with an item that is ready and stays so.
fn with_a_ready_item() -> (Arc<OpenFile>, Arc<OpenFile>) {
    let (epoll, file) = (Epoll::open(&testing::root()).unwrap(), counter());
    control(&epoll, Operation::Add, &file, IN, 7);
    block_on(give(&file, 1));
    (epoll, file)
}

fn waiter(epoll: &Arc<OpenFile>) -> thread::JoinHandle<()> {
    let epoll = epoll.clone();
    thread::spawn(move || assert_eq!(block_on(wait(&epoll)), 7))
}

/// One waiter has the item in hand and puts it back: the other is told of it as well.
#[test]
fn what_a_waiter_puts_back_is_reported() {
    explore(|| {
        let (epoll, _file) = with_a_ready_item();
        [waiter(&epoll), waiter(&epoll)].into_iter().for_each(|waiter| waiter.join().unwrap());
    });
}

/// The same with somebody who polls the instance.
#[test]
fn what_a_waiter_puts_back_is_polled() {
    explore(|| {
        let (epoll, _file) = with_a_ready_item();
        let waiting = waiter(&epoll);
        block_on(readable(&epoll));
        waiting.join().unwrap();
    });
}

/// Something comes while a waiter looks at an item that turned out not to be ready: it is told as well.
#[test]
fn an_edge_during_a_look_is_reported() {
    explore(|| {
        let (epoll, file) = (Epoll::open(&testing::root()).unwrap(), counter());
        control(&epoll, Operation::Add, &file, IN | Interest::EDGE, 7);
        let to = file.clone();
        let giver = thread::spawn(move || (0..3).for_each(|_| block_on(give(&to, 1))));
        let mut taken = 0;
        while taken < 3 {
            assert_eq!(block_on(wait(&epoll)), 7);
            taken += block_on(take(&file)).unwrap_or(0);
        }
        giver.join().unwrap();
    });
}

/// One edge, two waiters of which one gives up: the other is told, unless the first was.
#[test]
fn an_edge_passes_to_who_stays() {
    explore(|| {
        let (epoll, file) = (Epoll::open(&testing::root()).unwrap(), counter());
        control(&epoll, Operation::Add, &file, IN | Interest::EDGE, 7);
        let leaver = epoll.clone();
        let leaving = thread::spawn(move || {
            let mut waiting = pin!(wait(&leaver));
            block_on(poll_fn(|context| match waiting.as_mut().poll(context) {
                Poll::Ready(data) => Poll::Ready(Some(data)),
                Poll::Pending => Poll::Ready(None),
            }))
        });
        let (stayer, again) = (epoll.clone(), file.clone());
        let staying = thread::spawn(move || assert_eq!(block_on(wait(&stayer)), 7));
        block_on(give(&file, 1));
        if leaving.join().unwrap().is_some() {
            // It got the edge: the other needs one of its own.
            block_on(give(&again, 1));
        }
        staying.join().unwrap();
    });
}

/// A file is closed, or its item removed, while it becomes ready and somebody waits.
#[test]
fn items_go_while_their_files_wake() {
    explore(|| {
        let (epoll, stop) = (Epoll::open(&testing::root()).unwrap(), counter());
        control(&epoll, Operation::Add, &stop, IN, STOP);
        let (closed, removed) = (counter(), counter());
        control(&epoll, Operation::Add, &closed, IN | Interest::EDGE, 1);
        control(&epoll, Operation::Add, &removed, IN | Interest::EDGE, 2);
        let waiter = epoll.clone();
        let waiting = thread::spawn(move || while block_on(wait(&waiter)) != STOP {});
        let remover = (epoll.clone(), removed.clone());
        let removing = thread::spawn(move || control(&remover.0, Operation::Delete, &remover.1, 0, 0));
        let waking = thread::spawn(move || {
            block_on(give(&closed, 1));
            block_on(give(&removed, 1));
        });
        waking.join().unwrap();
        removing.join().unwrap();
        block_on(give(&stop, 1));
        waiting.join().unwrap();
    });
}
