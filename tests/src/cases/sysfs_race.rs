//! Readers that page through objects and histories while both change.

use crate::harness::{Case, case, rounds};
use crate::sys::*;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) const CASES: &[Case] = &[
    case!(pages_while_objects_come_and_go).root().kairos().deadlines(4),
    case!(pages_while_histories_grow).kairos().deadlines(2),
];

/// Objects that come and go, for each of two processes.
const CHURN: u32 = 5000;
/// Objects that stay.
const STAYING: usize = 40;
/// Object ids that the shared notes have room for, from the first one on.
const NOTES: u32 = 1 << 17;
/// Rows of a page.
const PAGE_ROWS: usize = 48;

fn read_text(name: &str) -> String {
    text(&path(name)).unwrap_or_else(|errno| panic!("{name}: {errno:?}"))
}

fn object_of(handle: Handle) -> u32 {
    handle_info(handle).unwrap().object
}

/// What one process tells the others of objects: a word for each id, and how many are at work.
#[derive(Clone, Copy)]
struct Notes {
    at: usize,
    first: u32,
}

impl Notes {
    fn new(first: u32) -> Notes {
        Notes { at: map_shared(4 * (NOTES as usize + 1)), first }
    }

    fn word(self, index: u32) -> &'static AtomicU32 {
        word_at(self.at + 4 * index as usize)
    }

    /// The object is gone: nobody may see it in a page that he begins from now on.
    fn is_gone(self, id: u32) -> bool {
        id >= self.first
            && id - self.first < NOTES
            && self.word(1 + id - self.first).load(Ordering::Acquire) == 1
    }

    fn tell_gone(self, id: u32) {
        assert!(id - self.first < NOTES);
        self.word(1 + id - self.first).store(1, Ordering::Release);
    }

    fn at_work(self) -> &'static AtomicU32 {
        self.word(0)
    }
}

/// Makes and closes ports and channels.
fn churn(notes: Notes) {
    for _ in 0..rounds(u64::from(CHURN / 5)) as u32 {
        let port = port_create().unwrap();
        let (one, other) = channel_create().unwrap();
        let (three, four) = channel_create().unwrap();
        for handle in [port, one, other, three, four] {
            let id = object_of(handle);
            handle_close(handle).unwrap();
            notes.tell_gone(id);
        }
    }
    notes.at_work().fetch_sub(1, Ordering::AcqRel);
}

/// One pass over all pages: the ids, in the order in which they were seen.
fn pass(notes: Notes) -> Vec<u32> {
    let (mut seen, mut cursor) = (Vec::new(), notes.first);
    loop {
        let gone: BTreeSet<u32> = (cursor..cursor + 2048).filter(|id| notes.is_gone(*id)).collect();
        let page = read_text(&format!("/sys/ipc/objects/page.{cursor}.{PAGE_ROWS}"));
        let rows = page.lines().skip(2).filter(|line| !line.starts_with("next_cursor="));
        for row in rows {
            let id: u32 = row.split(' ').next().unwrap().parse().unwrap();
            assert!(!gone.contains(&id), "{id} was gone before the page was begun: {row}");
            assert!(seen.last().is_none_or(|last| *last < id), "{id} comes after {:?}", seen.last());
            seen.push(id);
        }
        let trailer = page.lines().last().unwrap();
        let (next, more) = trailer.strip_prefix("next_cursor=").unwrap().split_once(" has_more=").unwrap();
        if more == "0" {
            return seen;
        }
        cursor = next.parse().unwrap();
    }
}

/// One pass over the pages of what the handles of `owner` went through: the objects that were seen.
fn pass_of_handles(notes: Notes, owner: i32) -> BTreeSet<u32> {
    let (mut seen, mut rows, mut token) = (BTreeSet::new(), BTreeSet::new(), "0.16".to_owned());
    loop {
        let page = read_text(&format!("/proc/{owner}/handle_transfers_v2.{token}"));
        for row in page.lines().filter(|line| !line.contains('=')) {
            let word = |at: usize| -> u32 { row.split(' ').nth(at).unwrap().parse().unwrap() };
            let (handle, object, seq) = (word(0), word(2), word(5));
            assert!(!notes.is_gone(object), "{object} was gone: {row}");
            assert!(rows.insert((handle, object, seq)), "seen twice: {row}");
            seen.insert(object);
        }
        let value = |key: &str| page.lines().find_map(|line| line.strip_prefix(key)).unwrap().to_owned();
        token = value("next_token=");
        if value("end=") == "1" {
            return seen;
        }
    }
}

