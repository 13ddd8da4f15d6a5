//! One connection that is sent tracks: what waits for it, and how far behind it is.
//!
//! Its pictures wait here, and not where its other messages do: so these are sent before them, and pictures can be given up at
//! any time. What is handed out by [`Viewer::next`] is sent at once. What was sent and what waits of a track is always whole:
//! it begins with a key frame, and lacks nothing but frames to which no other refers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::protocol::{ChannelName, Frame, TrackFrame, TrackKind, TrackName};

use super::playback::{Beginning, FrameStep, KeyframeWish, LineState, Playback};
use super::positions::Positions;
use super::quality::{LineQuality, QualityChange};
use super::wishes::{ChannelWishes, InvalidWish, TrackRequest, TrackWish};

/// Tracks of which it is known what the viewer has. Of further ones the one of which nothing has come for longest gives way:
/// it goes on with a key frame, if it does.
const MOST_PLAYBACKS: usize = 64;

/// Bytes of pictures that wait.
const PICTURE_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of sound that wait.
const SOUND_BYTES: usize = 256 * 1024;

/// How long sound may wait.
const SOUND_TIME: Duration = Duration::from_secs(1);

/// What one viewer is sent of tracks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Viewer {
    playbacks: Vec<Playback>,
    wishes: Vec<ChannelWishes>,
    pictures: MessageQueue,
    sounds: MessageQueue,
    positions: Positions,
    quality: LineQuality,
}

/// Messages that wait, in order.
#[derive(Clone, Debug, Default)]
struct MessageQueue {
    messages: VecDeque<QueuedMessage>,
    bytes: usize,
}

/// A message that waits.
#[derive(Clone, Debug)]
struct QueuedMessage {
    /// Its track.
    id: u64,
    frame: Frame,
    since: Instant,
}

/// How often which fate befell frames, and lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FrameFates {
    /// They were queued.
    pub(crate) queued: u64,
    /// They were given up or not queued, as the viewer was too far behind.
    pub(crate) cut: u64,
    /// They were left out, as no other refers to them.
    pub(crate) left_out: u64,
    /// Viewers were moved to the small rendition.
    pub(crate) moved_down: u64,
    /// They were moved to the full one.
    pub(crate) moved_up: u64,
}

impl FrameFates {
    /// These as well.
    pub(crate) fn add(&mut self, more: FrameFates) {
        self.queued += more.queued;
        self.cut += more.cut;
        self.left_out += more.left_out;
        self.moved_down += more.moved_down;
        self.moved_up += more.moved_up;
    }
}

impl MessageQueue {
    fn push(&mut self, id: u64, frame: &Frame, now: Instant) {
        self.bytes += frame.websocket().len();
        self.messages.push_back(QueuedMessage { id, frame: frame.clone(), since: now });
    }

    fn pop(&mut self) -> Option<Frame> {
        let QueuedMessage { frame, .. } = self.messages.pop_front()?;
        self.bytes -= frame.websocket().len();
        if self.messages.is_empty() {
            // Who keeps up owns no queue.
            self.messages = VecDeque::new();
        }
        Some(frame)
    }

    /// Gives up what waits of some tracks; returns how much that was.
    fn give_up(&mut self, is_of: impl Fn(u64) -> bool) -> u64 {
        let before = self.messages.len();
        self.messages.retain(|waiting| !is_of(waiting.id));
        self.bytes = self.messages.iter().map(|waiting| waiting.frame.websocket().len()).sum();
        (before - self.messages.len()) as u64
    }

    fn oldest(&self) -> Option<Instant> {
        self.messages.front().map(|waiting| waiting.since)
    }
}

impl Viewer {
    /// It has joined a channel, or wants something else of it, whose tracks begin with these. Returns which key frames are to be asked for.
    pub(crate) fn begin(&mut self, beginnings: &[Beginning], now: Instant) -> Vec<KeyframeWish> {
        let mut wanted = Vec::new();
        for beginning in beginnings {
            let wish = self.wish_for(&beginning.name);
            if !wish.is_of_frames() {
                continue;
            }
            let is_low = wish == TrackWish::Small || self.quality.is_low();
            let at = self.playback(beginning.id, &beginning.name);
            let (sent, asked) = self.playbacks[at].begin(beginning, is_low, now);
            wanted.extend(asked);
            for (_, frame) in sent {
                self.pictures.push(beginning.id, frame, now);
            }
            if self.pictures.bytes > PICTURE_BYTES {
                self.pictures.give_up(|id| id == beginning.id);
                self.playbacks[at].stop();
            }
        }
        wanted
    }

