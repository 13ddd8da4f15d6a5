//! One rendition of a track at the broker: what has come of it without a gap since its last key frame, for those who join.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::protocol::{Frame, Rendition, TrackFrame, TrackKind, TrackMessage};

use super::figures::RenditionFigures;
use super::pace::{KeyTimes, SoundPace};

/// Bytes that keeping a frame takes besides its own: its places, and what the allocator takes.
const FRAME_BYTES: usize = 200;

/// Bytes of a piece of sound that is kept for its configuration.
const SOUND_CONFIG_BYTES: usize = 4096;

/// The least time between two requests for a key frame.
const REQUESTS_APART: Duration = Duration::from_millis(500);

/// The least time between two receipts.
const RECEIPTS_APART: Duration = Duration::from_millis(250);

/// A rendition of which nothing has come for so long does not exist.
pub(super) const ALIVE_FOR: Duration = Duration::from_secs(1);

/// A frame of a group.
#[derive(Clone, Debug)]
pub(super) struct GroupFrame {
    pub(super) about: Arc<TrackFrame>,
    pub(super) frame: Frame,
    at: Instant,
}

/// One rendition of a track.
#[derive(Clone, Debug, Default)]
pub(super) struct FrameSequence {
    /// A key frame and all that has followed it; empty if there is none that is whole. Of sound, the last piece with a
    /// configuration, for those who look at the track.
    group: Vec<GroupFrame>,
    bytes: usize,
    /// What the next frame must be numbered, if it is a delta and anything is to come of it.
    next: Option<u64>,
    newest: Option<NewestFrame>,
    keys: KeyTimes,
    sound: SoundPace,
    /// A key frame is wanted.
    is_wanted: bool,
    asked_at: Option<Instant>,
    receipt: ReceiptState,
}

/// The newest frame that has come.
#[derive(Clone, Copy, Debug)]
struct NewestFrame {
    at: Instant,
    sequence: u64,
    timestamp: i64,
}

/// When the publisher was told what has come, and whether it is to be told more.
#[derive(Clone, Copy, Debug, Default)]
struct ReceiptState {
    told_at: Option<Instant>,
    /// Something has come since.
    is_behind: bool,
    /// Somebody comes to tell it.
    is_due: bool,
}

/// Whether a publisher is to be told that a frame has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReceiptStep {
    /// Of this sequence and timestamp, now.
    Now(u64, i64),
    /// Somebody has to look again then.
    At(Instant),
    /// Not by this frame.
    No,
}

impl FrameSequence {
    /// A message has come. Returns whether anybody can make something of it.
    pub(super) fn come(&mut self, message: &TrackMessage, now: Instant) -> bool {
        let TrackMessage { kind, sequence, timestamp, is_key, .. } = *message;
        self.newest = Some(NewestFrame { at: now, sequence, timestamp });
        self.receipt.is_behind = true;
        if kind == TrackKind::Sound {
            return true;
        }
        let follows = is_key || self.next == Some(sequence);
        if follows {
            self.next = Some(sequence + 1);
            self.is_wanted &= !is_key;
        } else {
            self.next = None;
        }
        follows
    }

    /// Keeps a frame that has come, if there is room for it: so many bytes are free.
    pub(super) fn keep(&mut self, about: &Arc<TrackFrame>, frame: &Frame, now: Instant, room: usize) {
        if about.kind == TrackKind::Sound {
            return self.keep_sound(about, frame, now, room);
        }
        if about.is_key {
            self.keys.came(arrivals(&self.group), now);
            self.forget();
        } else if self.group.is_empty() {
            return;
        }
        let bytes = frame.websocket().len() + FRAME_BYTES;
        if bytes > room {
            return self.forget();
        }
        self.bytes += bytes;
        self.group.push(GroupFrame { about: Arc::clone(about), frame: frame.clone(), at: now });
    }

