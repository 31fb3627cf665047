//! Counters: `/sys/ipc/stats`.

use core::fmt::{self, Write};

use base::sync::{LockClass, contention, nested, underflows};

use crate::lineage::{self, live_nodes};
use crate::object::{ObjectKind, feed, registry};
use crate::stats::{Counter, read};

/// Where the value of a key comes from.
enum Value {
    /// A counter.
    Of(Counter),
    /// Times that a lock of the class was found taken.
    Contention(LockClass),
    /// Times that a lock of the second class was taken under one of the first. Debug builds count it.
    Nested(LockClass, LockClass),
    /// Something computed.
    Computed(fn() -> u64),
    /// What the kernel is built to exclude: a poll looks at the truth and not at a hint, and a handle is looked up in
    /// its table, without a cache before it.
    Excluded,
}

use LockClass::{Object, ObjectRegistry, Port};
use Value::{Computed, Contention, Excluded, Nested, Of};

/// The keys that programs know, in the order that they know.
const KEYS: &[(&str, Value)] = &[
    ("registry_register_oom_failures", Of(Counter::RegisterOom)),
    ("registry_register_oom_warns", Of(Counter::RegisterOom)),
    ("port_queue_drops_total", Of(Counter::PortQueueDrops)),
    ("port_queue_drop_warns", Of(Counter::PortQueueDrops)),
    ("channel_send_epipe_total", Of(Counter::SendEpipe)),
    ("channel_recv_eof_total", Of(Counter::RecvEof)),
    ("channel_close_last_ref_total", Of(Counter::CloseLastRef)),
    ("channel_close_release_total", Of(Counter::CloseRelease)),
    ("channel_close_wake_local_total", Of(Counter::CloseWakeLocal)),
    ("channel_close_wake_peer_total", Of(Counter::CloseWakePeer)),
    ("channel_ref_underflow_warns", Of(Counter::RefUnderflow)),
    ("channel_ref_audit_checks_total", Of(Counter::RefAuditChecks)),
    ("channel_ref_audit_mismatch_total", Of(Counter::RefAuditMismatch)),
    ("channel_ref_audit_warns", Of(Counter::RefAuditMismatch)),
    ("cap_revoke_marked_total", Of(Counter::RevokeMarked)),
    ("cap_bind_rejected_revoked_total", Of(Counter::BindRejectedRevoked)),
    ("cap_commit_eagain_total", Of(Counter::CommitEagain)),
    ("cap_commit_epoch_mismatch_total", Of(Counter::CommitEpochMismatch)),
    ("cap_tryget_failed_total", Of(Counter::TryGetFailed)),
    ("channel_poll_hint_checks_total", Excluded),
    ("channel_poll_hint_mismatch_in_total", Excluded),
    ("channel_poll_hint_mismatch_out_total", Excluded),
    ("channel_poll_hint_mismatch_hup_total", Excluded),
    ("channel_poll_hint_warns", Excluded),
    ("khandle_cache_lookups_total", Of(Counter::HandleLookups)),
    ("khandle_cache_hits_total", Excluded),
    ("khandle_cache_misses_total", Of(Counter::HandleLookups)),
    ("khandle_cache_hit_per_mille", Excluded),
    ("khandle_cache_stores_total", Excluded),
    ("khandle_cache_slot_invalidate_calls_total", Excluded),
    ("khandle_cache_invalidated_slots_total", Excluded),
    ("khandle_cache_released_refs_total", Excluded),
    ("khandle_cache_ht_sweeps_total", Excluded),
    ("khandle_cache_active_refs", Excluded),
    ("ipc_lock_probe_registry_after_channel_total", Nested(Object, ObjectRegistry)),
    ("ipc_lock_probe_registry_after_port_total", Nested(Port, ObjectRegistry)),
    ("ipc_lock_probe_registry_then_channel_total", Nested(ObjectRegistry, Object)),
    ("ipc_lock_probe_registry_then_port_total", Nested(ObjectRegistry, Port)),
    ("ipc_lock_probe_channel_then_port_total", Nested(Object, Port)),
    ("ipc_lock_probe_channel_after_port_total", Nested(Port, Object)),
    ("ipc_lock_probe_registry_contention_total", Contention(ObjectRegistry)),
    ("ipc_lock_probe_channel_contention_total", Contention(Object)),
    ("ipc_lock_probe_port_contention_total", Contention(Port)),
    ("ipc_lock_probe_state_underflow_total", Computed(underflows)),
    ("ipc_lock_probe_warns", Computed(bad_edges)),
    ("kobj_lifecycle_transition_warn_total", Of(Counter::LifecycleTransitionWarn)),
    ("kobj_lifecycle_access_warn_total", Excluded),
    ("kobj_lifecycle_warns", Of(Counter::LifecycleTransitionWarn)),
];

/// Locks taken in an order that renderers would turn into a deadlock.
fn bad_edges() -> u64 {
    [(Object, ObjectRegistry), (Port, ObjectRegistry), (Port, Object)]
        .map(|(outer, inner)| nested(outer, inner))
        .iter()
        .sum()
}

impl Value {
    fn get(&self) -> u64 {
        match self {
            Of(counter) => read(*counter),
            Contention(class) => contention(*class),
            Nested(outer, inner) => nested(*outer, *inner),
            Computed(value) => value(),
            Excluded => 0,
        }
    }
}

fn is_listed(counter: Counter) -> bool {
    KEYS.iter().any(|(_, value)| matches!(value, Of(listed) if *listed == counter))
}

/// The hash tables: objects and capabilities by their numbers.
///
/// # Errors
///
/// As the writer.
pub fn hash_stats(out: &mut dyn Write) -> fmt::Result {
    let capabilities = lineage::statistics();
    writeln!(out, "schema=sysfs_ipc_hash_stats_v1")?;
    writeln!(out, "table=ipc_registry_id {}", registry::statistics())?;
    // Ready since its first capability.
    writeln!(out, "table=kcap_id ready={} {capabilities}", u8::from(capabilities.buckets > 0))
}

/// All counters: those that programs know, then the others.
///
/// # Errors
///
/// As the writer.
pub fn stats(out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "schema=sysfs_ipc_stats_v2")?;
    for (key, value) in KEYS {
        writeln!(out, "{key}={}", value.get())?;
    }
    for counter in Counter::ALL.iter().filter(|counter| !is_listed(**counter)) {
        writeln!(out, "{}={}", counter.name(), read(*counter))?;
    }
    let progress = feed::progress();
    for (key, value) in [
        ("projection_depth", progress.depth as u64),
        ("projection_lag_ns", progress.lag_ns),
        ("projection_changes_total", progress.changes),
        ("projection_drops_total", progress.drops),
        ("projection_comparisons_total", progress.comparisons),
    ] {
        writeln!(out, "{key}={value}")?;
    }
    for kind in ObjectKind::ALL {
        writeln!(out, "objects_{}={}", kind.name(), registry::count_of(kind))?;
    }
    writeln!(out, "lineage_nodes={}", live_nodes())
}
