//! The initramfs: cpio archives (newc) that fill the root file system, plain or compressed with gzip, any
//! number of them one after the other. Source: `cpio(5)`; Linux's `early-userspace/buffer-format`.
//!
//! | module | subject |
//! |---|---|
//! | [`cpio`] | the format, piece by piece |
//! | [`gzip`] | decompression, piece by piece |
//! | `tree` | the files that come out of it |
//! | `find` | one file of it |
//!
//! The archive comes from whoever starts the machine and may be damaged: whatever can't be used is logged and
//! skipped, nothing is read beyond its end, and no field sizes an allocation without a bound.

mod cpio;
mod find;
mod gzip;
mod tree;

use alloc::vec::Vec;

use crate::vfs::Subject;
use cpio::{Parser, Problem, Sink};
use find::Finder;
use tree::Tree;

/// What came out of an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries that were made.
    pub entries: usize,
    /// Entries that could not be made, and places where the archive is damaged.
    pub problems: usize,
}

/// Problems that are logged one by one; the rest is only counted.
const LOGGED: usize = 16;

/// Unpacks `archive` below the root of `subject`, which runs with all capabilities and umask 0.
#[must_use]
pub fn unpack(subject: Subject<'_>, archive: &[u8]) -> Summary {
    let mut tree = Tree::new(subject);
    if let Err(damage) = read(archive, &mut tree) {
        tree.problem(format_args!("{:?}, {} bytes before the end", damage.problem, damage.left));
    }
    tree.finish()
}

/// The data of the file called `path`, a leading slash apart, in `archive`; that of the last one, if several are
/// called so. For what has to be known before there is a file system.
#[must_use]
pub fn find(archive: &[u8], path: &[u8]) -> Option<Vec<u8>> {
    let mut finder = Finder::new(path);
    // What is damaged is reported when it is unpacked.
    let _ = read(archive, &mut finder);
    finder.finish()
}

/// Where an archive can't be read any further.
struct Damage {
    problem: Problem,
    /// Bytes from here to the end.
    left: usize,
}

/// Gives everything in `archive` to `sink`.
fn read(archive: &[u8], sink: &mut impl Sink) -> Result<(), Damage> {
    let mut rest = archive;
    loop {
        // Archives are padded with zeros, and the next one starts at any of them.
        let padding = rest.iter().position(|byte| *byte != 0).unwrap_or(rest.len());
        rest = rest.get(padding..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        let consumed = if rest.starts_with(&gzip::MAGIC) {
            one_compressed(rest, sink)
        } else if rest.starts_with(b"0707") {
            one_plain(rest, sink)
        } else {
            Err(Problem::Magic)
        };
        match consumed {
            Ok(consumed) if consumed > 0 => rest = rest.get(consumed..).unwrap_or_default(),
            Ok(_) => return Ok(()),
            Err(problem) => return Err(Damage { problem, left: rest.len() }),
        }
    }
}

/// Feeds one plain archive; returns where it ended.
fn one_plain(bytes: &[u8], sink: &mut impl Sink) -> Result<usize, Problem> {
    let mut parser = Parser::new();
    let consumed = parser.feed(bytes, sink)?;
    parser.end()?;
    Ok(consumed)
}

/// Feeds what one gzip member holds: one archive or several; returns where the member ended.
fn one_compressed(bytes: &[u8], sink: &mut impl Sink) -> Result<usize, Problem> {
    let mut parser = Parser::new();
    let consumed = gzip::inflate(bytes, |piece| {
        let mut rest = piece;
        while !rest.is_empty() {
            let consumed = parser.feed(rest, sink)?;
            rest = rest.get(consumed..).unwrap_or_default();
            if parser.is_finished() {
                parser = Parser::new();
            }
        }
        Ok(())
    })?;
    parser.end()?;
    Ok(consumed)
}

#[cfg(test)]
mod tests;
