//! Channels and handles: messages, moves, closing, blocking (docs/abi.md).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{POLLHUP, POLLIN, POLLOUT, SIGUSR1};
use std::ffi::CStr;
use std::thread;

pub(crate) const CASES: &[Case] = &[
    case!(messages_keep_their_boundaries).kairos(),
    case!(message_sizes_are_checked).kairos(),
    case!(too_little_room_leaves_the_message).kairos(),
    case!(bad_memory_loses_nothing).kairos(),
    case!(arguments_are_checked_in_order).kairos(),
    case!(handles_move).kairos(),
    case!(all_handles_or_none).kairos(),
    case!(rights_are_checked).kairos(),
    case!(tables_are_bounded).kairos(),
    case!(full_queue).kairos(),
    case!(end_of_file_and_broken_channel).kairos(),
    case!(blocked_receivers_and_senders_end_with_close).kairos(),
    case!(signals_interrupt_and_lose_nothing).kairos(),
    case!(rendezvous_is_a_hint).kairos(),
    case!(calls_get_their_replies).kairos(),
    case!(fork_copies_and_threads_share).kairos(),
    case!(exec_closes_what_is_marked).kairos(),
    case!(exit_closes_everything).kairos(),
    case!(cycles_are_collected).kairos(),
    case!(long_chains_are_taken_down).long().kairos().deadlines(2),
    case!(ping_pong_between_processes).kairos(),
    case!(waiting_for_objects).kairos(),
    case!(proc_and_sys_show_what_happens).kairos(),
    case!(small_messages_call_no_heap).long().kairos().deadlines(2),
];

fn messages_keep_their_boundaries() {
    let (to, from) = channel();
    let sizes = [0, 1, 128, 129, 512, 513, 1023, 1024];
    for size in sizes {
        channel_send(to, &vec![size as u8; size], &[], 0).unwrap();
    }
    for size in sizes {
        assert_eq!(channel_recv(from, 0), Ok((vec![size as u8; size], vec![])));
    }
    assert_eq!(channel_recv(from, NONBLOCK), Err(EAGAIN));
}

fn message_sizes_are_checked() {
    let (to, from) = channel();
    assert_eq!(channel_send(to, &[0; 1025], &[], 0), Err(EMSGSIZE));
    assert_eq!(channel_send(to, b"", &[to; 9], 0), Err(EMSGSIZE));
    let mut msg = ChannelMsg { bytes: 0, handles: 0, num_bytes: 1, num_handles: 0 };
    assert_eq!(channel_send_raw(to, &mut msg, 0), Err(EFAULT));
    msg = ChannelMsg { bytes: 8, handles: 0, num_bytes: 0, num_handles: 1 };
    assert_eq!(channel_send_raw(to, &mut msg, 0), Err(EFAULT));
    channel_send(to, b"", &[], 0).unwrap();
    // A message of nothing is one; only what may still come tells it from the end.
    assert_eq!(channel_recv(from, NONBLOCK), Ok((vec![], vec![])));
    assert_eq!(channel_recv(from, NONBLOCK), Err(EAGAIN));
}

fn too_little_room_leaves_the_message() {
    let (to, from) = channel();
    let (moved, _peer) = channel();
    channel_send(to, b"hello", &[moved], 0).unwrap();
    let mut bytes = [0u8; 1024];
    let mut handles = [-1; 8];
    for (num_bytes, num_handles) in [(4, 8), (5, 0), (0, 0)] {
        let mut msg = ChannelMsg {
            bytes: bytes.as_mut_ptr() as usize,
            handles: handles.as_mut_ptr() as usize,
            num_bytes,
            num_handles,
        };
        assert_eq!(channel_recv_raw(from, &mut msg, 0), Err(EMSGSIZE));
        assert_eq!((msg.num_bytes, msg.num_handles), (5, 1), "the sizes that it needs");
    }
    // More room than a message can need is no error.
    let mut msg = ChannelMsg {
        bytes: bytes.as_mut_ptr() as usize,
        handles: handles.as_mut_ptr() as usize,
        num_bytes: 100_000,
        num_handles: 100,
    };
    channel_recv_raw(from, &mut msg, 0).unwrap();
    assert_eq!((msg.num_bytes, msg.num_handles, &bytes[..5]), (5, 1, &b"hello"[..]));
    handle_info(handles[0]).unwrap();
}

