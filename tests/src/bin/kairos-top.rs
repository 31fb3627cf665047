//! `kairos-top`: what lives, waits and moves in the kernel now, again and again.
//!
//! All of it comes from files that any program may read: the counters of `/sys/ipc` and `/proc/kairos`, the channels,
//! and the wait graph. Rates are what changed since the look before.

use std::collections::BTreeMap;
use std::fs;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

const HELP: &str = "\
usage: kairos-top [-d SECONDS] [-n TIMES] [-b]

  -d SECONDS   time between two looks (default 1)
  -n TIMES     how many looks (default: until Ctrl-C)
  -b           one page after the other, for a file or a pipe";

/// Rows of each table.
const ROWS: usize = 12;
/// Clears a terminal and goes to its first place.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Named numbers.
type Counters = BTreeMap<String, u64>;

struct Options {
    delay: Duration,
    times: u64,
    batch: bool,
}

fn options() -> Option<Options> {
    let mut options =
        Options { delay: Duration::from_secs(1), times: u64::MAX, batch: !std::io::stdout().is_terminal() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "-b" => options.batch = true,
            "-d" => options.delay = Duration::try_from_secs_f64(words.next()?.parse().ok()?).ok()?,
            "-n" => options.times = words.next()?.parse().ok()?,
            _ => return None,
        }
    }
    Some(options)
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{HELP}");
        return ExitCode::from(2);
    };
    let mut before: Option<(Counters, Instant)> = None;
    for turn in 0..options.times {
        if turn > 0 {
            sleep(options.delay);
        }
        let (now, at) = (counters(), Instant::now());
        let rate = |name: &str| {
            let (old, then) = before.as_ref()?;
            let change = now.get(name)?.saturating_sub(*old.get(name)?);
            Some(change as f64 / (at - *then).as_secs_f64())
        };
        let page = page(&now, rate);
        let start = if options.batch { "" } else { CLEAR };
        if write!(std::io::stdout(), "{start}{page}").and_then(|()| std::io::stdout().flush()).is_err() {
            break;
        }
        before = Some((now, at));
    }
    ExitCode::SUCCESS
}

/// Every counter that the kernel publishes, by name.
fn counters() -> Counters {
    let mut counters = Counters::new();
    let files = ["/sys/ipc/stats", "/sys/kernel/tracepoint/wait_core_stats", "/proc/kairos/census"];
    for line in files.iter().flat_map(|file| lines(file)) {
        if let Some((name, value)) = line.split_once(['=', ' '])
            && let Ok(value) = value.parse()
        {
            counters.insert(name.to_owned(), value);
        }
    }
    let calls = lines("/proc/kairos/syscalls");
    let made = calls.iter().filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    counters.insert("syscalls".to_owned(), made.sum());
    counters
}

fn lines(file: &str) -> Vec<String> {
    fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn page(counters: &Counters, rate: impl Fn(&str) -> Option<f64>) -> String {
    let mut page = String::new();
    for (title, names) in [
        (
            "alive",
            &["processes", "tasks", "open_files", "objects_channel", "objects_port", "objects_file"][..],
        ),
        ("in flight", &["queued_messages", "queued_handles", "lineage_nodes", "wait_nodes", "timers"]),
    ] {
        let shown = names.iter().filter_map(|name| Some(format!("{} {}", counters.get(*name)?, label(name))));
        page += &format!("{title:10} {}\n", shown.collect::<Vec<_>>().join(", "));
    }
    let rates = [
        ("syscalls", "syscalls"),
        ("poll_head_wake_calls", "wakes"),
        ("waitsrc_reason_data", "waits that data ended"),
        ("waitsrc_reason_timeout", "timeouts"),
        ("channel_handovers_total", "hand-overs"),
        ("cap_revoke_marked_total", "revocations"),
    ];
    let shown = rates.iter().filter_map(|(name, label)| Some(format!("{:.0} {label}", rate(name)?)));
    let shown = shown.collect::<Vec<_>>().join(", ");
    page += &format!("{:10} {}\n", "a second", if shown.is_empty() { "-" } else { &shown });
    page += &channels();
    page += &waits();
    page
}

/// A counter's name, as it is said.
fn label(name: &str) -> String {
    match name.strip_prefix("objects_") {
        Some(kind) => format!("{kind}s"),
        None => name.replace('_', " "),
    }
}

/// The channels' ends, those with the most to receive first.
fn channels() -> String {
    let rows = lines("/sys/ipc/channels");
    let mut ends: Vec<Vec<&str>> = rows.iter().skip(1).map(|row| row.split(' ').collect()).collect();
    ends.retain(|row| row.len() >= 10);
    ends.sort_by_key(|row| std::cmp::Reverse(row[6].parse::<u64>().unwrap_or(0)));
    let mut table = format!(
        "\n{:>8} {:>8} {:>8} {:>8}  state ({} ends)\n",
        "channel",
        "queued",
        "handles",
        "fds",
        ends.len()
    );
    for row in ends.iter().take(ROWS) {
        table += &format!("{:>8} {:>8} {:>8} {:>8}  {}\n", row[0], row[6], row[3], row[4], row[8]);
    }
    table
}

/// The threads that wait, and for what.
fn waits() -> String {
    let rows = lines("/sys/kernel/waitgraph");
    let threads: Vec<Vec<&str>> =
        rows.iter().filter(|row| row.starts_with("thread ")).map(|row| row.split(' ').collect()).collect();
    let waiting = threads.iter().filter(|row| row.get(5).is_some_and(|on| *on != "-"));
    let mut table = format!(
        "\n{:>8} {:>8} {:18} {:18} {:10} ({} threads)\n",
        "pid",
        "tid",
        "call",
        "waits for",
        "woken by",
        threads.len()
    );
    for row in waiting.take(ROWS) {
        let cell = |index: usize| row.get(index).copied().unwrap_or("-");
        table += &format!("{:>8} {:>8} {:18} {:18} {:10}\n", cell(2), cell(1), cell(4), cell(5), cell(9));
    }
    table
}
