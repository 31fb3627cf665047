//! Terminals: pairs of pseudo-terminals, the line discipline, job control (pty(7), termios(3), tty_ioctl(4)).

use crate::harness::{Case, case};
use crate::sys::*;
use libc::{
    ECHO, ECHOCTL, ECHOE, ECHOK, ICANON, ICRNL, IEXTEN, IGNCR, INLCR, ISIG, ISTRIP, IXON, ONLCR, OPOST,
    POLLHUP, POLLIN, POLLOUT, VEOF, VERASE, VINTR, VKILL, VMIN, VTIME, VWERASE,
};

pub(crate) const CASES: &[Case] = &[
    case!(pair_is_made_and_named),
    case!(slave_is_a_terminal_master_too),
    case!(locked_slave_cannot_be_opened),
    case!(default_settings),
    case!(canonical_line_is_read_whole),
    case!(canonical_short_reads_keep_the_rest),
    case!(erase_word_and_kill),
    case!(end_of_file_character),
    case!(echo_shows_what_is_typed),
    case!(echo_of_control_characters_and_erase),
    case!(input_translations),
    case!(output_translations),
    case!(raw_reads_byte_by_byte),
    case!(minimum_count_and_timer),
    case!(partial_minimum),
    case!(zero_minimum_polls),
    case!(interbyte_timer),
    case!(switching_to_raw_keeps_typed_text),
    case!(poll_knows_lines),
    case!(input_queue_counts),
    case!(flush_discards),
    case!(settings_are_checked),
    case!(slave_close_is_eio_on_the_master),
    case!(slave_can_be_opened_again),
    case!(long_lines_are_limited),
    case!(flow_control_characters),
    case!(flow_control_by_call),
    case!(held_output_keeps_its_echo),
    case!(master_write_to_a_full_terminal),
    case!(interrupted_terminal_read),
    case!(two_readers_share_lines),
    case!(many_pairs),
];

/// A master and its slave (which is not made the controlling terminal).
pub(super) fn pair() -> (Fd, Fd) {
    let master = open(c"/dev/ptmx", libc::O_RDWR | libc::O_NOCTTY).expect("/dev/ptmx");
    ioctl(master, libc::TIOCSPTLCK, &0i32).expect("TIOCSPTLCK");
    let slave = open(&slave_path(master), libc::O_RDWR | libc::O_NOCTTY).expect("the slave");
    (master, slave)
}

pub(super) fn slave_path(master: Fd) -> std::ffi::CString {
    let mut number = -1i32;
    ioctl(master, libc::TIOCGPTN, &mut number).expect("TIOCGPTN");
    path(format!("/dev/pts/{number}"))
}

/// The kernel's structure: four flag words, the line discipline, nineteen characters.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Settings {
    pub(super) input: u32,
    pub(super) output: u32,
    pub(super) control: u32,
    pub(super) local: u32,
    pub(super) discipline: u8,
    pub(super) characters: [u8; 19],
}

pub(super) fn settings(fd: Fd) -> Settings {
    let mut settings =
        Settings { input: 0, output: 0, control: 0, local: 0, discipline: 0, characters: [0; 19] };
    ioctl(fd, libc::TCGETS, &mut settings).expect("TCGETS");
    settings
}

pub(super) fn change(fd: Fd, edit: impl FnOnce(&mut Settings)) {
    let mut new = settings(fd);
    edit(&mut new);
    ioctl(fd, libc::TCSETS, &new).expect("TCSETS");
}

fn make_raw(fd: Fd) {
    change(fd, |settings| {
        settings.input &= !(ICRNL | IXON | ISTRIP | INLCR | IGNCR);
        settings.output &= !OPOST;
        settings.local &= !(ICANON | ECHO | ISIG | IEXTEN);
        settings.characters[VMIN] = 1;
        settings.characters[VTIME] = 0;
    });
}

pub(super) fn without_echo(fd: Fd) {
    change(fd, |settings| settings.local &= !ECHO);
}

/// What can be read now, without blocking.
fn read_now(fd: Fd) -> Vec<u8> {
    if events_now(fd, POLLIN) & POLLIN == 0 { Vec::new() } else { read_some(fd, 4096).expect("read") }
}

/// Reads until so many bytes came.
pub(super) fn read_exactly(fd: Fd, count: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(read_some(fd, count - all.len()).expect("read"));
    }
    all
}

