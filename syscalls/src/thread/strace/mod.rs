//! `strace=1`: every system call as a line of the kernel's log, in the manner of `strace(1)`.
//!
//! ```text
//!   7 openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3
//!   7 read(0, <unfinished ...>
//!   7 <... read resumed>"hello\n", 4096) = 6
//! ```
//!
//! The name and the arguments come from the call's declaration; [`shape`] says by their names what they are, and
//! [`render`] reads what they point at. A thread that nobody watches pays for one look at its attention word.

mod names;
mod render;
mod shape;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};

use base::sync::atomic::{AtomicBool, Ordering};
use base::{Errno, Result};

use super::Thread;
use super::attention::Reasons;
use super::dispatch::{Call, answer, dispatch, go_on};
use super::drive::Drive;
use crate::declare::{Arguments, Syscall};
use crate::families::channel_wait::Rest;
use crate::machine::UserContext;
use crate::process::ending::ExitStatus;
use crate::signal::SigInfo;
use crate::table;
use shape::Shape;

static ON: AtomicBool = AtomicBool::new(false);

/// Traces every thread that is made from now on.
pub fn enable() {
    ON.store(true, Ordering::Relaxed);
}

/// Whether new threads are traced.
#[must_use]
pub fn is_enabled() -> bool {
    ON.load(Ordering::Relaxed)
}

fn is_traced(thread: &Thread) -> bool {
    thread.attention().watched().contains(Reasons::STRACE)
}

/// Makes the call in the registers, and writes it down. `None` when the thread was killed meanwhile.
///
/// Dropping the future drops the call in flight, with what that leaves behind.
pub(super) async fn call(thread: &Thread, context: &mut UserContext) -> Option<Result<u64>> {
    let (number, arguments) = (context.registers.rax, context.registers.arguments());
    let begun = pin!(Line::begin(thread, number, arguments));
    let mut line = Drive::new(thread, begun).saving(context).await?;
    let mut rest = Rest::default();
    let result = match answer(thread, &context.registers, &mut rest) {
        Call::Done(result) => Some(result),
        Call::Await(syscall) => {
            let future = pin!(dispatch(thread, context, syscall));
            Noticed { future, line: &mut line }.await
        }
        Call::Wait(syscall) => {
            let future = pin!(go_on(thread, context, syscall, &mut rest));
            Noticed { future, line: &mut line }.await
        }
    };
    let ended = pin!(line.end(thread, result));
    Drive::new(thread, ended).saving(context).await?;
    result
}

/// A signal that is delivered, or acts by default.
pub fn signal(thread: &Thread, info: &SigInfo) {
    if is_traced(thread) {
        say(thread, &alloc::format!("--- {} {{si_code={}}} ---", info.signal.name(), info.code));
    }
}

/// The end of a thread. `status` is its process's, when it is the last one.
pub fn ended(thread: &Thread, status: Option<ExitStatus>) {
    if !is_traced(thread) {
        return;
    }
    let text = match status {
        Some(ExitStatus::Signal { signal, .. }) => alloc::format!("+++ killed by {} +++", signal.name()),
        Some(ExitStatus::Code(code)) => alloc::format!("+++ exited with {code} +++"),
        None => String::from("+++ exited +++"),
    };
    say(thread, &text);
}

fn say(thread: &Thread, text: &str) {
    log::info!(target: "strace", "{} {text}", thread.tid());
}

/// A call that is being written down.
struct Line {
    tid: u32,
    syscall: Option<&'static Syscall>,
    number: u64,
    arguments: Arguments,
    /// Those that are known; `None` for what the call itself will fill in.
    texts: Vec<Option<String>>,
    /// How many of them have been said already, in the line of a call that waits.
    said: Option<usize>,
}

impl Line {
    /// Writes the name and the arguments that are known beforehand.
    async fn begin(thread: &Thread, number: u64, arguments: Arguments) -> Line {
        let syscall = table::lookup(number);
        let mut texts = Vec::new();
        let count = syscall.map_or(0, |syscall| shape::shown(syscall, &arguments));
        if syscall.is_none() {
            texts.extend(arguments.iter().map(|argument| Some(alloc::format!("{argument:#x}"))));
        }
        for index in 0..count {
            texts.push(render::before(thread, syscall, index, &arguments).await);
        }
        Line { tid: thread.tid(), syscall, number, arguments, texts, said: None }
    }

    fn name(&self) -> String {
        match self.syscall {
            Some(syscall) => String::from(syscall.name),
            None => alloc::format!("syscall_{:#x}", self.number),
        }
    }

    /// The call waits: says what is known so far.
    fn waits(&mut self) {
        if self.said.is_some() {
            return;
        }
        let known = self.texts.iter().take_while(|text| text.is_some()).count();
        let mut line = self.name();
        line.push('(');
        for text in self.texts.iter().take(known).flatten() {
            line.push_str(text);
            line.push_str(", ");
        }
        self.said = Some(known);
        log::info!(target: "strace", "{} {line}<unfinished ...>", self.tid);
    }

    /// Writes what the call filled in, and its answer. `None` says that it was dropped.
    async fn end(mut self, thread: &Thread, result: Option<Result<u64>>) {
        let answer = result.unwrap_or(Err(Errno::EINTR));
        for index in 0..self.texts.len() {
            if self.texts.get(index).is_some_and(Option::is_none) {
                let text = render::after(thread, self.syscall, index, &self.arguments, answer).await;
                if let Some(place) = self.texts.get_mut(index) {
                    *place = Some(text);
                }
            }
        }
        let mut line = match self.said {
            Some(_) => alloc::format!("<... {} resumed>", self.name()),
            None => self.name() + "(",
        };
        let mut separator = "";
        for text in self.texts.iter().skip(self.said.unwrap_or(0)).flatten() {
            line.push_str(separator);
            line.push_str(text);
            separator = ", ";
        }
        line.push_str(") = ");
        match result {
            None => line.push('?'),
            Some(result) => self.write_answer(&mut line, result),
        }
        log::info!(target: "strace", "{} {line}", self.tid);
    }

    fn write_answer(&self, line: &mut String, result: Result<u64>) {
        let name = self.syscall.map_or("", |syscall| syscall.name);
        // A `String` takes everything.
        let _ = match result {
            Ok(_) if matches!(name, "exit" | "exit_group") => write!(line, "?"),
            Ok(value) => match shape::answer(name) {
                Shape::Hex => write!(line, "{value:#x}"),
                Shape::Octal => write!(line, "{value:#05o}"),
                _ => write!(line, "{}", value.cast_signed()),
            },
            Err(error) if error.number() >= Errno::ERESTARTSYS.number() => write!(line, "? {error}"),
            Err(error) => write!(line, "-1 {error}"),
        };
    }
}

/// A call that says so when it waits.
struct Noticed<'a, 'f, F> {
    future: Pin<&'f mut F>,
    line: &'a mut Line,
}

impl<F: Future> Future for Noticed<'_, '_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let polled = this.future.as_mut().poll(context);
        if polled.is_pending() {
            this.line.waits();
            // What the line took is this task's too.
            let _ = executor::poll_ends();
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_declared_argument_has_a_shape() {
        for syscall in crate::families::ALL.iter().copied().flatten() {
            assert!(shape::shown(syscall, &[0; 6]) <= syscall.arguments.len(), "{}", syscall.name);
        }
    }
}
