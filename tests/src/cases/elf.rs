//! Executable files with broken headers (elf(5), execve(2)).

use crate::harness::{Case, case, rounds, seed};
use crate::sys::*;
use libc::SIGSEGV;

pub(crate) const CASES: &[Case] = &[
    case!(broken_elf_headers),
    case!(random_elf_damage),
    case!(elf_with_many_segments),
    case!(interpreter_of_an_interpreter),
    case!(exec_of_a_growing_file).long(),
];

/// A complete small program: one segment, exit_group(5).
fn small_elf() -> Vec<u8> {
    let code: &[u8] = &[0xb8, 231, 0, 0, 0, 0xbf, 5, 0, 0, 0, 0x0f, 0x05, 0x0f, 0x0b];
    let mut file = Vec::new();
    file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    file.extend([2u16, 62].map(u16::to_le_bytes).concat());
    file.extend(1u32.to_le_bytes());
    file.extend([0x40_1000u64, 64, 0].map(u64::to_le_bytes).concat());
    file.extend(0u32.to_le_bytes());
    file.extend([64u16, 56, 1, 64, 0, 0].map(u16::to_le_bytes).concat());
    file.extend([1u32, 5].map(u32::to_le_bytes).concat());
    file.extend(
        [0x1000u64, 0x40_1000, 0x40_1000, code.len() as u64, code.len() as u64, 0x1000]
            .map(u64::to_le_bytes)
            .concat(),
    );
    file.resize(0x1000, 0);
    file.extend(code);
    file
}

/// More than any program here takes that ends by itself, on however busy a machine.
const LONG_SECONDS: u32 = 20;

/// What comes of executing these bytes: the error of exec, or how the program ended.
fn outcome_of(bytes: &[u8]) -> Result<Status, Errno> {
    outcome_within(LONG_SECONDS, bytes)
}

/// The same of a program that may go on for ever.
fn outcome_within(seconds: u32, bytes: &[u8]) -> Result<Status, Errno> {
    create(c"program", bytes);
    chmod(c"program", 0o755).expect("chmod");
    let (from, to) = pipe2(libc::O_CLOEXEC).expect("pipe2");
    let child = fork(|| {
        // Whatever it runs, it ends: the timer survives exec.
        syscall!(SYS_alarm, seconds).expect("alarm");
        let errno = execve(c"./program", &[c"program"], &[]);
        write(to, &errno.0.to_ne_bytes()).expect("write");
    });
    close(to).expect("close");
    let answer = read_to_end(from).expect("read");
    close(from).expect("close");
    let status = child.wait();
    unlink(c"program").expect("unlink");
    match answer.try_into() {
        Ok(bytes) => Err(Errno(i32::from_ne_bytes(bytes))),
        Err(_) => Ok(status),
    }
}

