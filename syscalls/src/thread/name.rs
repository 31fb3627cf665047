//! A thread's name: at most 15 bytes, as `prctl(PR_SET_NAME)` keeps them.

use base::sync::{LockClass, SpinLock};

/// Bytes with the final NUL.
pub const NAME_BYTES: usize = 16;

/// The name, which anybody may read and the process's threads may write.
#[derive(Debug)]
pub struct Name(SpinLock<[u8; NAME_BYTES]>);

impl Default for Name {
    fn default() -> Self {
        Name::new([0; NAME_BYTES])
    }
}

impl Name {
    /// This name, padded with NULs; the last byte is one.
    #[must_use]
    pub fn new(padded: [u8; NAME_BYTES]) -> Name {
        Name(SpinLock::new(LockClass::Process, padded))
    }

    /// The name, padded with NULs; the last byte is one.
    #[must_use]
    pub fn get(&self) -> [u8; NAME_BYTES] {
        *self.0.lock()
    }

    /// Sets the name to the bytes before the first NUL, cut to 15.
    pub fn set(&self, name: &[u8]) {
        let mut padded = [0; NAME_BYTES];
        for (slot, &byte) in padded[..NAME_BYTES - 1].iter_mut().zip(name.iter().take_while(|&&b| b != 0)) {
            *slot = byte;
        }
        *self.0.lock() = padded;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_and_a_nul_ends_them() {
        let name = Name::default();
        name.set(b"a-name-that-is-too-long");
        assert_eq!(&name.get(), b"a-name-that-is-\0");
        name.set(b"ab\0cd");
        assert_eq!(&name.get()[..3], b"ab\0");
    }
}
