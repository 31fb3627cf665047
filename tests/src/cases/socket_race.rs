//! Sockets used by many at once: nothing is lost, nothing comes twice, nobody stays asleep.

use crate::harness::{Case, case, rounds};
use crate::sys::*;
use libc::{MSG_DONTWAIT, POLLIN, SIGKILL, SIGUSR1, SOCK_DGRAM, SOCK_NONBLOCK, SOCK_SEQPACKET, SOCK_STREAM};
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) const CASES: &[Case] = &[
    case!(many_writers_and_readers_of_a_stream).deadlines(2),
    case!(many_senders_and_receivers_of_messages).deadlines(2),
    case!(many_clients_of_one_datagram_socket).deadlines(2),
    case!(connects_against_accepts).deadlines(2),
    case!(connects_against_a_listener_that_closes).deadlines(2),
    case!(close_against_blocked_readers).deadlines(2),
    case!(close_against_blocked_writers).deadlines(2),
    case!(shutdown_against_everybody).deadlines(2),
    case!(kill_against_blocked_calls).deadlines(2),
    case!(signals_lose_no_message).deadlines(2),
    case!(pollers_against_a_writer).deadlines(2),
    case!(descriptors_go_round).deadlines(2),
    case!(collection_against_use).deadlines(2),
    case!(binding_one_name).deadlines(2),
];

fn many_writers_and_readers_of_a_stream() {
    // Each byte is worth its value: the sums must agree.
    let (one, other) = socketpair(SOCK_STREAM);
    let count = rounds(300);
    let writers: Vec<Child> = (1..=3u8)
        .map(|id| {
            fork(|| {
                close(other).unwrap();
                for _ in 0..count {
                    assert_eq!(write(one, &[id; 700]), Ok(700));
                }
            })
        })
        .collect();
    let (sums, total) = pipe();
    let readers: Vec<Child> = (0..3)
        .map(|_| {
            fork(|| {
                close(one).unwrap();
                let mut sum = 0u64;
                loop {
                    let part = read_some(other, 1000).unwrap();
                    if part.is_empty() {
                        break;
                    }
                    sum += part.iter().map(|byte| u64::from(*byte)).sum::<u64>();
                }
                write(total, &sum.to_le_bytes()).unwrap();
            })
        })
        .collect();
    close(one).unwrap();
    writers.iter().for_each(Child::succeeds);
    readers.iter().for_each(Child::succeeds);
    let sum: u64 =
        read_some(sums, 24).unwrap().chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).sum();
    assert_eq!(sum, (1 + 2 + 3) * 700 * count);
}

fn many_senders_and_receivers_of_messages() {
    for kind in [SOCK_DGRAM, SOCK_SEQPACKET] {
        let (one, other) = socketpair(kind);
        let count = rounds(300) as u32;
        let seen: Vec<AtomicU64> = (0..3 * count).map(|_| AtomicU64::new(0)).collect();
        std::thread::scope(|scope| {
            for id in 0..3 {
                scope.spawn(move || {
                    for number in 0..count {
                        assert_eq!(send(one, &(id * count + number).to_le_bytes(), 0), Ok(4));
                    }
                });
            }
            let receivers: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        loop {
                            let message = recv(other, 9, 0).unwrap();
                            let number = u32::from_le_bytes(message.try_into().unwrap());
                            if number == u32::MAX {
                                return;
                            }
                            seen[number as usize].fetch_add(1, Ordering::Relaxed);
                        }
                    })
                })
                .collect();
            wait_until(|| seen.iter().all(|count| count.load(Ordering::Relaxed) == 1));
            for _ in &receivers {
                send(one, &u32::MAX.to_le_bytes(), 0).unwrap();
            }
        });
        assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) == 1), "each message once");
        close(one).unwrap();
        close(other).unwrap();
    }
}

fn many_clients_of_one_datagram_socket() {
    let address = abstract_address("server");
    let server = socket(SOCK_DGRAM);
    bind(server, &address).unwrap();
    let count = rounds(200);
    let clients: Vec<Child> = (0..4u8)
        .map(|id| {
            fork(|| {
                let fd = socket(SOCK_DGRAM);
                if id % 2 == 0 {
                    connect(fd, &address).unwrap();
                }
                for number in 0..count {
                    let message = [id, number as u8];
                    match id {
                        0 => assert_eq!(send(fd, &message, 0), Ok(2)),
                        // Polls for room, and tries again when somebody else was faster.
                        2 => {
                            while send(fd, &message, MSG_DONTWAIT) == Err(EAGAIN) {
                                poll(&mut [pollfd(fd, libc::POLLOUT)], -1).unwrap();
                            }
                        }
                        _ => assert_eq!(send_to(fd, &message, 0, &address), Ok(2)),
                    }
                }
            })
        })
        .collect();
    let mut next = [0u64; 4];
    for _ in 0..4 * count {
        let message = recv(server, 9, 0).unwrap();
        let id = usize::from(message[0]);
        assert_eq!(message[1], next[id] as u8, "messages of one sender keep their order");
        next[id] += 1;
    }
    assert_eq!(next, [count; 4]);
    clients.iter().for_each(Child::succeeds);
}

