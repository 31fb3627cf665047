//! Receives and calls that found nothing at their first try: what is left of them is to wait.
//!
//! They are the calls that wait most often, so they go on where the try ended: nothing is looked up or decoded
//! twice.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::pin::pin;

use base::time::Instant;
use base::{Errno, Result};
use executor::pollwait::{Baton, Seq};
use ipc::Access;
use ipc::channel::{Attempt, Awaited, Options, Outcome, Place, Receiver};

use super::channel_message::{Buffers, Header, finish, finish_now};
use crate::machine::UserContext;
use crate::thread::Thread;
use crate::thread::drive::Drive;
use crate::thread::resources::Resources;

/// The rest of a receive or a call.
pub struct Waiting {
    pub(super) resources: Arc<Resources>,
    /// The handle in whose name.
    pub(super) access: Access,
    /// Where the message goes.
    pub(super) header: Header,
    /// Exec closes the handles that arrive.
    pub(super) options: Options,
    /// Nothing was there then.
    pub(super) seen: Seq,
    pub(super) reply: Option<Reply>,
}

/// Of a call.
pub(super) struct Reply {
    /// Where the reply comes.
    pub(super) place: Place,
    /// Until when it may.
    pub(super) deadline: Option<Instant>,
}

impl Resources {
    /// A process that receives through `access`.
    #[inline]
    pub(super) fn receiver<'a>(&'a self, access: &'a Access, options: Options) -> Receiver<'a> {
        Receiver { caller: &self.caller, access, table: &self.handles, options }
    }
}

impl Waiting {
    /// Waits for the message on behalf of `thread`. `None` when that was killed first.
    ///
    /// Only the wait itself is a future: between two waits everything is done in one go, unless a page is missing.
    ///
    /// A drop leaves the message where it is; the reply to a call is queued then like any message.
    ///
    /// # Errors
    ///
    /// As `channel_recv` and `channel_call`.
    pub(crate) async fn finish(&self, thread: &Thread, context: &mut UserContext) -> Option<Result<u64>> {
        let (awaited, deadline) = match (&self.reply, self.access.object().channel()) {
            (Some(reply), _) => (Awaited::reply(&reply.place), reply.deadline),
            (None, Some(endpoint)) => (Awaited::message(endpoint), None),
            (None, None) => return Some(Err(Errno::ENOTSUP)),
        };
        let memory = &*self.resources.caller.memory;
        let mut buffers = Buffers::new(memory, self.header);
        let receiver = self.resources.receiver(&self.access, self.options);
        let (mut seen, mut baton) = (self.seen, Baton::new());
        loop {
            let reason = {
                let wait = pin!(baton.wait(awaited.source(), seen, Awaited::wait(deadline)));
                Drive::new(thread, wait).publishing().saving(context).await?
            };
            if let Err(error) = self.access.check() {
                return Some(Err(error));
            }
            let outcome = match awaited.attempt(receiver, &mut buffers, Some(reason)) {
                Attempt::Nothing(at) => {
                    seen = at;
                    continue;
                }
                Attempt::Ended(Ok(outcome)) => outcome,
                Attempt::Ended(Err(error)) => return Some(Err(error)),
                Attempt::MissingPage => {
                    // Boxed: what is rare is not to make every thread larger.
                    let mut rest = Box::pin(awaited.get(receiver, &mut buffers, deadline));
                    match Drive::new(thread, rest.as_mut()).publishing().saving(context).await? {
                        Ok(outcome) => outcome,
                        Err(error) => return Some(Err(error)),
                    }
                }
            };
            if matches!(outcome, Outcome::Message(_)) {
                baton.used();
            }
            if let Some(result) = finish_now(memory, self.header.at, outcome) {
                return Some(result);
            }
            let mut rest = Box::pin(finish(memory, self.header.at, outcome));
            return Drive::new(thread, rest.as_mut()).publishing().saving(context).await;
        }
    }
}
