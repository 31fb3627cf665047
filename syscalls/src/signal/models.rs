//! Models for the checker shuttle: signals and those who read them from a descriptor.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use std::sync::Mutex;

use base::caller::{Caller, Credentials, Limits};
use base::charge::Account;
use base::memory::{Access, KernelBytes, UserBuffer};
use base::{Errno, Result};
use executor::modelled::ModelTask;
use fs::file::OpenFile;
use shuttle::future::block_on;
use shuttle::thread;

use super::info::{Detail, SI_USER};
use super::record::RECORD_BYTES;
use super::signalfd::SignalFd;
use super::{SigInfo, Signal, SignalSet, send_to_process, set_mask};
use crate::futex::models::explore;
use crate::process::Process;
use crate::thread::Thread;

/// The signals that are sent; all threads block them.
const SIGNALS: [i32; 2] = [40, 41];

/// Where the value is in a record.
const VALUE: usize = 44;

fn caller() -> Caller {
    Caller {
        key: 2,
        pid: 2,
        tid: 2,
        credentials: Arc::new(Credentials::root()),
        limits: Arc::new(Limits::initial(100)),
        account: Account::new(),
        memory: Arc::new(KernelBytes::new(Vec::new())),
    }
}

fn process() -> Arc<Process> {
    Process::new(2, 2, Arc::new(Limits::initial(100)))
}

fn signal(number: i32) -> Signal {
    Signal::new(number).unwrap()
}

fn send(process: &Arc<Process>, number: i32, value: u64) {
    let detail = Detail::Sender { pid: 1, uid: 0, value };
    let info = SigInfo { signal: signal(number), code: SI_USER - 1, errno: 0, detail };
    send_to_process(process, info).unwrap();
}

/// A thread of a process, and the task that runs it.
struct Running {
    thread: Arc<Thread>,
    task: ModelTask,
}

impl Running {
    fn new(process: &Arc<Process>, cpu: usize) -> Arc<Running> {
        let thread = Thread::new(2 + cpu as u32, cpu as u64, process.clone());
        let task = ModelTask::new(cpu);
        thread.set_task(task.task().clone());
        set_mask(&thread, SignalSet::of(&SIGNALS.map(signal)));
        Arc::new(Running { thread, task })
    }

    /// Reads one record; its value.
    async fn read(&self, file: &OpenFile) -> Result<u64> {
        let memory = KernelBytes::new(vec![0; RECORD_BYTES]);
        {
            let (caller, mut buffer) = (caller(), UserBuffer::new(&memory, 0, RECORD_BYTES, Access::Write));
            assert_eq!(self.task.run(file.read(&caller, &mut buffer)).await?, RECORD_BYTES);
        }
        let record = memory.into_inner();
        Ok(u64::from(u32::from_ne_bytes(record[VALUE..VALUE + 4].try_into().unwrap())))
    }

    /// Begins to read and is killed; what it got, if that was at once.
    fn read_and_leave(&self, file: &OpenFile) -> Option<u64> {
        let mut reading = pin!(self.read(file));
        let read = block_on(poll_fn(|context| match reading.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(value.ok()),
            Poll::Pending => Poll::Ready(None),
        }));
        thread::yield_now();
        read
    }
}

/// Two who send, two who read, one of them interrupted, and one who is killed: each signal is read once.
#[test]
fn queued_signals_are_read_once() {
    explore(|| {
        let process = process();
        let file = SignalFd::open(&caller(), SignalSet::of(&SIGNALS.map(signal)), false).unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let sender = |number: i32| {
            let process = process.clone();
            thread::spawn(move || (0..2).for_each(|value| send(&process, number, number as u64 * 10 + value)))
        };
        let runners = [0, 1].map(|cpu| Running::new(&process, cpu));
        let reader = |runner: &Arc<Running>| {
            let (runner, file, log) = (runner.clone(), file.clone(), log.clone());
            thread::spawn(move || {
                for _ in 0..2 {
                    let value = loop {
                        match block_on(runner.read(&file)) {
                            Ok(value) => break value,
                            Err(error) => assert_eq!(error, Errno::EINTR),
                        }
                        runner.thread.clear_interrupt();
                    };
                    log.lock().unwrap().push(value);
                }
            })
        };
        let mut threads: Vec<_> = runners.iter().map(reader).collect();
        threads.extend(SIGNALS.map(sender));
        let (leaver, again, left) = (Running::new(&process, 2), process.clone(), file.clone());
        threads.push(thread::spawn(move || {
            if let Some(value) = leaver.read_and_leave(&left) {
                send(&again, 41, value);
            }
        }));
        runners[0].thread.interrupt();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let mut log = log.lock().unwrap();
        log.sort_unstable();
        assert_eq!(*log, [400, 401, 410, 411]);
    });
}

/// The mask is widened while somebody waits and the signal comes.
#[test]
fn a_wider_mask_concerns_those_who_wait() {
    explore(|| {
        let process = process();
        let file = SignalFd::open(&caller(), SignalSet::of(&[signal(40)]), false).unwrap();
        let (runner, read) = (Running::new(&process, 0), file.clone());
        let reader = thread::spawn(move || assert_eq!(block_on(runner.read(&read)), Ok(7)));
        let sender = thread::spawn(move || send(&process, 41, 7));
        SignalFd::of(&file).unwrap().set_mask(SignalSet::of(&SIGNALS.map(signal)));
        sender.join().unwrap();
        reader.join().unwrap();
    });
}
