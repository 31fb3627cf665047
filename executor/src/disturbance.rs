//! The executor's fault points. The model checker, which tries every order itself, has none.

#[cfg(not(loom))]
mod points {
    use core::time::Duration;

    use base::fault::{self, Point};
    use base::time::Instant;

    /// How late a timer is that is made late.
    const LATENESS: Duration = Duration::from_millis(3);

    pub(crate) use base::fault::cuts_wait_short;

    /// True when a wake that was meant for one is to wake everybody.
    #[inline]
    pub(crate) fn wakes_everybody() -> bool {
        fault::fires(Point::PollwaitWake)
    }

    /// When a timer for `deadline` is to fire.
    #[inline]
    pub(crate) fn delayed(deadline: Instant) -> Instant {
        if fault::fires(Point::TimerLate) { deadline + LATENESS } else { deadline }
    }
}

#[cfg(loom)]
mod points {
    pub(crate) fn wakes_everybody() -> bool {
        false
    }
}

pub(crate) use points::*;
