//! A broker that lends files to a sandboxed worker, and takes them back while the worker is blocked.
//!
//! See the README beside this file for how to run it and for what it prints.

#[allow(dead_code, reason = "the whole ABI, of which this program needs a part")]
#[path = "../../src/sys/kairos.rs"]
mod kairos;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};

use kairos::*;

// What `kairos.rs` needs of its surroundings.
type Fd = i32;
type Sys<T> = Result<T, i32>;

fn call(number: i64, arguments: &[usize]) -> Sys<usize> {
    let at = |index: usize| arguments.get(index).copied().unwrap_or(0);
    // SAFETY: `kairos.rs` passes addresses of values that live through the call.
    let result = unsafe { libc::syscall(number, at(0), at(1), at(2), at(3), at(4)) };
    if result < 0 {
        return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0));
    }
    Ok(result as usize)
}

fn main() {
    let (ours, theirs) = channel_create().expect("this is no Kairos");
    // SAFETY: the program has one thread.
    match unsafe { libc::fork() } {
        0 => {
            handle_close(ours).expect("the broker's end");
            worker(theirs);
        }
        pid => {
            handle_close(theirs).expect("the worker's end");
            broker(ours, pid);
        }
    }
}

/// Lends a file and a pipe, each with less than it has itself, and takes them back.
fn broker(worker: Handle, pid: i32) {
    std::fs::write("/tmp/secret", "a line of the file\n").expect("/tmp");
    let file = File::open("/tmp/secret").expect("the file");
    let (events, mut feed) = pipe();
    let roots = [file.as_raw_fd(), events.as_raw_fd()].map(|fd| handle_from_fd(fd, 0).expect("a handle"));
    // What is sent may be read and turned into a descriptor, and no more: it can't be passed on, once there.
    let lent = roots.map(|root| {
        let rights = RIGHT_READ | RIGHT_DUPLICATE | RIGHT_TRANSFER;
        handle_duplicate(root, rights).expect("a duplicate")
    });
    show("the broker, before it lends", "/proc/self/handles");
    channel_send(worker, b"read these", &lent, 0).expect("sent");
    let _ = feed.write_all(b"first event\n");
    await_word(worker, b"blocked");
    show("the worker, with what it was lent", &format!("/proc/{pid}/handles"));
    show("how that came about", &format!("/proc/{pid}/handle_transfers"));
    show("every channel", "/sys/ipc/channels");
    for root in roots {
        handle_revoke_descendants(root).expect("revoked");
    }
    await_word(worker, b"revoked");
    show("the worker, afterwards", &format!("/proc/{pid}/handles"));
    let mut own = String::new();
    // SAFETY: a descriptor of its own, for the same open file.
    let mut again = unsafe { File::from_raw_fd(fd_from_handle(roots[0], 0).expect("still ours")) };
    let _ = again.read_to_string(&mut own);
    println!("broker: the file is still open here, {} bytes are left of it", own.len());
}

/// Has nothing but its channel and what comes through it.
fn worker(broker: Handle) {
    for fd in [0, 2] {
        let _ = cap_rights_limit(fd, 0);
    }
    let (word, lent) = channel_recv(broker, 0).expect("the broker's message");
    println!("worker: {} with {} handles", String::from_utf8_lossy(&word), lent.len());
    for handle in &lent {
        // Keep it for itself: what it has can't be sent to anybody.
        handle_narrow(*handle, RIGHT_READ | RIGHT_DUPLICATE).expect("narrowed");
    }
    let mut files = lent.iter().map(|handle| {
        // SAFETY: a new descriptor that nobody else knows.
        unsafe { File::from_raw_fd(fd_from_handle(*handle, 0).expect("a descriptor")) }
    });
    let (mut file, mut events) = (files.next().expect("a file"), files.next().expect("a pipe"));
    let mut buffer = [0; 100];
    let read = file.read(&mut buffer).unwrap_or(0);
    print!("worker: {}", String::from_utf8_lossy(&buffer[..read]));
    println!("worker: writing it gives {:?}", file.write(b"x").map_err(|error| error.raw_os_error()));
    let read = events.read(&mut buffer).unwrap_or(0);
    print!("worker: {}", String::from_utf8_lossy(&buffer[..read]));
    channel_send(broker, b"blocked", &[], 0).expect("sent");
    let ended = events.read(&mut buffer).map_err(|error| error.raw_os_error());
    println!("worker: the read that was blocked ended with {ended:?}");
    println!("worker: the handle is gone: {:?}", handle_info(lent[0]));
    let copy = file.try_clone().map(drop).map_err(|error| error.raw_os_error());
    println!("worker: a duplicate of the descriptor gives {copy:?}");
    channel_send(broker, b"revoked", &[], 0).expect("sent");
    // The broker looks at this process now, and then closes its end.
    let _ = channel_recv(broker, 0);
}

fn await_word(from: Handle, word: &[u8]) {
    let (said, _) = channel_recv(from, 0).expect("the worker's message");
    assert_eq!(said, word);
    // It says so before it blocks.
    std::thread::sleep(std::time::Duration::from_millis(20));
}

fn show(what: &str, file: &str) {
    println!("--- {what}: {file}");
    print!("{}", std::fs::read_to_string(file).unwrap_or_else(|error| format!("{error}\n")));
}

fn pipe() -> (File, File) {
    let (read, write) = std::io::pipe().expect("a pipe");
    // SAFETY: each is the only owner of its descriptor.
    unsafe { (File::from_raw_fd(read.into_raw_fd()), File::from_raw_fd(write.into_raw_fd())) }
}
