//! The formats, byte for byte.

use core::fmt::{self, Write};

use super::*;
use crate::object::{ObjectKind, Tracked, TrackedNode, registry};
use crate::port::Port;
use crate::tests::support::Process;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

fn text(render: impl FnOnce(&mut dyn Write) -> fmt::Result) -> String {
    let mut text = String::new();
    render(&mut text).unwrap();
    text
}

/// A process with a channel of which one end went to itself: the handle it has now, and the object.
fn moved(process: &Process) -> (i32, ObjectRef) {
    let (near, far) = process.channel();
    let (from, to) = process.channel();
    process.send(from, b"", &[near]).unwrap();
    let handle = process.receive(to).unwrap().unwrap().1[0];
    process.table.close(far).unwrap();
    let id = process.table.info(handle).unwrap().object;
    (handle, registry::lookup(id).unwrap())
}

#[test]
fn a_channel_has_its_row_in_the_list_the_page_and_the_summary() {
    let process = Process::new(1);
    let (near, _far) = process.channel();
    let id = process.table.info(near).unwrap().object;
    let list = text(|out| list(ObjectKind::Channel, id - 1, out));
    let mut lines = list.lines();
    assert_eq!(
        lines.next().unwrap(),
        "id refcount handle_refs ref_handle ref_fd ref_other rxq_len peer_closed endpoint_state endpoint_closed"
    );
    let row = lines.next().unwrap();
    assert_eq!(uncounted(row, &format!("{id} ")), format!("{id} N 1 1 0 0 0 0 OPEN 0"));

    let page = text(|out| objects_page(Query { cursor: id - 1, page_size: 1 }, out));
    let expected = format!(
        "cursor={} page_size=1\nid type refcount state\n{id} channel N live handle_refs=1 ref_handle=1 \
         ref_fd=0 ref_other=0 rxq_len=0 peer_closed=0 endpoint_state=OPEN endpoint_closed=0\n\
         next_cursor={id} has_more=1\n",
        id - 1
    );
    assert_eq!(uncounted(&page, &format!("{id} channel ")), expected);

    let summary = text(|out| summary(&registry::lookup(id).unwrap(), out));
    let expected = format!(
        "id={id}\ntype=channel\nrefcount=N\nlifecycle=live\nhandle_refs=1\nref_handle=1\nref_fd=0\nref_other=0\n\
         rxq_len=0\npeer_closed=0\nendpoint_state=OPEN\nendpoint_closed=0\n"
    );
    assert_eq!(uncounted(&summary, "refcount="), expected);
}

/// `text` with N in place of the number of references, which stands after `before`. Tests that walk over all objects may
/// have one of this object at any moment; its owner has one always.
fn uncounted(text: &str, before: &str) -> String {
    let at = text.find(before).expect("the number of references") + before.len();
    let digits = text[at..].bytes().take_while(u8::is_ascii_digit).count();
    assert!(text[at..at + digits].parse::<usize>().unwrap() > 0, "{text}");
    format!("{}N{}", &text[..at], &text[at + digits..])
}

/// Something tracked, with values that no other has.
struct Thing;

