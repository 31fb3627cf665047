//! Reading a trace, whatever it was exported as: rings or a stream of records, JSON Lines, rows of text.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use base::trace::area::{LINE_BYTES, MAGIC, VERSION};
use base::trace::rows::TICK;
use base::trace::{Event, EventKind, Identity, pair};
use serde_json::Value;

/// Everything that is known of a run.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// By time.
    pub(crate) events: Vec<Event>,
    /// Names of tasks, by their keys.
    pub(crate) names: BTreeMap<u64, String>,
    /// What numbers mean, by vocabulary and number.
    pub(crate) words: BTreeMap<(u32, u32), String>,
    /// Events that were overwritten before they were read.
    pub(crate) overwritten: u64,
    /// Events that were given up, or torn by the end of the machine.
    pub(crate) dropped: u64,
}

impl Trace {
    /// What is missing, as the end of a sentence; empty when nothing is.
    pub(crate) fn loss(&self) -> String {
        match (self.overwritten, self.dropped) {
            (0, 0) => String::new(),
            (overwritten, dropped) => {
                format!(" ({overwritten} older ones were overwritten, {dropped} were given up)")
            }
        }
    }

    /// What `number` means in a vocabulary; the number itself when it is not known.
    pub(crate) fn word(&self, vocabulary: base::trace::Vocabulary, number: u32) -> String {
        self.words.get(&(vocabulary as u32, number)).cloned().unwrap_or_else(|| number.to_string())
    }

    /// Puts an event where it belongs: a name, a word, a loss, or something that happened.
    fn add(&mut self, event: Event) {
        match EventKind::from_number(event.kind) {
            Some(EventKind::TaskName) => drop(self.names.insert(event.by.task, event.text())),
            Some(EventKind::Word) => {
                self.words.insert((event.flags & 0xff, event.flags >> 8), event.text());
            }
            None if event.kind == 0 => self.overwritten += event.arguments[0],
            _ => self.events.push(event),
        }
    }

    fn sorted(mut self) -> Trace {
        self.events.sort_by_key(|event| (event.time, event.cpu, event.seq));
        self
    }
}

/// Reads a trace in any of the forms in which it leaves the machine.
pub(crate) fn any(bytes: &[u8]) -> Result<Trace> {
    if bytes.starts_with(&MAGIC.to_le_bytes()) {
        return binary(bytes);
    }
    let text = String::from_utf8_lossy(bytes);
    let mut trace = Trace::default();
    for line in text.lines() {
        let event = if line.starts_with('{') { json(line) } else { row(line) };
        if let Some(event) = event {
            trace.add(event);
        }
    }
    // Rows have no order but their own.
    Ok(if text.starts_with('{') { trace.sorted() } else { trace })
}

/// Reads the memory of the rings, or what the stream file gave.
pub(crate) fn binary(bytes: &[u8]) -> Result<Trace> {
    let (records, rest) = bytes.as_chunks::<LINE_BYTES>();
    let Some((top, records)) = records.split_first() else { bail!("a trace has at least 64 bytes") };
    let top = words(top);
    if top[0] != MAGIC || top[1] as u32 != VERSION || !rest.is_empty() {
        bail!("this is no trace of version {VERSION}");
    }
    let rings = (top[1] >> 32) as usize;
    if records.len() < rings {
        bail!("the trace is cut off");
    }
    let (headers, slots) = records.split_at(rings);
    let mut trace = Trace::default();
    slots.iter().filter_map(|record| Event::from_record(words(record))).for_each(|event| trace.add(event));
    for (index, header) in headers.iter().enumerate() {
        // Head, dropped, floor, first slot, slots: see base::trace::ring and base::trace::area.
        let [head, dropped, floor, _, capacity, ..] = words(header);
        let is_cpu = index + 2 < rings;
        if is_cpu {
            trace.overwritten += head.saturating_sub(capacity).saturating_sub(floor);
            trace.dropped += dropped;
        }
    }
    Ok(trace.sorted())
}

fn words(record: &[u8; LINE_BYTES]) -> [u64; LINE_BYTES / 8] {
    let (words, _) = record.as_chunks::<8>();
    std::array::from_fn(|index| u64::from_le_bytes(words[index]))
}