    /// It has left a channel: what waits of it is given up.
    pub(crate) fn leave(&mut self, channel: &ChannelName) {
        self.wishes.retain(|wishes| wishes.channel != *channel);
        let left = self.stop_channel(channel);
        self.playbacks.retain(|playback| playback.name.channel != *channel);
        self.sounds.give_up(|id| left.contains(&id));
    }

    /// What waits of a channel's pictures is given up, and they go on with key frames. Returns its tracks.
    fn stop_channel(&mut self, channel: &ChannelName) -> Vec<u64> {
        let of_channel = self.playbacks.iter_mut().filter(|playback| playback.name.channel == *channel);
        let stopped: Vec<u64> = of_channel
            .map(|playback| {
                playback.stop();
                playback.id
            })
            .collect();
        self.pictures.give_up(|id| stopped.contains(&id));
        stopped
    }

    /// From now on it wants this of a channel, or of one of its tracks. It begins anew with what [`Viewer::begin`] is given
    /// then.
    ///
    /// # Errors
    /// If it wants too much that is particular.
    pub(crate) fn want(
        &mut self,
        channel: &ChannelName,
        of: Option<TrackRequest>,
        wish: TrackWish,
    ) -> Result<(), InvalidWish> {
        let in_all = self.wishes.iter().map(ChannelWishes::named).sum();
        let at = match self.wishes.iter().position(|wishes| wishes.channel == *channel) {
            Some(at) => at,
            None => {
                self.wishes.push(ChannelWishes::of(channel));
                self.wishes.len() - 1
            }
        };
        self.wishes[at].set(of, wish, in_all)?;
        self.stop_channel(channel);
        Ok(())
    }

    /// Its decoder has failed on a track. Returns whether a key frame is to be asked for.
    pub(crate) fn fail(
        &mut self,
        channel: &ChannelName,
        of: &TrackRequest,
        now: Instant,
    ) -> Option<KeyframeWish> {
        let is_low = self.quality.is_low();
        let is_of =
            |name: &TrackName| (&name.channel, &name.event, &name.track) == (channel, &of.event, &of.track);
        let playback = self.playbacks.iter_mut().find(|playback| is_of(&playback.name))?;
        let (id, is_due) = (playback.id, playback.fail(now));
        let rendition = playback.target(now, is_low);
        self.pictures.give_up(|waiting| waiting == id);
        is_due.then_some(KeyframeWish { id, rendition })
    }

    /// Whether it wants to be sent stills on this channel.
    pub(crate) fn wants_stills(&self, channel: &ChannelName) -> bool {
        self.wishes_of(channel).is_some_and(|wishes| wishes.of_all() == TrackWish::Stills)
    }

    /// A message of a track has come. Returns what has become of it.
    pub(crate) fn offer(&mut self, about: &TrackFrame, frame: &Frame, now: Instant) -> FrameFates {
        match about.kind {
            TrackKind::Sound => self.offer_sound(about, frame, now),
            TrackKind::Pictures => self.offer_picture(about, frame, now),
        }
    }

    fn offer_sound(&mut self, about: &TrackFrame, frame: &Frame, now: Instant) -> FrameFates {
        let is_wanted =
            self.wishes_of(&about.name.channel).is_none_or(|wishes| wishes.is_of_sound(&about.name));
        let at = self.playback(about.id, &about.name);
        let line = LineState { behind: Duration::ZERO, behind_with_queue: Duration::ZERO, is_low: false };
        if !is_wanted || self.playbacks[at].step(about, line, now) != FrameStep::Send {
            return FrameFates::default();
        }
        self.sounds.push(about.id, frame, now);
        let mut cut = 0;
        while self.sounds.bytes > SOUND_BYTES
            || self.sounds.oldest().is_some_and(|since| since + SOUND_TIME <= now)
        {
            self.sounds.pop();
            cut += 1;
        }
        FrameFates { queued: 1, cut, ..FrameFates::default() }
    }

