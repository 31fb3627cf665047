//! Laying a directory of the host over an archive: modes, symbolic links, FIFOs and device nodes are
//! kept; a file replaces what had its name.

use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::cpio::{Archive, Entry};

/// Lays the contents of `directory` over `archive`.
///
/// Owners are kept when root runs this and become root otherwise: an ordinary user's
/// numbers mean nothing in the guest.
pub(crate) fn lay_over(archive: &mut Archive, directory: &Path) -> Result<()> {
    if !directory.is_dir() {
        bail!("overlay {}: not a directory", directory.display());
    }
    walk(archive, directory, b"").with_context(|| format!("overlay {}", directory.display()))
}

fn walk(archive: &mut Archive, directory: &Path, prefix: &[u8]) -> Result<()> {
    for item in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let item = item?;
        let path = item.path();
        let mut name = prefix.to_vec();
        name.extend(item.file_name().as_bytes());
        let meta = item.metadata().with_context(|| path.display().to_string())?;
        add(archive, &name, &path, &meta).with_context(|| path.display().to_string())?;
        if meta.is_dir() {
            name.push(b'/');
            walk(archive, &path, &name)?;
        }
    }
    Ok(())
}

fn add(archive: &mut Archive, name: &[u8], path: &Path, meta: &Metadata) -> Result<()> {
    let kind = meta.file_type();
    let data = if kind.is_symlink() {
        fs::read_link(path)?.as_os_str().as_bytes().to_vec()
    } else if kind.is_file() {
        fs::read(path)?
    } else if kind.is_socket() {
        bail!("a socket cannot be put into an initramfs");
    } else {
        Vec::new()
    };
    if !meta.is_dir() && archive.get(name).is_some_and(Entry::is_directory) {
        let inside = [name, b"/"].concat();
        if archive.range(inside.clone()..).next().is_some_and(|(below, _)| below.starts_with(&inside)) {
            bail!("this would hide a directory of the root that is not empty");
        }
    }
    // SAFETY: geteuid has no preconditions and cannot fail.
    let is_root = unsafe { libc::geteuid() } == 0;
    let (uid, gid) = if is_root { (meta.uid(), meta.gid()) } else { (0, 0) };
    let device = if kind.is_char_device() || kind.is_block_device() {
        (libc::major(meta.rdev()), libc::minor(meta.rdev()))
    } else {
        (0, 0)
    };
    let mode = meta.mode() & super::cpio::TYPE_MASK | meta.permissions().mode() & 0o7777;
    let mtime = u32::try_from(meta.mtime()).unwrap_or(0);
    archive.insert(name.to_vec(), Entry { mode, uid, gid, mtime, device, data });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("kairos-overlay-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn modes_and_links_are_kept_and_files_replaced() {
        let dir = scratch("kept");
        fs::create_dir(dir.join("bin")).unwrap();
        fs::write(dir.join("bin/tool"), b"new").unwrap();
        fs::set_permissions(dir.join("bin/tool"), fs::Permissions::from_mode(0o4751)).unwrap();
        std::os::unix::fs::symlink("tool", dir.join("bin/alias")).unwrap();
        let mut archive = Archive::new();
        archive.insert(b"bin/tool".to_vec(), Entry { mode: libc::S_IFREG | 0o644, ..Entry::default() });
        lay_over(&mut archive, &dir).unwrap();
        fs::remove_dir_all(&dir).unwrap();
        let tool = &archive[b"bin/tool".as_slice()];
        assert_eq!((tool.mode, tool.data.as_slice()), (libc::S_IFREG | 0o4751, b"new".as_slice()));
        let alias = &archive[b"bin/alias".as_slice()];
        assert_eq!((alias.mode & libc::S_IFMT, alias.data.as_slice()), (libc::S_IFLNK, b"tool".as_slice()));
        assert!(archive[b"bin".as_slice()].is_directory());
    }

    #[test]
    fn a_link_does_not_hide_a_full_directory() {
        let dir = scratch("hide");
        std::os::unix::fs::symlink("usr/bin", dir.join("bin")).unwrap();
        let mut archive = Archive::new();
        archive.insert(b"bin".to_vec(), Entry { mode: libc::S_IFDIR | 0o755, ..Entry::default() });
        archive.insert(b"bin/sh".to_vec(), Entry { mode: libc::S_IFREG | 0o755, ..Entry::default() });
        let result = lay_over(&mut archive, &dir);
        fs::remove_dir_all(&dir).unwrap();
        assert!(result.is_err());
    }
}
