//! What a connection has received, by what it echoes.
//!
//! Behind the events that it was sent goes a ping with a number, which its peer must return (RFC 6455 §5.5.3). A number
//! that comes back says that all has arrived that was sent before that ping. Nothing else is taken from an echo: an empty
//! one, an old one or an invented one says nothing.
//!
//! Over the HTTP fallbacks a ping is a mark: it is not sent, and what the client does tells that it has come past one
//! (`transport/fallback/session_signs.rs`). Some libraries answer with nothing in it, some answer one of several pings, some
//! clients none. Whoever has never echoed is taken to have received what had left this node a minute before the client was last heard:
//! longer than a client takes to notice that nothing arrives any more.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::channel::ChannelVersion;

use super::Track;

/// The time between two pings of a connection that echoes, on a WebSocket.
pub(crate) const PACE: Duration = Duration::from_millis(100);

/// The time between two pings, or marks, of a connection that has not echoed yet.
const PACE_UNECHOED: Duration = Duration::from_secs(2);

/// Pings that may be unanswered before the pace of those that do not echo holds.
const UNECHOED_PINGS: usize = 8;

/// Pings of which it is remembered what was sent before them.
const MOST_PINGS: usize = 64;

/// Channels that these pings may have had something of, each counted for each of them.
const MOST_NOTED: usize = 4096;

/// Subscriptions, also ended ones, that are noted for the next ping before the ended ones are taken out: four times as many as
/// a name has cursors, so that it is done seldom.
const MOST_OPEN: usize = 4000;

/// The time between two pings once that many are unanswered. Of those that follow only the last is remembered.
const PACE_UNANSWERED: Duration = Duration::from_secs(5);

/// How long before it was last heard something must have left this node, for a client that does not echo. Under a name
/// clients ask after 15 s of silence, and wait for the answer for 30 s. Until then they may be heard by another way than
/// the one that is dead.
const MARGIN: Duration = Duration::from_secs(60);

/// What a ping's payload begins with. The heartbeat's has none.
const PREFIX: u8 = b'r';

/// Characters of a payload: the prefix, and 64 bits to the base of 36.
const PAYLOAD_BYTES: usize = 14;

/// Channels, and up to where their events have been received.
pub(crate) type ReceivedUpTo = Vec<(Rc<Track>, ChannelVersion)>;

/// What one connection was sent of channels with a history, and has not said to have received.
#[derive(Debug)]
pub(crate) struct Echoes {
    /// The time between two pings once one was echoed, if its transport can carry any.
    pace: Option<Duration>,
    has_echoed: bool,
    /// The number of the last ping.
    last: u64,
    pinged_at: Option<Instant>,
    /// What was sent since.
    open: Vec<Rc<Track>>,
    /// There is something in it that a ping is to follow.
    wants_ping: bool,
    pinged: VecDeque<Ping>,
    /// The channels of all pings together.
    noted: usize,
}

/// A ping, and what was sent between it and the one before.
#[derive(Debug)]
struct Ping {
    number: u64,
    tracks: ReceivedUpTo,
    /// When it was seen first that everything up to it had left this node.
    left_at: Option<Instant>,
}

impl Echoes {
    /// Nothing has been sent yet. A ping goes that often at the most. Where its transport cannot carry pings, marks without a
    /// ping are made.
    pub(crate) fn new(pace: Option<Duration>) -> Self {
        Echoes {
            pace,
            has_echoed: false,
            last: 0,
            pinged_at: None,
            open: Vec::new(),
            wants_ping: false,
            pinged: VecDeque::new(),
            noted: 0,
        }
    }

    /// What the channel has at this version was sent, and a ping is to follow it. Returns whether it is the first since the
    /// last ping. Until that ping, [`Track::goes_on`] says the same of what else the channel has, for this connection.
    pub(crate) fn sent(&mut self, track: &Rc<Track>, version: ChannelVersion) -> bool {
        self.passed(track, version);
        track.await_ping();
        !std::mem::replace(&mut self.wants_ping, true)
    }

    /// What the channel has at this version did not have to be sent: it is the client's own. No ping is made for that.
    pub(crate) fn passed(&mut self, track: &Rc<Track>, version: ChannelVersion) {
        if track.pass(version) {
            self.open.push(Rc::clone(track));
            if self.open.len() > MOST_OPEN {
                // Whoever subscribes and leaves over and over again leaves these behind; there are few others.
                self.open.retain(|track| !track.has_ended());
            }
        }
    }

    /// When [`Echoes::look`] has something to do next, if it has.
    pub(crate) fn next_look(&self, now: Instant) -> Option<Instant> {
        let Some(at) = self.pinged_at else { return self.wants_ping.then_some(now) };
        if self.wants_ping {
            return Some(at + self.pace());
        }
        let may_leave = !self.has_echoed && self.pinged.back().is_some_and(|ping| ping.left_at.is_none());
        // It may not leave for long.
        may_leave.then(|| Some(at).filter(|at| *at + PACE_UNECHOED > now).unwrap_or(now) + PACE_UNECHOED)
    }

