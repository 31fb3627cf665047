//! The first steps of a program: it starts, finds its arguments, writes, ends.

use crate::harness::{Case, case};
use crate::sys::*;

pub(crate) const CASES: &[Case] = &[
    case!(write_reports_the_count),
    case!(write_of_nothing_is_zero),
    case!(write_to_a_bad_descriptor),
    case!(write_from_a_bad_pointer),
    case!(write_to_a_read_only_descriptor),
    case!(read_from_a_write_only_descriptor),
    case!(exit_codes_keep_their_low_byte),
    case!(unknown_system_call_is_enosys),
    case!(argv_arrives_unchanged),
    case!(environment_arrives_unchanged),
    case!(many_long_arguments),
    case!(auxiliary_vector),
    case!(stack_is_aligned_at_entry),
    case!(brk_grows_and_shrinks),
    case!(brk_below_start_changes_nothing),
    case!(registers_survive_a_system_call),
    case!(system_call_results_beyond_errno_range),
    case!(flags_register_survives_a_system_call),
];

fn write_reports_the_count() {
    let (from, to) = pipe();
    assert_eq!(write(to, b"hello"), Ok(5));
    assert_eq!(read_some(from, 100), Ok(b"hello".to_vec()));
}

fn write_of_nothing_is_zero() {
    let null = open(c"/dev/null", libc::O_RDWR).unwrap();
    assert_eq!(write(null, b""), Ok(0));
    assert_eq!(read_some(null, 10), Ok(vec![]));
}

fn write_to_a_bad_descriptor() {
    assert_eq!(write(-1, b"x"), Err(EBADF));
    assert_eq!(write(800, b"x"), Err(EBADF));
    assert_eq!(syscall!(SYS_write, 1usize << 32 | 800, 0, 0), Err(EBADF));
    // Only the low 32 bits are the descriptor.
    let (from, to) = pipe();
    assert_eq!(syscall!(SYS_write, 0xdead_0000_0000usize | to as usize, b"x".as_ptr(), 1), Ok(1));
    assert_eq!(read_some(from, 2), Ok(b"x".to_vec()));
}

fn write_from_a_bad_pointer() {
    let (_from, to) = pipe();
    for address in [0usize, 1, 4096, 0x7fff_ffff_f000, 0x8000_0000_0000, usize::MAX - 4095, usize::MAX] {
        assert_eq!(syscall!(SYS_write, to, address, 1), Err(EFAULT), "from {address:#x}");
    }
}

fn write_to_a_read_only_descriptor() {
    let (from, _to) = pipe();
    assert_eq!(write(from, b"x"), Err(EBADF));
    let null = open(c"/dev/null", libc::O_RDONLY).unwrap();
    assert_eq!(write(null, b"x"), Err(EBADF));
}

fn read_from_a_write_only_descriptor() {
    let (_from, to) = pipe();
    assert_eq!(read(to, &mut [0]), Err(EBADF));
    let null = open(c"/dev/null", libc::O_WRONLY).unwrap();
    assert_eq!(read(null, &mut [0]), Err(EBADF));
}

fn exit_codes_keep_their_low_byte() {
    for code in [0, 1, 127, 128, 255] {
        assert_eq!(fork_status(|| code).wait(), Status::Exited(code));
    }
    assert_eq!(fork_status(|| 256 + 3).wait(), Status::Exited(3));
    assert_eq!(fork_status(|| -1).wait(), Status::Exited(255));
    assert_eq!(fork(|| exit_thread(9)).wait(), Status::Exited(9));
}

fn unknown_system_call_is_enosys() {
    for number in [999, 5000, 1 << 30, -1, i64::MAX] {
        assert_eq!(call(number, &[]), Err(ENOSYS), "number {number}");
    }
}

fn argv_arrives_unchanged() {
    let printed = probe_output("args", &["", "two words", "ünïcode", "-x"], &[]);
    assert_eq!(printed, "guest-tests\n--probe\nargs\n\ntwo words\nünïcode\n-x\n");
}

fn environment_arrives_unchanged() {
    let printed = probe_output("environ", &[], &[c"A=1", c"EMPTY=", c"B=x=y"]);
    assert_eq!(printed, "A=1\nEMPTY=\nB=x=y\n");
    assert_eq!(probe_output("environ", &[], &[]), "");
}

fn many_long_arguments() {
    let long = "a".repeat(100_000);
    let arguments = vec![long.as_str(); 10];
    let printed = probe_output("args", &arguments, &[]);
    assert_eq!(printed.lines().skip(3).filter(|line| *line == long).count(), 10);
    // A single string may be as long as 32 pages with its NUL, no longer.
    let limit = "b".repeat(32 * PAGE - 1);
    assert!(probe_output("args", &[&limit], &[]).contains(&limit));
    let too_long = "b".repeat(32 * PAGE);
    fork(|| assert_eq!(exec_probe("args", &[&too_long], &[]), E2BIG)).succeeds();
}