fn bad_memory_loses_nothing() {
    let (to, from) = channel();
    let (moved, _peer) = channel();
    channel_send(to, b"hello", &[moved], 0).unwrap();
    let hole = map_anonymous(3 * 4096);
    unmap(hole + 4096, 4096).unwrap();
    let mut msg = ChannelMsg { bytes: hole + 4094, handles: hole, num_bytes: 100, num_handles: 8 };
    assert_eq!(channel_recv_raw(from, &mut msg, 0), Err(EFAULT));
    msg = ChannelMsg { bytes: hole, handles: hole + 4094, num_bytes: 100, num_handles: 8 };
    assert_eq!(channel_recv_raw(from, &mut msg, 0), Err(EFAULT));
    assert_eq!(call(4604, &[from as usize, hole + 4090, 0]), Err(EFAULT));
    assert_eq!(call(4603, &[to as usize, hole + 4090, 0]), Err(EFAULT));
    // Pages that were never touched are no error.
    let fresh = map_anonymous(3 * 4096);
    msg = ChannelMsg { bytes: fresh + 4094, handles: fresh + 2 * 4096, num_bytes: 100, num_handles: 8 };
    channel_recv_raw(from, &mut msg, 0).unwrap();
    assert_eq!((peek(fresh + 4094), peek(fresh + 4098)), (b'h', b'o'));
}

fn arguments_are_checked_in_order() {
    let (to, _from) = channel();
    assert_eq!(handle_close_with(77, 2), Err(EINVAL), "flags before the handle");
    assert_eq!(handle_close_with(77, 1 << 40), Err(EINVAL), "all 64 bits");
    assert_eq!(handle_duplicate(77, 1 << 6), Err(EINVAL));
    assert_eq!(call(4601, &[77, 0, 0, 0]), Err(EFAULT), "the pointer before the handle");
    assert_eq!(handle_duplicate(77, 0), Err(EBADF));
    assert_eq!(channel_create_with(2), Err(EINVAL));
    assert_eq!(call(4602, &[0, 0, 0]), Err(EFAULT));
    assert_eq!(channel_send(77, b"", &[], 8), Err(EINVAL));
    assert_eq!(call(4603, &[77, 0, 0]), Err(EFAULT));
    assert_eq!(channel_send(77, &[0; 2000], &[], 0), Err(EMSGSIZE), "sizes before the handle");
    assert_eq!(channel_send(77, b"", &[], 0), Err(EBADF));
    assert_eq!(channel_send(to, b"", &[77], 0), Err(EBADF));
    let port = port_create().unwrap();
    assert_eq!(channel_send(port, b"", &[], 0), Err(EACCES), "the right before the type");
    let (read, _write) = pipe();
    let file = handle_from_fd(read, 0).unwrap();
    assert_eq!(channel_recv(file, NONBLOCK), Err(EOPNOTSUPP));
    for bad in [-1, 256, i32::MAX] {
        assert_eq!(handle_close(bad), Err(EBADF));
        assert_eq!(handle_info(bad), Err(EBADF));
    }
}

fn handles_move() {
    let (to, from) = channel();
    let (moved, peer) = channel();
    let before = handle_info(moved).unwrap();
    channel_send(to, b"PING", &[moved], 0).unwrap();
    assert_eq!(handle_info(moved), Err(EBADF));
    let (bytes, handles) = channel_recv(from, 0).unwrap();
    assert_eq!((&bytes[..], handles.len()), (&b"PING"[..], 1));
    assert_eq!(handle_info(handles[0]), Ok(before), "the same capability");
    channel_send(handles[0], b"X", &[], 0).unwrap();
    assert_eq!(channel_recv(peer, 0), Ok((b"X".to_vec(), vec![])));
    // The handle that is used for sending may be sent through itself, the end that receives may not.
    assert_eq!(channel_send(to, b"", &[from], 0), Err(EINVAL));
    channel_send(to, b"self", &[to], 0).unwrap();
    let (_, handles) = channel_recv(from, 0).unwrap();
    channel_send(handles[0], b"still", &[], 0).unwrap();
}

