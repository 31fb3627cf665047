//! Counters of the wait core: `wait_core_stats`. For each CPU, summed on read; a reset moves the zero.

use core::fmt::{self, Write};

use crate::counters;
use crate::counters::Counters;
use crate::sync::atomic::{AtomicU64, Ordering};

counters! {
    /// A counter of the wait core. Wakes are counted by calls that found somebody, not by who was woken.
    pub enum Counter {
        /// Calls of epoll_wait(2).
        EpollWaitCalls = "epoll_wait_calls";
        /// Those that returned events.
        EpollReadyReturns = "epoll_ready_returns";
        /// Events that they returned.
        EpollReadyEvents = "epoll_ready_events";
        /// Waits for events.
        EpollBlocks = "epoll_blocks";
        /// Waits that a wake ended.
        EpollWakeups = "epoll_wakeups";
        /// Waits that a deadline ended.
        EpollTimeouts = "epoll_timeouts";
        /// Waits that a signal ended.
        EpollInterrupts = "epoll_interrupts";
        /// Looks at every item of an instance; there are none, since every file tells its watchers.
        EpollRescans = "epoll_rescans";
        /// Wakes that found somebody.
        PollHeadWakeCalls = "poll_head_wake_calls";
        /// Woken tasks that ran on at once on what was left of their waker's slice.
        PollHeadDirectSwitch = "poll_head_direct_switch";
        /// Waits to read an eventfd.
        EventfdReadBlocks = "fdevent_eventfd_read_blocks";
        /// Waits to write an eventfd.
        EventfdWriteBlocks = "fdevent_eventfd_write_blocks";
        /// Wakes of readers of an eventfd.
        EventfdReadWakes = "fdevent_eventfd_read_wakes";
        /// Wakes of writers of an eventfd.
        EventfdWriteWakes = "fdevent_eventfd_write_wakes";
        /// Waits to read a timerfd.
        TimerfdReadBlocks = "fdevent_timerfd_read_blocks";
        /// Wakes of readers of a timerfd.
        TimerfdReadWakes = "fdevent_timerfd_read_wakes";
        /// Waits to read a signalfd.
        SignalfdReadBlocks = "fdevent_signalfd_read_blocks";
        /// Wakes of readers of a signalfd.
        SignalfdReadWakes = "fdevent_signalfd_read_wakes";
        /// Waits to read an inotify instance.
        InotifyReadBlocks = "fdevent_inotify_read_blocks";
        /// Wakes of readers of an inotify instance.
        InotifyReadWakes = "fdevent_inotify_read_wakes";
        /// Waits of futex(2).
        FutexWaitBlocks = "futex_wait_blocks";
        /// Those that a wake ended.
        FutexWaitWakes = "futex_wait_wakes";
        /// Those that a deadline ended.
        FutexWaitTimeouts = "futex_wait_timeouts";
        /// Those that a signal ended.
        FutexWaitInterrupts = "futex_wait_interrupts";
        /// Waits of futex_waitv(2).
        FutexWaitvBlocks = "futex_waitv_blocks";
        /// Those that a wake ended.
        FutexWaitvWakes = "futex_waitv_wakes";
        /// Those that a deadline ended.
        FutexWaitvTimeouts = "futex_waitv_timeouts";
        /// Those that a signal ended.
        FutexWaitvInterrupts = "futex_waitv_interrupts";
        /// Wakes of a futex.
        FutexWakeCalls = "futex_wake_calls";
        /// Waiters that they woke.
        FutexWakeWoken = "futex_wake_woken";
        /// Waits that ended before they began, because a wake had come since the observation.
        SeqSkipPreSleep = "waitsrc_seq_skip_pre_sleep";
        /// Waits that a wake ended: the sequence had moved. Computed from the reasons.
        SeqWakeChanged = "waitsrc_seq_wake_changed";
        /// Waits that something else ended. Computed from the reasons.
        SeqWakeUnchanged = "waitsrc_seq_wake_unchanged";
        /// Waits that ended without a reason; there are none.
        ReasonUnknown = "waitsrc_reason_unknown";
        /// Waits that ended because something changed.
        ReasonData = "waitsrc_reason_data";
        /// Waits that a hang-up ended.
        ReasonHup = "waitsrc_reason_hup";
        /// Waits that the end of their object ended.
        ReasonClose = "waitsrc_reason_close";
        /// Waits that a signal ended.
        ReasonSignal = "waitsrc_reason_signal";
        /// Waits that a deadline ended.
        ReasonTimeout = "waitsrc_reason_timeout";
    }
}

const COUNT: usize = Counter::ALL.len();

static COUNTERS: Counters<COUNT> = Counters::new();
/// What the sums were at the last reset.
static ZERO: [AtomicU64; COUNT] = [const { AtomicU64::new(0) }; COUNT];

/// Adds `amount`.
#[inline]
pub fn add(counter: Counter, amount: u64) {
    add_on(crate::machine::cpu_id(), counter, amount);
}

/// Adds `amount` on `cpu`, which runs this code.
#[inline]
pub fn add_on(cpu: usize, counter: Counter, amount: u64) {
    COUNTERS.add_alone(cpu, counter as usize, amount);
}

/// The counter's value since the last [`reset`].
#[must_use]
pub fn read(counter: Counter) -> u64 {
    let total = |counters: &[Counter]| counters.iter().map(|counter| read(*counter)).sum::<u64>();
    match counter {
        Counter::SeqWakeChanged => total(&[Counter::ReasonData, Counter::ReasonHup, Counter::ReasonClose])
            .saturating_sub(read(Counter::SeqSkipPreSleep)),
        Counter::SeqWakeUnchanged => total(&[Counter::ReasonSignal, Counter::ReasonTimeout]),
        counter => {
            let zero = ZERO.get(counter as usize).map_or(0, |zero| zero.load(Ordering::Relaxed));
            COUNTERS.sum(counter as usize).saturating_sub(zero)
        }
    }
}

/// All counters count from 0 again. What is counted meanwhile is on one side or the other.
pub fn reset() {
    for counter in Counter::ALL {
        if let Some(zero) = ZERO.get(*counter as usize) {
            zero.store(COUNTERS.sum(*counter as usize), Ordering::Relaxed);
        }
    }
}

/// The text of the file.
///
/// # Errors
///
/// As the writer.
pub fn write(out: &mut dyn Write) -> fmt::Result {
    out.write_str("# name value\n")?;
    Counter::ALL.iter().try_for_each(|counter| writeln!(out, "{} {}", counter.name(), read(*counter)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_39_counters_that_a_reset_takes_back_to_0() {
        // The host's threads are all CPU 0 here and nobody else counts in this crate's tests.
        assert_eq!(COUNT, 39);
        add(Counter::ReasonData, 5);
        add(Counter::ReasonTimeout, 2);
        add(Counter::SeqSkipPreSleep, 1);
        assert_eq!((read(Counter::SeqWakeChanged), read(Counter::SeqWakeUnchanged)), (4, 2));
        reset();
        add(Counter::ReasonData, 1);
        let mut text = String::new();
        write(&mut text).unwrap();
        assert!(text.starts_with("# name value\nepoll_wait_calls 0\n"), "{text}");
        assert!(text.ends_with("waitsrc_reason_signal 0\nwaitsrc_reason_timeout 0\n"), "{text}");
        assert!(text.contains("\nwaitsrc_reason_data 1\n"), "{text}");
    }
}
