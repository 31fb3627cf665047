//! The virtual file system: one tree of names over many file systems.
//!
//! | module | subject |
//! |---|---|
//! | [`inode`] | what a file system implements |
//! | [`metadata`] | what `stat(2)` shows |
//! | [`state`] | what the VFS keeps with every inode |
//! | [`dentry`], [`cache`] | names that have been looked up, and how many are kept |
//! | `tracked` | inodes and dentries as objects that `/sys/ipc` lists |
//! | [`mount`], [`path`] | the tree of mounts, places in it and their text |
//! | [`walk`] | from text to place |
//! | [`permission`] | who may do what |
//! | [`context`] | where a process stands |

mod anonymous;
mod attributes;
pub mod cache;
mod context;
mod create;
mod dentry;
pub mod device;
pub mod events;
mod inode;
mod metadata;
mod mount;
mod mounting;
mod open;
mod path;
mod permission;
mod registry;
mod remove;
mod rename;
mod state;
mod tracked;
mod walk;

pub use anonymous::{AnonymousInode, anonymous_path, anonymous_place};
pub(crate) use attributes::content_changes;
pub use attributes::{SetTime, access, chmod, chown, set_times, truncate};
pub use context::FsContext;
pub use create::{link, make_socket, mkdir, mknod, symlink};
pub(crate) use dentry::statistics as dentry_statistics;
pub use dentry::{Dentry, Name};
pub use inode::{
    AllocateMode, Attributes, DeviceNumber, DirSink, FileSystem, FsStatistics, Inode, LinkTarget, NAME_MAX,
    NewInode, NewKind, OpenRequest, PATH_MAX, RenameFlags,
};
pub use metadata::{FileType, Metadata, Timestamp, mode};
pub use mount::{MOUNTS_MAX, Mount, MountFlags, Namespace, SuperBlock};
pub use mounting::{UnmountFlags, change_directory, change_directory_to, change_root, mount, ms, unmount};
pub use open::{Executable, OpenHow, open, open_at, open_executable};
pub use path::{Path, PathText};
pub use permission::{Permission, owner_or_capable, permission};
pub use registry::{FileSystemType, MountFn, file_system_type, file_system_types, register};
pub use remove::{rmdir, unlink};
pub use rename::rename;
pub use state::InodeState;
pub(crate) use tracked::{observe, path_word, track, track_cached};
pub use walk::{LINKS_MAX, Last, Parent, Start, Subject, WalkFlags, resolve, resolve_parent};

#[cfg(test)]
mod tests;
