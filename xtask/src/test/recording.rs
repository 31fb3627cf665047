//! What `run --trace` leaves behind: after a run that ended well its counts are the kernel's own, and there is as much
//! after a panic and after a hang.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base::trace::{Event, EventKind};
use serde_json::Value;

use super::TestOptions;
use super::guest_suite::kairos_run;
use super::process;
use super::tally::{Tally, Verdict};
use crate::report::load::{self, Trace};
use crate::{build, outcome, paths, trace};

/// The name of the step.
const STEP: &str = "recording";
const LIMIT: Duration = Duration::from_secs(180);
/// Number of `write`.
const WRITE: u64 = 1;
/// A browser that can look at a page without a screen.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Cases of the guest suite that strain channels and capabilities, then what the kernel counted.
const STRESS: &str = "/bin/guest-tests --deadline 60 channel_close:: && /bin/guest-tests --deadline 60 revocation \
                      && cat /sys/ipc/stats";
/// A key of `/sys/ipc/stats`, a distribution of the report, and its entry that counts the same.
const COUNTED: [(&str, &str, &str); 4] = [
    ("channel_send_epipe_total", "by_op", "send_epipe"),
    ("channel_recv_eof_total", "by_op", "recv_eof"),
    ("channel_close_wake_local_total", "by_op", "close_local"),
    ("channel_close_wake_peer_total", "by_op", "close_peer"),
];
/// A key of `/sys/ipc/stats`, and the operation of `ipc_cap` that counts the same.
const GUARDED: [(&str, u32); 3] =
    [("cap_revoke_marked_total", 1), ("cap_bind_rejected_revoked_total", 2), ("cap_commit_eagain_total", 3)];

/// A case on a number of CPUs.
type Case = fn(&TestOptions, &str) -> Result<Verdict>;

const CASES: [(&str, Case); 3] =
    [("counts", counts_are_the_kernel_s), ("panic", after_a_panic), ("hang", after_a_hang)];

pub(super) fn all(options: &TestOptions, tally: &mut Tally) -> Result<()> {
    for (name, case) in CASES {
        for cpus in ["1", "2"] {
            let name = format!("{name}-smp{cpus}");
            if tally.wants(STEP, &name) {
                let verdict = case(options, cpus);
                tally.record(
                    STEP,
                    &name,
                    verdict.unwrap_or_else(|error| Verdict::Failed(format!("{error:#}"))),
                );
            }
        }
    }
    if tally.wants(STEP, "page") {
        let verdict = page_in_a_browser(options);
        tally.record(STEP, "page", verdict.unwrap_or_else(|error| Verdict::Failed(format!("{error:#}"))));
    }
    Ok(())
}

/// Records a run that is to end with `status`; what its program printed, and the trace.
fn record(options: &TestOptions, more: &[&str], script: &str, status: u8) -> Result<(String, Trace)> {
    let mut command = kairos_run(options)?;
    command.args(["--trace", "--trace-buffer", "96M", "--overlay"]).arg(build::suite_overlay()?).args(more);
    command.args(["--", "sh", "-c", script]);
    let captured = process::capture(&mut command, b"", LIMIT)?;
    let stderr = process::tail(&captured.finished.stderr, 40);
    let found = captured.finished.status.and_then(|status| status.code());
    ensure!(found == Some(status.into()), "{}, not {status}\n{stderr}", captured.finished.describe());
    let path = recorded();
    let bytes = std::fs::read(&path).with_context(|| path.display().to_string())?;
    let trace = load::binary(&bytes)?;
    ensure!((trace.overwritten, trace.dropped) == (0, 0), "events were lost{}", trace.loss());
    Ok((String::from_utf8_lossy(&captured.stdout).into_owned(), trace))
}

/// The trace of the last run.
fn recorded() -> PathBuf {
    paths::runs().join("latest").join(trace::FILE)
}

/// What `cargo xtask report` prints about the last run.
fn report(arguments: &[OsString]) -> Result<String> {
    let mut command = Command::new(std::env::current_exe().context("finding xtask itself")?);
    command.arg("report").args(arguments).current_dir(paths::workspace());
    let captured = process::capture(&mut command, b"", LIMIT)?;
    ensure!(captured.finished.succeeded(), "report: {}", captured.finished.stderr);
    Ok(String::from_utf8_lossy(&captured.stdout).into_owned())
}

