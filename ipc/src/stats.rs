//! The counters of `/sys/ipc/stats`: per CPU, summed on read.

use base::counters;
use base::counters::Counters;

counters! {
    /// A counter of this crate.
    ///
    /// To add one, add a line; `/sys/ipc/stats` shows it by itself.
    pub enum Counter {
        /// Objects that could not be entered in the registry.
        RegisterOom = "registry_register_oom_failures";
        /// Sends refused because an end is closed.
        SendEpipe = "channel_send_epipe_total";
        /// Receives that found the end.
        RecvEof = "channel_recv_eof_total";
        /// Endpoints whose last liveness reference went.
        CloseLastRef = "channel_close_last_ref_total";
        /// Endpoints that were destroyed, some time after they were closed.
        CloseRelease = "channel_close_release_total";
        /// Closes that woke whoever waited at the closed end.
        CloseWakeLocal = "channel_close_wake_local_total";
        /// Closes that woke whoever waited at the other end.
        CloseWakePeer = "channel_close_wake_peer_total";
        /// Audits of the liveness references of an endpoint.
        RefAuditChecks = "channel_ref_audit_checks_total";
        /// Liveness references given back that nobody had.
        RefUnderflow = "channel_ref_underflow_warns";
        /// Audits that found the sum of the classes wrong.
        RefAuditMismatch = "channel_ref_audit_mismatch_total";
        /// Messages handed straight to a receiver that waited.
        Handovers = "channel_handovers_total";
        /// Capabilities marked revoked.
        RevokeMarked = "cap_revoke_marked_total";
        /// Installs and restores refused because of the mark.
        BindRejectedRevoked = "cap_bind_rejected_revoked_total";
        /// Commits and aborts with another token or generation.
        CommitEagain = "cap_commit_eagain_total";
        /// Commits of a capability that was revoked since it was reserved.
        CommitEpochMismatch = "cap_commit_epoch_mismatch_total";
        /// Holders that were gone when a revocation came to them.
        TryGetFailed = "cap_tryget_failed_total";
        /// Reservations that the sweep took back.
        Swept = "cap_swept_total";
        /// Endpoints closed because they lay only in queues that nobody could reach.
        Collected = "cap_collected_total";
        /// Bindings that had to wait because the port's queue was full.
        PortQueueDrops = "port_queue_drops_total";
        /// Illegal steps of an object's life.
        LifecycleTransitionWarn = "kobj_lifecycle_transition_warn_total";
        /// Messages whose payload did not fit into a block.
        LargePayloads = "channel_large_payloads_total";
        /// Message blocks that came from the heap because those of the channel were in use.
        FreshBlocks = "channel_fresh_blocks_total";
        /// Lookups of handles, all of which go to the table.
        HandleLookups = "khandle_cache_lookups_total";
    }
}

static COUNTERS: Counters<{ Counter::ALL.len() }> = Counters::new();

/// Adds `amount`.
pub(crate) fn add(counter: Counter, amount: u64) {
    COUNTERS.add(counter as usize, amount);
}

/// Adds one.
#[inline]
pub(crate) fn bump(counter: Counter) {
    add(counter, 1);
}

/// The sum over all CPUs.
#[must_use]
pub fn read(counter: Counter) -> u64 {
    COUNTERS.sum(counter as usize)
}
