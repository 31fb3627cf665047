//! /sys/ipc and its relatives under /proc: objects, pages, histories, commands (docs/objects.md).

use crate::harness::{Case, case};
use crate::probe::Lent;
use crate::sys::*;
use libc::{O_CREAT, O_RDONLY, O_RDWR, O_WRONLY, SIGCONT, SIGTERM, SIGUSR1};
use std::collections::BTreeSet;

pub(crate) const CASES: &[Case] = &[
    case!(lists_have_their_columns).root().kairos(),
    case!(objects_appear_and_vanish).root().kairos(),
    case!(pages_of_objects).root().kairos(),
    case!(long_pages_are_whole).root().kairos(),
    case!(what_came_and_went_unseen_leaves_nothing).root().kairos(),
    case!(control_files_take_numbers).root().kairos(),
    case!(modes_hold_for_root).root().kairos(),
    case!(only_root_sees_all_objects).root().kairos(),
    case!(files_have_names).root().kairos(),
    case!(counters_only_grow).root().kairos(),
    case!(procfs_ipc_object_transfers_v2_cursor).root().kairos(),
    case!(procfs_pid_handle_transfers_large_not_truncated).kairos(),
    case!(procfs_transfers_v2_open_binds_private_data).kairos(),
    case!(procfs_transfers_v2_token_flood).kairos(),
    case!(four_questions_have_their_answers).root().kairos(),
    case!(commands_to_a_process).root().kairos(),
    case!(commands_of_strangers_are_refused).root().kairos(),
];

pub(super) fn read_text(name: &str) -> String {
    text(&path(name)).unwrap_or_else(|errno| panic!("{name}: {errno:?}"))
}

pub(super) fn open_text(name: &str) -> Sys<Fd> {
    open(&path(name), O_RDONLY)
}

pub(super) fn set(name: &str, value: &str) -> Sys<usize> {
    let fd = open(&path(name), O_WRONLY)?;
    let result = write(fd, value.as_bytes());
    close(fd).unwrap();
    result
}

/// The value of a line `key=value`.
pub(super) fn value(text: &str, key: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("no {key} in {text}")).to_owned()
}

pub(super) fn number(text: &str, key: &str) -> u64 {
    value(text, key).parse().unwrap()
}

/// A handle that moved through a channel, `times` over: take, enqueue, deliver, install, release each time.
pub(super) fn move_around(handle: Handle, times: usize) -> Handle {
    let (to, from) = channel_create().unwrap();
    let last = (0..times).fold(handle, |handle, _| {
        channel_send(to, b"", &[handle], 0).unwrap();
        channel_recv(from, 0).unwrap().1[0]
    });
    handle_close(to).unwrap();
    handle_close(from).unwrap();
    last
}

pub(super) fn object_of(handle: Handle) -> u32 {
    handle_info(handle).unwrap().object
}

fn lists_have_their_columns() {
    for (file, columns) in [
        (
            "channels",
            "id refcount handle_refs ref_handle ref_fd ref_other rxq_len peer_closed endpoint_state endpoint_closed",
        ),
        ("ports", "id refcount queue_len dropped_count"),
        ("files", "id refcount ino path"),
        ("vnodes", "id refcount ino vnode_type mode size name mnt_present"),
        ("dentries", "id refcount flags path mnt_present"),
        ("transfers", "obj_id seq event from_pid to_pid rights cpu ticks ns"),
    ] {
        let text = read_text(&format!("/sys/ipc/{file}"));
        assert_eq!(text.lines().next(), Some(columns), "{file}");
        let width = columns.split(' ').count();
        for row in text.lines().skip(1) {
            assert_eq!(row.split(' ').count(), width, "{file}: {row}");
        }
        let far = read_text(&format!("/sys/ipc/{file}.4294967294"));
        assert_eq!(far, format!("{columns}\n"), "nothing is after the last object");
    }
    assert_eq!(open_text("/sys/ipc/channels.x"), Err(ENOENT));
    assert_eq!(stat(c"/sys/ipc").unwrap().st_mode & 0o7777, 0o555);
    assert_eq!(stat(c"/sys/ipc/ports").unwrap().st_ino, stat(c"/sys/ipc/ports.7").unwrap().st_ino);
}