fn pair_is_made_and_named() {
    let (master, slave) = pair();
    let name = slave_path(master);
    let status = fstat(slave).unwrap();
    assert_eq!(status.st_mode & libc::S_IFMT, libc::S_IFCHR);
    assert_eq!(libc::major(status.st_rdev), 136);
    assert_eq!(stat(&name).unwrap().st_rdev, status.st_rdev);
    close(slave).unwrap();
    close(master).unwrap();
    assert_eq!(stat(&name).err(), Some(ENOENT), "the name goes with the master");
}

fn slave_is_a_terminal_master_too() {
    let (master, slave) = pair();
    assert_eq!(settings(master), settings(slave), "one set of settings");
    without_echo(slave);
    assert_eq!(settings(master).local & ECHO, 0);
    write(master, b"down\n").unwrap();
    assert_eq!(read_some(slave, 100), Ok(b"down\n".to_vec()));
    write(slave, b"up").unwrap();
    assert_eq!(read_some(master, 100), Ok(b"up".to_vec()));
    assert_eq!(lseek(slave, 0, libc::SEEK_CUR), Err(ESPIPE));
}

fn locked_slave_cannot_be_opened() {
    let master = open(c"/dev/ptmx", libc::O_RDWR | libc::O_NOCTTY).unwrap();
    assert_eq!(open(&slave_path(master), libc::O_RDWR | libc::O_NOCTTY), Err(EIO));
    ioctl(master, libc::TIOCSPTLCK, &0i32).unwrap();
    assert!(open(&slave_path(master), libc::O_RDWR | libc::O_NOCTTY).is_ok());
    const TIOCGPTPEER: u64 = 0x5441;
    let peer = ioctl(master, TIOCGPTPEER, libc::O_RDWR | libc::O_NOCTTY).unwrap() as Fd;
    write(peer, b"x").unwrap();
    assert_eq!(read_some(master, 9), Ok(b"x".to_vec()));
}

fn default_settings() {
    let (_master, slave) = pair();
    let now = settings(slave);
    assert_eq!(now.input & (ICRNL | IXON), ICRNL | IXON);
    assert_eq!(now.output & (OPOST | ONLCR), OPOST | ONLCR);
    let local = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | IEXTEN;
    assert_eq!(now.local & local, local);
    let characters = [VINTR, VERASE, VKILL, VEOF, VWERASE].map(|index| now.characters[index]);
    assert_eq!(characters, [3, 127, 21, 4, 23]);
    assert_eq!(now.control & libc::CSIZE, libc::CS8);
}

fn canonical_line_is_read_whole() {
    let (master, slave) = pair();
    let reader = fork(|| assert_eq!(read_some(slave, 100), Ok(b"one line\n".to_vec())));
    wait_until_blocked(reader.pid);
    write(master, b"one ").unwrap();
    assert_eq!(state_of(reader.pid), Ok(b'S'), "half a line wakes nobody");
    write(master, b"line\nanother").unwrap();
    reader.succeeds();
    assert_eq!(events_now(slave, POLLIN), 0, "the next line is not complete");
    write(master, b"\n").unwrap();
    assert_eq!(read_some(slave, 100), Ok(b"another\n".to_vec()));
}

fn canonical_short_reads_keep_the_rest() {
    let (master, slave) = pair();
    write(master, b"abcdef\nxyz\n").unwrap();
    assert_eq!(read_some(slave, 4), Ok(b"abcd".to_vec()));
    assert_eq!(read_some(slave, 100), Ok(b"ef\n".to_vec()));
    assert_eq!(read_some(slave, 3), Ok(b"xyz".to_vec()));
    assert_eq!(read_some(slave, 100), Ok(b"\n".to_vec()));
}

fn erase_word_and_kill() {
    let (master, slave) = pair();
    let line = |typed: &[u8]| {
        write(master, typed).unwrap();
        read_some(slave, 100).unwrap()
    };
    assert_eq!(line(b"abx\x7fc\n"), b"abc\n");
    assert_eq!(line(b"\x7f\x7fok\n"), b"ok\n", "nothing to erase");
    assert_eq!(line(b"one two\x17three\n"), b"one three\n");
    assert_eq!(line(b"wrong\x15right\n"), b"right\n");
    assert_eq!(line(b"lit\x16\x7feral\n"), b"lit\x7feral\n", "^V quotes");
}

