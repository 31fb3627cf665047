//! Terminals and sessions: signals typed, foreground and background, hanging up (credentials(7), tty_ioctl(4)).

use super::terminal::{change, pair, read_exactly, settings, slave_path, without_echo};
use crate::harness::{Case, case};
use crate::sys::*;
use libc::{
    NOFLSH, POLLHUP, POLLIN, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGWINCH, TOSTOP,
};

pub(crate) const CASES: &[Case] = &[
    case!(window_size_and_its_signal),
    case!(interrupt_and_quit_signal_the_foreground),
    case!(suspend_stops_and_continues),
    case!(signals_flush_input_unless_told),
    case!(background_read_stops),
    case!(background_read_without_signal_is_eio),
    case!(background_write_with_tostop),
    case!(background_settings_change_stops),
    case!(foreground_group_rules),
    case!(controlling_terminal_is_acquired),
    case!(controlling_terminal_rules),
    case!(dev_tty_means_the_controlling_one),
    case!(giving_up_the_controlling_terminal),
    case!(leader_death_hangs_up),
    case!(master_close_hangs_up),
];

fn window_size(fd: Fd) -> (u16, u16) {
    let mut size: libc::winsize = zeroed();
    ioctl(fd, libc::TIOCGWINSZ, &mut size).expect("TIOCGWINSZ");
    (size.ws_row, size.ws_col)
}

fn set_window_size(fd: Fd, rows: u16, columns: u16) {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    ioctl(fd, libc::TIOCSWINSZ, &size).expect("TIOCSWINSZ");
}

/// Runs `body` in a child that leads a session whose controlling terminal is the slave.
fn session(master: Fd, slave: Fd, body: impl FnOnce()) -> Child {
    fork(|| {
        close(master).expect("close");
        setsid().expect("setsid");
        ioctl(slave, libc::TIOCSCTTY, 0).expect("TIOCSCTTY");
        body();
    })
}

fn set_foreground(fd: Fd, group: i32) -> Sys<usize> {
    ioctl(fd, libc::TIOCSPGRP, &group)
}

fn foreground(fd: Fd) -> i32 {
    let mut group = 0i32;
    ioctl(fd, libc::TIOCGPGRP, &mut group).expect("TIOCGPGRP");
    group
}

fn window_size_and_its_signal() {
    let (master, slave) = pair();
    assert_eq!(window_size(slave), (0, 0));
    set_window_size(master, 25, 80);
    assert_eq!(window_size(slave), (25, 80));
    let ready = Gate::new();
    let child = session(master, slave, || {
        catch(SIGWINCH, libc::SA_RESTART);
        ready.open();
        wait_until(|| times_delivered(SIGWINCH) == 1);
        assert_eq!(window_size(slave), (50, 132));
        set_window_size(slave, 50, 132);
        assert_eq!(times_delivered(SIGWINCH), 1, "the same size is no news");
    });
    ready.pass();
    set_window_size(master, 50, 132);
    child.succeeds();
}

fn interrupt_and_quit_signal_the_foreground() {
    for (typed, signal, shown) in [(b"\x03", SIGINT, b"^C"), (b"\x1c", SIGQUIT, b"^\\")] {
        let (master, slave) = pair();
        let ready = Gate::new();
        let leader = session(master, slave, || {
            ignore(signal);
            ignore(SIGTTOU);
            let job = fork(|| {
                reset(signal);
                setpgid(0, 0).unwrap();
                set_foreground(slave, getpid()).unwrap();
                ready.open();
                let _ = read(slave, &mut [0]);
            });
            let background = fork(|| {
                reset(signal);
                setpgid(0, 0).unwrap();
                wait_for_ever();
            });
            assert_eq!(job.wait(), Status::Killed(signal));
            assert_eq!(wait4(background.pid, libc::WNOHANG).unwrap().0, 0, "only the foreground");
            background.finish();
        });
        ready.pass();
        write(master, typed).unwrap();
        assert_eq!(read_exactly(master, 2), shown);
        leader.succeeds();
    }
}

fn suspend_stops_and_continues() {
    let (master, slave) = pair();
    let ready = Gate::new();
    let leader = session(master, slave, || {
        ignore(SIGTTOU);
        let job = fork(|| {
            setpgid(0, 0).unwrap();
            set_foreground(slave, getpid()).unwrap();
            ready.open();
            assert_eq!(read_some(slave, 100), Ok(b"after\n".to_vec()), "the read goes on after fg");
        });
        assert_eq!(job.wait_with(libc::WUNTRACED), Ok(Status::Stopped(SIGTSTP)));
        set_foreground(slave, getpid()).unwrap();
        set_foreground(slave, job.pid).unwrap();
        kill(-job.pid, SIGCONT).unwrap();
        ready.open();
        job.succeeds();
    });
    ready.pass();
    write(master, b"\x1a").unwrap();
    ready.pass();
    write(master, b"after\n").unwrap();
    leader.succeeds();
}