impl Tracked for Thing {
    fn describe(&self, kind: ObjectKind, fields: &mut dyn Fields) -> Result<Described, fmt::Error> {
        let (names, values): (&[&'static str], &[&str]) = match kind {
            ObjectKind::Vnode => (VNODE_FIELDS, &["7", "file", "0100644", "12", "name", "1"]),
            _ => (DENTRY_FIELDS, &["0x2", "/a\\040b", "0"]),
        };
        names.iter().zip(values).try_for_each(|(name, value)| fields.field(name, value))?;
        Ok(Described::Whole)
    }
}

/// The row of the object `id` in its list and in a page, and its summary.
fn told(kind: ObjectKind, id: u32) -> [String; 3] {
    let line = |text: String, index: usize| String::from(text.lines().nth(index).unwrap());
    let object = registry::lookup(id).unwrap();
    [
        line(text(|out| list(kind, id - 1, out)), 1),
        line(text(|out| objects_page(Query { cursor: id - 1, page_size: 1 }, out)), 2),
        text(|out| summary(&object, out)),
    ]
}

#[test]
fn a_port_has_its_rows() {
    let process = Process::new(1);
    let port = Port::create(&process.caller).unwrap();
    let id = port.object().base().id();
    let [row, paged, summary] = told(ObjectKind::Port, id);
    assert!(row.starts_with(&format!("{id} ")) && row.ends_with(" 0 0"), "{row}");
    assert!(
        paged.starts_with(&format!("{id} port ")) && paged.ends_with(" live queue_len=0 dropped_count=0")
    );
    assert!(summary.ends_with("\nlifecycle=live\nqueue_len=0\ndropped_count=0\n"), "{summary}");
}

#[test]
fn vnodes_and_dentries_have_their_rows() {
    let thing: Arc<dyn Tracked> = Arc::new(Thing);
    let vnode = TrackedNode::new(ObjectKind::Vnode, Arc::downgrade(&thing)).unwrap();
    let dentry = TrackedNode::new(ObjectKind::Dentry, Arc::downgrade(&thing)).unwrap();
    let (vnode_id, dentry_id) = (vnode.base().id(), dentry.base().id());
    let [row, paged, lines] = told(ObjectKind::Vnode, vnode_id);
    assert!(row.starts_with(&format!("{vnode_id} ")) && row.ends_with(" 7 file 0100644 12 name 1"), "{row}");
    assert!(paged.starts_with(&format!("{vnode_id} vnode ")), "{paged}");
    let fields = "ino=7 vnode_type=file mode=0100644 size=12 name=name mnt_present=1";
    assert!(paged.ends_with(&format!(" live {fields}")), "{paged}");
    assert!(lines.ends_with(&format!("\nlifecycle=live\n{}\n", fields.replace(' ', "\n"))), "{lines}");
    let [row, paged, _] = told(ObjectKind::Dentry, dentry_id);
    assert!(row.ends_with(" 0x2 /a\\040b 0"), "{row}");
    assert!(paged.ends_with(" live flags=0x2 path=/a\\040b mnt_present=0"), "{paged}");
    // What dies under its object leaves a row that says so.
    drop(thing);
    let [row, paged, lines] = told(ObjectKind::Vnode, vnode_id);
    assert!(row.ends_with(" 0 - 0 0 - 0") && row.split(' ').count() == 8, "{row}");
    assert!(paged.ends_with(" live owner=stale"), "{paged}");
    assert!(lines.ends_with("\nlifecycle=live\nowner=stale\n"), "{lines}");
    let [row, ..] = told(ObjectKind::Dentry, dentry_id);
    assert!(row.ends_with(" 0x0 - 0") && row.split(' ').count() == 5, "{row}");
}

#[test]
fn all_transfers_are_those_of_each_object() {
    let process = Process::new(7);
    let (_handle, object) = moved(&process);
    let id = object.base().id();
    let all = text(|out| transfers(id - 1, out));
    let own = text(|out| object_transfers(&object, out));
    assert_eq!(all.lines().next(), Some("obj_id seq event from_pid to_pid rights cpu ticks ns"));
    let expected: Vec<String> = own.lines().skip(1).map(|row| format!("{id} {row}")).collect();
    let rows: Vec<&str> = all.lines().skip(1).take(expected.len()).collect();
    assert_eq!(rows, expected);
}

#[test]
fn a_page_after_the_last_object_is_empty() {
    let page = text(|out| objects_page(Query { cursor: u32::MAX, page_size: 4 }, out));
    assert_eq!(
        page,
        format!("cursor={} page_size=4\nid type refcount state\nnext_cursor=0 has_more=0\n", u32::MAX)
    );
}

/// The columns of rows without the two that tell the time.
fn timeless(text: &str) -> Vec<String> {
    let columns = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        words[..words.len() - 2].join(" ")
    };
    text.lines().filter(|line| !line.contains('=')).map(columns).collect()
}

#[test]
fn a_move_is_told_whole_and_by_pages() {
    let process = Process::new(7);
    let (_handle, object) = moved(&process);
    let id = object.base().id();
    let whole = text(|out| object_transfers(&object, out));
    assert_eq!(
        timeless(&whole),
        [
            "seq event from_pid to_pid rights cpu",
            "1 take 7 -1 0xf 0",
            "2 enqueue 7 -1 0xf 0",
            "3 deliver -1 7 0xf 0",
            "4 install -1 7 0xf 0",
            "5 release -1 -1 0xf 0"
        ]
    );
    let query = Query { cursor: 1, page_size: 1 };
    let page = text(|out| object_transfers_page(&object, Schema::Procfs, query, out));
    let row = whole.lines().nth(2).unwrap();
    assert_eq!(
        page,
        format!(
            "schema=procfs_ipc_object_transfers_v2\nobj_id={id}\ntype=channel\ncursor=1\npage_size=1\ntoken=1.1\n\
             columns=seq event from_pid to_pid rights cpu ticks ns\n{row}\nreturned=1\nnext_cursor=2\n\
             next_token=2.1\nend=0\n"
        )
    );
    let query = Query { cursor: 999_999, page_size: 1 };
    let page = text(|out| object_transfers_page(&object, Schema::Sysfs, query, out));
    assert_eq!(
        page,
        format!(
            "schema=sysfs_ipc_object_transfers_v2\nobj_id={id}\ntype=channel\ncursor=999999\npage_size=1\n\
             columns=seq event from_pid to_pid rights cpu ticks ns\nreturned=0\nnext_cursor=999999\nend=1\n"
        )
    );
}

