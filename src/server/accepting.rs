//! Whether connections that wait are accepted: looked at from outside, for the accepting thread is the framework's and says
//! nothing of itself.
//!
//! A socket that can be read has connections waiting. Where they waited at the last look and wait at this one, where nothing
//! was accepted in between, and where there is room, the thread has died, or hangs.

use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::Socket;

use crate::net::slots::ConnectionSlots;

/// No longer than to look.
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// The sockets that connections come to, and what of them was seen.
#[derive(Debug)]
pub(super) struct Accepting {
    sockets: Vec<Arc<Socket>>,
    slots: Arc<ConnectionSlots>,
    /// How many had been accepted when some were seen to wait.
    stalled_at: Option<u64>,
}

impl Accepting {
    /// Nothing has been seen so far.
    pub(super) fn new(sockets: Vec<Arc<Socket>>, slots: Arc<ConnectionSlots>) -> Self {
        Accepting { sockets, slots, stalled_at: None }
    }

    /// Looks again. Returns whether nothing is known to wait in vain since the last look.
    pub(super) fn look(&mut self) -> bool {
        let accepted = self.slots.counters().accepted.get();
        let before = self.stalled_at.take();
        if self.slots.has_room() && self.is_awaited() {
            self.stalled_at = Some(accepted);
        }
        before.is_none() || before != self.stalled_at
    }

    /// Whether connections wait to be accepted.
    fn is_awaited(&self) -> bool {
        let mut sockets: Vec<_> =
            self.sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        poll(&mut sockets, Some(&AT_ONCE)).is_ok_and(|ready| ready > 0)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn who_waits_in_vain_is_seen_at_the_second_look() {
        actix_web::rt::System::new().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let connect = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let socket = Arc::new(Socket::from(listener.try_clone().unwrap()));
            let slots = Arc::new(ConnectionSlots::new(0, 3, 1));
            let room = slots.of_this_thread();
            let mut accepting = Accepting::new(vec![socket], Arc::clone(&slots));
            assert!(accepting.look() && accepting.look(), "nobody waits");
            let _first = connect();
            assert!(accepting.look(), "it may have come just now");
            assert!(!accepting.look());
            assert!(!accepting.look(), "it waits still");
            listener.accept().unwrap();
            let _taken = room.accept();
            let _second = connect();
            assert!(accepting.look(), "one was accepted, another has come");
            let _others = (room.accept(), room.accept());
            assert!(accepting.look() && accepting.look(), "there is no room");
            listener.accept().unwrap();
            drop(_others);
            assert!(accepting.look() && accepting.look(), "nobody waits");
        });
    }
}
