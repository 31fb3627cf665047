//! Pid 1 when Debian's kernel plays the referee: `kairos-init` does its usual work as a child, and
//! how that ended is reported as Kairos would, by a record on the debug console (port 0xE9) and a
//! write to the debug-exit port.

use std::arch::asm;
use std::ffi::CStr;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::ptr;

const DEBUG_CONSOLE: u16 = 0xe9;
const DEBUG_EXIT: u16 = 0xf4;
/// What tells QEMU of a clean end.
const CLEAN_END: u8 = 0x10;

fn main() {
    mount(c"proc", c"/proc");
    mount(c"devtmpfs", c"/dev");
    let command_line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    if command_line.split_whitespace().any(|word| word == "console=raw") {
        make_console_raw();
    }
    // SAFETY: plain integers; pid 1 is root.
    let permitted =
        unsafe { libc::ioperm(DEBUG_CONSOLE.into(), 1, 1) | libc::ioperm(DEBUG_EXIT.into(), 1, 1) };
    assert_eq!(permitted, 0, "no access to the ports: {}", std::io::Error::last_os_error());
    report("kairos-console: ready\n");
    let status = Command::new("/init").status().expect("starting /init");
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    drain_console();
    report(&format!("kairos-result: {{\"kind\":\"exit\",\"status\":{code}}}\n"));
    write_port(DEBUG_EXIT, CLEAN_END);
}

fn mount(kind: &CStr, target: &CStr) {
    // SAFETY: NUL-terminated strings; a failure leaves the mount out.
    unsafe { libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, ptr::null()) };
}

/// The console's settings under `console=raw`: bytes go through as they are, lines stay lines.
fn make_console_raw() {
    // SAFETY: termios is plain data that tcgetattr fills.
    unsafe {
        let console = libc::open(c"/dev/console".as_ptr(), libc::O_RDWR | libc::O_NOCTTY);
        let mut settings: libc::termios = std::mem::zeroed();
        if libc::tcgetattr(console, &mut settings) == 0 {
            settings.c_lflag &= !libc::ECHO;
            settings.c_oflag &= !libc::OPOST;
            settings.c_iflag &= !libc::ICRNL;
            libc::tcsetattr(console, libc::TCSANOW, &settings);
        }
        // Left open: the last close would reset what was set.
    }
}

/// Waits until the last byte has left the serial port.
fn drain_console() {
    // SAFETY: plain descriptor calls.
    unsafe {
        let console = libc::open(c"/dev/console".as_ptr(), libc::O_RDWR | libc::O_NOCTTY);
        libc::tcdrain(console);
    }
}

fn report(text: &str) {
    text.bytes().for_each(|byte| write_port(DEBUG_CONSOLE, byte));
}

fn write_port(port: u16, byte: u8) {
    // SAFETY: ioperm opened exactly these ports, and writing them touches no memory.
    unsafe { asm!("out dx, al", in("dx") port, in("al") byte, options(nomem, nostack, preserves_flags)) };
}
