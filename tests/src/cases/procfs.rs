//! What programs read under /proc (proc(5)).

use crate::harness::{Case, case, own_executable};
use crate::sys::*;

pub(crate) const CASES: &[Case] = &[
    case!(self_is_the_reader),
    case!(listing_has_numbers_and_files),
    case!(stat_fields),
    case!(stat_of_a_strange_name),
    case!(status_fields),
    case!(states),
    case!(cmdline_and_environ),
    case!(exe_cwd_root),
    case!(fd_links),
    case!(fdinfo),
    case!(maps_lists_mappings),
    case!(statm_counts_pages),
    case!(mem_reads_other_memory).root(),
    case!(limits),
    case!(mounts),
    case!(meminfo),
    case!(cpuinfo_and_stat),
    case!(loadavg_uptime_version),
    case!(filesystems_and_devices),
    case!(sysctl_values),
    case!(files_of_a_vanished_process),
    case!(reading_in_pieces),
    case!(writing_is_refused),
    case!(permissions_of_others).root(),
    case!(zombie_entries),
    case!(thread_entries),
    case!(children_and_wchan_do_not_hang),
    case!(kairos_census).kairos(),
    case!(entries_cannot_be_changed).root(),
];

fn read_text(name: &str) -> String {
    text(&path(name)).unwrap_or_else(|errno| panic!("{name}: {errno:?}"))
}

fn self_is_the_reader() {
    assert_eq!(readlink(c"/proc/self"), Ok(getpid().to_string().into_bytes()));
    assert_eq!(readlink(c"/proc/thread-self"), Ok(format!("{0}/task/{0}", getpid()).into_bytes()));
    fork(|| assert_eq!(readlink(c"/proc/self"), Ok(getpid().to_string().into_bytes()))).succeeds();
    let thread = std::thread::spawn(|| (readlink(c"/proc/self"), readlink(c"/proc/thread-self"), gettid()));
    let (own, thread_self, tid) = thread.join().unwrap();
    assert_eq!(own, Ok(getpid().to_string().into_bytes()));
    assert_eq!(thread_self, Ok(format!("{}/task/{tid}", getpid()).into_bytes()));
}

fn listing_has_numbers_and_files() {
    let child = fork(|| wait_for_ever());
    let names: Vec<String> = std::fs::read_dir("/proc")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for wanted in
        ["1", "self", "meminfo", "stat", "uptime", "mounts", "cpuinfo", "sys", &getpid().to_string()]
    {
        assert!(names.iter().any(|name| name == wanted), "{wanted} is missing");
    }
    assert!(names.contains(&child.pid.to_string()));
    child.finish();
    assert_eq!(stat(&path(format!("/proc/{}", child.pid))).err(), Some(ENOENT));
    let status = stat(&path(format!("/proc/{}", getpid()))).unwrap();
    assert_eq!(status.st_mode & libc::S_IFMT, libc::S_IFDIR);
    assert_eq!(status.st_uid, syscall!(SYS_geteuid).unwrap() as u32);
}

/// The fields behind the name, from `state` (field 3) on.
fn stat_fields_of(pid: i32) -> Vec<String> {
    let line = read_text(&format!("/proc/{pid}/stat"));
    assert!(line.ends_with('\n') && line.lines().count() == 1);
    line[line.rfind(')').unwrap() + 2..].split_whitespace().map(str::to_owned).collect()
}

fn stat_fields() {
    let fields = stat_fields_of(getpid());
    assert_eq!(fields.len(), 50, "52 fields with pid and name");
    let number = |field: usize| fields[field - 3].parse::<i64>().unwrap();
    assert_eq!(fields[0], "R");
    assert_eq!(number(4), i64::from(getppid()));
    assert_eq!(number(5), i64::from(getpgid(0).unwrap()));
    assert_eq!(number(6), i64::from(getsid(0).unwrap()));
    assert_eq!(number(20), 1, "threads");
    assert!(number(22) > 0, "start time");
    assert!(number(23) > 1 << 20 && number(24) > 10, "sizes");
    assert!(read_text("/proc/self/stat").starts_with(&format!("{} (guest-tests) ", getpid())));
}

