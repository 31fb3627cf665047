//! Deadlines: a wheel for each CPU, with O(1) insertion and O(1) removal from any CPU.
//!
//! A [`Timer`] is a one-shot that calls a [`TimerTarget`] (timerfd, itimers); futures that wait with
//! a deadline embed their node. Nothing is allocated when a timer is armed, fires or is cancelled.

pub(crate) mod node;
#[cfg(not(loom))]
mod one_shot;
mod wheel;

#[cfg(not(loom))]
pub use node::TimerTarget;
#[cfg(not(loom))]
pub use one_shot::Timer;
pub(crate) use wheel::WheelLock;

#[cfg(all(test, not(loom)))]
mod tests;
