//! An ordinary program of Rust's standard library: threads, channels, child processes, time, files
//! and panics. Prints the same on every run.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Barrier, Condvar, Mutex, RwLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

fn main() {
    if std::env::args().nth(1).as_deref() == Some("child") {
        return child();
    }
    threads();
    time();
    files();
    processes();
    println!("panic caught: {}", thread::spawn(panic_quietly).join().is_err());
    std::process::exit(21);
}

fn threads() {
    let total = Arc::new(Mutex::new(0u64));
    let barrier = Arc::new(Barrier::new(6));
    let workers: Vec<_> = (0..6)
        .map(|worker| {
            let (total, barrier) = (total.clone(), barrier.clone());
            thread::spawn(move || {
                barrier.wait();
                (0..500).for_each(|_| *total.lock().unwrap() += worker);
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    println!("total {}", total.lock().unwrap());

    let (sender, receiver) = mpsc::sync_channel(2);
    thread::scope(|scope| {
        scope.spawn(move || (1..=300).for_each(|number| sender.send(number).unwrap()));
        println!("received {}", receiver.iter().sum::<i32>());
    });

    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let waiter = pair.clone();
    let woken = thread::spawn(move || {
        let guard = waiter.0.lock().unwrap();
        drop(waiter.1.wait_while(guard, |ready| !*ready).unwrap());
    });
    *pair.0.lock().unwrap() = true;
    pair.1.notify_all();
    woken.join().unwrap();

    let shared = RwLock::new(vec![1, 2, 3]);
    thread::scope(|scope| {
        (0..4).for_each(|_| drop(scope.spawn(|| assert!(shared.read().unwrap().len() >= 3))));
        scope.spawn(|| shared.write().unwrap().push(4));
    });
    println!("shared {:?}", shared.into_inner().unwrap());
}

fn time() {
    let start = Instant::now();
    thread::sleep(Duration::from_millis(30));
    let slept = start.elapsed();
    println!("slept at least as asked: {}", slept >= Duration::from_millis(30));
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    println!("after 2020: {}", since_1970.as_secs() > 1_577_836_800);
}

fn files() {
    let path = std::env::temp_dir().join(format!("std-program.{}", std::process::id()));
    std::fs::write(&path, b"first\n").unwrap();
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"second\n").unwrap();
    println!(
        "file {:?} of {} bytes",
        std::fs::read_to_string(&path).unwrap(),
        path.metadata().unwrap().len()
    );
    std::fs::remove_file(&path).unwrap();
    println!("gone: {:?}", std::fs::File::open(&path).unwrap_err().kind());
}

fn processes() {
    let own = std::env::current_exe().unwrap();
    let mut child = Command::new(own)
        .arg("child")
        .env("WORD", "environment")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"standard input").unwrap();
    let output = child.wait_with_output().unwrap();
    println!("child: {} with {:?}", String::from_utf8_lossy(&output.stdout), output.status.code());
    let missing = Command::new("/no/such/program").spawn().unwrap_err();
    println!("missing: {:?}", missing.kind());
}

fn child() {
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input).unwrap();
    print!("{} and {input}", std::env::var("WORD").unwrap());
    std::io::stdout().flush().unwrap();
    std::process::exit(11);
}

fn panic_quietly() {
    std::panic::resume_unwind(Box::new("stop"));
}