fn objects_appear_and_vanish() {
    let port = port_create().unwrap();
    let id = object_of(port);
    let directory = format!("/sys/ipc/objects/{id}");
    let summary = format!("{directory}/summary");
    wait_until(|| stat(&path(directory.as_str())).is_ok());
    let text = read_text(&summary);
    assert_eq!(
        text,
        format!("id={id}\ntype=port\nrefcount=1\nlifecycle=live\nqueue_len=0\ndropped_count=0\n")
    );
    let names: Vec<String> = std::fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, ["summary", "transfers", "transfers_v2", "transfers_cursor", "transfers_page_size"]);
    for name in names {
        let file = path(format!("{directory}/{name}"));
        let mode = if name.contains('_') && name != "transfers_v2" { 0o644 } else { 0o444 };
        assert_eq!(stat(&file).unwrap().st_mode & 0o7777, mode, "{name}");
    }
    let fd = open_text(&summary).unwrap();
    let inside = open(&path(directory.as_str()), O_RDONLY | libc::O_DIRECTORY).unwrap();
    assert_eq!(read_some(fd, 3).unwrap(), b"id=");
    handle_close(port).unwrap();
    // Gone as soon as the object is.
    assert_eq!(stat(&path(directory.as_str())).err(), Some(ENOENT));
    assert_eq!(open_text(&summary), Err(ENOENT));
    let listed = std::fs::read_dir("/sys/ipc/objects").unwrap();
    assert!(
        listed.map(|entry| entry.unwrap().file_name()).all(|name| name.to_str() != Some(&id.to_string()))
    );
    assert_eq!(pread(fd, &mut [0; 9], 0), Err(ENODEV), "there is nothing to say any more");
    assert_eq!(read_some(fd, 100).unwrap(), &text.as_bytes()[3..], "what was begun can be read to its end");
    assert!(matches!(syscall!(SYS_openat, inside, c"summary", O_RDONLY), Err(ENOENT | ENODEV)));
    close(fd).unwrap();
    close(inside).unwrap();
    wait_until(|| number(&read_text("/sys/ipc/stats"), "projection_depth") == 0);
}

/// The rows of a page, and its last line.
fn rows_of(page: &str) -> (Vec<(u32, String)>, String) {
    let mut lines: Vec<&str> = page.lines().collect();
    assert_eq!(lines[1], "id type refcount state");
    let trailer = lines.pop().unwrap().to_owned();
    let row = |line: &&str| (line.split(' ').next().unwrap().parse().unwrap(), (*line).to_owned());
    (lines[2..].iter().map(row).collect(), trailer)
}

fn pages_of_objects() {
    let ports: Vec<Handle> = (0..5).map(|_| port_create().unwrap()).collect();
    let ids: Vec<u32> = ports.iter().map(|port| object_of(*port)).collect();
    let first = ids[0] - 1;
    let page = read_text(&format!("/sys/ipc/objects/page.{first}.2"));
    assert!(page.starts_with(&format!("cursor={first} page_size=2\n")));
    let (rows, trailer) = rows_of(&page);
    assert_eq!(rows.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids[..2]);
    assert_eq!(rows[0].1, format!("{} port 1 live queue_len=0 dropped_count=0", ids[0]));
    assert_eq!(trailer, format!("next_cursor={} has_more=1", ids[1]));
    // The two files choose the page of those who open from then on.
    set("/sys/ipc/objects/cursor", &first.to_string()).unwrap();
    set("/sys/ipc/objects/page_size", "1\n").unwrap();
    let one = open_text("/sys/ipc/objects/page").unwrap();
    set("/sys/ipc/objects/cursor", &ids[0].to_string()).unwrap();
    let other = open_text("/sys/ipc/objects/page").unwrap();
    let read_from = |fd| String::from_utf8(read_some(fd, 4096).unwrap()).unwrap();
    assert_eq!(rows_of(&read_from(one)).0[0].0, ids[0]);
    assert_eq!(rows_of(&read_from(other)).0[0].0, ids[1]);
    set("/sys/ipc/objects/cursor", "0").unwrap();
    set("/sys/ipc/objects/page_size", "64").unwrap();
    let (rows, trailer) = rows_of(&read_text("/sys/ipc/objects/page.4294967295"));
    assert!(rows.is_empty());
    assert_eq!(trailer, "next_cursor=0 has_more=0");
}

