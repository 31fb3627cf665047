//! A trace of twenty events that was checked by hand: a server waits on a channel, a client on another CPU sends to
//! it, the server answers, and a third task times out.

use base::trace::channel::{Op, State, Wake, flags};
use base::trace::{Event, EventKind, Identity, Vocabulary, pair};
use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::load::Trace;
use super::timeline::{Timeline, Track};
use super::{html, perfetto, summary};

const SERVER: Identity = Identity { task: 0xa, pid: 10, tid: 10 };
const CLIENT: Identity = Identity { task: 0xb, pid: 20, tid: 21 };
const SLEEPER: Identity = Identity { task: 0xc, pid: 30, tid: 30 };
const CHANNEL: u32 = 24;
const SLEEP: u32 = 1;

fn trace() -> Trace {
    use EventKind::*;
    let what = |kind: u32| u64::from(kind);
    let closed = flags(Op::CloseLocal, Wake::Close, State::Closed, State::Open);
    let script: [(u64, u16, EventKind, Identity, u32, [u64; 3]); 20] = [
        (1_000, 0, TaskRun, SERVER, 0, [0; 3]),
        (1_100, 0, SyscallEnter, SERVER, 0, [4604, 3, 0]),
        (1_200, 0, WaitBlock, SERVER, 0, [0, 7, what(CHANNEL)]),
        (1_300, 0, TaskStop, SERVER, 2, [0; 3]),
        (1_400, 0, TaskRun, SLEEPER, 0, [0; 3]),
        (1_500, 0, WaitBlock, SLEEPER, 1, [9_000, 0, what(SLEEP)]),
        (1_600, 0, TaskStop, SLEEPER, 2, [0; 3]),
        (2_000, 1, TaskRun, CLIENT, 0, [0; 3]),
        (2_100, 1, CapBorn, CLIENT, 1, [pair(5, 5), 0, 8]),
        (2_150, 1, CapMove, CLIENT, 0xf02, [pair(5, 5), 8, pair(u32::MAX, 20)]),
        (2_200, 1, MessageSend, CLIENT, 0, [pair(8, 7), pair(1, 64), 1]),
        (2_300, 1, TaskWake, CLIENT, 0, [SERVER.task, SERVER.who(), 0]),
        (2_400, 1, WaitWake, CLIENT, 0x8000_0041, [7, 0, pair(1, 1 << 8 | CHANNEL)]),
        (2_900, 0, TaskRun, SERVER, 0, [0; 3]),
        (3_000, 0, WaitEnd, SERVER, 1, [7, 1_200, what(CHANNEL)]),
        (3_100, 0, MessageReceive, SERVER, 0, [pair(7, 8), pair(1, 64), 1]),
        (3_200, 0, SyscallExit, SERVER, 0, [4604, 0, 0]),
        (3_300, 0, TaskStop, SERVER, 2, [0; 3]),
        (9_000, 0, WaitEnd, SLEEPER, 5, [0, 1_500, what(SLEEP)]),
        (9_500, 1, IpcChannel, CLIENT, closed, [pair(8, 7), 0, 0]),
    ];
    let mut trace = Trace::default();
    for (index, (time, cpu, kind, by, flags, arguments)) in script.into_iter().enumerate() {
        let (seq, kind) = (index as u64 + 1, kind as u16);
        trace.events.push(Event { time, seq, cpu, kind, flags, by, arguments });
    }
    for (who, name) in [(SERVER, "server"), (CLIENT, "client"), (SLEEPER, "sleeper")] {
        trace.names.insert(who.task, name.to_owned());
    }
    for (vocabulary, number, word) in [
        (Vocabulary::WaitKind, CHANNEL, "channel"),
        (Vocabulary::WaitKind, SLEEP, "sleep"),
        (Vocabulary::Syscall, 4604, "kairos_channel_recv"),
    ] {
        trace.words.insert((vocabulary as u32, number), word.to_owned());
    }
    trace
}

#[test]
fn every_figure_of_the_report_is_right() {
    let report = summary(&trace());
    for (key, expected) in [
        ("total", json!(20)),
        ("by_cpu", json!({ "0": 13, "1": 7 })),
        ("by_pid_top10", json!({ "10": 9, "20": 7, "30": 4 })),
        ("by_op", json!({ "close_local": 1 })),
        ("by_wake", json!({ "close": 1 })),
        ("by_self_state", json!({ "closed": 1 })),
        ("by_peer_state", json!({ "open": 1 })),
        ("by_version", json!({ "1": 1 })),
        ("channel_top10", json!({ "8": 1 })),
        ("pair_top10", json!({ "8->7": 1 })),
        ("wait_block", json!({ "count": 2, "with_deadline": 1, "without_deadline": 1 })),
        ("wait_wake", json!({ "count": 1, "wake_one": 1, "wake_all": 0 })),
        ("wait_timeouts", json!(1)),
        (
            "wait_ns_by_object",
            json!({
                "channel 7": { "count": 1, "p50": 1800, "p99": 1800, "max": 1800 },
                "sleep": { "count": 1, "p50": 7500, "p99": 7500, "max": 7500 },
            }),
        ),
    ] {
        assert_eq!(report[key], expected, "{key}");
    }
}

