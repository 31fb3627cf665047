//! Fault injection: for each point a case of its name, in which it fires and what must hold is checked; how points
//! are set; `fail-nth` and `make-it-fail`.

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{EPOLL_CTL_ADD, EPOLLIN};
use std::thread;

pub(crate) const CASES: &[Case] = &[
    case!(kmalloc).kairos(),
    case!(page_alloc).kairos(),
    case!(a_page_for_a_call_costs_no_life).kairos(),
    case!(copy_from_user).kairos(),
    case!(copy_to_user).kairos(),
    case!(copy_nofault).kairos(),
    case!(ipc_channel_send).kairos(),
    case!(ipc_channel_recv).kairos(),
    case!(ipc_channel_close).kairos(),
    case!(port_enqueue).kairos(),
    case!(registry_add).kairos(),
    case!(lineage_bind).kairos(),
    case!(handle_install).kairos(),
    case!(pollwait_block).kairos(),
    case!(pollwait_wake).kairos(),
    case!(epoll_ready).kairos(),
    case!(timer_late).kairos(),
    case!(syscall_eintr).kairos(),
    case!(short_read).kairos(),
    case!(short_write).kairos(),
    case!(every_point_has_a_case).kairos(),
    case!(settings_are_checked).kairos().root(),
    case!(sys_kchannel_inline_queue_zero_heap).kairos(),
    case!(sys_kchannel_send_transfer_rollback_kmalloc_fault).kairos(),
    case!(fail_nth_walks_through_calls).kairos(),
    case!(fail_nth_reads_and_writes).kairos(),
    case!(marks_are_inherited).kairos().root(),
    case!(the_end_of_a_thread_is_spared).kairos(),
    case!(threads_are_joined_though_pages_go_away).kairos(),
    case!(signalfd_loses_no_signal_though_pages_go_away).kairos(),
];

const FOLDER: &str = "/sys/kernel/fault_inject";

fn set(point: &str, setting: &str) -> std::io::Result<()> {
    std::fs::write(format!("{FOLDER}/{point}"), setting)
}

/// How often a point has fired since boot.
fn fails(point: &Fd) -> u64 {
    let text = String::from_utf8(pread_some(*point, 4096, 0).expect("the point's file")).expect("a text");
    let line = text.lines().find_map(|line| line.strip_prefix("fails=")).expect("its failures");
    line.parse().expect("a number")
}

fn file_of(point: &str) -> Fd {
    open(&path(format!("{FOLDER}/{point}")), libc::O_RDWR).expect("the point's file")
}

/// Runs `body` while `point` fires as often as `times` says in each thread of this process; gives what `body` gives,
/// and how often it fired.
fn under<R>(point: &str, times: u64, body: impl FnOnce() -> R) -> (R, u64) {
    let file = file_of(point);
    // Resident, as a constant need not be: a page that is missing would be another reason to fail.
    let off = b"off".to_vec();
    // Whom it concerned until now is not counted any more.
    write(file, &off).expect("a setting");
    let before = fails(&file);
    write(file, format!("times={times},pid={}", getpid()).as_bytes()).expect("a setting");
    let result = body();
    // The budget may not be used up yet, and then this call fails too.
    while write(file, &off).is_err() {}
    let fired = fails(&file) - before;
    close(file).expect("the point's file");
    (result, fired)
}

/// Handles and descriptors of this process.
fn holdings() -> (usize, usize) {
    let handles = std::fs::read_to_string("/proc/self/handles").expect("handles").lines().count();
    (handles, std::fs::read_dir("/proc/self/fd").expect("descriptors").count())
}

/// A large message cannot be queued.
fn kmalloc() {
    let (to, from) = channel();
    assert_eq!(under("kmalloc", 1, || channel_send(to, &[7; 129], &[], 0)), (Err(ENOMEM), 1));
    assert_eq!(channel_recv(from, NONBLOCK), Err(EAGAIN));
}

