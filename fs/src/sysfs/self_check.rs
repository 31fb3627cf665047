//! A look at `/sys/ipc/hash_stats` at boot, as a program would take it: what is wrong with the file is a line in the
//! log, and no reason not to go on.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::Result;
use base::caller::{Caller, Credentials, Limits};
use base::charge::Account;
use base::memory::{Access, KernelBytes, UserBuffer, UserMemory};

use crate::file::{OpenFlags, Place, Way};
use crate::vfs::{
    FsContext, Mount, MountFlags, Namespace, OpenHow, Start, Subject, SuperBlock, WalkFlags, open,
};

/// Bytes that are read at a time.
const BYTES: usize = 1023;
/// The first line.
const SCHEMA: &str = "schema=sysfs_ipc_hash_stats_v1";
/// Keys of every table, in their order.
const KEYS: [&str; 8] = [
    "buckets",
    "used_buckets",
    "entries",
    "load_per_mille",
    "avg_chain_per_mille",
    "collision_entries",
    "max_bucket_depth",
    "rehash_recommended",
];

/// Reads the file in `tree` and tells the log what it is like.
pub(super) async fn run(tree: &Arc<SuperBlock>) {
    match read(tree).await.map(|bytes| is_valid(&bytes)) {
        Ok(true) => log::info!("sysfs: ipc hash_stats selftest ok"),
        Ok(false) => log::warn!("sysfs: ipc hash_stats selftest: the text is malformed"),
        Err(error) => log::warn!("sysfs: ipc hash_stats selftest: {error}"),
    }
}

/// The file, to its end.
async fn read(tree: &Arc<SuperBlock>) -> Result<Vec<u8>> {
    let memory = Arc::new(KernelBytes::new(alloc::vec![0; BYTES]));
    let caller = Caller {
        key: 0,
        pid: 0,
        tid: 0,
        credentials: Arc::new(Credentials::root()),
        limits: Arc::new(Limits::initial(0)),
        account: Account::new(),
        memory: memory.clone(),
    };
    let fs = FsContext::new(&Namespace::new(&Mount::new(tree, b"none", MountFlags::empty())));
    let how = OpenHow { flags: OpenFlags::empty(), mode: 0, resolve: WalkFlags::empty() };
    let file = open(Subject { caller: &caller, fs: &fs }, Start::Cwd, b"/ipc/hash_stats", how).await?;
    let mut text = Vec::new();
    loop {
        let at = Place::At(text.len().try_into().unwrap_or(i64::MAX));
        let mut buffer = UserBuffer::new(&*memory, 0, BYTES, Access::Write);
        let length = file.transfer(&caller, Way::Read, at, &mut buffer, file.io_flags()).await?;
        if length == 0 {
            return Ok(text);
        }
        let start = text.len();
        text.resize(start + length, 0);
        memory.copy_in_nofault(0, text.get_mut(start..).unwrap_or_default());
    }
}

/// True when the tables that programs know are there with all their keys.
fn is_valid(bytes: &[u8]) -> bool {
    let Ok(text) = core::str::from_utf8(bytes) else { return false };
    let mut lines = text.lines();
    let has = |table: &str, more: &[&str]| {
        let line =
            text.lines().find_map(|line| line.strip_prefix("table=")?.strip_prefix(table)?.strip_prefix(' '));
        line.is_some_and(|line| {
            let mut words = line.split(' ');
            more.iter().chain(&KEYS).all(|key| words.next().is_some_and(|word| is_number_of(word, key)))
        })
    };
    lines.next() == Some(SCHEMA) && has("ipc_registry_id", &[]) && has("kcap_id", &["ready"])
}

fn is_number_of(word: &str, key: &str) -> bool {
    word.split_once('=').is_some_and(|(found, value)| found == key && value.parse::<u64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::hash::Statistics;

    #[test]
    fn a_text_with_all_keys_is_valid() {
        let table = Statistics::default();
        let text = alloc::format!("{SCHEMA}\ntable=ipc_registry_id {table}\ntable=kcap_id ready=0 {table}\n");
        assert!(is_valid(text.as_bytes()));
        for (from, to) in
            [("v1", "v2"), ("kcap_id", "kcap"), ("ready=0 ", ""), (" entries=", " count="), ("=0", "=x")]
        {
            assert!(!is_valid(text.replace(from, to).as_bytes()), "{from}");
        }
    }

    #[test]
    fn the_kernel_s_own_file_is_valid() {
        crate::testing::machine();
        let sys = super::super::make(1);
        assert!(is_valid(&crate::testing::now(read(sys.tree.super_block())).unwrap()));
    }
}
