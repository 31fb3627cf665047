//! The syscalls, one file per family: decode, call the subsystem, write back.

use crate::declare::Syscall;

pub mod adjust;
pub mod attributes;
pub mod bridge;
pub mod capabilities;
mod channel_message;
pub mod channel_wait;
pub mod channels;
pub mod clocks;
pub mod credentials;
pub mod descriptors;
pub mod directories;
pub mod epoll;
pub mod events;
pub mod exec;
mod file_owners;
pub mod file_ranges;
pub mod futex;
pub mod futex2;
mod futex_pi;
pub mod handles;
pub mod identity;
pub mod inotify;
pub mod limits;
pub mod locks;
pub mod memory;
pub mod memory_advice;
pub mod message_queues;
pub mod messages;
pub mod object_wait;
pub mod paths;
pub mod pidfd;
pub mod poll;
pub mod ports;
pub mod prctl;
pub mod priority;
pub mod process;
pub mod sched;
pub mod semaphores;
pub mod shared_memory;
pub mod signalfd;
pub mod signals;
pub mod socket;
mod socket_control;
pub mod socket_messages;
pub mod socket_options;
pub mod splice;
pub mod system;
pub mod timerfd;
pub mod timers;
pub mod transfer;
pub mod xattr;

/// Every family. A new family is one line here.
pub const ALL: &[&[Syscall]] = &[
    adjust::FAMILY,
    attributes::FAMILY,
    bridge::FAMILY,
    capabilities::FAMILY,
    channels::FAMILY,
    clocks::FAMILY,
    credentials::FAMILY,
    descriptors::FAMILY,
    directories::FAMILY,
    epoll::FAMILY,
    events::FAMILY,
    exec::FAMILY,
    file_ranges::FAMILY,
    futex::FAMILY,
    futex2::FAMILY,
    handles::FAMILY,
    identity::FAMILY,
    inotify::FAMILY,
    limits::FAMILY,
    locks::FAMILY,
    memory::FAMILY,
    memory_advice::FAMILY,
    message_queues::FAMILY,
    messages::FAMILY,
    object_wait::FAMILY,
    paths::FAMILY,
    pidfd::FAMILY,
    poll::FAMILY,
    ports::FAMILY,
    prctl::FAMILY,
    priority::FAMILY,
    process::FAMILY,
    sched::FAMILY,
    semaphores::FAMILY,
    shared_memory::FAMILY,
    signalfd::FAMILY,
    signals::FAMILY,
    socket::FAMILY,
    socket_messages::FAMILY,
    socket_options::FAMILY,
    splice::FAMILY,
    system::FAMILY,
    timerfd::FAMILY,
    timers::FAMILY,
    transfer::FAMILY,
    xattr::FAMILY,
];