fn end_of_file_character() {
    let (master, slave) = pair();
    without_echo(slave);
    write(master, b"\x04").unwrap();
    assert_eq!(read_some(slave, 100), Ok(vec![]), "on an empty line: end of file");
    write(master, b"part\x04").unwrap();
    assert_eq!(read_some(slave, 100), Ok(b"part".to_vec()), "in a line: it is handed over");
    write(master, b"more\n").unwrap();
    assert_eq!(read_some(slave, 100), Ok(b"more\n".to_vec()), "the terminal goes on");
}

fn echo_shows_what_is_typed() {
    let (master, slave) = pair();
    write(master, b"hello\n").unwrap();
    assert_eq!(read_exactly(master, 7), b"hello\r\n");
    without_echo(slave);
    write(master, b"secret\n").unwrap();
    assert_eq!(read_now(master), b"");
    change(slave, |settings| settings.local |= libc::ECHONL);
    write(master, b"secret\n").unwrap();
    assert_eq!(read_exactly(master, 2), b"\r\n", "ECHONL shows the newline alone");
}

fn echo_of_control_characters_and_erase() {
    let (master, _slave) = pair();
    write(master, b"\x01").unwrap();
    assert_eq!(read_exactly(master, 2), b"^A");
    write(master, b"\x7f").unwrap();
    assert_eq!(read_exactly(master, 6), b"\x08 \x08\x08 \x08", "both columns are wiped");
    write(master, b"ab\x7f").unwrap();
    assert_eq!(read_exactly(master, 5), b"ab\x08 \x08");
    write(master, b"\x1b").unwrap();
    assert_eq!(read_exactly(master, 2), b"^[");
}

fn input_translations() {
    let (master, slave) = pair();
    without_echo(slave);
    write(master, b"cr\r").unwrap();
    assert_eq!(read_some(slave, 100), Ok(b"cr\n".to_vec()), "ICRNL");
    change(slave, |settings| settings.input |= IGNCR);
    write(master, b"a\rb\n").unwrap();
    assert_eq!(read_some(slave, 100), Ok(b"ab\n".to_vec()), "IGNCR");
    make_raw(slave);
    change(slave, |settings| settings.input |= INLCR);
    write(master, b"a\nb\r").unwrap();
    assert_eq!(read_exactly(slave, 4), b"a\rb\r", "INLCR");
    change(slave, |settings| settings.input = ISTRIP);
    write(master, b"\xc1\xff").unwrap();
    assert_eq!(read_exactly(slave, 2), b"A\x7f", "ISTRIP");
}

fn output_translations() {
    let (master, slave) = pair();
    write(slave, b"a\nb\n").unwrap();
    assert_eq!(read_exactly(master, 6), b"a\r\nb\r\n");
    change(slave, |settings| settings.output &= !ONLCR);
    write(slave, b"a\n").unwrap();
    assert_eq!(read_exactly(master, 2), b"a\n");
    change(slave, |settings| settings.output |= libc::OCRNL);
    write(slave, b"a\r").unwrap();
    assert_eq!(read_exactly(master, 2), b"a\n");
    change(slave, |settings| settings.output &= !OPOST);
    write(slave, b"a\r\t\n").unwrap();
    assert_eq!(read_exactly(master, 4), b"a\r\t\n");
    change(slave, |settings| settings.output = OPOST | libc::XTABS);
    write(slave, b"\rab\tc").unwrap();
    assert_eq!(read_exactly(master, 10), b"\rab      c", "tabs to every eighth column");
}

fn raw_reads_byte_by_byte() {
    let (master, slave) = pair();
    make_raw(slave);
    let all: Vec<u8> = (0..=255).collect();
    write(master, &all).unwrap();
    assert_eq!(read_exactly(slave, 256), all);
    write(slave, &all).unwrap();
    assert_eq!(read_exactly(master, 256), all);
    let reader = fork(|| assert_eq!(read_some(slave, 100), Ok(b"x".to_vec())));
    wait_until_blocked(reader.pid);
    write(master, b"x").unwrap();
    reader.succeeds();
}

fn minimum_count_and_timer() {
    let (master, slave) = pair();
    make_raw(slave);
    change(slave, |settings| settings.characters[VMIN] = 5);
    let reader = fork(|| assert_eq!(read_some(slave, 100), Ok(b"abcdef".to_vec())));
    wait_until_blocked(reader.pid);
    write(master, b"abc").unwrap();
    assert_eq!(state_of(reader.pid).map(|state| state != b'Z'), Ok(true), "three are too few");
    wait_until_blocked(reader.pid);
    write(master, b"def").unwrap();
    reader.succeeds();
    // A shorter buffer is enough for less.
    let reader = fork(|| assert_eq!(read_some(slave, 2).map(|bytes| bytes.len()), Ok(2)));
    write(master, b"gh").unwrap();
    reader.succeeds();
}

