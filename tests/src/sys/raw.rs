//! The system call instruction.

use super::{Errno, Sys};
use std::arch::asm;
use std::ffi::CStr;

/// A value that can be an argument of a system call: integers are widened as C would widen
/// them (signed ones by their sign), references and pointers become addresses.
pub(crate) trait Argument {
    /// The register's content.
    fn register(self) -> usize;
}

macro_rules! integers {
    ($($integer:ty)*) => { $(
        impl Argument for $integer {
            fn register(self) -> usize { self as usize }
        }
    )* };
}
integers!(u8 i32 u32 i64 u64 isize usize);

impl<T: ?Sized> Argument for *const T {
    fn register(self) -> usize {
        self.cast::<u8>() as usize
    }
}

impl<T: ?Sized> Argument for *mut T {
    fn register(self) -> usize {
        self.cast::<u8>() as usize
    }
}

impl<T> Argument for &T {
    fn register(self) -> usize {
        std::ptr::from_ref(self) as usize
    }
}

impl<T> Argument for &mut T {
    fn register(self) -> usize {
        std::ptr::from_mut(self) as usize
    }
}

impl Argument for &CStr {
    fn register(self) -> usize {
        self.as_ptr() as usize
    }
}

/// Calls the kernel. Missing arguments are zero.
pub(crate) fn call(number: i64, arguments: &[usize]) -> Sys<usize> {
    let at = |index: usize| arguments.get(index).copied().unwrap_or(0);
    let mut result = number;
    // SAFETY: the kernel keeps every register but rax, rcx and r11. What it does to memory is
    // the caller's business: see the head of `sys`.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") result,
            in("rdi") at(0),
            in("rsi") at(1),
            in("rdx") at(2),
            in("r10") at(3),
            in("r8") at(4),
            in("r9") at(5),
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    if (-4095..0).contains(&result) { Err(Errno(-result as i32)) } else { Ok(result as usize) }
}

/// `syscall!(SYS_read, fd, buffer.as_mut_ptr(), len)`: a raw call, `Sys<usize>`.
macro_rules! syscall {
    ($number:ident $(, $argument:expr)* $(,)?) => {
        $crate::sys::call(libc::$number, &[$($crate::sys::Argument::register($argument)),*])
    };
}

/// All-zero value of a C structure.
pub(crate) fn zeroed<T: Copy>() -> T {
    // SAFETY: used for the plain C structures of the kernel's interface only, for which all
    // zero bytes are a value.
    unsafe { std::mem::zeroed() }
}

/// Throws a result away on purpose.
pub(crate) fn discard<T>(_result: T) {}
