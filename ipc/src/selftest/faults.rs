//! What an injected fault must leave as it was.

use core::pin::pin;
use core::task::Poll;

use base::Errno;
use base::fault::Point;
use executor::pollwait::{Events, Reason, Wait, WaitKind, WaitSource};
use executor::selftest::Injection;

use super::support::{Crew, Process, poll};

executor::selftests![
    kchannel_inline_queue_zero_heap,
    kchannel_send_transfer_rollback_kmalloc_fault,
    kchannel_fault_inject_coverage,
    pollwait_fault_inject_coverage,
    a_fault_strikes_its_task_alone,
];

/// A small message is sent without an allocation; a large one needs one, and fails cleanly without it.
async fn kchannel_inline_queue_zero_heap() {
    let process = Process::new(1);
    let (to, from) = process.channel();
    let injection = Injection::new(Point::Kmalloc, 1);
    assert_eq!(process.send(to, &[7; 32], &[]), Ok(()));
    assert_eq!(process.receive(from).map(|message| message.is_some()), Ok(true));
    assert_eq!(injection.fired(), 0, "a small message takes nothing");
    assert_eq!(process.send(to, &[7; 129], &[]), Err(Errno::ENOMEM));
    assert_eq!(injection.fired(), 1);
    assert_eq!(process.receive(from).map(drop), Err(Errno::EAGAIN));
}

/// The handle of a message that could not be queued is where it was, usable, and nothing is queued.
async fn kchannel_send_transfer_rollback_kmalloc_fault() {
    let process = Process::new(1);
    let ((to, from), (moved, _peer)) = (process.channel(), process.channel());
    let id = process.end(moved).base().id();
    {
        let injection = Injection::new(Point::Kmalloc, 1);
        assert_eq!(process.send(to, &[7; 129], &[moved]), Err(Errno::ENOMEM));
        assert_eq!(injection.fired(), 1);
    }
    assert_eq!(process.end(moved).base().id(), id);
    assert_eq!(process.receive(from).map(drop), Err(Errno::EAGAIN));
    assert_eq!(process.send(to, &[7; 129], &[moved]), Ok(()));
    let (bytes, handles) = process.receive(from).expect("a message").expect("no end");
    assert_eq!((bytes.len(), handles.len()), (129, 1));
}

/// A send that fails queues nothing, a receive that fails takes nothing, a close is a close.
async fn kchannel_fault_inject_coverage() {
    let process = Process::new(1);
    let (to, from) = process.channel();
    {
        let injection = Injection::new(Point::IpcChannelSend, 1);
        assert_eq!(process.send(to, &[7; 24], &[]), Err(Errno::EINTR));
        assert_eq!(injection.fired(), 1);
    }
    assert_eq!(process.receive(from).map(drop), Err(Errno::EAGAIN));
    process.send(to, &[7; 24], &[]).expect("room");
    {
        let injection = Injection::new(Point::IpcChannelRecv, 1);
        assert_eq!(process.receive(from).map(drop), Err(Errno::EINTR));
        assert_eq!(injection.fired(), 1);
    }
    let (bytes, _) = process.receive(from).expect("the message is still there").expect("no end");
    assert_eq!(bytes, [7; 24]);
    {
        let injection = Injection::new(Point::IpcChannelClose, 1);
        process.table.close(to).expect("a handle");
        assert_eq!(injection.fired(), 1);
    }
    assert_eq!(process.receive(from).map(|message| message.is_none()), Ok(true));
}

/// A wait that is cut short ends with a signal, without sleeping. A wake for one that wakes everybody tells of one,
/// and a wait since before it is ready at once, with data.
async fn pollwait_fault_inject_coverage() {
    let source = WaitSource::new(WaitKind::Other, 0);
    {
        let injection = Injection::new(Point::PollwaitBlock, 1);
        assert_eq!(source.wait(source.observe(), Wait::interruptible()).await, Reason::Signal);
        assert_eq!(injection.fired(), 1);
    }
    let seen = source.observe();
    let mut first = pin!(source.wait(seen, Wait::interruptible()));
    let mut second = pin!(source.wait(seen, Wait::interruptible()));
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    let injection = Injection::new(Point::PollwaitWake, 1);
    assert_eq!(source.wake_one(Events::IN, Reason::Data), 1);
    assert_eq!(injection.fired(), 1);
    assert_eq!((poll(first), poll(second)), (Poll::Ready(Reason::Data), Poll::Ready(Reason::Data)));
    assert_eq!(source.wait(seen, Wait::interruptible()).await, Reason::Data);
}

/// Everything that can be struck, once, with a channel of `process`: the first error.
fn everything(process: &Process, (to, from): (i32, i32)) -> Result<(), Errno> {
    process.send(to, &[7; 129], &[])?;
    process.receive(from)?;
    let source = WaitSource::new(WaitKind::Other, 0);
    let seen = source.observe();
    let mut first = pin!(source.wait(seen, Wait::interruptible()));
    let mut second = pin!(source.wait(seen, Wait::interruptible()));
    if poll(first.as_mut()).is_ready() || poll(second.as_mut()).is_ready() {
        return Err(Errno::EINTR);
    }
    source.wake_one(Events::IN, Reason::Data);
    if poll(first).is_pending() || poll(second).is_ready() {
        return Err(Errno::EAGAIN);
    }
    process.table.close(to)
}

/// A point that is set for one task does not fire in another one that does the same at the same time.
async fn a_fault_strikes_its_task_alone() {
    for point in [
        Point::Kmalloc,
        Point::IpcChannelSend,
        Point::IpcChannelRecv,
        Point::IpcChannelClose,
        Point::PollwaitBlock,
        Point::PollwaitWake,
    ] {
        // Made before, since making them can be struck too.
        let [others @ .., own, after]: [(Process, (i32, i32)); 4] = core::array::from_fn(|_| {
            let process = Process::new(1);
            let channel = process.channel();
            (process, channel)
        });
        let injection = Injection::new(point, 1);
        let crew = Crew::of(2);
        for (process, channel) in others {
            crew.spawn(async move { assert_eq!(everything(&process, channel), Ok(())) });
        }
        crew.finished().await;
        assert_eq!(injection.fired(), 0, "{point:?}");
        // A close that wakes twice shows nowhere.
        assert_eq!(everything(&own.0, own.1).is_err(), point != Point::IpcChannelClose, "{point:?}");
        assert_eq!(injection.fired(), 1, "{point:?}");
        assert_eq!(everything(&after.0, after.1), Ok(()), "{point:?}");
    }
}
