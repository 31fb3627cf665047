//! The first serial port (16550A): the console's bytes, and nothing else.
//!
//! Input comes by interrupt into a bounded queue. When the queue is full the port is left alone, so that its FIFO and
//! then the other side hold the rest: nothing is lost. Output goes to the port as long as it takes bytes; when
//! it does not, the caller keeps the rest and the interrupt says when to go on. Nobody spins for the port.
//!
//! Source: National Semiconductor PC16550D data sheet.

use base::sync::{LockClass, SpinLock};
use conquer_once::spin::OnceCell;
use crossbeam_queue::ArrayQueue;

use super::port::IoPort;
use super::{io_apic, local_apic};

/// ISA line of the first serial port.
const LINE: u8 = 4;
/// Bytes of input that may wait for a reader.
const INPUT: usize = 4096;

struct Ports {
    data: IoPort<u8>,
    interrupts: IoPort<u8>,
    fifo: IoPort<u8>,
    line: IoPort<u8>,
    modem: IoPort<u8>,
    status: IoPort<u8>,
    scratch: IoPort<u8>,
}

const fn port(offset: u16) -> IoPort<u8> {
    // SAFETY: the registers of a serial port reach no memory.
    unsafe { IoPort::new(0x3f8 + offset) }
}

const PORTS: Ports = Ports {
    data: port(0),
    interrupts: port(1),
    fifo: port(2),
    line: port(3),
    modem: port(4),
    status: port(5),
    scratch: port(7),
};

const EIGHT_BITS: u8 = 3;
const DIVISOR_ACCESS: u8 = 0x80;
/// FIFOs on and empty, an interrupt from the first byte on.
const FIFOS: u8 = 7;
/// DTR, RTS, and the output that lets interrupts through.
const MODEM: u8 = 0x0b;
const ON_INPUT: u8 = 1;
const ON_OUTPUT: u8 = 2;
const HAS_INPUT: u8 = 1;
const TAKES_OUTPUT: u8 = 0x20;
/// Bytes that the empty output FIFO takes.
const FIFO: usize = 16;

/// Whom to tell, from the interrupt: wake, nothing more.
#[derive(Clone, Copy, Debug)]
pub struct Hooks {
    /// Bytes have come.
    pub input: fn(),
    /// [`write`] will take bytes again after it did not.
    pub output: fn(),
}

/// Which interrupts are on.
struct Enabled(u8);

impl Enabled {
    fn set(&mut self, on: u8, off: u8) {
        let wanted = self.0 & !off | on;
        if wanted != self.0 {
            self.0 = wanted;
            PORTS.interrupts.write(wanted);
        }
    }
}

static ENABLED: SpinLock<Enabled> = SpinLock::new(LockClass::Device, Enabled(0));
static QUEUE: OnceCell<ArrayQueue<u8>> = OnceCell::uninit();
static HOOKS: OnceCell<Hooks> = OnceCell::uninit();

/// Sets the port up: 115200 baud, 8 bits, no parity, input interrupts to this CPU. False when there is no port, or
/// its line leads nowhere.
pub(super) fn init() -> bool {
    PORTS.scratch.write(0x5a);
    if PORTS.scratch.read() != 0x5a {
        return false;
    }
    QUEUE.init_once(|| ArrayQueue::new(INPUT));
    PORTS.interrupts.write(0);
    PORTS.line.write(DIVISOR_ACCESS | EIGHT_BITS);
    PORTS.data.write(1);
    PORTS.interrupts.write(0);
    PORTS.line.write(EIGHT_BITS);
    PORTS.fifo.write(FIFOS);
    PORTS.modem.write(MODEM);
    let routed = io_apic::route_isa_line(LINE, local_apic::id(), on_interrupt);
    ENABLED.lock().set(ON_INPUT, 0);
    routed
}

/// Sets whom to tell. The first call wins; tells at once if bytes have come before.
pub fn set_hooks(hooks: Hooks) {
    HOOKS.init_once(|| hooks);
    if QUEUE.get().is_some_and(|queue| !queue.is_empty()) {
        (hooks.input)();
    }
}

/// Gives bytes to the port, as many as it takes now; returns how many. After a short count, the output hook tells
/// when to go on.
#[must_use]
pub fn write(bytes: &[u8]) -> usize {
    if QUEUE.get().is_none() {
        // There is no port: the bytes go nowhere, as they would on a line that nobody listens to.
        return bytes.len();
    }
    let mut enabled = ENABLED.lock();
    let mut done = 0;
    for part in bytes.chunks(FIFO) {
        if PORTS.status.read() & TAKES_OUTPUT == 0 {
            enabled.set(ON_OUTPUT, 0);
            break;
        }
        for &byte in part {
            PORTS.data.write(byte);
        }
        done += part.len();
    }
    done
}

/// Takes bytes of input, as many as there are and fit; returns how many.
#[must_use]
pub fn read(into: &mut [u8]) -> usize {
    let Some(queue) = QUEUE.get() else { return 0 };
    let mut done = 0;
    while done < into.len() {
        let Some(byte) = queue.pop() else { break };
        into[done] = byte;
        done += 1;
    }
    if done > 0 {
        // Harmless when it is on already; needed after the queue was full.
        ENABLED.lock().set(ON_INPUT, 0);
    }
    done
}

/// The interrupt: moves input into the queue and tells whom it concerns.
fn on_interrupt() {
    let Some(queue) = QUEUE.get() else { return };
    let mut arrived = false;
    let mut output = false;
    {
        let mut enabled = ENABLED.lock();
        // The line is edge-triggered: whatever asks for the interrupt must be gone at the end.
        while PORTS.status.read() & HAS_INPUT != 0 {
            if queue.is_full() {
                enabled.set(0, ON_INPUT);
                break;
            }
            // Only this handler pushes, and it saw room.
            arrived |= queue.push(PORTS.data.read()).is_ok();
        }
        if enabled.0 & ON_OUTPUT != 0 && PORTS.status.read() & TAKES_OUTPUT != 0 {
            enabled.set(0, ON_OUTPUT);
            output = true;
        }
    }
    let Some(hooks) = HOOKS.get() else { return };
    if arrived {
        (hooks.input)();
    }
    if output {
        (hooks.output)();
    }
}