fn counts_are_the_kernel_s(options: &TestOptions, cpus: &str) -> Result<Verdict> {
    let (printed, trace) = record(options, &["--smp", cpus, "--timeout", "120"], STRESS, 0)?;
    let report: Value = serde_json::from_str(&report(&["--json".into()])?)?;
    let counters: BTreeMap<&str, u64> = printed
        .lines()
        .filter_map(|line| line.split_once('='))
        .filter_map(|(key, value)| Some((key, value.trim().parse().ok()?)))
        .collect();
    let counter = |key: &str| counters.get(key).copied().with_context(|| format!("no {key}: {printed}"));
    let mut total = 0;
    for (key, distribution, entry) in COUNTED {
        let (counted, reported) = (counter(key)?, report[distribution][entry].as_u64().unwrap_or(0));
        ensure!(counted == reported, "{key}={counted}, and the report counts {reported} {entry}");
        total += counted;
    }
    for (key, operation) in GUARDED {
        let of = |event: &&Event| event.kind == EventKind::IpcCap as u16 && event.flags & 0xff == operation;
        let (counted, reported) = (counter(key)?, trace.events.iter().filter(of).count() as u64);
        ensure!(counted == reported, "{key}={counted}, and the trace has {reported}");
        total += counted;
    }
    ensure!(total > 1000, "only {total} events were compared");
    ensure!(report["total"].as_u64() == Some(trace.events.len() as u64), "the total is {}", report["total"]);
    Ok(Verdict::Passed)
}

/// The calls that had begun and not ended when the machine stopped.
fn unfinished_calls(trace: &Trace) -> Vec<u64> {
    let mut open = BTreeMap::new();
    for event in &trace.events {
        match EventKind::from_number(event.kind) {
            Some(EventKind::SyscallEnter) => drop(open.insert(event.by.task, event.arguments[0])),
            Some(EventKind::SyscallExit) => drop(open.remove(&event.by.task)),
            _ => {}
        }
    }
    open.into_values().collect()
}

fn after_a_panic(options: &TestOptions, cpus: &str) -> Result<Verdict> {
    let script = "echo c >/proc/sysrq-trigger; sleep 30";
    let (_, trace) = record(options, &["--smp", cpus, "--timeout", "60"], script, outcome::PANIC)?;
    // The last thing that was recorded is the call that brought the kernel down.
    let calls = unfinished_calls(&trace);
    ensure!(calls.contains(&WRITE), "no write was under way, only {calls:?}");
    Ok(Verdict::Passed)
}

fn after_a_hang(options: &TestOptions, cpus: &str) -> Result<Verdict> {
    let script = "cat /proc/uptime >/dev/null; while :; do :; done";
    let (_, trace) = record(options, &["--smp", cpus, "--timeout", "5"], script, outcome::TIMEOUT)?;
    let of = |kind: EventKind| trace.events.iter().filter(|event| event.kind == kind as u16).count();
    ensure!(of(EventKind::SyscallEnter) > 50 && of(EventKind::TaskRun) > 5, "{} events", trace.events.len());
    ensure!(trace.names.values().any(|name| name == "cat"), "nobody is called cat: {:?}", trace.names);
    Ok(Verdict::Passed)
}

/// Opens the page about the last run in a browser, where there is one, and looks at what its script has made.
fn page_in_a_browser(options: &TestOptions) -> Result<Verdict> {
    let Some(browser) = BROWSERS.iter().find_map(paths::executable) else {
        return Ok(Verdict::Skipped("no Chromium is installed".to_owned()));
    };
    let script = "/bin/guest-tests --deadline 60 channel_close";
    let (_, trace) = record(options, &["--smp", "2", "--timeout", "120"], script, 0)?;
    let page = paths::kairos().join("page.html");
    report(&["--html".into(), page.clone().into()])?;
    let shown = dom(&browser, &page)?;
    let after = |id: &str| shown.split_once(&format!("id=\"{id}\"")).map_or("", |(_, rest)| rest);
    ensure!(
        after("span").contains(&format!("{} events", trace.events.len())),
        "the page does not tell its size"
    );
    ensure!(after("forest").contains("of channel"), "no capability is drawn");
    ensure!(after("waits").contains("<rect"), "no wait is drawn");
    ensure!(after("histograms").contains("class=\"bar\""), "no histogram is drawn");
    // The last section: no error has ended the script before it.
    ensure!(after("counts").contains("syscall_enter"), "the events are not counted");
    Ok(Verdict::Passed)
}

/// The page at `path` as the browser has it when its script has run.
fn dom(browser: &Path, path: &Path) -> Result<String> {
    let mut address = OsString::from("file://");
    address.push(path);
    let mut command = Command::new(browser);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=20000",
        "--dump-dom",
    ]);
    let captured = process::capture(command.arg(address), b"", LIMIT)?;
    ensure!(captured.finished.succeeded(), "{}: {}", browser.display(), captured.finished.describe());
    Ok(String::from_utf8_lossy(&captured.stdout).into_owned())
}