/// A page of more than 4 KiB has all its rows, each whole, and its last line.
fn long_pages_are_whole() {
    let ports: Vec<Handle> = (0..200).map(|_| port_create().unwrap()).collect();
    let ids: Vec<u32> = ports.iter().map(|port| object_of(*port)).collect();
    let page = read_text(&format!("/sys/ipc/objects/page.{}.512", ids[0] - 1));
    assert!(page.len() > 4096, "{} bytes", page.len());
    let (rows, trailer) = rows_of(&page);
    let own: Vec<&String> = rows.iter().filter(|(id, _)| ids.contains(id)).map(|(_, row)| row).collect();
    let expected: Vec<String> =
        ids.iter().map(|id| format!("{id} port 1 live queue_len=0 dropped_count=0")).collect();
    assert!(own.into_iter().eq(&expected));
    assert!(trailer.starts_with("next_cursor=") && !page.contains('\0'), "{trailer}");
}

/// Objects that end before their directories are made: the two changes meet in the queue.
fn what_came_and_went_unseen_leaves_nothing() {
    let ids: BTreeSet<u32> = (0..2000)
        .map(|_| {
            let port = port_create().unwrap();
            let id = object_of(port);
            handle_close(port).unwrap();
            id
        })
        .collect();
    wait_until(|| {
        let stats = read_text("/sys/ipc/stats");
        number(&stats, "projection_depth") == 0 && number(&stats, "projection_lag_ns") == 0
    });
    let listed = std::fs::read_dir("/sys/ipc/objects").unwrap();
    let shown: BTreeSet<u32> =
        listed.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok()).collect();
    assert!(shown.is_disjoint(&ids));
    assert!(ids.iter().all(|id| stat(&path(format!("/sys/ipc/objects/{id}"))).is_err()));
}

fn control_files_take_numbers() {
    let port = port_create().unwrap();
    let own = format!("/sys/ipc/objects/{}", object_of(port));
    wait_until(|| stat(&path(own.as_str())).is_ok());
    for (file, default) in
        [("/sys/ipc/objects/page_size".to_owned(), "64\n"), (format!("{own}/transfers_page_size"), "128\n")]
    {
        assert_eq!(read_text(&file), default);
        for bad in ["0", "513", "", " \n", "-1", "+1", "0x10", "1 2", "1\0"] {
            assert!(matches!(set(&file, bad), Err(EINVAL) | Ok(0)), "{bad:?}");
        }
        assert_eq!(set(&file, "4294967296"), Err(ERANGE));
        assert_eq!(set(&file, "\t512 \n"), Ok(6));
        assert_eq!(read_text(&file), "512\n");
        set(&file, default).unwrap();
    }
    for file in ["/sys/ipc/objects/cursor".to_owned(), format!("{own}/transfers_cursor")] {
        assert_eq!(read_text(&file), "0\n");
        assert_eq!(set(&file, "4294967295"), Ok(10));
        assert_eq!(read_text(&file), "4294967295\n");
        assert_eq!(set(&file, "99999999999x"), Err(ERANGE));
        set(&file, "0").unwrap();
    }
}

fn modes_hold_for_root() {
    for file in
        ["/sys/ipc/stats", "/sys/ipc/channels", "/sys/ipc/objects/page", "/sys/devices/system/cpu/online"]
    {
        assert_eq!(open(&path(file), O_WRONLY), Err(EACCES), "{file}");
        assert_eq!(open(&path(file), O_RDWR), Err(EACCES), "{file}");
    }
    assert!(matches!(mkdir(c"/sys/ipc/new", 0o755), Err(ENOENT | EPERM)));
    assert!(matches!(open(c"/sys/ipc/new", O_CREAT | O_RDWR), Err(ENOENT | EPERM | EACCES)));
}