fn zero_minimum_polls() {
    let (master, slave) = pair();
    make_raw(slave);
    change(slave, |settings| settings.characters[VMIN] = 0);
    assert_eq!(read_some(slave, 10), Ok(vec![]), "nothing there: zero at once");
    write(master, b"x").unwrap();
    assert_eq!(read_some(slave, 10), Ok(b"x".to_vec()));
    change(slave, |settings| settings.characters[VTIME] = 1);
    let before = monotonic();
    assert_eq!(read_some(slave, 10), Ok(vec![]));
    assert!(monotonic() - before >= 90_000_000, "a tenth of a second");
    let reader = fork(|| {
        let mut got = Vec::new();
        while got.is_empty() {
            got = read_some(slave, 10).unwrap();
        }
        assert_eq!(got, b"y");
    });
    write(master, b"y").unwrap();
    reader.succeeds();
}

fn interbyte_timer() {
    let (master, slave) = pair();
    make_raw(slave);
    change(slave, |settings| {
        settings.characters[VMIN] = 10;
        settings.characters[VTIME] = 1;
    });
    let reader = fork(|| assert_eq!(read_some(slave, 100), Ok(b"abc".to_vec())));
    wait_until_blocked(reader.pid);
    write(master, b"abc").unwrap();
    reader.succeeds(); // The timer starts with the first byte and ends the read.
}

fn switching_to_raw_keeps_typed_text() {
    let (master, slave) = pair();
    write(master, b"half a li").unwrap();
    assert_eq!(events_now(slave, POLLIN), 0);
    make_raw(slave);
    assert_eq!(read_exactly(slave, 9), b"half a li");
}

fn poll_knows_lines() {
    let (master, slave) = pair();
    assert_eq!(events_now(slave, POLLIN | POLLOUT), POLLOUT);
    assert_eq!(events_now(master, POLLIN | POLLOUT), POLLOUT);
    let poller = fork(|| assert_eq!(poll(&mut [pollfd(slave, POLLIN)], -1), Ok(1)));
    wait_until_blocked(poller.pid);
    write(master, b"abc").unwrap();
    assert!(matches!(state_of(poller.pid), Ok(b'S' | b'R')));
    write(master, b"\n").unwrap();
    poller.succeeds();
    assert_eq!(events_now(master, POLLIN), POLLIN, "the echo");
}

fn input_queue_counts() {
    let (master, slave) = pair();
    write(master, b"abc\nde").unwrap();
    wait_until(|| readable_bytes(slave) == 4);
    write(slave, b"12345").unwrap();
    let mut waiting = -1i32;
    ioctl(slave, libc::TIOCOUTQ, &mut waiting).unwrap();
    assert!(waiting >= 0);
    wait_until(|| readable_bytes(master) >= 5);
}

fn flush_discards() {
    let (master, slave) = pair();
    without_echo(slave);
    write(master, b"gone\n").unwrap();
    wait_until(|| events_now(slave, POLLIN) == POLLIN);
    ioctl(slave, libc::TCFLSH, libc::TCIFLUSH).unwrap();
    assert_eq!(events_now(slave, POLLIN), 0);
    write(master, b"kept\n").unwrap();
    assert_eq!(read_some(slave, 100), Ok(b"kept\n".to_vec()));
    assert_eq!(ioctl(slave, libc::TCFLSH, 77), Err(EINVAL));
    // TCSETSF flushes input on its way.
    write(master, b"gone\n").unwrap();
    wait_until(|| events_now(slave, POLLIN) == POLLIN);
    let same = settings(slave);
    ioctl(slave, libc::TCSETSF, &same).unwrap();
    assert_eq!(events_now(slave, POLLIN), 0);
}

fn settings_are_checked() {
    let (_master, slave) = pair();
    assert_eq!(ioctl(slave, libc::TCGETS, 8), Err(EFAULT));
    assert_eq!(ioctl(slave, libc::TCSETS, 8), Err(EFAULT));
    assert_eq!(ioctl(slave, 0x54ff, 0), Err(ENOTTY));
    let mut group = 0i32;
    assert_eq!(ioctl(slave, libc::TIOCGPGRP, &mut group), Err(ENOTTY), "it is nobody's controlling terminal");
    assert_eq!(ioctl(slave, libc::TIOCSPGRP, &getpid()), Err(ENOTTY));
}

