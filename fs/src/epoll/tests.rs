use alloc::sync::Arc;
use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};

use base::caller::Caller;
use base::memory::{Access, KernelBytes, UserBuffer};
use base::time::Instant;
use base::{Errno, Result};
use executor::pollwait::Events;

use super::interest::{Interest, RECORD_BYTES};
use super::{Epoll, Operation, nesting};
use crate::eventfd::{EventFd, EventFdFlags};
use crate::file::{FdEntry, OpenFile, OpenFlags};
use crate::pipe::pipe;
use crate::testing;

const IN: u32 = Events::IN.bits();

fn event() -> Arc<OpenFile> {
    EventFd::open(&testing::root(), 0, EventFdFlags::NONBLOCK).unwrap()
}

fn epoll() -> Arc<OpenFile> {
    Epoll::open(&testing::root()).unwrap()
}

fn signal(file: &OpenFile) {
    let caller = testing::root();
    let value = 1u64.to_ne_bytes();
    assert_eq!(testing::with_bytes(&value, |buffer| testing::now(file.write(&caller, buffer))), Ok(8));
}

fn drain(file: &OpenFile) {
    let caller = testing::root();
    testing::into_bytes(8, |buffer| testing::now(file.read(&caller, buffer))).0.unwrap();
}

/// Polls a change of an instance until it is done: the nests of all tests have one lock.
fn finish<T>(change: impl Future<Output = T>) -> T {
    let mut change = pin!(change);
    loop {
        if let Poll::Ready(result) = change.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
        std::thread::yield_now();
    }
}

fn control(
    epoll: &OpenFile,
    operation: Operation,
    file: &Arc<OpenFile>,
    interest: u32,
    data: u64,
) -> Result<()> {
    let interest = Interest::from_program(interest);
    let entry = FdEntry::new(file.clone(), false);
    finish(Epoll::control(&testing::root(), epoll, Some(operation), &entry, 3, interest, data))
}

fn add(epoll: &OpenFile, file: &Arc<OpenFile>, interest: u32, data: u64) {
    control(epoll, Operation::Add, file, interest, data).unwrap();
}

/// The data of what is ready.
fn ready(epoll: &OpenFile, most: usize) -> Vec<u64> {
    let (result, bytes) = testing::into_bytes(most * RECORD_BYTES, |buffer| {
        testing::now(Epoll::of(epoll).unwrap().wait(buffer, Some(Instant::BOOT)))
    });
    let records = bytes.chunks_exact(RECORD_BYTES);
    assert_eq!(result, Ok(records.len()));
    records.map(|record| u64::from_ne_bytes(record[4..].try_into().unwrap())).collect()
}

#[test]
fn an_item_goes_with_its_file_and_keeps_it_from_nothing() {
    let (epoll, first, second) = (epoll(), event(), event());
    add(&epoll, &first, IN, 1);
    add(&epoll, &second, IN, 2);
    signal(&first);
    signal(&second);
    let weak = Arc::downgrade(&first);
    drop(first);
    assert!(weak.upgrade().is_none());
    assert_eq!(ready(&epoll, 4), [2]);
    let epoll_of = Epoll::of(&epoll).unwrap();
    assert_eq!(epoll_of.table.lock().items.len(), 1);
    let watched = || second.ops().sources(&second).input.expect("an eventfd has a source").has_waiters();
    assert!(watched());
    drop(epoll);
    assert!(!watched(), "nothing stands on a source");
    signal(&second);
}

#[test]
fn a_pipe_hears_that_its_reader_is_gone_although_it_is_watched() {
    let caller = testing::root();
    let (epoll, (read, written)) = (epoll(), pipe(&caller, OpenFlags::empty()).unwrap());
    add(&epoll, &read, IN, 1);
    drop(read);
    let result = testing::with_bytes(b"x", |buffer| testing::now(written.write(&caller, buffer)));
    assert_eq!(result, Err(Errno::EPIPE));
}

