//! What it costs to be observed: objects that come and go, a row of a list, an event. Only Kairos has them;
//! elsewhere they are 0.

use super::Operation;
use super::meter::{Meter, call, sure, syscall};

const fn operation(name: &'static str, measure: fn(&Meter) -> u64) -> Operation {
    Operation { group: "observe", name, measure }
}

pub(super) const OPERATIONS: &[Operation] = &[
    operation("port_register_unregister", |meter| objects(meter, PORT)),
    operation("channel_register_unregister", |meter| objects(meter, CHANNEL)),
    operation("handles_row", handles_row),
    operation("objects_row", objects_row),
    operation("trace_event", trace_event),
];

const CLOSE: i64 = 4600;
const CHANNEL: i64 = 4602;
const PORT: i64 = 4605;

/// Objects of a kind, which `create` makes, and their handles.
struct Objects {
    handles: [i32; 2],
    count: usize,
}

impl Objects {
    fn create(create: i64) -> Option<Objects> {
        let mut handles = [-1i32; 2];
        let [one, two] = &mut handles;
        let (one, two) = (std::ptr::from_mut(one) as usize, std::ptr::from_mut(two) as usize);
        let count = if create == CHANNEL { 2 } else { 1 };
        // A port's second argument is none.
        let second = if create == CHANNEL { two } else { 0 };
        (syscall(create, [one, second, 0, 0, 0, 0]) == 0).then_some(Objects { handles, count })
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        for handle in &self.handles[..self.count] {
            syscall(CLOSE, [*handle as usize, 0, 0, 0, 0, 0]);
        }
    }
}

/// To make objects and drop them: with two entries to the kernel for each handle or three for a channel.
fn objects(meter: &Meter, create: i64) -> u64 {
    if Objects::create(create).is_none() { 0 } else { meter.each(500, || Objects::create(create)) }
}

/// The file at `path`, read whole from its start: what one reading costs, and how many bytes it has.
fn reading(meter: &Meter, path: &core::ffi::CStr) -> Option<(u64, usize)> {
    let file = call!(SYS_open, path.as_ptr(), libc::O_RDONLY, 0);
    if file < 0 {
        return None;
    }
    let mut text = vec![0u8; 64 << 10];
    let (start, size) = (text.as_mut_ptr(), text.len());
    let read = || sure(call!(SYS_pread64, file, start, size, 0));
    let bytes = read();
    let cost = meter.each(20, read);
    call!(SYS_close, file);
    Some((cost, bytes))
}

/// What a row more costs a reading of `path`: ports are made for it.
fn row(meter: &Meter, path: &core::ffi::CStr) -> u64 {
    const ROWS: usize = 100;
    let Some((before, _)) = reading(meter, path) else { return 0 };
    let more: Vec<_> = (0..ROWS).map_while(|_| Objects::create(PORT)).collect();
    let after = reading(meter, path).map_or(0, |(cost, _)| cost);
    after.saturating_sub(before) / more.len().max(1) as u64
}

fn handles_row(meter: &Meter) -> u64 {
    row(meter, c"/proc/self/handles")
}

fn objects_row(meter: &Meter) -> u64 {
    row(meter, c"/sys/ipc/objects/page.0.512")
}

/// Half of what a call costs more when its entry and its exit are recorded.
fn trace_event(meter: &Meter) -> u64 {
    let enable = call!(SYS_open, c"/sys/kernel/tracepoint/enable".as_ptr(), libc::O_WRONLY, 0);
    if enable < 0 {
        return 0;
    }
    let record = |classes: &str| sure(call!(SYS_write, enable, classes.as_ptr(), classes.len()));
    let cost = |classes| {
        record(classes);
        meter.each(500, || call!(SYS_getppid))
    };
    let (with, without) = (cost("syscall"), cost("none"));
    call!(SYS_close, enable);
    with.saturating_sub(without) / 2
}
