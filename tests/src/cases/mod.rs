//! The cases, one module per subject.

use crate::harness::{Suite, suite};

mod attribute;
mod basic;
mod bridge;
mod catalogue;
mod catalogue_history;
mod catalogue_needs;
mod catalogue_wait;
mod channel;
mod channel_close;
mod clone;
mod descriptor;
mod directory;
mod elf;
mod epoll;
mod epoll_items;
mod event_race;
mod eventfd;
mod exec;
mod fault;
mod file;
mod file_owner;
mod futex;
mod futex2;
mod futex_pi;
mod futex_race;
mod fuzz;
mod hostile;
mod inotify;
mod interrupt;
mod job_control;
mod load;
mod lock;
mod mapped_file;
mod mapping;
mod memory;
mod message_queue;
mod mqueue;
mod permission;
mod pidfd;
mod pipe;
mod poll;
mod process;
mod procfs;
mod remap;
mod rename;
mod revocation;
mod semaphore;
mod session;
mod shared_memory;
mod shoot_down;
mod signal;
mod signal_frame;
mod signalfd;
mod socket_control;
mod socket_garbage;
mod socket_message;
mod socket_name;
mod socket_option;
mod socket_race;
mod socket_rights;
mod socket_stream;
mod splice;
mod sysfs;
mod sysfs_race;
mod system;
mod table;
mod taker_race;
mod terminal;
mod thread;
mod time;
mod timerfd;
mod tracepoint;
mod transfer;
mod wait_edge;
mod waitgraph;

/// Every case, in the order in which they run, by what they are about: a suite is what
/// `--suite` names and what a soak runs at a time.
pub(crate) const SUITES: &[Suite] = &[
    suite("process", &[basic::CASES, process::CASES, clone::CASES, exec::CASES, elf::CASES, session::CASES]),
    suite("signal", &[signal::CASES, interrupt::CASES, file_owner::CASES, job_control::CASES, time::CASES]),
    suite("futex", &[thread::CASES, futex::CASES, futex2::CASES, futex_pi::CASES, futex_race::CASES]),
    suite("memory", &[memory::CASES, mapping::CASES, remap::CASES, shoot_down::CASES, mapped_file::CASES]),
    suite(
        "vfs",
        &[
            descriptor::CASES,
            file::CASES,
            directory::CASES,
            attribute::CASES,
            rename::CASES,
            permission::CASES,
            lock::CASES,
        ],
    ),
    suite("pipe", &[pipe::CASES, transfer::CASES, splice::CASES, terminal::CASES, wait_edge::CASES]),
    suite(
        "epoll",
        &[
            poll::CASES,
            epoll::CASES,
            epoll_items::CASES,
            eventfd::CASES,
            timerfd::CASES,
            signalfd::CASES,
            pidfd::CASES,
            inotify::CASES,
            event_race::CASES,
            taker_race::CASES,
            catalogue_wait::CASES,
        ],
    ),
    suite("sysv", &[semaphore::CASES, shared_memory::CASES, message_queue::CASES, mqueue::CASES]),
    suite(
        "socket",
        &[
            socket_stream::CASES,
            socket_message::CASES,
            socket_name::CASES,
            socket_control::CASES,
            socket_garbage::CASES,
            socket_option::CASES,
            socket_race::CASES,
            socket_rights::CASES,
        ],
    ),
    suite(
        "ipc",
        &[
            channel::CASES,
            channel_close::CASES,
            revocation::CASES,
            catalogue::CASES,
            catalogue_needs::CASES,
            bridge::CASES,
        ],
    ),
    suite(
        "observe",
        &[
            procfs::CASES,
            tracepoint::CASES,
            waitgraph::CASES,
            sysfs::CASES,
            sysfs_race::CASES,
            table::CASES,
            catalogue_history::CASES,
            system::CASES,
        ],
    ),
    suite("fault", &[fault::CASES, catalogue::DEEP]).sets_faults(),
    suite("strain", &[hostile::CASES, load::CASES, fuzz::CASES]),
];
