//! Files in memory (mmap(2), msync(2)) and memory as files (memfd_create(2)).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{MAP_FIXED, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE};

pub(crate) const CASES: &[Case] = &[
    case!(shared_mapping_is_the_file),
    case!(private_mapping_is_a_copy),
    case!(two_processes_share_a_file_mapping),
    case!(offsets_and_page_sharing),
    case!(sigbus_behind_the_end),
    case!(rest_of_the_last_page_is_zero),
    case!(truncating_takes_pages_away),
    case!(growing_makes_pages_accessible),
    case!(mapping_outlives_the_descriptor),
    case!(mapping_keeps_an_unlinked_file),
    case!(permission_errors),
    case!(special_files),
    case!(kernel_copies_meet_sigbus_pages),
    case!(private_copies_survive_truncation_of_others),
    case!(msync_flags),
    case!(fork_shares_and_copies),
    case!(read_into_its_own_mapping),
    case!(write_from_its_own_mapping),
    case!(dev_zero_is_anonymous_memory),
    case!(memfd_basics),
    case!(memfd_seals),
    case!(memfd_errors),
    case!(many_files_mapped_at_once),
    case!(mremap_of_a_file_mapping),
];

/// A file of two pages and a bit: 'a's, 'b's, then "cc".
fn sample() -> Fd {
    let file = create_open(c"file");
    let mut content = vec![b'a'; PAGE];
    content.extend(vec![b'b'; PAGE]);
    content.extend(b"cc");
    assert_eq!(write(file, &content), Ok(content.len()));
    file
}

fn shared_mapping_is_the_file() {
    let file = sample();
    let at = map(0, 3 * PAGE, READ_WRITE, MAP_SHARED, file, 0).unwrap();
    assert_eq!([peek(at), peek(at + PAGE), peek(at + 2 * PAGE)], *b"abc");
    poke(at + PAGE, b'X');
    assert_eq!(pread_some(file, 1, PAGE as i64), Ok(b"X".to_vec()), "a store is seen by read");
    pwrite(file, b"Y", PAGE as i64 + 1).unwrap();
    assert_eq!(peek(at + PAGE + 1), b'Y', "a write is seen in memory");
    unmap(at, 3 * PAGE).unwrap();
    assert_eq!(pread_some(file, 2, PAGE as i64), Ok(b"XY".to_vec()));
}

fn private_mapping_is_a_copy() {
    let file = sample();
    let at = map(0, 2 * PAGE, READ_WRITE, MAP_PRIVATE, file, 0).unwrap();
    poke(at, b'Z');
    assert_eq!(pread_some(file, 1, 0), Ok(b"a".to_vec()));
    pwrite(file, b"W", 1).unwrap();
    assert_eq!(peek(at + 1), b'a', "the page was copied when it was written");
    fork(|| {
        assert_eq!(peek(at), b'Z');
        poke(at, b'Q');
    })
    .succeeds();
    assert_eq!(peek(at), b'Z');
    // A file open for reading only can be mapped privately for writing.
    let reader = open(c"file", libc::O_RDONLY).unwrap();
    let at = map(0, PAGE, READ_WRITE, MAP_PRIVATE, reader, 0).unwrap();
    poke(at, 1);
}

fn two_processes_share_a_file_mapping() {
    let file = sample();
    let at = map(0, PAGE, READ_WRITE, MAP_SHARED, file, 0).unwrap();
    let ready = Gate::new();
    let child = fork(|| {
        let own = open(c"file", libc::O_RDWR).unwrap();
        let mine = map(0, PAGE, READ_WRITE, MAP_SHARED, own, 0).unwrap();
        poke(mine, b'1');
        ready.open();
        wait_until(|| peek(mine + 1) == b'2');
    });
    ready.pass();
    assert_eq!(peek(at), b'1');
    poke(at + 1, b'2');
    child.succeeds();
}

fn offsets_and_page_sharing() {
    let file = sample();
    let at = map(0, PAGE, READ_WRITE, MAP_SHARED, file, PAGE).unwrap();
    assert_eq!(peek(at), b'b');
    let again = map(0, 2 * PAGE, READ_WRITE, MAP_SHARED, file, 0).unwrap();
    poke(at + 5, b'!');
    assert_eq!(peek(again + PAGE + 5), b'!', "both mappings show one page");
    assert_eq!(map(0, PAGE, PROT_READ, MAP_SHARED, file, 100), Err(EINVAL));
    assert_eq!(map(0, PAGE, PROT_READ, MAP_SHARED, file, usize::MAX - PAGE + 1), Err(EOVERFLOW));
}

