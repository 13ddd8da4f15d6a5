//! The frames that wait for one client, bounded in bytes and in number.
//!
//! When a bound is reached the client is too slow for what it subscribed to. Nothing is dropped from the middle,
//! because clients cannot notice a gap: the connection is ended, and the client comes back and starts afresh.
//!
//! Events of latest-only channels are the exception: of those a slow client needs only the newest of each name. While
//! its transport takes no more, a newer one takes the older one's room ([`Outbox::push_latest`]). It does not take its
//! place but goes to the end: so what a client is sent is always a part of what was published, in the order in which
//! it was published, and an event never overtakes one that came before it on its channel.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use crate::protocol::{Frame, LatestKey};

/// Empty queues that a thread keeps for its outboxes, which need one only while two frames or more wait: as many as
/// a broadcast to so many busy clients takes. At [`SPARE_FRAMES`] each they hold half a megabyte at the most.
const SPARES: usize = 1024;

/// Frames that a queue may have room for and still be kept.
const SPARE_FRAMES: usize = 16;

thread_local! {
    static SPARE: RefCell<Vec<VecDeque<Waiting>>> = const { RefCell::new(Vec::new()) };
}

/// The most that may wait for one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of waiting frames.
    pub bytes: usize,
    /// Waiting frames.
    pub frames: usize,
}

/// A queue of frames, the first of which may be partly written. While it holds one frame or none, which is nearly
/// always, it owns no memory.
#[derive(Debug, Default)]
pub struct Outbox {
    first: Option<Frame>,
    rest: VecDeque<Waiting>,
    /// How much of the first frame is written.
    written: usize,
    /// Bytes that wait.
    bytes: usize,
    /// Those of `rest` that can be given up.
    latest: usize,
    /// Frames that were looked at in search of one to give up.
    #[cfg(test)]
    searched: usize,
}

/// A frame behind the first.
#[derive(Debug)]
struct Waiting {
    frame: Frame,
    /// It can be given up for a newer one of the same kind.
    latest: Option<Arc<LatestKey>>,
}

/// The frame does not fit within the bounds; it was not queued, and is given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overflow(pub Frame);

impl Outbox {
    /// Queues a frame. An empty outbox takes a frame of any size.
    ///
    /// # Errors
    /// If the bounds would be passed.
    pub fn push(&mut self, frame: Frame, bounds: Bounds) -> Result<(), Overflow> {
        if !self.fits(&frame, bounds) {
            return Err(Overflow(frame));
        }
        self.append(frame, None);
        Ok(())
    }

    /// Queues a frame of a latest-only channel for a client that keeps up, as far as is known: none is given up.
    ///
    /// # Errors
    /// If the bounds would be passed.
    pub fn push_as(&mut self, frame: Frame, latest: &Arc<LatestKey>, bounds: Bounds) -> Result<(), Overflow> {
        if !self.fits(&frame, bounds) {
            return Err(Overflow(frame));
        }
        self.append(frame, Some(latest));
        Ok(())
    }

    /// Queues a frame of a latest-only channel for a client that takes no more for now. Waiting frames of the same kind
    /// are given up for it, and then, oldest first, those of other kinds, as far as it needs their room. Behind the
    /// frame that is being written, one of any size is accepted. Returns how many were given up; if others leave no
    /// room for it, it is given up itself.
    pub fn push_latest(&mut self, frame: Frame, latest: &Arc<LatestKey>, bounds: Bounds) -> usize {
        let mut given_up = self.give_up_kind(latest);
        given_up += self.make_room(&frame, bounds);
        if !self.rest.is_empty() && !self.fits(&frame, bounds) {
            return given_up + 1;
        }
        self.append(frame, Some(latest));
        given_up
    }

    /// Gives waiting frames of latest-only channels up, oldest first, until this frame fits or none is left. Returns
    /// how many were given up.
    pub fn make_room(&mut self, frame: &Frame, bounds: Bounds) -> usize {
        let mut given_up = 0;
        while self.bytes + frame.websocket().len() > bounds.bytes || self.frames() >= bounds.frames {
            if !self.give_up_oldest() {
                break;
            }
            given_up += 1;
        }
        given_up
    }

    /// Gives up the waiting frames of one kind; returns how many. The newest are at the end, so it looks from there, and
    /// no further than the oldest frame that can be given up: ordinary frames in front of it cost nothing.
    fn give_up_kind(&mut self, kind: &Arc<LatestKey>) -> usize {
        let (mut given_up, mut unseen, mut place) = (0, self.latest, self.rest.len());
        while unseen > 0 && place > 0 {
            place -= 1;
            self.count_search();
            let Some(latest) = &self.rest[place].latest else { continue };
            unseen -= 1;
            if latest == kind {
                self.remove(place);
                given_up += 1;
            }
        }
        given_up
    }

