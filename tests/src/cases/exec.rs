//! Starting programs (execve(2)).

use crate::harness::{Case, case, own_executable, rounds};
use crate::sys::*;
use std::ffi::CStr;
use std::sync::Barrier;
use std::thread;

pub(crate) const CASES: &[Case] = &[
    case!(missing_file_is_enoent),
    case!(errors_of_paths),
    case!(errors_of_formats),
    case!(not_executable_is_eacces_even_for_root).root(),
    case!(bad_pointers_are_efault),
    case!(failed_exec_leaves_everything_alone),
    case!(null_argv_gets_an_empty_name),
    case!(argument_list_too_long),
    case!(script_gets_interpreter_and_arguments),
    case!(script_without_argument_and_with_blanks),
    case!(script_errors),
    case!(scripts_nest_but_not_for_ever),
    case!(close_on_exec),
    case!(descriptors_and_offsets_survive),
    case!(ids_survive),
    case!(handlers_are_reset_ignored_stay),
    case!(mask_and_pending_survive),
    case!(alternate_stack_is_forgotten),
    case!(memory_is_new),
    case!(exec_ends_the_other_threads),
    case!(exec_from_a_second_thread_takes_the_leaders_id),
    case!(exec_of_one_thread_ends_the_exec_of_another),
    case!(exec_unshares_the_descriptor_table),
    case!(comm_follows_the_file_name),
    case!(execveat_by_descriptor),
    case!(execveat_relative_and_nofollow),
    case!(setuid_bit).root(),
    case!(running_file_cannot_be_written),
    case!(file_open_for_writing_cannot_run),
    case!(dumpable_and_parent_death_reset).root(),
    case!(working_folder_and_umask_survive),
    case!(timers_after_exec),
];

/// `execve` in a child: the error it gave, 0 when the program ran.
fn exec_error(path: &CStr) -> Errno {
    let (from, to) = pipe2(libc::O_CLOEXEC).unwrap();
    let child = fork(|| {
        let errno = execve(path, &[c"x"], &[]);
        write(to, &errno.0.to_ne_bytes()).unwrap();
    });
    close(to).unwrap();
    child.succeeds();
    let answer = read_to_end(from).unwrap();
    answer.try_into().map_or(Errno(0), |bytes| Errno(i32::from_ne_bytes(bytes)))
}

fn executable(name: &CStr, content: &[u8]) {
    create(name, content);
    chmod(name, 0o755).unwrap();
}

fn missing_file_is_enoent() {
    assert_eq!(exec_error(c"/no/such/program"), ENOENT);
    assert_eq!(exec_error(c"nothing-here"), ENOENT);
    assert_eq!(exec_error(c""), ENOENT);
    symlink(c"nowhere", c"dangling").unwrap();
    assert_eq!(exec_error(c"dangling"), ENOENT);
}

fn errors_of_paths() {
    create(c"file", b"");
    assert_eq!(exec_error(c"file/below"), ENOTDIR);
    mkdir(c"folder", 0o755).unwrap();
    assert_eq!(exec_error(c"folder"), EACCES);
    symlink(c"loop", c"loop").unwrap();
    assert_eq!(exec_error(c"loop"), ELOOP);
    assert_eq!(exec_error(&path(vec![b'a'; 256])), ENAMETOOLONG);
    assert_eq!(exec_error(&path(vec![b'/'; 5000])), ENAMETOOLONG);
}

fn errors_of_formats() {
    executable(c"empty", b"");
    assert_eq!(exec_error(c"empty"), ENOEXEC);
    executable(c"text", b"echo hello\n");
    assert_eq!(exec_error(c"text"), ENOEXEC);
    executable(c"magic-only", b"\x7fELF");
    assert_eq!(exec_error(c"magic-only"), ENOEXEC);
    executable(c"zeros", &[0; 4096]);
    assert_eq!(exec_error(c"zeros"), ENOEXEC);
}

fn not_executable_is_eacces_even_for_root() {
    create(c"file", b"#!/bin/sh\n");
    assert_eq!(exec_error(c"file"), EACCES);
    create(c"file", b"\x7fELF");
    chmod(c"file", 0o001).unwrap();
    symlink(c"file", c"link").unwrap();
    assert_eq!(exec_error(c"link"), ENOEXEC, "any x bit will do for root");
    assert_eq!(exec_error(c"/dev/null"), EACCES);
}