/// The handle of a message that could not be queued is where it was, as good as before, and nothing is queued.
fn sys_kchannel_send_transfer_rollback_kmalloc_fault() {
    let ((to, from), (moved, _peer)) = (channel(), channel());
    let before = handle_info(moved).unwrap();
    assert_eq!(under("kmalloc", 1, || channel_send(to, &[7; 129], &[moved], 0)), (Err(ENOMEM), 1));
    assert_eq!(handle_info(moved), Ok(before));
    assert_eq!(channel_recv(from, NONBLOCK), Err(EAGAIN));
    channel_send(to, &[7; 129], &[moved], 0).unwrap();
    assert_eq!(channel_recv(from, 0).unwrap().0, [7; 129]);
}

fn page_alloc() {
    let file = create_open(c"file");
    assert_eq!(under("page_alloc", 1, || write(file, b"data")), (Err(ENOMEM), 1));
    assert_eq!(fstat(file).unwrap().st_size, 0);
    assert_eq!(write(file, b"data"), Ok(4));
    let (forked, fired) = under("page_alloc", 1, || syscall!(SYS_fork));
    assert_eq!((forked, fired), (Err(ENOMEM), 1));
    fork(|| {}).succeeds();
    let untouched = map_anonymous(4096);
    // SAFETY: the mapping is there and no call looks at its bytes as anything but bytes.
    let place = unsafe { std::slice::from_raw_parts_mut(untouched as *mut u8, 4096) };
    assert_eq!(under("page_alloc", 1, || pread(file, place, 0)), (Err(ENOMEM), 1));
    assert_eq!(pread(file, place, 0), Ok(4));
}

/// The page of a file that a call touches is brought in, or the call fails: nobody is killed for want of memory.
fn a_page_for_a_call_costs_no_life() {
    let file = create_open(c"file");
    syscall!(SYS_ftruncate, file, PAGE).unwrap();
    let word = map(0, PAGE, READ_WRITE, libc::MAP_SHARED, file, 0).unwrap();
    let point = file_of("page_alloc");
    write(point, format!("after=1,pid={}", getpid()).as_bytes()).unwrap();
    let waited = syscall!(SYS_futex, word, libc::FUTEX_WAIT, 1, 0);
    while write(point, b"off").is_err() {}
    assert_eq!(waited, Err(EAGAIN), "the page is there, and holds 0");
}

/// What a call could not read it has not used.
fn copy_from_user() {
    let (from, to) = pipe();
    assert_eq!(under("copy_from_user", 1, || write(to, b"lost")), (Err(EFAULT), 1));
    assert_eq!(readable_bytes(from), 0);
    let ((to, from), (moved, _peer)) = (channel(), channel());
    assert_eq!(under("copy_from_user", 1, || channel_send(to, b"lost", &[moved], 0)), (Err(EFAULT), 1));
    assert!(handle_info(moved).is_ok());
    assert_eq!(channel_recv(from, NONBLOCK), Err(EAGAIN));
}

/// What a call could not deliver it has not taken.
fn copy_to_user() {
    let (from, to) = pipe();
    write(to, b"kept").unwrap();
    assert_eq!(under("copy_to_user", 1, || read(from, &mut [0; 4])), (Err(EFAULT), 1));
    assert_eq!(read_some(from, 4), Ok(b"kept".to_vec()));
    let ((to, from), (moved, _peer)) = (channel(), channel());
    channel_send(to, b"kept", &[moved], 0).unwrap();
    let before = holdings();
    let (failed, fired) = under("copy_to_user", 1, || channel_recv(from, 0).map(drop));
    assert_eq!((failed, fired), (Err(EFAULT), 1));
    assert_eq!(holdings(), before);
    let (bytes, handles) = channel_recv(from, NONBLOCK).unwrap();
    assert_eq!((bytes.as_slice(), handles.len()), (&b"kept"[..], 1));
    assert_eq!(under("copy_to_user", 1, || channel_create().map(drop)), (Err(EFAULT), 1));
    handle_close(handles[0]).unwrap();
    assert_eq!(holdings().0, before.0);
}