fn stat_of_a_strange_name() {
    syscall!(SYS_prctl, libc::PR_SET_NAME, c"a) b (c", 0, 0, 0).unwrap();
    assert!(read_text("/proc/self/stat").starts_with(&format!("{} (a) b (c) R ", getpid())));
    assert_eq!(read_text("/proc/self/comm"), "a) b (c\n");
    let comm = open(c"/proc/self/comm", libc::O_WRONLY).unwrap();
    write(comm, b"by-file").unwrap();
    assert_eq!(read_text("/proc/self/comm"), "by-file\n");
}

fn status_line(pid: i32, name: &str) -> String {
    let status = read_text(&format!("/proc/{pid}/status"));
    let line = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:")).map(str::to_owned));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).trim().to_owned()
}

fn status_fields() {
    let own = getpid();
    assert_eq!(status_line(own, "Name"), "guest-tests");
    assert!(status_line(own, "State").starts_with("R (running)"));
    assert_eq!(status_line(own, "Tgid"), own.to_string());
    assert_eq!(status_line(own, "Pid"), own.to_string());
    assert_eq!(status_line(own, "PPid"), getppid().to_string());
    assert_eq!(status_line(own, "Threads"), "1");
    assert_eq!(status_line(own, "Umask"), "0022");
    let uid = syscall!(SYS_getuid).unwrap();
    assert_eq!(status_line(own, "Uid"), format!("{uid}\t{uid}\t{uid}\t{uid}"));
    // Of one text: reading another may take memory.
    let sizes = || -> [u64; 3] {
        let status = read_text("/proc/self/status");
        ["VmRSS:", "VmSize:", "VmHWM:"].map(|name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
            line.strip_suffix(" kB").unwrap_or_else(|| panic!("{name} {line}")).trim().parse().unwrap()
        })
    };
    let [before, ..] = sizes();
    let memory = map_anonymous(4 << 20);
    (0..1024).for_each(|page| poke(memory + page * PAGE, 1));
    let [resident, size, highest] = sizes();
    assert!(resident >= before + 3500, "four megabytes were touched");
    assert!(size >= resident && highest >= resident, "{size} {highest} {resident}");
    block(&[libc::SIGUSR1]);
    catch(libc::SIGUSR2, 0);
    ignore(libc::SIGHUP);
    raise(libc::SIGUSR1);
    kill(own, libc::SIGUSR1).unwrap();
    let mask = |name: &str| u64::from_str_radix(&status_line(own, name), 16).unwrap();
    assert_eq!(mask("SigBlk"), mask_of(&[libc::SIGUSR1]));
    assert_eq!(mask("SigPnd"), mask_of(&[libc::SIGUSR1]));
    assert_eq!(mask("ShdPnd"), mask_of(&[libc::SIGUSR1]));
    assert_eq!(mask("SigCgt") & mask_of(&[libc::SIGUSR2, libc::SIGHUP]), mask_of(&[libc::SIGUSR2]));
    assert_eq!(mask("SigIgn"), mask_of(&[libc::SIGHUP]));
}

fn states() {
    let (from, to) = pipe();
    let blocked = fork(|| discard(read(from, &mut [0])));
    wait_until_blocked(blocked.pid);
    assert_eq!(status_line(blocked.pid, "State"), "S (sleeping)");
    blocked.kill(libc::SIGSTOP);
    wait_until_stopped(blocked.pid);
    assert_eq!(status_line(blocked.pid, "State"), "T (stopped)");
    blocked.kill(libc::SIGCONT);
    write(to, b"x").unwrap();
    wait_until_zombie(blocked.pid);
    assert_eq!(status_line(blocked.pid, "State"), "Z (zombie)");
    blocked.succeeds();
    let spinning = fork(|| {
        loop {
            std::hint::spin_loop()
        }
    });
    wait_until(|| state_of(spinning.pid) == Ok(b'R'));
    spinning.finish();
}