    /// Gives up the oldest waiting frame that can be; returns whether there was one.
    fn give_up_oldest(&mut self) -> bool {
        if self.latest == 0 {
            return false;
        }
        for place in 0..self.rest.len() {
            self.count_search();
            if self.rest[place].latest.is_some() {
                self.remove(place);
                return true;
            }
        }
        false
    }

    /// Takes out a frame that can be given up.
    fn remove(&mut self, place: usize) {
        if let Some(removed) = self.rest.remove(place) {
            self.bytes -= removed.frame.websocket().len();
            self.latest -= 1;
        }
    }

    #[inline]
    fn count_search(&mut self) {
        #[cfg(test)]
        {
            self.searched += 1;
        }
    }

    #[inline]
    fn fits(&self, frame: &Frame, bounds: Bounds) -> bool {
        let bytes = self.bytes + frame.websocket().len();
        self.is_empty() || (bytes <= bounds.bytes && self.frames() < bounds.frames)
    }

    #[inline]
    fn append(&mut self, frame: Frame, latest: Option<&Arc<LatestKey>>) {
        self.bytes += frame.websocket().len();
        match self.first {
            None => self.first = Some(frame),
            Some(_) => self.push_behind(Waiting { frame, latest: latest.cloned() }),
        }
    }

    /// Queues a frame behind the first.
    fn push_behind(&mut self, waiting: Waiting) {
        if self.rest.capacity() == 0 {
            self.rest = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
        }
        self.latest += usize::from(waiting.latest.is_some());
        self.rest.push_back(waiting);
    }

