//! What one viewer has of one track: which frame it can be sent next, so that it can decode all that it is sent.
//!
//! It is in one of two states. It waits for a key frame, and is sent nothing; or it is live in one rendition, and was sent
//! all frames of that since a key frame but those of the upper layer, to which no other refers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::protocol::{Frame, Rendition, TrackFrame, TrackKind, TrackName};

use super::sequence::ALIVE_FOR;

/// A group that lasts no longer is sent as a whole to who joins.
const SHORT: Duration = Duration::from_millis(500);

/// So is one of no more bytes.
const LIGHT_BYTES: usize = 256 * 1024;

/// The least time between two beginnings with what is kept.
const BEGINNINGS_APART: Duration = Duration::from_secs(1);

/// The least time between two key frames that one viewer asks for on a track.
const WISHES_APART: Duration = Duration::from_secs(2);

/// A rendition of which a key frame is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyframeWish {
    /// The track.
    pub(crate) id: u64,
    pub(crate) rendition: Rendition,
}

/// What somebody who joins can begin a track with.
#[derive(Clone, Debug)]
pub(crate) struct Beginning {
    pub(super) id: u64,
    /// Messages before this one are among it, or are not to be sent.
    pub(super) version: u64,
    pub(super) name: Arc<TrackName>,
    /// Of each rendition.
    pub(super) groups: [RenditionGroup; 2],
}

/// A key frame and all that has followed it, or nothing.
#[derive(Clone, Debug)]
pub(super) struct RenditionGroup {
    pub(super) frames: Vec<(Arc<TrackFrame>, Frame)>,
    pub(super) lasts: Duration,
    pub(super) bytes: usize,
    /// Something has come of the rendition lately.
    pub(super) is_alive: bool,
}

impl RenditionGroup {
    /// What of it is sent to who joins: all, or the key frame alone.
    fn to_begin_with(&self) -> &[(Arc<TrackFrame>, Frame)] {
        let is_short = self.lasts <= SHORT || self.bytes <= LIGHT_BYTES;
        if is_short { &self.frames } else { &self.frames[..1] }
    }
}

/// One track, as one viewer has it.
#[derive(Clone, Debug)]
pub(super) struct Playback {
    pub(super) id: u64,
    pub(super) name: Arc<TrackName>,
    pub(super) kind: TrackKind,
    state: PlaybackState,
    /// It was begun with what the track had at this version.
    begun_at: u64,
    /// When something came of each rendition.
    came: [Option<Instant>; 2],
    wished_at: Option<Instant>,
    began_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PlaybackState {
    /// It can be sent a key frame alone.
    Waiting,
    /// It can be sent the delta of this number, too.
    Live { rendition: Rendition, next: u64 },
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameStep {
    /// It is sent behind what waits.
    Send,
    /// It is sent; what waits of the track is given up, as it begins anew with this.
    SendInPlace,
    /// It is left out: no other refers to it.
    LeaveOut,
    /// It is not sent, and what waits of the track is given up.
    CutBack,
    /// It is nothing to this viewer at present.
    Pass,
}

/// What is behind a viewer's line.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineState {
    /// How late what is sent now would arrive, if nothing waited for it here.
    pub(super) behind: Duration,
    /// The same with what waits here.
    pub(super) behind_with_queue: Duration,
    /// It is to be sent the small rendition.
    pub(super) is_low: bool,
}

/// Frames of the upper layer are left out.
pub(super) const LATE: Duration = Duration::from_millis(250);

/// A viewer is moved down, and begins with no key frame unless what waits gives way.
pub(super) const VERY_LATE: Duration = Duration::from_millis(500);

/// It is cut back.
const TOO_LATE: Duration = Duration::from_millis(600);

impl Playback {
    pub(super) fn new(id: u64, name: &Arc<TrackName>, kind: TrackKind) -> Self {
        let name = Arc::clone(name);
        Playback {
            id,
            name,
            kind,
            state: PlaybackState::Waiting,
            begun_at: 0,
            came: [None; 2],
            wished_at: None,
            began_at: None,
        }
    }

    /// When something came of it last.
    pub(super) fn last_came(&self) -> Option<Instant> {
        self.came.into_iter().max().flatten()
    }

    /// The rendition that it is live in, if it is.
    pub(super) fn live_in(&self) -> Option<Rendition> {
        match self.state {
            PlaybackState::Live { rendition, .. } => Some(rendition),
            PlaybackState::Waiting => None,
        }
    }

    /// Whether it is live.
    #[cfg(test)]
    pub(super) fn is_live(&self) -> bool {
        matches!(self.state, PlaybackState::Live { .. })
    }

    /// It needs a key frame to go on.
    pub(super) fn stop(&mut self) {
        self.state = PlaybackState::Waiting;
    }

