//! The host's terminal: raw mode while a guest owns it, and getting it back on every way out.

use std::io;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, Ordering};

const STDIN: RawFd = libc::STDIN_FILENO;

/// The settings to go back to; null while the terminal is as we found it. A signal handler reads
/// it, so the allocation is leaked and never freed.
static SAVED: AtomicPtr<libc::termios> = AtomicPtr::new(ptr::null_mut());

/// While this lives the terminal on stdin passes every key on as a byte.
pub(crate) struct RawMode(());

impl RawMode {
    /// Switches the terminal on stdin to raw mode. Signals that end xtask, panics and dropping the
    /// value switch back.
    pub(crate) fn enter() -> io::Result<Self> {
        let mut settings = std::mem::MaybeUninit::<libc::termios>::uninit();
        // SAFETY: tcgetattr fills the structure when it succeeds.
        if unsafe { libc::tcgetattr(STDIN, settings.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: filled above.
        let saved = unsafe { settings.assume_init() };
        let mut raw = saved;
        // SAFETY: a valid termios.
        unsafe { libc::cfmakeraw(&mut raw) };
        restore_on_the_way_out();
        SAVED.store(Box::into_raw(Box::new(saved)), Ordering::Release);
        // SAFETY: a valid termios.
        if unsafe { libc::tcsetattr(STDIN, libc::TCSADRAIN, &raw) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(()))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal its old settings back. Async-signal-safe; does nothing the second time.
pub(crate) fn restore() {
    let saved = SAVED.swap(ptr::null_mut(), Ordering::AcqRel);
    if !saved.is_null() {
        // SAFETY: `saved` points to a leaked, valid termios.
        unsafe { libc::tcsetattr(STDIN, libc::TCSANOW, saved) };
    }
}

extern "C" fn restore_and_die(signal: libc::c_int) {
    restore();
    // SAFETY: both calls are async-signal-safe; the default action ends the process.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

fn restore_on_the_way_out() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
            let handler = restore_and_die as extern "C" fn(libc::c_int);
            // SAFETY: the handler touches one atomic and makes async-signal-safe calls.
            unsafe { libc::signal(signal, handler as libc::sighandler_t) };
        }
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            report(info);
        }));
    });
}

/// Columns and rows of the terminal on stdin, if it has a size.
pub(crate) fn size() -> Option<(u16, u16)> {
    // SAFETY: winsize is plain integers, for which zero is valid.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: TIOCGWINSZ fills the structure it is given.
    let result = unsafe { libc::ioctl(STDIN, libc::TIOCGWINSZ, &mut size) };
    (result == 0 && size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}