fn only_root_sees_all_objects() {
    fork(|| {
        syscall!(SYS_setresuid, 1000, 1000, 1000).unwrap();
        for file in ["channels", "files", "transfers", "objects/page", "objects/page.0.1"] {
            assert_eq!(open_text(&format!("/sys/ipc/{file}")), Err(EACCES), "{file}");
        }
        assert_eq!(set("/sys/ipc/objects/cursor", "1"), Err(EACCES));
        assert!(read_text("/sys/ipc/stats").starts_with("schema=sysfs_ipc_stats_v2\n"));
    })
    .succeeds();
}

fn files_have_names() {
    create(c"a name", b"four");
    let fd = open(c"a name", O_RDONLY).unwrap();
    let handle = handle_from_fd(fd, 0).unwrap();
    let id = object_of(handle);
    let here = String::from_utf8(readlink(c"/proc/self/cwd").unwrap()).unwrap();
    let file = format!("{here}/a\\040name");
    let ino = stat(c"a name").unwrap().st_ino;
    let row = |list: &str, wanted: &str| {
        let text = read_text(&format!("/sys/ipc/{list}"));
        text.lines().find(|line| line.contains(wanted)).map(str::to_owned)
    };
    assert_eq!(row("files", &format!(" {file}")), Some(format!("{id} 1 {ino} {file}")));
    let dentry = row("dentries", &format!(" {file} ")).expect("its dentry");
    assert!(dentry.ends_with(&format!(" 1 0x0 {file} 1")), "{dentry}");
    let vnode = row("vnodes", " a\\040name ").expect("its vnode");
    assert!(vnode.ends_with(&format!(" 1 {ino} file 0100644 4 a\\040name 1")), "{vnode}");
    let summary = path(format!("/sys/ipc/objects/{}/summary", vnode.split(' ').next().unwrap()));
    // It has become an object by being listed; its directory follows.
    wait_until(|| stat(&summary).is_ok());
    let summary = read_text(summary.to_str().unwrap());
    assert!(summary.contains("\ntype=vnode\n") && summary.contains("\nname=a\\040name\n"), "{summary}");
    unlink(c"a name").unwrap();
    assert!(row("dentries", &format!(" 0x2 {file} ")).is_some(), "removed, and still open");
    handle_close(handle).unwrap();
    close(fd).unwrap();
    assert_eq!(row("vnodes", " a\\040name "), None);
    assert_eq!(row("dentries", &format!(" {file} ")), None);
}

fn counters_only_grow() {
    let keys = [
        "port_queue_drops_total",
        "channel_recv_eof_total",
        "khandle_cache_lookups_total",
        "ipc_lock_probe_registry_contention_total",
        "kobj_lifecycle_transition_warn_total",
        "projection_changes_total",
    ];
    let before = read_text("/sys/ipc/stats");
    let port = port_create().unwrap();
    let channels: Vec<(Handle, Handle)> = (0..64).map(|_| channel_create().unwrap()).collect();
    handle_close(port).unwrap();
    for (one, other) in channels {
        handle_close(one).unwrap();
        handle_close(other).unwrap();
    }
    let after = read_text("/sys/ipc/stats");
    for key in keys {
        assert!(number(&after, key) >= number(&before, key), "{key}");
    }
    assert!(number(&after, "projection_changes_total") >= number(&before, "projection_changes_total") + 258);
    // Both ends of 64 channels were closed, and destroyed when nobody looked at them any more.
    assert!(
        number(&after, "channel_close_last_ref_total")
            >= number(&before, "channel_close_last_ref_total") + 128
    );
    wait_until(|| {
        let now = number(&read_text("/sys/ipc/stats"), "channel_close_release_total");
        now >= number(&before, "channel_close_release_total") + 128
    });
    for never in [
        "kobj_lifecycle_warns",
        "ipc_lock_probe_warns",
        "ipc_lock_probe_registry_then_channel_total",
        "ipc_lock_probe_registry_then_port_total",
        "ipc_lock_probe_state_underflow_total",
    ] {
        assert_eq!(number(&after, never), 0, "{never}");
    }
    assert!(number(&after, "khandle_cache_active_refs") <= 256);
    wait_until(|| {
        let now = read_text("/sys/ipc/stats");
        number(&now, "projection_depth") == 0 && number(&now, "projection_lag_ns") == 0
    });
}