/// Pages that go away in the middle of calls show nowhere.
fn copy_nofault() {
    let (from, to) = pipe();
    let sent: Vec<u8> = (0..20_000u32).map(|index| index as u8).collect();
    let expected = sent.clone();
    let (received, fired) = under("copy_nofault", 50, || {
        let writer = thread::spawn(move || write(to, &sent));
        let mut received = Vec::new();
        while received.len() < 20_000 {
            received.extend(read_some(from, 777).unwrap());
        }
        assert_eq!(writer.join().unwrap(), Ok(20_000));
        received
    });
    assert!(fired >= 50, "{fired}");
    assert_eq!(received, expected);
}

fn ipc_channel_send() {
    let ((to, from), (moved, _peer)) = (channel(), channel());
    assert_eq!(under("ipc_channel_send", 1, || channel_send(to, b"hello", &[moved], 0)), (Err(EINTR), 1));
    assert!(handle_info(moved).is_ok());
    assert_eq!(channel_recv(from, NONBLOCK), Err(EAGAIN));
}

fn ipc_channel_recv() {
    let (to, from) = channel();
    channel_send(to, b"hello", &[], 0).unwrap();
    assert_eq!(under("ipc_channel_recv", 1, || channel_recv(from, 0).map(drop)), (Err(EINTR), 1));
    assert_eq!(channel_recv(from, NONBLOCK), Ok((b"hello".to_vec(), vec![])));
}

/// A close whose wakes come twice is one close.
fn ipc_channel_close() {
    let (to, from) = channel();
    let reader = thread::spawn(move || {
        let ends = channel_recv(from, 0);
        assert_eq!(channel_send(from, b"x", &[], 0), Err(EPIPE));
        ends
    });
    wait_until(|| std::fs::read_dir("/proc/self/task").unwrap().count() == 2);
    assert_eq!(under("ipc_channel_close", 1, || handle_close(to)), (Ok(()), 1));
    assert_eq!(reader.join().unwrap(), Ok((vec![], vec![])));
    assert_eq!(handle_close(to), Err(EBADF));
}

/// One packet is taken once, however many were woken for it.
fn port_enqueue() {
    let (to, from) = channel();
    let port = port_create().unwrap();
    port_bind(port, from, 5, 1).unwrap();
    let waiters: Vec<_> = (0..3).map(|_| thread::spawn(move || port_wait(port, u64::MAX, 0))).collect();
    let (sent, fired) = under("port_enqueue", 1, || channel_send(to, b"x", &[], 0));
    assert_eq!((sent, fired), (Ok(()), 1));
    wait_until(|| waiters.iter().any(thread::JoinHandle::is_finished));
    handle_close(port).unwrap();
    let mut taken: Vec<_> = waiters.into_iter().map(|waiter| waiter.join().unwrap()).collect();
    taken.sort_by_key(Result::is_err);
    assert_eq!(taken, [Ok((5, 1)), Err(EBADF), Err(EBADF)]);
}

fn registry_add() {
    let before = holdings();
    assert_eq!(under("registry_add", 1, || channel_create().map(drop)), (Err(ENOMEM), 1));
    assert_eq!(under("registry_add", 1, || port_create().map(drop)), (Err(ENOMEM), 1));
    let (from, _to) = pipe();
    assert_eq!(under("registry_add", 1, || handle_from_fd(from, 0).map(drop)), (Err(ENOMEM), 1));
    assert_eq!(holdings().0, before.0);
}

/// As if it had been revoked on its way: the number stays free, and the message arrives without it.
fn lineage_bind() {
    let ((to, from), (moved, peer)) = (channel(), channel());
    let before = holdings();
    assert_eq!(under("lineage_bind", 1, || handle_duplicate(moved, 0).map(drop)), (Err(EACCES), 1));
    assert_eq!(holdings(), before);
    let copy = handle_duplicate(moved, 0).unwrap();
    handle_close(moved).unwrap();
    channel_send(to, b"hello", &[copy], 0).unwrap();
    let ((bytes, handles), fired) = under("lineage_bind", 1, || channel_recv(from, 0).unwrap());
    assert_eq!((bytes.as_slice(), handles.len(), fired), (&b"hello"[..], 1, 1));
    assert_eq!(handle_info(handles[0]).err(), Some(EBADF));
    // It was the last handle of its end.
    assert_eq!(channel_recv(peer, 0), Ok((vec![], vec![])));
}

