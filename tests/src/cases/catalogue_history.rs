//! The part of the catalogue that reads what the kernel says about objects and moves, under its names. The rest of it
//! is in `sysfs` and `tracepoint`, under its names too.

use super::sysfs::{data_rows, move_around, number, object_of, read_text, set, value};
use crate::harness::{Case, case};
use crate::sys::*;
use libc::{O_RDONLY, O_WRONLY};
use std::collections::BTreeSet;

pub(crate) const CASES: &[Case] = &[
    case!(sysfs_ipc_visibility).root().kairos(),
    case!(sysfs_ipc_port_drop_stats).root().kairos(),
    case!(procfs_pid_handle_transfers_readonly).kairos(),
    case!(procfs_pid_handle_transfers_v2_cursor).kairos(),
];

/// Nobody writes this file, root neither.
fn is_read_only(name: &str) {
    let written = open(&path(name), O_WRONLY).and_then(|fd| write(fd, b"1"));
    assert!(matches!(written, Err(EPERM | EACCES | EIO)), "{name}: {written:?}");
    let fd = open(&path(name), O_RDONLY).unwrap();
    assert_eq!(write(fd, b"1"), Err(EBADF), "{name}");
    close(fd).unwrap();
}

fn sysfs_ipc_visibility() {
    let (moved, _peer) = channel();
    let id = object_of(moved);
    let handle = move_around(moved, 2);
    let own = format!("/sys/ipc/objects/{id}");
    wait_until(|| stat(&path(own.as_str())).is_ok());
    let page = read_text(&format!("/sys/ipc/objects/page.{}.1", id - 1));
    assert!(page.contains(&format!("\nid type refcount state\n{id} channel ")), "{page}");
    assert!(page.ends_with(" has_more=1\n"), "its peer comes after it: {page}");
    let summary = read_text(&format!("{own}/summary"));
    assert_eq!((number(&summary, "id"), value(&summary, "type")), (id.into(), "channel".into()));
    assert_eq!(value(&summary, "lifecycle"), "live");
    let moves = read_text(&format!("{own}/transfers"));
    assert_eq!(moves.lines().count(), 11, "two moves of five steps: {moves}");
    set(&format!("{own}/transfers_page_size"), "1").unwrap();
    for (cursor, returned, end) in [("0", "1", "0"), ("1", "1", "0"), ("999999", "0", "1")] {
        set(&format!("{own}/transfers_cursor"), cursor).unwrap();
        let page = read_text(&format!("{own}/transfers_v2"));
        assert!(page.starts_with("schema=sysfs_ipc_object_transfers_v2\n"));
        assert_eq!(value(&page, "cursor"), cursor);
        assert_eq!((value(&page, "returned"), value(&page, "end")), (returned.into(), end.into()), "{page}");
    }
    let channels = read_text("/sys/ipc/channels");
    let header = "id refcount handle_refs ref_handle ref_fd ref_other rxq_len peer_closed endpoint_state endpoint_closed";
    assert_eq!(channels.lines().next(), Some(header));
    let row = channels.lines().find(|line| line.starts_with(&format!("{id} "))).expect("its row");
    assert!(row.ends_with(" 1 1 0 0 0 0 OPEN 0"), "{row}");
    for file in ["channels", "stats", "objects/page"] {
        is_read_only(&format!("/sys/ipc/{file}"));
    }
    is_read_only(&format!("{own}/summary"));
    handle_close(handle).unwrap();
}

/// A port's queue that overflows by one is counted, and the counters of handles and locks only grow.
fn sysfs_ipc_port_drop_stats() {
    let keys = [
        "khandle_cache_lookups_total",
        "khandle_cache_hits_total",
        "khandle_cache_misses_total",
        "khandle_cache_stores_total",
        "khandle_cache_ht_sweeps_total",
        "ipc_lock_probe_registry_contention_total",
    ];
    let before = read_text("/sys/ipc/stats");
    let port = port_create().unwrap();
    let ends: Vec<Handle> = (1..=129)
        .map(|key| {
            let (to, from) = channel();
            port_bind(port, from, key, READABLE).unwrap();
            channel_send(to, b"x", &[], 0).unwrap();
            // The table has no room for both ends of each.
            handle_close(to).unwrap();
            from
        })
        .collect();
    let after = read_text("/sys/ipc/stats");
    assert_eq!(number(&after, "port_queue_drops_total"), number(&before, "port_queue_drops_total") + 1);
    let row = read_text("/sys/ipc/ports");
    let own = format!("{} ", object_of(port));
    let row = row.lines().find(|line| line.starts_with(&own)).expect("its row");
    assert!(row.ends_with(" 128 1"), "{row}");
    for key in keys {
        assert!(number(&after, key) >= number(&before, key), "{key}");
    }
    assert_eq!(number(&after, "ipc_lock_probe_state_underflow_total"), 0);
    let cpus = std::thread::available_parallelism().unwrap().get() as u64;
    assert!(number(&after, "khandle_cache_active_refs") <= 16 * cpus);
    // What was counted as dropped is not lost here: it enters when there is room.
    let told: BTreeSet<u64> = (0..129).map(|_| port_wait(port, 0, 0).unwrap().0).collect();
    assert_eq!(told, (1..=129).collect());
    assert_eq!(ends.len(), 129);
}

fn procfs_pid_handle_transfers_readonly() {
    let (moved, _peer) = channel();
    let handle = move_around(moved, 1);
    let text = read_text("/proc/self/handle_transfers");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "schema=procfs_pid_handle_transfers_v1");
    assert_eq!(lines[1], format!("pid={}", getpid()));
    let columns = "handle cap_id obj_id type rights seq event from_pid to_pid transfer_rights cpu ticks";
    assert!(lines[2].starts_with(columns), "{}", lines[2]);
    let id = object_of(handle);
    let own = |line: &&&str| line.split(' ').nth(2) == Some(&id.to_string());
    let events: Vec<&str> = lines[3..].iter().filter(own).filter_map(|line| line.split(' ').nth(6)).collect();
    assert_eq!(events, ["take", "enqueue", "deliver", "install", "release"]);
    is_read_only("/proc/self/handle_transfers");
    is_read_only("/proc/self/handle_transfers_v2");
}

fn procfs_pid_handle_transfers_v2_cursor() {
    let pairs: Vec<(Handle, Handle)> = (0..10).map(|_| channel()).collect();
    pairs.iter().for_each(|(one, _)| discard(move_around(*one, 1)));
    let whole: Vec<String> =
        read_text("/proc/self/handle_transfers").lines().skip(3).map(str::to_owned).collect();
    assert_eq!(whole.len(), 50);
    let mut token = "0.16".to_owned();
    let mut seen = Vec::new();
    for expected in [16, 16, 16, 2] {
        let page = read_text(&format!("/proc/self/handle_transfers_v2.{token}"));
        assert_eq!(page.lines().next(), Some("schema=procfs_pid_handle_transfers_v2"));
        assert_eq!((value(&page, "token"), number(&page, "page_size")), (token, 16));
        assert_eq!(number(&page, "returned"), expected);
        assert_eq!(value(&page, "end"), if expected == 2 { "1" } else { "0" });
        seen.extend(data_rows(&page).into_iter().map(str::to_owned));
        token = value(&page, "next_token");
    }
    assert_eq!(seen, whole);
    let far = read_text("/proc/self/handle_transfers_v2.999999.16");
    assert_eq!((number(&far, "returned"), value(&far, "end")), (0, "1".into()));
}
