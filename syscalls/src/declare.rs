//! How a syscall is declared: once, beside its handler.
//!
//! ```ignore
//! declare! {
//!     sync   39 => getpid();
//!     async   0 => read(fd: Fd, buffer: Pointer, count: usize) [restart] after try_read;
//!     context 15 => rt_sigreturn();
//! }
//!
//! fn getpid(thread: &Thread) -> Result<u64> { ... }
//! async fn read(thread: &Thread, fd: Fd, buffer: Pointer, count: usize) -> Result<u64> { ... }
//! async fn rt_sigreturn(thread: &Thread, context: &mut UserContext) -> Result<u64> { ... }
//! ```
//!
//! From the declaration come the dispatch entry, the decoding of each argument with Linux's width,
//! the `strace` rendering and the compatibility table. The three kinds differ in what they may do:
//!
//! - `sync` answers at once, without a future;
//! - `async` may wait; its future lives in one slot of the thread's task;
//! - `context` also reads or replaces the thread's registers (fork, execve, sigreturn); its value still
//!   goes to `rax`, so sigreturn answers the `rax` that it restored.
//!
//! A `sync` handler that writes to user memory does so last, with [`Thread::put`]: when the page is not there,
//! it is called again. An `async` one may name, with `after`, a handler that tries first, without a future: it
//! answers `None` when it did nothing and the call has to wait, or is not worth an exception. One that waits very
//! often is named with `resuming` instead: it answers with a [`Tried`], and leaves the rest of a call that has to
//! wait in a slot, so that the call does not start over.
//!
//! The word in brackets says what a signal does to a handler that answers `EINTR`: `[restart]` as
//! `SA_RESTART` says, `[nohand]` restarts only when no handler runs, none lets `EINTR` stand
//! (`signal(7)`).

use core::fmt;

use base::{Errno, Result};
use stackfuture::StackFuture;

use crate::families::channel_wait::Rest;
use crate::machine::{Registers, UserContext};
use crate::thread::Thread;

/// Bytes of the slot in which a waiting syscall's future lives. A larger future is boxed.
pub const SLOT_BYTES: usize = 640;

/// The future of a syscall, in place.
pub type SyscallFuture<'a> = StackFuture<'a, Result<u64>, SLOT_BYTES>;

/// The six arguments, as the registers held them.
pub type Arguments = [u64; 6];

/// One line of the syscall table.
pub struct Syscall {
    /// Number in `rax`.
    pub number: u32,
    /// Name, as in the man page.
    pub name: &'static str,
    /// Names and renderers of the arguments, for strace and the documentation.
    pub arguments: &'static [Parameter],
    /// Which arguments name descriptors, a bit for each.
    pub descriptors: u8,
    /// What `EINTR` turns into.
    pub interrupted: Errno,
    /// The handler.
    pub entry: Entry,
}

/// Name and rendering of one argument.
pub struct Parameter {
    /// Name in the handler's signature.
    pub name: &'static str,
    /// Writes the register's value as a person would want to read it.
    pub render: fn(u64, &mut dyn fmt::Write) -> fmt::Result,
}

/// A try before the future.
pub type Attempt = fn(&Thread, &Registers, &mut Rest) -> Tried;

/// What a try before the future came to.
pub enum Tried {
    /// The answer.
    Done(Result<u64>),
    /// Nothing was done: the call starts over, with its future.
    Nothing,
    /// All that is left of the call is to wait: its slot has the rest.
    Waits,
}

impl From<Option<Result<u64>>> for Tried {
    #[inline]
    fn from(tried: Option<Result<u64>>) -> Tried {
        tried.map_or(Tried::Nothing, Tried::Done)
    }
}

/// A handler, by what it may do.
pub enum Entry {
    /// Answers at once.
    Sync(fn(&Thread, &Registers) -> Result<u64>),
    /// May wait.
    Async {
        /// The try before the future.
        attempt: Option<Attempt>,
        /// Makes the future.
        start: for<'a> fn(&'a Thread, Arguments) -> SyscallFuture<'a>,
    },
    /// May wait, and reaches the registers.
    Context(for<'a> fn(&'a Thread, &'a mut UserContext, Arguments) -> SyscallFuture<'a>),
}

/// A typed argument: how its register is read.
pub trait Argument: Sized {
    /// It names a descriptor.
    const IS_FD: bool = false;

    /// Takes the bits that Linux takes, and ignores those that it ignores.
    fn decode(register: u64) -> Self;

    /// Writes the register for strace.
    ///
    /// # Errors
    ///
    /// As the writer.
    fn render(register: u64, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{register:#x}")
    }
}

macro_rules! integer_arguments {
    ($($integer:ty),*) => {
        $(impl Argument for $integer {
            #[allow(clippy::cast_possible_truncation, reason = "Linux reads only this many bits")]
            fn decode(register: u64) -> Self {
                register as $integer
            }
            fn render(register: u64, out: &mut dyn fmt::Write) -> fmt::Result {
                write!(out, "{}", <$integer as Argument>::decode(register))
            }
        })*
    };
}

integer_arguments!(i32, u32, i64, u64, usize, u16);

/// A file descriptor number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fd(pub i32);

impl Argument for Fd {
    const IS_FD: bool = true;