/// A wait that is polled by hand.
fn poll_once(future: &mut Pin<&mut impl Future<Output = Result<usize>>>) -> Poll<Result<usize>> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn waiters_are_served_in_turn_and_one_that_leaves_passes_its_wake_on() {
    let (epoll, first, second) = (epoll(), event(), event());
    add(&epoll, &first, IN | Interest::EDGE, 1);
    add(&epoll, &second, IN | Interest::EDGE, 2);
    let instance = Epoll::of(&epoll).unwrap();
    let memory = [(); 3].map(|()| KernelBytes::new(vec![0; RECORD_BYTES]));
    let mut buffers = memory.each_ref().map(|memory| UserBuffer::new(memory, 0, RECORD_BYTES, Access::Write));
    let [one, two, three] = &mut buffers;
    let mut oldest = Box::pin(instance.wait(one, None));
    let mut middle = pin!(instance.wait(two, None));
    let mut newest = pin!(instance.wait(three, None));
    assert!(poll_once(&mut oldest.as_mut()).is_pending());
    assert!(poll_once(&mut middle).is_pending());
    assert!(poll_once(&mut newest).is_pending());
    signal(&first);
    drop(oldest);
    assert!(poll_once(&mut newest).is_pending());
    assert_eq!(poll_once(&mut middle), Poll::Ready(Ok(1)));
    assert!(poll_once(&mut newest).is_pending(), "one edge, one waiter");
    signal(&second);
    assert_eq!(poll_once(&mut newest), Poll::Ready(Ok(1)));
}

#[test]
fn nests_stay_shallow_and_without_cycles_whatever_is_taken_apart() {
    let chain: Vec<Arc<OpenFile>> = (0..6).map(|_| epoll()).collect();
    let nest = |outer: usize, inner: usize| control(&chain[outer], Operation::Add, &chain[inner], IN, 0);
    for outer in 0..4 {
        assert_eq!(nest(outer, outer + 1), Ok(()));
    }
    assert_eq!(nest(4, 5), Err(Errno::ELOOP));
    assert_eq!(nest(5, 0), Err(Errno::ELOOP));
    assert_eq!(nest(4, 0), Err(Errno::ELOOP));
    assert_eq!(nest(0, 2), Ok(()), "a shorter way is no problem");
    assert_eq!(control(&chain[1], Operation::Delete, &chain[2], 0, 0), Ok(()));
    assert_eq!(nest(4, 5), Ok(()));
    assert_eq!(nest(1, 2), Err(Errno::ELOOP));
}

/// While another walk keeps the nests as they are, who wants to change one waits; given up, he has changed nothing.
#[test]
fn changes_of_nests_wait_for_each_other() {
    let (outer, inner, file) = (epoll(), epoll(), event());
    add(&inner, &file, IN, 1);
    let items = |epoll: &OpenFile| Epoll::of(epoll).unwrap().table.lock().items.len();
    let change = |operation| {
        let (epoll, entry) = (outer.clone(), FdEntry::new(inner.clone(), false));
        async move {
            let interest = Interest::from_program(IN);
            Epoll::control(&testing::root(), &epoll, Some(operation), &entry, 3, interest, 0).await
        }
    };
    let frozen = finish(nesting::freeze());
    assert_eq!((testing::try_now(change(Operation::Add)), items(&outer)), (None, 0));
    drop(frozen);
    assert_eq!(finish(change(Operation::Add)), Ok(()));
    let frozen = finish(nesting::freeze());
    assert_eq!((testing::try_now(change(Operation::Delete)), items(&outer)), (None, 1));
    // A file in a nest is in place before it is checked, and goes again with who gives up.
    let adding = {
        let (epoll, entry) = (inner.clone(), FdEntry::new(event(), false));
        async move {
            let interest = Interest::from_program(IN);
            Epoll::control(&testing::root(), &epoll, Some(Operation::Add), &entry, 4, interest, 0).await
        }
    };
    assert_eq!((testing::try_now(adding), items(&inner)), (None, 1));
    drop(frozen);
    assert_eq!((finish(change(Operation::Delete)), items(&outer)), (Ok(()), 0));
}

