//! `guest-tests`: the guest suite as one static executable; see `--help`.
#![no_main]

/// Program entry. The C `main` is used instead of Rust's so that cases start with the signal
/// dispositions the kernel gave (Rust's runtime ignores SIGPIPE and handles SIGSEGV).
#[unsafe(no_mangle)]
pub extern "C" fn main(_argc: i32, _argv: *const *const libc::c_char) -> i32 {
    tests::run(std::env::args_os().skip(1).collect())
}