fn all_handles_or_none() {
    let (to, from) = channel();
    let all: Vec<Handle> = (0..4).flat_map(|_| <[Handle; 2]>::from(channel())).collect();
    let fixed = handle_duplicate(all[0], RIGHT_READ).unwrap();
    assert_eq!(channel_send(to, b"", &[all[1], all[2], fixed], 0), Err(EACCES));
    assert_eq!(channel_send(to, b"", &[all[1], all[1]], 0), Err(EBUSY));
    assert!(all.iter().all(|handle| handle_info(*handle).is_ok()));
    channel_send(to, b"", &all, 0).unwrap();
    assert!(all.iter().all(|handle| handle_info(*handle) == Err(EBADF)));
    assert_eq!(channel_recv(from, 0).unwrap().1.len(), 8);
}

fn rights_are_checked() {
    let (to, from) = channel();
    let read_only = handle_duplicate(to, RIGHT_READ).unwrap();
    assert_eq!(channel_send(read_only, b"x", &[], 0), Err(EACCES));
    let write_only = handle_duplicate(from, RIGHT_WRITE | RIGHT_DUPLICATE).unwrap();
    assert_eq!(channel_recv(write_only, NONBLOCK), Err(EACCES));
    assert_eq!(handle_duplicate(write_only, RIGHT_READ), Err(EACCES), "no right would be left");
    assert_eq!(handle_info(write_only).unwrap().rights as u64, RIGHT_WRITE | RIGHT_DUPLICATE);
    handle_narrow(write_only, RIGHT_WRITE).unwrap();
    assert_eq!(handle_duplicate(write_only, 0), Err(EACCES));
    assert_eq!(handle_narrow(write_only, RIGHT_READ), Err(EACCES));
    assert_eq!(handle_close(read_only), Ok(()), "closing needs no right");
}

fn tables_are_bounded() {
    let mut all = Vec::new();
    let (first, second) = channel();
    all.extend([first, second]);
    while all.len() < 255 {
        all.push(handle_duplicate(first, 0).unwrap());
    }
    assert_eq!(channel_create(), Err(EMFILE), "one number is not enough");
    all.push(handle_duplicate(first, 0).unwrap());
    assert_eq!(handle_duplicate(first, 0), Err(EMFILE));
    assert_eq!(channel_create(), Err(EMFILE));
    assert_eq!(port_create(), Err(EMFILE));
    handle_close(all.pop().unwrap()).unwrap();
    handle_close(all.pop().unwrap()).unwrap();
    channel_create().unwrap();
}

fn full_queue() {
    let (to, from) = channel();
    let (moved, _peer) = channel();
    let mut sent = 0;
    while channel_send(to, b"x", &[], NONBLOCK).is_ok() {
        sent += 1;
    }
    assert_eq!(sent, 64);
    assert_eq!(channel_send(to, b"y", &[moved], NONBLOCK), Err(EAGAIN));
    handle_info(moved).expect("the handle is where it was");
    let sender = thread::spawn(move || channel_send(to, b"last", &[moved], 0));
    for _ in 0..64 {
        assert_eq!(channel_recv(from, 0).unwrap().0, b"x");
    }
    sender.join().unwrap().unwrap();
    assert_eq!(channel_recv(from, 0).unwrap().0, b"last");
}

fn end_of_file_and_broken_channel() {
    let (to, from) = channel();
    channel_send(to, b"queued", &[], 0).unwrap();
    handle_close(to).unwrap();
    assert_eq!(object_wait_one(from, POLLOUT, 0), Ok(POLLHUP), "a hang-up is told to everybody");
    assert_eq!(channel_recv(from, NONBLOCK).unwrap().0, b"queued");
    assert_eq!(channel_recv(from, 0), Ok((vec![], vec![])), "the end");
    assert_eq!(channel_recv(from, NONBLOCK | RENDEZVOUS), Ok((vec![], vec![])));
    assert_eq!(channel_send(from, b"x", &[], 0), Err(EPIPE), "without a signal");
}