fn signals_flush_input_unless_told() {
    for keep in [false, true] {
        let (master, slave) = pair();
        let ready = Gate::new();
        let leader = session(master, slave, || {
            if keep {
                change(slave, |settings| settings.local |= NOFLSH);
            }
            catch(SIGINT, 0);
            ready.open();
            wait_until(|| times_delivered(SIGINT) == 1);
            let expected = if keep { &b"beforeafter\n"[..] } else { b"after\n" };
            ready.open();
            assert_eq!(read_some(slave, 100), Ok(expected.to_vec()), "with NOFLSH: {keep}");
        });
        ready.pass();
        write(master, b"before\x03").unwrap();
        ready.pass();
        write(master, b"after\n").unwrap();
        leader.succeeds();
    }
}

fn background_read_stops() {
    let (master, slave) = pair();
    write(master, b"input\n").unwrap();
    session(master, slave, || {
        let job = fork(|| {
            setpgid(0, 0).unwrap();
            assert_eq!(read_some(slave, 100), Ok(b"input\n".to_vec()));
        });
        assert_eq!(job.wait_with(libc::WUNTRACED), Ok(Status::Stopped(SIGTTIN)));
        set_foreground(slave, job.pid).unwrap();
        kill(-job.pid, SIGCONT).unwrap();
        job.succeeds();
    })
    .succeeds();
}

fn background_read_without_signal_is_eio() {
    let (master, slave) = pair();
    session(master, slave, || {
        for prepare in [(|| ignore(SIGTTIN)) as fn(), || discard(block(&[SIGTTIN]))] {
            fork(|| {
                setpgid(0, 0).unwrap();
                prepare();
                assert_eq!(read(slave, &mut [0]), Err(EIO));
            })
            .succeeds();
        }
        // In an orphaned group nobody could continue it: EIO as well.
        let done = Gate::new();
        let leader = getpid();
        let middle = fork(|| {
            let middle = getpid();
            let ready = Gate::new();
            fork(|| {
                setpgid(0, 0).unwrap();
                ready.open();
                wait_until(|| getppid() != middle);
                assert_ne!(getppid(), leader, "adopted from outside the session");
                assert_eq!(read(slave, &mut [0]), Err(EIO));
                done.open();
            });
            ready.pass();
        });
        middle.succeeds();
        done.pass();
    })
    .succeeds();
}

fn background_write_with_tostop() {
    let (master, slave) = pair();
    session(master, slave, || {
        fork(|| {
            setpgid(0, 0).unwrap();
            assert_eq!(write(slave, b"free"), Ok(4), "without TOSTOP anybody may write");
        })
        .succeeds();
        change(slave, |settings| settings.local |= TOSTOP);
        let job = fork(|| {
            setpgid(0, 0).unwrap();
            let _ = write(slave, b"x");
        });
        assert_eq!(job.wait_with(libc::WUNTRACED), Ok(Status::Stopped(SIGTTOU)));
        job.finish();
        fork(|| {
            setpgid(0, 0).unwrap();
            ignore(SIGTTOU);
            assert_eq!(write(slave, b"x"), Ok(1), "ignoring SIGTTOU permits it");
        })
        .succeeds();
    })
    .succeeds();
}

fn background_settings_change_stops() {
    let (master, slave) = pair();
    session(master, slave, || {
        let job = fork(|| {
            setpgid(0, 0).unwrap();
            let same = settings(slave); // Asking is free.
            let _ = ioctl(slave, libc::TCSETS, &same);
        });
        assert_eq!(job.wait_with(libc::WUNTRACED), Ok(Status::Stopped(SIGTTOU)));
        job.finish();
        let job = fork(|| {
            setpgid(0, 0).unwrap();
            let _ = set_foreground(slave, getpid());
        });
        assert_eq!(job.wait_with(libc::WUNTRACED), Ok(Status::Stopped(SIGTTOU)));
        job.finish();
    })
    .succeeds();
}

fn foreground_group_rules() {
    let (master, slave) = pair();
    session(master, slave, || {
        assert_eq!(foreground(slave), getpid(), "the leader's group starts in the foreground");
        assert_eq!(set_foreground(slave, 99_999_999), Err(ESRCH));
        assert_eq!(set_foreground(slave, -1), Err(EINVAL));
        assert_eq!(ioctl(slave, libc::TIOCSPGRP, 8), Err(EFAULT));
        let mut owner = 0i32;
        ioctl(slave, libc::TIOCGSID, &mut owner).unwrap();
        assert_eq!(owner, getpid());
        let ready = Gate::new();
        let foreign = fork(|| {
            setsid().unwrap();
            ready.open();
            wait_for_ever();
        });
        ready.pass();
        assert_eq!(set_foreground(slave, foreign.pid), Err(EPERM), "a group of another session");
        foreign.finish();
    })
    .succeeds();
}

