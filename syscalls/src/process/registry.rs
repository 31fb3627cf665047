//! Who is whose child, and in which group and session: the family tree as plain data.
//!
//! ```text
//!   session 1 --- group 1 --- process 1 (init)
//!           \                   |  children, in the order of their birth
//!            +-- group 7 --- process 7 --- threads 7, 9
//!                        \-- process 8 (zombie) --- no threads
//! ```
//!
//! The registry knows numbers and relations, and carries a payload for each process and thread; it
//! sends no signal and wakes nobody. Whoever changes it holds one lock around it, learns from the
//! return value what follows, and does that after the lock is free.
//!
//! A number is in use while a process, a thread, a group or a session goes by it, so a new process
//! never meets an old group of its own number.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use base::hash::{HashTable, Statistics};
use base::{Errno, Result};

use crate::process::numbers::Numbers;

/// Number of the first process, which adopts orphans.
pub const INIT: u32 = 1;

/// One process in the tree.
#[derive(Debug)]
pub struct Node<P> {
    /// What the number stands for.
    pub payload: P,
    /// Its parent, 0 for the first process.
    pub parent: u32,
    /// Thread of the parent that made it: `__WNOTHREAD` and `PR_SET_PDEATHSIG` ask.
    pub parent_thread: u32,
    /// Children, oldest first.
    pub children: Vec<u32>,
    /// Process group.
    pub group: u32,
    /// Session.
    pub session: u32,
    /// Its live threads, oldest first.
    pub threads: Vec<u32>,
    /// All threads are gone, and the parent has not yet waited for it.
    pub zombie: bool,
    /// The parent has been told of the end. Until then nobody may take the zombie away, so that the
    /// signal neither comes before the zombie can be found nor after it was.
    pub reported: bool,
    /// It has executed a program since it was forked: setpgid(2) refuses it.
    pub executed: bool,
    /// Adopts the orphans among its descendants (`PR_SET_CHILD_SUBREAPER`).
    pub subreaper: bool,
}

/// What [`Registry::orphan`] did with one child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// The child.
    pub child: u32,
    /// Its new parent.
    pub parent: u32,
    /// It was a zombie already: the new parent must be told.
    pub zombie: bool,
    /// Its group, which may have lost its last tie to the session.
    pub group: u32,
}

/// The tree, with `P` for each process and `T` for each thread.
#[derive(Debug)]
pub struct Registry<P, T> {
    numbers: Numbers,
    processes: HashTable<u32, Node<P>>,
    /// The numbers of the processes, in their order.
    order: BTreeSet<u32>,
    threads: HashTable<u32, T>,
    /// Group to its session and members.
    groups: BTreeMap<u32, Group>,
    /// Session to its number of processes.
    sessions: BTreeMap<u32, usize>,
}

/// A process group.
#[derive(Debug, Default)]
pub struct Group {
    /// The session it belongs to.
    pub session: u32,
    /// Its processes, zombies among them.
    pub members: BTreeSet<u32>,
}

impl<P, T> Default for Registry<P, T> {
    fn default() -> Self {
        Registry {
            numbers: Numbers::default(),
            processes: HashTable::new(),
            order: BTreeSet::new(),
            threads: HashTable::new(),
            groups: BTreeMap::new(),
            sessions: BTreeMap::new(),
        }
    }
}

impl<P, T> Registry<P, T> {
    /// A number that nothing goes by. It is taken only when something is inserted under it.
    ///
    /// # Errors
    ///
    /// `EAGAIN` when all are in use.
    pub fn fresh_number(&mut self) -> Result<u32> {
        let Registry { numbers, processes, threads, groups, sessions, .. } = self;
        numbers
            .next(|n| {
                processes.contains_key(&n)
                    || threads.contains_key(&n)
                    || groups.contains_key(&n)
                    || sessions.contains_key(&n)
            })
            .ok_or(Errno::EAGAIN)
    }

    /// True when nothing goes by this number.
    #[must_use]
    pub fn is_free(&self, number: u32) -> bool {
        !(self.processes.contains_key(&number)
            || self.threads.contains_key(&number)
            || self.groups.contains_key(&number)
            || self.sessions.contains_key(&number))
    }

    /// The number given out last.
    #[must_use]
    pub fn last_number(&self) -> u32 {
        self.numbers.last()
    }