fn cmdline_and_environ() {
    let ready = pipe();
    let child = fork(|| {
        dup2(ready.0, 0).unwrap();
        close(ready.1).unwrap();
        exec_probe("cat", &["one", "two words", ""], &[c"KEY=value", c"EMPTY="]);
    });
    let file = |name: &str| path(format!("/proc/{}/{name}", child.pid));
    let expected = b"guest-tests\0--probe\0cat\0one\0two words\0\0";
    wait_until(|| content(&file("cmdline")).as_deref() == Ok(expected));
    // Linux notes where the environment ends a moment later than the arguments.
    wait_until(|| content(&file("environ")).as_deref() == Ok(b"KEY=value\0EMPTY=\0"));
    close(ready.1).unwrap();
    wait_until_zombie(child.pid);
    assert_eq!(content(&file("cmdline")), Ok(vec![]), "a zombie has no arguments");
    child.succeeds();
}

fn exe_cwd_root() {
    assert_eq!(readlink(c"/proc/self/exe").as_deref(), Ok(own_executable().to_bytes()));
    assert!(same_file(c"/proc/self/exe", own_executable()));
    mkdir(c"below", 0o755).unwrap();
    syscall!(SYS_chdir, c"below").unwrap();
    let here = std::env::current_dir().unwrap();
    assert_eq!(readlink(c"/proc/self/cwd"), Ok(here.into_os_string().into_encoded_bytes()));
    assert_eq!(readlink(c"/proc/self/root"), Ok(b"/".to_vec()));
    create(c"file", b"through cwd");
    assert_eq!(content(c"/proc/self/cwd/file"), Ok(b"through cwd".to_vec()));
    syscall!(SYS_chdir, c"..").unwrap();
    unlink(c"below/file").unwrap();
}

fn fd_links() {
    let (from, _to) = pipe();
    create(c"file", b"abc");
    let file = open(c"file", libc::O_RDONLY).unwrap();
    let target = |fd: Fd| String::from_utf8(readlink(&path(format!("/proc/self/fd/{fd}"))).unwrap()).unwrap();
    assert_eq!(target(from), format!("pipe:[{}]", fstat(from).unwrap().st_ino));
    assert!(target(file).ends_with("/file"));
    assert_eq!(target(open(c"/dev/null", libc::O_RDWR).unwrap()), "/dev/null");
    let memory = syscall!(SYS_memfd_create, c"m", 0).unwrap() as Fd;
    assert_eq!(target(memory), "/memfd:m (deleted)");
    let listed: Vec<Fd> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    assert!([0, 1, 2, from, file, memory].iter().all(|fd| listed.contains(fd)), "{listed:?}");
    assert_eq!(readlink(c"/proc/self/fd/700"), Err(ENOENT));
    assert_eq!(stat(&path(format!("/proc/self/fd/{file}"))).unwrap().st_size, 3, "it leads to the file");
    let mode = lstat(&path(format!("/proc/self/fd/{file}"))).unwrap().st_mode & 0o700;
    assert_eq!(mode, 0o500, "the link's mode tells how it is open");
}

fn fdinfo() {
    create(c"file", b"0123456789");
    let file = open(c"file", libc::O_RDWR | libc::O_APPEND | libc::O_CLOEXEC).unwrap();
    read_some(file, 4).unwrap();
    let info = read_text(&format!("/proc/self/fdinfo/{file}"));
    let value = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!(value("pos:"), "4");
    let flags = i32::from_str_radix(&value("flags:"), 8).unwrap();
    assert_eq!(
        flags & (libc::O_APPEND | libc::O_CLOEXEC | 3),
        libc::O_APPEND | libc::O_CLOEXEC | libc::O_RDWR
    );
}