    /// Its time has come. `has_left`: all that it was sent has left this node. Returns the ping that is to go behind all
    /// that it was sent, if there is to be one and the transport can carry it.
    pub(crate) fn look(&mut self, now: Instant, has_left: bool) -> Option<Payload> {
        if has_left {
            self.left(now);
        }
        let is_due = self.wants_ping && self.pinged_at.is_none_or(|at| at + self.pace() <= now);
        if is_due { self.ping(now) } else { None }
    }

    fn pace(&self) -> Duration {
        match self.pinged.len() {
            _ if self.is_full() && self.has_echoed => PACE_UNANSWERED,
            _ if self.is_full() => PACE_UNECHOED,
            pings if !self.has_echoed && pings >= UNECHOED_PINGS => PACE_UNECHOED,
            _ => self.pace.unwrap_or(PACE_UNECHOED),
        }
    }

    fn is_full(&self) -> bool {
        self.pinged.len() >= MOST_PINGS || self.noted >= MOST_NOTED
    }

    /// A ping goes now, behind all that was sent.
    fn ping(&mut self, now: Instant) -> Option<Payload> {
        if self.is_full() {
            self.make_room();
        }
        self.last += 1;
        self.pinged_at = Some(now);
        self.wants_ping = false;
        let tracks: ReceivedUpTo = self
            .open
            .drain(..)
            .filter(|track| !track.has_ended())
            .map(|track| {
                track.close();
                let newest = track.newest();
                (track, newest)
            })
            .collect();
        self.noted += tracks.len();
        self.pinged.push_back(Ping { number: self.last, tracks, left_at: None });
        self.pace.map(|_| Payload::of(self.last))
    }

    /// There is as much as may be. The newest ping gives way to the next one, so that the others keep their places until their
    /// echoes come, or until they are old enough; where no echoes come and there are only too many pings, the oldest is
    /// counted with the one behind it, so that all of them together go on reaching back for long.
    fn make_room(&mut self) {
        let is_oldest = !self.has_echoed && self.noted < MOST_NOTED;
        let gives_way = if is_oldest { self.pinged.pop_front() } else { self.pinged.pop_back() };
        let Some(Ping { tracks, .. }) = gives_way else { return };
        self.noted -= tracks.len();
        for (track, version) in tracks.into_iter().filter(|(track, _)| !track.has_ended()) {
            match self.pinged.front_mut().filter(|_| is_oldest) {
                None => self.passed(&track, version),
                Some(next) if next.tracks.iter().any(|(other, _)| Rc::ptr_eq(other, &track)) => {}
                Some(next) => {
                    next.tracks.push((track, version));
                    self.noted += 1;
                }
            }
        }
    }

    /// Everything that was sent until now has left this node.
    fn left(&mut self, now: Instant) {
        if self.has_echoed {
            return;
        }
        let unseen = self.pinged.iter_mut().rev().take_while(|ping| ping.left_at.is_none());
        unseen.for_each(|ping| ping.left_at = Some(now));
    }

    /// A pong came, with this in it. Returns what it says to have been received.
    pub(crate) fn echoed(&mut self, payload: &[u8]) -> ReceivedUpTo {
        match Payload::read(payload) {
            Some(number) if number <= self.last => {
                self.has_echoed = true;
                self.take_off(|ping| ping.number <= number)
            }
            _ => Vec::new(),
        }
    }

    /// What a connection that has never echoed is taken to have received, when it is heard now.
    pub(crate) fn taken_as_received(&mut self, now: Instant) -> ReceivedUpTo {
        if self.has_echoed {
            return Vec::new();
        }
        self.take_off(|ping| ping.left_at.is_some_and(|left| left + MARGIN <= now))
    }

    /// Takes off the first pings, as long as that is so; returns what was sent before them, the oldest first.
    fn take_off(&mut self, is_over: impl Fn(&Ping) -> bool) -> ReceivedUpTo {
        let mut received = Vec::new();
        while self.pinged.front().is_some_and(&is_over)
            && let Some(ping) = self.pinged.pop_front()
        {
            self.noted -= ping.tracks.len();
            received.extend(ping.tracks);
        }
        received
    }
}

/// What a ping carries: its number, in ASCII, because some libraries return nothing else unharmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    text: [u8; PAYLOAD_BYTES],
    begins: usize,
}

impl Payload {
    fn of(number: u64) -> Self {
        const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let mut payload = Payload { text: [PREFIX; PAYLOAD_BYTES], begins: PAYLOAD_BYTES };
        let mut rest = number;
        while rest > 0 || payload.begins == PAYLOAD_BYTES {
            payload.begins -= 1;
            payload.text[payload.begins] = DIGITS[(rest % 36) as usize];
            rest /= 36;
        }
        payload.begins -= 1;
        payload.text[payload.begins] = PREFIX;
        payload
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.text[self.begins..]
    }

    /// The number that an echo carries, if it is written as ours are.
    fn read(payload: &[u8]) -> Option<u64> {
        let digits = payload.strip_prefix(&[PREFIX])?;
        let text = std::str::from_utf8(digits).ok()?;
        let number = u64::from_str_radix(text, 36).ok()?;
        (Payload::of(number).bytes() == payload).then_some(number)
    }
}

#[cfg(test)]
mod tests;
