//! What `/proc/<pid>/handles` shows.

use super::HandleTable;
use super::slots::State;
use crate::object::ObjectRef;
use crate::rights::Rights;

/// One number in use.
pub struct Row {
    /// The number.
    pub handle: i32,
    /// The capability's name.
    pub capability: u64,
    /// What it names.
    pub object: ObjectRef,
    /// What it allows.
    pub rights: Rights,
    /// The slot's generation.
    pub generation: u32,
    /// It is being sent.
    pub reserved: bool,
}

impl HandleTable {
    /// The first number from `from` on that names something, handles that are being sent included.
    #[must_use]
    pub fn next_row(&self, from: usize) -> Option<Row> {
        let inner = self.inner.lock();
        (from..inner.slots.capacity()).find_map(|slot| {
            let (node, rights, reserved) = match inner.slots.state(slot)? {
                State::Held(held) => (held.capability.node(), held.capability.rights(), false),
                State::Reserved(reservation) => (&reservation.node, reservation.rights, true),
                State::Free | State::Landing => return None,
            };
            Some(Row {
                handle: i32::try_from(slot).ok()?,
                capability: node.id().as_u64(),
                object: node.object().clone(),
                rights,
                generation: inner.slots.generation(slot),
                reserved,
            })
        })
    }
}