fn sigbus_behind_the_end() {
    let file = sample();
    let at = map(0, 5 * PAGE, READ_WRITE, MAP_SHARED, file, 0).unwrap();
    assert_eq!(fault_of(|| discard(peek(at + 3 * PAGE - 1))), None, "the rest of the last page");
    assert_eq!(fault_of(|| discard(peek(at + 3 * PAGE))), beyond_file_at(at + 3 * PAGE));
    assert_eq!(fault_of(|| poke(at + 4 * PAGE + 9, 1)), beyond_file_at(at + 4 * PAGE + 9));
    let private = map(0, 5 * PAGE, READ_WRITE, MAP_PRIVATE, file, 0).unwrap();
    assert_eq!(fault_of(|| poke(private + 3 * PAGE, 1)), beyond_file_at(private + 3 * PAGE));
}

fn rest_of_the_last_page_is_zero() {
    let file = sample();
    let at = map(0, 3 * PAGE, READ_WRITE, MAP_SHARED, file, 0).unwrap();
    assert!((2..PAGE).all(|offset| peek(at + 2 * PAGE + offset) == 0));
    poke(at + 2 * PAGE + 100, b'!');
    assert_eq!(fstat(file).unwrap().st_size as usize, 2 * PAGE + 2, "a store does not grow the file");
    assert_eq!(pread_some(file, 10, 2 * PAGE as i64), Ok(b"cc".to_vec()));
    // When the file grows over it, the stray byte must not appear in it.
    syscall!(SYS_ftruncate, file, 3 * PAGE).unwrap();
    assert_eq!(pread_some(file, 1, (2 * PAGE + 50) as i64), Ok(vec![0]));
}

fn truncating_takes_pages_away() {
    let file = sample();
    let at = map(0, 2 * PAGE, READ_WRITE, MAP_SHARED, file, 0).unwrap();
    assert_eq!(peek(at + PAGE), b'b');
    syscall!(SYS_ftruncate, file, 10).unwrap();
    assert_eq!(fault_of(|| discard(peek(at + PAGE))), beyond_file_at(at + PAGE));
    assert_eq!((peek(at + 9), peek(at + 10)), (b'a', 0), "the tail of the page is cleared");
}

fn growing_makes_pages_accessible() {
    let file = sample();
    let at = map(0, 6 * PAGE, READ_WRITE, MAP_SHARED, file, 0).unwrap();
    assert!(fault_of(|| discard(peek(at + 4 * PAGE))).is_some());
    syscall!(SYS_ftruncate, file, 5 * PAGE).unwrap();
    poke(at + 4 * PAGE, 7);
    assert_eq!(pread_some(file, 1, 4 * PAGE as i64), Ok(vec![7]));
}

fn mapping_outlives_the_descriptor() {
    let file = sample();
    let at = map(0, PAGE, READ_WRITE, MAP_SHARED, file, 0).unwrap();
    close(file).unwrap();
    poke(at, b'?');
    assert_eq!(&content(c"file").unwrap()[..2], b"?a");
}

fn mapping_keeps_an_unlinked_file() {
    let file = sample();
    let at = map(0, PAGE, READ_WRITE, MAP_SHARED, file, 0).unwrap();
    close(file).unwrap();
    unlink(c"file").unwrap();
    fork(|| poke(at, b'!')).succeeds();
    assert_eq!((peek(at), peek(at + 1)), (b'!', b'a'));
}

fn permission_errors() {
    create(c"file", &[1; PAGE]);
    let (reader, writer) = (open(c"file", libc::O_RDONLY).unwrap(), open(c"file", libc::O_WRONLY).unwrap());
    assert_eq!(map(0, PAGE, READ_WRITE, MAP_SHARED, reader, 0), Err(EACCES));
    assert!(map(0, PAGE, PROT_READ, MAP_SHARED, reader, 0).is_ok());
    for flags in [MAP_SHARED, MAP_PRIVATE] {
        assert_eq!(map(0, PAGE, PROT_READ, flags, writer, 0), Err(EACCES), "reading is always needed");
        assert_eq!(map(0, PAGE, PROT_WRITE, flags, writer, 0), Err(EACCES));
    }
    let by_path = open(c"file", libc::O_PATH).unwrap();
    assert_eq!(map(0, PAGE, PROT_READ, MAP_PRIVATE, by_path, 0), Err(EBADF));
}

fn special_files() {
    let folder = open(c".", libc::O_RDONLY).unwrap();
    assert_eq!(map(0, PAGE, PROT_READ, MAP_PRIVATE, folder, 0), Err(ENODEV));
    let null = open(c"/dev/null", libc::O_RDWR).unwrap();
    assert_eq!(map(0, PAGE, PROT_READ, MAP_PRIVATE, null, 0), Err(ENODEV));
    // An empty file can be mapped; every access is behind its end.
    let empty = create_open(c"empty");
    let at = map(0, PAGE, PROT_READ, MAP_PRIVATE, empty, 0).unwrap();
    assert_eq!(fault_of(|| discard(peek(at))), beyond_file_at(at));
}

