//! Random programs against a naive model: several processes that duplicate, send, receive, revoke, close,
//! fork and exit. After every step each process reaches exactly the capabilities that the model says, under the
//! numbers and with the rights that it says, and each object's history is what the model says, in order.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::support::Process;
use crate::Rights;
use crate::object::registry::lookup as registry_of;

/// One step; numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Create { process: usize },
    Duplicate { process: usize, handle: usize, mask: u32 },
    Narrow { process: usize, handle: usize, mask: u32 },
    Close { process: usize, handle: usize },
    CloseRevoking { process: usize, handle: usize },
    RevokeDescendants { process: usize, handle: usize },
    Send { process: usize, channel: usize, handles: Vec<usize> },
    Receive { process: usize, channel: usize },
    Fork { process: usize },
    Exit { process: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let place = || (0..4usize, 0..12usize);
    prop_oneof![
        2 => (0..4usize).prop_map(|process| Step::Create { process }),
        4 => (place(), 0..64u32)
            .prop_map(|((process, handle), mask)| Step::Duplicate { process, handle, mask }),
        1 => (place(), 0..64u32).prop_map(|((process, handle), mask)| Step::Narrow { process, handle, mask }),
        2 => place().prop_map(|(process, handle)| Step::Close { process, handle }),
        1 => place().prop_map(|(process, handle)| Step::CloseRevoking { process, handle }),
        1 => place().prop_map(|(process, handle)| Step::RevokeDescendants { process, handle }),
        5 => (place(), proptest::collection::vec(0..12usize, 0..4))
            .prop_map(|((process, channel), handles)| Step::Send { process, channel, handles }),
        5 => place().prop_map(|(process, channel)| Step::Receive { process, channel }),
        1 => (0..4usize).prop_map(|process| Step::Fork { process }),
        1 => (0..4usize).prop_map(|process| Step::Exit { process }),
    ]
}

/// A capability as the model knows it.
#[derive(Clone, Debug)]
struct Cap {
    /// The name that the kernel gave it, which moves with it.
    name: u64,
    /// The end that it names.
    end: usize,
    rights: Rights,
    parent: Option<usize>,
    revoked: bool,
}

