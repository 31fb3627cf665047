//! The initramfs: cpio archives (newc) that fill the root file system, plain or compressed with gzip, any
//! number of them one after the other. Source: `cpio(5)`; Linux's `early-userspace/buffer-format`.
//!
//! | module | subject |
//! |---|---|
//! | [`cpio`] | the format, piece by piece |
//! | [`gzip`] | decompression, piece by piece |
//! | `tree` | the files that come out of it |
//!
//! The archive comes from whoever starts the machine and may be damaged: whatever can't be used is logged and
//! skipped, nothing is read beyond its end, and no field sizes an allocation without a bound.

mod cpio;
mod gzip;
mod tree;

use crate::vfs::Subject;
use cpio::{Parser, Problem};
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
    let mut rest = archive;
    loop {
        // Archives are padded with zeros, and the next one starts at any of them.
        let padding = rest.iter().position(|byte| *byte != 0).unwrap_or(rest.len());
        rest = rest.get(padding..).unwrap_or_default();
        if rest.is_empty() {
            break;
        }
        let consumed = if rest.starts_with(&gzip::MAGIC) {
            one_compressed(rest, &mut tree)
        } else if rest.starts_with(b"0707") {
            one_plain(rest, &mut tree)
        } else {
            Err(Problem::Magic)
        };
        match consumed {
            Ok(consumed) if consumed > 0 => rest = rest.get(consumed..).unwrap_or_default(),
            Ok(_) => break,
            Err(problem) => {
                tree.problem(format_args!("{problem:?}, {} bytes before the end", rest.len()));
                break;
            }
        }
    }
    tree.finish()
}

/// Feeds one plain archive; returns where it ended.
fn one_plain(bytes: &[u8], tree: &mut Tree<'_>) -> Result<usize, Problem> {
    let mut parser = Parser::new();
    let consumed = parser.feed(bytes, tree)?;
    parser.end()?;
    Ok(consumed)
}

/// Feeds what one gzip member holds: one archive or several; returns where the member ended.
fn one_compressed(bytes: &[u8], tree: &mut Tree<'_>) -> Result<usize, Problem> {
    let mut parser = Parser::new();
    let consumed = gzip::inflate(bytes, |piece| {
        let mut rest = piece;
        while !rest.is_empty() {
            let consumed = parser.feed(rest, tree)?;
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
