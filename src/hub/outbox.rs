//! The frames that wait for one client, bounded in bytes and in number.
//!
//! When a bound is reached the client is too slow for what it subscribed to. Nothing is dropped from the middle,
//! because clients cannot notice a gap: the connection is ended, and the client comes back and starts afresh.
//!
//! Events of latest-only channels are the exception: of those a slow client needs only the newest of each name. While
//! its transport takes no more, a newer one takes the older one's room ([`Outbox::push_latest`]). It does not take its
//! place but goes to the end: so what a client is sent is always a part of what was published, in the order in which
//! it was published, and an event never overtakes one that came before it on its channel.

mod latest_index;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

use crate::app::Limits;
use crate::connection::ConnectionConfig;
use crate::protocol::{Frame, LatestKey};

use latest_index::LatestIndex;

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

impl Bounds {
    /// Those of an app's connections: its own, where it has any, else the node's.
    pub fn of(limits: &Limits, config: &ConnectionConfig) -> Self {
        let or = |own: usize, node: usize| if own == 0 { node } else { own };
        Bounds {
            bytes: or(limits.outbox_bytes, config.outbox_bytes),
            frames: or(limits.outbox_frames, config.outbox_frames),
        }
    }
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
    /// What was queued besides the bounds since nothing waited.
    replayed: Replayed,
    /// Where those of `rest` are that can be given up, once one was to be.
    index: Option<Box<LatestIndex>>,
    /// Frames that were looked at to learn where those are that can be given up.
    #[cfg(test)]
    searched: usize,
}

/// Frames that were queued although the bounds may have been passed: for these the bounds are wider.
#[derive(Clone, Copy, Debug, Default)]
struct Replayed {
    bytes: usize,
    frames: usize,
}