/// A message whose handles find no number stays the first of the queue.
fn handle_install() {
    let ((to, from), (moved, _peer)) = (channel(), channel());
    channel_send(to, b"first", &[moved], 0).unwrap();
    channel_send(to, b"second", &[], 0).unwrap();
    assert_eq!(under("handle_install", 1, || channel_recv(from, 0).map(drop)), (Err(EMFILE), 1));
    let (bytes, handles) = channel_recv(from, 0).unwrap();
    assert_eq!((bytes.as_slice(), handles.len()), (&b"first"[..], 1));
    assert_eq!(under("handle_install", 1, || channel_create().map(drop)), (Err(EMFILE), 1));
}

/// A wait that ends as by a signal: a call that restarts goes on, one that does not says so, and nothing is lost.
fn pollwait_block() {
    let (to, from) = channel();
    assert_eq!(under("pollwait_block", 1, || channel_recv(from, 0).map(drop)), (Err(EINTR), 1));
    channel_send(to, b"late", &[], 0).unwrap();
    assert_eq!(channel_recv(from, 0), Ok((b"late".to_vec(), vec![])));
    let (from, to) = pipe();
    let point = file_of("pollwait_block");
    let before = fails(&point);
    // Another process, which is not concerned.
    let writer = fork(|| {
        wait_until(|| fails(&point) > before);
        write(to, b"late").unwrap();
    });
    let (received, fired) = under("pollwait_block", 3, || read_some(from, 9));
    assert_eq!(received, Ok(b"late".to_vec()));
    assert!(fired > 0);
    writer.succeeds();
}

/// Everybody is woken for one byte: one gets it, the others sleep on.
fn pollwait_wake() {
    let (from, to) = pipe();
    let readers: Vec<_> = (0..3).map(|_| sleeper(move || read_some(from, 1))).collect();
    let (written, fired) = under("pollwait_wake", 1, || write(to, b"x"));
    assert_eq!(written, Ok(1));
    // A reader may have had somebody to wake too, on its way out.
    assert!(fired > 0);
    wait_until(|| readers.iter().any(thread::JoinHandle::is_finished));
    close(to).unwrap();
    let mut got: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap().unwrap().len()).collect();
    got.sort_unstable();
    assert_eq!(got, [0, 0, 1]);
}

/// What is listed without being ready is not reported, and what comes later is.
fn epoll_ready() {
    let (from, to) = pipe();
    let epoll = epoll_create();
    for events in [EPOLLIN, EPOLLIN | libc::EPOLLET] {
        let operation = if events == EPOLLIN { EPOLL_CTL_ADD } else { libc::EPOLL_CTL_MOD };
        let (added, fired) = under("epoll_ready", 1, || epoll_control(epoll, operation, from, events, 7));
        assert_eq!((added, fired), (Ok(0), 1));
        assert_eq!(epoll_wait(epoll, 8, 0), []);
        write(to, b"x").unwrap();
        assert_eq!(epoll_wait(epoll, 8, -1), [(EPOLLIN, 7)]);
        assert_eq!(read_some(from, 9), Ok(b"x".to_vec()));
    }
}

/// A deadline is met late, and never early.
fn timer_late() {
    let mut pollfds = [];
    let start = monotonic();
    let (polled, fired) = under("timer_late", 1, || poll(&mut pollfds, 50));
    assert_eq!((polled, fired), (Ok(0), 1));
    assert!(monotonic() - start >= 53_000_000);
}