    fn offer_picture(&mut self, about: &TrackFrame, frame: &Frame, now: Instant) -> FrameFates {
        let mut fates = FrameFates::default();
        let behind = self.positions.behind(now);
        let waits = self.pictures.oldest().map(|since| now.saturating_duration_since(since));
        let behind_with_queue = waits.unwrap_or_default().max(behind);
        match self.quality.judge(behind_with_queue, now) {
            Some(QualityChange::Down) => fates.moved_down = 1,
            Some(QualityChange::Up) => fates.moved_up = 1,
            None => {}
        }
        let wish = self.wish_for(&about.name);
        let is_low = wish == TrackWish::Small || self.quality.is_low();
        let at = self.playback(about.id, &about.name);
        let playback = &mut self.playbacks[at];
        if !wish.is_of_frames() {
            playback.stop();
            return fates;
        }
        let step = playback.step(about, LineState { behind, behind_with_queue, is_low }, now);
        match step {
            FrameStep::Pass => return fates,
            FrameStep::LeaveOut => fates.left_out = 1,
            FrameStep::CutBack => fates.cut = 1 + self.pictures.give_up(|id| id == about.id),
            FrameStep::Send | FrameStep::SendInPlace => {
                if step == FrameStep::SendInPlace {
                    fates.cut = self.pictures.give_up(|id| id == about.id);
                }
                if self.pictures.bytes + frame.websocket().len() > PICTURE_BYTES && self.pictures.bytes > 0 {
                    self.playbacks[at].stop();
                    fates.cut += 1 + self.pictures.give_up(|id| id == about.id);
                } else {
                    self.pictures.push(about.id, frame, now);
                    fates.queued = 1;
                }
            }
        }
        fates
    }

    /// What is to be sent next, if anything waits: sound before pictures.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        self.sounds.pop().or_else(|| {
            let picture = self.pictures.pop()?;
            self.positions.picture_sent();
            Some(picture)
        })
    }

    /// Whether something waits.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.sounds.messages.is_empty() || !self.pictures.messages.is_empty()
    }

    /// Bytes that wait.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.sounds.bytes + self.pictures.bytes
    }

    /// The payload of the ping that is to go behind what was sent, if one is.
    pub(crate) fn ping(&mut self, now: Instant) -> Option<String> {
        self.positions.ping(now)
    }

    /// A pong has come with this payload.
    pub(crate) fn echoed(&mut self, payload: &[u8], now: Instant) {
        self.positions.echoed(payload, now);
    }

    fn wishes_of(&self, channel: &ChannelName) -> Option<&ChannelWishes> {
        self.wishes.iter().find(|wishes| wishes.channel == *channel)
    }

    fn wish_for(&self, name: &TrackName) -> TrackWish {
        self.wishes_of(&name.channel).map_or(TrackWish::Full, |wishes| wishes.of_pictures(name))
    }

    /// The place of what it has of a track.
    fn playback(&mut self, id: u64, name: &Arc<TrackName>) -> usize {
        if let Some(at) = self.playbacks.iter().position(|playback| playback.id == id) {
            return at;
        }
        if self.playbacks.len() >= MOST_PLAYBACKS {
            let oldest = (0..self.playbacks.len()).min_by_key(|at| self.playbacks[*at].last_came());
            if let Some(gone) = oldest.map(|at| self.playbacks.swap_remove(at)) {
                self.pictures.give_up(|id| id == gone.id);
            }
        }
        self.playbacks.push(Playback::new(id, name));
        self.playbacks.len() - 1
    }

    /// How late what is sent arrives, as far as it is known.
    #[cfg(test)]
    pub(super) fn behind(&self, now: Instant) -> Duration {
        self.positions.behind(now)
    }

    /// Whether a track is live.
    #[cfg(test)]
    pub(super) fn is_live(&self, id: u64) -> bool {
        self.playbacks.iter().any(|playback| playback.id == id && playback.is_live())
    }
}