/// Rows of a v2 text.
pub(super) fn data_rows(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.contains('=')).collect()
}

fn procfs_ipc_object_transfers_v2_cursor() {
    let (moved, _peer) = channel_create().unwrap();
    let id = object_of(moved);
    let handle = move_around(moved, 1);
    let own = format!("/sys/ipc/objects/{id}");
    wait_until(|| stat(&path(own.as_str())).is_ok());
    let whole = read_text(&format!("{own}/transfers"));
    assert_eq!(whole.lines().next(), Some("seq event from_pid to_pid rights cpu ticks ns"));
    let pid = getpid();
    let row = whole.lines().nth(1).unwrap();
    assert!(row.starts_with(&format!("1 take {pid} -1 0xf ")), "{row}");
    set(&format!("{own}/transfers_page_size"), "1").unwrap();
    for (cursor, end) in [("0", "0"), ("4", "1")] {
        set(&format!("{own}/transfers_cursor"), cursor).unwrap();
        let page = read_text(&format!("{own}/transfers_v2"));
        assert!(page.starts_with(&format!(
            "schema=sysfs_ipc_object_transfers_v2\nobj_id={id}\ntype=channel\ncursor={cursor}\n"
        )));
        assert_eq!((value(&page, "returned"), value(&page, "end")), ("1".into(), end.into()), "{page}");
    }
    let proc = format!("/proc/ipc/objects/{id}/transfers_v2");
    assert!(data_rows(&read_text(&format!("{proc}.0.1")))[0].starts_with("1 take "));
    let page = read_text(&format!("{proc}.1.1"));
    assert_eq!(value(&page, "next_token"), "2.1");
    assert!(data_rows(&page)[0].starts_with("2 enqueue "));
    let far = read_text(&format!("{proc}.999999.1"));
    assert_eq!((value(&far, "returned"), value(&far, "end")), ("0".into(), "1".into()));
    assert_eq!(read_text(&format!("{proc}.0.0")), read_text(&proc));
    assert_eq!(value(&read_text(&format!("{proc}.0.9999")), "page_size"), "512");
    for bad in [".", ".x", ".1.", ".1.2.3", ".-1", ".4294967296"] {
        assert_eq!(open_text(&format!("{proc}{bad}")), Err(ENOENT), "{bad}");
    }
    assert_eq!(open(&path(proc.as_str()), O_WRONLY).and_then(|fd| write(fd, b"1")), Err(EIO));
    assert_eq!(open_text("/proc/ipc/objects/0/transfers_v2"), Err(ENOENT));
    let listed: Vec<String> = std::fs::read_dir("/proc/ipc/objects")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(listed.contains(&id.to_string()));
    handle_close(handle).unwrap();
    assert_eq!(open_text(&proc), Err(ENOENT));
}

fn procfs_pid_handle_transfers_large_not_truncated() {
    let pairs: Vec<(Handle, Handle)> = (0..48).map(|_| channel_create().unwrap()).collect();
    let handles: BTreeSet<Handle> = pairs.iter().map(|(one, _)| move_around(*one, 6)).collect();
    let fd = open_text("/proc/self/handle_transfers").unwrap();
    let mut bytes = Vec::new();
    loop {
        let more = read_some(fd, 256).unwrap();
        if more.is_empty() {
            break;
        }
        bytes.extend(more);
    }
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.len() > 48 * 30 * 40, "{} bytes", text.len());
    assert!(text.ends_with('\n') && !text.contains("truncated"));
    // By pages it is the same, whatever their size, also when a history grows meanwhile.
    let whole: Vec<String> = text.lines().skip(3).map(str::to_owned).collect();
    let mut seen = Vec::new();
    let mut token = "0.7".to_owned();
    loop {
        let page = read_text(&format!("/proc/self/handle_transfers_v2.{token}"));
        seen.extend(data_rows(&page).into_iter().map(str::to_owned));
        token = value(&page, "next_token");
        if value(&page, "end") == "1" {
            break;
        }
    }
    assert_eq!(seen, whole);
    let named: BTreeSet<Handle> =
        seen.iter().map(|row| row.split(' ').next().unwrap().parse().unwrap()).collect();
    assert_eq!(named, handles);
}

