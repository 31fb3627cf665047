//! Ways of moving bytes: positioned, in vectors, from file to file (pread(2), readv(2), sendfile(2), splice(2)).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{O_APPEND, O_RDONLY, O_RDWR, O_WRONLY, SEEK_CUR, SEEK_SET};

pub(crate) const CASES: &[Case] = &[
    case!(positioned_io_keeps_the_offset),
    case!(positioned_io_errors),
    case!(vectors),
    case!(vector_errors),
    case!(preadv2_flags),
    case!(write_interrupted_by_a_fault),
    case!(concurrent_reads_share_the_offset),
    case!(sendfile_copies),
    case!(splice_and_tee),
    case!(copy_file_range_copies),
];

fn positioned_io_keeps_the_offset() {
    let file = create_open(c"file");
    assert_eq!(pwrite(file, b"hello", 3), Ok(5));
    assert_eq!(lseek(file, 0, SEEK_CUR), Ok(0));
    assert_eq!(pread_some(file, 100, 1), Ok(b"\0\0hello".to_vec()));
    assert_eq!(lseek(file, 0, SEEK_CUR), Ok(0));
}

fn positioned_io_errors() {
    let file = create_open(c"file");
    assert_eq!(pread(file, &mut [0], -1), Err(EINVAL));
    assert_eq!(pwrite(file, b"x", -1), Err(EINVAL));
    assert_eq!(pwrite(file, b"x", i64::MAX), Err(EINVAL), "the end would overflow");
    assert_eq!(pread(700, &mut [0], 0), Err(EBADF));
}

fn vectors() {
    let file = create_open(c"file");
    let (mut one, mut two) = (*b"abc", *b"defg");
    let parts = [iovec(&mut one), iovec(&mut two)];
    assert_eq!(syscall!(SYS_writev, file, &parts, 2), Ok(7));
    assert_eq!(syscall!(SYS_pwritev, file, &parts, 2, 10, 0), Ok(7));
    let (mut first, mut second) = ([0u8; 5], [0u8; 5]);
    let parts = [iovec(&mut first), iovec(&mut second)];
    assert_eq!(syscall!(SYS_preadv, file, &parts, 2, 8, 0), Ok(9));
    assert_eq!((&first, &second), (b"\0\0abc", b"defg\0"));
    lseek(file, 0, SEEK_SET).unwrap();
    assert_eq!(syscall!(SYS_readv, file, &parts, 2), Ok(10));
    assert_eq!((&first, &second), (b"abcde", b"fg\0\0\0"));
    assert_eq!(lseek(file, 0, SEEK_CUR), Ok(10));
}

fn vector_errors() {
    let file = create_open(c"file");
    let mut byte = [0u8];
    let part = iovec(&mut byte);
    assert_eq!(syscall!(SYS_writev, file, &part, -1), Err(EINVAL));
    assert_eq!(syscall!(SYS_writev, file, &part, 1025), Err(EINVAL));
    assert_eq!(syscall!(SYS_writev, file, 0, 0), Ok(0));
    assert_eq!(syscall!(SYS_writev, file, 8, 1), Err(EFAULT));
    let mut huge = [part, part];
    huge[1].iov_len = usize::MAX;
    assert_eq!(syscall!(SYS_writev, file, &huge, 2), Err(EINVAL), "a length must fit in ssize_t");
    // A bad part behind a good one cuts the transfer.
    let mut cut = [part, part];
    cut[1].iov_base = std::ptr::without_provenance_mut(8);
    assert_eq!(syscall!(SYS_writev, file, &cut, 2), Ok(1));
    assert_eq!(syscall!(SYS_preadv, file, &part, 1, -1, 0), Err(EINVAL));
    let many: Vec<Iovec> = vec![part; 1024];
    assert_eq!(syscall!(SYS_pwritev, file, many.as_ptr(), 1024, 0, 0), Ok(1024));
}

fn preadv2_flags() {
    create(c"file", b"0123456789");
    let file = open(c"file", O_RDWR).unwrap();
    let mut bytes = [0u8; 4];
    let part = iovec(&mut bytes);
    // Offset -1 means the file's own.
    assert_eq!(syscall!(SYS_preadv2, file, &part, 1, -1, -1, 0), Ok(4));
    assert_eq!(lseek(file, 0, SEEK_CUR), Ok(4));
    assert_eq!(syscall!(SYS_preadv2, file, &part, 1, 8, 0, 0), Ok(2));
    assert_eq!(syscall!(SYS_preadv2, file, &part, 1, 0, 0, 1 << 20), Err(EOPNOTSUPP));
    const RWF_APPEND: i32 = 16;
    assert_eq!(syscall!(SYS_pwritev2, file, &part, 1, 0, 0, RWF_APPEND), Ok(4));
    assert_eq!(fstat(file).unwrap().st_size, 14);
}