fn connects_against_accepts() {
    let address = abstract_address("server");
    let server = listener(SOCK_STREAM, &address, 1);
    let count = rounds(100);
    let clients: Vec<Child> = (0..3u8)
        .map(|id| {
            fork(|| {
                for _ in 0..count {
                    let fd = connected(SOCK_STREAM, &address);
                    write(fd, &[id]).unwrap();
                    assert_eq!(read_some(fd, 9), Ok(vec![id]));
                    close(fd).unwrap();
                }
            })
        })
        .collect();
    let (counts, total) = pipe();
    let servers: Vec<Child> = (0..2)
        .map(|_| {
            fork(|| {
                let mut served = 0u64;
                while let Ok(fd) = accept(server) {
                    let byte = read_some(fd, 1).unwrap();
                    write(fd, &byte).unwrap();
                    close(fd).unwrap();
                    served += 1;
                }
                write(total, &served.to_le_bytes()).unwrap();
            })
        })
        .collect();
    clients.iter().for_each(Child::succeeds);
    shutdown(server, libc::SHUT_RD).unwrap();
    servers.iter().for_each(Child::succeeds);
    let sum: u64 = read_some(counts, 16)
        .unwrap()
        .chunks(8)
        .map(|word| u64::from_le_bytes(word.try_into().unwrap()))
        .sum();
    assert_eq!(sum, 3 * count);
}

fn connects_against_a_listener_that_closes() {
    for round in 0..rounds(40) {
        let address = abstract_address(&format!("server{round}"));
        let server = listener(SOCK_STREAM, &address, 1);
        let clients: Vec<Child> = (0..3)
            .map(|_| {
                fork(|| {
                    close(server).unwrap();
                    let fd = socket(SOCK_STREAM);
                    match connect(fd, &address) {
                        Ok(()) => match read_some(fd, 1) {
                            Ok(end) => assert_eq!(end, []),
                            Err(errno) => assert_eq!(errno, ECONNRESET),
                        },
                        Err(errno) => assert_eq!(errno, ECONNREFUSED),
                    }
                })
            })
            .collect();
        if round % 2 == 0 {
            discard(accept4(server, SOCK_NONBLOCK).map(close));
        }
        close(server).unwrap();
        clients.iter().for_each(Child::succeeds);
    }
}

fn close_against_blocked_readers() {
    for round in 0..rounds(60) {
        let (one, other) = socketpair(if round % 2 == 0 { SOCK_STREAM } else { SOCK_SEQPACKET });
        let readers: Vec<Child> = (0..2)
            .map(|_| {
                fork(|| {
                    close(one).unwrap();
                    while !recv(other, 9, 0).unwrap().is_empty() {}
                })
            })
            .collect();
        for _ in 0..round % 4 {
            write(one, b"x").unwrap();
        }
        close(one).unwrap();
        readers.iter().for_each(Child::succeeds);
        close(other).unwrap();
    }
}

fn close_against_blocked_writers() {
    ignore(libc::SIGPIPE);
    for _ in 0..rounds(30) {
        let (one, other) = socketpair(SOCK_STREAM);
        let writers: Vec<Child> = (0..2)
            .map(|_| {
                fork(|| {
                    close(other).unwrap();
                    while write(one, &[0; 30_000]).is_ok() {}
                    assert_eq!(write(one, b"x"), Err(EPIPE));
                })
            })
            .collect();
        read_some(other, 50_000).unwrap();
        close(other).unwrap();
        writers.iter().for_each(Child::succeeds);
        close(one).unwrap();
    }
}

fn shutdown_against_everybody() {
    ignore(libc::SIGPIPE);
    for round in 0..rounds(30) {
        let (one, other) = socketpair(SOCK_STREAM);
        let writer = fork(|| while write(one, &[0; 5000]).is_ok() {});
        let reader = fork(|| while !read_some(other, 3000).unwrap_or_default().is_empty() {});
        let back = fork(|| while !read_some(one, 9).unwrap_or_default().is_empty() {});
        write(other, b"some bytes").unwrap();
        let (fd, how) = [(one, 2), (other, 2), (one, 1), (other, 0)][round as usize % 4];
        shutdown(fd, how).unwrap();
        writer.succeeds();
        if how == 0 {
            // The reader's own direction is closed, the other one is not.
            shutdown(other, 1).unwrap();
        }
        reader.succeeds();
        shutdown(other, 1).unwrap();
        back.succeeds();
        close(one).unwrap();
        close(other).unwrap();
    }
}

fn kill_against_blocked_calls() {
    for round in 0..rounds(40) {
        let (one, other) = socketpair(SOCK_DGRAM);
        let receivers: Vec<Child> = (0..3).map(|_| fork(|| while recv(other, 9, 0).is_ok() {})).collect();
        for number in 0..3u8 {
            send(one, &[number], 0).unwrap();
        }
        for receiver in &receivers[..2] {
            receiver.kill(SIGKILL);
        }
        // Whoever lives gets what is left.
        send(one, b"x", 0).unwrap();
        wait_until(|| events_now(other, POLLIN) == 0);
        receivers[2].kill(SIGKILL);
        for receiver in &receivers {
            assert_eq!(receiver.wait(), Status::Killed(SIGKILL), "round {round}");
        }
        close(one).unwrap();
        close(other).unwrap();
    }
}