fn kernel_copies_meet_sigbus_pages() {
    let file = sample();
    let at = map(0, 5 * PAGE, READ_WRITE, MAP_SHARED, file, 0).unwrap();
    let (from, to) = pipe();
    assert_eq!(syscall!(SYS_write, to, at + 3 * PAGE, 1), Err(EFAULT), "an error, no signal");
    write(to, b"x").unwrap();
    assert_eq!(syscall!(SYS_read, from, at + 3 * PAGE, 1), Err(EFAULT));
    assert_eq!(readable_bytes(from), 1);
}

fn private_copies_survive_truncation_of_others() {
    let file = sample();
    let at = map(0, 2 * PAGE, READ_WRITE, MAP_PRIVATE, file, 0).unwrap();
    poke(at, b'P');
    pwrite(file, b"new", 0).unwrap();
    assert_eq!((peek(at), peek(at + 1)), (b'P', b'a'));
}

fn msync_flags() {
    let file = sample();
    let at = map(0, 2 * PAGE, READ_WRITE, MAP_SHARED, file, 0).unwrap();
    assert_eq!(syscall!(SYS_msync, at, 2 * PAGE, libc::MS_SYNC), Ok(0));
    assert_eq!(syscall!(SYS_msync, at, 2 * PAGE, libc::MS_ASYNC | libc::MS_INVALIDATE), Ok(0));
    assert_eq!(syscall!(SYS_msync, at, PAGE, libc::MS_SYNC | libc::MS_ASYNC), Err(EINVAL));
    assert_eq!(syscall!(SYS_msync, at + 1, PAGE, libc::MS_SYNC), Err(EINVAL));
    assert_eq!(syscall!(SYS_msync, at, PAGE, 64), Err(EINVAL));
    unmap(at + PAGE, PAGE).unwrap();
    assert_eq!(syscall!(SYS_msync, at, 2 * PAGE, libc::MS_SYNC), Err(ENOMEM));
}

fn fork_shares_and_copies() {
    let file = sample();
    let shared = map(0, PAGE, READ_WRITE, MAP_SHARED, file, 0).unwrap();
    let private = map(0, PAGE, READ_WRITE, MAP_PRIVATE, file, PAGE).unwrap();
    fork(|| {
        poke(shared, b'S');
        poke(private, b'P');
        unmap(shared, PAGE).unwrap();
    })
    .succeeds();
    assert_eq!((peek(shared), peek(private)), (b'S', b'b'));
}

fn read_into_its_own_mapping() {
    // The kernel copies from a page into itself: must neither deadlock nor fail.
    let file = sample();
    let at = map(0, 2 * PAGE, READ_WRITE, MAP_SHARED, file, 0).unwrap();
    assert_eq!(syscall!(SYS_pread64, file, at, PAGE, PAGE), Ok(PAGE));
    assert_eq!(peek(at), b'b');
    let fresh = map(0, PAGE, READ_WRITE, MAP_SHARED, file, 0).unwrap();
    assert_eq!(syscall!(SYS_pread64, file, fresh, PAGE, 0), Ok(PAGE), "not yet faulted in");
}

fn write_from_its_own_mapping() {
    let file = sample();
    let at = map(0, 2 * PAGE, READ_WRITE, MAP_SHARED, file, 0).unwrap();
    assert_eq!(syscall!(SYS_pwrite64, file, at + PAGE, PAGE, 0), Ok(PAGE));
    assert_eq!(peek(at), b'b');
    let fresh = map(0, PAGE, PROT_READ, MAP_SHARED, file, PAGE).unwrap();
    assert_eq!(syscall!(SYS_pwrite64, file, fresh, PAGE, 2 * PAGE), Ok(PAGE));
    assert_eq!(fstat(file).unwrap().st_size as usize, 3 * PAGE);
}

fn dev_zero_is_anonymous_memory() {
    let zero = open(c"/dev/zero", libc::O_RDWR).unwrap();
    let private = map(0, PAGE, READ_WRITE, MAP_PRIVATE, zero, 0).unwrap();
    poke(private, 1);
    let shared = map(0, PAGE, READ_WRITE, MAP_SHARED, zero, 0).unwrap();
    fork(|| {
        poke(private, 2);
        poke(shared, 3);
    })
    .succeeds();
    assert_eq!((peek(private), peek(shared)), (1, 3));
    assert_eq!(read_some(zero, 3), Ok(vec![0; 3]));
}

fn memfd(flags: u32) -> Fd {
    syscall!(SYS_memfd_create, c"name", flags).expect("memfd_create") as Fd
}