/// (start, end, permissions, rest) of every line.
fn maps_of(pid: i32) -> Vec<(usize, usize, String, String)> {
    read_text(&format!("/proc/{pid}/maps"))
        .lines()
        .map(|line| {
            let (range, rest) = line.split_once(' ').unwrap();
            let (start, end) = range.split_once('-').unwrap();
            let (permissions, rest) = rest.split_once(' ').unwrap();
            let hex = |text: &str| usize::from_str_radix(text, 16).unwrap();
            (hex(start), hex(end), permissions.to_owned(), rest.to_owned())
        })
        .collect()
}

fn maps_lists_mappings() {
    create(c"mapped file", &[1; 2 * PAGE]);
    let file = open(c"mapped file", libc::O_RDWR).unwrap();
    let at = map(0, PAGE, libc::PROT_READ, libc::MAP_SHARED, file, PAGE).unwrap();
    let anonymous = map_anonymous(3 * PAGE);
    mprotect(anonymous + PAGE, PAGE, libc::PROT_NONE).unwrap();
    let maps = maps_of(getpid());
    let find = |address: usize| {
        maps.iter().find(|line| (line.0..line.1).contains(&address)).unwrap_or_else(|| panic!("{address:#x}"))
    };
    let line = find(at);
    assert_eq!((line.0, line.1, line.2.as_str()), (at, at + PAGE, "r--s"));
    assert!(line.3.starts_with("00001000 ") && line.3.ends_with("/mapped file"), "{}", line.3);
    assert!(line.3.contains(&format!(" {} ", fstat(file).unwrap().st_ino)));
    let guard = find(anonymous + PAGE);
    assert_eq!((guard.0, guard.1, guard.2.as_str()), (anonymous + PAGE, anonymous + 2 * PAGE, "---p"));
    assert!(maps.iter().any(|line| line.3.ends_with("[stack]") && line.2.starts_with("rw")));
    assert!(maps.iter().any(|line| line.3.ends_with("guest-tests") && line.2 == "r-xp"));
    assert!(maps.is_sorted_by_key(|line| line.0));
    assert!(maps.windows(2).all(|pair| pair[0].1 <= pair[1].0), "overlapping lines");
    let here = 0u8;
    let stack = find(&raw const here as usize);
    assert!(stack.3.ends_with("[stack]"));
}

fn statm_counts_pages() {
    let resident = || -> usize {
        let line = read_text("/proc/self/statm");
        assert_eq!(line.split_whitespace().count(), 7);
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let before = resident();
    let memory = map_anonymous(500 * PAGE);
    (0..500).for_each(|page| poke(memory + page * PAGE, 1));
    assert!(resident() >= before + 400);
    unmap(memory, 500 * PAGE).unwrap();
    assert!(resident() < before + 100);
}

fn mem_reads_other_memory() {
    let memory = map_anonymous(PAGE);
    poke(memory, 42);
    let mem = open(c"/proc/self/mem", libc::O_RDWR).unwrap();
    assert_eq!(pread_some(mem, 1, memory as i64), Ok(vec![42]));
    assert_eq!(pwrite(mem, &[43], memory as i64), Ok(1));
    assert_eq!(peek(memory), 43);
    assert_eq!(pread(mem, &mut [0], 8), Err(EIO));
}

fn limits() {
    let limit = libc::rlimit { rlim_cur: 123, rlim_max: 456 };
    syscall!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, &limit, 0).unwrap();
    let all = read_text("/proc/self/limits");
    let line = all.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[3..], ["123", "456", "files"]);
}

fn mounts() {
    let mounts = read_text("/proc/mounts");
    let proc_line = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/proc")).unwrap();
    let words: Vec<&str> = proc_line.split(' ').collect();
    assert_eq!((words[2], words[4], words[5]), ("proc", "0", "0"));
    assert!(mounts.lines().any(|line| line.split(' ').nth(1) == Some("/")));
    assert_eq!(read_text("/proc/self/mounts"), mounts);
    let info = read_text("/proc/self/mountinfo");
    assert!(info.lines().all(|line| line.contains(" - ") && line.split(' ').count() >= 10));
    assert_eq!(info.lines().count(), mounts.lines().count());
}

