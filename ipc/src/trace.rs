//! The trace points of capabilities, channels and messages.

use base::trace::capability::{self, Op as Guard};
use base::trace::channel::{self, Op, State, Wake};
use base::trace::{self, Classes, EventKind, pair};

use crate::channel::Endpoint;
use crate::channel::message::Message;
use crate::lineage::CapNode;
use crate::object::history::Step;
use crate::rights::Rights;

/// Something happened to the end `own` of a channel; a state is not known where it costs a lock.
#[inline]
pub(crate) fn end_of_channel(op: Op, wake: Wake, states: [State; 2], own: u32, peer: u32) {
    trace::event(EventKind::IpcChannel, || {
        let [own_state, peer_state] = states;
        (channel::flags(op, wake, own_state, peer_state), [pair(own, peer), 0, 0])
    });
}

/// A guard held: `argument` depends on it.
#[inline]
pub(crate) fn guard(op: Guard, capability: u64, argument: impl FnOnce() -> u64) {
    trace::event(EventKind::IpcCap, || (capability::flags(op), [capability, argument(), 0]));
}

/// A capability came into being, below `parent`.
#[inline]
pub(crate) fn born(node: &CapNode, parent: Option<&CapNode>) {
    trace::event(EventKind::CapBorn, || {
        let parent = parent.map_or(0, |parent| parent.id().as_u64());
        (node.object().kind() as u32, [node.id().as_u64(), parent, node.object().base().id().into()])
    });
}

/// A capability ended.
#[inline]
pub(crate) fn gone(node: &CapNode) {
    trace::event(EventKind::CapGone, || {
        (u32::from(node.is_revoked()), [node.id().as_u64(), node.object().base().id().into(), 0])
    });
}

/// A capability made these steps.
#[inline]
pub(crate) fn moved(node: &CapNode, steps: &[Step], rights: Rights) {
    if trace::is_on(EventKind::CapMove.class()) {
        note_moves(node, steps, rights);
    }
}

#[cold]
fn note_moves(node: &CapNode, steps: &[Step], rights: Rights) {
    for (event, from, to) in steps {
        trace::event(EventKind::CapMove, || {
            let who = pair(to.cast_unsigned(), from.cast_unsigned());
            let what = *event as u32 | rights.bits() << 8;
            (what, [node.id().as_u64(), node.object().base().id().into(), who])
        });
    }
}

/// A message is sent `by` an end, straight to a receiver or by the queue. Under the channel's lock, so that
/// every message is sent before it is received.
#[inline]
pub(crate) fn sent(message: &mut Message, is_direct: bool, by: &Endpoint) {
    if trace::is_on(Classes::MESSAGE) {
        message.set_number(trace::message_number());
        note(EventKind::MessageSend, is_direct, by, message);
    }
}

/// A message was received `by` an end. Under the channel's lock.
#[inline]
pub(crate) fn received(message: &Message, by: &Endpoint) {
    if trace::is_on(Classes::MESSAGE) {
        note(EventKind::MessageReceive, false, by, message);
    }
}

#[cold]
fn note(kind: EventKind, is_direct: bool, by: &Endpoint, message: &Message) {
    trace::event(kind, || {
        let sizes = message.sizes();
        // A message is no larger than MESSAGE_BYTES.
        let sizes = (sizes.handles as u64) << 32 | sizes.bytes as u64;
        (is_direct.into(), [pair(by.base().id(), by.peer_id()), sizes, message.number()])
    });
}
