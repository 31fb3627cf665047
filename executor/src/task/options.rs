//! What a task is made with: name, key, CPUs, flags.

use bitflags::bitflags;

use crate::cpu_set::CpuSet;

/// Length of a task's name in bytes, as Linux's `comm` without the NUL.
pub const NAME_LENGTH: usize = 15;

bitflags! {
    /// What others want of a task.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct TaskFlags: u32 {
        /// An interruptible wait ends with [`Reason::Signal`].
        const INTERRUPT = 1 << 0;
    }
}

/// What is given with a future to make a task of it.
#[derive(Clone, Copy, Debug)]
pub struct TaskOptions<'a> {
    pub(crate) name: &'a str,
    pub(super) key: Option<u64>,
    pub(super) affinity: CpuSet,
    pub(super) daemon: bool,
    cpu: Option<usize>,
}

impl<'a> TaskOptions<'a> {
    /// A task of this name (cut to [`NAME_LENGTH`] bytes) that may run anywhere.
    #[must_use]
    pub const fn new(name: &'a str) -> Self {
        TaskOptions { name, key: None, affinity: CpuSet::ALL, daemon: false, cpu: None }
    }

    /// Its stable key, in place of a hash of its parent's key and which child it is.
    #[must_use]
    pub const fn key(mut self, key: u64) -> Self {
        self.key = Some(key);
        self
    }

    /// The CPUs it may run on.
    #[must_use]
    pub const fn affinity(mut self, affinity: CpuSet) -> Self {
        self.affinity = affinity;
        self
    }

    /// A kernel service: an otherwise idle machine with only daemons left is not deadlocked.
    #[must_use]
    pub const fn daemon(mut self) -> Self {
        self.daemon = true;
        self
    }

    /// The CPU to start on, if it may run there.
    #[must_use]
    pub const fn on_cpu(mut self, cpu: usize) -> Self {
        self.cpu = Some(cpu);
        self
    }

    pub(crate) fn wanted_cpu(&self) -> Option<usize> {
        self.cpu
    }
}

#[derive(Clone, Copy, Default)]
pub(super) struct Name {
    bytes: [u8; NAME_LENGTH],
    length: u8,
}

impl Name {
    /// The name, cut at a character.
    pub(super) fn new(text: &str) -> Name {
        let mut length = text.len().min(NAME_LENGTH);
        while !text.is_char_boundary(length) {
            length -= 1;
        }
        let mut name = Name { bytes: [0; NAME_LENGTH], length: length as u8 };
        for (place, byte) in name.bytes.iter_mut().zip(text.bytes().take(length)) {
            *place = byte;
        }
        name
    }

    /// The name.
    pub(super) fn text(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}