/// More on each side than are looked at at once.
#[test]
fn wide_nests_are_seen_as_a_whole() {
    let (file, inner) = (event(), epoll());
    let add_as = |fd: i32, outer: &OpenFile, file: &Arc<OpenFile>| {
        let (entry, interest) = (FdEntry::new(file.clone(), false), Interest::from_program(IN));
        let operation = Some(Operation::Add);
        finish(Epoll::control(&testing::root(), outer, operation, &entry, fd, interest, 0))
    };
    let others: Vec<Arc<OpenFile>> = (0..200).map(|_| event()).collect();
    for (fd, other) in (0..).zip(&others) {
        assert_eq!(add_as(fd, &inner, other), Ok(()));
    }
    assert_eq!(add_as(1000, &inner, &file), Ok(()));
    // There may be 500 chains of two; an instance may have the other under many numbers.
    let outer: Vec<Arc<OpenFile>> = (0..5).map(|_| epoll()).collect();
    for (fd, outer) in (0..500).zip(outer.iter().cycle()) {
        assert_eq!(add_as(fd, outer, &inner), Ok(()));
    }
    assert_eq!(add_as(500, &outer[0], &inner), Err(Errno::EINVAL));
    assert_eq!(Epoll::of(&outer[0]).unwrap().table.lock().items.len(), 100, "it is gone again");
    assert_eq!(add_as(1001, &inner, &file), Err(Errno::EINVAL), "twice as many ways to the file");
    assert_eq!(Epoll::of(&inner).unwrap().table.lock().items.len(), 201);
}

#[test]
fn a_wake_goes_up_through_every_level() {
    let chain: Vec<Arc<OpenFile>> = (0..5).map(|_| epoll()).collect();
    let source = event();
    add(&chain[0], &source, IN, 0);
    for level in 1..5 {
        let number = u64::try_from(level).unwrap();
        add(&chain[level], &chain[level - 1], IN, number);
    }
    let memory = KernelBytes::new(vec![0; RECORD_BYTES]);
    let mut buffer = UserBuffer::new(&memory, 0, RECORD_BYTES, Access::Write);
    let mut waiting = pin!(Epoll::of(&chain[4]).unwrap().wait(&mut buffer, None));
    assert!(poll_once(&mut waiting).is_pending());
    signal(&source);
    assert_eq!(poll_once(&mut waiting), Poll::Ready(Ok(1)));
    drain(&source);
    assert!(chain.iter().all(|epoll| ready(epoll, 4).is_empty()));
}

#[test]
fn what_was_not_looked_at_stays_in_order() {
    let epoll = epoll();
    let files: Vec<Arc<OpenFile>> = (0..200).map(|_| event()).collect();
    for (number, file) in (0..).zip(&files) {
        add(&epoll, file, IN, number);
        signal(file);
    }
    let mut seen = Vec::new();
    for _ in 0..20 {
        seen.extend(ready(&epoll, 10));
    }
    assert!(seen.iter().copied().eq(0..200));
    assert_eq!(ready(&epoll, 1000).len(), 200, "more than one step, and each once");
}

#[test]
fn a_missing_page_loses_no_edge() {
    let (epoll, file) = (epoll(), event());
    add(&epoll, &file, IN | Interest::EDGE, 1);
    signal(&file);
    let memory = KernelBytes::new(vec![0; 5]);
    let mut buffer = UserBuffer::new(&memory, 0, RECORD_BYTES, Access::Write);
    let wait = Epoll::of(&epoll).unwrap().wait(&mut buffer, Some(Instant::BOOT));
    assert_eq!(testing::now(wait), Err(Errno::EFAULT));
    assert_eq!((ready(&epoll, 1), ready(&epoll, 1)), (vec![1], vec![]));
}

/// The caller of other tests of this crate, to be sure that charges come back.
#[test]
fn an_instance_costs_nothing_when_it_is_gone() {
    let caller: Caller = testing::root();
    let file = event();
    {
        let epoll = Epoll::open(&caller).unwrap();
        for fd in 0..100 {
            let interest = Interest::from_program(IN);
            let entry = FdEntry::new(file.clone(), false);
            let adding = Epoll::control(&caller, &epoll, Some(Operation::Add), &entry, fd, interest, 0);
            finish(adding).unwrap();
        }
        assert!(caller.account.charged() > 100 * RECORD_BYTES);
    }
    assert_eq!(caller.account.charged(), 0);
}
