//! Mappings moved, advised and asked about (mremap(2), madvise(2), mincore(2), mlock(2)).

use super::memory::ANONYMOUS;
use crate::harness::{Case, case};
use crate::sys::*;
use libc::{MAP_FIXED, PROT_READ};

pub(crate) const CASES: &[Case] = &[
    case!(mremap_grows_in_place_or_moves),
    case!(mremap_shrinks),
    case!(mremap_to_a_fixed_place),
    case!(mremap_errors),
    case!(mremap_dontunmap),
    case!(dontneed_gives_zeros),
    case!(dontneed_of_shared_memory_keeps),
    case!(madvise_errors),
    case!(madvise_dontfork_and_wipeonfork),
    case!(mincore_tells_residence),
    case!(mlock_and_its_limit),
];

fn mremap(at: usize, old: usize, new: usize, flags: i32, to: usize) -> Sys<usize> {
    syscall!(SYS_mremap, at, old, new, flags, to)
}

fn mremap_grows_in_place_or_moves() {
    let memory = map_anonymous(10 * PAGE);
    unmap(memory + 2 * PAGE, 8 * PAGE).unwrap();
    poke(memory, 1);
    poke(memory + PAGE, 2);
    assert_eq!(mremap(memory, 2 * PAGE, 4 * PAGE, 0, 0), Ok(memory), "there is room behind it");
    assert_eq!(peek(memory + 3 * PAGE), 0);
    map(memory + 4 * PAGE, PAGE, PROT_READ, ANONYMOUS | MAP_FIXED, -1, 0).unwrap();
    assert_eq!(mremap(memory, 4 * PAGE, 6 * PAGE, 0, 0), Err(ENOMEM), "no room and no permission to move");
    let moved = mremap(memory, 4 * PAGE, 600 * PAGE, libc::MREMAP_MAYMOVE, 0).unwrap();
    assert_ne!(moved, memory);
    assert_eq!([peek(moved), peek(moved + PAGE), peek(moved + 599 * PAGE)], [1, 2, 0]);
    assert_eq!(fault_of(|| discard(peek(memory))), unmapped_at(memory));
}

fn mremap_shrinks() {
    let memory = map_anonymous(4 * PAGE);
    poke(memory, 5);
    assert_eq!(mremap(memory, 4 * PAGE, PAGE, 0, 0), Ok(memory));
    assert_eq!(peek(memory), 5);
    assert_eq!(fault_of(|| discard(peek(memory + PAGE))), unmapped_at(memory + PAGE));
    assert_eq!(mremap(memory, PAGE, PAGE, 0, 0), Ok(memory));
}

fn mremap_to_a_fixed_place() {
    let (memory, target) = (map_anonymous(2 * PAGE), map_anonymous(4 * PAGE));
    poke(memory, 1);
    poke(target, 9);
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    assert_eq!(mremap(memory, 2 * PAGE, 2 * PAGE, flags, target), Ok(target));
    assert_eq!(peek(target), 1, "what was there is replaced");
    assert_eq!(mremap(target, 2 * PAGE, PAGE, flags, target + PAGE), Err(EINVAL), "overlapping");
    assert_eq!(mremap(target, PAGE, PAGE, libc::MREMAP_FIXED, memory), Err(EINVAL));
    assert_eq!(mremap(target, PAGE, PAGE, flags, memory + 3), Err(EINVAL));
}

fn mremap_errors() {
    let memory = map_anonymous(3 * PAGE);
    assert_eq!(mremap(memory + 1, PAGE, PAGE, 0, 0), Err(EINVAL));
    assert_eq!(mremap(memory, PAGE, 0, 0, 0), Err(EINVAL));
    assert_eq!(mremap(memory, PAGE, PAGE, 64, 0), Err(EINVAL));
    assert_eq!(
        mremap(memory, 0, PAGE, libc::MREMAP_MAYMOVE, 0),
        Err(EINVAL),
        "private memory is not doubled"
    );
    unmap(memory + PAGE, PAGE).unwrap();
    assert_eq!(mremap(memory + PAGE, PAGE, 2 * PAGE, libc::MREMAP_MAYMOVE, 0), Err(EFAULT));
    assert_eq!(mremap(memory, 3 * PAGE, 4 * PAGE, libc::MREMAP_MAYMOVE, 0), Err(EFAULT));
    // Shared memory of length 0 is mapped a second time.
    let shared = map_shared(PAGE);
    let twin = mremap(shared, 0, PAGE, libc::MREMAP_MAYMOVE, 0).unwrap();
    poke(twin, 3);
    assert_eq!(peek(shared), 3);
}

fn mremap_dontunmap() {
    let memory = map_anonymous(2 * PAGE);
    poke(memory, 7);
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP;
    let moved = mremap(memory, 2 * PAGE, 2 * PAGE, flags, 0).unwrap();
    assert_eq!((peek(moved), peek(memory)), (7, 0), "the pages moved, the old range is empty");
    assert_eq!(mremap(moved, PAGE, 2 * PAGE, flags, 0), Err(EINVAL), "the size may not change");
}

