//! The catalogue of capability tests that every implementation of these calls shares, under its names: those at the
//! level of system calls that no other file of cases has. Those below it are selftests of `ipc`.

use super::{bridge, fault};
use crate::harness::{Case, case, rounds};
use crate::sys::*;
use libc::{O_NONBLOCK, POLLHUP, POLLIN, POLLOUT};
use std::thread;

pub(crate) const CASES: &[Case] = &[
    case!(kairos_channel_port_syscalls).kairos(),
    case!(kairos_channel_close_last_handle_races).kairos(),
    case!(khandle_cache_release_under_fork_exit).long().kairos().deadlines(2),
];

/// The one that sets fault points.
pub(crate) const DEEP: &[Case] = &[case!(ipc_cap_deep).long().kairos().deadlines(6)];

const ALL_SIGNALS: u64 = READABLE | PEER_CLOSED;

/// The long walk over the calls of channels and ports, step by step.
fn kairos_channel_port_syscalls() {
    let ((h0, h1), (moved, old_peer)) = (channel(), channel());
    let port = port_create().unwrap();
    port_bind(port, h1, 0x55, ALL_SIGNALS).unwrap();
    let port_fd = port_through_descriptors(port, h0, h1);
    let fd = rights_through_descriptors(h0, h1);
    messages_through_descriptors(h0, h1, fd);
    rendezvous(h0, h1);
    // The READABLEs of so far have become one packet, which is still there.
    while read_some(port_fd, 16).is_ok() {}
    handle_with_payload((h0, h1), (moved, old_peer), port_fd);
    let reader = handle_duplicate(h0, RIGHT_READ).unwrap();
    assert_eq!(channel_send(reader, b"x", &[], 0), Err(EACCES));
    handle_close(reader).unwrap();
    handle_close(h0).unwrap();
    assert_eq!(events_now(fd, POLLHUP), POLLHUP);
    assert_eq!(port_wait(port, 500_000_000, 0), Ok((0x55, PEER_CLOSED)));
    descriptors_keep_alive();
}

/// A port as a descriptor, with all its rights and with some; the descriptor that does not wait is returned.
fn port_through_descriptors(port: Handle, h0: Handle, h1: Handle) -> Fd {
    let managing = handle_duplicate(port, RIGHT_MANAGE | RIGHT_DUPLICATE).unwrap();
    let managing_fd = fd_from_handle(managing, 0).unwrap();
    assert_eq!(read_some(managing_fd, 16), Err(EBADF));
    assert_eq!(events_now(managing_fd, POLLIN), 0);
    let back = handle_from_fd(managing_fd, 0).unwrap();
    assert_eq!(port_wait(back, 0, NONBLOCK), Err(EACCES));
    port_bind(back, h1, 0x56, ALL_SIGNALS).unwrap();
    let fd = fd_from_handle(port, 0).unwrap();
    let whole = handle_from_fd(fd, 0).unwrap();
    assert_eq!(port_wait(whole, 0, NONBLOCK), Err(EAGAIN));
    port_bind(whole, h1, 0x55, ALL_SIGNALS).unwrap();
    assert_eq!(channel_send(h0, b"", &[whole], 0), Err(EACCES), "a port cannot be sent");
    assert_eq!(handle_from_fd(fd, RIGHT_READ), Err(EACCES));
    let idle = fd_from_handle(port, O_NONBLOCK).unwrap();
    assert_eq!(read_some(idle, 16), Err(EAGAIN));
    assert_eq!(events_now(idle, POLLIN), 0);
    idle
}

/// A channel as a descriptor: what its rights allow. A descriptor of `h1` is returned.
fn rights_through_descriptors(h0: Handle, h1: Handle) -> Fd {
    let narrow = handle_duplicate(h0, RIGHT_READ | RIGHT_DUPLICATE).unwrap();
    let reader = fd_from_handle(narrow, 0).unwrap();
    assert_eq!(events_now(reader, POLLOUT), 0);
    assert_eq!(write(reader, b"x"), Err(EBADF));
    // Either would keep the end open.
    handle_close(narrow).unwrap();
    close(reader).unwrap();
    let writer = fd_from_handle(handle_duplicate(h1, RIGHT_WRITE | RIGHT_DUPLICATE).unwrap(), 0).unwrap();
    channel_send(h0, b"m", &[], 0).unwrap();
    assert_eq!(events_now(writer, POLLIN), 0);
    assert_eq!(read_some(writer, 8), Err(EBADF));
    assert_eq!(channel_recv(h1, 0).unwrap().0, b"m");
    let fd = fd_from_handle(h1, 0).unwrap();
    let back = handle_from_fd(fd, 0).unwrap();
    channel_send(back, b"back", &[], 0).unwrap();
    assert_eq!(channel_recv(h0, 0).unwrap().0, b"back");
    assert_eq!(handle_from_fd(fd, RIGHT_WAIT), Err(EACCES));
    let idle = fd_from_handle(h1, O_NONBLOCK).unwrap();
    assert_eq!(read_some(idle, 8), Err(EAGAIN));
    fd
}