fn slave_close_is_eio_on_the_master() {
    let (master, slave) = pair();
    write(slave, b"last words").unwrap();
    close(slave).unwrap();
    assert_eq!(read_some(master, 100), Ok(b"last words".to_vec()));
    assert_eq!(read(master, &mut [0]), Err(EIO));
    assert_eq!(events_now(master, POLLIN) & POLLHUP, POLLHUP);
    let (master, slave) = pair();
    let reader = fork(|| {
        close(slave).unwrap();
        assert_eq!(read(master, &mut [0]), Err(EIO));
    });
    wait_until_blocked(reader.pid);
    close(slave).unwrap();
    reader.succeeds();
}

fn slave_can_be_opened_again() {
    let (master, slave) = pair();
    close(slave).unwrap();
    assert_eq!(read(master, &mut [0]), Err(EIO));
    let again = open(&slave_path(master), libc::O_RDWR | libc::O_NOCTTY).unwrap();
    write(again, b"back").unwrap();
    assert_eq!(read_exactly(master, 4), b"back");
    without_echo(again);
    write(master, b"hello\n").unwrap();
    assert_eq!(read_some(again, 100), Ok(b"hello\n".to_vec()));
}

fn long_lines_are_limited() {
    let (master, slave) = pair();
    without_echo(slave);
    // A canonical line holds 4095 bytes and its newline; what is typed beyond is dropped.
    let writer = fork(|| {
        for _ in 0..50 {
            write(master, &[b'l'; 100]).unwrap();
        }
        write(master, b"\n").unwrap();
    });
    writer.succeeds();
    let line = read_some(slave, 10_000).unwrap();
    assert_eq!((line.len(), line.last()), (4096, Some(&b'\n')));
}

fn flow_control_characters() {
    let (master, slave) = pair();
    let probing = open(&slave_path(master), libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK).unwrap();
    write(master, b"\x13").unwrap();
    let mut passed = 0;
    wait_until(|| match write(probing, b"p") {
        Ok(count) => {
            passed += count; // Input is taken in the background: ^S may not have been seen yet.
            false
        }
        Err(errno) => errno == EAGAIN,
    });
    let writer = fork(|| assert_eq!(write(slave, b"held back"), Ok(9)));
    wait_until_blocked(writer.pid);
    assert_eq!(read_exactly(master, passed).len(), passed);
    assert_eq!(read_now(master), b"", "^S stops output");
    write(master, b"\x11").unwrap();
    writer.succeeds();
    assert_eq!(read_exactly(master, 9), b"held back");
    // TCXONC does the same by call.
    ioctl(slave, libc::TCXONC, libc::TCOOFF).unwrap();
    let writer = fork(|| assert_eq!(write(slave, b"again"), Ok(5)));
    wait_until_blocked(writer.pid);
    ioctl(slave, libc::TCXONC, libc::TCOON).unwrap();
    writer.succeeds();
    assert_eq!(read_exactly(master, 5), b"again");
}

fn flow_control_by_call() {
    let (master, slave) = pair();
    without_echo(slave);
    set_nonblocking(slave);
    let typed = |byte: u8| {
        // A line behind it shows that it has been seen.
        write(master, &[byte, b'x', b'\n']).unwrap();
        wait_until(|| events_now(slave, POLLIN) == POLLIN);
        read_some(slave, 9).unwrap();
    };
    let call = |action: i32| ioctl(slave, libc::TCXONC, action).unwrap();
    call(libc::TCOOFF);
    assert_eq!(write(slave, b"x"), Err(EAGAIN));
    assert_eq!(events_now(slave, POLLOUT), 0);
    typed(0x11);
    assert_eq!(write(slave, b"x"), Err(EAGAIN), "^Q does not release what a call holds");
    call(libc::TCOON);
    assert_eq!(write(slave, b"x"), Ok(1));
    typed(0x13);
    call(libc::TCOON);
    assert_eq!(write(slave, b"x"), Err(EAGAIN), "nor a call what ^S holds");
    change(slave, |settings| settings.input &= !IXON);
    assert_eq!(write(slave, b"y"), Ok(1), "without IXON there is no ^S");
    assert_eq!(read_exactly(master, 2), b"xy");
    call(libc::TCIOFF);
    call(libc::TCION);
    assert_eq!(read_exactly(master, 2), b"\x13\x11", "the other side is asked to stop and to go on");
    assert_eq!(ioctl(slave, libc::TCXONC, 4), Err(EINVAL));
}