fn meminfo() {
    let all = read_text("/proc/meminfo");
    let value = |name: &str| -> u64 {
        let line = all.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
        assert!(line.ends_with(" kB"), "{line}");
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    assert!(value("MemTotal:") >= value("MemAvailable:"));
    assert!(value("MemTotal:") >= value("MemFree:") && value("MemFree:") > 0);
    let _ = (value("Buffers:"), value("Cached:"), value("SwapTotal:"), value("SwapFree:"));
    let mut info: libc::sysinfo = zeroed();
    syscall!(SYS_sysinfo, &mut info).unwrap();
    assert_eq!(info.totalram * u64::from(info.mem_unit) / 1024, value("MemTotal:"));
}

fn cpuinfo_and_stat() {
    let online = std::thread::available_parallelism().unwrap().get();
    let cpuinfo = read_text("/proc/cpuinfo");
    let processors = cpuinfo.lines().filter(|line| line.starts_with("processor\t")).count();
    assert!(processors >= online, "{processors} in cpuinfo, {online} by affinity");
    assert!(cpuinfo.contains("flags\t"));
    let stat = read_text("/proc/stat");
    let total = stat.lines().next().unwrap();
    assert!(total.starts_with("cpu  ") && total.split_whitespace().count() >= 8);
    assert_eq!(
        stat.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count(),
        processors
    );
    for name in ["ctxt ", "btime ", "processes ", "procs_running "] {
        assert!(stat.lines().any(|line| line.starts_with(name)), "no {name}");
    }
    let processes = || -> u64 {
        let stat = read_text("/proc/stat");
        stat.lines().find_map(|line| line.strip_prefix("processes ")).unwrap().parse().unwrap()
    };
    let before = processes();
    fork(|| ()).succeeds();
    assert!(processes() > before);
}

fn loadavg_uptime_version() {
    let load = read_text("/proc/loadavg");
    let words: Vec<&str> = load.split_whitespace().collect();
    assert_eq!(words.len(), 5);
    words[..3].iter().for_each(|word| discard(word.parse::<f64>().unwrap()));
    let (running, all) = words[3].split_once('/').unwrap();
    assert!(running.parse::<u32>().unwrap() <= all.parse::<u32>().unwrap());
    assert!(words[4].parse::<i32>().unwrap() > 0);
    let first: f64 = read_text("/proc/uptime").split(' ').next().unwrap().parse().unwrap();
    let second: f64 = read_text("/proc/uptime").split(' ').next().unwrap().parse().unwrap();
    assert!(second >= first);
    let mut names: libc::utsname = zeroed();
    syscall!(SYS_uname, &mut names).unwrap();
    let release: String = names.release.iter().take_while(|c| **c != 0).map(|c| *c as u8 as char).collect();
    assert!(read_text("/proc/version").starts_with(&format!("Linux version {release}")));
}

fn filesystems_and_devices() {
    let known = read_text("/proc/filesystems");
    for name in ["nodev\tproc", "nodev\ttmpfs"] {
        assert!(known.lines().any(|line| line == name), "{name} in {known}");
    }
    assert!(read_text("/proc/devices").contains("Character devices:"));
    assert!(!read_text("/proc/interrupts").is_empty());
}

fn sysctl_values() {
    let number = |name: &str| -> i64 { read_text(name).trim().parse().unwrap_or_else(|_| panic!("{name}")) };
    assert!(number("/proc/sys/kernel/pid_max") > 1000);
    assert_eq!(read_text("/proc/sys/kernel/ostype"), "Linux\n");
    assert!(!read_text("/proc/sys/kernel/hostname").trim().is_empty());
    assert!(number("/proc/sys/kernel/threads-max") > 0);
    assert!(number("/proc/sys/vm/overcommit_memory") <= 2);
    assert!(number("/proc/sys/fs/pipe-max-size") >= 1 << 20);
    assert!(number("/proc/sys/fs/nr_open") >= 1024);
    let boot = read_text("/proc/sys/kernel/random/boot_id");
    assert_eq!((boot.trim().len(), &boot), (36, &read_text("/proc/sys/kernel/random/boot_id")));
    assert_ne!(read_text("/proc/sys/kernel/random/uuid"), read_text("/proc/sys/kernel/random/uuid"));
}

fn files_of_a_vanished_process() {
    let child = fork(|| wait_for_ever());
    let stat_file = open(&path(format!("/proc/{}/stat", child.pid)), libc::O_RDONLY).unwrap();
    let folder = open(&path(format!("/proc/{}", child.pid)), libc::O_RDONLY).unwrap();
    child.finish();
    assert_eq!(read(stat_file, &mut [0; 100]), Err(ESRCH));
    assert!(syscall!(SYS_openat, folder, c"status", libc::O_RDONLY).is_err());
    assert_eq!(open(&path(format!("/proc/{}/stat", child.pid)), libc::O_RDONLY), Err(ENOENT));
}

fn reading_in_pieces() {
    let whole = read_text("/proc/self/limits");
    let file = open(c"/proc/self/limits", libc::O_RDONLY).unwrap();
    let mut pieces = Vec::new();
    loop {
        let piece = read_some(file, 7).unwrap();
        if piece.is_empty() {
            break;
        }
        pieces.extend(piece);
    }
    assert_eq!(String::from_utf8(pieces).unwrap(), whole);
    assert_eq!(pread_some(file, 10, 5).unwrap(), whole.as_bytes()[5..15]);
    assert_eq!(lseek(file, 0, libc::SEEK_SET), Ok(0));
    assert_eq!(read_some(file, 3).unwrap(), whole.as_bytes()[..3]);
    assert_eq!(fstat(file).unwrap().st_size, 0, "sizes are not known beforehand");
}

fn writing_is_refused() {
    assert_eq!(open(c"/proc/newfile", libc::O_RDWR | libc::O_CREAT), Err(ENOENT));
    assert_eq!(mkdir(c"/proc/newfolder", 0o755), Err(ENOENT));
    assert_eq!(unlink(c"/proc/meminfo"), Err(EPERM));
    assert!(rename(c"/proc/meminfo", c"/proc/x").is_err());
    let result = open(c"/proc/meminfo", libc::O_WRONLY).map(|fd| write(fd, b"x"));
    assert!(matches!(result, Err(EACCES) | Ok(Err(EIO | EINVAL | EACCES))), "{result:?}");
}

fn permissions_of_others() {
    let child = fork(|| wait_for_ever());
    let name = |file: &str| path(format!("/proc/{}/{file}", child.pid));
    as_nobody(|| {
        assert!(content(&name("stat")).is_ok(), "anybody may see the process");
        assert!(content(&name("cmdline")).is_ok());
        assert_eq!(content(&name("environ")), Err(EACCES));
        assert_eq!(readlink(&name("exe")), Err(EACCES));
        assert_eq!(open(&name("fd"), libc::O_RDONLY), Err(EACCES));
        assert_eq!(open(&name("mem"), libc::O_RDONLY), Err(EACCES));
    });
    child.finish();
}

fn zombie_entries() {
    let child = fork(|| ());
    wait_until_zombie(child.pid);
    let file = |name: &str| path(format!("/proc/{}/{name}", child.pid));
    assert_eq!(readlink(&file("exe")), Err(ENOENT));
    assert_eq!(content(&file("maps")), Ok(vec![]));
    assert!(text(&file("stat")).unwrap().contains("(guest-tests) Z "));
    assert!(text(&file("status")).unwrap().contains("\nThreads:\t1\n"));
    child.succeeds();
}

fn thread_entries() {
    let gate = Gate::new();
    let (send_tid, tid) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        send_tid.send(gettid()).unwrap();
        gate.pass();
    });
    let tid = tid.recv().unwrap();
    assert!(read_text(&format!("/proc/self/task/{tid}/stat")).starts_with(&format!("{tid} (")));
    assert_eq!(status_line(getpid(), "Threads"), "2");
    assert!(read_text(&format!("/proc/{tid}/status")).contains(&format!("Tgid:\t{}\n", getpid())));
    let listed = std::fs::read_dir("/proc")
        .unwrap()
        .any(|entry| entry.unwrap().file_name().to_str() == Some(&tid.to_string()));
    assert!(!listed, "reachable by number, but not listed");
    assert_eq!(stat(c"/proc/self/task/1").err(), Some(ENOENT));
    gate.open();
    thread.join().unwrap();
}

