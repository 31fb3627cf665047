//! What the system calls itself. Source: `uname(2)`. Programs look at the release, so it is a Linux one.

use base::sync::{LockClass, SpinLock};

/// Bytes of one field with its NUL.
pub const FIELD_BYTES: usize = 65;
/// Bytes of a `struct utsname`.
pub const NAME_BYTES: usize = 6 * FIELD_BYTES;

/// Name of the system whose programs run here.
pub const SYSTEM: &str = "Linux";
/// The Linux that programs find here, and whose kernel it is.
pub const RELEASE: &str = "6.1.0-kairos";
/// The build.
pub const VERSION: &str = "#1 SMP PREEMPT kairos 0.1.0";
/// The processor.
pub const MACHINE: &str = "x86_64";

struct Names {
    host: [u8; FIELD_BYTES],
    domain: [u8; FIELD_BYTES],
}

static NAMES: SpinLock<Names> =
    SpinLock::new(LockClass::Process, Names { host: padded(b"kairos"), domain: padded(b"(none)") });

/// The bytes with NULs behind them; what does not fit is cut.
const fn padded(text: &[u8]) -> [u8; FIELD_BYTES] {
    let mut field = [0; FIELD_BYTES];
    let mut at = 0;
    while at < text.len() && at < FIELD_BYTES - 1 {
        field[at] = text[at];
        at += 1;
    }
    field
}

/// Sets the host name.
pub fn set_host(name: &[u8]) {
    NAMES.lock().host = padded(name);
}

/// Sets the NIS domain name.
pub fn set_domain(name: &[u8]) {
    NAMES.lock().domain = padded(name);
}

/// Host and domain name, each with NULs behind it: `/proc/sys/kernel/hostname`.
#[must_use]
pub fn names() -> ([u8; FIELD_BYTES], [u8; FIELD_BYTES]) {
    let names = NAMES.lock();
    (names.host, names.domain)
}

/// The `struct utsname`.
#[must_use]
pub fn encode() -> [u8; NAME_BYTES] {
    let (host, domain) = names();
    let fields = [
        padded(SYSTEM.as_bytes()),
        host,
        padded(RELEASE.as_bytes()),
        padded(VERSION.as_bytes()),
        padded(MACHINE.as_bytes()),
        domain,
    ];
    let mut bytes = [0; NAME_BYTES];
    for (place, field) in bytes.chunks_exact_mut(FIELD_BYTES).zip(fields) {
        place.copy_from_slice(&field);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_and_always_ends() {
        let field = padded(&[b'x'; 100]);
        assert_eq!((field[63], field[64]), (b'x', 0));
        assert_eq!(&encode()[..6], b"Linux\0");
        assert_eq!(&encode()[4 * FIELD_BYTES..][..7], b"x86_64\0");
    }
}
