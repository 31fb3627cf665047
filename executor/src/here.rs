//! Which CPU of which executor runs this code.
//!
//! In the kernel there is one executor and the machine knows the CPU. On the host several executors
//! may run at once, each with threads for CPUs, so the answer is kept by the thread.

use crate::cpu::Cpu;

#[cfg(all(any(test, feature = "host"), not(shuttle)))]
mod place {
    use super::Cpu;
    use core::cell::Cell;

    std::thread_local!(static HERE: Cell<Option<&'static Cpu>> = const { Cell::new(None) });

    #[inline]
    pub(super) fn get() -> Option<&'static Cpu> {
        HERE.with(Cell::get)
    }

    pub(super) fn set(cpu: Option<&'static Cpu>) {
        HERE.with(|here| here.set(cpu));
    }
}

/// In a model each of its threads, which take turns on one of the host's.
#[cfg(shuttle)]
mod place {
    use super::Cpu;
    use base::sync::{MODEL_THREADS, model_thread};
    use core::cell::Cell;

    std::thread_local!(
        static HERE: [Cell<Option<&'static Cpu>>; MODEL_THREADS] =
            const { [const { Cell::new(None) }; MODEL_THREADS] }
    );

    pub(super) fn get() -> Option<&'static Cpu> {
        HERE.with(|here| here[model_thread()].get())
    }

    pub(super) fn set(cpu: Option<&'static Cpu>) {
        HERE.with(|here| here[model_thread()].set(cpu));
    }
}

#[cfg(not(any(shuttle, test, feature = "host")))]
mod place {
    use super::Cpu;
    use base::sync::atomic::{AtomicPtr, Ordering};
    use core::ptr;

    unsafe extern "Rust" {
        /// A word of the CPU that runs this code, null at first, that is the executor's alone. Defined by the kernel.
        safe fn kairos_executor_word() -> &'static AtomicPtr<()>;
    }

    #[inline]
    pub(super) fn get() -> Option<&'static Cpu> {
        let cpu = kairos_executor_word().load(Ordering::Relaxed).cast::<Cpu>();
        // SAFETY: the word is null or what `set` stored, which lives for ever.
        unsafe { cpu.as_ref() }
    }

    pub(super) fn set(cpu: Option<&'static Cpu>) {
        if let Some(cpu) = cpu {
            kairos_executor_word().store(ptr::from_ref(cpu).cast_mut().cast(), Ordering::Relaxed);
        }
    }
}

static FIRST: base::sync::Once<&'static Cpu> = base::sync::Once::new();

/// The CPU that runs this code; nothing on a thread that is none, or before it entered its loop.
#[inline]
pub(crate) fn this() -> Option<&'static Cpu> {
    place::get()
}

/// The CPU that runs this code, or else the first CPU of the first executor.
///
/// # Panics
///
/// Before there is an executor.
pub(crate) fn this_or_first() -> &'static Cpu {
    this().or_else(|| FIRST.get().copied()).expect("an executor exists before timers are armed")
}

/// Remembers the first CPU of the first executor.
pub(crate) fn remember_first(cpu: &'static Cpu) {
    FIRST.call_once(|| cpu);
    #[cfg(any(test, feature = "host"))]
    keep_reachable(cpu);
}

/// Executors live for ever; where tests make many, this keeps Miri from taking them for leaks.
#[cfg(any(test, feature = "host"))]
fn keep_reachable(cpu: &'static Cpu) {
    static ALL: std::sync::Mutex<std::vec::Vec<&'static Cpu>> = std::sync::Mutex::new(std::vec::Vec::new());
    ALL.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(cpu);
}

/// While it lives, this thread is that CPU.
pub(crate) struct Entered(());

/// Makes this thread (in the kernel: this CPU, for ever) `cpu`.
pub(crate) fn enter(cpu: &'static Cpu) -> Entered {
    place::set(Some(cpu));
    Entered(())
}

impl Drop for Entered {
    fn drop(&mut self) {
        place::set(None);
    }
}
