//! The text of `/sys/ipc` and of `/proc/<pid>/handles`: stable columns, because programs read them.
//!
//! Nothing is written under a lock: each row's object is pinned first, then described.

use alloc::collections::BTreeMap;
use core::fmt::{self, Write};

use crate::object::history::Transfer;
use crate::object::{ObjectKind, ObjectRef, registry};
use crate::stats::{self, Counter};
use crate::table::HandleTable;
use crate::table::rows::Row;

/// Calls `visit` for every object of `kind`, in the order in which they were made.
fn for_each(kind: Option<ObjectKind>, mut visit: impl FnMut(&ObjectRef) -> fmt::Result) -> fmt::Result {
    let mut id = 0;
    while let Some(object) = registry::next(id, kind) {
        id = object.base().id();
        visit(&object)?;
    }
    Ok(())
}

/// References without the one through which the row is being written.
fn references(object: &ObjectRef) -> usize {
    object.references().saturating_sub(1)
}

/// `/sys/ipc/stats`.
///
/// # Errors
///
/// As the writer.
pub fn stats(out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "schema=sysfs_ipc_stats_v2")?;
    for counter in Counter::ALL {
        writeln!(out, "{}={}", counter.name(), stats::read(*counter))?;
    }
    let warnings = stats::read(Counter::LifecycleTransitionWarn) + stats::read(Counter::LifecycleAccessWarn);
    writeln!(out, "kobj_lifecycle_warns={warnings}")?;
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for_each(None, |object| {
        *kinds.entry(object.kind().name()).or_default() += 1;
        Ok(())
    })?;
    for kind in [ObjectKind::Channel, ObjectKind::Port, ObjectKind::File] {
        writeln!(out, "objects_{}={}", kind.name(), kinds.get(kind.name()).unwrap_or(&0))?;
    }
    writeln!(out, "lineage_nodes={}", crate::lineage::live_nodes())
}

/// `/sys/ipc/channels`: one row for each end.
///
/// # Errors
///
/// As the writer.
pub fn channels(out: &mut dyn Write) -> fmt::Result {
    writeln!(
        out,
        "id refcount handle_refs ref_handle ref_fd ref_other rxq_len peer_closed endpoint_state endpoint_closed"
    )?;
    for_each(Some(ObjectKind::Channel), |object| {
        let Some(endpoint) = object.channel() else { return Ok(()) };
        let status = endpoint.status();
        let [handles, descriptors, others] = status.owners;
        let state = if status.is_open { "OPEN" } else { "CLOSED" };
        writeln!(
            out,
            "{} {} {} {handles} {descriptors} {others} {} {} {state} {}",
            object.base().id(),
            references(object),
            handles + descriptors + others,
            status.queued,
            u8::from(status.peer_closed),
            u8::from(!status.is_open),
        )
    })
}

/// `/sys/ipc/ports`.
///
/// # Errors
///
/// As the writer.
pub fn ports(out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "id refcount queue_len dropped_count")?;
    for_each(Some(ObjectKind::Port), |object| {
        let Some(port) = object.port() else { return Ok(()) };
        let status = port.status();
        let id = object.base().id();
        writeln!(out, "{id} {} {} {}", references(object), status.queued, status.dropped)
    })
}

fn transfer_columns(out: &mut dyn Write, transfer: &Transfer) -> fmt::Result {
    let Transfer { ticks, seq, from_pid, to_pid, rights, event, cpu } = transfer;
    writeln!(out, "{seq} {} {from_pid} {to_pid} {rights:#x} {cpu} {ticks}", event.name())
}

/// `/sys/ipc/transfers`: the histories of all objects.
///
/// # Errors
///
/// As the writer.
pub fn transfers(out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "obj_id seq event from_pid to_pid rights cpu ticks")?;
    for_each(None, |object| {
        let mut result = Ok(());
        object.base().transfers(|transfer| {
            if result.is_ok() {
                let prefix = write!(out, "{} ", object.base().id());
                result = prefix.and_then(|()| transfer_columns(out, transfer));
            }
        });
        result
    })
}

fn rows(table: &HandleTable) -> impl Iterator<Item = Row> {
    let mut from = 0;
    core::iter::from_fn(move || {
        let row = table.next_row(from)?;
        from = usize::try_from(row.handle).ok()? + 1;
        Some(row)
    })
}

fn handle_columns(out: &mut dyn Write, row: &Row) -> fmt::Result {
    let Row { handle, capability, object, rights, .. } = row;
    let (id, kind) = (object.base().id(), object.kind().name());
    write!(out, "{handle} {capability} {id} {kind} {:#x}", rights.bits())
}

/// `/proc/<pid>/handles`: one row for each handle, those that are being sent included.
///
/// # Errors
///
/// As the writer.
pub fn handles(table: &HandleTable, out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "handle cap_id obj_id type rights refcount")?;
    for row in rows(table) {
        handle_columns(out, &row)?;
        writeln!(out, " {}", references(&row.object))?;
    }
    Ok(())
}

/// `/proc/<pid>/handle_transfers`: the histories of what the handles name.
///
/// # Errors
///
/// As the writer.
pub fn handle_transfers(table: &HandleTable, pid: u32, out: &mut dyn Write) -> fmt::Result {
    writeln!(out, "schema=procfs_pid_handle_transfers_v1\npid={pid}")?;
    writeln!(out, "handle cap_id obj_id type rights seq event from_pid to_pid transfer_rights cpu ticks")?;
    for row in rows(table) {
        let mut result = Ok(());
        row.object.base().transfers(|transfer| {
            if result.is_ok() {
                let prefix = handle_columns(out, &row).and_then(|()| out.write_char(' '));
                result = prefix.and_then(|()| transfer_columns(out, transfer));
            }
        });
        result?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::support::Process;
    use alloc::string::String;

    fn text(render: impl FnOnce(&mut dyn Write) -> fmt::Result) -> String {
        let mut text = String::new();
        render(&mut text).unwrap();
        text
    }

    #[test]
    fn a_channel_has_its_row_and_a_handle_too() {
        let process = Process::new(1);
        let (one, two) = process.channel();
        process.send(one, b"x", &[]).unwrap();
        let (near, far) = (process.table.info(one).unwrap(), process.table.info(two).unwrap());
        let channels = text(channels);
        let row = |id: u32| channels.lines().find(|line| line.starts_with(&alloc::format!("{id} "))).unwrap();
        assert!(row(near.object).ends_with("1 1 0 0 0 0 OPEN 0"), "{}", row(near.object));
        assert!(row(far.object).ends_with("1 1 0 0 1 0 OPEN 0"), "{}", row(far.object));
        let handles = text(|out| handles(&process.table, out));
        let expected = alloc::format!("{one} {} {} channel 0xf ", near.capability, near.object);
        assert!(handles.lines().nth(1).unwrap().starts_with(&expected), "{handles}");
    }

    #[test]
    fn counters_have_their_lines() {
        let text = text(stats);
        assert!(text.starts_with("schema=sysfs_ipc_stats_v2\n"));
        for key in ["port_queue_drops_total=", "cap_revoke_marked_total=", "channel_recv_eof_total="] {
            assert!(text.lines().any(|line| line.starts_with(key)), "{key}");
        }
    }
}
