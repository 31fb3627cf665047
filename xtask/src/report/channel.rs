//! The distributions of channel events: what `ipc_events` is exported for.

use base::trace::channel::{Fields, Op, State, Wake};
use base::trace::{Event, EventKind, halves};
use serde_json::{Map, Value, json};

use super::count::Counts;
use super::load::Trace;

/// So many processes, channels and pairs are shown.
const TOP: usize = 10;

/// What is counted of all events, and of those of channels.
pub(crate) struct Distributions {
    total: usize,
    columns: Vec<Column>,
}

/// One distribution.
struct Column {
    title: &'static str,
    key: &'static str,
    counts: Counts,
    most: usize,
}

impl Distributions {
    pub(crate) fn of(trace: &Trace) -> Distributions {
        let all = |item: fn(&Event) -> String| Counts::of(trace.events.iter().map(item));
        let ends = || trace.events.iter().filter(|event| event.kind == EventKind::IpcChannel as u16);
        let field =
            |name: fn(Fields) -> String| Counts::of(ends().map(|event| name(Fields::of(event.flags))));
        let ids = |event: &Event| halves(event.arguments[0]);
        let column = |title, key, counts, most| Column { title, key, counts, most };
        let every = usize::MAX;
        let columns = vec![
            column("events by type", "by_event", all(kind_name), every),
            column("by cpu", "by_cpu", all(|event| event.cpu.to_string()), every),
            column("top pids", "by_pid_top10", all(|event| event.by.pid.to_string()), TOP),
            column("schema version", "by_version", field(|fields| fields.version.to_string()), every),
            column("by op", "by_op", field(|fields| Op::name_of(fields.op).to_owned()), every),
            column("by wake", "by_wake", field(|fields| Wake::name_of(fields.wake).to_owned()), every),
            column(
                "self state",
                "by_self_state",
                field(|fields| State::name_of(fields.own).to_owned()),
                every,
            ),
            column(
                "peer state",
                "by_peer_state",
                field(|fields| State::name_of(fields.peer).to_owned()),
                every,
            ),
            column(
                "top channels",
                "channel_top10",
                Counts::of(ends().map(|event| ids(event).0.to_string())),
                TOP,
            ),
            column("top pairs", "pair_top10", Counts::of(ends().map(|event| pair_name(ids(event)))), TOP),
        ];
        Distributions { total: trace.events.len(), columns }
    }

    /// Adds the keys to a report.
    pub(crate) fn add_to(&self, report: &mut Map<String, Value>) {
        report.insert("total".to_owned(), json!(self.total));
        for column in &self.columns {
            report.insert(column.key.to_owned(), column.counts.json(column.most));
        }
    }

    pub(crate) fn print(&self) {
        println!("total events: {}", self.total);
        for column in &self.columns {
            column.counts.print(column.title, column.most);
        }
    }
}

/// The name of an event's kind.
pub(crate) fn kind_name(event: &Event) -> String {
    match EventKind::from_number(event.kind) {
        Some(kind) => kind.name().to_owned(),
        None => format!("kind {}", event.kind),
    }
}

fn pair_name((own, peer): (u32, u32)) -> String {
    format!("{own}->{peer}")
}