fn syscall_eintr() {
    let (from, to) = pipe();
    let mut bytes = [0; 4];
    // Nothing is there, and nobody would ever write: only the fault ends the call.
    assert_eq!(under("syscall_eintr", 1, || read(from, &mut bytes)), (Err(EINTR), 1));
    write(to, b"kept").unwrap();
    assert_eq!(read(from, &mut bytes), Ok(4));
    let epoll = epoll_create();
    let mut event: libc::epoll_event = zeroed();
    let (waited, fired) = under("syscall_eintr", 1, || syscall!(SYS_epoll_wait, epoll, &mut event, 1, -1));
    assert_eq!((waited, fired), (Err(EINTR), 1));
}

fn short_read() {
    let (from, to) = pipe();
    write(to, &[7; 100]).unwrap();
    assert_eq!(under("short_read", 1, || read(from, &mut [0; 100])), (Ok(50), 1));
    assert_eq!(read(from, &mut [0; 100]), Ok(50));
    let file = create_open(c"file");
    write(file, b"0123456789").unwrap();
    lseek(file, 0, libc::SEEK_SET).unwrap();
    let (first, fired) = under("short_read", 1, || read_some(file, 10));
    assert_eq!((first, fired), (Ok(b"01234".to_vec()), 1));
    assert_eq!(read_some(file, 10), Ok(b"56789".to_vec()));
}

/// Up to a page goes into a pipe in one piece, whatever happens.
fn short_write() {
    let (from, to) = pipe();
    assert_eq!(under("short_write", 1, || write(to, &[7; 4096])), (Ok(4096), 0));
    assert_eq!(under("short_write", 1, || write(to, &[7; 8192])), (Ok(4096), 1));
    assert_eq!(readable_bytes(from), 8192);
    let file = create_open(c"file");
    assert_eq!(under("short_write", 1, || write(file, b"0123456789")), (Ok(5), 1));
    assert_eq!(write(file, b"56789"), Ok(5));
    assert_eq!(content(c"file"), Ok(b"0123456789".to_vec()));
}

fn every_point_has_a_case() {
    let table = std::fs::read_to_string(format!("{FOLDER}/points")).unwrap();
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some("# schema=fault_points_v1"));
    assert_eq!(lines.next(), Some("# name hits fails setting"));
    for line in lines {
        let (name, rest) = line.split_once(' ').unwrap();
        let own = format!("fault::{name}");
        assert!(CASES.iter().any(|case| case.name() == own), "no case for {name}");
        assert_eq!(rest.split(' ').count(), 3, "{line}");
    }
}

fn settings_are_checked() {
    let error = |setting: &str| set("kmalloc", setting).err().and_then(|error| error.raw_os_error());
    for wrong in ["p=2", "p=x", "sometimes", "p=0.1,,", "pid=-1"] {
        let expected = if wrong == "p=2" { libc::ERANGE } else { libc::EINVAL };
        assert_eq!(error(wrong), Some(expected), "{wrong}");
    }
    // Of a process that is none, so that nobody suffers.
    set("kmalloc", "p=0.25,after=3,times=2,pid=4000000\n").unwrap();
    let shown = std::fs::read_to_string(format!("{FOLDER}/kmalloc")).unwrap();
    assert!(shown.ends_with("setting=p=0.250000000,after=3,times=2,pid=4000000\n"), "{shown}");
    set("all", "off").unwrap();
    let table = std::fs::read_to_string(format!("{FOLDER}/points")).unwrap();
    assert!(table.lines().skip(2).all(|line| line.ends_with(" off")), "{table}");
    as_nobody(|| assert_eq!(open(c"/sys/kernel/fault_inject/kmalloc", libc::O_WRONLY), Err(EACCES)));
}

/// Of up to 128 bytes, on either side.
fn sys_kchannel_inline_queue_zero_heap() {
    let (to, from) = channel();
    let mut bytes = [0u8; 128];
    let mut message =
        ChannelMsg { bytes: bytes.as_mut_ptr() as usize, handles: 0, num_bytes: 128, num_handles: 0 };
    let (done, fired) = under("kmalloc", 1, || {
        (channel_send(to, &[7; 128], &[], 0), channel_recv_raw(from, &mut message, 0))
    });
    assert_eq!((done, fired), ((Ok(()), Ok(())), 0));
    assert_eq!(bytes, [7; 128]);
}