fn children_and_wchan_do_not_hang() {
    // Everything under /proc/self can be opened and read without blocking the reader for ever.
    for entry in std::fs::read_dir("/proc/self").unwrap() {
        let name = path(entry.unwrap().path().into_os_string().into_encoded_bytes());
        if let Ok(fd) = open(&name, libc::O_RDONLY | libc::O_NONBLOCK) {
            let _ = read(fd, &mut vec![0; 4096]);
            close(fd).unwrap();
        }
    }
}

fn kairos_census() {
    let census = read_text("/proc/kairos/census");
    let mut lines = census.lines();
    assert_eq!(lines.next(), Some("schema=kairos_census_v1"));
    let value = |name: &str, census: &str| -> i64 {
        let line = census.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}")).trim().parse().unwrap()
    };
    for name in
        ["frames_free", "heap_bytes", "tasks", "processes", "open_files", "wait_nodes", "timers", "charges"]
    {
        assert!(value(name, &census) >= 0, "{name}");
    }
    let before = value("processes", &census);
    let child = fork(|| wait_for_ever());
    assert_eq!(value("processes", &read_text("/proc/kairos/census")), before + 1);
    child.finish();
    let open_files = value("open_files", &read_text("/proc/kairos/census"));
    let (_from, _to) = pipe();
    assert_eq!(value("open_files", &read_text("/proc/kairos/census")), open_files + 2);
}