/// Messages in and out of `fd`, which is `h1`.
fn messages_through_descriptors(h0: Handle, h1: Handle, fd: Fd) {
    assert_eq!(events_now(fd, POLLIN), 0);
    channel_send(h0, b"hi", &[], 0).unwrap();
    assert_eq!(events_now(fd, POLLIN), POLLIN);
    assert_eq!(read_some(fd, 2).unwrap(), b"hi");
    let (moved, peer) = channel();
    channel_send(h0, b"pay", &[moved], 0).unwrap();
    assert_eq!(read_some(fd, 8).unwrap(), b"pay", "the handle does not fit through");
    assert_eq!(handle_info(moved).err(), Some(EBADF));
    assert_eq!(channel_recv(peer, 0), Ok((vec![], vec![])), "it is gone");
    assert_eq!(write(fd, b"wr"), Ok(2));
    assert_eq!(channel_recv(h0, 0).unwrap().0, b"wr");
    assert_eq!(channel_recv(h1, NONBLOCK), Err(EAGAIN));
}

fn rendezvous(h0: Handle, h1: Handle) {
    let armed = thread::spawn(move || {
        let mut bytes = [0u8; 8];
        let mut msg =
            ChannelMsg { bytes: bytes.as_mut_ptr() as usize, handles: 0, num_bytes: 8, num_handles: 0 };
        channel_recv_raw(h1, &mut msg, RENDEZVOUS).map(|()| bytes[..msg.num_bytes as usize].to_vec())
    });
    channel_send(h0, b"rdv", &[], RENDEZVOUS).unwrap();
    assert_eq!(armed.join().unwrap(), Ok(b"rdv".to_vec()));
    // Nobody is armed: a hint, and no more.
    channel_send(h0, b"later", &[], RENDEZVOUS).unwrap();
    assert_eq!(channel_recv(h1, RENDEZVOUS).unwrap().0, b"later");
}

fn handle_with_payload((h0, h1): (Handle, Handle), (moved, old_peer): (Handle, Handle), port_fd: Fd) {
    channel_send(h0, b"PING", &[moved], 0).unwrap();
    assert_eq!(handle_info(moved).err(), Some(EBADF));
    assert_eq!(events_now(port_fd, POLLIN), POLLIN);
    let packet = read_some(port_fd, 16).unwrap();
    assert_eq!((packet.len(), packet[0], packet[8]), (16, 0x55, READABLE as u8));
    let (mut bytes, mut handles) = ([0u8; 16], [-1; 4]);
    let mut msg = ChannelMsg {
        bytes: bytes.as_mut_ptr() as usize,
        handles: handles.as_mut_ptr() as usize,
        num_bytes: 16,
        num_handles: 4,
    };
    channel_recv_raw(h1, &mut msg, 0).unwrap();
    assert_eq!((msg.num_bytes, msg.num_handles, &bytes[..4]), (4, 1, &b"PING"[..]));
    channel_send(handles[0], b"X", &[], 0).unwrap();
    assert_eq!(channel_recv(old_peer, 0).unwrap().0, b"X");
}

/// A descriptor keeps its end open when the handle is gone.
fn descriptors_keep_alive() {
    let (one, other) = channel();
    let fd = fd_from_handle(one, 0).unwrap();
    handle_close(one).unwrap();
    assert_eq!(write(fd, b"KA"), Ok(2));
    assert_eq!(channel_recv(other, 0).unwrap().0, b"KA");
    channel_send(other, b"KB", &[], 0).unwrap();
    assert_eq!(read_some(fd, 8).unwrap(), b"KB");
}