fn madvise(at: usize, len: usize, advice: i32) -> Sys<usize> {
    syscall!(SYS_madvise, at, len, advice)
}

fn dontneed_gives_zeros() {
    let memory = map_anonymous(4 * PAGE);
    (0..4).for_each(|page| poke(memory + page * PAGE, 1));
    assert_eq!(madvise(memory + PAGE, 2 * PAGE, libc::MADV_DONTNEED), Ok(0));
    assert_eq!([0, 1, 2, 3].map(|page| peek(memory + page * PAGE)), [1, 0, 0, 1]);
    // In a child: the parent's copies stay.
    fork(|| discard(madvise(memory, PAGE, libc::MADV_DONTNEED))).succeeds();
    assert_eq!(peek(memory), 1);
}

fn dontneed_of_shared_memory_keeps() {
    let memory = map_shared(PAGE);
    poke(memory, 1);
    assert_eq!(madvise(memory, PAGE, libc::MADV_DONTNEED), Ok(0));
    assert_eq!(peek(memory), 1);
    assert_eq!(madvise(memory, PAGE, libc::MADV_REMOVE), Ok(0));
    assert_eq!(peek(memory), 0);
}

fn madvise_errors() {
    let memory = map_anonymous(3 * PAGE);
    assert_eq!(madvise(memory + 1, PAGE, libc::MADV_NORMAL), Err(EINVAL));
    assert_eq!(madvise(memory, PAGE, 12345), Err(EINVAL));
    assert_eq!(madvise(memory, 0, libc::MADV_DONTNEED), Ok(0));
    unmap(memory + PAGE, PAGE).unwrap();
    poke(memory + 2 * PAGE, 1);
    assert_eq!(madvise(memory, 3 * PAGE, libc::MADV_DONTNEED), Err(ENOMEM));
    assert_eq!(peek(memory + 2 * PAGE), 0, "what is mapped was done all the same");
    for advice in [libc::MADV_WILLNEED, libc::MADV_SEQUENTIAL, libc::MADV_RANDOM, libc::MADV_FREE] {
        assert_eq!(madvise(memory, PAGE, advice), Ok(0), "advice {advice}");
    }
}

fn madvise_dontfork_and_wipeonfork() {
    let memory = map_anonymous(3 * PAGE);
    (0..3).for_each(|page| poke(memory + page * PAGE, 1));
    assert_eq!(madvise(memory, PAGE, libc::MADV_DONTFORK), Ok(0));
    assert_eq!(madvise(memory + PAGE, PAGE, libc::MADV_WIPEONFORK), Ok(0));
    assert_eq!(fork(|| discard(peek(memory))).wait(), Status::Killed(libc::SIGSEGV));
    fork(|| assert_eq!((peek(memory + PAGE), peek(memory + 2 * PAGE)), (0, 1))).succeeds();
    assert_eq!((peek(memory), peek(memory + PAGE)), (1, 1));
}

fn mincore_tells_residence() {
    let memory = map_anonymous(4 * PAGE);
    poke(memory + PAGE, 1);
    poke(memory + 3 * PAGE, 1);
    let mut pages = [9u8; 4];
    assert_eq!(syscall!(SYS_mincore, memory, 4 * PAGE, &mut pages), Ok(0));
    assert_eq!(pages.map(|byte| byte & 1), [0, 1, 0, 1]);
    assert_eq!(syscall!(SYS_mincore, memory + 1, PAGE, &mut pages), Err(EINVAL));
    assert_eq!(syscall!(SYS_mincore, memory, PAGE, 8), Err(EFAULT));
    unmap(memory + PAGE, PAGE).unwrap();
    assert_eq!(syscall!(SYS_mincore, memory, 4 * PAGE, &mut pages), Err(ENOMEM));
}

fn mlock_and_its_limit() {
    let memory = map_anonymous(64 * PAGE);
    assert_eq!(syscall!(SYS_mlock, memory, 4 * PAGE), Ok(0));
    let mut pages = [0u8; 4];
    syscall!(SYS_mincore, memory, 4 * PAGE, &mut pages).unwrap();
    assert_eq!(pages.map(|byte| byte & 1), [1; 4], "locking brings the pages in");
    assert_eq!(syscall!(SYS_munlock, memory, 4 * PAGE), Ok(0));
    unmap(memory + 63 * PAGE, PAGE).unwrap();
    assert_eq!(syscall!(SYS_mlock, memory + 62 * PAGE, 2 * PAGE), Err(ENOMEM));
    as_nobody(|| {
        let limit = libc::rlimit { rlim_cur: 8192, rlim_max: 8192 };
        syscall!(SYS_prlimit64, 0, libc::RLIMIT_MEMLOCK, &limit, 0).unwrap();
        assert_eq!(syscall!(SYS_mlock, memory, 2 * PAGE), Ok(0));
        assert_eq!(syscall!(SYS_mlock, memory + 2 * PAGE, PAGE), Err(ENOMEM));
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        syscall!(SYS_prlimit64, 0, libc::RLIMIT_MEMLOCK, &none, 0).unwrap();
        assert_eq!(syscall!(SYS_mlock, memory + 2 * PAGE, PAGE), Err(EPERM));
    });
}
