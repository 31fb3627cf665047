//! Receives and calls that found nothing at their first try: what is left of them is to wait.
//!
//! They are the calls that wait most often, so they go on where the try ended: nothing is looked up or decoded
//! twice.

use alloc::sync::Arc;

use base::time::Instant;
use base::{Errno, Result};
use executor::pollwait::Seq;
use ipc::Access;
use ipc::channel::{Options, Place, Receiver};

use super::channel_message::{Buffers, Header, finish, finish_now};
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
    /// Waits for the message.
    ///
    /// A drop leaves the message where it is; the reply to a call is queued then like any message.
    ///
    /// # Errors
    ///
    /// As `channel_recv` and `channel_call`.
    pub(crate) async fn finish(&self) -> Result<u64> {
        let memory = &*self.resources.caller.memory;
        let mut buffers = Buffers::new(memory, self.header);
        let receiver = self.resources.receiver(&self.access, self.options);
        let outcome = match &self.reply {
            None => {
                let endpoint = self.access.object().channel().ok_or(Errno::ENOTSUP)?;
                endpoint.receive_since(self.seen, receiver, &mut buffers).await?
            }
            Some(Reply { place, deadline }) => {
                place.reply(Some(self.seen), receiver, &mut buffers, *deadline).await?
            }
        };
        match finish_now(memory, self.header.at, outcome) {
            Some(result) => result,
            None => finish(memory, self.header.at, outcome).await,
        }
    }
}
