//! Hash tables of the kernel, and a capability that is found in one.

use super::sysfs::{object_of, open_text, read_text};
use crate::harness::{Case, case};
use crate::sys::*;

pub(crate) const CASES: &[Case] = &[
    case!(tables_have_their_statistics).kairos(),
    case!(a_capability_is_found_by_its_number).root().kairos(),
    case!(a_directory_of_many_names_is_one_table).kairos(),
];

fn tables_have_their_statistics() {
    // One capability at least has been there.
    handle_close(port_create().unwrap()).unwrap();
    let text = read_text("/sys/ipc/hash_stats");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "schema=sysfs_ipc_hash_stats_v1");
    let keys = [
        "buckets",
        "used_buckets",
        "entries",
        "load_per_mille",
        "avg_chain_per_mille",
        "collision_entries",
        "max_bucket_depth",
        "rehash_recommended",
    ];
    for (line, prefix) in lines[1..].iter().zip(["table=ipc_registry_id ", "table=kcap_id ready=1 "]) {
        let words = line.strip_prefix(prefix).unwrap_or_else(|| panic!("{line}")).split(' ');
        assert!(words.map(|word| word.split_once('=').unwrap().0).eq(keys), "{line}");
    }
    for line in &lines[1..] {
        let of = |key: &str| -> u64 {
            let word = line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
            word.unwrap_or_else(|| panic!("{key}: {line}")).parse().unwrap()
        };
        let (buckets, used, entries) = (of("buckets"), of("used_buckets"), of("entries"));
        assert!(used <= entries && used <= buckets && of("collision_entries") == entries - used, "{line}");
        assert_eq!(of("load_per_mille"), (entries * 1000).checked_div(buckets).unwrap_or(0), "{line}");
        assert_eq!(of("avg_chain_per_mille"), (entries * 1000).checked_div(used).unwrap_or(0), "{line}");
        assert_eq!(of("rehash_recommended"), 0, "a table that gets full grows: {line}");
    }
    for table in ["dentries", "processes", "threads", "unix_names"] {
        assert!(lines.iter().any(|line| line.starts_with(&format!("table={table} "))), "{table}");
    }
}

fn a_capability_is_found_by_its_number() {
    let (end, peer) = channel_create().unwrap();
    let copy = handle_duplicate(end, 0).unwrap();
    let (id, of) = (object_of(end), |handle: Handle| {
        let rows = read_text("/proc/self/handles");
        let row =
            rows.lines().find(|row| row.starts_with(&format!("{handle} "))).expect("its row").to_owned();
        row.split(' ').nth(1).expect("its capability").to_owned()
    });
    let (first, second) = (of(end), of(copy));
    let file = |capability: &str| format!("/sys/ipc/capability.{capability}");
    let text = |capability: &str, parent: &str| {
        format!("cap_id={capability}\nparent={parent}\nobj_id={id}\ntype=channel\nrevoked=0\n")
    };
    assert_eq!(read_text(&file(&first)), text(&first, "0"));
    assert_eq!(read_text(&file(&second)), text(&second, &first));
    let open_still = open_text(&file(&second)).unwrap();
    handle_close(copy).unwrap();
    assert_eq!(open_text(&file(&second)), Err(ENOENT));
    assert_eq!(read_some(open_still, 64), Err(ENOENT), "it is gone at the read");
    for bad in ["", "0", "x", "-1", "01"] {
        assert_eq!(open_text(&file(bad)), Err(ENOENT), "{bad:?}");
    }
    fork(|| {
        syscall!(SYS_setresuid, 1000, 1000, 1000).unwrap();
        assert_eq!(open_text(&file(&first)), Err(EACCES));
    })
    .succeeds();
    handle_close(end).unwrap();
    handle_close(peer).unwrap();
    close(open_still).unwrap();
}

fn a_directory_of_many_names_is_one_table() {
    let of = |key: &str| -> u64 {
        let text = read_text("/sys/ipc/hash_stats");
        let line = text.lines().find(|line| line.starts_with("table=dentries ")).expect("its line");
        let word = line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        word.expect("its key").parse().unwrap()
    };
    const NAMES: u64 = 3000;
    mkdir(c"many", 0o755).unwrap();
    let (entries, buckets) = (of("entries"), of("buckets"));
    for name in 0..NAMES {
        create(&path(format!("many/{name}")), b"");
    }
    // Others may forget names of theirs meanwhile, but not that many.
    assert!(of("entries") > entries + NAMES / 2 && of("buckets") > buckets + NAMES, "{NAMES} names");
    for name in (0..NAMES).rev() {
        let name = path(format!("many/{name}"));
        assert!(stat(&name).is_ok());
        unlink(&name).unwrap();
        assert_eq!(stat(&name).map(drop), Err(ENOENT));
    }
    rmdir(c"many").unwrap();
}