fn controlling_terminal_is_acquired() {
    let (master, slave) = pair();
    let name = slave_path(master);
    // A leader without one gets it by opening a terminal without O_NOCTTY.
    fork(|| {
        close(slave).unwrap();
        setsid().unwrap();
        assert_eq!(open(c"/dev/tty", libc::O_RDWR), Err(ENXIO));
        let terminal = open(&name, libc::O_RDWR).unwrap();
        assert_eq!(foreground(terminal), getpid());
        assert!(open(c"/dev/tty", libc::O_RDWR).is_ok());
    })
    .succeeds();
    // One who is no leader does not.
    let (_master, other) = pair();
    fork(|| {
        setsid().unwrap();
        fork(|| {
            let again = open(&path(format!("/proc/self/fd/{other}")), libc::O_RDWR).unwrap();
            let mut group = 0i32;
            assert_eq!(ioctl(again, libc::TIOCGPGRP, &mut group), Err(ENOTTY));
        })
        .succeeds();
    })
    .succeeds();
}

fn controlling_terminal_rules() {
    let (master, slave) = pair();
    let (_second_master, second) = pair();
    session(master, slave, || {
        assert_eq!(ioctl(slave, libc::TIOCSCTTY, 0), Ok(0), "again is fine");
        assert_eq!(ioctl(second, libc::TIOCSCTTY, 0), Err(EPERM), "a session has one terminal");
        fork(|| {
            assert_eq!(ioctl(second, libc::TIOCSCTTY, 0), Err(EPERM), "not a leader");
            setsid().unwrap();
            assert_eq!(ioctl(slave, libc::TIOCSCTTY, 0), Err(EPERM), "a terminal has one session");
            assert_eq!(ioctl(second, libc::TIOCSCTTY, 0), Ok(0));
        })
        .succeeds();
    })
    .succeeds();
}

fn dev_tty_means_the_controlling_one() {
    let (master, slave) = pair();
    without_echo(slave);
    write(master, b"typed\n").unwrap();
    session(master, slave, || {
        close(slave).unwrap();
        let terminal = open(c"/dev/tty", libc::O_RDWR).unwrap();
        assert_eq!(read_some(terminal, 100), Ok(b"typed\n".to_vec()));
        write(terminal, b"said").unwrap();
        fork(|| {
            let terminal = open(c"/dev/tty", libc::O_RDWR).unwrap();
            write(terminal, b"!").unwrap();
        })
        .succeeds();
    })
    .succeeds();
    assert_eq!(read_exactly(master, 5), b"said!");
}

fn giving_up_the_controlling_terminal() {
    let (master, slave) = pair();
    session(master, slave, || {
        catch(SIGHUP, 0);
        catch(SIGCONT, 0);
        ioctl(slave, libc::TIOCNOTTY, 0).unwrap();
        assert_eq!(open(c"/dev/tty", libc::O_RDWR), Err(ENXIO));
        let mut seen = delivered_signals();
        seen.sort_unstable();
        assert_eq!(seen, [SIGHUP, SIGCONT], "the foreground is told");
        assert_eq!(ioctl(slave, libc::TIOCNOTTY, 0), Err(ENOTTY));
    })
    .succeeds();
}

fn leader_death_hangs_up() {
    syscall!(SYS_prctl, libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0).unwrap();
    let (master, slave) = pair();
    let (ready, go) = (Gate::new(), Gate::new());
    let (ids_from, ids_to) = pipe();
    let leader = session(master, slave, || {
        ignore(SIGTTOU);
        let job = fork(|| {
            catch(SIGHUP, libc::SA_RESTART);
            setpgid(0, 0).unwrap();
            set_foreground(slave, getpid()).unwrap();
            ready.open();
            wait_until(|| times_delivered(SIGHUP) == 1);
            // A pseudo-terminal itself is not hung up, but it controls nobody any more.
            wait_until(|| open(c"/dev/tty", libc::O_RDWR) == Err(ENXIO));
            assert_eq!(write(slave, b"x"), Ok(1));
        });
        write(ids_to, &job.pid.to_ne_bytes()).unwrap();
        go.pass();
    });
    ready.pass();
    let job = i32::from_ne_bytes(read_some(ids_from, 4).unwrap().try_into().unwrap());
    go.open();
    leader.succeeds();
    assert_eq!(wait4(job, 0), Ok((job, Status::Exited(0))));
}

fn master_close_hangs_up() {
    let (master, slave) = pair();
    let ready = Gate::new();
    let child = session(master, slave, || {
        catch(SIGHUP, libc::SA_RESTART);
        ready.open();
        let ended = read(slave, &mut [0]);
        assert!(ended == Ok(0) || ended == Err(EIO), "{ended:?}"); // By which news comes first.
        wait_until(|| times_delivered(SIGHUP) >= 1);
        assert_eq!(write(slave, b"x"), Err(EIO));
        assert_eq!(events_now(slave, POLLIN) & POLLHUP, POLLHUP);
        assert_eq!(ioctl(slave, libc::TCGETS, &mut [0u8; 64]), Err(EIO));
    });
    ready.pass();
    wait_until_blocked(child.pid);
    close(slave).unwrap();
    close(master).unwrap();
    child.succeeds();
}