fn signals_lose_no_message() {
    let (one, other) = socketpair(SOCK_DGRAM);
    let count = rounds(400) as u32;
    let receiver = fork(|| {
        catch(SIGUSR1, 0);
        let mut next = 0;
        while next < count {
            match recv(other, 9, 0) {
                Ok(message) => {
                    assert_eq!(message, next.to_le_bytes());
                    next += 1;
                }
                Err(errno) => assert_eq!(errno, EINTR),
            }
        }
    });
    wait_until_blocked(receiver.pid);
    for number in 0..count {
        if number % 3 == 0 {
            discard(kill(receiver.pid, SIGUSR1));
        }
        send(one, &number.to_le_bytes(), 0).unwrap();
    }
    receiver.succeeds();
}

fn pollers_against_a_writer() {
    let (one, other) = socketpair(SOCK_DGRAM);
    let count = rounds(300);
    let (sums, total) = pipe();
    let pollers: Vec<Child> = (0..3)
        .map(|_| {
            fork(|| {
                close(one).unwrap();
                let mut got = 0u64;
                loop {
                    poll(&mut [pollfd(other, POLLIN)], -1).unwrap();
                    match recv(other, 9, MSG_DONTWAIT) {
                        Ok(message) if message == b"end" => break,
                        Ok(_) => got += 1,
                        Err(errno) => assert_eq!(errno, EAGAIN),
                    }
                }
                write(total, &got.to_le_bytes()).unwrap();
            })
        })
        .collect();
    for _ in 0..count {
        send(one, b"x", 0).unwrap();
    }
    for _ in &pollers {
        send(one, b"end", 0).unwrap();
    }
    pollers.iter().for_each(Child::succeeds);
    let sum: u64 =
        read_some(sums, 24).unwrap().chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).sum();
    assert_eq!(sum, count);
}

fn descriptors_go_round() {
    // One pipe's writing end is handed from process to process; who has it writes a byte.
    let (from, to) = pipe();
    let pairs: Vec<(Fd, Fd)> = (0..4).map(|_| socketpair(SOCK_STREAM)).collect();
    let count = rounds(60);
    let hands: Vec<Child> = (0..4)
        .map(|index| {
            let (receive, send) = (pairs[index].1, pairs[(index + 1) % 4].0);
            fork(move || {
                close(to).unwrap();
                for round in 0..count {
                    let got = recvmsg(receive, 1, 64, 0).unwrap().rights();
                    write(got[0], b"x").unwrap();
                    if !(index == 3 && round + 1 == count) {
                        send_rights(send, b"y", &got).unwrap();
                    }
                    close(got[0]).unwrap();
                }
            })
        })
        .collect();
    send_rights(pairs[0].0, b"y", &[to]).unwrap();
    close(to).unwrap();
    hands.iter().for_each(Child::succeeds);
    assert_eq!(read_to_end(from).unwrap().len() as u64, 4 * count);
}

fn collection_against_use() {
    let (outer, inner) = socketpair(SOCK_DGRAM);
    let garbage = fork(|| {
        for _ in 0..rounds(150) {
            let (one, other) = socketpair(SOCK_DGRAM);
            send_rights(one, b"x", &[one, other]).unwrap();
            send_rights(other, b"x", &[one, other]).unwrap();
            close(one).unwrap();
            close(other).unwrap();
        }
    });
    // Meanwhile sockets with something in their queues travel, and have it when they arrive.
    for round in 0..rounds(150) {
        let (one, other) = socketpair(SOCK_DGRAM);
        let (from, to) = pipe();
        send_rights(one, &round.to_le_bytes(), &[to]).unwrap();
        send_rights(outer, b"y", &[other]).unwrap();
        for fd in [one, other, to] {
            close(fd).unwrap();
        }
        let other = recvmsg(inner, 9, 64, 0).unwrap().rights()[0];
        let held = recvmsg(other, 9, 64, 0).unwrap();
        assert_eq!(held.bytes, round.to_le_bytes());
        write(held.rights()[0], b"z").unwrap();
        close(held.rights()[0]).unwrap();
        close(other).unwrap();
        assert_eq!(read_to_end(from), Ok(b"z".to_vec()));
        close(from).unwrap();
    }
    garbage.succeeds();
}

fn binding_one_name() {
    for round in 0..rounds(40) {
        let address = path_address(&path(format!("name{round}")));
        let binders: Vec<Child> = (0..3)
            .map(|_| {
                fork_status(|| match bind(socket(SOCK_STREAM), &address) {
                    Ok(()) => 1,
                    Err(errno) => {
                        assert_eq!(errno, EADDRINUSE);
                        0
                    }
                })
            })
            .collect();
        let won = binders.iter().map(Child::wait).filter(|status| *status == Status::Exited(1)).count();
        assert_eq!(won, 1, "round {round}");
    }
}