fn auxiliary_vector() {
    // SAFETY: getauxval has no preconditions.
    let value = |kind| unsafe { libc::getauxval(kind) };
    assert_eq!(value(libc::AT_PAGESZ), 4096);
    assert_eq!(value(libc::AT_CLKTCK), 100);
    assert_eq!(value(libc::AT_UID), u64::from(syscall!(SYS_getuid).unwrap() as u32));
    assert_eq!(value(libc::AT_EUID), syscall!(SYS_geteuid).unwrap() as u64);
    assert_eq!(value(libc::AT_GID), syscall!(SYS_getgid).unwrap() as u64);
    assert_eq!(value(libc::AT_EGID), syscall!(SYS_getegid).unwrap() as u64);
    assert_eq!(value(libc::AT_SECURE), 0);
    assert_eq!(value(libc::AT_PHENT), 56);
    let text_at = |kind| {
        assert_ne!(value(kind), 0, "auxv entry {kind}");
        // SAFETY: the kernel placed a NUL-terminated string there.
        unsafe { std::ffi::CStr::from_ptr(std::ptr::with_exposed_provenance(value(kind) as usize)) }
    };
    assert_eq!(text_at(libc::AT_PLATFORM), c"x86_64");
    assert!(!text_at(libc::AT_EXECFN).is_empty());
    // Sixteen random bytes, not the same in two programs.
    let random = value(libc::AT_RANDOM) as usize;
    let bytes: Vec<u8> = (0..16).map(|at| peek(random + at)).collect();
    assert!(bytes.iter().any(|byte| *byte != bytes[0]), "AT_RANDOM is {bytes:?}");
    let (one, other) = (probe_output("random", &[], &[]), probe_output("random", &[], &[]));
    assert_ne!(one, other);
    // The program headers are in memory, and begin with a known type.
    let headers = value(libc::AT_PHDR) as usize;
    assert!((1..=20).contains(&value(libc::AT_PHNUM)));
    assert!(peek(headers) <= 7 && peek(headers + 1) == 0);
}

fn stack_is_aligned_at_entry() {
    for count in 0..4 {
        let arguments = vec!["x"; count];
        let printed = probe_output("stack", &arguments, &[]);
        assert_eq!(printed, "aligned\n", "with {count} arguments");
    }
}

/// The current break, moved or not.
fn brk(to: usize) -> usize {
    syscall!(SYS_brk, to).expect("brk never fails, it just stays")
}

fn brk_grows_and_shrinks() {
    let start = brk(0);
    let end = start + 10 * PAGE;
    assert_eq!(brk(end), end);
    poke(end - 1, 7);
    assert_eq!(peek(end - 1), 7);
    assert_eq!(peek(start), 0, "new memory is zero");
    assert_eq!(brk(start + PAGE), start + PAGE);
    let inside = (start + PAGE).next_multiple_of(PAGE) + PAGE;
    assert_eq!(fault_of(|| poke(inside, 1)), unmapped_at(inside));
    // Memory that comes back is zero again.
    assert_eq!(brk(end), end);
    assert_eq!(peek(end - 1), 0);
    // Not a multiple of the page size is fine too.
    assert_eq!(brk(end + 123), end + 123);
}

fn brk_below_start_changes_nothing() {
    let now = brk(0);
    assert_eq!(brk(1), now);
    assert_eq!(brk(0x7fff_ffff_f000), now);
    assert_eq!(brk(usize::MAX), now);
}

fn registers_survive_a_system_call() {
    use std::arch::asm;
    let mut registers: [u64; 6] = [0x1111, 0x2222, 0x3333, 0x4444, 0x5555, 0x6666];
    // SAFETY: the call has no effect on memory; all touched registers are declared.
    unsafe {
        asm!(
            "syscall",
            inout("rax") libc::SYS_getpid => _,
            inout("rdi") registers[0],
            inout("rsi") registers[1],
            inout("rdx") registers[2],
            inout("r8") registers[3],
            inout("r10") registers[4],
            inout("r12") registers[5],
            out("rcx") _,
            out("r11") _,
        );
    }
    assert_eq!(registers, [0x1111, 0x2222, 0x3333, 0x4444, 0x5555, 0x6666]);
}

fn system_call_results_beyond_errno_range() {
    // A large result that is no error comes through whole.
    let address = map_anonymous(PAGE);
    assert!(address > u32::MAX as usize, "an address above 4 GiB");
    let file = create_open(c"sparse");
    assert_eq!(lseek(file, 1 << 40, libc::SEEK_SET), Ok(1 << 40));
}

fn flags_register_survives_a_system_call() {
    use std::arch::asm;
    let (before, after): (u64, u64);
    // SAFETY: pushes and pops are balanced; the direction flag is cleared again before the end.
    unsafe {
        asm!(
            "std",
            "stc",
            "pushfq",
            "pop {before}",
            "mov eax, 39",
            "syscall",
            "pushfq",
            "pop {after}",
            "cld",
            before = out(reg) before,
            after = out(reg) after,
            out("rax") _,
            out("rcx") _,
            out("r11") _,
        );
    }
    assert_eq!(after, before, "getpid changed the flags");
}
