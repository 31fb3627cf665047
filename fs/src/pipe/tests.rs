//! Pipes and FIFOs as programs see them.

use super::*;
use crate::testing;
use crate::tmpfs::TmpFs;
use crate::vfs::{FsContext, Mount, MountFlags, Namespace, OpenHow, Start, Subject, WalkFlags, mknod, open};
use alloc::vec::Vec;
use base::host::Clock;
use base::memory::{Access, BoxFuture, KernelBytes, UserBuffer, UserMemory};
use base::sync::atomic::{AtomicU64, Ordering};
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use executor::order::{Schedule, SeededOrder};
use executor::{Config, TaskOptions, host};

fn write(caller: &Caller, file: &OpenFile, bytes: &[u8]) -> Option<Result<usize>> {
    testing::with_bytes(bytes, |buffer| testing::try_now(file.write(caller, buffer)))
}

fn read(caller: &Caller, file: &OpenFile, length: usize) -> Option<Result<Vec<u8>>> {
    let (result, bytes) = testing::into_bytes(length, |buffer| testing::try_now(file.read(caller, buffer)));
    result.map(|result| result.map(|_| bytes))
}

#[test]
fn a_full_pipe_takes_exactly_its_capacity() {
    let caller = testing::root();
    let (reader, writer) = pipe(&caller, OpenFlags::NONBLOCK).unwrap();
    let mut total = 0;
    while let Some(Ok(count)) = write(&caller, &writer, &[7; 4096]) {
        total += count;
    }
    assert_eq!(total, DEFAULT_CAPACITY);
    assert_eq!(write(&caller, &writer, b"x"), Some(Err(Errno::EAGAIN)));
    assert_eq!(writer.poll(), Events::empty());
    // One byte less is no room for a write of PIPE_BUF, so it is not writable yet.
    assert_eq!(read(&caller, &reader, 1).unwrap().unwrap().len(), 1);
    assert_eq!(writer.poll(), Events::empty());
    assert_eq!(write(&caller, &writer, b"xy"), Some(Err(Errno::EAGAIN)));
    assert_eq!(read(&caller, &reader, 4095).unwrap().unwrap().len(), 4095);
    assert_eq!(writer.poll(), OUT);
    assert_eq!(pipe_of(&reader).unwrap().available(), DEFAULT_CAPACITY - 4096);
}

#[test]
fn a_blocking_write_goes_on_until_all_is_written() {
    let caller = testing::root();
    let (reader, writer) = pipe(&caller, OpenFlags::empty()).unwrap();
    let bytes: Vec<u8> = (0..200_000u32).map(|i| i as u8).collect();
    let memory = KernelBytes::new(bytes.clone());
    let mut buffer = UserBuffer::new(&memory, 0, bytes.len(), Access::Read);
    let mut context = Context::from_waker(Waker::noop());
    let mut writing = pin!(writer.write(&caller, &mut buffer));
    let mut got = Vec::new();
    loop {
        let done = writing.as_mut().poll(&mut context);
        if let Poll::Ready(result) = done {
            assert_eq!(result, Ok(bytes.len()));
            break;
        }
        got.extend(read(&caller, &reader, 50_000).unwrap().unwrap());
    }
    while pipe_of(&reader).unwrap().available() > 0 {
        got.extend(read(&caller, &reader, 50_000).unwrap().unwrap());
    }
    assert_eq!(got, bytes);
}

#[test]
fn the_last_close_is_seen_by_the_other_end() {
    let caller = testing::root();
    let (reader, writer) = pipe(&caller, OpenFlags::empty()).unwrap();
    assert_eq!(write(&caller, &writer, b"last"), Some(Ok(4)));
    assert_eq!(reader.poll(), IN);
    drop(writer);
    assert_eq!(reader.poll(), IN | Events::HUP);
    assert_eq!(read(&caller, &reader, 10), Some(Ok(b"last".to_vec())));
    assert_eq!(read(&caller, &reader, 10), Some(Ok(Vec::new())));
    assert_eq!(reader.poll(), Events::HUP);
    let (reader, writer) = pipe(&caller, OpenFlags::empty()).unwrap();
    drop(reader);
    assert_eq!(write(&caller, &writer, b"x"), Some(Err(Errno::EPIPE)));
    assert_eq!(write(&caller, &writer, b""), Some(Ok(0)));
    assert_eq!(writer.poll(), OUT | Events::ERR);
}

