//! Who was derived from whom, and revocation.
//!
//! | module | subject |
//! |---|---|
//! | [`node`] | one capability's place in the forest, its mark, and where it is held |
//! | `forest` | parents and children; closed nodes are spliced out |
//! | [`revoke`] | mark a subtree, then close it |
//!
//! A mark is final and acts at once: every lookup of a handle looks at it. Closing the slots afterwards
//! only frees what is already unusable, so it may take its time, and whatever is in flight meanwhile meets
//! the mark when it tries to bind.

mod forest;
pub mod node;
pub mod revoke;

pub(crate) use forest::shrink;
pub(crate) use forest::uproot;
pub use forest::{find, live_nodes, statistics};
pub use node::{CapId, CapNode, Holder};