fn bad_pointers_are_efault() {
    fork(|| {
        assert_eq!(syscall!(SYS_execve, 8, 0, 0), Err(EFAULT));
        assert_eq!(syscall!(SYS_execve, own_executable(), 8, 0), Err(EFAULT));
        assert_eq!(syscall!(SYS_execve, own_executable(), &[8usize, 0], 0), Err(EFAULT));
        assert_eq!(syscall!(SYS_execve, own_executable(), 0, &[8usize, 0]), Err(EFAULT));
    })
    .succeeds();
}

fn failed_exec_leaves_everything_alone() {
    executable(c"broken", b"\x7fELF");
    catch(libc::SIGUSR1, 0);
    let fd = open(c"broken", libc::O_RDONLY | libc::O_CLOEXEC).unwrap();
    assert_eq!(execve(c"broken", &[c"x"], &[]), ENOEXEC);
    assert!(is_open(fd), "close-on-exec must wait for success");
    assert_eq!(disposition(libc::SIGUSR1).0, recorder());
}

fn null_argv_gets_an_empty_name() {
    // Since Linux 5.18 a program never starts with argc 0.
    let (output, status) = output_of(|| {
        let _ = syscall!(SYS_execve, own_executable(), 0, 0);
    });
    assert_eq!((output.as_str(), status), ("no name\n", Status::Exited(0)));
}

fn argument_list_too_long() {
    let chunk = path("x".repeat(100_000));
    let many: Vec<&CStr> = vec![&chunk; 40];
    fork(|| {
        // With the default stack limit of 8 MiB a quarter of it, 2 MiB, is for arguments.
        let limit = libc::rlimit { rlim_cur: 8 << 20, rlim_max: libc::RLIM_INFINITY };
        let _ = syscall!(SYS_prlimit64, 0, libc::RLIMIT_STACK, &limit, 0);
        assert_eq!(execve(own_executable(), &many, &[]), E2BIG);
        assert_eq!(execve(own_executable(), &[c"x"], &many), E2BIG);
    })
    .succeeds();
}

/// What the script printed, started with these arguments.
fn run_script(script: &CStr, arguments: &[&CStr]) -> (String, Status) {
    output_of(|| panic!("execve: {:?}", execve(script, arguments, &[])))
}

fn with_interpreter(tail: &str) -> Vec<u8> {
    format!("#!{}{tail}", own_executable().to_str().unwrap()).into_bytes()
}

fn script_gets_interpreter_and_arguments() {
    // Everything after the first blank is one argument; then the script's path, then argv[1..].
    link_to_self();
    executable(c"args", b"#!./self --probe\n");
    let (output, status) = run_script(c"args", &[c"name", c"one", c"two words"]);
    assert_eq!(status, Status::Exited(0));
    assert_eq!(output, "./self\n--probe\nargs\none\ntwo words\n");
}

/// `./self`: a short path to this program.
fn link_to_self() {
    symlink(own_executable(), c"self").unwrap();
}

fn script_without_argument_and_with_blanks() {
    link_to_self();
    // Blanks and tabs around the interpreter and its argument are dropped; the newline is optional.
    for head in [&b"#! \t ./self \t --probe \t \nrest"[..], b"#!./self --probe"] {
        executable(c"args", head);
        let (output, status) = run_script(c"args", &[c"name"]);
        assert_eq!(status, Status::Exited(0));
        assert_eq!(output, "./self\n--probe\nargs\n");
    }
}

fn script_errors() {
    executable(c"no-interpreter", b"#!/no/such/interpreter\n");
    assert_eq!(exec_error(c"no-interpreter"), ENOENT);
    executable(c"nothing", b"#!\n");
    assert_eq!(exec_error(c"nothing"), ENOEXEC);
    executable(c"blanks", b"#!   \n");
    assert_eq!(exec_error(c"blanks"), ENOEXEC);
    create(c"plain", b"");
    executable(c"not-executable", b"#!./plain\n");
    assert_eq!(exec_error(c"not-executable"), EACCES);
    // A first line longer than the buffer of 256 bytes that cuts the interpreter's path.
    let long = format!("#!/{}\n", "x".repeat(300));
    executable(c"long", long.as_bytes());
    assert_eq!(exec_error(c"long"), ENOEXEC);
    // A long argument is cut silently.
    executable(c"args", &with_interpreter(" --probe"));
    assert!(run_script(c"args", &[c"x"]).1 == Status::Exited(0));
}