/// A step in the history of an object: what, from whom, to whom, with which rights.
type Entry = (&'static str, i32, i32, u32);

const NOBODY: i32 = -1;

/// An end of a channel: the other one is beside it.
#[derive(Clone, Debug, Default)]
struct End {
    open: bool,
    /// Messages to receive: the capabilities in each.
    queue: Vec<Vec<usize>>,
    /// Its whole history.
    events: Vec<Entry>,
}

#[derive(Default)]
struct Model {
    caps: Vec<Cap>,
    ends: Vec<End>,
    /// Handles of each process: number and capability.
    tables: Vec<BTreeMap<i32, usize>>,
}

impl Model {
    /// A new capability, which the kernel calls `name`: no other has ever had that name.
    fn cap(&mut self, name: u64, end: usize, rights: Rights, parent: Option<usize>) -> usize {
        assert!(self.caps.iter().all(|other| other.name != name), "{name} again");
        self.caps.push(Cap { name, end, rights, parent, revoked: false });
        self.caps.len() - 1
    }

    fn is_below(&self, cap: usize, top: usize) -> bool {
        let mut parent = self.caps[cap].parent;
        while let Some(at) = parent {
            if at == top {
                return true;
            }
            parent = self.caps[at].parent;
        }
        false
    }

    fn revoke(&mut self, top: usize, whole: bool) {
        for cap in 0..self.caps.len() {
            if self.is_below(cap, top) || whole && cap == top {
                self.caps[cap].revoked = true;
            }
        }
        for table in &mut self.tables {
            table.retain(|_, cap| !self.caps[*cap].revoked);
        }
        self.close_unowned();
    }

    /// Closes every end that no handle and no queued capability names, and drops what was in its queue.
    fn close_unowned(&mut self) {
        loop {
            let mut owned = BTreeSet::new();
            owned.extend(self.tables.iter().flat_map(|table| table.values()).map(|cap| self.caps[*cap].end));
            let queued = self.ends.iter().flat_map(|end| end.queue.iter().flatten());
            owned.extend(queued.map(|cap| self.caps[*cap].end));
            let Some(dead) = (0..self.ends.len()).find(|end| self.ends[*end].open && !owned.contains(end))
            else {
                return;
            };
            self.ends[dead].open = false;
            for cap in core::mem::take(&mut self.ends[dead].queue).into_iter().flatten() {
                self.record(cap, "drop", NOBODY, NOBODY);
            }
        }
    }

    fn record(&mut self, cap: usize, event: &'static str, from: i32, to: i32) {
        let Cap { end, rights, .. } = self.caps[cap];
        self.ends[end].events.push((event, from, to, rights.bits()));
    }
}

/// The real thing beside the model.
struct World {
    processes: Vec<Process>,
    /// Object ids of the ends.
    ids: Vec<u32>,
    model: Model,
    next_pid: u32,
}

impl World {
    fn new() -> World {
        let processes = vec![Process::new(1), Process::new(2)];
        let model = Model { tables: vec![BTreeMap::new(); 2], ..Model::default() };
        World { processes, ids: Vec::new(), model, next_pid: 3 }
    }

    /// The number that the step means, or one that names nothing.
    fn number(&self, process: usize, handle: usize) -> i32 {
        let table = &self.model.tables[process];
        table.keys().nth(handle % table.len().max(1)).copied().unwrap_or(200)
    }

    /// What the kernel calls the capability of a number.
    fn name(&self, process: usize, number: i32) -> u64 {
        self.processes[process].table.info(number).unwrap().capability
    }

    fn pid(&self, process: usize) -> i32 {
        self.processes[process].caller.pid.cast_signed()
    }

    fn run(&mut self, step: &Step) {
        let count = self.processes.len();
        match *step {
            Step::Create { process } => self.create(process % count),
            Step::Duplicate { process, handle, mask } => self.duplicate(process % count, handle, mask),
            Step::Narrow { process, handle, mask } => self.narrow(process % count, handle, mask),
            Step::Close { process, handle } => {
                let process = process % count;
                let number = self.number(process, handle);
                let closed = self.processes[process].table.close(number).is_ok();
                assert_eq!(closed, self.model.tables[process].remove(&number).is_some());
                self.model.close_unowned();
            }
            Step::CloseRevoking { process, handle } => self.revoke(process % count, handle, true),
            Step::RevokeDescendants { process, handle } => self.revoke(process % count, handle, false),
            Step::Send { process, channel, ref handles } => self.send(process % count, channel, handles),
            Step::Receive { process, channel } => self.receive(process % count, channel),
            Step::Fork { process } => self.fork(process % count),
            Step::Exit { process } => {
                if count > 1 {
                    self.processes.remove(process % count).exit();
                    self.model.tables.remove(process % count);
                    self.model.close_unowned();
                }
            }
        }
    }

    fn create(&mut self, process: usize) {
        if self.model.tables[process].len() > 100 {
            return;
        }
        for number in <[i32; 2]>::from(self.processes[process].channel()) {
            self.model.ends.push(End { open: true, ..End::default() });
            let name = self.name(process, number);
            let cap = self.model.cap(name, self.model.ends.len() - 1, Rights::CHANNEL, None);
            self.model.tables[process].insert(number, cap);
            self.ids.push(self.processes[process].table.info(number).unwrap().object);
        }
    }

    fn duplicate(&mut self, process: usize, handle: usize, mask: u32) {
        let number = self.number(process, handle);
        let mask = Rights::from_bits_truncate(mask);
        let here = &self.processes[process];
        let result = here.table.duplicate_handle(&here.caller, number, mask, false);
        let expected = self.model.tables[process].get(&number).and_then(|cap| {
            let rights = self.model.caps[*cap].rights;
            let left = if mask.is_empty() { rights } else { rights & mask };
            (rights.contains(Rights::DUPLICATE) && !left.is_empty()).then_some((*cap, left))
        });
        assert_eq!(result.is_ok(), expected.is_some(), "{result:?}");
        if let (Ok(copy), Some((parent, rights))) = (result, expected) {
            let name = self.name(process, copy);
            let cap = self.model.cap(name, self.model.caps[parent].end, rights, Some(parent));
            self.model.tables[process].insert(copy, cap);
        }
    }

    fn narrow(&mut self, process: usize, handle: usize, mask: u32) {
        let number = self.number(process, handle);
        let mask = Rights::from_bits_truncate(mask);
        let result = self.processes[process].table.narrow(number, mask);
        let cap = self.model.tables[process].get(&number).copied();
        let left = cap.map(|cap| self.model.caps[cap].rights & mask).filter(|left| !left.is_empty());
        assert_eq!(result.ok(), left);
        if let (Some(cap), Some(left)) = (cap, left) {
            self.model.caps[cap].rights = left;
        }
    }

    fn revoke(&mut self, process: usize, handle: usize, whole: bool) {
        let number = self.number(process, handle);
        let table = &self.processes[process].table;
        let result = table.begin_revocation(number, whole).map(drop);
        let cap = self.model.tables[process].get(&number).copied();
        assert_eq!(result.is_ok(), cap.is_some());
        if let Some(cap) = cap {
            self.model.revoke(cap, whole);
        }
    }

    fn send(&mut self, process: usize, channel: usize, handles: &[usize]) {
        let channel = self.number(process, channel);
        let numbers: Vec<i32> = handles.iter().map(|handle| self.number(process, *handle)).collect();
        let result = self.processes[process].send(channel, b"m", &numbers);
        let table = &self.model.tables[process];
        let Some(via) = table.get(&channel).copied() else { return assert!(result.is_err()) };
        let sent: Option<Vec<usize>> = numbers.iter().map(|number| table.get(number).copied()).collect();
        let may_write = self.model.caps[via].rights.contains(Rights::WRITE);
        let Some(sent) = sent.filter(|_| may_write) else { return assert!(result.is_err()) };
        let distinct = numbers.iter().collect::<BTreeSet<_>>().len() == numbers.len();
        let movable = sent.iter().all(|cap| self.model.caps[*cap].rights.contains(Rights::TRANSFER));
        if !distinct || !movable {
            return assert!(result.is_err());
        }
        // From here on the handles are taken out, and put back if the channel refuses.
        let pid = self.pid(process);
        sent.iter().for_each(|cap| self.model.record(*cap, "take", pid, NOBODY));
        let end = self.model.caps[via].end;
        let there = end ^ 1;
        let into_itself = sent.iter().any(|cap| self.model.caps[*cap].end == there);
        let open = self.model.ends[end].open && self.model.ends[there].open;
        let room = self.model.ends[there].queue.len() < crate::channel::QUEUE_MESSAGES;
        assert_eq!(result.is_ok(), !into_itself && open && room, "{result:?}");
        if result.is_err() {
            sent.iter().for_each(|cap| self.model.record(*cap, "restore", NOBODY, pid));
            return;
        }
        sent.iter().for_each(|cap| self.model.record(*cap, "enqueue", pid, NOBODY));
        for number in &numbers {
            self.model.tables[process].remove(number);
        }
        self.model.ends[there].queue.push(sent);
        self.model.close_unowned();
    }

    fn receive(&mut self, process: usize, channel: usize) {
        let channel = self.number(process, channel);
        let result = self.processes[process].receive(channel);
        let Some(via) = self.model.tables[process].get(&channel).copied() else {
            return assert!(result.is_err());
        };
        let end = self.model.caps[via].end;
        if !self.model.caps[via].rights.contains(Rights::READ) {
            return assert!(result.is_err());
        }
        if self.model.ends[end].queue.is_empty() {
            let ended = !self.model.ends[end ^ 1].open;
            return assert_eq!(matches!(result, Ok(None)), ended, "{result:?}");
        }
        let caps = self.model.ends[end].queue.remove(0);
        let (_, numbers) = result.expect("there is a message").expect("there is a message");
        assert_eq!(numbers.len(), caps.len());
        let pid = self.pid(process);
        for (number, cap) in numbers.into_iter().zip(caps) {
            self.model.record(cap, "deliver", NOBODY, pid);
            if self.model.caps[cap].revoked {
                assert_eq!(number, -1);
                self.model.record(cap, "drop", NOBODY, NOBODY);
                continue;
            }
            self.model.record(cap, "install", NOBODY, pid);
            self.model.record(cap, "release", NOBODY, NOBODY);
            self.model.tables[process].insert(number, cap);
        }
        self.model.close_unowned();
    }

    fn fork(&mut self, process: usize) {
        if self.processes.len() > 3 {
            return;
        }
        let child = self.processes[process].fork(self.next_pid);
        self.next_pid += 1;
        self.processes.push(child);
        let parents: Vec<(i32, usize)> =
            self.model.tables[process].iter().map(|(number, cap)| (*number, *cap)).collect();
        let mut table = BTreeMap::new();
        for (number, parent) in parents {
            let Cap { end, rights, .. } = self.model.caps[parent];
            let name = self.name(self.processes.len() - 1, number);
            table.insert(number, self.model.cap(name, end, rights, Some(parent)));
        }
        self.model.tables.push(table);
    }

    /// What is reachable, and what was recorded, is what the model says.
    fn check(&self) {
        for (process, table) in self.processes.iter().zip(&self.model.tables) {
            let mut real = BTreeMap::new();
            let mut from = 0;
            while let Some(row) = process.table.next_row(from) {
                from = row.handle as usize + 1;
                real.insert(row.handle, (row.capability, row.object.base().id(), row.rights));
            }
            let described = |cap: &usize| {
                let Cap { name, end, rights, .. } = self.model.caps[*cap];
                (name, self.ids[end], rights)
            };
            let expected: BTreeMap<_, _> =
                table.iter().map(|(number, cap)| (*number, described(cap))).collect();
            assert_eq!(real, expected);
        }
        for (end, id) in self.model.ends.iter().zip(&self.ids) {
            let Some(object) = registry_of(*id) else {
                assert!(!end.open, "an open end is gone");
                continue;
            };
            let status = object.channel().unwrap().status();
            assert_eq!((status.is_open, status.queued), (end.open, end.queue.len()));
            let mut told = Vec::new();
            object.transfers(|step| told.push((step.event.name(), step.from_pid, step.to_pid, step.rights)));
            check_history(&told, &end.events);
        }
    }
}

/// What an object tells of itself is the end of what happened. When several are lost at once, who goes first is for the
/// kernel to choose.
fn check_history(told: &[Entry], happened: &[Entry]) {
    let (lost, moved): (Vec<Entry>, Vec<Entry>) = told.iter().partition(|(event, ..)| *event == "drop");
    let (all_lost, all_moved): (Vec<Entry>, Vec<Entry>) =
        happened.iter().partition(|(event, ..)| *event == "drop");
    assert_eq!(told.len(), happened.len().min(crate::object::history::TRANSFERS));
    assert!(all_moved.ends_with(&moved), "{told:?} of {happened:?}");
    if told.len() == happened.len() {
        let sorted = |mut entries: Vec<Entry>| {
            entries.sort_unstable();
            entries
        };
        assert_eq!(sorted(lost), sorted(all_lost));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn capabilities_are_where_the_model_says(steps in proptest::collection::vec(step(), 1..60)) {
        // The model knows of no collector, which would close ends that lie in each other's queues.
        let _turn = super::collections();
        let mut world = World::new();
        for step in &steps {
            world.run(step);
            world.check();
        }
        for process in world.processes {
            process.exit();
        }
    }
}
