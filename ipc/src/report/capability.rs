//! One capability, found by its number.

use core::fmt::{self, Write};

use crate::lineage;

/// What is known of the capability `id`; `None` when it does not live. `parent` is the nearest capability that lives
/// among those from which it was derived, 0 for none.
pub fn capability(id: u64, out: &mut dyn Write) -> Option<fmt::Result> {
    let (node, parent) = lineage::find(id)?;
    let object = node.object();
    let parent = parent.map_or(0, |parent| parent.as_u64());
    Some(write!(
        out,
        "cap_id={id}\nparent={parent}\nobj_id={}\ntype={}\nrevoked={}\n",
        object.base().id(),
        object.kind().name(),
        u8::from(node.is_revoked())
    ))
}