/// The last handle of an end goes while somebody is blocked at it, or at the other end.
fn kairos_channel_close_last_handle_races() {
    let (own, peer) = channel();
    let receiver = sleeper(move || channel_recv(own, 0).map(drop));
    handle_close(own).unwrap();
    assert_eq!(receiver.join().unwrap(), Ok(()), "the end, with counts of 0");
    assert_eq!(channel_send(peer, b"x", &[], 0), Err(EPIPE));
    let (own, peer) = channel();
    let mut queued = 0;
    while channel_send(own, b"full", &[], NONBLOCK).is_ok() {
        queued += 1;
    }
    assert_eq!(queued, 64);
    let sender = sleeper(move || channel_send(own, b"late", &[], 0));
    handle_close(peer).unwrap();
    assert_eq!(sender.join().unwrap(), Err(EPIPE));
}

/// What looked handles up leaves nothing behind: when the processes are gone, the object has the references that it
/// had before.
fn khandle_cache_release_under_fork_exit() {
    const ROUNDS: usize = 24;
    const WORKERS: usize = 6;
    let (probe, peer) = channel();
    let references = || {
        let id = handle_info(probe).unwrap().object.to_string();
        let table = text(c"/sys/ipc/channels").unwrap();
        let row = table.lines().find(|line| line.split(' ').next() == Some(&id)).expect("its row");
        row.split(' ').nth(1).expect("its count").parse::<u32>().expect("a number")
    };
    // Whoever walks over all objects (the collector, which the noise calls) has one of its own for a moment.
    const LOOKS: usize = 20;
    let before = (0..LOOKS).map(|_| references()).min().expect("some looks");
    for _ in 0..ROUNDS {
        let workers: Vec<Child> = (0..WORKERS)
            .map(|_| {
                fork(move || {
                    for _ in 0..256 {
                        assert_eq!(channel_recv(probe, NONBLOCK), Err(EAGAIN));
                    }
                })
            })
            .collect();
        workers.iter().for_each(Child::succeeds);
    }
    let after = (0..LOOKS).map(|_| references()).min();
    assert_eq!(after, Some(before), "nothing is held for tables that are gone");
    let stats = text(c"/sys/ipc/stats").unwrap();
    assert!(stats.lines().any(|line| line == "khandle_cache_active_refs=0"), "{stats}");
    handle_close(peer).unwrap();
    assert_eq!(channel_recv(probe, 0), Ok((vec![], vec![])));
}

/// Makes and moves handles for ever, and minds no error. It calls no heap: what it is denied would be its end.
fn noise() {
    let (mut bytes, mut handles) = ([7u8; 200], [-1; 2]);
    loop {
        let Ok((one, other)) = channel_create() else { continue };
        if let Ok(copy) = handle_duplicate(one, 0) {
            let size = [24, 200][(one & 1) as usize];
            if channel_send(one, &bytes[..size], &[copy], NONBLOCK).is_err() {
                discard(handle_close(copy));
            }
        }
        let mut msg = ChannelMsg {
            bytes: bytes.as_mut_ptr() as usize,
            handles: handles.as_mut_ptr() as usize,
            num_bytes: 200,
            num_handles: 2,
        };
        if channel_recv_raw(other, &mut msg, NONBLOCK).is_ok() && msg.num_handles == 1 {
            discard(handle_close(handles[0]));
        }
        [one, other].into_iter().for_each(|end| discard(handle_close(end)));
        discard(syscall!(SYS_sched_yield));
    }
}

/// The first part of the catalogue again, beside a process of several threads for which three allocations of a thousand
/// fail.
fn ipc_cap_deep() {
    const NOISE_THREADS: usize = 3;
    let ready = pipe();
    let noisy = fork(|| {
        for _ in 1..NOISE_THREADS {
            thread::spawn(noise);
        }
        write(ready.1, b"x").unwrap();
        noise();
    });
    read_some(ready.0, 1).unwrap();
    let point = open(c"/sys/kernel/fault_inject/kmalloc", libc::O_RDWR).expect("the point's file");
    let deep = |case: &&Case| {
        let name = case.name();
        // Those that set the point themselves come last.
        let name = name.rsplit("::").next().unwrap_or_default();
        name.starts_with("kairos_") || name.starts_with("khandle_") || name.starts_with("sys_kchannel_")
    };
    let cases: Vec<&Case> = [CASES, bridge::CASES, fault::CASES].into_iter().flatten().filter(deep).collect();
    assert_eq!(cases.len(), 9);
    for _ in 0..rounds(2) {
        write(point, format!("p=0.003,pid={}", noisy.pid).as_bytes()).expect("a setting");
        cases.iter().for_each(|case| fork(case.body).succeeds());
    }
    discard(write(point, b"off"));
    noisy.finish();
}