/// Its directories are nobody's to write in, root's neither.
fn entries_cannot_be_changed() {
    let mknod = |name: &std::ffi::CStr| syscall!(SYS_mknod, name, libc::S_IFREG | 0o644, 0);
    for new in [c"/proc/new", c"/proc/self/new", c"/proc/self/fd/777"] {
        assert_eq!(mkdir(new, 0o755), Err(ENOENT), "{new:?}");
        assert_eq!(mknod(new), Err(ENOENT), "{new:?}");
        assert_eq!(symlink(c"x", new), Err(ENOENT), "{new:?}");
        assert_eq!(open(new, libc::O_CREAT | libc::O_RDWR), Err(ENOENT), "{new:?}");
        assert_eq!(unlink(new), Err(ENOENT), "{new:?}");
        assert_eq!(rmdir(new), Err(ENOENT), "{new:?}");
        assert_eq!(rename(new, c"/proc/other"), Err(ENOENT), "{new:?}");
    }
    for there in [c"/proc/self/status", c"/proc/self/fd/0", c"/proc/1"] {
        assert_eq!(mkdir(there, 0o755), Err(EEXIST), "{there:?}");
        assert_eq!(mknod(there), Err(EEXIST), "{there:?}");
        assert_eq!(rename(there, c"/proc/self/new"), Err(ENOENT), "{there:?}");
        assert_eq!(rename(there, c"/proc/self/stat"), Err(EPERM), "{there:?}");
        assert_eq!(unlink(there), Err(EPERM), "{there:?}");
    }
    for there in [c"/proc/self/status", c"/proc/1"] {
        assert_eq!(rmdir(there), Err(EPERM), "{there:?}");
    }
    // Not in a process's own directory, what is no directory is that first.
    for no_directory in [c"/proc/self/fd/0", c"/proc/self/fdinfo/0", c"/proc/self", c"/proc/meminfo"] {
        assert_eq!(rmdir(no_directory), Err(ENOTDIR), "{no_directory:?}");
    }
}
