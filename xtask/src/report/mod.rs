//! `cargo xtask report`: what a run's trace says.
//!
//! | module | subject |
//! |---|---|
//! | [`load`] | reading a trace, whatever it was exported as |
//! | [`channel`] | the distributions of channel events |
//! | [`waits`] | waits, wakes, and how long they took |
//! | [`timeline`] | slices and arrows |
//! | [`perfetto`] | a file for the Perfetto UI |
//! | [`html`] | a page to look at |

mod channel;
mod count;
mod html;
pub(crate) mod load;
mod perfetto;
#[cfg(test)]
mod tests;
mod timeline;
mod waits;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::cli::{self, Arguments, Item};
use crate::{paths, trace};
use channel::Distributions;
use load::Trace;
use waits::Waits;

const HELP: &str = "\
usage: cargo xtask report [FILE] [--json] [--perfetto FILE] [--html FILE]

Says what is in a trace: trace.bin of a run with --trace (without FILE, that of the latest run), or a file
that was copied out of /sys/kernel/tracepoint in the guest (rows of text, events.jsonl, stream).

  --json              the same as JSON
  --perfetto FILE     write a trace for https://ui.perfetto.dev
  --html FILE         write a page that needs nothing else";

/// `cargo xtask report ...`.
pub(crate) fn command(arguments: &mut Arguments) -> Result<u8> {
    let (mut input, mut as_json, mut perfetto, mut html) = (None, false, None, None);
    while let Some(item) = arguments.next_item()? {
        match item {
            Item::Option(name) => match name.as_str() {
                "--json" => as_json = true,
                "--perfetto" => perfetto = Some(PathBuf::from(arguments.value(&name)?)),
                "--html" => html = Some(PathBuf::from(arguments.value(&name)?)),
                "--help" | "-h" => {
                    println!("{HELP}");
                    return Ok(0);
                }
                _ => return Err(cli::unexpected(&Item::Option(name))),
            },
            Item::Word(word) if input.is_none() => input = Some(PathBuf::from(word)),
            other => return Err(cli::unexpected(&other)),
        }
    }
    let input = input.unwrap_or_else(|| paths::runs().join("latest").join(trace::FILE));
    let trace = read(&input)?;
    if let Some(file) = &perfetto {
        write(file, &perfetto::json(&trace).to_string())?;
    }
    if let Some(file) = &html {
        write(file, &html::page(&trace))?;
    }
    if as_json {
        println!("{}", serde_json::to_string_pretty(&summary(&trace))?);
    } else if perfetto.is_none() && html.is_none() {
        print(&trace);
    }
    Ok(0)
}

fn read(path: &Path) -> Result<Trace> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    load::any(&bytes).with_context(|| format!("reading {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// The report as JSON.
fn summary(trace: &Trace) -> Value {
    let mut report = Map::new();
    Distributions::of(trace).add_to(&mut report);
    Waits::of(trace).add_to(&mut report);
    report.insert("lost".to_owned(), json!({ "overwritten": trace.overwritten, "dropped": trace.dropped }));
    Value::Object(report)
}

fn print(trace: &Trace) {
    Distributions::of(trace).print();
    Waits::of(trace).print();
    if trace.overwritten + trace.dropped > 0 {
        println!("lost: overwritten={} dropped={}", trace.overwritten, trace.dropped);
    }
}
