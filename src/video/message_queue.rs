//! Messages of tracks that wait for one viewer, in order.

use std::collections::VecDeque;
use std::time::Instant;

use crate::protocol::{Frame, TrackFrame};

/// Messages that wait.
#[derive(Clone, Debug, Default)]
pub(super) struct MessageQueue {
    messages: VecDeque<QueuedMessage>,
    bytes: usize,
}

/// A message that waits.
#[derive(Clone, Debug)]
struct QueuedMessage {
    /// Its track.
    id: u64,
    is_key: bool,
    frame: Frame,
    since: Instant,
}

/// What was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GivenUp {
    /// The track.
    pub(super) id: u64,
    pub(super) pieces: u64,
    /// What comes of the track needs a beginning that was among it.
    pub(super) has_no_beginning: bool,
}

impl MessageQueue {
    /// Queues a message.
    pub(super) fn push(&mut self, about: &TrackFrame, frame: &Frame, now: Instant) {
        self.bytes += frame.websocket().len();
        let TrackFrame { id, is_key, .. } = *about;
        self.messages.push_back(QueuedMessage { id, is_key, frame: frame.clone(), since: now });
    }

    /// Takes the oldest.
    pub(super) fn pop(&mut self) -> Option<Frame> {
        let QueuedMessage { frame, .. } = self.messages.pop_front()?;
        self.bytes -= frame.websocket().len();
        if self.messages.is_empty() {
            // Who keeps up owns no queue.
            self.messages = VecDeque::new();
        }
        Some(frame)
    }

    /// Gives up what waits of some tracks; returns how much that was.
    pub(super) fn give_up(&mut self, is_of: impl Fn(u64) -> bool) -> u64 {
        self.retain(|waiting| !is_of(waiting.id))
    }

    /// Gives up the oldest, and where a key was that, also what waits behind it of the same track until the next one.
    pub(super) fn give_up_oldest(&mut self) -> Option<GivenUp> {
        let QueuedMessage { id, is_key, .. } = *self.messages.front()?;
        self.pop();
        if !is_key {
            return Some(GivenUp { id, pieces: 1, has_no_beginning: false });
        }
        let mut has_begun = false;
        let behind = self.retain(|waiting| {
            has_begun |= waiting.id == id && waiting.is_key;
            has_begun || waiting.id != id
        });
        Some(GivenUp { id, pieces: 1 + behind, has_no_beginning: !has_begun })
    }

    /// Keeps these alone; returns how many went.
    fn retain(&mut self, is_kept: impl FnMut(&QueuedMessage) -> bool) -> u64 {
        let before = self.messages.len();
        self.messages.retain(is_kept);
        self.bytes = self.messages.iter().map(|waiting| waiting.frame.websocket().len()).sum();
        (before - self.messages.len()) as u64
    }

    /// Since when the oldest waits.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.messages.front().map(|waiting| waiting.since)
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}