fn procfs_transfers_v2_open_binds_private_data() {
    let (moved, _peer) = channel_create().unwrap();
    let handle = move_around(moved, 4);
    let anchor = open_text("/proc/self/handle_transfers_v2.0.1").unwrap();
    let other = read_text("/proc/self/handle_transfers_v2.7.9");
    let read_all = || String::from_utf8(pread_some(anchor, 4096, 0).unwrap()).unwrap();
    let first = read_all();
    assert_eq!(value(&first, "token"), "0.1");
    assert_eq!(value(&other, "token"), "7.9");
    let third = open_text("/proc/self/handle_transfers_v2.5.3").unwrap();
    move_around(handle, 1);
    assert_eq!(value(&read_all(), "token"), "0.1");
    let third = String::from_utf8(read_some(third, 4096).unwrap()).unwrap();
    assert_eq!((value(&third, "cursor"), value(&third, "page_size")), ("5".into(), "3".into()));
    let plain = read_text("/proc/self/handle_transfers_v2");
    assert_eq!((value(&plain, "cursor"), value(&plain, "page_size")), ("0".into(), "128".into()));
    let far = read_text("/proc/self/handle_transfers_v2.999999.16");
    assert_eq!((value(&far, "returned"), value(&far, "end")), ("0".into(), "1".into()));
}

fn procfs_transfers_v2_token_flood() {
    let anchor = stat(c"/proc/self/handle_transfers_v2").unwrap();
    for round in 0..320u32 {
        let token = format!("{}.{}", 37 * round % 4096, round % 64 + 1);
        let name = format!("/proc/self/handle_transfers_v2.{token}");
        assert_eq!(stat(&path(name.as_str())).unwrap().st_ino, anchor.st_ino);
        assert_eq!(value(&read_text(&name), "token"), token);
    }
    let (one, _other) = channel_create().unwrap();
    let own = format!("/proc/ipc/objects/{}/transfers_v2", object_of(one));
    let anchor = stat(&path(own.as_str())).unwrap();
    for round in 0..320u32 {
        let name = format!("{own}.{}.{}", 11 * round, round % 32 + 1);
        assert_eq!(stat(&path(name)).unwrap().st_ino, anchor.st_ino);
    }
    let names: Vec<String> = std::fs::read_dir("/proc/self")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("handle_transfers_v2"))
        .collect();
    assert_eq!(names, ["handle_transfers_v2"]);
}

/// What docs/observing.md asks about a server that waits on a channel's end that it was lent.
fn four_questions_have_their_answers() {
    let Lent { server, object } = Lent::new();
    let file = |name: &str| read_text(&format!("/proc/{}/{name}", server.pid));
    // Who holds it?
    let handles = file("handles");
    let row = handles.lines().find(|row| row.contains(&format!(" {object} channel "))).expect("its handle");
    let (handle, rest) = row.split_once(' ').unwrap();
    let capability = rest.split(' ').next().unwrap();
    // Where did it come from?
    let history = file("handle_transfers");
    let moves: Vec<Vec<&str>> = history
        .lines()
        .filter(|row| row.starts_with(&format!("{handle} {capability} {object} channel ")))
        .map(|row| row.split(' ').skip(6).take(3).collect())
        .collect();
    let (from, to) = (getpid().to_string(), server.pid.to_string());
    assert_eq!(
        moves,
        [
            ["take", &from, "-1"],
            ["enqueue", &from, "-1"],
            ["deliver", "-1", &to],
            ["install", "-1", &to],
            ["release", "-1", "-1"]
        ]
    );
    // Who is waiting on it, and since when?
    let graph = read_text("/sys/kernel/waitgraph");
    let waiter =
        graph.lines().find(|line| line.contains(&format!(" channel:{object} "))).expect("the waiter");
    let words: Vec<&str> = waiter.split(' ').collect();
    assert_eq!(words[..5], ["thread", &to, &to, "S", "channel_recv"]);
    let since: u64 = words[7].parse().unwrap();
    assert!(since > 0 && since <= monotonic() as u64);
    // Why did it wake last?
    assert!(file("wait").ends_with(&format!("woken_by data\nwoken_kind channel\nwoken_object {object}\n")));
    server.kill(SIGTERM);
    server.wait();
}