    /// Adds a process whose first thread has the same number. It joins its parent's group and session;
    /// without a parent (the first process) it starts its own.
    pub fn insert(&mut self, pid: u32, payload: P, thread: T, parent: u32, parent_thread: u32) {
        let (group, session) =
            self.processes.get(&parent).map_or((pid, pid), |node| (node.group, node.session));
        if let Some(node) = self.processes.get_mut(&parent) {
            node.children.push(pid);
        }
        let node = Node {
            payload,
            parent,
            parent_thread,
            children: Vec::new(),
            group,
            session,
            threads: alloc::vec![pid],
            zombie: false,
            reported: false,
            executed: false,
            subreaper: false,
        };
        self.processes.insert(pid, node);
        self.order.insert(pid);
        self.threads.insert(pid, thread);
        self.join(pid, group, session);
        *self.sessions.entry(session).or_default() += 1;
    }

    /// Adds a thread to a process.
    pub fn insert_thread(&mut self, pid: u32, tid: u32, thread: T) {
        if let Some(node) = self.processes.get_mut(&pid) {
            node.threads.push(tid);
            self.threads.insert(tid, thread);
        }
    }

    /// Takes a thread out; true when it was the last one of its process.
    pub fn remove_thread(&mut self, pid: u32, tid: u32) -> bool {
        self.threads.remove(&tid);
        match self.processes.get_mut(&pid) {
            Some(node) => {
                node.threads.retain(|&other| other != tid);
                node.threads.is_empty()
            }
            None => true,
        }
    }

    /// Gives thread `tid` the number of its process: what execve(2) does when another thread than the
    /// first calls it. Every other thread is gone by then.
    pub fn take_over_leader(&mut self, pid: u32, tid: u32) {
        if let (Some(thread), Some(node)) = (self.threads.remove(&tid), self.processes.get_mut(&pid)) {
            node.threads.retain(|&other| other != tid);
            node.threads.insert(0, pid);
            self.threads.insert(pid, thread);
        }
    }

    /// The process with this number, zombies included.
    #[must_use]
    pub fn process(&self, pid: u32) -> Option<&Node<P>> {
        self.processes.get(&pid)
    }

    /// The process with this number, to be changed.
    pub fn process_mut(&mut self, pid: u32) -> Option<&mut Node<P>> {
        self.processes.get_mut(&pid)
    }

    /// The thread with this number.
    #[must_use]
    pub fn thread(&self, tid: u32) -> Option<&T> {
        self.threads.get(&tid)
    }

    /// All processes by rising number.
    pub fn processes(&self) -> impl Iterator<Item = (u32, &Node<P>)> {
        self.order.iter().filter_map(|pid| Some((*pid, self.processes.get(pid)?)))
    }

    /// The first process whose number is at least `from`, zombies included.
    #[must_use]
    pub fn next_process(&self, from: u32) -> Option<(u32, &Node<P>)> {
        let pid = self.order.range(from..).next()?;
        Some((*pid, self.processes.get(pid)?))
    }