fn scripts_nest_but_not_for_ever() {
    link_to_self();
    executable(c"args", b"#!./self --probe\n");
    executable(c"outer", b"#!args\n");
    let (output, status) = run_script(c"outer", &[c"name", c"z"]);
    assert_eq!(status, Status::Exited(0));
    assert_eq!(output, "./self\n--probe\nargs\nouter\nz\n");
    executable(c"itself", b"#!itself\n");
    assert_eq!(exec_error(c"itself"), ELOOP);
}

fn close_on_exec() {
    let (keep, lose) = (dup(1).unwrap(), dup(1).unwrap());
    let _ = (close(keep), close(lose));
    open(c"/dev/null", libc::O_RDONLY).unwrap();
    open(c"/dev/null", libc::O_RDONLY | libc::O_CLOEXEC).unwrap();
    fcntl(1, libc::F_DUPFD_CLOEXEC, 40).unwrap();
    fcntl(1, libc::F_DUPFD, 50).unwrap();
    dup3(1, 60, libc::O_CLOEXEC).unwrap();
    dup2(60, 61).unwrap();
    let open_ones = probe_output("descriptors", &[], &[]);
    let expected: Vec<String> = [0, 1, 2, keep, 50, 61].iter().map(i32::to_string).collect();
    assert!(is_open(lose));
    // The pipe of `output_of` adds its reading end and nothing else below 40.
    let seen: Vec<&str> = open_ones.split_whitespace().collect();
    for number in &expected {
        assert!(seen.contains(&number.as_str()), "{number} is missing in {open_ones}");
    }
    for number in [lose, 40, 60] {
        assert!(!seen.contains(&number.to_string().as_str()), "{number} survived: {open_ones}");
    }
}

fn descriptors_and_offsets_survive() {
    create(c"file", b"0123456789");
    let file = open(c"file", libc::O_RDONLY).unwrap();
    lseek(file, 4, libc::SEEK_SET).unwrap();
    let (output, status) = output_of(|| {
        dup2(file, 0).unwrap();
        exec_probe("cat", &[], &[]);
    });
    assert_eq!((output.as_str(), status), ("456789", Status::Exited(0)));
    assert_eq!(lseek(file, 0, libc::SEEK_CUR), Ok(10), "the offset is shared with the program");
}

fn ids_survive() {
    let (output, _) = output_of(|| {
        setsid().unwrap();
        write(1, format!("{} {}\n", getpid(), getppid()).as_bytes()).unwrap();
        exec_probe("ids", &[], &[]);
    });
    let (before, after) = output.split_once('\n').unwrap();
    let numbers: Vec<&str> = after.split_whitespace().collect();
    let (pid, parent) = before.split_once(' ').unwrap();
    assert_eq!(numbers, [pid, parent, pid, pid, pid]);
}

fn handlers_are_reset_ignored_stay() {
    catch(libc::SIGUSR1, 0);
    ignore(libc::SIGUSR2);
    ignore(libc::SIGCHLD);
    let output = probe_output_with_sigchld("signals");
    assert!(output.contains("handled \n"), "{output}");
    assert!(output.contains(&format!("ignored {},{}\n", libc::SIGUSR2, libc::SIGCHLD)), "{output}");
}

/// As `probe_output`, where SIGCHLD may be ignored (so that the status is lost).
fn probe_output_with_sigchld(name: &str) -> String {
    let (from, to) = pipe();
    fork(|| {
        dup2(to, 1).unwrap();
        exec_probe(name, &[], &[]);
    });
    close(to).unwrap();
    String::from_utf8(read_to_end(from).unwrap()).unwrap()
}

fn mask_and_pending_survive() {
    let (output, _) = output_of(|| {
        block(&[libc::SIGUSR1, libc::SIGTERM]);
        raise(libc::SIGUSR1);
        kill(getpid(), libc::SIGTERM).unwrap();
        exec_probe("signals", &[], &[]);
    });
    let both = format!("{},{}", libc::SIGUSR1, libc::SIGTERM);
    assert!(output.contains(&format!("blocked {both}\n")), "{output}");
    assert!(output.contains(&format!("pending {both}\n")), "{output}");
}

