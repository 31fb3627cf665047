//! The alternate signal stack. Source: `sigaltstack(2)`.

use base::{Errno, Result};

/// `ss_flags`: the thread runs on the stack now.
pub const SS_ONSTACK: u32 = 1;
/// `ss_flags`: there is no alternate stack.
pub const SS_DISABLE: u32 = 2;
/// `ss_flags`: the stack is given up while a handler runs on it.
pub const SS_AUTODISARM: u32 = 1 << 31;
/// Smallest stack that is accepted, the kernel's `MINSIGSTKSZ`.
pub const MINIMUM_BYTES: u64 = 2048;
/// Bytes of a `stack_t`.
pub const STACK_T_BYTES: usize = 24;

/// A thread's alternate stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AltStack {
    /// Lowest address.
    pub base: u64,
    /// Bytes; 0 when there is none.
    pub size: u64,
    /// `SS_DISABLE` and `SS_AUTODISARM`, as they were set.
    pub flags: u32,
}

impl Default for AltStack {
    fn default() -> Self {
        AltStack { base: 0, size: 0, flags: SS_DISABLE }
    }
}

impl AltStack {
    /// True when `stack_pointer` lies on it. A stack that disarms itself counts as left.
    #[must_use]
    pub fn contains(&self, stack_pointer: u64) -> bool {
        self.flags & SS_AUTODISARM == 0 && self.holds(stack_pointer)
    }

    /// True when the address belongs to the stack's range.
    #[must_use]
    pub fn holds(&self, stack_pointer: u64) -> bool {
        stack_pointer > self.base && stack_pointer - self.base <= self.size
    }

    /// True when there is a stack to switch to.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        self.size != 0
    }

    /// First address past it.
    #[must_use]
    pub fn top(&self) -> u64 {
        self.base.wrapping_add(self.size)
    }

    /// The `stack_t` that sigaltstack(2) reports, seen from `stack_pointer`.
    #[must_use]
    pub fn to_bytes(&self, stack_pointer: u64) -> [u8; STACK_T_BYTES] {
        let place = match () {
            () if self.size == 0 => SS_DISABLE,
            () if self.contains(stack_pointer) => SS_ONSTACK,
            () => 0,
        };
        let mut out = [0; STACK_T_BYTES];
        out[..8].copy_from_slice(&self.base.to_le_bytes());
        out[8..12].copy_from_slice(&(place | self.flags & SS_AUTODISARM).to_le_bytes());
        out[16..].copy_from_slice(&self.size.to_le_bytes());
        out
    }

    /// The stack after a program asked for `request`.
    ///
    /// # Errors
    ///
    /// `EPERM` while the thread runs on the current one, `EINVAL` for unknown flags, `ENOMEM` when the
    /// new one is too small; in this order.
    pub fn replace(&self, request: &[u8; STACK_T_BYTES], stack_pointer: u64) -> Result<AltStack> {
        let word = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&request[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        #[allow(clippy::cast_possible_truncation, reason = "ss_flags is an int")]
        let flags = word(8) as u32;
        if self.contains(stack_pointer) {
            return Err(Errno::EPERM);
        }
        match flags & !SS_AUTODISARM {
            SS_DISABLE => Ok(AltStack { base: 0, size: 0, flags }),
            0 | SS_ONSTACK if word(16) < MINIMUM_BYTES => Err(Errno::ENOMEM),
            0 | SS_ONSTACK => Ok(AltStack { base: word(0), size: word(16), flags: flags & SS_AUTODISARM }),
            _ => Err(Errno::EINVAL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(base: u64, flags: u32, size: u64) -> [u8; STACK_T_BYTES] {
        let mut out = [0; STACK_T_BYTES];
        out[..8].copy_from_slice(&base.to_le_bytes());
        out[8..12].copy_from_slice(&flags.to_le_bytes());
        out[16..].copy_from_slice(&size.to_le_bytes());
        out
    }

    #[test]
    fn a_stack_in_use_cannot_be_replaced() {
        let stack = AltStack::default().replace(&request(0x1000, 0, 0x4000), 0).unwrap();
        assert_eq!(stack.replace(&request(0, SS_DISABLE, 0), 0x2000), Err(Errno::EPERM));
        assert_eq!(stack.replace(&request(0, 8, 0), 0x9000), Err(Errno::EINVAL));
        assert_eq!(stack.replace(&request(0x1000, 0, 2047), 0x9000), Err(Errno::ENOMEM));
        assert!(stack.replace(&request(0, SS_DISABLE, 0), 0x9000).is_ok());
    }
}
