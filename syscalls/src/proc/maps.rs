//! `maps` and `smaps`: the regions of an address space. Source: `proc(5)`; lines as Linux 6.1 prints them.

use core::fmt::Write;

use base::Result;
use base::caller::Caller;
use fs::pseudo::Text;
use fs::vfs::{DeviceNumber, Path};

use super::subject::{Subject, root_of};
use crate::machine::{PageFlags, USER_END};
use crate::mm::region::RegionFlags;
use crate::mm::report::{Row, RowName};
use crate::mm::{AddressSpace, PAGE};

/// Column in which names begin.
const NAME_COLUMN: usize = 73;

/// Rows that are copied out for one hold of the space's lock.
const ROWS_AT_ONCE: usize = 256;

/// `/proc/<pid>/maps`.
pub(super) fn maps(subject: &Subject, caller: &Caller, text: &mut Text) -> Result<()> {
    subject.process()?;
    let root = root_of(caller);
    if let Some(space) = subject.space() {
        for_each_row(&space, |row| line(text, row, root.as_ref()));
    }
    Ok(())
}

/// `/proc/<pid>/smaps`: what this kernel knows of each region's pages.
pub(super) fn smaps(subject: &Subject, caller: &Caller, text: &mut Text) -> Result<()> {
    subject.process()?;
    let root = root_of(caller);
    if let Some(space) = subject.space() {
        for_each_row(&space, |row| {
            line(text, row, root.as_ref());
            details(text, &space, row);
        });
    }
    Ok(())
}

fn for_each_row(space: &AddressSpace, mut each: impl FnMut(&Row)) {
    let mut from = 0;
    loop {
        let rows = space.rows(from, ROWS_AT_ONCE);
        let Some(last) = rows.last() else { return };
        from = last.range.end;
        rows.iter().for_each(&mut each);
        if from >= USER_END {
            return;
        }
    }
}

fn line(text: &mut Text, row: &Row, root: Option<&Path>) {
    let start = text.as_bytes().len();
    let letter = |flag, letter| if row.access.contains(flag) { letter } else { '-' };
    let device = DeviceNumber::decode(row.file.device);
    // A full text is noticed by the frame.
    let _ = write!(
        text,
        "{:08x}-{:08x} {}{}{}{} {:08x} {:02x}:{:02x} {} ",
        row.range.start,
        row.range.end,
        letter(PageFlags::READ, 'r'),
        letter(PageFlags::WRITE, 'w'),
        letter(PageFlags::EXECUTE, 'x'),
        if row.shared { 's' } else { 'p' },
        row.offset,
        device.major,
        device.minor,
        row.file.inode,
    );
    let written = text.as_bytes().len().saturating_sub(start);
    let pad = NAME_COLUMN.saturating_sub(written);
    match &row.name {
        RowName::None => {}
        RowName::Text(name) => {
            let _ = write!(text, "{:pad$}{name}", "");
        }
        RowName::File(file) => {
            let _ = write!(text, "{:pad$}", "");
            let path = file.path();
            let shown = path.display(root.unwrap_or(&path.mount.root_path()));
            fs::procfs::mounts::escape(text, &shown.into_link(), b"\n");
        }
    }
    let _ = text.push_bytes(b"\n");
}

fn details(text: &mut Text, space: &AddressSpace, row: &Row) {
    let pages = space.residents(row.range.clone());
    let kilobytes = |pages: u64| pages * PAGE / 1024;
    let locked = if row.flags.contains(RegionFlags::LOCKED) { pages.total } else { 0 };
    let private = pages.total.saturating_sub(pages.shared);
    for (name, size) in [
        ("Size:", (row.range.end - row.range.start) / 1024),
        ("KernelPageSize:", kilobytes(1)),
        ("MMUPageSize:", kilobytes(1)),
        ("Rss:", kilobytes(pages.total)),
        ("Shared:", kilobytes(pages.shared)),
        ("Private:", kilobytes(private)),
        ("Dirty:", kilobytes(pages.dirty)),
        ("Anonymous:", kilobytes(pages.anonymous)),
        ("Swap:", 0),
        ("Locked:", kilobytes(locked)),
    ] {
        let _ = writeln!(text, "{name:<16}{size:8} kB");
    }
    let _ = text.write_str("VmFlags:");
    for (shown, name) in [
        (row.access.contains(PageFlags::READ), "rd"),
        (row.access.contains(PageFlags::WRITE), "wr"),
        (row.access.contains(PageFlags::EXECUTE), "ex"),
        (row.shared, "sh"),
        (row.flags.contains(RegionFlags::GROWS_DOWN), "gd"),
        (row.flags.contains(RegionFlags::LOCKED), "lo"),
        (row.flags.contains(RegionFlags::SEQUENTIAL), "sr"),
        (row.flags.contains(RegionFlags::RANDOM), "rr"),
        (row.flags.contains(RegionFlags::DONT_FORK), "dc"),
        (row.flags.contains(RegionFlags::DONT_EXPAND), "de"),
        (row.flags.contains(RegionFlags::NO_RESERVE), "nr"),
        (row.flags.contains(RegionFlags::DONT_DUMP), "dd"),
        (row.flags.contains(RegionFlags::WIPE_ON_FORK), "wf"),
    ] {
        if shown {
            let _ = write!(text, " {name}");
        }
    }
    let _ = text.write_str(" \n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mm::file::FileIdentity;

    #[test]
    fn a_line_is_laid_out_as_on_linux() {
        let row = |name| Row {
            range: 0x7fff_0000_0000..0x7fff_0002_1000,
            access: PageFlags::READ | PageFlags::WRITE,
            shared: false,
            offset: 0,
            file: FileIdentity::default(),
            name,
            flags: RegionFlags::empty(),
        };
        let shown = |row: &Row| {
            let mut text = Text::default();
            line(&mut text, row, None);
            std::string::String::from_utf8(text.as_bytes().to_vec()).unwrap()
        };
        let expected = "7fff00000000-7fff00021000 rw-p 00000000 00:00 0 ";
        assert_eq!(shown(&row(RowName::None)), format!("{expected}\n"));
        assert_eq!(shown(&row(RowName::Text("[stack]"))), format!("{expected:73}[stack]\n"));
    }
}
