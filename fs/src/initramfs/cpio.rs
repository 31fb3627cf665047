//! The newc format of cpio, read in pieces of any size.

use alloc::vec::Vec;

/// Bytes of a header: a magic number of 6 digits and 13 fields of 8.
const HEADER: usize = 110;

/// Longest name, with its NUL.
const NAME_MAX: u32 = 4096;

/// Longest target of a symbolic link.
const TARGET_MAX: u32 = 4096;

/// What can be wrong with an archive, so that the rest of it is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// Neither a cpio nor a gzip header.
    Magic,
    /// A field is no hexadecimal number.
    Field,
    /// A name or a link is longer than any path.
    Length,
    /// It ends in the middle.
    Truncated,
    /// The compressed data is damaged.
    Compression,
}

/// The header of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) ino: u32,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) links: u32,
    pub(super) modified: u32,
    pub(super) size: u32,
    pub(super) device: (u32, u32),
    pub(super) rdev: (u32, u32),
    name_length: u32,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Header, Problem> {
        let magic = bytes.get(..6).ok_or(Problem::Truncated)?;
        if magic != b"070701" && magic != b"070702" {
            return Err(Problem::Magic);
        }
        let mut fields = [0u32; 13];
        for (field, digits) in fields.iter_mut().zip(bytes.get(6..).unwrap_or_default().chunks_exact(8)) {
            // from_str_radix would take a sign.
            if !digits.iter().all(u8::is_ascii_hexdigit) {
                return Err(Problem::Field);
            }
            let text = core::str::from_utf8(digits).map_err(|_| Problem::Field)?;
            *field = u32::from_str_radix(text, 16).map_err(|_| Problem::Field)?;
        }
        let [ino, mode, uid, gid, links, modified, size, major, minor, rmajor, rminor, name_length, _] =
            fields;
        if name_length == 0 || name_length > NAME_MAX {
            return Err(Problem::Length);
        }
        let (device, rdev) = ((major, minor), (rmajor, rminor));
        let header = Header { ino, mode, uid, gid, links, modified, size, device, rdev, name_length };
        if header.is_symlink() && size > TARGET_MAX {
            return Err(Problem::Length);
        }
        Ok(header)
    }

    fn is_symlink(&self) -> bool {
        self.mode & 0o170_000 == 0o120_000
    }
}

/// Takes what the parser finds.
pub(super) trait Sink {
    /// An entry. For a symbolic link, `target` is where it leads; the data of any other comes in pieces.
    fn entry(&mut self, header: &Header, name: &[u8], target: &[u8]);

    /// A piece of the data of the last entry.
    fn data(&mut self, piece: &[u8]);

    /// The data of the last entry is complete.
    fn complete(&mut self);

    /// The archive is over: numbers of inodes mean other files from here on.
    fn trailer(&mut self);
}

/// Where in an archive the parser is.
enum State {
    Header,
    Name,
    /// The text of a symbolic link.
    Target,
    /// Bytes of data that are still to come.
    Data(u64),
    /// Bytes of padding that are still to come, and what follows.
    Padding(u64, After),
    Finished,
}

#[derive(Clone, Copy)]
enum After {
    Header,
    Body,
}

/// A parser in the middle of an archive.
pub(super) struct Parser {
    state: State,
    /// What has been collected of a header, a name or a target.
    collected: Vec<u8>,
    header: Header,
    name: Vec<u8>,
}

impl Parser {
    pub(super) fn new() -> Parser {
        Parser { state: State::Header, collected: Vec::new(), header: Header::default(), name: Vec::new() }
    }

    /// True behind the trailer.
    pub(super) fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished)
    }

    /// There is no more input.
    pub(super) fn end(&self) -> Result<(), Problem> {
        let between = matches!(self.state, State::Header) && self.collected.is_empty();
        if between || self.is_finished() { Ok(()) } else { Err(Problem::Truncated) }
    }

    /// Reads `bytes` up to the end of the archive; returns how many that were.
    pub(super) fn feed(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<usize, Problem> {
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_finished() {
            rest = self.step(rest, sink)?;
        }
        Ok(bytes.len() - rest.len())
    }

    fn step<'a>(&mut self, bytes: &'a [u8], sink: &mut impl Sink) -> Result<&'a [u8], Problem> {
        match self.state {
            State::Header => {
                // Between two archives in one compressed member there may be zeros.
                if self.collected.is_empty() && bytes.first() == Some(&0) {
                    return Ok(bytes.get(1..).unwrap_or_default());
                }
                let rest = self.collect(bytes, HEADER);
                if self.collected.len() == HEADER {
                    self.header = Header::parse(&self.collected)?;
                    self.collected.clear();
                    self.state = State::Name;
                }
                Ok(rest)
            }
            State::Name => {
                let length = self.header.name_length as usize;
                let rest = self.collect(bytes, length);
                if self.collected.len() == length {
                    self.name = core::mem::take(&mut self.collected);
                    let end = self.name.iter().position(|byte| *byte == 0).unwrap_or(length);
                    self.name.truncate(end);
                    self.state = State::Padding(padding(HEADER + length), After::Body);
                    self.skip_empty_padding(sink);
                }
                Ok(rest)
            }
            State::Target => {
                let length = self.header.size as usize;
                let rest = self.collect(bytes, length);
                if self.collected.len() == length {
                    let target = core::mem::take(&mut self.collected);
                    sink.entry(&self.header, &self.name, &target);
                    sink.complete();
                    self.state = State::Padding(padding(length), After::Header);
                    self.skip_empty_padding(sink);
                }
                Ok(rest)
            }
            State::Data(left) => {
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                let (piece, rest) = bytes.split_at(length);
                sink.data(piece);
                self.state = State::Data(left - length as u64);
                if left == length as u64 {
                    sink.complete();
                    self.state = State::Padding(padding(self.header.size as usize), After::Header);
                    self.skip_empty_padding(sink);
                }
                Ok(rest)
            }
            State::Padding(left, after) => {
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                self.state = State::Padding(left - length as u64, after);
                self.skip_empty_padding(sink);
                Ok(bytes.get(length..).unwrap_or_default())
            }
            State::Finished => Ok(bytes),
        }
    }

    fn collect<'a>(&mut self, bytes: &'a [u8], length: usize) -> &'a [u8] {
        let missing = length.saturating_sub(self.collected.len()).min(bytes.len());
        let (piece, rest) = bytes.split_at(missing);
        self.collected.extend_from_slice(piece);
        rest
    }

    /// Goes on from padding that is over.
    fn skip_empty_padding(&mut self, sink: &mut impl Sink) {
        let State::Padding(0, after) = self.state else { return };
        self.state = match after {
            After::Header => State::Header,
            After::Body if self.name == b"TRAILER!!!" => {
                sink.trailer();
                State::Finished
            }
            After::Body if self.header.is_symlink() && self.header.size > 0 => State::Target,
            After::Body => {
                sink.entry(&self.header, &self.name, &[]);
                if self.header.size == 0 {
                    sink.complete();
                    State::Header
                } else {
                    State::Data(u64::from(self.header.size))
                }
            }
        };
    }
}

/// Bytes up to the next multiple of four.
fn padding(length: usize) -> u64 {
    (length.next_multiple_of(4) - length) as u64
}