/// One line of JSON Lines.
fn json(line: &str) -> Option<Event> {
    let value: Value = serde_json::from_str(line).ok()?;
    let number = |key: &str| value[key].as_u64();
    let id = |key: &str| value[key].as_i64().and_then(|id| i32::try_from(id).ok());
    let argument = |index: usize| value["args"][index].as_u64();
    Some(Event {
        time: number("time")?,
        seq: number("seq")?,
        cpu: u16::try_from(number("cpu")?).ok()?,
        kind: u16::try_from(number("kind")?).ok()?,
        flags: u32::try_from(number("flags")?).ok()?,
        by: Identity { task: number("task")?, pid: id("pid")?, tid: id("tid")? },
        arguments: [argument(0)?, argument(1)?, argument(2)?],
    })
}

/// A row of text: the eight columns of a ring, or the decoded columns of a channel's events, of which the flags
/// and the ids count. Other lines are skipped.
fn row(line: &str) -> Option<Event> {
    if line.starts_with('#') {
        return None;
    }
    let columns: Vec<&str> = line.split_ascii_whitespace().collect();
    let number = |index: usize| parse(columns.get(index)?);
    let arguments = match columns.len() {
        8 => [number(6)?, number(7)?, 0],
        14.. => {
            let ids = [number(11)?, number(12)?].map(|id| u32::try_from(id).unwrap_or(0));
            [pair(ids[0], ids[1]), number(13)?, 0]
        }
        _ => return None,
    };
    let name = *columns.get(4)?;
    let kind = EventKind::ALL.iter().find(|kind| kind.name() == name)?;
    let pid = columns.get(3)?.parse().ok()?;
    Some(Event {
        time: number(0)?.saturating_mul(TICK),
        seq: number(2)?,
        cpu: u16::try_from(number(1)?).ok()?,
        kind: *kind as u16,
        flags: u32::try_from(number(5)?).ok()?,
        by: Identity { task: 0, pid, tid: -1 },
        arguments,
    })
}

/// A number, decimal or with `0x` in front.
fn parse(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::trace::Area;
    use base::trace::area::lines_for;
    use base::trace::ring::Line;

    #[test]
    fn rows_in_both_widths_are_the_same_event() {
        let decoded = "90500 1 88 17 ipc_channel 0x10013303 1 close_local close closed open 211 212 0x0";
        let raw = "90500 1 88 17 ipc_channel 0x10013303 0xd3000000d4 0x0";
        let text = format!("# ticks cpu\n\n{decoded}\n{raw}\nodd line\n1 2 3 4 no_such_event 0x0 0x0 0x0\n");
        let trace = any(text.as_bytes()).unwrap();
        assert_eq!(trace.events.len(), 2);
        assert_eq!(trace.events[0], trace.events[1]);
        assert_eq!(trace.events[0].arguments[0], pair(211, 212));
    }

    #[test]
    fn a_line_of_json_and_a_record_are_the_same_event() {
        let mut line = String::new();
        let by = Identity { task: 9, pid: 1, tid: 2 };
        let event = Event { time: 7, seq: 3, cpu: 1, kind: 16, flags: 0, by, arguments: [39, 1, 2] };
        base::trace::rows::json(&mut line, &event).unwrap();
        assert_eq!(any(line.as_bytes()).unwrap().events, [event]);
        let mut stream = [MAGIC, u64::from(VERSION), 0, 0, 0, 0, 0, 0].map(u64::to_le_bytes).concat();
        stream.extend(event.record().map(u64::to_le_bytes).concat());
        assert_eq!(any(&stream).unwrap().events, [event]);
    }

    #[test]
    fn the_memory_of_rings_is_read_whole_with_its_losses() {
        let lines: Vec<Line> = (0..lines_for(2, 4)).map(|_| Line::default()).collect();
        let area = Area::format(&lines, 2);
        let event = |time| Event::from_payload(0, [time, 1, 0, 0, 0, 0, 0]);
        for time in 1..=6 {
            area.cpus()[0].push(event(time).payload());
        }
        area.cpus()[1].push(event(4).payload());
        let trace = binary(&bytes_of(&lines)).unwrap();
        assert!(trace.events.iter().map(|event| event.time).eq([3, 4, 4, 5, 6]));
        assert_eq!((trace.overwritten, trace.dropped), (2, 0));
        assert!(binary(b"KAITRACE").is_err());
    }

    fn bytes_of(lines: &[Line]) -> Vec<u8> {
        // SAFETY: lines are atomics without padding, and nobody writes them now.
        unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), size_of_val(lines)) }.to_vec()
    }
}
