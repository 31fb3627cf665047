//! Events as rows of text: the columns of `/sys/kernel/tracepoint`, which programs read, and JSON.
//!
//! Times are in ticks of 10 ms there, as these columns always were; the binary records and the JSON have
//! nanoseconds.

use core::fmt::{self, Write};

use super::event::{Event, EventKind, halves};
use super::{capability, channel};

/// Nanoseconds of a tick.
pub const TICK: u64 = 10_000_000;

/// Flag of a block that has a deadline, in [`EventKind::WaitBlock`].
const WITH_DEADLINE: u32 = 1;
/// Flag bits of [`EventKind::WaitEpoll`] whose first argument is a deadline.
const EPOLL_DEADLINE: u32 = 0x4 | 0x10;
/// Flags of [`EventKind::WaitFutex`].
const FUTEX_WAITV: u32 = 2;
const FUTEX_END: u32 = 1 << 31;

/// The text files, each with its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Blocks and wakes.
    Wait,
    /// The same, with epoll, descriptors and futexes.
    WaitCore,
    /// Ends of channels.
    Channel,
    /// Guards of capabilities.
    Capability,
}

impl Table {
    /// The lines above the rows.
    #[must_use]
    pub const fn header(self) -> &'static str {
        match self {
            Table::Wait | Table::WaitCore => "# ticks cpu seq pid event flags arg0 arg1\n",
            Table::Channel => {
                "# schema=trace_ipc_channel_v1\n\
                 # ticks cpu seq pid event flags version op wake self_state peer_state self_id peer_id arg1\n"
            }
            Table::Capability => {
                "# schema=trace_ipc_cap_v1\n\
                 # ticks cpu seq pid event flags version op cap_id arg1\n\
                 # commit_epoch_mismatch arg1=(expected_epoch_low32<<32)|current_epoch_low32\n"
            }
        }
    }

    /// True when an event has a row in this table.
    #[must_use]
    pub fn shows(self, event: &Event) -> bool {
        use EventKind::{IpcCap, IpcChannel, WaitBlock, WaitEpoll, WaitFdEvent, WaitFutex, WaitWake};
        let kinds: &[EventKind] = match self {
            Table::Wait => &[WaitBlock, WaitWake],
            Table::WaitCore => &[WaitBlock, WaitWake, WaitEpoll, WaitFdEvent, WaitFutex],
            Table::Channel => &[IpcChannel],
            Table::Capability => &[IpcCap],
        };
        kinds.iter().any(|kind| *kind as u16 == event.kind)
    }

    /// Writes the row of an event. User addresses are shown with `addresses` only.
    ///
    /// # Errors
    ///
    /// As the writer.
    pub fn row(self, out: &mut dyn Write, event: &Event, addresses: bool) -> fmt::Result {
        let Event { time, seq, cpu, flags, by, .. } = event;
        let name = EventKind::from_number(event.kind).map_or("unknown", EventKind::name);
        write!(out, "{} {cpu} {seq} {} {name} 0x{flags:08x}", time / TICK, by.pid)?;
        let [first, second, _] = event.arguments;
        match self {
            Table::Wait | Table::WaitCore => {
                let [first, second] = in_columns(event, addresses);
                writeln!(out, " {first:#x} {second:#x}")
            }
            Table::Channel => {
                let fields = channel::Fields::of(*flags);
                let (own_id, peer_id) = halves(first);
                writeln!(
                    out,
                    " {} {} {} {} {} {own_id} {peer_id} {second:#x}",
                    fields.version,
                    channel::Op::name_of(fields.op),
                    channel::Wake::name_of(fields.wake),
                    channel::State::name_of(fields.own),
                    channel::State::name_of(fields.peer),
                )
            }
            Table::Capability => {
                let (version, op) = capability::fields(*flags);
                writeln!(out, " {version} {} {first:#x} {second:#x}", capability::Op::name_of(op))
            }
        }
    }
}

