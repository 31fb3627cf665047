//! Device registers behind I/O ports.

use core::marker::PhantomData;

use x86_64::instructions::port::{Port, PortRead, PortWrite};

/// One I/O port of a device that never writes to memory, so that reading and writing it is safe.
#[derive(Debug)]
pub struct IoPort<T> {
    number: u16,
    _width: PhantomData<T>,
}

impl<T: PortRead + PortWrite> IoPort<T> {
    /// The port `number`.
    ///
    /// # Safety
    ///
    /// Whatever answers there, no value written to it changes memory or the machine's protection.
    #[must_use]
    pub const unsafe fn new(number: u16) -> Self {
        IoPort { number, _width: PhantomData }
    }

    /// Reads the port; all ones when nobody answers.
    #[inline]
    pub fn read(&self) -> T {
        // SAFETY: the promise of `new`.
        unsafe { Port::new(self.number).read() }
    }

    /// Writes the port.
    #[inline]
    pub fn write(&self, value: T) {
        // SAFETY: the promise of `new`.
        unsafe { Port::new(self.number).write(value) }
    }
}