fn blocked_receivers_and_senders_end_with_close() {
    let (to, from) = channel();
    let receiver = fork(move || {
        handle_close(to).unwrap();
        assert_eq!(channel_recv(from, 0), Ok((vec![], vec![])));
    });
    wait_until_blocked(receiver.pid);
    handle_close(from).unwrap();
    handle_close(to).unwrap();
    receiver.succeeds();
    let (to, from) = channel();
    while channel_send(to, b"x", &[], NONBLOCK).is_ok() {}
    let (moved, _peer) = channel();
    let sender = fork(move || {
        handle_close(from).unwrap();
        assert_eq!(channel_send(to, b"y", &[moved], 0), Err(EPIPE));
        handle_info(moved).expect("the handle is where it was");
    });
    wait_until_blocked(sender.pid);
    handle_close(from).unwrap();
    sender.succeeds();
}

fn signals_interrupt_and_lose_nothing() {
    let (to, from) = channel();
    let child = fork(move || {
        catch(SIGUSR1, libc::SA_RESTART);
        assert_eq!(channel_recv(from, 0), Err(EINTR), "never restarted");
        assert_eq!(channel_recv(from, 0).unwrap().0, b"after");
    });
    wait_until_blocked(child.pid);
    child.kill(SIGUSR1);
    wait_until_signal_taken(child.pid, SIGUSR1);
    wait_until_blocked(child.pid);
    channel_send(to, b"after", &[], 0).unwrap();
    child.succeeds();
}

fn rendezvous_is_a_hint() {
    let (to, from) = channel();
    channel_send(to, b"queued", &[], RENDEZVOUS).unwrap();
    assert_eq!(channel_recv(from, RENDEZVOUS).unwrap().0, b"queued");
    let (moved, _peer) = channel();
    let receiver = fork(move || {
        let (bytes, handles) = channel_recv(from, RENDEZVOUS).unwrap();
        assert_eq!((&bytes[..], handles.len()), (&b"abc"[..], 1));
    });
    wait_until_blocked(receiver.pid);
    channel_send(to, b"abc", &[moved], RENDEZVOUS).unwrap();
    receiver.succeeds();
}

fn calls_get_their_replies() {
    let (client, server) = channel();
    let served = fork(move || {
        handle_close(client).unwrap();
        for _ in 0..2 {
            let (question, _) = channel_recv(server, 0).unwrap();
            assert_eq!((question[3] & 0x80, &question[4..]), (0x80, &b"question"[..]));
            channel_send(server, b"news", &[], 0).unwrap();
            channel_send(server, &[&question[..4], b"answer"].concat(), &[], 0).unwrap();
        }
        // The third one gets no reply.
        channel_recv(server, 0).unwrap();
    });
    for _ in 0..2 {
        assert_eq!(&channel_call(client, b"....question", FOR_EVER).unwrap()[4..], b"answer");
        assert_eq!(channel_recv(client, 0).unwrap().0, b"news", "what is no reply is queued");
    }
    assert_eq!(channel_call(client, b"...", 0), Err(EINVAL), "there is no room for the number");
    handle_close(server).unwrap();
    assert_eq!(channel_call(client, b"....", FOR_EVER), Err(EPIPE));
    served.succeeds();
    let (client, _server) = channel();
    assert_eq!(channel_call(client, b"....", 1_000_000), Err(ETIMEDOUT));
}

fn fork_copies_and_threads_share() {
    let (to, from) = channel();
    let ours = handle_info(to).unwrap();
    fork(move || {
        let theirs = handle_info(to).unwrap();
        assert_eq!((ours.object, ours.rights), (theirs.object, theirs.rights));
        assert_ne!(ours.capability, theirs.capability, "the copy is derived from ours");
        channel_send(to, b"from the child", &[], 0).unwrap();
    })
    .succeeds();
    assert_eq!(channel_recv(from, 0).unwrap().0, b"from the child");
    thread::spawn(move || handle_close(to)).join().unwrap().unwrap();
    assert_eq!(handle_info(to), Err(EBADF), "a thread has the same table");
}