    /// Its decoder has failed. Returns whether a key frame is to be asked for.
    pub(super) fn fail(&mut self, now: Instant) -> bool {
        self.stop();
        self.may_wish(now)
    }

    fn may_wish(&mut self, now: Instant) -> bool {
        let may = self.wished_at.is_none_or(|at| at + WISHES_APART <= now);
        if may {
            self.wished_at = Some(now);
        }
        may
    }

    /// The rendition that is wanted: the one that suits, as long as it is there.
    pub(super) fn target(&self, now: Instant, is_low: bool) -> Rendition {
        let suits = if is_low { Rendition::Small } else { Rendition::Full };
        let is_alive =
            |rendition: Rendition| self.came[rendition as usize].is_some_and(|at| at + ALIVE_FOR > now);
        if !is_alive(suits) && is_alive(suits.other()) { suits.other() } else { suits }
    }

    /// Begins with what is kept. Returns what is to be sent, and whether a key frame is to be asked for.
    pub(super) fn begin<'b>(
        &mut self,
        beginning: &'b Beginning,
        is_low: bool,
        now: Instant,
    ) -> (&'b [(Arc<TrackFrame>, Frame)], Option<KeyframeWish>) {
        self.begun_at = beginning.version;
        for rendition in Rendition::ALL {
            if beginning.groups[rendition as usize].is_alive {
                self.came[rendition as usize] = Some(now);
            }
        }
        let rendition = self.target(now, is_low);
        let group = &beginning.groups[rendition as usize];
        let wish = KeyframeWish { id: self.id, rendition };
        // Who changes its mind over and over again is not sent the same over and over again.
        let is_soon = self.began_at.is_some_and(|at| at + BEGINNINGS_APART > now);
        if group.frames.is_empty() || is_soon {
            return (&[], self.may_wish(now).then_some(wish));
        }
        self.began_at = Some(now);
        let sent = group.to_begin_with();
        if let Some((last, _)) = sent.last().filter(|_| sent.len() == group.frames.len()) {
            self.state = PlaybackState::Live { rendition, next: last.sequence + 1 };
            return (sent, None);
        }
        (sent, self.may_wish(now).then_some(wish))
    }

    /// A message of it has come: whether the viewer is sent it.
    pub(super) fn step(&mut self, frame: &TrackFrame, line: LineState, now: Instant) -> FrameStep {
        if frame.version < self.begun_at {
            return FrameStep::Pass;
        }
        self.came[frame.rendition as usize] = Some(now);
        match frame.kind {
            TrackKind::Sound => self.step_sound(frame),
            TrackKind::Pictures if frame.is_key => self.step_key(frame, line, now),
            TrackKind::Pictures => self.step_delta(frame, line),
        }
    }

    /// Sound begins with a configuration, and needs nothing but that.
    fn step_sound(&mut self, piece: &TrackFrame) -> FrameStep {
        if piece.is_key {
            self.state = PlaybackState::Live { rendition: Rendition::Full, next: 0 };
        }
        match self.state {
            PlaybackState::Live { .. } => FrameStep::Send,
            PlaybackState::Waiting => FrameStep::Pass,
        }
    }

    fn step_key(&mut self, frame: &TrackFrame, line: LineState, now: Instant) -> FrameStep {
        let current = self.live_in();
        let is_current = current == Some(frame.rendition);
        let is_target = frame.rendition == self.target(now, line.is_low);
        if !is_target && !is_current {
            return FrameStep::Pass;
        }
        let is_late = line.behind_with_queue > VERY_LATE;
        if line.behind > VERY_LATE || (is_late && !is_target) {
            // It would arrive late itself, or the other rendition's is better waited for.
            if !is_current {
                return FrameStep::Pass;
            }
            self.stop();
            return FrameStep::CutBack;
        }
        self.state = PlaybackState::Live { rendition: frame.rendition, next: frame.sequence + 1 };
        if is_late { FrameStep::SendInPlace } else { FrameStep::Send }
    }

    fn step_delta(&mut self, frame: &TrackFrame, line: LineState) -> FrameStep {
        let PlaybackState::Live { rendition, next } = &mut self.state else { return FrameStep::Pass };
        if *rendition != frame.rendition {
            return FrameStep::Pass;
        }
        if *next != frame.sequence {
            // What is missing was lost on its way here. What waits is whole.
            self.stop();
            return FrameStep::Pass;
        }
        *next += 1;
        if line.behind_with_queue > TOO_LATE {
            self.stop();
            return FrameStep::CutBack;
        }
        if frame.is_upper_layer && line.behind_with_queue > LATE {
            FrameStep::LeaveOut
        } else {
            FrameStep::Send
        }
    }
}