#[test]
fn packets_are_read_one_by_one() {
    let caller = testing::root();
    let (reader, writer) = pipe(&caller, OpenFlags::DIRECT | OpenFlags::NONBLOCK).unwrap();
    for packet in [b"one".as_slice(), b"second"] {
        assert_eq!(write(&caller, &writer, packet), Some(Ok(packet.len())));
    }
    assert_eq!(read(&caller, &reader, 100), Some(Ok(b"one".to_vec())));
    // What does not fit the buffer is lost.
    assert_eq!(read(&caller, &reader, 3), Some(Ok(b"sec".to_vec())));
    assert_eq!(read(&caller, &reader, 3), Some(Err(Errno::EAGAIN)));
}

#[test]
fn the_capacity_follows_the_rules_of_fcntl() {
    let caller = testing::root();
    let (reader, writer) = pipe(&caller, OpenFlags::NONBLOCK).unwrap();
    let pipe = pipe_of(&reader).unwrap();
    assert_eq!(pipe.set_capacity(&caller, 5000), Ok(8192));
    assert_eq!(pipe.set_capacity(&caller, 0), Ok(4096));
    assert_eq!(pipe.set_capacity(&caller, (1 << 31) + 1), Err(Errno::EINVAL));
    assert_eq!(pipe.set_capacity(&caller, 8192), Ok(8192));
    assert_eq!(write(&caller, &writer, &[0; 5000]), Some(Ok(5000)));
    assert_eq!(pipe.set_capacity(&caller, 4096), Err(Errno::EBUSY));
    let none =
        base::caller::Credentials { effective: Capabilities::empty(), ..base::caller::Credentials::root() };
    assert_eq!(pipe.set_capacity(&testing::caller(none), MAX_CAPACITY + 1), Err(Errno::EPERM));
}

#[test]
fn each_side_of_a_fifo_waits_for_the_other() {
    let caller = testing::root();
    let root = Mount::new(&TmpFs::new_root().unwrap(), b"rootfs", MountFlags::empty());
    let fs = FsContext::new(&Namespace::new(&root));
    let subject = Subject { caller: &caller, fs: &fs };
    mknod(subject, Start::Cwd, b"/fifo", 0o010_600, 0).unwrap();
    let how = |flags| OpenHow { flags, mode: 0, resolve: WalkFlags::empty() };
    let open = |flags| open(subject, Start::Cwd, b"/fifo", how(flags));
    let nonblocking = OpenFlags::NONBLOCK | OpenFlags::WRONLY;
    assert_eq!(testing::now(open(nonblocking)).err(), Some(Errno::ENXIO));
    let mut context = Context::from_waker(Waker::noop());
    let (reader, writer) = {
        let mut opening = pin!(open(OpenFlags::empty()));
        assert!(opening.as_mut().poll(&mut context).is_pending());
        let writer = testing::now(open(OpenFlags::WRONLY)).unwrap();
        let Poll::Ready(reader) = opening.as_mut().poll(&mut context) else { panic!("the writer is there") };
        (reader.unwrap(), writer)
    };
    assert_eq!(write(&caller, &writer, b"hi"), Some(Ok(2)));
    assert_eq!(read(&caller, &reader, 9), Some(Ok(b"hi".to_vec())));
    drop((reader, writer));
    // A reader that did not wait sees no hang-up before the first writer has come and gone.
    let reader = testing::now(open(OpenFlags::NONBLOCK)).unwrap();
    assert_eq!(reader.poll(), Events::empty());
    drop(testing::now(open(nonblocking)).unwrap());
    assert_eq!(reader.poll(), Events::HUP);
    drop(reader);
    // An open that is given up leaves nobody behind.
    assert!(testing::try_now(open(OpenFlags::empty())).is_none());
    assert_eq!(testing::now(open(nonblocking)).err(), Some(Errno::ENXIO));
}

