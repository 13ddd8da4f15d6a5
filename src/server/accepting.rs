//! Whether connections that wait are accepted: looked at from outside, for the accepting thread is the framework's and says
//! nothing of itself.
//!
//! A socket that can be read has connections waiting. Where they wait at several looks in a row, where nothing was accepted
//! in between, and where there is room, the thread has died, or hangs; unless the system has no file or memory for another
//! connection: then the thread tries again and again, and those who are connected are to be left alone.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Socket, Type};

use crate::net::slots::ConnectionSlots;

/// No longer than to look.
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Looks in a row at which connections wait, before nobody is thought to accept any.
const LOOKS: u32 = 3;

/// How long they wait at least until then. The accepting thread pauses for half a second after it could not accept one.
const AT_LEAST: Duration = Duration::from_secs(2);

/// The sockets that connections come to, and what of them was seen.
#[derive(Debug)]
pub(super) struct Accepting {
    sockets: Vec<Arc<Socket>>,
    slots: Arc<ConnectionSlots>,
    /// Makes sure that the system has what a connection takes.
    try_for_one: fn() -> io::Result<()>,
    stalled: Option<Stalled>,
}

/// Connections wait, and nothing is accepted.
#[derive(Clone, Copy, Debug)]
struct Stalled {
    /// How many had been accepted when that was seen first, and when this was.
    accepted: u64,
    since: Instant,
    looks: u32,
}

/// What was seen.
#[derive(Debug)]
pub(super) enum Seen {
    /// Nothing is known to wait in vain.
    Accepted,
    /// Connections wait, and the system has no file or no memory for one.
    Short(io::Error),
    /// Connections wait in vain.
    Dead,
}

impl Accepting {
    /// Nothing has been seen so far.
    pub(super) fn new(sockets: Vec<Arc<Socket>>, slots: Arc<ConnectionSlots>) -> Self {
        let try_for_one = || Socket::new(Domain::UNIX, Type::STREAM, None).map(drop);
        Accepting { sockets, slots, try_for_one, stalled: None }
    }

    /// Looks again.
    pub(super) fn look(&mut self, now: Instant) -> Seen {
        let accepted = self.slots.counters().accepted.get();
        let before = self.stalled.take().filter(|stalled| stalled.accepted == accepted);
        if !self.slots.has_room() || !self.is_awaited() {
            return Seen::Accepted;
        }
        if let Err(error) = (self.try_for_one)() {
            return Seen::Short(error);
        }
        let Stalled { since, looks, .. } = before.unwrap_or(Stalled { accepted, since: now, looks: 0 });
        let looks = looks.saturating_add(1);
        self.stalled = Some(Stalled { accepted, since, looks });
        let is_dead = looks >= LOOKS && now.saturating_duration_since(since) >= AT_LEAST;
        if is_dead { Seen::Dead } else { Seen::Accepted }
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

    /// Looks so many times, each 10 seconds after the one before, and says in letters what was seen.
    fn seen(accepting: &mut Accepting, now: &mut Instant, looks: usize) -> String {
        let letter = |seen| match seen {
            Seen::Accepted => 'a',
            Seen::Short(_) => 's',
            Seen::Dead => 'd',
        };
        let mut look = || {
            *now += Duration::from_secs(10);
            letter(accepting.look(*now))
        };
        (0..looks).map(|_| look()).collect()
    }

    #[test]
    fn who_waits_in_vain_is_seen_at_the_third_look() {
        actix_web::rt::System::new().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let connect = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let socket = Arc::new(Socket::from(listener.try_clone().unwrap()));
            let slots = Arc::new(ConnectionSlots::new(0, 3, 1));
            let room = slots.of_this_thread();
            let mut accepting = Accepting::new(vec![socket], Arc::clone(&slots));
            let now = &mut Instant::now();
            assert_eq!(seen(&mut accepting, now, 3), "aaa", "nobody waits");
            let _first = connect();
            assert_eq!(seen(&mut accepting, now, 4), "aadd", "it may have come just now");
            listener.accept().unwrap();
            let _taken = room.accept();
            let _second = connect();
            assert_eq!(seen(&mut accepting, now, 2), "aa", "one was accepted, another has come");
            let _others = (room.accept(), room.accept());
            assert_eq!(seen(&mut accepting, now, 4), "aaaa", "there is no room");
            listener.accept().unwrap();
            drop(_others);
            assert_eq!(seen(&mut accepting, now, 4), "aaaa", "nobody waits");
        });
    }

    #[test]
    fn a_thread_that_has_no_files_is_not_taken_for_dead_nor_one_that_has_just_none() {
        actix_web::rt::System::new().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let socket = Arc::new(Socket::from(listener.try_clone().unwrap()));
            let slots = Arc::new(ConnectionSlots::new(0, 3, 1));
            let _room = slots.of_this_thread();
            let mut accepting = Accepting::new(vec![socket], slots);
            let enough = accepting.try_for_one;
            let now = &mut Instant::now();
            let _waiting = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            accepting.try_for_one = || Err(rustix::io::Errno::NFILE.into());
            assert_eq!(seen(&mut accepting, now, 5), "sssss");
            accepting.try_for_one = enough;
            assert_eq!(seen(&mut accepting, now, 2), "aa", "it tries again soon");
            accepting.try_for_one = || Err(rustix::io::Errno::MFILE.into());
            assert_eq!(seen(&mut accepting, now, 1), "s");
            accepting.try_for_one = enough;
            assert_eq!(seen(&mut accepting, now, 3), "aad");
            // However soon one look comes after the other.
            accepting.stalled = None;
            let looks = (0..100).map(|_| accepting.look(*now));
            assert!(looks.into_iter().all(|seen| matches!(seen, Seen::Accepted)));
            assert!(matches!(accepting.look(*now + AT_LEAST), Seen::Dead));
        });
    }
}
