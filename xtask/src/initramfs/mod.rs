//! The guest's first root: what it always holds, what is laid over it, and the archive format.

pub(crate) mod cpio;
mod overlay;
mod root;

pub(crate) use overlay::lay_over;
pub(crate) use root::{add_environment, add_job, append_file, base, set_times};