    /// Fills `slices` with what is to be written next; returns how many were filled.
    pub fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut skip = self.written;
        let mut filled = 0;
        for (slice, frame) in slices.iter_mut().zip(self.waiting()) {
            *slice = IoSlice::new(&frame.websocket()[skip..]);
            skip = 0;
            filled += 1;
        }
        filled
    }

    /// The frames that wait, the first of which may be partly written.
    pub fn waiting(&self) -> impl Iterator<Item = &Frame> {
        self.first.iter().chain(self.rest.iter().map(|waiting| &waiting.frame))
    }

    /// Takes off `bytes` that were written.
    pub fn advance(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.written += bytes;
        while let Some(first) = &self.first {
            let length = first.websocket().len();
            if self.written < length {
                return;
            }
            self.written -= length;
            self.first = self.rest.pop_front().map(|waiting| {
                self.latest -= usize::from(waiting.latest.is_some());
                waiting.frame
            });
        }
        if self.rest.capacity() > 0 {
            self.give_queue_back();
        }
    }

    /// An outbox that waits for nothing owns no memory.
    #[cold]
    fn give_queue_back(&mut self) {
        self.latest = 0;
        let mut queue = std::mem::take(&mut self.rest);
        queue.clear();
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < SPARES && queue.capacity() <= SPARE_FRAMES {
                spare.push(queue);
            }
        });
    }

    /// Takes the first frame, for transports that never write a part of one.
    pub fn pop(&mut self) -> Option<Frame> {
        let first = self.first.clone()?;
        self.advance(first.websocket().len() - self.written);
        Some(first)
    }

    /// Gives up what waits, but for the rest of a frame that the client has seen the beginning of.
    pub fn abandon(&mut self) {
        self.give_queue_back();
        if self.written == 0 {
            self.first = None;
        }
        self.bytes = self.first.as_ref().map_or(0, |first| first.websocket().len() - self.written);
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Bytes that wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Frames that wait, a partly written one included.
    #[must_use]
    pub fn frames(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { bytes: 100, frames: 3 };

    /// A frame of `length` bytes, 2 to 127.
    fn frame(length: usize) -> Frame {
        Frame::pong(&vec![b'x'; length - 2])
    }

    fn key(event: &str) -> Arc<LatestKey> {
        let channel = crate::protocol::ChannelName::parse("mirror", 164).unwrap();
        Arc::new(LatestKey { channel, event: event.into() })
    }

    fn pending(outbox: &Outbox) -> Vec<usize> {
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = outbox.fill(&mut slices);
        slices[..filled].iter().map(|s| s.len()).collect()
    }

    #[test]
    fn what_is_written_comes_off_the_front() {
        let mut outbox = Outbox::default();
        for length in [10, 20, 30] {
            outbox.push(frame(length), BOUNDS).unwrap();
        }
        assert_eq!((pending(&outbox), outbox.bytes()), (vec![10, 20, 30], 60));
        outbox.advance(15);
        assert_eq!((pending(&outbox), outbox.bytes()), (vec![15, 30], 45));
        outbox.advance(15);
        assert_eq!(pending(&outbox), [30]);
        outbox.advance(30);
        assert!(outbox.is_empty() && outbox.bytes() == 0 && outbox.rest.capacity() == 0);
    }

    #[test]
    fn both_bounds_hold_but_an_empty_outbox_takes_any_frame() {
        let bounds = Bounds { bytes: 50, frames: 2 };
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push(frame(120), bounds), Ok(()));
        assert_eq!(outbox.push(frame(2), bounds), Err(Overflow(frame(2))), "bytes");
        outbox.advance(120);
        outbox.push(frame(2), bounds).unwrap();
        outbox.push(frame(2), bounds).unwrap();
        assert_eq!(outbox.push(frame(2), bounds), Err(Overflow(frame(2))), "frames");
        assert_eq!((outbox.frames(), outbox.bytes()), (2, 4));
    }

    #[test]
    fn a_begun_frame_is_never_abandoned() {
        let mut outbox = Outbox::default();
        outbox.push(frame(10), BOUNDS).unwrap();
        outbox.push(frame(20), BOUNDS).unwrap();
        outbox.advance(4);
        outbox.abandon();
        assert_eq!((pending(&outbox), outbox.bytes()), (vec![6], 6));
        let mut unbegun = Outbox::default();
        unbegun.push(frame(10), BOUNDS).unwrap();
        unbegun.abandon();
        assert!(unbegun.is_empty() && unbegun.bytes() == 0);
    }

    #[test]
    fn the_newest_of_each_kind_waits_behind_what_is_being_written() {
        let mut outbox = Outbox::default();
        outbox.push(frame(10), BOUNDS).unwrap();
        assert_eq!(outbox.push_latest(frame(20), &key("a"), BOUNDS), 0);
        assert_eq!(outbox.push_latest(frame(21), &key("b"), BOUNDS), 0);
        assert_eq!(outbox.push_latest(frame(22), &key("a"), BOUNDS), 1);
        assert_eq!(
            (pending(&outbox), outbox.bytes()),
            (vec![10, 21, 22], 53),
            "the newer one goes to the end"
        );
        outbox.advance(10);
        assert_eq!(outbox.push_latest(frame(30), &key("b"), BOUNDS), 0, "the first may have been begun");
        assert_eq!(pending(&outbox), [21, 22, 30]);
    }

    #[test]
    fn the_newest_frame_finds_room_or_is_given_up_and_never_ends_the_connection() {
        let mut outbox = Outbox::default();
        outbox.push(frame(90), BOUNDS).unwrap();
        assert_eq!(outbox.push_latest(frame(120), &key("a"), BOUNDS), 0, "one of any size");
        assert_eq!(outbox.push_latest(frame(50), &key("b"), BOUNDS), 1, "the other kind makes room");
        assert_eq!(pending(&outbox), [90, 50]);
        let mut full = Outbox::default();
        for length in [40, 40, 10] {
            full.push(frame(length), BOUNDS).unwrap();
        }
        assert_eq!(full.push_latest(frame(5), &key("a"), BOUNDS), 1, "it is given up itself");
        assert_eq!(pending(&full), [40, 40, 10]);
    }

    #[test]
    fn ordinary_frames_take_the_room_of_the_latest_only_ones() {
        let mut outbox = Outbox::default();
        outbox.push(frame(10), BOUNDS).unwrap();
        outbox.push_as(frame(80), &key("a"), BOUNDS).unwrap();
        assert_eq!(outbox.push(frame(20), BOUNDS), Err(Overflow(frame(20))));
        assert_eq!(outbox.make_room(&frame(20), BOUNDS), 1);
        outbox.push(frame(20), BOUNDS).unwrap();
        assert_eq!((pending(&outbox), outbox.bytes()), (vec![10, 20], 30));
        assert_eq!(outbox.make_room(&frame(90), BOUNDS), 0, "ordinary frames are not given up");
    }

    #[test]
    fn ordinary_frames_in_front_are_not_searched_for_the_older_one() {
        let bounds = Bounds { bytes: 100_000, frames: 500 };
        let mut outbox = Outbox::default();
        for _ in 0..400 {
            outbox.push(frame(10), bounds).unwrap();
        }
        for _ in 0..1000 {
            outbox.push_latest(frame(20), &key("a"), bounds);
        }
        assert_eq!((outbox.frames(), outbox.bytes(), outbox.latest), (401, 4020, 1));
        assert_eq!(outbox.searched, 999, "one for each that was given up");
        for _ in 0..401 {
            outbox.pop().unwrap();
        }
        assert_eq!((outbox.frames(), outbox.bytes(), outbox.latest), (0, 0, 0));
    }

    #[test]
    fn whole_frames_can_be_taken() {
        let mut outbox = Outbox::default();
        outbox.push(frame(10), BOUNDS).unwrap();
        outbox.push(frame(20), BOUNDS).unwrap();
        assert_eq!(outbox.pop(), Some(frame(10)));
        assert_eq!((outbox.pop(), outbox.pop(), outbox.bytes()), (Some(frame(20)), None, 0));
    }
}