fn memfd_basics() {
    let file = memfd(libc::MFD_CLOEXEC);
    assert_eq!(fcntl(file, libc::F_GETFD, 0), Ok(libc::FD_CLOEXEC as usize));
    let status = fstat(file).unwrap();
    assert_eq!((status.st_size, status.st_nlink, status.st_mode & libc::S_IFMT), (0, 0, libc::S_IFREG));
    write(file, b"content").unwrap();
    let at = map(0, PAGE, READ_WRITE, MAP_SHARED, file, 0).unwrap();
    assert_eq!(peek(at + 3), b't');
    poke(at, b'C');
    assert_eq!(pread_some(file, 3, 0), Ok(b"Con".to_vec()));
    let name = readlink(&path(format!("/proc/self/fd/{file}"))).unwrap();
    assert_eq!(name, b"/memfd:name (deleted)");
}

fn memfd_seals() {
    let file = memfd(libc::MFD_ALLOW_SEALING);
    syscall!(SYS_ftruncate, file, PAGE).unwrap();
    assert_eq!(fcntl(file, libc::F_GET_SEALS, 0), Ok(0));
    let seal = |seals: i32| fcntl(file, libc::F_ADD_SEALS, seals);
    assert_eq!(seal(libc::F_SEAL_GROW), Ok(0));
    assert_eq!(syscall!(SYS_ftruncate, file, 2 * PAGE), Err(EPERM));
    assert_eq!(pwrite(file, b"xx", PAGE as i64 - 1), Ok(1), "up to the end");
    assert_eq!(pwrite(file, b"x", PAGE as i64), Err(EPERM));
    assert_eq!(seal(libc::F_SEAL_SHRINK), Ok(0));
    assert_eq!(syscall!(SYS_ftruncate, file, 0), Err(EPERM));
    let at = map(0, PAGE, READ_WRITE, MAP_SHARED, file, 0).unwrap();
    assert_eq!(seal(libc::F_SEAL_WRITE), Err(EBUSY), "a writable mapping exists");
    unmap(at, PAGE).unwrap();
    assert_eq!(seal(libc::F_SEAL_WRITE), Ok(0));
    assert_eq!(pwrite(file, b"x", 0), Err(EPERM));
    assert_eq!(map(0, PAGE, READ_WRITE, MAP_SHARED, file, 0), Err(EPERM));
    assert!(map(0, PAGE, READ_WRITE, MAP_PRIVATE, file, 0).is_ok());
    assert_eq!(seal(libc::F_SEAL_SEAL), Ok(0));
    assert_eq!(seal(libc::F_SEAL_GROW), Err(EPERM));
}

fn memfd_errors() {
    assert_eq!(syscall!(SYS_memfd_create, c"name", 1 << 20), Err(EINVAL));
    assert_eq!(syscall!(SYS_memfd_create, 8, 0), Err(EFAULT));
    assert_eq!(syscall!(SYS_memfd_create, &*path(vec![b'n'; 250]), 0), Err(EINVAL), "249 are allowed");
    assert!(syscall!(SYS_memfd_create, &*path(vec![b'n'; 249]), 0).is_ok());
    let unsealable = memfd(0);
    assert_eq!(fcntl(unsealable, libc::F_ADD_SEALS, libc::F_SEAL_GROW), Err(EPERM));
    assert_eq!(fcntl(pipe().0, libc::F_GET_SEALS, 0), Err(EINVAL));
}

fn many_files_mapped_at_once() {
    let areas: Vec<(usize, u8)> = (0..200u8)
        .map(|number| {
            let file = memfd(0);
            write(file, &[number; 100]).unwrap();
            let at = map(0, PAGE, READ_WRITE, MAP_SHARED, file, 0).unwrap();
            close(file).unwrap();
            (at, number)
        })
        .collect();
    fork(|| areas.iter().for_each(|(at, number)| poke(*at, number.wrapping_add(1)))).succeeds();
    assert!(areas.iter().all(|(at, number)| peek(*at) == number.wrapping_add(1)));
}

fn mremap_of_a_file_mapping() {
    let file = sample();
    let at = map(0, PAGE, READ_WRITE, MAP_SHARED, file, PAGE).unwrap();
    let moved = syscall!(SYS_mremap, at, PAGE, 2 * PAGE, libc::MREMAP_MAYMOVE, 0).unwrap();
    assert_eq!((peek(moved), peek(moved + PAGE)), (b'b', b'c'), "it goes on in the file");
    poke(moved + PAGE, b'M');
    assert_eq!(pread_some(file, 2, 2 * PAGE as i64), Ok(b"Mc".to_vec()));
    let flags = MAP_SHARED | MAP_FIXED;
    assert_eq!(map(moved, PAGE, PROT_READ, flags, file, 0), Ok(moved));
    assert_eq!((peek(moved), peek(moved + PAGE)), (b'a', b'M'));
}
