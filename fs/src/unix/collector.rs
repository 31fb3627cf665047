//! Sockets that only queues hold, their own in the end.
//!
//! A socket may be sent through itself, or two through each other; a channel's descriptor may lie in a socket, and a
//! handle to that socket in the channel. When the last way from outside is closed, the references from the queues keep
//! them all. [`ipc::collector`] finds such knots; here is what it is shown of sockets, of the files of channels, and of
//! what descriptors remember of handles.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use base::sync::atomic::Ordering;
use ipc::collector::{self, Node};

use super::message::Message;
use super::rights;
use super::socket::Socket;
use crate::file::{FdEntry, OpenFile};
use crate::handle::{ChannelFile, Origin};

/// Where the numbers of files begin, behind those of objects.
const FILES: u64 = 1 << 62;
/// Where the numbers of origins begin: their addresses.
const ORIGINS: u64 = 1 << 63;

/// True when queues decide what becomes of `file`: of a socket and of a channel's descriptor.
pub(super) fn leads_to_a_queue(file: &OpenFile) -> bool {
    file.ops_as::<Socket>().is_some() || file.ops_as::<ChannelFile>().is_some()
}

/// Shows `file` to the collector, if that is concerned.
pub(crate) fn show(file: &Arc<OpenFile>, visit: &mut dyn FnMut(&dyn Node)) {
    if leads_to_a_queue(file) {
        visit(&FileReference(file.clone()));
    }
}

/// What the collector knows `file` by, which leads to a queue.
pub(super) fn node_of(file: Arc<OpenFile>) -> Box<dyn Node> {
    Box::new(FileReference(file))
}

fn show_entry(entry: &FdEntry, visit: &mut dyn FnMut(&dyn Node)) {
    show(&entry.file, visit);
    if let Some(origin) = &entry.origin {
        visit(&OriginReference(origin.clone()));
    }
}

/// A reference to a socket's file, or to a channel's.
struct FileReference(Arc<OpenFile>);

impl Node for FileReference {
    fn id(&self) -> u64 {
        FILES | self.0.id()
    }

    fn references(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }

    /// A channel's end says itself what came out of it, and its descriptor leads to nothing else.
    fn given_out(&self) -> u64 {
        self.0.ops_as::<Socket>().map_or(0, |socket| socket.given_out.load(Ordering::Acquire))
    }

    fn visit(&self, visit: &mut dyn FnMut(&dyn Node)) {
        if let Some(socket) = self.0.ops_as::<Socket>() {
            socket.visit_queue(visit);
        }
        if let Some(channel) = self.0.ops_as::<ChannelFile>() {
            visit(channel.endpoint());
        }
    }

    fn hold(&self) -> Box<dyn Node> {
        Box::new(FileReference(self.0.clone()))
    }

    fn collect(&self) {
        drop(self.0.ops_as::<Socket>().map(Socket::empty));
    }
}

/// A reference to the capability behind a descriptor.
struct OriginReference(Arc<Origin>);

impl Node for OriginReference {
    fn id(&self) -> u64 {
        ORIGINS | Arc::as_ptr(&self.0).addr() as u64
    }

    fn references(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }

    /// A handle that is derived from it comes out of the object.
    fn given_out(&self) -> u64 {
        0
    }

    fn visit(&self, visit: &mut dyn FnMut(&dyn Node)) {
        if let Some(file) = self.0.node().object().file() {
            visit(file);
        }
    }

    fn hold(&self) -> Box<dyn Node> {
        Box::new(OriginReference(self.0.clone()))
    }

    /// It has no queue.
    fn collect(&self) {}
}

impl Socket {
    /// A descriptor or a connection in the queue is about to be somebody's who has the socket.
    pub(super) fn give_out(&self) {
        self.given_out.fetch_add(1, Ordering::AcqRel);
    }

    /// Shows all descriptors that lie in its queue, and in those of connections that wait to be accepted.
    fn visit_queue(&self, visit: &mut dyn FnMut(&dyn Node)) {
        let pending: Vec<Arc<Socket>> = {
            let state = self.state.lock();
            let rights = state.queue.iter().flat_map(|message| &message.rights);
            rights.flat_map(|rights| rights.entries()).for_each(|entry| show_entry(entry, visit));
            state.pending.iter().cloned().collect()
        };
        for connection in &pending {
            connection.visit_queue(visit);
        }
    }

    /// Takes everything out of these queues, to be dropped without locks.
    fn empty(&self) -> VecDeque<Message> {
        let (mut queue, pending) = {
            let mut state = self.state.lock();
            (core::mem::take(&mut state.queue), state.pending.iter().cloned().collect::<Vec<_>>())
        };
        for connection in &pending {
            queue.append(&mut connection.state.lock().queue);
        }
        queue
    }
}

/// Lets go of the file of a descriptor that was closed. What still holds it may be a queue that nobody can reach now.
pub(crate) fn let_go(file: Arc<OpenFile>) {
    let is_concerned = leads_to_a_queue(&file);
    drop(file);
    if is_concerned {
        request();
    }
}

/// A descriptor or a socket has gone, so that others may be held by queues alone.
pub(super) fn request() {
    if !rights::nothing_travels() {
        collector::request();
    }
}
