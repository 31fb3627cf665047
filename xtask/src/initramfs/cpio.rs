//! The cpio archive format "newc", which Linux and Kairos unpack as their first root.
//!
//! Source: the kernel's `Documentation/driver-api/early-userspace/buffer-format.rst`: a header of
//! thirteen eight-digit hexadecimal fields behind the magic, the name with its NUL, and the data,
//! each padded with zeros to a multiple of four; an entry called `TRAILER!!!` ends the archive.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anyhow::{Context, Result};

const MAGIC: &[u8] = b"070701";
const TRAILER: &[u8] = b"TRAILER!!!";
const HEADER_LEN: usize = 110;

/// The bits of a mode that say what kind of file it is.
pub(crate) const TYPE_MASK: u32 = libc::S_IFMT;

/// One file of an archive. The name is the key of [`Archive`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Type and permission bits, as in `st_mode`.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds since 1970.
    pub(crate) mtime: u32,
    /// Major and minor number of a device node.
    pub(crate) device: (u32, u32),
    /// A file's contents, a symbolic link's target, else empty.
    pub(crate) data: Vec<u8>,
}

impl Entry {
    pub(crate) fn is_directory(&self) -> bool {
        self.mode & TYPE_MASK == libc::S_IFDIR
    }
}

/// Files by name; names have no leading slash. The order of the keys puts every directory before
/// what lies in it, as unpacking needs.
pub(crate) type Archive = BTreeMap<Vec<u8>, Entry>;

/// Writes `archive` in newc format.
pub(crate) fn write(archive: &Archive, out: &mut impl Write) -> Result<()> {
    for (inode, (name, entry)) in (1u32..).zip(archive) {
        write_entry(out, inode, name, entry)
            .with_context(|| format!("cpio: {}", String::from_utf8_lossy(name)))?;
    }
    write_entry(out, 0, TRAILER, &Entry::default())?;
    out.flush()?;
    Ok(())
}

fn write_entry(out: &mut impl Write, inode: u32, name: &[u8], entry: &Entry) -> Result<()> {
    let size = u32::try_from(entry.data.len()).context("larger than 4 GiB")?;
    let links = if entry.is_directory() { 2 } else { 1 };
    let name_size = u32::try_from(name.len() + 1).context("name too long")?;
    let fields = [
        inode,
        entry.mode,
        entry.uid,
        entry.gid,
        links,
        entry.mtime,
        size,
        // The device the archive was made from says nothing to the guest.
        0,
        0,
        entry.device.0,
        entry.device.1,
        name_size,
        // The checksum belongs to the format "crc" and is zero in newc.
        0,
    ];
    out.write_all(MAGIC)?;
    for field in fields {
        write!(out, "{field:08x}")?;
    }
    out.write_all(name)?;
    out.write_all(&[0])?;
    pad(out, HEADER_LEN + name.len() + 1)?;
    out.write_all(&entry.data)?;
    pad(out, entry.data.len())?;
    Ok(())
}

fn padding(len: usize) -> usize {
    len.wrapping_neg() % 4
}

fn pad(out: &mut impl Write, len: usize) -> io::Result<()> {
    out.write_all(&[0; 3][..padding(len)])
}

#[cfg(test)]
mod tests {
    use anyhow::{bail, ensure};

    use super::*;

    /// Reads one newc archive; what follows its trailer is not looked at.
    fn read(image: &[u8]) -> Result<Archive> {
        let mut archive = Archive::new();
        let mut rest = image;
        loop {
            let (name, entry) = read_entry(&mut rest)?;
            if name == TRAILER {
                return Ok(archive);
            }
            archive.insert(name.to_vec(), entry);
        }
    }

    fn read_entry<'a>(rest: &mut &'a [u8]) -> Result<(&'a [u8], Entry)> {
        let header = take(rest, HEADER_LEN)?;
        ensure!(header.starts_with(MAGIC), "cpio: bad magic");
        let field = |index: usize| -> Result<u32> {
            let start = MAGIC.len() + index * 8;
            let digits = std::str::from_utf8(&header[start..start + 8])?;
            u32::from_str_radix(digits, 16).with_context(|| format!("cpio: bad field {digits:?}"))
        };
        let name_size = field(11)? as usize;
        let Some((0, name)) = take(rest, name_size)?.split_last() else { bail!("cpio: name without NUL") };
        take(rest, padding(HEADER_LEN + name_size))?;
        let size = field(6)? as usize;
        let data = take(rest, size)?.to_vec();
        take(rest, padding(size))?;
        let entry = Entry {
            mode: field(1)?,
            uid: field(2)?,
            gid: field(3)?,
            mtime: field(5)?,
            device: (field(9)?, field(10)?),
            data,
        };
        Ok((name, entry))
    }

    fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8]> {
        let (taken, left) = rest.split_at_checked(len).context("cpio: archive ends early")?;
        *rest = left;
        Ok(taken)
    }

    fn sample() -> Archive {
        let mut archive = Archive::new();
        let mut add = |name: &str, mode: u32, device, data: &[u8]| {
            let entry = Entry { mode, uid: 1, gid: 2, mtime: 3, device, data: data.to_vec() };
            archive.insert(name.as_bytes().to_vec(), entry);
        };
        add("bin", libc::S_IFDIR | 0o755, (0, 0), b"");
        add("dev/null", libc::S_IFCHR | 0o666, (1, 3), b"");
        add("tmp", libc::S_IFDIR | 0o1777, (0, 0), b"");
        add("bin/sh", libc::S_IFLNK | 0o777, (0, 0), b"/bin/busybox");
        // Every remainder modulo four, for names and for data.
        for len in 0..9usize {
            add(&format!("bin/{}", "x".repeat(len + 1)), libc::S_IFREG | 0o4711, (0, 0), &vec![0xa5; len]);
        }
        archive
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut image = Vec::new();
        write(&sample(), &mut image).unwrap();
        assert_eq!(image.len() % 4, 0);
        assert_eq!(read(&image).unwrap(), sample());
    }

    #[test]
    fn directories_come_before_their_contents() {
        let archive = sample();
        let names: Vec<_> = archive.keys().collect();
        let place = |name: &str| names.iter().position(|n| n.as_slice() == name.as_bytes()).unwrap();
        assert!(place("bin") < place("bin/sh"));
    }

    #[test]
    fn a_cut_archive_is_an_error_and_no_panic() {
        let mut image = Vec::new();
        write(&sample(), &mut image).unwrap();
        for len in 0..image.len() {
            let _ = read(&image[..len]);
        }
        assert!(read(&image[..image.len() - 8]).is_err());
        image[3] = b'x';
        assert!(read(&image).is_err());
    }

    #[test]
    fn the_host_cpio_agrees() {
        let Some(cpio) = crate::paths::executable("cpio") else { return };
        let mut image = Vec::new();
        write(&sample(), &mut image).unwrap();
        let mut child = std::process::Command::new(cpio)
            .args(["-it", "--quiet"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&image).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(output.stdout.split(|&b| b == b'\n').filter(|l| !l.is_empty()).count(), sample().len());
    }
}