    /// Of sound nothing is needed by those who join; only what it says of itself is kept.
    fn keep_sound(&mut self, about: &Arc<TrackFrame>, frame: &Frame, now: Instant, room: usize) {
        let bytes = frame.websocket().len();
        self.sound.came(bytes, now);
        let bytes = bytes + FRAME_BYTES;
        if about.is_key && bytes <= room.min(SOUND_CONFIG_BYTES) {
            self.group = vec![GroupFrame { about: Arc::clone(about), frame: frame.clone(), at: now }];
            self.bytes = bytes;
        }
    }

    /// Forgets what is kept.
    pub(super) fn forget(&mut self) {
        self.group = Vec::new();
        self.bytes = 0;
    }

    /// Another publisher goes on: it begins with a key frame.
    pub(super) fn begin_anew(&mut self) {
        self.forget();
        (self.next, self.receipt) = (None, ReceiptState::default());
        (self.keys, self.sound) = (KeyTimes::default(), SoundPace::default());
    }

    /// What is kept: a key frame and all that has followed it, or nothing.
    pub(super) fn group(&self) -> &[GroupFrame] {
        &self.group
    }

    /// How long what is kept lasts.
    pub(super) fn lasts(&self) -> Duration {
        match (self.group.first(), self.group.last()) {
            (Some(first), Some(last)) => last.at.saturating_duration_since(first.at),
            _ => Duration::ZERO,
        }
    }

    /// Bytes that are kept.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether something has come of it lately.
    pub(super) fn is_alive(&self, now: Instant) -> bool {
        self.newest.is_some_and(|newest| newest.at + ALIVE_FOR > now)
    }

    /// What there is of it; none if nothing has ever come.
    pub(super) fn figures(&self, rendition: Rendition, now: Instant) -> Option<RenditionFigures> {
        let NewestFrame { at, sequence, .. } = self.newest?;
        Some(RenditionFigures {
            rendition,
            is_alive: self.is_alive(now),
            newest_ago: now.saturating_duration_since(at),
            sequence,
            key_ago: self.keys.last_ago(now),
            key_interval: self.keys.interval(),
            pace: self
                .keys
                .pace(arrivals(&self.group), now)
                .or_else(|| self.sound.pace())
                .filter(|_| self.is_alive(now)),
            kept: (self.group.len(), self.bytes),
            key: self.group.first().map(|kept| kept.frame.clone()),
        })
    }

    /// Somebody wants a key frame.
    pub(super) fn want_key_frame(&mut self) {
        self.is_wanted = true;
    }

    /// Whether the publisher is to be asked for a key frame now.
    pub(super) fn ask(&mut self, now: Instant) -> bool {
        let is_due = self.is_wanted && self.asked_at.is_none_or(|at| at + REQUESTS_APART <= now);
        if is_due {
            self.asked_at = Some(now);
        }
        is_due
    }

    /// Whether the publisher is to be told now what has come.
    pub(super) fn receipt(&mut self, now: Instant) -> ReceiptStep {
        match self.receipt.told_at.map(|at| at + RECEIPTS_APART).filter(|again| *again > now) {
            None => self.receipt_now(now),
            Some(_) if self.receipt.is_due => ReceiptStep::No,
            Some(again) => {
                self.receipt.is_due = true;
                ReceiptStep::At(again)
            }
        }
    }

    /// Somebody has come to tell the publisher what it has not been told.
    pub(super) fn receipt_came_due(&mut self, now: Instant) -> ReceiptStep {
        self.receipt.is_due = false;
        self.receipt_now(now)
    }

    fn receipt_now(&mut self, now: Instant) -> ReceiptStep {
        match self.newest {
            Some(NewestFrame { sequence, timestamp, .. }) if self.receipt.is_behind => {
                (self.receipt.told_at, self.receipt.is_behind) = (Some(now), false);
                ReceiptStep::Now(sequence, timestamp)
            }
            _ => ReceiptStep::No,
        }
    }
}

/// When each frame of a group came, and its bytes, the newest first.
fn arrivals(group: &[GroupFrame]) -> impl Iterator<Item = (Instant, usize)> {
    group.iter().rev().map(|kept| (kept.at, kept.frame.websocket().len()))
}