fn exec_closes_what_is_marked() {
    let (kept, kept_peer) = channel();
    let (marked, marked_peer) = channel_create_with(CLOEXEC).unwrap();
    let child = fork(move || {
        handle_close(kept_peer).unwrap();
        handle_close(marked_peer).unwrap();
        exec_probe("pause", &[], &[]);
    });
    handle_close(kept).unwrap();
    handle_close(marked).unwrap();
    assert_eq!(channel_recv(marked_peer, 0), Ok((vec![], vec![])), "exec closed it");
    assert_eq!(channel_recv(kept_peer, NONBLOCK), Err(EAGAIN), "the program still has this one");
    child.kill(libc::SIGKILL);
    child.wait();
    assert_eq!(channel_recv(kept_peer, 0), Ok((vec![], vec![])));
}

fn exit_closes_everything() {
    let (to, from) = channel();
    let child = fork(move || handle_close(from).unwrap());
    handle_close(to).unwrap();
    child.wait();
    assert_eq!(channel_recv(from, NONBLOCK), Ok((vec![], vec![])), "before the parent's wait returns");
}

fn cycles_are_collected() {
    let ((a, b), (c, d)) = (channel(), channel());
    channel_send(c, b"", &[b], 0).unwrap();
    channel_send(a, b"", &[d], 0).unwrap();
    // Nobody can receive b or d any more.
    assert_eq!(object_wait_one(a, POLLIN, FOR_EVER), Ok(POLLIN | POLLHUP));
    assert_eq!(object_wait_one(c, POLLIN, FOR_EVER), Ok(POLLIN | POLLHUP));
}

fn long_chains_are_taken_down() {
    let (mut outer, first) = channel();
    for _ in 0..10_000 {
        let (to, from) = channel();
        channel_send(outer, b"", &[from], 0).unwrap();
        handle_close(outer).unwrap();
        outer = to;
    }
    handle_close(first).unwrap();
    // What a drop may not take long for is left to a task.
    assert_eq!(
        object_wait_one(outer, POLLIN, FOR_EVER),
        Ok(POLLIN | POLLHUP),
        "the last end goes with the first"
    );
}

fn ping_pong_between_processes() {
    let (near, far) = channel();
    let rounds = 500u32;
    let child = fork(move || {
        handle_close(near).unwrap();
        for _ in 0..rounds {
            let (bytes, handles) = channel_recv(far, 0).unwrap();
            channel_send(far, &bytes, &handles, 0).unwrap();
        }
    });
    handle_close(far).unwrap();
    let (mut moved, _peer) = channel();
    let info = handle_info(moved).unwrap();
    for round in 0..rounds {
        channel_send(near, &round.to_le_bytes(), &[moved], 0).unwrap();
        let (bytes, handles) = channel_recv(near, 0).unwrap();
        assert_eq!(bytes, round.to_le_bytes());
        moved = handles[0];
    }
    assert_eq!(handle_info(moved), Ok(info));
    child.succeeds();
}

fn waiting_for_objects() {
    let (to, from) = channel();
    assert_eq!(object_wait_one(from, POLLIN, 0), Err(ETIMEDOUT));
    assert_eq!(object_wait_one(from, POLLIN | POLLOUT, FOR_EVER), Ok(POLLOUT));
    let port = port_create().unwrap();
    port_bind(port, from, 5, READABLE).unwrap();
    let child = fork(move || channel_send(to, b"x", &[], 0).unwrap());
    assert_eq!(object_wait_many(&[(from, POLLIN)], FOR_EVER), Ok(vec![POLLIN]));
    assert_eq!(
        object_wait_many(&[(from, POLLIN), (port, POLLIN), (to, POLLIN)], 0),
        Ok(vec![POLLIN, POLLIN, 0])
    );
    child.succeeds();
    assert_eq!(object_wait_many(&[(to, POLLIN)], 1_000_000), Err(ETIMEDOUT));
    assert_eq!(object_wait_many(&[], 0), Err(EINVAL));
    assert_eq!(object_wait_one(99, POLLIN, 0), Err(EBADF));
}