fn commands_to_a_process() {
    let child = fork(|| {
        block(&[SIGTERM, SIGUSR1, SIGCONT]);
        wait_for_ever()
    });
    wait_until_blocked(child.pid);
    let control = format!("/proc/{}/control", child.pid);
    assert_eq!(stat(&path(control.as_str())).unwrap().st_mode & 0o7777, 0o600);
    let fd = open(&path(control.as_str()), O_RDWR).unwrap();
    let send = |command: &str| write(fd, command.as_bytes());
    assert_eq!(send(""), Ok(0));
    assert_eq!(send("stop\n"), Ok(5));
    wait_until_stopped(child.pid);
    assert_eq!(send("  resume \n"), Ok(10));
    assert_eq!(send("term"), Ok(4));
    assert_eq!(send("sig 10"), Ok(6));
    assert_eq!(pending_of(child.pid) & mask_of(&[SIGTERM, SIGUSR1]), mask_of(&[SIGTERM, SIGUSR1]));
    assert_eq!(send("sig 0"), Err(EINVAL));
    assert_eq!(send(&"x".repeat(80)), Err(E2BIG));
    assert_eq!(send("no such thing"), Err(EINVAL));
    let audit = String::from_utf8(pread_some(fd, 4096, 0).unwrap()).unwrap();
    let expected = format!(
        "schema=procfs_pid_control_v1\npid={}\ntarget.exists=1\nlast.seq=7\nlast.action=none\nlast.signal=0\n\
         last.errno=22\nlast.result=parse_error\nlast.sender_uid=0\naudit.total=7\n\
         audit.stop.attempt=1\naudit.stop.ok=1\naudit.stop.fail=0\n\
         audit.cont.attempt=1\naudit.cont.ok=1\naudit.cont.fail=0\n\
         audit.term.attempt=1\naudit.term.ok=1\naudit.term.fail=0\n\
         audit.kill.attempt=0\naudit.kill.ok=0\naudit.kill.fail=0\n\
         audit.signal.attempt=1\naudit.signal.ok=1\naudit.signal.fail=0\n\
         audit.error.parse=2\naudit.error.too_long=1\naudit.error.perm=0\naudit.error.noent=0\n\
         audit.error.other=0\n",
        child.pid
    );
    assert_eq!(audit, expected);
    assert_eq!(send("kill"), Ok(4));
    child.wait();
    assert_eq!(send("kill"), Err(ESRCH));
    let audit = String::from_utf8(pread_some(fd, 4096, 0).unwrap()).unwrap();
    assert_eq!(value(&audit, "target.exists"), "0");
    assert_eq!(value(&audit, "last.result"), "no_such_process");
    assert_eq!(value(&audit, "audit.error.noent"), "1");
    close(fd).unwrap();
}

fn commands_of_strangers_are_refused() {
    let target = fork(|| {
        syscall!(SYS_setresuid, 1000, 1000, 1000).unwrap();
        wait_for_ever()
    });
    wait_until_blocked(target.pid);
    let control = path(format!("/proc/{}/control", target.pid));
    fork(|| {
        let fd = open(&control, O_RDWR).unwrap();
        syscall!(SYS_setresuid, 2000, 2000, 2000).unwrap();
        assert_eq!(open(&control, O_RDONLY), Err(EACCES));
        assert_eq!(write(fd, b"kill"), Err(EPERM));
        let audit = String::from_utf8(pread_some(fd, 4096, 0).unwrap()).unwrap();
        assert_eq!(value(&audit, "last.action"), "kill");
        assert_eq!(value(&audit, "last.result"), "permission_denied");
        assert_eq!(value(&audit, "last.sender_uid"), "2000");
        assert_eq!(number(&audit, "audit.kill.fail"), 1);
        assert_eq!(number(&audit, "audit.error.perm"), 1);
    })
    .succeeds();
    target.finish();
}
