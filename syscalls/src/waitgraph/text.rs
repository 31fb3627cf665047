//! The rows of the file: stable columns, because programs read them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt::{self, Display, Write};

use executor::pollwait::WaitKind;

use super::graph::Analysis;
use super::relations::{Node, Relations};
use super::waiters::Waiter;
use crate::table;

/// Name of the format, and the columns of each kind of row.
const HEADER: &str = "schema=kairos_waitgraph_v1
# thread tid pid state call on mask since_ns deadline_ns woken_by woken_on stuck cycle name
# edge from to
# cycle number tid...
# end threads edges truncated
";

/// Writes the file.
///
/// # Errors
///
/// As the writer.
pub(super) fn write(out: &mut dyn Write, waiters: &[Waiter], relations: &Relations) -> fmt::Result {
    let graph = &relations.graph;
    let by_tid: BTreeMap<u32, &Waiter> = waiters.iter().map(|waiter| (waiter.thread.tid(), waiter)).collect();
    let waits_on = |node: &Node| match node {
        Node::Thread(tid) => by_tid.get(tid).and_then(|waiter| waiter.wait.as_ref()),
        _ => None,
    };
    let analysis = graph.analyse(|at| match &graph.nodes()[at] {
        node @ Node::Thread(_) => waits_on(node).is_none_or(|wait| wait.deadline.is_some()),
        _ => false,
    });
    out.write_str(HEADER)?;
    for waiter in waiters {
        write_thread(out, waiter, relations, &analysis)?;
    }
    let mut edges = 0;
    for (from, to) in graph.edges() {
        let (from, to) = (graph.nodes()[from], graph.nodes()[to]);
        // Rows of threads tell their processes, and what they wait on unless that is a process.
        let is_told = matches!((from, to), (Node::Process(_), _) | (Node::Thread(_), Node::Source(_)));
        if is_told || matches!(from, Node::Thread(_)) && waits_on(&from).is_none() {
            continue;
        }
        edges += 1;
        writeln!(out, "edge {} {}", Label(from, relations), Label(to, relations))?;
    }
    write_cycles(out, relations, &analysis)?;
    writeln!(out, "end {} {edges} {}", waiters.len(), u8::from(graph.is_truncated()))
}

fn write_thread(
    out: &mut dyn Write,
    waiter: &Waiter,
    relations: &Relations,
    analysis: &Analysis,
) -> fmt::Result {
    let Waiter { thread, state, wait, woken, call } = waiter;
    let call = call.as_ref().filter(|_| wait.is_some());
    let call = call.map(|call| table::lookup(call.number).map_or("?", |syscall| syscall.name));
    let at = relations.graph.find(Node::Thread(thread.tid()));
    let (stuck, cycle) = at.map_or((false, None), |at| (analysis.stuck[at], analysis.cycle[at]));
    write!(out, "thread {} {} {} ", thread.tid(), thread.process().pid(), state.letter())?;
    write!(out, "{} ", call.unwrap_or("-"))?;
    match wait {
        None => write!(out, "- - - - ")?,
        Some(wait) => {
            match wait.source {
                Some(source) => write!(out, "{} ", Label(Node::Source(source), relations))?,
                None => write!(out, "{} ", wait.kind.name())?,
            }
            write!(out, "{:#x} {} ", wait.events.bits(), wait.since.as_nanos())?;
            write!(out, "{} ", Optional(wait.deadline.map(base::time::Instant::as_nanos)))?;
        }
    }
    match woken {
        None => write!(out, "- - ")?,
        Some(woken) => write!(out, "{} {}:{} ", woken.reason.name(), woken.kind.name(), woken.object)?,
    }
    let name = thread.name().get();
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    writeln!(out, "{} {} \"{}\"", u8::from(stuck), Optional(cycle), name.escape_ascii())
}

/// One row for each cycle, with its threads by rising number.
fn write_cycles(out: &mut dyn Write, relations: &Relations, analysis: &Analysis) -> fmt::Result {
    let mut members: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (node, cycle) in relations.graph.nodes().iter().zip(&analysis.cycle) {
        if let (Node::Thread(tid), Some(cycle)) = (node, cycle) {
            members.entry(*cycle).or_default().push(*tid);
        }
    }
    for (number, mut threads) in members {
        threads.sort_unstable();
        write!(out, "cycle {number}")?;
        threads.iter().try_for_each(|tid| write!(out, " {tid}"))?;
        writeln!(out)?;
    }
    Ok(())
}

/// A value, or a dash for none.
struct Optional<T>(Option<T>);

impl<T: Display> Display for Optional<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(out),
            None => out.write_str("-"),
        }
    }
}

/// A node in the file: what it is, and its number. A source without an object's number has one that is its own
/// in this text.
struct Label<'a>(Node, &'a Relations);

impl Display for Label<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Label(node, relations) = self;
        match node {
            Node::Thread(tid) => write!(out, "thread:{tid}"),
            Node::Process(pid) => write!(out, "process:{pid}"),
            Node::Source(source) => {
                let (kind, object) = relations.names.get(source).copied().unwrap_or((WaitKind::Other, 0));
                match relations.graph.find(*node) {
                    Some(at) if object == 0 => write!(out, "{}:@{at}", kind.name()),
                    _ => write!(out, "{}:{object}", kind.name()),
                }
            }
        }
    }
}