fn proc_and_sys_show_what_happens() {
    let (to, from) = channel();
    let (moved, _peer) = channel();
    let object = handle_info(moved).unwrap().object;
    channel_send(to, b"x", &[moved], 0).unwrap();
    let received_at = handle_info(from).unwrap().object;
    let row_of = |file: &CStr, id: u32| {
        let all = text(file).unwrap();
        all.lines().find(|line| line.starts_with(&format!("{id} "))).map(str::to_owned)
    };
    assert_eq!(
        text(c"/proc/self/handles").unwrap().lines().next(),
        Some("handle cap_id obj_id type rights refcount")
    );
    if getpid_is_root() {
        let row = row_of(c"/sys/ipc/channels", received_at).expect("its row");
        assert!(row.ends_with(" 1 1 0 0 1 0 OPEN 0"), "{row}");
        let row = row_of(c"/sys/ipc/channels", object).expect("what is in flight has its row");
        assert!(row.contains(" OPEN "), "{row}");
    }
    let handle = channel_recv(from, 0).unwrap().1[0];
    let handles = text(c"/proc/self/handles").unwrap();
    let row = handles.lines().find(|line| line.starts_with(&format!("{handle} "))).expect("its row");
    assert!(row.contains(&format!(" {object} channel 0xf ")), "{row}");
    let transfers = text(c"/proc/self/handle_transfers").unwrap();
    let events: Vec<&str> = transfers
        .lines()
        .filter(|line| line.starts_with(&format!("{handle} ")))
        .filter_map(|line| line.split(' ').nth(6))
        .collect();
    assert_eq!(events, ["take", "enqueue", "deliver", "install", "release"]);
    assert!(text(c"/sys/ipc/stats").unwrap().starts_with("schema=sysfs_ipc_stats_v2\n"));
}

fn getpid_is_root() -> bool {
    syscall!(SYS_geteuid) == Ok(0)
}

/// Allocations of the kernel since boot.
fn heap_calls() -> u64 {
    let census = text(c"/proc/kairos/census").unwrap();
    let line = census.lines().find_map(|line| line.strip_prefix("heap_calls ")).expect("heap_calls");
    line.trim().parse().unwrap()
}

/// What happens between two looks at the counter. Other tasks allocate too: the quietest of a few tries counts.
fn fewest_heap_calls(what: impl Fn()) -> u64 {
    let look = || {
        let before = heap_calls();
        what();
        heap_calls() - before
    };
    (0..10).map(|_| look()).min().unwrap_or(u64::MAX)
}

fn small_messages_call_no_heap() {
    let (near, far) = channel();
    let moved: Vec<(Handle, Handle)> = (0..4).map(|_| channel()).collect();
    let mut handles: Vec<Handle> = moved.iter().flat_map(|(one, two)| [*one, *two]).collect();
    let (payload, mut room) = ([7u8; 128], [0u8; 128]);
    let mut send =
        ChannelMsg { bytes: payload.as_ptr() as usize, handles: 0, num_bytes: 128, num_handles: 8 };
    // One buffer for both ways: what arrives is what is sent next.
    let numbers = handles.as_mut_ptr() as usize;
    send.handles = numbers;
    let bytes = room.as_mut_ptr() as usize;
    let exchange = |count: usize| {
        for _ in 0..count {
            let mut send = send;
            channel_send_raw(near, &mut send, 0).unwrap();
            let mut receive = ChannelMsg { bytes, handles: numbers, num_bytes: 128, num_handles: 8 };
            channel_recv_raw(far, &mut receive, 0).unwrap();
            assert_eq!((receive.num_bytes, receive.num_handles), (128, 8));
        }
    };
    let idle = fewest_heap_calls(|| ());
    assert_eq!(
        fewest_heap_calls(|| exchange(1000)),
        idle,
        "a message of 128 bytes and 8 handles allocates nothing"
    );
    // Deep queues take blocks from their CPU's pool, which is full after the first time.
    let fill = || {
        let mut send = ChannelMsg { num_handles: 0, ..send };
        while channel_send_raw(near, &mut send, NONBLOCK).is_ok() {}
        let mut receive = ChannelMsg { bytes, handles: 0, num_bytes: 128, num_handles: 0 };
        while channel_recv_raw(far, &mut receive, NONBLOCK).is_ok() {
            receive.num_bytes = 128;
        }
    };
    assert_eq!(fewest_heap_calls(fill), idle, "a queue that was deep once allocates nothing");
    let create = || {
        let (one, two) = channel();
        [one, two].into_iter().for_each(|end| handle_close(end).unwrap());
    };
    assert!(fewest_heap_calls(create) > idle, "the counter counts");
}