    fn decode(register: u64) -> Self {
        Fd(i32::decode(register))
    }
    fn render(register: u64, out: &mut dyn fmt::Write) -> fmt::Result {
        match i32::decode(register) {
            -100 => out.write_str("AT_FDCWD"),
            fd => write!(out, "{fd}"),
        }
    }
}

/// An address in user memory; 0 is NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pointer(pub u64);

impl Pointer {
    /// True for NULL.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.0 == 0
    }
}

impl Argument for Pointer {
    fn decode(register: u64) -> Self {
        Pointer(register)
    }
    fn render(register: u64, out: &mut dyn fmt::Write) -> fmt::Result {
        if register == 0 { out.write_str("NULL") } else { write!(out, "{register:#x}") }
    }
}

/// A bit for each argument that names a descriptor.
#[must_use]
pub const fn mask(are_descriptors: &[bool]) -> u8 {
    let (mut mask, mut index) = (0, 0);
    while index < are_descriptors.len() {
        mask |= (are_descriptors[index] as u8) << index;
        index += 1;
    }
    mask
}

/// Declares the syscalls of one family; see the module's documentation.
#[macro_export]
macro_rules! declare {
    ($($kind:ident $number:literal => $name:ident ( $($argument:ident : $type:ty),* $(,)? ) $([$restart:ident])? $(after $attempt:ident)? $(resuming $begin:ident)? ;)*) => {
        /// The syscalls of this family.
        pub const FAMILY: &[$crate::declare::Syscall] = &[$(
            $crate::declare::Syscall {
                number: $number,
                name: stringify!($name),
                arguments: &[$($crate::declare::Parameter {
                    name: stringify!($argument),
                    render: <$type as $crate::declare::Argument>::render,
                }),*],
                descriptors: $crate::declare::mask(&[$(<$type as $crate::declare::Argument>::IS_FD),*]),
                interrupted: $crate::declare!(@interrupted $($restart)?),
                entry: $crate::declare!(@entry $kind $name ( $($argument : $type),* ) $(after $attempt)? $(resuming $begin)?),
            },
        )*];
    };
    (@interrupted) => { ::base::Errno::EINTR };
    (@interrupted restart) => { ::base::Errno::ERESTARTSYS };
    (@interrupted nohand) => { ::base::Errno::ERESTARTNOHAND };
    (@entry sync $name:ident ( $($argument:ident : $type:ty),* )) => {{
        #[allow(unused_variables, reason = "a call may have no arguments")]
        fn entry(thread: &$crate::thread::Thread, registers: &$crate::machine::Registers) -> ::base::Result<u64> {
            let [$($argument,)* ..] = registers.arguments();
            $name(thread, $(<$type as $crate::declare::Argument>::decode($argument)),*)
        }
        $crate::declare::Entry::Sync(entry)
    }};
    (@attempt ( $($argument:ident : $type:ty),* )) => { None };
    (@attempt ( $($argument:ident : $type:ty),* ) after $attempt:ident) => {{
        fn attempt(
            thread: &$crate::thread::Thread,
            registers: &$crate::machine::Registers,
            _: &mut $crate::families::channel_wait::Rest,
        ) -> $crate::declare::Tried {
            let [$($argument,)* ..] = registers.arguments();
            $attempt(thread, $(<$type as $crate::declare::Argument>::decode($argument)),*).into()
        }
        Some(attempt)
    }};
    (@attempt ( $($argument:ident : $type:ty),* ) resuming $attempt:ident) => {{
        fn attempt(
            thread: &$crate::thread::Thread,
            registers: &$crate::machine::Registers,
            rest: &mut $crate::families::channel_wait::Rest,
        ) -> $crate::declare::Tried {
            let [$($argument,)* ..] = registers.arguments();
            $attempt(thread, rest, $(<$type as $crate::declare::Argument>::decode($argument)),*)
        }
        Some(attempt)
    }};
    (@entry async $name:ident ( $($argument:ident : $type:ty),* ) $($way:ident $attempt:ident)?) => {{
        #[allow(unused_variables, reason = "a call may have no arguments")]
        fn entry(
            thread: &$crate::thread::Thread,
            arguments: $crate::declare::Arguments,
        ) -> $crate::declare::SyscallFuture<'_> {
            let [$($argument,)* ..] = arguments;
            $crate::declare::SyscallFuture::from_or_box(
                $name(thread, $(<$type as $crate::declare::Argument>::decode($argument)),*)
            )
        }
        $crate::declare::Entry::Async {
            attempt: $crate::declare!(@attempt ( $($argument : $type),* ) $($way $attempt)?),
            start: entry,
        }
    }};
    (@entry context $name:ident ( $($argument:ident : $type:ty),* )) => {{
        #[allow(unused_variables, reason = "a call may have no arguments")]
        fn entry<'a>(
            thread: &'a $crate::thread::Thread,
            context: &'a mut $crate::machine::UserContext,
            arguments: $crate::declare::Arguments,
        ) -> $crate::declare::SyscallFuture<'a> {
            let [$($argument,)* ..] = arguments;
            $crate::declare::SyscallFuture::from_or_box(
                $name(thread, context, $(<$type as $crate::declare::Argument>::decode($argument)),*)
            )
        }
        $crate::declare::Entry::Context(entry)
    }};
}

impl Syscall {
    /// What a handler's error becomes on the way out: `EINTR` as the declaration says.
    #[must_use]
    pub fn settle(&self, error: Errno) -> Errno {
        match error {
            Errno::EINTR => self.interrupted,
            Errno::EINTR_NO_RESTART => Errno::EINTR,
            error => error,
        }
    }
}