#[test]
fn slices_and_arrows_are_where_they_belong() {
    let timeline = Timeline::of(&trace());
    let mut drawn: Vec<_> = timeline
        .slices
        .iter()
        .map(|slice| (slice.track, slice.start, slice.end, slice.name.as_str()))
        .collect();
    drawn.sort_unstable();
    let (server, client, sleeper) = (Track::Task(0xa), Track::Task(0xb), Track::Task(0xc));
    assert_eq!(
        drawn,
        [
            (Track::Cpu(0), 1_000, 1_300, "server"),
            (Track::Cpu(0), 1_400, 1_600, "sleeper"),
            (Track::Cpu(0), 2_900, 3_300, "server"),
            (Track::Cpu(1), 2_000, 9_500, "client"),
            (server, 1_100, 3_200, "kairos_channel_recv"),
            (server, 1_200, 3_000, "wait channel 7 (data)"),
            (server, 3_100, 3_101, "receive"),
            (client, 2_200, 2_201, "send"),
            (sleeper, 1_500, 9_000, "wait sleep (timeout)"),
        ]
    );
    let arrows: Vec<_> = timeline.arrows.iter().map(|arrow| (arrow.name, arrow.from, arrow.to)).collect();
    assert_eq!(
        arrows,
        [
            ("wake", (Track::Cpu(1), 2_300), (Track::Cpu(0), 2_900)),
            ("message", (client, 2_200), (server, 3_100)),
        ]
    );
}

/// What the viewer asks for: slices of one track lie within each other or apart, each end of an arrow lies in a slice,
/// each arrow goes forward in time, and each track has a name.
#[test]
fn the_perfetto_file_is_well_formed() {
    let mut trace = trace();
    // The client wakes itself while it runs, which takes effect when it has stopped.
    for (time, kind, flags) in
        [(9_600, EventKind::TaskStop, 0), (9_700, EventKind::TaskWake, 1), (9_800, EventKind::TaskRun, 0)]
    {
        let arguments = [CLIENT.task, CLIENT.who(), 1];
        trace.events.push(Event { time, seq: 0, cpu: 1, kind: kind as u16, flags, by: CLIENT, arguments });
    }
    let file = perfetto::json(&trace);
    let events = file["traceEvents"].as_array().unwrap();
    let track = |event: &Value| (event["pid"].as_i64().unwrap(), event["tid"].as_i64().unwrap());
    let time = |event: &Value, key: &str| (event[key].as_f64().unwrap() * 1000.0).round() as u64;
    let of = |phase: &'static str| events.iter().filter(move |event| event["ph"] == phase);
    let mut slices: BTreeMap<(i64, i64), Vec<(u64, u64)>> = BTreeMap::new();
    for event in of("X") {
        let start = time(event, "ts");
        slices.entry(track(event)).or_default().push((start, start + time(event, "dur")));
    }
    for (place, slices) in &slices {
        for (one, other) in slices.iter().flat_map(|one| slices.iter().map(move |other| (one, other))) {
            let apart = one.1 <= other.0 || other.1 <= one.0;
            let within = one.0 <= other.0 && other.1 <= one.1 || other.0 <= one.0 && one.1 <= other.1;
            assert!(apart || within, "{place:?}: {one:?} and {other:?}");
        }
        let is_name = |event: &&Value| event["name"] == "thread_name" && track(event) == *place;
        assert_eq!(of("M").filter(is_name).count(), 1, "{place:?}");
    }
    let ends =
        |phase| of(phase).map(|event| (event["id"].as_u64().unwrap(), event)).collect::<BTreeMap<_, _>>();
    let (starts, finishes) = (ends("s"), ends("f"));
    assert!(starts.len() == 2 && starts.keys().eq(finishes.keys()));
    for (from, to) in starts.values().zip(finishes.values()) {
        assert!(time(from, "ts") <= time(to, "ts") && from["cat"] == to["cat"] && to["bp"] == "e");
        for end in [from, to] {
            let at = time(end, "ts");
            let inside = slices[&track(end)].iter().any(|(start, end)| (*start..*end).contains(&at));
            assert!(inside, "{end}");
        }
    }
}

#[test]
fn perfetto_gets_a_track_for_every_cpu_and_thread() {
    let file = perfetto::json(&trace());
    let events = file["traceEvents"].as_array().unwrap();
    let of = |phase: &str| events.iter().filter(|event| event["ph"] == phase).count();
    assert_eq!((of("X"), of("s"), of("f")), (9, 2, 2));
    let named = |kind: &str, name: &str| {
        events.iter().any(|event| event["name"] == kind && event["args"]["name"] == name)
    };
    assert!(named("thread_name", "CPU 0") && named("thread_name", "CPU 1") && named("process_name", "CPUs"));
    assert!(
        named("thread_name", "server") && named("thread_name", "client") && named("thread_name", "sleeper")
    );
    let wait = events.iter().find(|event| event["name"] == "wait channel 7 (data)").unwrap();
    assert_eq!(
        (&wait["pid"], &wait["tid"], &wait["ts"], &wait["dur"]),
        (&json!(10), &json!(10), &json!(1.2), &json!(1.8))
    );
}

#[test]
fn the_page_has_its_data_and_needs_no_network() {
    let data = html::data(&trace());
    assert_eq!(data["traffic"], json!([[20, 10, 1, 64, 1]]));
    // A process is called as its first thread, and the client has told nothing but of its second.
    assert_eq!(data["processes"], json!({ "10": "server", "30": "sleeper" }));
    let capability = &data["capabilities"][0];
    assert_eq!(capability["id"], json!(pair(5, 5).to_string()));
    assert_eq!(capability["moves"], json!([[2150, "enqueue", 20, -1]]));
    assert_eq!(
        data["waits"],
        json!([
            ["server 10", "channel 7", 1200, 3000, "data"],
            ["sleeper 30", "sleep", 1500, 9000, "timeout"]
        ])
    );
    let page = html::page(&trace());
    assert!(page.contains("\"capabilities\":[") && !page.contains("/*DATA*/"));
    for link in ["src=", "href=", "import ", "fetch("] {
        assert!(!page.contains(link), "{link}");
    }
}
