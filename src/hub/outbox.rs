//! The frames that wait for one client, bounded in bytes and in number.
//!
//! When a bound is reached the client is too slow for what it subscribed to. Nothing is dropped from the middle,
//! because clients cannot notice a gap: the connection is ended, and the client comes back and starts afresh.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::IoSlice;

use crate::protocol::Frame;

/// Empty queues that a thread keeps for its outboxes, which need one only while two frames or more wait: as many as
/// a broadcast to so many busy clients takes. At [`SPARE_FRAMES`] each they hold half a megabyte at the most.
const SPARES: usize = 1024;

/// Frames that a queue may have room for and still be kept.
const SPARE_FRAMES: usize = 16;

thread_local! {
    static SPARE: RefCell<Vec<VecDeque<Frame>>> = const { RefCell::new(Vec::new()) };
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
    rest: VecDeque<Frame>,
    /// How much of the first frame is written.
    written: usize,
    /// Bytes that wait.
    bytes: usize,
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
        let bytes = self.bytes + frame.websocket().len();
        if !self.is_empty() && (bytes > bounds.bytes || self.frames() >= bounds.frames) {
            return Err(Overflow(frame));
        }
        self.bytes = bytes;
        match self.first {
            None => self.first = Some(frame),
            Some(_) => self.push_behind(frame),
        }
        Ok(())
    }

    /// Queues a frame behind the first.
    fn push_behind(&mut self, frame: Frame) {
        if self.rest.capacity() == 0 {
            self.rest = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
        }
        self.rest.push_back(frame);
    }

    /// Fills `slices` with what is to be written next; returns how many were filled.
    pub fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut skip = self.written;
        let mut filled = 0;
        for (slice, frame) in slices.iter_mut().zip(self.first.iter().chain(&self.rest)) {
            *slice = IoSlice::new(&frame.websocket()[skip..]);
            skip = 0;
            filled += 1;
        }
        filled
    }

    /// The frames that wait, the first of which may be partly written.
    pub fn waiting(&self) -> impl Iterator<Item = &Frame> {
        self.first.iter().chain(&self.rest)
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
            self.first = self.rest.pop_front();
        }
        if self.rest.capacity() > 0 {
            self.give_queue_back();
        }
    }

    /// An outbox that waits for nothing owns no memory.
    #[cold]
    fn give_queue_back(&mut self) {
        let mut queue = std::mem::take(&mut self.rest);
        queue.clear();
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < SPARES && queue.capacity() <= SPARE_FRAMES {
                spare.push(queue);
            }
        });
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
}
