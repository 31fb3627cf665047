//! Everything behind a file descriptor.
//!
//! | module | subject |
//! |---|---|
//! | [`dev`] | devices without hardware, `/dev`, `/dev/pts` |
//! | [`file`] | open files, descriptors, and the loop that waits |
//! | [`vfs`] | the tree of names |
//! | `tmpfs` | files in memory: the root, `/tmp`, memfds |
//! | [`handle`] | descriptors made from handles, and handles made from descriptors |
//! | `initramfs` | the archive that fills the root |
//! | [`pipe`] | pipes and FIFOs |
//! | [`splice`] | bytes from file to file inside the kernel |
//! | [`epoll`] | waiting for many files |
//! | [`eventfd`] | event counters |
//! | [`timerfd`] | timers |
//! | `poll` | waiting for several files at once |
//! | [`inotify`] | watching files |
//! | [`lock`] | flock, POSIX and open-file-description locks |
//! | [`tty`] | terminals |
//! | [`unix`] | AF_UNIX sockets |
//! | `pseudo` | the frame of devfs, procfs and sysfs |
//! | [`procfs`], [`sysfs`] | `/proc`, `/sys` |
//! | [`signal`] | signals that files send |
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod dev;
pub mod epoll;
pub mod eventfd;
pub mod file;
pub mod handle;
pub mod initramfs;
pub mod inotify;
pub mod lock;
#[cfg(all(test, shuttle))]
mod models;
pub mod pipe;
pub mod poll;
pub mod procfs;
pub mod pseudo;
pub mod signal;
pub mod splice;
pub mod sysfs;
#[cfg(test)]
mod testing;
pub mod timerfd;
pub mod tmpfs;
pub mod tty;
pub mod unix;
pub mod vfs;