/// Every object that lives through a pass is seen in it once, and none after it was closed; what follows the
/// registry comes to rest.
fn pages_while_objects_come_and_go() {
    let (to, from) = channel_create().unwrap();
    let staying: Vec<u32> = (0..STAYING)
        .map(|_| {
            let (end, _other) = channel_create().unwrap();
            // One move, so that its history has something to show.
            channel_send(to, b"", &[end], 0).unwrap();
            object_of(channel_recv(from, 0).unwrap().1[0])
        })
        .collect();
    let (owner, notes) = (getpid(), Notes::new(staying[0] - 1));
    notes.at_work().store(2, Ordering::Release);
    let churners: Vec<Child> = (0..2).map(|_| fork(|| churn(notes))).collect();
    let readers: Vec<Child> = (0..4)
        .map(|_| {
            let staying = &staying;
            fork(move || {
                let mut passes = 0;
                while notes.at_work().load(Ordering::Acquire) > 0 || passes == 0 {
                    let seen: BTreeSet<u32> = pass(notes).into_iter().collect();
                    assert!(staying.iter().all(|id| seen.contains(id)), "one that stays is missing");
                    let moved = pass_of_handles(notes, owner);
                    assert!(
                        staying.iter().all(|id| moved.contains(id)),
                        "a move of one that stays is missing"
                    );
                    passes += 1;
                }
            })
        })
        .collect();
    churners.iter().chain(&readers).for_each(Child::succeeds);
    let seen: BTreeSet<u32> = pass(notes).into_iter().collect();
    assert!(seen.iter().all(|id| !notes.is_gone(*id)));
    let stats = |key: &str| -> u64 {
        let text = read_text("/sys/ipc/stats");
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap().parse().unwrap()
    };
    wait_until(|| stats("projection_depth") == 0 && stats("projection_lag_ns") == 0);
    wait_until(|| stat(&path(format!("/sys/ipc/objects/{}", staying[0]))).is_ok());
    let shown: BTreeSet<u32> = std::fs::read_dir("/sys/ipc/objects")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .collect();
    assert!(staying.iter().all(|id| shown.contains(id)));
    assert!(shown.iter().all(|id| !notes.is_gone(*id)));
    assert_eq!(stats("kobj_lifecycle_warns"), 0);
}

/// A reader who follows the tokens sees no transfer twice, in the order of their numbers.
fn pages_while_histories_grow() {
    let (to, from) = channel_create().unwrap();
    let owner = getpid();
    let mut moved: Vec<Handle> = (0..8).map(|_| channel_create().unwrap().0).collect();
    let reader = fork(move || {
        for _ in 0..12 {
            let (mut token, mut last) = ("0.5".to_owned(), (0, 0, 0));
            loop {
                let page = read_text(&format!("/proc/{owner}/handle_transfers_v2.{token}"));
                for row in page.lines().filter(|line| !line.contains('=')) {
                    let word = |at: usize| -> u64 { row.split(' ').nth(at).unwrap().parse().unwrap() };
                    let (handle, object, seq) = (word(0), word(2), word(5));
                    let follows = handle > last.0 || handle == last.0 && (object != last.1 || seq > last.2);
                    assert!(follows, "{row} comes after {last:?}");
                    last = (handle, object, seq);
                }
                let value =
                    |key: &str| page.lines().find_map(|line| line.strip_prefix(key)).unwrap().to_owned();
                token = value("next_token=");
                if value("end=") == "1" {
                    break;
                }
            }
        }
    });
    loop {
        let (pid, status) = wait4(reader.pid, libc::WNOHANG).unwrap();
        if pid == reader.pid {
            assert_eq!(status, Status::Exited(0));
            break;
        }
        for handle in &mut moved {
            channel_send(to, b"", &[*handle], 0).unwrap();
            *handle = channel_recv(from, 0).unwrap().1[0];
        }
    }
}
