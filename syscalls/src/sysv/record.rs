//! C structures, field by field.

use alloc::vec::Vec;

/// A structure that is being written: fields in their order, without padding that is not asked for.
#[derive(Debug, Default)]
pub struct Record(Vec<u8>);

macro_rules! fields {
    ($($(#[$doc:meta])* $integer:ident)*) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $integer(mut self, value: $integer) -> Record {
            self.0.extend_from_slice(&value.to_le_bytes());
            self
        })*
    };
}

impl Record {
    fields! {
        /// A field of two bytes.
        u16
        /// A field of four bytes.
        u32
        /// A signed field of four bytes.
        i32
        /// A field of eight bytes.
        u64
    }

    /// An `int` that holds a limit; one that is too large is shown as the largest.
    #[must_use]
    pub fn limit(self, value: u64) -> Record {
        self.i32(i32::try_from(value).unwrap_or(i32::MAX))
    }

    /// Padding, or fields that are always zero.
    #[must_use]
    pub fn zeros(mut self, bytes: usize) -> Record {
        self.0.resize(self.0.len() + bytes, 0);
        self
    }

    /// What has been written.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