/// A frame behind the first, or the place of one that was given up.
#[derive(Debug)]
struct Waiting {
    frame: Option<Frame>,
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
        if !self.fits(&frame, bounds) && !self.fits(&frame, self.widened(bounds)) {
            return Err(Overflow(frame));
        }
        self.append(frame, None);
        Ok(())
    }

    /// Queues a frame besides the bounds. Until all is written, others have as much room as if it were not there.
    pub fn push_replayed(&mut self, frame: Frame) {
        if self.is_empty() {
            self.replayed = Replayed::default();
        }
        self.replayed.bytes += frame.websocket().len();
        self.replayed.frames += 1;
        self.append(frame, None);
    }

    /// Bytes that were queued so and are not all written.
    pub fn replayed_bytes(&self) -> usize {
        if self.is_empty() { 0 } else { self.replayed.bytes }
    }

    /// The bounds with what was queued besides them.
    #[cold]
    fn widened(&self, bounds: Bounds) -> Bounds {
        let Replayed { bytes, frames } = self.replayed;
        Bounds { bytes: bounds.bytes.saturating_add(bytes), frames: bounds.frames.saturating_add(frames) }
    }

    /// Queues a frame of a latest-only channel for a client that keeps up, as far as is known: none is given up.
    ///
    /// # Errors
    /// If the bounds would be passed.
    pub fn push_as(&mut self, frame: Frame, latest: &Arc<LatestKey>, bounds: Bounds) -> Result<(), Overflow> {
        if !self.fits(&frame, bounds) && !self.fits(&frame, self.widened(bounds)) {
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
        let bounds = self.widened(bounds);
        let mut given_up = self.give_up_kind(latest);
        given_up += self.make_room_within(&frame, bounds);
        if !self.rest.is_empty() && !self.fits(&frame, bounds) {
            return given_up + 1;
        }
        self.append(frame, Some(latest));
        given_up
    }

    /// Gives waiting frames of latest-only channels up, oldest first, until this frame fits or none is left. Returns
    /// how many were given up.
    pub fn make_room(&mut self, frame: &Frame, bounds: Bounds) -> usize {
        self.make_room_within(frame, self.widened(bounds))
    }

    fn make_room_within(&mut self, frame: &Frame, bounds: Bounds) -> usize {
        let mut given_up = 0;
        while self.bytes + frame.websocket().len() > bounds.bytes || self.frames() >= bounds.frames {
            if !self.give_up_oldest() {
                break;
            }
            given_up += 1;
        }
        given_up
    }

    /// Gives up the waiting frames of one kind; returns how many.
    fn give_up_kind(&mut self, kind: &Arc<LatestKey>) -> usize {
        if self.rest.is_empty() {
            return 0;
        }
        let places = self.index().forget_kind(kind);
        places.iter().for_each(|place| self.give_up(*place));
        self.close_gaps();
        places.len()
    }

    /// Gives up the oldest waiting frame that can be; returns whether there was one.
    fn give_up_oldest(&mut self) -> bool {
        if self.rest.is_empty() {
            return false;
        }
        let Some(place) = self.index().oldest() else { return false };
        if let Some(kind) = self.rest[place].latest.clone() {
            self.index().forget_oldest(&kind);
        }
        self.give_up(place);
        self.close_gaps();
        true
    }

    /// Where the frames are that can be given up. That is looked up once, until the queue is empty.
    fn index(&mut self) -> &mut LatestIndex {
        let rest = &self.rest;
        let make = || Box::new(LatestIndex::of(rest.iter().map(|waiting| waiting.latest.as_ref())));
        #[cfg(test)]
        if self.index.is_none() {
            self.searched += rest.len();
        }
        self.index.get_or_insert_with(make)
    }

    /// Takes a frame out of its place, of which the index does not know any more.
    fn give_up(&mut self, place: usize) {
        let waiting = &mut self.rest[place];
        waiting.latest = None;
        if let (Some(frame), Some(index)) = (waiting.frame.take(), &mut self.index) {
            self.bytes -= frame.websocket().len();
            index.empty += 1;
        }
    }

    /// Empty places are never at either end, and never more than half of all.
    fn close_gaps(&mut self) {
        let Some(index) = &mut self.index else { return };
        while self.rest.front().is_some_and(|waiting| waiting.frame.is_none()) {
            self.rest.pop_front();
            index.popped(None);
            index.empty -= 1;
        }
        while self.rest.back().is_some_and(|waiting| waiting.frame.is_none()) {
            self.rest.pop_back();
            index.empty -= 1;
        }
        if index.empty > self.rest.len() / 2 {
            self.rest.retain(|waiting| waiting.frame.is_some());
            self.index = None;
            self.index();
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
            Some(_) => self.push_behind(Waiting { frame: Some(frame), latest: latest.cloned() }),
        }
    }

    /// Queues a frame behind the first.
    fn push_behind(&mut self, waiting: Waiting) {
        if self.rest.capacity() == 0 {
            self.rest = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
        }
        if let (Some(index), Some(kind)) = (&mut self.index, &waiting.latest) {
            index.pushed(self.rest.len(), kind);
        }
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
        self.first.iter().chain(self.rest.iter().filter_map(|waiting| waiting.frame.as_ref()))
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
            self.first = self.pop_behind();
        }
        if self.rest.capacity() > 0 {
            self.give_queue_back();
        }
    }

    /// Takes the first of the frames behind the first.
    fn pop_behind(&mut self) -> Option<Frame> {
        loop {
            let Waiting { frame, latest } = self.rest.pop_front()?;
            if let Some(index) = &mut self.index {
                index.popped(latest.as_ref());
                index.empty -= usize::from(frame.is_none());
            }
            if frame.is_some() {
                return frame;
            }
        }
    }

    /// An outbox that waits for nothing owns no memory.
    #[cold]
    fn give_queue_back(&mut self) {
        self.index = None;
        self.replayed = Replayed::default();
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
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Frames that wait, a partly written one included.
    pub fn frames(&self) -> usize {
        let empty = self.index.as_ref().map_or(0, |index| index.empty);
        usize::from(self.first.is_some()) + self.rest.len() - empty
    }
}

#[cfg(test)]
mod tests;
