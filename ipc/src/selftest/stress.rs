//! Many tasks at once.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::Errno;
use base::sync::atomic::{AtomicUsize, Ordering};

use super::support::{Crew, Postcard, Process, receive, send};
use crate::AccessOp;
use crate::channel::Options;
use crate::port::{Port, Signals};

executor::selftests![kairos_channel_port_stress_mpmc];

const PAIRS: usize = 5;
const PRODUCERS: usize = 4;
const CONSUMERS: usize = 3;
const MESSAGES: usize = 48;

/// No message is lost, doubled or stalled between producers that each send the end of a channel of their own, and
/// consumers that a port tells where to look and that answer through what they got.
async fn kairos_channel_port_stress_mpmc() {
    let process = Arc::new(Process::new(1));
    let port = Port::create(&process.caller).expect("a port");
    let port = process.table.insert(&process.caller, port, false).expect("a number");
    let pairs: Arc<Vec<(i32, i32)>> = Arc::new((0..PAIRS).map(|_| process.channel()).collect());
    for (key, (_, from)) in pairs.iter().enumerate() {
        let access = process.get(port, AccessOp::Manage);
        let object = access.object().port().expect("a port");
        object.bind(&process.caller, &process.end(*from), key as u64, Signals::all()).expect("a binding");
    }
    let crew = Crew::of(PRODUCERS + CONSUMERS);
    for producer in 0..PRODUCERS {
        crew.spawn(produce(process.clone(), pairs.clone(), producer));
    }
    let consumed = Arc::new(AtomicUsize::new(0));
    for _ in 0..CONSUMERS {
        crew.spawn(consume(process.clone(), pairs.clone(), port, consumed.clone()));
    }
    crew.finished().await;
    assert_eq!(consumed.load(Ordering::Relaxed), PRODUCERS * MESSAGES);
    for (to, from) in pairs.iter() {
        process.table.close(*to).expect("a handle");
        process.table.close(*from).expect("a handle");
    }
    assert!(process.table.is_empty());
}

async fn produce(process: Arc<Process>, pairs: Arc<Vec<(i32, i32)>>, producer: usize) {
    for round in 0..MESSAGES {
        let (near, far) = process.channel();
        let (to, _) = pairs[(producer + round) % PAIRS];
        send(&process, to, b"take this", &[far]).await.expect("a send");
        // The acknowledgement comes through the end that was sent.
        let letter = receive(&process, near, Options::empty()).await.expect("an answer").expect("no end");
        assert_eq!(letter.bytes, b"ack");
        process.table.close(near).expect("a handle");
    }
}

async fn consume(process: Arc<Process>, pairs: Arc<Vec<(i32, i32)>>, port: i32, consumed: Arc<AtomicUsize>) {
    loop {
        let Ok(access) = process.table.get(port, AccessOp::Wait) else { return };
        let mut card = Postcard::default();
        let object = access.object().port().expect("a port");
        match object.take(&access, &mut card, None, false).await {
            Err(Errno::EBADF) => return,
            taken => taken.expect("a packet"),
        }
        let (_, from) = pairs[card.packet.expect("a packet").key as usize];
        let letter = match receive(&process, from, Options::NONBLOCK).await {
            Err(Errno::EAGAIN) => continue,
            received => received.expect("a message").expect("no end"),
        };
        send(&process, letter.handles[0], b"ack", &[]).await.expect("an answer");
        process.table.close(letter.handles[0]).expect("a handle");
        if consumed.fetch_add(1, Ordering::AcqRel) + 1 == PRODUCERS * MESSAGES {
            process.table.close(port).expect("the port");
        }
    }
}