fn write_interrupted_by_a_fault() {
    let file = create_open(c"file");
    let memory = map_anonymous(3 * PAGE);
    unmap(memory + 2 * PAGE, PAGE).unwrap();
    (0..2 * PAGE).for_each(|at| poke(memory + at, b'm'));
    let result = syscall!(SYS_write, file, memory + PAGE, 2 * PAGE);
    assert_eq!(result, Ok(PAGE), "what could be read was written");
    assert_eq!(fstat(file).unwrap().st_size as usize, PAGE);
    assert_eq!(lseek(file, 0, SEEK_CUR), Ok(PAGE));
    lseek(file, 0, SEEK_SET).unwrap();
    assert_eq!(syscall!(SYS_read, file, 8, 10), Err(EFAULT));
    assert_eq!(lseek(file, 0, SEEK_CUR), Ok(0), "a failed read does not move");
}

fn concurrent_reads_share_the_offset() {
    let file = create_open(c"file");
    let numbers: Vec<u8> = (0..4000u32).flat_map(u32::to_ne_bytes).collect();
    write(file, &numbers).unwrap();
    lseek(file, 0, SEEK_SET).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                let mut mine = Vec::new();
                loop {
                    let part = read_some(file, 4).unwrap();
                    match part.try_into() {
                        Ok(bytes) => mine.push(u32::from_ne_bytes(bytes)),
                        Err(_) => return mine,
                    }
                }
            })
        })
        .collect();
    let mut all: Vec<u32> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    all.sort_unstable();
    assert!(all == (0..4000).collect::<Vec<_>>(), "{} records read", all.len());
}

fn sendfile_copies() {
    create(c"source", b"0123456789");
    let source = open(c"source", O_RDONLY).unwrap();
    let target = create_open(c"target");
    assert_eq!(syscall!(SYS_sendfile, target, source, 0, 4), Ok(4));
    assert_eq!(lseek(source, 0, SEEK_CUR), Ok(4));
    let mut offset = 7i64;
    assert_eq!(syscall!(SYS_sendfile, target, source, &mut offset, 100), Ok(3));
    assert_eq!((offset, lseek(source, 0, SEEK_CUR)), (10, Ok(4)));
    assert_eq!(content(c"target"), Ok(b"0123789".to_vec()));
    let (from, to) = pipe();
    assert_eq!(syscall!(SYS_sendfile, to, source, 0, 100), Ok(6));
    assert_eq!(read_some(from, 100), Ok(b"456789".to_vec()));
    assert_eq!(syscall!(SYS_sendfile, source, source, 0, 1), Err(EBADF));
    let appending = open(c"target", O_WRONLY | O_APPEND).unwrap();
    assert_eq!(syscall!(SYS_sendfile, appending, source, 0, 1), Err(EINVAL));
}

fn splice_and_tee() {
    create(c"source", b"0123456789");
    let source = open(c"source", O_RDONLY).unwrap();
    let (from, to) = pipe();
    let mut offset = 2i64;
    assert_eq!(syscall!(SYS_splice, source, &mut offset, to, 0, 5, 0), Ok(5));
    assert_eq!(offset, 7);
    let (second_from, second_to) = pipe();
    assert_eq!(syscall!(SYS_tee, from, second_to, 3, 0), Ok(3));
    assert_eq!(read_some(second_from, 10), Ok(b"234".to_vec()));
    assert_eq!(readable_bytes(from), 5, "tee consumes nothing");
    let target = create_open(c"target");
    assert_eq!(syscall!(SYS_splice, from, 0, target, 0, 100, 0), Ok(5));
    assert_eq!(content(c"target"), Ok(b"23456".to_vec()));
    assert_eq!(syscall!(SYS_splice, source, 0, target, 0, 1, 0), Err(EINVAL), "one end must be a pipe");
    assert_eq!(syscall!(SYS_splice, from, 0, target, 0, 1, libc::SPLICE_F_NONBLOCK), Err(EAGAIN));
}

fn copy_file_range_copies() {
    create(c"source", b"0123456789");
    let source = open(c"source", O_RDONLY).unwrap();
    let target = create_open(c"target");
    let (mut from, mut to) = (3i64, 1i64);
    assert_eq!(syscall!(SYS_copy_file_range, source, &mut from, target, &mut to, 4, 0), Ok(4));
    assert_eq!((from, to), (7, 5));
    assert_eq!(content(c"target"), Ok(b"\x003456".to_vec()));
    assert_eq!(syscall!(SYS_copy_file_range, source, 0, target, 0, 100, 0), Ok(10));
    assert_eq!(syscall!(SYS_copy_file_range, source, 0, target, 0, 100, 0), Ok(0));
    assert_eq!(syscall!(SYS_copy_file_range, source, 0, target, 0, 1, 1), Err(EINVAL));
    assert_eq!(syscall!(SYS_copy_file_range, pipe().0, 0, target, 0, 1, 0), Err(EINVAL));
}