#[test]
fn handles_and_their_histories_have_their_rows() {
    let process = Process::new(7);
    let (handle, object) = moved(&process);
    let id = object.base().id();
    let capability = process.table.info(handle).unwrap().capability;
    let prefix = format!("{handle} {capability} {id} channel 0xf ");
    let rows = text(|out| handles(&process.table, out));
    assert_eq!(rows.lines().next(), Some("handle cap_id obj_id type rights refcount"));
    assert!(rows.lines().any(|row| row.starts_with(&prefix)), "{rows}");

    let columns = "handle cap_id obj_id type rights seq event from_pid to_pid transfer_rights cpu ticks ns";
    let whole = text(|out| handle_transfers(&process.table, 7, out));
    assert!(
        whole.starts_with(&format!(
            "schema=procfs_pid_handle_transfers_v1\npid=7\n{columns}\n{prefix}1 take "
        ))
    );

    let page = |cursor, page_size| {
        text(|out| handle_transfers_page(&process.table, 7, Query { cursor, page_size }, out))
    };
    let (first, second) = (page(0, 2), page(2, 2));
    assert!(first.starts_with(&format!(
        "schema=procfs_pid_handle_transfers_v2\npid=7\ncursor=0\npage_size=2\ntoken=0.2\ncolumns={columns}\n{prefix}1 "
    )));
    let value = |text: &str, key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)).map(String::from);
        line.unwrap_or_else(|| panic!("{key} in {text}"))
    };
    assert_eq!((value(&first, "returned="), value(&first, "end=")), ("2".into(), "0".into()));
    let cursor: u32 = value(&first, "next_cursor=").parse().unwrap();
    assert_eq!(value(&first, "next_token="), format!("{cursor}.2"));
    // One more move between two pages: what was seen is not seen again.
    let seen: Vec<&str> = first.lines().filter(|line| line.starts_with(&prefix)).collect();
    let rest = page(cursor, 512);
    assert!(seen.iter().all(|row| !rest.contains(row)), "{rest}");
    assert_eq!(value(&rest, "returned="), "3");
    assert_eq!(value(&rest, "end="), "1");
    assert_ne!(first, second);
}

/// What programs know, in the order that they know.
const KNOWN_KEYS: [&str; 48] = [
    "registry_register_oom_failures",
    "registry_register_oom_warns",
    "port_queue_drops_total",
    "port_queue_drop_warns",
    "channel_send_epipe_total",
    "channel_recv_eof_total",
    "channel_close_last_ref_total",
    "channel_close_release_total",
    "channel_close_wake_local_total",
    "channel_close_wake_peer_total",
    "channel_ref_underflow_warns",
    "channel_ref_audit_checks_total",
    "channel_ref_audit_mismatch_total",
    "channel_ref_audit_warns",
    "cap_revoke_marked_total",
    "cap_bind_rejected_revoked_total",
    "cap_commit_eagain_total",
    "cap_commit_epoch_mismatch_total",
    "cap_tryget_failed_total",
    "channel_poll_hint_checks_total",
    "channel_poll_hint_mismatch_in_total",
    "channel_poll_hint_mismatch_out_total",
    "channel_poll_hint_mismatch_hup_total",
    "channel_poll_hint_warns",
    "khandle_cache_lookups_total",
    "khandle_cache_hits_total",
    "khandle_cache_misses_total",
    "khandle_cache_hit_per_mille",
    "khandle_cache_stores_total",
    "khandle_cache_slot_invalidate_calls_total",
    "khandle_cache_invalidated_slots_total",
    "khandle_cache_released_refs_total",
    "khandle_cache_ht_sweeps_total",
    "khandle_cache_active_refs",
    "ipc_lock_probe_registry_after_channel_total",
    "ipc_lock_probe_registry_after_port_total",
    "ipc_lock_probe_registry_then_channel_total",
    "ipc_lock_probe_registry_then_port_total",
    "ipc_lock_probe_channel_then_port_total",
    "ipc_lock_probe_channel_after_port_total",
    "ipc_lock_probe_registry_contention_total",
    "ipc_lock_probe_channel_contention_total",
    "ipc_lock_probe_port_contention_total",
    "ipc_lock_probe_state_underflow_total",
    "ipc_lock_probe_warns",
    "kobj_lifecycle_transition_warn_total",
    "kobj_lifecycle_access_warn_total",
    "kobj_lifecycle_warns",
];

#[test]
fn counters_have_their_lines_in_order() {
    let text = text(stats);
    let keys: Vec<&str> = text.lines().filter_map(|line| line.split_once('=')).map(|(key, _)| key).collect();
    assert_eq!(text.lines().next(), Some("schema=sysfs_ipc_stats_v2"));
    let (_, first) = keys.split_first().unwrap();
    assert_eq!(first[..KNOWN_KEYS.len()], KNOWN_KEYS);
    assert!(keys.contains(&"projection_lag_ns") && keys.contains(&"objects_vnode"));
    let mut unique = keys.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), keys.len(), "each key has one line");
}

#[test]
fn a_text_that_is_full_ends_with_a_whole_row_and_says_where_to_go_on() {
    let mut text = String::new();
    let mut rows = rows::Rows::new(&mut text);
    let line = "x".repeat(1000);
    while rows.add(|row| writeln!(row, "{line}")).unwrap() {}
    assert!(!rows.add(|row| writeln!(row, "short")).unwrap(), "a gap would be a lie");
    assert!(text.len() <= TEXT_BYTES && text.len() > TEXT_BYTES - 2000);
    assert!(text.ends_with(&format!("{line}\n")));
}