fn held_output_keeps_its_echo() {
    let (master, slave) = pair();
    write(master, b"\x13abc\n").unwrap();
    wait_until(|| events_now(slave, POLLIN) == POLLIN);
    assert_eq!(read_now(master), b"");
    write(master, b"\x11").unwrap();
    assert_eq!(read_exactly(master, 5), b"abc\r\n");
}

fn partial_minimum() {
    let (master, slave) = pair();
    make_raw(slave);
    change(slave, |settings| settings.characters[VMIN] = 5);
    // What is there is answered to whoever does not wait, and to whom a signal interrupts.
    let other = open(&slave_path(master), libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK).unwrap();
    assert_eq!(read_some(other, 9), Err(EAGAIN));
    write(master, b"ab").unwrap();
    wait_until(|| readable_bytes(slave) == 2);
    assert_eq!(events_now(slave, POLLIN), 0, "too few to be called readable");
    assert_eq!(read_some(other, 9), Ok(b"ab".to_vec()));
    // Input is taken in the background: only what was seen to come can be seen to have gone to the reader.
    write(master, b"cd").unwrap();
    wait_until(|| readable_bytes(slave) == 2);
    let reader = fork(|| {
        catch(libc::SIGUSR1, 0);
        assert_eq!(read_some(slave, 9), Ok(b"cd".to_vec()));
    });
    wait_until(|| readable_bytes(slave) == 0);
    wait_until_blocked(reader.pid);
    reader.kill(libc::SIGUSR1);
    reader.succeeds();
}

fn master_write_to_a_full_terminal() {
    let (master, slave) = pair();
    make_raw(slave);
    set_nonblocking(master);
    let mut written = 0;
    while let Ok(count) = write(master, &[b'f'; 1000]) {
        written += count;
        assert!(written < 10_000_000, "a terminal takes no end of input");
    }
    // What was written moves on in the background, which may make room again.
    wait_until(|| write(master, b"f").inspect(|count| written += count) == Err(EAGAIN));
    let mut got = 0;
    while got < written {
        got += read_some(slave, 4096).unwrap().len();
    }
    assert_eq!((got, read_now(slave).len()), (written, 0), "not a byte is lost");
}

fn interrupted_terminal_read() {
    for (flags, expected) in [(0, Err(EINTR)), (libc::SA_RESTART, Ok(b"z\n".to_vec()))] {
        let (master, slave) = pair();
        let reader = fork(|| {
            catch(libc::SIGUSR1, flags);
            assert_eq!(read_some(slave, 10), expected);
        });
        wait_until_blocked(reader.pid);
        reader.kill(libc::SIGUSR1);
        wait_until_signal_taken(reader.pid, libc::SIGUSR1);
        write(master, b"z\n").unwrap();
        reader.succeeds();
    }
}

fn two_readers_share_lines() {
    let (master, slave) = pair();
    let (from, to) = pipe();
    let readers: Vec<Child> = (0..2)
        .map(|_| {
            fork(|| {
                loop {
                    let line = read_some(slave, 100).unwrap();
                    assert_eq!(line.last(), Some(&b'\n'), "half a line: {line:?}");
                    if line == b"end\n" {
                        return;
                    }
                    write(to, &line).unwrap();
                }
            })
        })
        .collect();
    without_echo(slave);
    for number in 10..60 {
        write(master, format!("{number}\n").as_bytes()).unwrap();
    }
    let mut lines: Vec<String> =
        String::from_utf8(read_exactly(from, 150)).unwrap().lines().map(str::to_owned).collect();
    lines.sort_unstable();
    assert_eq!(lines, (10..60).map(|number| number.to_string()).collect::<Vec<_>>());
    write(master, b"end\n").unwrap();
    write(master, b"end\n").unwrap();
    readers.iter().for_each(Child::succeeds);
}

fn many_pairs() {
    let pairs: Vec<(Fd, Fd)> = (0..20).map(|_| pair()).collect();
    for (number, (_, slave)) in pairs.iter().enumerate() {
        write(*slave, format!("{number:02}").as_bytes()).unwrap();
    }
    for (number, (master, _)) in pairs.iter().enumerate() {
        assert_eq!(read_exactly(*master, 2), format!("{number:02}").as_bytes());
    }
}
