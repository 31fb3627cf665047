//! What outlives the process that made it: objects of System V and POSIX message queues.

use super::path;

/// Where the queues of mq_overview(7) are mounted.
const QUEUES: &str = "/dev/mqueue";

/// A thing that stays until it is removed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Lasting {
    /// "shm", "sem" or "msg", and the id.
    SystemV(&'static str, i32),
    /// The name without its slash.
    Queue(String),
}

impl Lasting {
    /// What there is of them. Queues only where they are mounted.
    pub(crate) fn all() -> Vec<Lasting> {
        let system_v = ["shm", "sem", "msg"].into_iter().flat_map(|kind| {
            let table = std::fs::read_to_string(format!("/proc/sysvipc/{kind}")).unwrap_or_default();
            let id = |line: &str| line.split_whitespace().nth(1)?.parse().ok();
            table.lines().filter_map(id).map(|id| Lasting::SystemV(kind, id)).collect::<Vec<_>>()
        });
        let names = std::fs::read_dir(QUEUES).into_iter().flatten().flatten();
        system_v
            .chain(names.filter_map(|entry| entry.file_name().into_string().ok().map(Lasting::Queue)))
            .collect()
    }

    /// Removes everything that is not among `these`.
    pub(crate) fn keep_only(these: &[Lasting]) {
        Lasting::all().iter().filter(|thing| !these.contains(thing)).for_each(Lasting::remove);
    }

    fn remove(&self) {
        let _ = match self {
            Lasting::SystemV("shm", id) => syscall!(SYS_shmctl, *id, libc::IPC_RMID, 0),
            Lasting::SystemV("sem", id) => syscall!(SYS_semctl, *id, 0, libc::IPC_RMID),
            Lasting::SystemV(_, id) => syscall!(SYS_msgctl, *id, libc::IPC_RMID, 0),
            Lasting::Queue(name) => syscall!(SYS_mq_unlink, path(name.as_str()).as_c_str()),
        };
    }
}