#[test]
fn an_atomic_write_from_a_bad_page_writes_nothing() {
    let caller = testing::root();
    let (reader, writer) = pipe(&caller, OpenFlags::empty()).unwrap();
    let memory = KernelBytes::new(alloc::vec![1; 10]);
    let mut buffer = UserBuffer::new(&memory, 0, 20, Access::Read);
    assert_eq!(testing::now(writer.write(&caller, &mut buffer)), Err(Errno::EFAULT));
    assert_eq!(pipe_of(&reader).unwrap().available(), 0);
}

/// Memory of one letter in which any copy may come up short anywhere, as if pages came and went.
struct Fickle {
    letter: u8,
    state: AtomicU64,
    written: SpinLock<Vec<u8>>,
}

impl Fickle {
    fn new(letter: u8, seed: u64) -> Fickle {
        let written = SpinLock::new(LockClass::KernelBytes, Vec::new());
        Fickle { letter, state: AtomicU64::new(seed * 2 + 1), written }
    }

    fn some_of(&self, length: usize) -> usize {
        let next = self.state.load(Ordering::Relaxed).wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        self.state.store(next, Ordering::Relaxed);
        let roll = (next >> 33) as usize;
        if roll.is_multiple_of(3) { roll / 3 % (length + 1) } else { length }
    }
}

impl UserMemory for Fickle {
    fn copy_in_nofault(&self, _from: u64, into: &mut [u8]) -> usize {
        let length = self.some_of(into.len());
        into.get_mut(..length).unwrap_or_default().fill(self.letter);
        length
    }

    fn copy_out_nofault(&self, to: u64, from: &[u8]) -> usize {
        let length = self.some_of(from.len());
        let mut written = self.written.lock();
        written.truncate(to as usize);
        written.extend_from_slice(from.get(..length).unwrap_or_default());
        length
    }

    fn compare_exchange_nofault(&self, _at: u64, _current: u32, _new: u32) -> Option<u32> {
        None
    }

    fn fault_in(&self, _at: u64, _length: usize, _access: Access) -> BoxFuture<'_, Result<()>> {
        alloc::boxed::Box::pin(async {
            executor::yield_now().await;
            Ok(())
        })
    }
}

/// Four tasks write blocks of `PIPE_BUF`, one reads odd pieces, in an order and with missing pages that `seed`
/// decides; what was read.
fn read_from_four_writers(seed: u64, rounds: usize) -> Vec<u8> {
    let result = Arc::new(SpinLock::new(LockClass::KernelBytes, Vec::new()));
    let out = result.clone();
    let order = SeededOrder::new(seed, Schedule::Random);
    let config = Config { order: Some(alloc::boxed::Box::new(order)), ..Config::default() };
    let deadlock = host::run_with(2, Clock::Virtual, config, move |executor| {
        let caller = testing::root();
        let (reader, writer) = pipe(&caller, OpenFlags::empty()).unwrap();
        for letter in b'a'..b'e' {
            let (caller, writer) = (caller.clone(), writer.clone());
            executor.spawn(TaskOptions::new("writer"), async move {
                let memory = Fickle::new(letter, seed + u64::from(letter));
                for _ in 0..rounds {
                    let mut buffer = UserBuffer::new(&memory, 0, PIPE_BUF, Access::Read);
                    assert_eq!(writer.write(&caller, &mut buffer).await, Ok(PIPE_BUF));
                }
            });
        }
        drop(writer);
        executor.spawn(TaskOptions::new("reader"), async move {
            loop {
                let memory = Fickle::new(0, seed);
                let mut buffer = UserBuffer::new(&memory, 0, 3001, Access::Write);
                let count = reader.read(&caller, &mut buffer).await.unwrap();
                if count == 0 {
                    return;
                }
                let piece = memory.written.into_inner();
                out.lock().extend_from_slice(piece.get(..count).unwrap());
            }
        });
    });
    assert_eq!(deadlock, None, "seed {seed}");
    result.lock().clone()
}

#[test]
fn small_writes_of_several_tasks_are_not_mixed() {
    const ROUNDS: usize = 25;
    for seed in 0..if cfg!(miri) { 1 } else { 40 } {
        let all = read_from_four_writers(seed, ROUNDS);
        assert_eq!(all.len(), 4 * ROUNDS * PIPE_BUF, "seed {seed}");
        for (number, block) in all.chunks(PIPE_BUF).enumerate() {
            assert!(block.iter().all(|byte| *byte == block[0]), "seed {seed}: block {number} is mixed");
        }
    }
}
