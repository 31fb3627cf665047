//! A machine and a caller for the unit tests of this crate.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use base::caller::{Caller, Credentials, Limits};
use base::charge::Account;
use base::frame::Frames;
use base::host::HostFrames;
use base::machine::{Machine, Outcome};
use base::memory::{Access, KernelBytes, UserBuffer};
use base::time::Instant;
use std::sync::OnceLock;

struct TestMachine {
    frames: HostFrames,
}

impl Machine for TestMachine {
    #[cfg(shuttle)]
    fn now(&self) -> Instant {
        base::host::model_clock::now()
    }
    #[cfg(not(shuttle))]
    fn now(&self) -> Instant {
        static START: OnceLock<std::time::Instant> = OnceLock::new();
        let start = START.get_or_init(std::time::Instant::now);
        Instant::from_nanos(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
    fn wall_clock_at_boot(&self) -> Duration {
        Duration::from_secs(1_000_000)
    }
    fn cpu_id(&self) -> usize {
        0
    }
    fn cpu_count(&self) -> usize {
        1
    }
    fn kick(&self, _cpu: usize) {}
    fn wait_for_interrupt(&self, _work_pending: &dyn Fn() -> bool) {}
    fn interrupt_window(&self) {}
    fn arm_timer(&self, _deadline: Option<Instant>) {}
    fn entropy(&self) -> u64 {
        4
    }
    fn frames(&self) -> &dyn Frames {
        &self.frames
    }
    fn power_off(&self, outcome: Outcome<'_>) -> ! {
        panic!("{outcome:?}")
    }
}

/// Installs the machine.
pub(crate) fn machine() {
    static MACHINE: OnceLock<TestMachine> = OnceLock::new();
    base::machine::install(MACHINE.get_or_init(|| TestMachine { frames: HostFrames::new(65_536) }));
}

/// A caller with root's credentials.
pub(crate) fn root() -> Caller {
    caller(Credentials::root())
}

/// A caller with `credentials`.
pub(crate) fn caller(credentials: Credentials) -> Caller {
    machine();
    Caller {
        key: 1,
        pid: 1,
        tid: 1,
        credentials: Arc::new(credentials),
        limits: Arc::new(Limits::initial(100)),
        account: Account::new(),
        memory: Arc::new(KernelBytes::new(Vec::new())),
    }
}

/// Polls a future that does not have to wait.
///
/// # Panics
///
/// When it has to.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    match try_now(future) {
        Some(value) => value,
        None => panic!("the future waits"),
    }
}

/// Polls a future once; `None` when it has to wait.
pub(crate) fn try_now<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Runs `operation` with a buffer that holds `bytes`.
pub(crate) fn with_bytes<T>(bytes: &[u8], operation: impl FnOnce(&mut UserBuffer<'_>) -> T) -> T {
    let memory = KernelBytes::new(bytes.to_vec());
    let mut buffer = UserBuffer::new(&memory, 0, bytes.len(), Access::Read);
    operation(&mut buffer)
}

/// Runs `operation` with an empty buffer of `length` bytes; returns what it put there as well.
pub(crate) fn into_bytes<T>(length: usize, operation: impl FnOnce(&mut UserBuffer<'_>) -> T) -> (T, Vec<u8>) {
    let memory = KernelBytes::new(alloc::vec![0; length]);
    let mut buffer = UserBuffer::new(&memory, 0, length, Access::Write);
    let result = operation(&mut buffer);
    let moved = buffer.moved();
    let mut bytes = memory.into_inner();
    bytes.truncate(moved);
    (result, bytes)
}
