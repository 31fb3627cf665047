//! Much of everything: ten thousand blocked threads, two thousand processes, a fork bomb, an eater of
//! all memory. Only where the machine is ours.

use crate::harness::{Case, case, note};
use crate::sys::*;
use libc::SIGKILL;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::SeqCst;

pub(crate) const CASES: &[Case] = &[
    case!(ten_thousand_blocked_threads).long().vm().deadlines(2),
    case!(two_thousand_blocked_processes).long().vm().deadlines(2),
    case!(fork_bomb_under_a_limit).long().vm().root(),
    case!(memory_eater_dies_alone).long().vm().root().deadlines(2),
    case!(file_eater_is_told).long().vm().root().deadlines(2),
    case!(churn_of_processes).long().vm().deadlines(2),
    case!(churn_of_threads).long().vm().deadlines(2),
];

/// A number of /proc/kairos/census, where there is one.
fn census(name: &str) -> Option<i64> {
    let text = text(c"/proc/kairos/census").ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// The kernel's heap: bytes in use, and objects in use by their size. Nothing where the kernel does not say.
struct Heap {
    bytes: Option<i64>,
    objects: BTreeMap<i64, i64>,
}

impl Heap {
    fn now() -> Heap {
        let slabs = text(c"/proc/slabinfo").unwrap_or_default();
        let objects = slabs.lines().filter(|line| line.starts_with("kmalloc-")).filter_map(|line| {
            let mut words = line.split_whitespace().skip(1).map(str::parse);
            let (in_use, size) = (words.next()?.ok()?, words.nth(1)?.ok()?);
            Some((size, in_use))
        });
        Heap { bytes: census("heap_bytes"), objects: objects.collect() }
    }

    /// Prints what each of the `count` blocked things made since then costs, and in objects of which sizes.
    fn print_cost(&self, what: &str, count: i64) {
        let now = Heap::now();
        let (Some(before), Some(after)) = (self.bytes, now.bytes) else { return };
        note(format_args!("{} bytes of kernel heap for each blocked {what}", (after - before) / count));
        let each = |(size, in_use): (&i64, &i64)| {
            let tenths = 10 * (in_use - self.objects.get(size).unwrap_or(&0)) / count;
            (tenths > 0).then(|| format!("{}.{} of {size}", tenths / 10, tenths % 10))
        };
        note(now.objects.iter().filter_map(each).collect::<Vec<_>>().join(", "));
    }
}

fn ten_thousand_blocked_threads() {
    const THREADS: usize = 10_000;
    // Linux allows fewer on a machine of this size unless it is told to; Kairos does not limit root, and refuses.
    drop(std::fs::write("/proc/sys/kernel/threads-max", "20000"));
    let (from, to) = pipe();
    let before = Heap::now();
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let thread = std::thread::Builder::new().stack_size(16 << 10);
            let spawned = thread.spawn(move || assert_eq!(read(from, &mut [0]), Ok(1)));
            spawned.unwrap_or_else(|error| panic!("thread {number}: {error}"))
        })
        .collect();
    wait_until(|| {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        tasks.flatten().all(|task| {
            let tid: i32 = task.file_name().to_str().unwrap().parse().unwrap();
            tid == getpid() || thread_state(tid) == Ok(b'S')
        })
    });
    before.print_cost("thread", THREADS as i64);
    let mut woken = 0;
    while woken < THREADS {
        woken += write(to, &vec![1; THREADS - woken]).unwrap();
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn two_thousand_blocked_processes() {
    const PROCESSES: usize = 2000;
    let (from, to) = pipe();
    let before = Heap::now();
    let children: Vec<Child> = (0..PROCESSES)
        .map(|_| {
            fork(|| {
                close(to).unwrap();
                assert_eq!(read(from, &mut [0]), Ok(1));
            })
        })
        .collect();
    children.iter().for_each(|child| wait_until_blocked(child.pid));
    before.print_cost("process", PROCESSES as i64);
    let mut woken = 0;
    while woken < PROCESSES {
        woken += write(to, &vec![1; PROCESSES - woken]).unwrap();
    }
    children.iter().for_each(Child::succeeds);
}

fn fork_bomb_under_a_limit() {
    const UID: u32 = 54_330;
    syscall!(SYS_prctl, libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0).unwrap();
    let refused = word_at(map_shared(PAGE));
    fork_as(UID, UID, || {
        let limit = libc::rlimit { rlim_cur: 40, rlim_max: 40 };
        syscall!(SYS_prlimit64, 0, libc::RLIMIT_NPROC, &limit, 0).unwrap();
        loop {
            match syscall!(SYS_fork) {
                Ok(_) => {}
                // Linux gives back what it had made for a refused fork only after a while; on a busy host that can be
                // all its memory.
                Err(EAGAIN) if refused.fetch_add(1, SeqCst) > 5000 => sleep_a_tick(),
                Err(EAGAIN) => {}
                Err(errno) => panic!("fork: {errno:?}"),
            }
        }
    });
    wait_until(|| refused.load(SeqCst) > 1000);
    for _ in 0..20 {
        fork(|| ()).succeeds(); // The others can still work.
    }
    // The bombers can't outrun a signal to all of them, repeated until nobody is left.
    let sweep = || {
        fork_as(UID, UID, || discard(kill(-1, SIGKILL))).wait();
        loop {
            match wait4(-1, libc::WNOHANG) {
                Ok((0, _)) => return false,
                Err(_) => return true,
                Ok(_) => {}
            }
        }
    };
    wait_until(sweep);
}

fn memory_eater_dies_alone() {
    let pattern = map_anonymous(256 * PAGE);
    (0..256).for_each(|page| poke(pattern + page * PAGE, page as u8));
    let (ready, go) = (Gate::new(), Gate::new());
    let witness = fork(|| {
        let own = map_anonymous(256 * PAGE);
        (0..256).for_each(|page| poke(own + page * PAGE, page as u8));
        ready.open();
        go.pass();
        assert!((0..256).all(|page| peek(own + page * PAGE) == page as u8));
    });
    ready.pass();
    let eater = fork_status(|| {
        loop {
            let Ok(memory) = map(0, 1 << 22, READ_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
            else {
                return 12; // Told so by mmap: fine too.
            };
            (0..1 << 22).step_by(PAGE).for_each(|at| poke(memory + at, 1));
        }
    });
    let status = eater.wait();
    assert!(status == Status::Killed(SIGKILL) || status == Status::Exited(12), "{status:?}");
    go.open();
    witness.succeeds();
    assert!((0..256).all(|page| peek(pattern + page * PAGE) == page as u8));
    let again = map_anonymous(1024 * PAGE);
    (0..1024).for_each(|page| poke(again + page * PAGE, 1)); // Its memory is back.
}

fn file_eater_is_told() {
    let eater = fork_status(|| {
        let file = create_open(c"big");
        let block = vec![1u8; 1 << 20];
        loop {
            match write(file, &block) {
                Ok(0) => return 1,
                Ok(_) => {}
                Err(ENOSPC | ENOMEM | EFBIG) => return 28,
                Err(_) => return 2,
            }
        }
    });
    let status = eater.wait();
    assert!(status == Status::Exited(28) || status == Status::Killed(SIGKILL), "{status:?}");
    unlink(c"big").unwrap();
    create(c"small", &[1; 100_000]);
    assert_eq!(content(c"small").map(|bytes| bytes.len()), Ok(100_000));
}

fn churn_of_processes() {
    for round in 0..1000 {
        let child = fork_status(|| round % 256);
        assert_eq!(child.wait(), Status::Exited(round % 256));
    }
}

fn churn_of_threads() {
    for _ in 0..100 {
        let spawn = || std::thread::Builder::new().stack_size(16 << 10).spawn(|| ()).unwrap();
        let threads: Vec<_> = (0..50).map(|_| spawn()).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}