/// The first two arguments as the columns have them: deadlines in ticks, addresses perhaps hidden.
fn in_columns(event: &Event, addresses: bool) -> [u64; 2] {
    let [first, second, _] = event.arguments;
    let ticks = |deadline: u64| deadline.div_ceil(TICK);
    match EventKind::from_number(event.kind) {
        Some(EventKind::WaitBlock) => {
            [if event.flags & WITH_DEADLINE != 0 { ticks(first) } else { 0 }, second]
        }
        Some(EventKind::WaitEpoll) if event.flags & EPOLL_DEADLINE != 0 => [ticks(first), second],
        Some(EventKind::WaitFutex) => {
            let is_address = event.flags & FUTEX_WAITV == 0;
            let first = if is_address && !addresses { 0 } else { first };
            [first, if event.flags & FUTEX_END == 0 { ticks(second) } else { second }]
        }
        _ => [first, second],
    }
}

/// Writes an event as one line of JSON, with nanoseconds.
///
/// # Errors
///
/// As the writer.
pub fn json(out: &mut dyn Write, event: &Event) -> fmt::Result {
    let Event { time, seq, cpu, kind, flags, by, arguments: [first, second, third] } = event;
    let name = match EventKind::from_number(*kind) {
        Some(kind) => kind.name(),
        None => "lost",
    };
    writeln!(
        out,
        "{{\"time\":{time},\"cpu\":{cpu},\"seq\":{seq},\"task\":{},\"pid\":{},\"tid\":{},\"event\":\"{name}\",\
         \"kind\":{kind},\"flags\":{flags},\"args\":[{first},{second},{third}]}}",
        by.task, by.pid, by.tid
    )
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::trace::event::{Identity, pair};

    fn event(kind: EventKind, flags: u32, arguments: [u64; 3]) -> Event {
        let by = Identity { task: 9, pid: 17, tid: 18 };
        Event { time: 905_000_000_001, seq: 88, cpu: 1, kind: kind as u16, flags, by, arguments }
    }

    fn row(table: Table, event: &Event, addresses: bool) -> String {
        let mut text = String::new();
        table.row(&mut text, event, addresses).unwrap();
        text
    }

    #[test]
    fn a_channel_has_the_published_columns() {
        let event = event(EventKind::IpcChannel, 0x1001_3303, [pair(211, 212), 0, 0]);
        assert_eq!(
            row(Table::Channel, &event, true),
            "90500 1 88 17 ipc_channel 0x10013303 1 close_local close closed open 211 212 0x0\n"
        );
        assert!(Table::Channel.shows(&event) && !Table::WaitCore.shows(&event));
    }

    #[test]
    fn a_capability_is_shown_in_hexadecimal() {
        let flags = capability::flags(capability::Op::CommitEpochMismatch);
        let event = event(EventKind::IpcCap, flags, [pair(3, 4), pair(1, 2), 0]);
        assert_eq!(
            row(Table::Capability, &event, true),
            "90500 1 88 17 ipc_cap 0x10000005 1 commit_epoch_mismatch 0x300000004 0x100000002\n"
        );
    }

    #[test]
    fn deadlines_are_ticks_and_addresses_can_be_hidden() {
        let block = event(EventKind::WaitBlock, 1, [10_000_001, 5, 0]);
        assert_eq!(row(Table::Wait, &block, true), "90500 1 88 17 wait_block 0x00000001 0x2 0x5\n");
        let futex = event(EventKind::WaitFutex, 1, [0x7fff_1000, 0, 0]);
        assert!(row(Table::WaitCore, &futex, true).ends_with(" 0x7fff1000 0x0\n"));
        assert!(row(Table::WaitCore, &futex, false).ends_with(" 0x0 0x0\n"));
        let wake = event(EventKind::WaitWake, 0x8000_0005, [7, 0, 0]);
        assert!(row(Table::Wait, &wake, false).ends_with("wait_wake 0x80000005 0x7 0x0\n"));
    }

    #[test]
    fn json_has_everything() {
        let mut text = String::new();
        json(&mut text, &event(EventKind::SyscallExit, 0, [39, 17, 0])).unwrap();
        assert_eq!(
            text,
            "{\"time\":905000000001,\"cpu\":1,\"seq\":88,\"task\":9,\"pid\":17,\"tid\":18,\"event\":\"syscall_exit\",\
             \"kind\":17,\"flags\":0,\"args\":[39,17,0]}\n"
        );
    }
}
