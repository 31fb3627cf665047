//! How credentials change: each rule is a function from the old ones to the new ones.
//!
//! | module | subject |
//! |---|---|
//! | [`users`] | setuid(2) and its family |
//! | [`groups`] | setgid(2) and its family, setgroups(2) |
//! | [`capabilities`] | capset(2), and what an id change does to the sets |
//! | [`image`] | what execve(2) makes of them |

pub mod capabilities;
pub mod groups;
pub mod image;
pub mod users;

/// The id that means "leave it".
pub const KEEP: u32 = u32::MAX;