fn alternate_stack_is_forgotten() {
    let (output, status) = output_of(|| {
        use_alternate_stack(map_anonymous(4 * PAGE), 4 * PAGE);
        exec_probe("altstack", &[], &[]);
    });
    assert_eq!((output.as_str(), status), ("none\n", Status::Exited(0)));
}

fn memory_is_new() {
    // A mapping at a fixed place far from everything is gone in the new program.
    let place = 0x1234_0000_0000usize;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    let (output, _) = output_of(|| {
        map(place, PAGE, READ_WRITE, flags, -1, 0).unwrap();
        exec_probe("mapped", &[&place.to_string()], &[]);
    });
    assert_eq!(output, "no\n");
}

/// One of them becomes another program, and no other sees its own call return.
fn exec_of_one_thread_ends_the_exec_of_another() {
    for _ in 0..rounds(100) {
        let child = fork(|| {
            let start = Barrier::new(3);
            thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        start.wait();
                        exec_probe("exit", &["7"], &[]);
                        exit_group(1);
                    });
                }
            });
        });
        assert_eq!(child.wait(), Status::Exited(7));
    }
}

fn exec_ends_the_other_threads() {
    let (output, status) = output_of(|| {
        for _ in 0..5 {
            thread::spawn(|| wait_for_ever());
        }
        thread::spawn(|| {
            loop {
                std::hint::spin_loop()
            }
        });
        exec_probe("threads", &[], &[]);
    });
    assert_eq!((output.as_str(), status), ("1\n", Status::Exited(0)));
}

fn exec_from_a_second_thread_takes_the_leaders_id() {
    let (output, status) = output_of(|| {
        write(1, format!("{}\n", getpid()).as_bytes()).unwrap();
        thread::spawn(|| exec_probe("ids", &[], &[]));
        wait_for_ever();
    });
    let (before, after) = output.split_once('\n').unwrap();
    let numbers: Vec<&str> = after.split_whitespace().collect();
    assert_eq!((numbers[0], numbers[4]), (before, before), "pid and tid are the old leader's");
    assert_eq!(status, Status::Exited(0));
}

fn exec_unshares_the_descriptor_table() {
    let flags = libc::CLONE_FILES | libc::SIGCHLD;
    let marked = fcntl(1, libc::F_DUPFD_CLOEXEC, 30).unwrap() as Fd;
    let pid = syscall!(SYS_clone, flags, 0, 0, 0, 0).unwrap() as i32;
    if pid == 0 {
        exec_probe("exit", &["0"], &[]);
        exit_group(9);
    }
    assert_eq!(wait4(pid, 0), Ok((pid, Status::Exited(0))));
    assert!(is_open(marked), "close-on-exec of the child reached into the parent's table");
}

fn comm_follows_the_file_name() {
    symlink(own_executable(), c"a-name-longer-than-fifteen").unwrap();
    let (output, _) = output_of(|| {
        let argv = [c"other", c"--probe", c"comm"];
        execve(c"./a-name-longer-than-fifteen", &argv, &[]);
    });
    assert_eq!(output, "a-name-longer-t\n");
}

fn execveat_by_descriptor() {
    let file = open(own_executable(), libc::O_RDONLY | libc::O_PATH).unwrap();
    let argv = probe_argv("exit", &["17"]);
    let pointers: Vec<usize> = argv.iter().map(|text| text.as_ptr() as usize).chain([0]).collect();
    let run = |fd: Fd, name: &CStr, flags: i32| {
        fork(|| {
            let result = syscall!(SYS_execveat, fd, name, pointers.as_ptr(), 0, flags);
            exit_group(100 + result.unwrap_err().0);
        })
        .wait()
    };
    assert_eq!(run(file, c"", libc::AT_EMPTY_PATH), Status::Exited(17));
    assert_eq!(run(file, c"", 0), Status::Exited(100 + libc::ENOENT));
    assert_eq!(run(-5, c"", libc::AT_EMPTY_PATH), Status::Exited(100 + libc::EBADF));
    assert_eq!(run(file, c"x", 0), Status::Exited(100 + libc::ENOTDIR));
    assert_eq!(run(file, c"x", 0x4000), Status::Exited(100 + libc::EINVAL));
}

