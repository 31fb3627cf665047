//! Recording: the switches, the rings of this kernel, and who is at work.

use super::area::Area;
use super::event::{Classes, Event, EventKind, Identity};
use super::ring::{Line, Ring};
use crate::sync::Once;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::{current, machine, points};

/// False in a kernel that is built without trace points.
pub const COMPILED_IN: bool = !cfg!(feature = "no-points");

/// The classes that are recorded; none before there are rings.
static CLASSES: AtomicU32 = AtomicU32::new(0);
static AREA: Once<Area<'static>> = Once::new();
static NEXT_MESSAGE: AtomicU64 = AtomicU64::new(1);

/// Takes zeroed `lines` for the rings of `cpus` CPUs and records `classes` from now on. The first call wins.
pub fn install(lines: &'static [Line], cpus: usize, classes: Classes) {
    AREA.call_once(|| Area::format(lines, cpus));
    set_classes(classes);
}

/// The rings; `None` before [`install`].
#[must_use]
pub fn area() -> Option<&'static Area<'static>> {
    AREA.get()
}

/// The classes that are recorded.
#[must_use]
pub fn classes() -> Classes {
    Classes::from_bits_truncate(CLASSES.load(Ordering::Relaxed))
}

/// Records `classes` and no others from now on.
pub fn set_classes(classes: Classes) {
    CLASSES.store(classes.bits(), Ordering::Relaxed);
    if classes.intersects(Classes::FREQUENT) {
        points::go_live(points::Key::Trace);
    }
}

/// True when one of `classes` is recorded.
#[inline(always)]
#[must_use]
pub fn is_on(classes: Classes) -> bool {
    let may_be = if Classes::FREQUENT.contains(classes) {
        points::are_live::<{ points::TRACE }>()
    } else {
        COMPILED_IN
    };
    may_be && CLASSES.load(Ordering::Relaxed) & classes.bits() != 0
}

/// A trace point: records an event of `kind` with the flags and arguments that `make` gives, when its class is
/// recorded.
#[inline(always)]
pub fn event(kind: EventKind, make: impl FnOnce() -> (u32, [u64; 3])) {
    if is_on(kind.class()) {
        let (flags, arguments) = make();
        record(kind, flags, arguments);
    }
}

/// Records an event of a class that is recorded.
#[cold]
fn record(kind: EventKind, flags: u32, arguments: [u64; 3]) {
    let Some(ring) = area().and_then(|area| area.cpus().get(machine::cpu_id())) else { return };
    put(ring, kind, flags, current::with(Identity::of).unwrap_or(Identity::NONE), arguments);
}

/// A number for a message, by which its send and its receive are found together. 0 is none.
#[must_use]
pub fn message_number() -> u64 {
    NEXT_MESSAGE.fetch_add(1, Ordering::Relaxed)
}

fn put(ring: &Ring<'_>, kind: EventKind, flags: u32, by: Identity, arguments: [u64; 3]) {
    let cpu = u16::try_from(machine::cpu_id()).unwrap_or(u16::MAX);
    let time = machine::installed().map_or(0, |machine| machine.now().as_nanos());
    let event = Event { time, seq: 0, cpu, kind: kind as u16, flags, by, arguments };
    // One that was given up is counted by its ring.
    let _ = ring.push(event.payload());
}

/// Whose numbers a word of the vocabulary explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Vocabulary {
    /// System calls.
    Syscall = 1,
    /// Kinds of waits.
    WaitKind = 2,
    /// Fault points.
    FaultPoint = 3,
}

/// Says what `number` means, for whoever reads the trace without this kernel.
pub fn define(vocabulary: Vocabulary, number: u32, word: &str) {
    let Some(ring) = area().and_then(Area::words) else { return };
    put(ring, EventKind::Word, number << 8 | vocabulary as u32, Identity::NONE, packed(word.as_bytes()));
}

/// Says what a task is called.
pub fn name_task(who: Identity, name: &[u8]) {
    let Some(ring) = area().and_then(Area::names) else { return };
    put(ring, EventKind::TaskName, 0, who, packed(name));
}

/// The first 24 bytes.
fn packed(text: &[u8]) -> [u64; 3] {
    let mut bytes = [0; 24];
    for (place, byte) in bytes.iter_mut().zip(text) {
        *place = *byte;
    }
    let (words, _) = bytes.as_chunks::<8>();
    core::array::from_fn(|index| words.get(index).map_or(0, |word| u64::from_le_bytes(*word)))
}

impl Event {
    /// The text in the arguments of a name or a word.
    #[must_use]
    pub fn text(&self) -> alloc::string::String {
        let bytes: alloc::vec::Vec<u8> = self.arguments.iter().flat_map(|word| word.to_le_bytes()).collect();
        let length = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        alloc::string::String::from_utf8_lossy(bytes.get(..length).unwrap_or_default()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_its_words() {
        let mut event = Event::from_payload(1, [0; 7]);
        for name in ["", "kairos-init", "a name of twenty-four by", "a name that is longer than that"] {
            event.arguments = packed(name.as_bytes());
            assert_eq!(event.text(), name[..name.len().min(24)]);
        }
    }
}
