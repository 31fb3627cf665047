//! `/sys/kernel/tracepoint`: columns, counters, reset, and the stream that misses nothing unnoticed.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

use crate::harness::{Case, case};
use crate::sys::*;

pub(crate) const CASES: &[Case] = &[
    case!(files_have_their_modes_and_headers).kairos().root(),
    case!(a_channels_life_is_four_rows).kairos().root(),
    case!(a_revocation_has_its_rows).kairos().root(),
    case!(wait_core_epoll_fd_event_stats).kairos().root(),
    case!(classes_are_switched_by_name).kairos().root(),
    case!(the_stream_gives_every_event_once).kairos().root(),
    case!(a_message_and_its_handle_are_followed).kairos().root(),
    case!(a_fault_leaves_its_event).kairos().root(),
    case!(json_and_rows_are_the_same_events).kairos().root(),
];

const FOLDER: &str = "/sys/kernel/tracepoint";
const RECORD: usize = 64;

fn path(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The rows of a file that this process caused, as columns.
fn rows(name: &str) -> Vec<Vec<String>> {
    let pid = std::process::id().to_string();
    let columns = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    text(name)
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(columns)
        .filter(|row| row[3] == pid)
        .collect()
}

fn counter(name: &str) -> u64 {
    let stats = text("wait_core_stats");
    let line = stats.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {stats}")).parse().unwrap()
}

/// Sets classes for as long as it lives.
struct Classes(String);

impl Classes {
    fn set(classes: &str) -> Classes {
        let before = text("enable");
        fs::write(path("enable"), classes).unwrap();
        Classes(before)
    }
}

impl Drop for Classes {
    fn drop(&mut self) {
        let _ = fs::write(path("enable"), &self.0);
    }
}

fn files_have_their_modes_and_headers() {
    let plain = "# ticks cpu seq pid event flags arg0 arg1\n";
    for (name, mode, header) in [
        ("wait_events", 0o444, plain),
        ("wait_core_events", 0o444, plain),
        (
            "ipc_events",
            0o444,
            "# schema=trace_ipc_channel_v1\n\
             # ticks cpu seq pid event flags version op wake self_state peer_state self_id peer_id arg1\n",
        ),
        (
            "ipc_cap_events",
            0o444,
            "# schema=trace_ipc_cap_v1\n# ticks cpu seq pid event flags version op cap_id arg1\n# ",
        ),
        ("wait_core_stats", 0o444, "# name value\nepoll_wait_calls "),
    ] {
        assert_eq!(fs::metadata(path(name)).unwrap().permissions().mode() & 0o777, mode, "{name}");
        assert!(text(name).starts_with(header), "{name}: {}", text(name));
    }
    assert_eq!(fs::metadata(path("reset")).unwrap().permissions().mode() & 0o777, 0o200);
    assert_eq!(fs::read(path("reset")).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    assert_eq!(text("wait_core_stats").lines().count(), 40);
}

fn a_channels_life_is_four_rows() {
    let (one, two) = channel_create().unwrap();
    let [id, peer] = [one, two].map(|end| handle_info(end).unwrap().object.to_string());
    handle_close(two).unwrap();
    // From a page that is there: a call that has to fault its message in starts over, and is told again.
    assert_eq!(channel_send(one, String::from("x").as_bytes(), &[], 0), Err(EPIPE));
    assert_eq!(channel_recv(one, 0).unwrap().0.len(), 0);
    handle_close(one).unwrap();
    let rows = rows("ipc_events");
    let life: Vec<_> = rows.iter().filter(|row| row[11] == id || row[11] == peer).collect();
    let told: Vec<_> =
        life.iter().map(|row| (row[7].as_str(), row[8].as_str(), row[5].as_str(), row[11] == id)).collect();
    assert_eq!(
        told,
        [
            ("close_local", "close", "0x10013303", false),
            ("close_peer", "close", "0x10031304", true),
            ("send_epipe", "close", "0x10031301", true),
            ("recv_eof", "hup", "0x10031202", true),
            ("close_local", "close", "0x10033303", true),
            ("close_peer", "close", "0x10033304", false),
        ]
    );
    for row in life {
        assert_eq!(
            (row.len(), row[4].as_str(), row[6].as_str(), row[13].as_str()),
            (14, "ipc_channel", "1", "0x0")
        );
    }
}

fn a_revocation_has_its_rows() {
    let (one, _two) = channel_create().unwrap();
    let child = handle_duplicate(one, RIGHT_READ).unwrap();
    let [root, derived] =
        [one, child].map(|handle| format!("{:#x}", handle_info(handle).unwrap().capability));
    handle_revoke_descendants(one).unwrap();
    let rows = rows("ipc_cap_events");
    let row = rows.iter().find(|row| row[8] == derived).expect("the revoked capability has a row");
    assert_eq!(row[4..8], ["ipc_cap", "0x10000001", "1", "revoke_marked"]);
    assert_eq!(row[9], root);
}

fn wait_core_epoll_fd_event_stats() {
    let _classes = Classes::set("wait");
    fs::write(path("reset"), "anything").unwrap();
    let (epoll, event) = (epoll_create(), eventfd(0, 0));
    epoll_control(epoll, libc::EPOLL_CTL_ADD, event, libc::EPOLLIN, 7).unwrap();
    assert!(epoll_wait(epoll, 4, 0).is_empty());
    event_add(event, 1).unwrap();
    assert_eq!(epoll_wait(epoll, 4, 50).len(), 1);
    event_take(event).unwrap();
    assert!(epoll_wait(epoll, 4, 5).is_empty());
    for (name, least) in [
        ("epoll_wait_calls", 3),
        ("epoll_ready_returns", 1),
        ("epoll_ready_events", 1),
        ("epoll_blocks", 1),
        ("epoll_timeouts", 1),
        ("fdevent_eventfd_read_wakes", 1),
        ("waitsrc_reason_timeout", 1),
    ] {
        assert!(counter(name) >= least, "{name} {}", counter(name));
    }
    let rows = rows("wait_core_events");
    let tick = |row: &[String]| -> u64 { row[0].parse().unwrap() };
    let epolls: Vec<_> = rows.iter().filter(|row| row[4] == "wait_epoll").collect();
    let begun = tick(epolls[0]);
    let epolls: Vec<_> = epolls.iter().map(|row| row[5].as_str()).collect();
    assert_eq!(epolls[..3], ["0x00000001", "0x00000001", "0x00000002"], "call, call, ready");
    assert!(rows.iter().any(|row| row[4] == "wait_fd_event" && row[5] == "0x00000102"), "a wake of readers");
    let sleep =
        rows.iter().find(|row| row[4] == "wait_block" && row[5] == "0x00000001").expect("a timed wait");
    let deadline = u64::from_str_radix(sleep[6].trim_start_matches("0x"), 16).unwrap();
    // A machine that stands still in between may tell of the wait when its time is over.
    let now = tick(sleep);
    assert!((begun..now + 200).contains(&deadline), "a deadline in ticks: {deadline} at {now}");
    fs::write(path("reset"), "").ok();
    fs::write(path("reset"), "1").unwrap();
    assert_eq!(counter("epoll_timeouts"), 0);
    assert!(text("wait_core_events").lines().filter(|line| line.contains(" wait_epoll ")).count() == 0);
}

fn classes_are_switched_by_name() {
    let _classes = Classes::set("ipc sched\n");
    assert_eq!(text("enable"), "channel message sched\n");
    assert_eq!(fs::write(path("enable"), "ipc,everything").unwrap_err().raw_os_error(), Some(libc::EINVAL));
    assert_eq!(text("enable"), "channel message sched\n");
    fs::write(path("enable"), "none").unwrap();
    assert_eq!(text("enable"), "none\n");
}

fn the_stream_gives_every_event_once() {
    let _classes = Classes::set("none");
    fs::write(path("reset"), "1").unwrap();
    let mut stream = fs::File::open(path("stream")).unwrap();
    let mut small = [0; RECORD - 1];
    assert_eq!(stream.read(&mut small).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    let mut header = [0; RECORD];
    assert_eq!(stream.read(&mut header).unwrap(), RECORD);
    assert_eq!(&header[..8], b"KAITRACE");
    let calls = 20;
    let mut calls_recorded = || {
        skip_to_end(&mut stream);
        fs::write(path("enable"), "syscall").unwrap();
        for _ in 0..calls {
            let _ = syscall!(SYS_getpriority, 0, 0);
        }
        fs::write(path("enable"), "none").unwrap();
        read_records(&mut stream)
    };
    let priority = |records: &[Record]| {
        records
            .iter()
            .filter(|record| record.kind == 16 && record.arguments[0] == libc::SYS_getpriority as u64)
            .count()
    };
    // The calls of others may fill a ring meanwhile, which is told.
    let mut records = calls_recorded();
    while records.iter().any(|record| record.kind == 0) {
        records = calls_recorded();
    }
    assert_eq!(priority(&records), calls, "each call once");
    assert!(read_records(&mut stream).is_empty(), "and not again");
    // More than a ring holds: what is missing is told.
    fs::write(path("enable"), "syscall").unwrap();
    let many = 3000;
    for _ in 0..many {
        let _ = syscall!(SYS_getpriority, 0, 0);
    }
    fs::write(path("enable"), "none").unwrap();
    let records = read_records(&mut stream);
    let lost: u64 = records.iter().filter(|record| record.kind == 0).map(|record| record.arguments[0]).sum();
    let read = records.iter().filter(|record| record.kind != 0).count() as u64;
    assert!(lost + read >= 2 * many, "{lost} lost and {read} read of {}", 2 * many);
}

fn a_message_and_its_handle_are_followed() {
    let (one, two) = channel_create().unwrap();
    let (moved, _peer) = channel_create().unwrap();
    let capability = handle_info(moved).unwrap().capability;
    let [one_id, two_id] = [one, two].map(|end| u64::from(handle_info(end).unwrap().object));
    // From a page that is there: a call that has to fault its message in starts over.
    let payload = String::from("hello");
    let _classes = Classes::set("none");
    let mut stream = fs::File::open(path("stream")).unwrap();
    skip_to_end(&mut stream);
    fs::write(path("enable"), "message").unwrap();
    channel_send(one, payload.as_bytes(), &[moved], 0).unwrap();
    channel_send(one, payload.as_bytes(), &[], 0).unwrap();
    channel_recv(two, 0).unwrap();
    channel_recv(two, 0).unwrap();
    fs::write(path("enable"), "none").unwrap();
    let records = read_records(&mut stream);
    let of_kind = |kind: u16| records.iter().filter(move |record| record.kind == kind);
    let messages = |kind, ends| -> Vec<[u64; 2]> {
        of_kind(kind)
            .filter(|record| record.arguments[0] == ends)
            .map(|record| [record.arguments[1], record.arguments[2]])
            .collect()
    };
    let sent = messages(18, one_id << 32 | two_id);
    assert_eq!(sent.iter().map(|[sizes, _]| *sizes).collect::<Vec<_>>(), [1 << 32 | 5, 5]);
    assert!(sent[0][1] != 0 && sent[0][1] < sent[1][1], "each has its number: {sent:?}");
    assert_eq!(messages(19, two_id << 32 | one_id), sent, "what was sent is received");
    let steps: Vec<u32> = of_kind(21)
        .filter(|record| record.arguments[0] == capability)
        .map(|record| record.flags & 0xff)
        .collect();
    assert_eq!(steps, [1, 2, 3, 4, 7], "taken, queued, delivered, installed, released");
}

fn a_fault_leaves_its_event() {
    let _classes = Classes::set("none");
    let mut stream = fs::File::open(path("stream")).unwrap();
    skip_to_end(&mut stream);
    fs::write(path("enable"), "fault").unwrap();
    // One failure is asked for, and the next call that allocates gets it.
    let mut nth = fs::OpenOptions::new().write(true).open("/proc/thread-self/fail-nth").unwrap();
    nth.write_all(b"1").unwrap();
    let failed = channel_create().is_err();
    nth.write_all(b"0").unwrap();
    fs::write(path("enable"), "none").unwrap();
    assert!(failed);
    let strikes: Vec<_> = read_records(&mut stream)
        .into_iter()
        .filter(|record| record.kind == 23)
        .map(|record| record.arguments[1])
        .collect();
    assert_eq!(strikes, [0], "one, and it was the one asked for");
}

/// What is asserted of a record.
struct Record {
    kind: u16,
    flags: u32,
    arguments: [u64; 3],
}

fn read_records(stream: &mut fs::File) -> Vec<Record> {
    let mut bytes = Vec::new();
    let mut piece = [0; 100 * RECORD];
    loop {
        let count = stream.read(&mut piece).unwrap();
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(&piece[..count]);
    }
    assert!(bytes.len().is_multiple_of(RECORD));
    let word = |record: &[u8], index: usize| {
        u64::from_ne_bytes(record[8 * index..8 * index + 8].try_into().expect("eight bytes"))
    };
    bytes
        .chunks_exact(RECORD)
        .map(|record| Record {
            kind: word(record, 2) as u16,
            flags: (word(record, 2) >> 32) as u32,
            arguments: [word(record, 5), word(record, 6), word(record, 7)],
        })
        .collect()
}

fn skip_to_end(stream: &mut fs::File) {
    read_records(stream);
}

fn json_and_rows_are_the_same_events() {
    let (one, two) = channel_create().unwrap();
    let id = u64::from(handle_info(one).unwrap().object);
    let peer = u64::from(handle_info(two).unwrap().object);
    handle_close(one).unwrap();
    handle_close(two).unwrap();
    let wanted = format!("\"args\":[{},0,0]", id << 32 | peer);
    let json = text("events.jsonl");
    let line = json.lines().find(|line| line.contains(&wanted)).expect("the close is there");
    assert!(line.starts_with("{\"time\":") && line.ends_with('}'), "{line}");
    let row = rows("ipc_events").into_iter().find(|row| row[11] == id.to_string()).expect("and as a row");
    assert!(line.contains(&format!("\"cpu\":{},\"seq\":{},", row[1], row[2])), "{line} {row:?}");
}