fn execveat_relative_and_nofollow() {
    mkdir(c"folder", 0o755).unwrap();
    symlink(own_executable(), c"folder/link").unwrap();
    let folder = open(c"folder", libc::O_RDONLY | libc::O_DIRECTORY).unwrap();
    let argv = probe_argv("exit", &["18"]);
    let pointers: Vec<usize> = argv.iter().map(|text| text.as_ptr() as usize).chain([0]).collect();
    let run = |flags: i32| {
        fork(|| {
            let result = syscall!(SYS_execveat, folder, c"link", pointers.as_ptr(), 0, flags);
            exit_group(100 + result.unwrap_err().0);
        })
        .wait()
    };
    assert_eq!(run(0), Status::Exited(18));
    assert_eq!(run(libc::AT_SYMLINK_NOFOLLOW), Status::Exited(100 + libc::ELOOP));
}

fn copy_of_self(name: &CStr) {
    create(name, &content(own_executable()).unwrap());
    chmod(name, 0o755).unwrap();
}

fn setuid_bit() {
    copy_of_self(c"program");
    chown(c"program", 1234, 1235).unwrap();
    chmod(c"program", 0o6755).unwrap();
    let show = |prepare: fn()| {
        output_of(|| {
            prepare();
            execve(c"./program", &[c"x", c"--probe", c"uids"], &[]);
        })
        .0
    };
    assert_eq!(show(|| ()), "0 1234 1234 0 1235 1235 secure=1\n");
    let no_privileges = || {
        syscall!(SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).unwrap();
    };
    assert_eq!(show(no_privileges), "0 0 0 0 0 0 secure=0\n");
    chmod(c"program", 0o755).unwrap();
    assert_eq!(show(|| ()), "0 0 0 0 0 0 secure=0\n");
}

fn running_file_cannot_be_written() {
    copy_of_self(c"program");
    let (_from, to) = pipe();
    let child = fork(|| {
        dup2(_from, 0).unwrap();
        close(to).unwrap();
        execve(c"./program", &[c"x", c"--probe", c"cat"], &[]);
    });
    wait_until(|| text(&path(format!("/proc/{}/comm", child.pid))).is_ok_and(|name| name == "program\n"));
    assert_eq!(open(c"program", libc::O_WRONLY), Err(ETXTBSY));
    assert_eq!(syscall!(SYS_truncate, c"program", 0), Err(ETXTBSY));
    close(to).unwrap();
    child.succeeds();
    open(c"program", libc::O_WRONLY).unwrap();
}

fn file_open_for_writing_cannot_run() {
    copy_of_self(c"program");
    let writer = open(c"program", libc::O_RDWR).unwrap();
    assert_eq!(exec_error(c"./program"), ETXTBSY);
    close(writer).unwrap();
    assert_ne!(fork(|| discard(execve(c"./program", &[c"x", c"--probe", c"exit", c"0"], &[]))).pid, 0);
    assert_eq!(wait4(-1, 0).unwrap().1, Status::Exited(0));
}

fn dumpable_and_parent_death_reset() {
    copy_of_self(c"program");
    chown(c"program", 1234, 1234).unwrap();
    chmod(c"program", 0o4755).unwrap();
    let (output, _) = output_of(|| {
        syscall!(SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGUSR1, 0, 0, 0).unwrap();
        execve(c"./program", &[c"x", c"--probe", c"death-signal"], &[]);
    });
    assert_eq!(output, "0\n", "a set-user-ID program must not be killed by its parent's death");
    let (output, _) = output_of(|| {
        syscall!(SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGUSR1, 0, 0, 0).unwrap();
        exec_probe("death-signal", &[], &[]);
    });
    assert_eq!(output, format!("{}\n", libc::SIGUSR1));
}

fn working_folder_and_umask_survive() {
    let here = std::env::current_dir().unwrap();
    let (output, _) = output_of(|| {
        syscall!(SYS_umask, 0o057).unwrap();
        exec_probe("folder", &[], &[]);
    });
    assert_eq!(output, format!("{} 57\n", here.display()));
}

fn timers_after_exec() {
    // An interval timer survives exec, and its signal then does what the new program says.
    let child = fork(|| {
        catch(libc::SIGALRM, 0);
        block(&[libc::SIGALRM]);
        let soon =
            libc::itimerval { it_interval: zeroed(), it_value: libc::timeval { tv_sec: 0, tv_usec: 1000 } };
        syscall!(SYS_setitimer, libc::ITIMER_REAL, &soon, 0).unwrap();
        exec_probe("unblock-and-wait", &[], &[]);
    });
    assert_eq!(child.wait(), Status::Killed(libc::SIGALRM));
}
