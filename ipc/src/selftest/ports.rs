//! Ports whose queue is full.

use alloc::vec::Vec;

use base::Errno;

use super::support::{Postcard, Process};
use crate::channel::Endpoint;
use crate::object::ObjectRef;
use crate::port::{Port, Signals};

executor::selftests![n15_no_signal_is_lost_to_a_full_queue];

/// An end that closed early is told of although more bindings have something to say than the queue has places.
async fn n15_no_signal_is_lost_to_a_full_queue() {
    for bindings in [128u64, 129] {
        let process = Process::new(1);
        let capability = Port::create(&process.caller).expect("a port");
        let port = capability.object().port().expect("a port").clone();
        let mut ends = Vec::new();
        for key in 1..=bindings {
            // A table would be too small for so many.
            let (near, far) = Endpoint::create(&process.caller).expect("a channel");
            let end = near.object().channel().expect("a channel").clone();
            port.bind(&process.caller, &end, key, Signals::all()).expect("a binding");
            if key == 1 {
                drop(far);
                ends.push((near, None));
            } else {
                ObjectRef::from(end).signal(Signals::READABLE).expect("a signal");
                ends.push((near, Some(far)));
            }
        }
        let status = port.status();
        assert_eq!((status.queued as u64, status.dropped), (128, bindings - 128));
        for key in 1..=bindings {
            let mut card = Postcard::default();
            port.try_take(None, &mut card).expect("a packet");
            let packet = card.packet.expect("a packet");
            let expected = if key == 1 { Signals::PEER_CLOSED } else { Signals::READABLE };
            assert_eq!((packet.key, packet.observed), (key, expected.bits()));
        }
        assert_eq!(port.try_take(None, &mut Postcard::default()), Err(Errno::EAGAIN));
    }
}