    /// Numbers of processes, zombies included, and of live threads.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.processes.len(), self.threads.len())
    }

    /// The table of processes.
    #[must_use]
    pub fn process_statistics(&self) -> Statistics {
        self.processes.statistics()
    }

    /// The table of threads.
    #[must_use]
    pub fn thread_statistics(&self) -> Statistics {
        self.threads.statistics()
    }

    /// The group with this number.
    #[must_use]
    pub fn group(&self, group: u32) -> Option<&Group> {
        self.groups.get(&group)
    }

    /// True when a session goes by this number.
    #[must_use]
    pub fn is_session(&self, session: u32) -> bool {
        self.sessions.contains_key(&session)
    }

    /// The process that adopts the children of `pid`: its nearest living ancestor that said so, or init.
    #[must_use]
    pub fn reaper_of(&self, pid: u32) -> u32 {
        let mut at = self.processes.get(&pid).map_or(0, |node| node.parent);
        while at != INIT {
            match self.processes.get(&at) {
                Some(node) if node.subreaper && !node.threads.is_empty() => return at,
                Some(node) => at = node.parent,
                None => return INIT,
            }
        }
        INIT
    }

    /// Gives the children of a dying process to its reaper.
    pub fn orphan(&mut self, pid: u32) -> Vec<Adopted> {
        let reaper = self.reaper_of(pid);
        let reaper_thread =
            self.processes.get(&reaper).and_then(|node| node.threads.first().copied()).unwrap_or(0);
        let children = match self.processes.get_mut(&pid) {
            Some(node) => core::mem::take(&mut node.children),
            None => return Vec::new(),
        };
        let mut adopted = Vec::with_capacity(children.len());
        for child in children {
            if let Some(node) = self.processes.get_mut(&child) {
                (node.parent, node.parent_thread) = (reaper, reaper_thread);
                adopted.push(Adopted { child, parent: reaper, zombie: node.zombie, group: node.group });
            }
            if let Some(node) = self.processes.get_mut(&reaper) {
                node.children.push(child);
            }
        }
        adopted
    }

    /// Children that thread `tid` made pass to `heir`, another thread of the same process; returns them.
    pub fn hand_over_children(&mut self, pid: u32, tid: u32, heir: u32) -> Vec<u32> {
        let Some(node) = self.processes.get(&pid) else { return Vec::new() };
        let mut moved = node.children.clone();
        moved.retain(|child| self.processes.get(child).is_some_and(|node| node.parent_thread == tid));
        for child in &moved {
            if let Some(node) = self.processes.get_mut(child) {
                node.parent_thread = heir;
            }
        }
        moved
    }

    /// Marks the process dead: its last thread is gone.
    pub fn become_zombie(&mut self, pid: u32) {
        if let Some(node) = self.processes.get_mut(&pid) {
            node.zombie = true;
        }
    }

    /// Takes a zombie out of the tree, for good.
    pub fn reap(&mut self, pid: u32) -> Option<P> {
        let node = self.processes.remove(&pid)?;
        self.order.remove(&pid);
        self.threads.remove(&pid);
        if let Some(parent) = self.processes.get_mut(&node.parent) {
            parent.children.retain(|&child| child != pid);
        }
        self.leave(pid, node.group);
        self.leave_session(node.session);
        Some(node.payload)
    }

    /// Makes `pid` the leader of a new session and of a new group in it: setsid(2).
    ///
    /// # Errors
    ///
    /// `EPERM` when a group goes by its number already; `ESRCH`.
    pub fn start_session(&mut self, pid: u32) -> Result<()> {
        let node = self.processes.get(&pid).ok_or(Errno::ESRCH)?;
        if self.groups.contains_key(&pid) || node.session == pid {
            return Err(Errno::EPERM);
        }
        let (old_group, old_session) = (node.group, node.session);
        self.leave(pid, old_group);
        self.leave_session(old_session);
        self.join(pid, pid, pid);
        *self.sessions.entry(pid).or_default() += 1;
        if let Some(node) = self.processes.get_mut(&pid) {
            (node.group, node.session) = (pid, pid);
        }
        Ok(())
    }

    /// Puts `target` into `group` on behalf of `caller`, with the checks of setpgid(2) in Linux's order.
    /// Returns the group that it left.
    ///
    /// # Errors
    ///
    /// `ESRCH` no such process, or neither the caller nor its child; `EPERM` it is a session leader or in
    /// another session, or the group is in another session; `EACCES` the child has executed a program.
    pub fn set_group(&mut self, caller: u32, target: u32, group: u32) -> Result<u32> {
        let caller_session = self.processes.get(&caller).ok_or(Errno::ESRCH)?.session;
        let node = self.processes.get(&target).ok_or(Errno::ESRCH)?;
        if node.parent == caller && target != caller {
            if node.session != caller_session {
                return Err(Errno::EPERM);
            }
            if node.executed {
                return Err(Errno::EACCES);
            }
        } else if target != caller {
            return Err(Errno::ESRCH);
        }
        if node.session == target {
            return Err(Errno::EPERM);
        }
        if group != target && self.groups.get(&group).is_none_or(|g| g.session != caller_session) {
            return Err(Errno::EPERM);
        }
        let (old, session) = (node.group, node.session);
        if old != group {
            self.leave(target, old);
            self.join(target, group, session);
            if let Some(node) = self.processes.get_mut(&target) {
                node.group = group;
            }
        }
        Ok(old)
    }

    /// True when no living member of `group`, `ignored` apart, has a parent in the same session but in
    /// another group: nobody is left who could continue its stopped jobs.
    #[must_use]
    pub fn is_orphaned(&self, group: u32, ignored: Option<u32>) -> bool {
        let Some(members) = self.groups.get(&group).map(|g| &g.members) else { return false };
        !members.iter().any(|&pid| {
            let Some(node) = self.processes.get(&pid) else { return false };
            if Some(pid) == ignored || node.zombie || node.parent == INIT {
                return false;
            }
            self.processes
                .get(&node.parent)
                .is_some_and(|parent| parent.group != group && parent.session == node.session)
        })
    }

    fn join(&mut self, pid: u32, group: u32, session: u32) {
        let entry = self.groups.entry(group).or_default();
        entry.session = session;
        entry.members.insert(pid);
    }

    fn leave(&mut self, pid: u32, group: u32) {
        if let Some(entry) = self.groups.get_mut(&group) {
            entry.members.remove(&pid);
            if entry.members.is_empty() {
                self.groups.remove(&group);
            }
        }
    }

    fn leave_session(&mut self, session: u32) {
        if let Some(members) = self.sessions.get_mut(&session) {
            *members -= 1;
            if *members == 0 {
                self.sessions.remove(&session);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Tree = Registry<(), ()>;

    /// init(1) with a shell (2, its own session) that runs two jobs: 3 with child 4, and 5.
    fn shell() -> Tree {
        let mut tree = Tree::default();
        for (pid, parent) in [(1, 0), (2, 1), (3, 2), (4, 3), (5, 2)] {
            tree.insert(pid, (), (), parent, parent);
            if pid == 2 {
                tree.start_session(2).unwrap();
            }
        }
        tree.set_group(2, 3, 3).unwrap();
        tree.set_group(4, 4, 3).unwrap();
        tree.set_group(2, 5, 5).unwrap();
        tree
    }

    fn die(tree: &mut Tree, pid: u32) -> Vec<Adopted> {
        assert!(tree.remove_thread(pid, pid));
        tree.become_zombie(pid);
        tree.orphan(pid)
    }

    #[test]
    fn a_number_is_not_reused_while_its_group_lives() {
        let mut tree = shell();
        die(&mut tree, 3);
        tree.reap(3);
        assert!(tree.process(3).is_none() && tree.group(3).is_some());
        for _ in 0..40_000 {
            assert!(![1, 2, 3, 4, 5].contains(&tree.fresh_number().unwrap()));
        }
        die(&mut tree, 4);
        tree.reap(4);
        assert!(tree.group(3).is_none());
    }

    #[test]
    fn orphans_go_to_the_nearest_subreaper_or_to_init() {
        let mut tree = shell();
        assert_eq!(die(&mut tree, 3)[0], Adopted { child: 4, parent: 1, zombie: false, group: 3 });
        let mut tree = shell();
        tree.process_mut(2).unwrap().subreaper = true;
        assert_eq!(die(&mut tree, 3)[0].parent, 2);
        assert_eq!(tree.process(2).unwrap().children, [3, 5, 4]);
    }

    #[test]
    fn setpgid_obeys_its_rules() {
        let mut tree = shell();
        assert_eq!(tree.set_group(1, 99, 99), Err(Errno::ESRCH));
        assert_eq!(tree.set_group(5, 3, 3), Err(Errno::ESRCH), "neither itself nor its child");
        assert_eq!(tree.set_group(2, 2, 2), Err(Errno::EPERM), "a session leader");
        assert_eq!(tree.set_group(1, 2, 1), Err(Errno::EPERM), "a child in another session");
        assert_eq!(tree.set_group(2, 3, 77), Err(Errno::EPERM), "no such group");
        assert_eq!(tree.set_group(2, 3, 1), Err(Errno::EPERM), "a group of another session");
        tree.process_mut(5).unwrap().executed = true;
        assert_eq!(tree.set_group(2, 5, 3), Err(Errno::EACCES));
        assert_eq!(tree.set_group(5, 5, 3), Ok(5), "for itself it may, whatever it executed");
        assert!(tree.group(5).is_none());
    }

    #[test]
    fn setsid_fails_for_a_group_leader() {
        let mut tree = shell();
        assert_eq!(tree.start_session(3), Err(Errno::EPERM));
        assert_eq!(tree.start_session(4), Ok(()));
        assert_eq!(tree.process(4).map(|node| (node.group, node.session)), Some((4, 4)));
        assert!(tree.is_session(4) && !tree.group(3).unwrap().members.contains(&4));
    }

    #[test]
    fn a_group_is_orphaned_when_its_last_outside_parent_goes() {
        let mut tree = shell();
        assert!(!tree.is_orphaned(3, None));
        assert!(tree.is_orphaned(3, Some(3)), "only 3 has its parent outside");
        die(&mut tree, 2);
        assert!(tree.is_orphaned(3, None) && tree.is_orphaned(5, None));
    }

    #[test]
    fn a_thread_that_executes_takes_the_leaders_number() {
        let mut tree = shell();
        tree.insert_thread(5, 9, ());
        assert!(!tree.remove_thread(5, 5));
        tree.take_over_leader(5, 9);
        assert_eq!(tree.process(5).unwrap().threads, [5]);
        assert!(tree.thread(9).is_none() && tree.thread(5).is_some());
    }

    #[test]
    fn children_pass_to_another_thread_of_their_parent() {
        let mut tree = shell();
        tree.insert_thread(2, 7, ());
        tree.insert(8, (), (), 2, 7);
        assert_eq!(tree.hand_over_children(2, 7, 2), [8]);
        assert_eq!(tree.process(8).unwrap().parent_thread, 2);
    }
}