fn broken_elf_headers() {
    assert_eq!(outcome_of(&small_elf()), Ok(Status::Exited(5)), "the program without damage");
    let killed = Ok(Status::Killed(SIGSEGV));
    // Linux finds these out when the old program is already gone, and kills; who looks before may
    // still refuse.
    let late = killed;
    let refused = [Err(EINVAL), Err(ENOEXEC), Err(ENOMEM)];
    type Row = (&'static str, usize, &'static [u8], Result<Status, Errno>);
    let table: [Row; 26] = [
        ("class 32", 4, &[1], Ok(Status::Exited(5))), // Linux does not look at it.
        ("type none", 16, &[0], Err(ENOEXEC)),
        ("type core", 16, &[4], Err(ENOEXEC)),
        ("another machine", 18, &[40], Err(ENOEXEC)),
        ("entry at zero", 24, &[0; 8], killed),
        ("entry in the kernel", 24, &[0xff; 8], killed),
        ("entry not canonical", 24, &[0, 0, 0, 0, 0, 0, 0x12, 0], killed),
        ("program headers behind the end", 32, &[0, 0, 0, 0, 1], Err(ENOEXEC)),
        ("program headers negative", 32, &[0xff; 8], Err(ENOEXEC)),
        ("program header size", 54, &[55], Err(ENOEXEC)),
        ("no program headers", 56, &[0, 0], Err(ENOEXEC)),
        ("65535 program headers", 56, &[0xff, 0xff], Err(ENOEXEC)),
        ("no segment", 64, &[6], killed),
        ("segment not executable", 68, &[4], killed),
        ("segment without access", 68, &[0], killed),
        ("offset not congruent", 72, &[1, 0x10], late),
        ("offset behind the end", 72, &[0, 0, 0, 1], Ok(Status::Killed(libc::SIGBUS))),
        ("address in the kernel", 80, &[0, 0x10, 0, 0, 0, 0x80, 0xff, 0xff], late),
        ("address at the top of user space", 80, &[0, 0xf0, 0xff, 0xff, 0xff, 0x7f, 0, 0], late),
        ("file size over memory size", 96, &[0, 0x10], late),
        ("file size huge", 96, &[0xff; 8], late),
        ("memory size huge", 104, &[0xff; 8], late),
        ("memory size over user space", 104, &[0, 0, 0, 0, 0, 0x80, 0, 0], late),
        ("alignment of three", 112, &[3], Ok(Status::Exited(5))),
        ("interpreter of no length", 64, &[3], Err(ENOEXEC)),
        ("magic", 0, &[0], Err(ENOEXEC)),
    ];
    let mut wrong = Vec::new();
    for (name, at, bytes, expected) in table {
        let mut file = small_elf();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        let outcome = outcome_of(&file);
        if outcome != expected && !(expected == late && refused.contains(&outcome)) {
            wrong.push(format!("{name}: {outcome:?} and not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("; "));
}

/// Random damage: the process ends somehow, and so does nobody else.
fn random_elf_damage() {
    let mut random = Random::new(seed());
    let rounds = rounds(200);
    for _ in 0..rounds {
        let mut file = small_elf();
        for _ in 0..=random.below(4) {
            let at = random.below(120) as usize;
            match random.below(3) {
                0 => file[at] ^= 1 << random.below(8),
                1 => file[at] = random.word() as u8,
                _ => file[at] = random.pick(&[0, 0xff, 0x80, 0x7f]),
            }
        }
        if random.one_in(8) {
            file.truncate(random.below(200) as usize);
        }
        match outcome_within(2, &file) {
            Ok(Status::Exited(_) | Status::Killed(_)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(errno) => assert!(
                [
                    ENOEXEC, EINVAL, ENOMEM, EACCES, ENOENT, EIO, ELOOP, EFAULT, E2BIG, EPERM, EISDIR,
                    ELIBBAD, ENOTDIR
                ]
                .contains(&errno),
                "{errno:?}"
            ),
        }
    }
}

fn elf_with_many_segments() {
    // A thousand small segments, each page for itself.
    let mut file = small_elf();
    let header = file[64..120].to_vec();
    let segments = 1000u64;
    file[56..58].copy_from_slice(&(segments as u16).to_le_bytes());
    let mut headers = Vec::new();
    for number in 0..segments {
        let mut one = header.clone();
        let address = 0x40_1000 + number * 0x1000;
        one[16..24].copy_from_slice(&address.to_le_bytes());
        one[24..32].copy_from_slice(&address.to_le_bytes());
        one[8..16].copy_from_slice(&0x1_0000u64.to_le_bytes());
        headers.extend(one);
    }
    let code = file[0x1000..].to_vec();
    file.truncate(64);
    file.extend(headers);
    file.resize(0x1_0000, 0);
    file.extend(code);
    assert_eq!(outcome_of(&file), Ok(Status::Exited(5)));
}

/// A program with this interpreter.
fn with_interpreter(name: &[u8]) -> Vec<u8> {
    let mut file = small_elf();
    let place = file.len() as u64;
    file.extend(name);
    file[56..58].copy_from_slice(&2u16.to_le_bytes());
    let mut header = vec![0u8; 56];
    header[0..4].copy_from_slice(&3u32.to_le_bytes());
    header[8..16].copy_from_slice(&place.to_le_bytes());
    header[32..40].copy_from_slice(&(name.len() as u64).to_le_bytes());
    file[120..176].copy_from_slice(&header);
    file
}

fn interpreter_of_an_interpreter() {
    assert_eq!(outcome_of(&with_interpreter(b"/no/such/loader\0")), Err(ENOENT));
    assert_eq!(outcome_of(&with_interpreter(b"no-nul-at-its-end")), Err(ENOEXEC));
    create(c"text", b"hello");
    chmod(c"text", 0o755).unwrap();
    assert_eq!(outcome_of(&with_interpreter(b"./text\0")), Err(EIO), "too short for a header");
    create(c"long-text", &[b'h'; 1000]);
    chmod(c"long-text", 0o755).unwrap();
    assert_eq!(outcome_of(&with_interpreter(b"./long-text\0")), Err(ELIBBAD));
    assert_eq!(outcome_of(&with_interpreter(&[b'x'; 5000])), Err(ENOEXEC));
    // A fixed-address interpreter that lies where the program lies: only its own code survives.
    create(c"other", &small_elf());
    chmod(c"other", 0o755).unwrap();
    let outcome = outcome_of(&with_interpreter(b"./other\0"));
    assert!(outcome.is_err() || matches!(outcome, Ok(Status::Killed(_) | Status::Exited(5))), "{outcome:?}");
}

fn exec_of_a_growing_file() {
    // Headers that point into the part that is being cut off again and again.
    let elf = small_elf();
    create(c"victim", &elf);
    chmod(c"victim", 0o755).unwrap();
    let cutter = fork(|| {
        loop {
            let _ = syscall!(SYS_truncate, c"victim", 0x1000);
            let _ = syscall!(SYS_truncate, c"victim", 60);
            if let Ok(file) = open(c"victim", libc::O_WRONLY) {
                let _ = write(file, &elf);
                let _ = close(file);
            }
        }
    });
    for _ in 0..200 {
        let child = fork_status(|| {
            let _ = syscall!(SYS_alarm, LONG_SECONDS);
            let _ = execve(c"./victim", &[c"victim"], &[]);
            100
        });
        match child.wait() {
            Status::Exited(5 | 100) | Status::Killed(libc::SIGSEGV | libc::SIGBUS | libc::SIGILL) => {}
            other => panic!("{other:?}"),
        }
    }
    cutter.finish();
}