fn fail_nth() -> String {
    format!("/proc/self/task/{}/fail-nth", gettid())
}

/// Every call of the list with its first failure, its second, and so on until it succeeds: each time an error that
/// the call may give, nothing kept, and the same success at the end.
fn fail_nth_walks_through_calls() {
    type Call = (&'static str, fn() -> Sys<()>);
    let calls: &[Call] = &[
        ("pipe", || pipe2(0).and_then(|(from, to)| close(from).and(close(to)))),
        ("channel", || channel_create().and_then(|(one, other)| handle_close(one).and(handle_close(other)))),
        ("port", || port_create().and_then(handle_close)),
        ("eventfd", || syscall!(SYS_eventfd2, 0, 0).and_then(|fd| close(fd as i32))),
        ("epoll", || syscall!(SYS_epoll_create1, 0).and_then(|fd| close(fd as i32))),
        ("timerfd", || {
            syscall!(SYS_timerfd_create, libc::CLOCK_MONOTONIC, 0).and_then(|fd| close(fd as i32))
        }),
        ("inotify", || syscall!(SYS_inotify_init1, 0).and_then(|fd| close(fd as i32))),
        ("memfd", || syscall!(SYS_memfd_create, c"x", 0).and_then(|fd| close(fd as i32))),
        ("socketpair", || {
            let mut fds = [0i32; 2];
            syscall!(SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, &mut fds)?;
            close(fds[0]).and(close(fds[1]))
        }),
        ("file", || {
            let fd = open_mode(c"walked", libc::O_CREAT | libc::O_RDWR, 0o600)?;
            let written = write(fd, b"x");
            close(fd).and(unlink(c"walked")).and(written.map(drop))
        }),
        ("directory", || mkdir(c"walked.d", 0o700).and_then(|()| rmdir(c"walked.d"))),
        ("mapping", || {
            let at = syscall!(
                SYS_mmap,
                0,
                8192,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
                -1,
                0
            )?;
            unmap(at, 8192)
        }),
        ("fork", || {
            let child = syscall!(SYS_fork)?;
            if child == 0 {
                exit_group(0);
            }
            wait4(child as i32, 0).map(drop)
        }),
    ];
    for (name, call) in calls {
        call().unwrap_or_else(|error| panic!("{name}: {error:?} without a fault"));
        let before = holdings();
        let mut nth = 1;
        loop {
            std::fs::write(fail_nth(), nth.to_string()).unwrap();
            let result = call();
            let left = loop {
                // Reading may itself be what fails.
                if let Ok(text) = std::fs::read_to_string(fail_nth()) {
                    break text.trim().parse::<u32>().unwrap();
                }
            };
            std::fs::write(fail_nth(), "0").unwrap();
            let _ = (unlink(c"walked"), rmdir(c"walked.d"));
            assert_eq!(holdings(), before, "{name}: failure {nth}");
            match result {
                Ok(()) if left > 0 => break,
                Ok(()) => {}
                Err(error) => assert!(
                    [ENOMEM, EFAULT, EMFILE, ENFILE, EAGAIN, EACCES].contains(&error),
                    "{name}: failure {nth} is {error:?}"
                ),
            }
            nth += 1;
            assert!(nth < 200, "{name}");
        }
    }
}

fn fail_nth_reads_and_writes() {
    let error = |text: &str| std::fs::write(fail_nth(), text).err().and_then(|error| error.raw_os_error());
    assert_eq!(std::fs::read_to_string(fail_nth()).unwrap(), "0\n");
    assert_eq!(
        (error("x"), error("-1"), error("4294967296")),
        (Some(libc::EINVAL), Some(libc::EINVAL), Some(libc::ERANGE))
    );
    std::fs::write(fail_nth(), "0x7fffffff").unwrap();
    let left: u32 = std::fs::read_to_string(fail_nth()).unwrap().trim().parse().unwrap();
    assert!(left > 0x7fff_0000 && left < 0x7fff_ffff, "{left:#x}");
    // It is the thread's alone.
    thread::spawn(|| assert_eq!(std::fs::read_to_string(fail_nth()).unwrap(), "0\n")).join().unwrap();
    fork(|| assert_eq!(std::fs::read_to_string(fail_nth()).unwrap(), "0\n")).succeeds();
    std::fs::write(fail_nth(), "0").unwrap();
}

fn marks_are_inherited() {
    const MARK: &str = "/proc/self/make-it-fail";
    let mark = || std::fs::read_to_string(MARK).unwrap();
    let error = |text: &str| std::fs::write(MARK, text).err().and_then(|error| error.raw_os_error());
    // The suite may have marked the case already.
    std::fs::write(MARK, "0").unwrap();
    assert_eq!((error("2"), error("x"), mark().as_str()), (Some(libc::EINVAL), Some(libc::EINVAL), "0\n"));
    as_nobody(|| assert_eq!(error("1"), Some(libc::EACCES)));
    std::fs::write(MARK, "1").unwrap();
    fork(move || {
        assert_eq!(mark(), "1\n");
        thread::spawn(move || {
            let own = format!("/proc/self/task/{}/make-it-fail", gettid());
            assert_eq!(std::fs::read_to_string(own).unwrap(), "1\n");
        })
        .join()
        .unwrap();
    })
    .succeeds();
}

/// A thread that ends clears the word by which others join it, whatever fails.
fn the_end_of_a_thread_is_spared() {
    extern "C" fn fail_from_now_on(_: *mut libc::c_void) -> *mut libc::c_void {
        let file = open(&path(fail_nth()), libc::O_WRONLY).unwrap();
        write(file, b"1").unwrap();
        exit_thread(0)
    }
    let point = file_of("copy_to_user");
    let before = fails(&point);
    let mut thread: libc::pthread_t = 0;
    // SAFETY: the function takes nothing, and the thread is joined.
    let made = unsafe {
        libc::pthread_create(&mut thread, std::ptr::null(), fail_from_now_on, std::ptr::null_mut())
    };
    assert_eq!(made, 0);
    // SAFETY: the thread was made above.
    assert_eq!(unsafe { libc::pthread_join(thread, std::ptr::null_mut()) }, 0);
    assert_eq!(fails(&point), before);
}

/// The number of a new thread is in the word by which it is joined, whatever happens to the word's page meanwhile.
fn threads_are_joined_though_pages_go_away() {
    let ((), fired) = under("copy_nofault", 1000, || {
        for round in 0..20 {
            let thread = thread::spawn(move || {
                sleep_a_tick();
                round
            });
            assert_eq!(thread.join().unwrap(), round);
        }
    });
    assert!(fired > 0);
}

/// A signal that was taken and could not be written is told by the next read.
fn signalfd_loses_no_signal_though_pages_go_away() {
    let mask = block(&[libc::SIGRTMIN() + 3]);
    let set = mask_of(&[libc::SIGRTMIN() + 3]);
    let fd = syscall!(SYS_signalfd4, -1, &set, 8, libc::SFD_NONBLOCK).unwrap() as Fd;
    for value in 0..8 {
        queue(getpid(), libc::SIGRTMIN() + 3, value).unwrap();
    }
    // The second copy of each round fails: the room is there, and then it is not.
    for value in 0..8 {
        let file = file_of("copy_nofault");
        write(file, format!("after=1,times=1,pid={}", getpid()).as_bytes()).unwrap();
        let record = read_some(fd, 128).unwrap();
        while write(file, b"off").is_err() {}
        close(file).unwrap();
        assert_eq!(i32::from_ne_bytes(record[44..48].try_into().unwrap()), value);
    }
    assert_eq!(read_some(fd, 128), Err(EAGAIN));
    change_mask(libc::SIG_SETMASK, mask);
}
