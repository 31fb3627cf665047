//! The console: the first serial port as a terminal.
//!
//! Interrupts only wake the console's task, which moves typed bytes to the terminal, as many as it has room for,
//! and tells it when the port takes output again.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::time::Duration;

use base::machine;
use base::sync::Once;
use base::sync::atomic::{AtomicBool, Ordering};
use executor::pollwait::{Events, Reason, Wait, WaitKind, WaitSource};
use executor::{Executor, TaskOptions};
use fs::dev::terminals;
use fs::tty::termios::{Input, Local, Output, Termios};
use fs::tty::{Driver, Tty};

use crate::boot;
use crate::drivers::serial::{self, Hooks};

/// Bytes that the task moves at a time.
const STEP: usize = 256;
/// How long the end of a run waits for whoever reads the console.
const LAST_OUTPUT: Duration = Duration::from_secs(10);

static CHANGES: WaitSource = WaitSource::new(WaitKind::Work, 0);
static TTY: Once<Arc<Tty>> = Once::new();
/// Set while the port does not take output; then its interrupt is awaited.
static BLOCKED: AtomicBool = AtomicBool::new(false);
static OUTPUT_READY: AtomicBool = AtomicBool::new(false);

struct SerialLine;

impl Driver for SerialLine {
    fn write(&self, bytes: &[u8]) -> usize {
        let taken = serial::write(bytes);
        if taken < bytes.len() {
            block();
        }
        taken
    }

    fn input_taken(&self) {
        CHANGES.wake_one(Events::empty(), Reason::Data);
    }
}

/// Notes that the port does not take output: whoever reads the other end may bring the machine to life again.
fn block() {
    if !BLOCKED.swap(true, Ordering::AcqRel)
        && let Some(executor) = boot::executor()
    {
        executor.outside_source_attach();
    }
}

fn unblock() {
    if BLOCKED.swap(false, Ordering::AcqRel)
        && let Some(executor) = boot::executor()
    {
        executor.outside_source_detach();
    }
}

/// Makes the serial port the console and starts its task. With `raw`, bytes pass as they are: nothing is echoed and
/// no carriage return is added or removed. With `listens`, somebody may type, so an idle machine is never stuck.
pub fn start(executor: &'static Executor, raw: bool, listens: bool) {
    if listens {
        executor.outside_source_attach();
    }
    let mut termios = Termios::default();
    if raw {
        termios.input -= Input::ICRNL | Input::IXON;
        termios.output -= Output::OPOST;
        termios.local -= Local::ECHO;
    }
    let tty = TTY.call_once(|| Tty::new(terminals::SERIAL, Box::new(SerialLine), termios));
    terminals::set_console(tty.clone());
    serial::set_hooks(Hooks { input: on_input, output: on_output });
    executor.spawn(TaskOptions::new("console").daemon(), serve(tty));
}

fn on_input() {
    CHANGES.wake_one(Events::empty(), Reason::Data);
}

fn on_output() {
    OUTPUT_READY.store(true, Ordering::Release);
    CHANGES.wake_one(Events::empty(), Reason::Data);
}

/// Moves bytes for ever.
///
/// Dropped midway: nothing is lost, but nobody moves bytes any more.
async fn serve(tty: &'static Arc<Tty>) {
    loop {
        let seen = CHANGES.observe();
        if OUTPUT_READY.swap(false, Ordering::AcqRel) {
            unblock();
            tty.output_ready();
            // A writer whose mark came after the interrupt that it is about: everything went out just now.
            unblock();
            if tty.pending_output() > 0 {
                block();
            }
        }
        let mut typed = [0; STEP];
        let room = tty.input_room().min(STEP);
        let count = serial::read(typed.get_mut(..room).unwrap_or_default());
        if count > 0 {
            tty.receive(typed.get(..count).unwrap_or_default());
            executor::yield_point().await;
        } else {
            CHANGES.wait(seen, Wait::uninterruptible()).await;
        }
    }
}

/// Gives the port what the terminal still holds, before the machine ends. Waits for a reader only so long.
pub fn finish() {
    let Some(tty) = TTY.get() else { return };
    let deadline = machine::now() + LAST_OUTPUT;
    while tty.pending_output() > 0 && machine::now() < deadline {
        tty.output_ready();
    }
}
