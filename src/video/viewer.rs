//! One connection that is sent tracks: what waits for it, and how far behind it is.
//!
//! Its pictures wait here, and not where its other messages do: so these are sent before them, and pictures can be given up at
//! any time. What is handed out by [`Viewer::hand_out`] is sent at once. What was sent and what waits of a track is always whole:
//! it begins with a key frame, and lacks nothing but frames to which no other refers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::protocol::{ChannelName, Frame, Rendition, TrackFrame, TrackKind, TrackName};

use super::figures::{ViewerLag, ViewerState};
use super::message_queue::{GivenUp, MessageQueue};
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

/// What a viewer is sent.
#[derive(Clone, Debug)]
pub(crate) enum ForViewer {
    /// A message of a track.
    Message(Frame),
    /// A ping, which says when it comes back what has arrived.
    Ping(Frame),
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

impl Viewer {
    /// It has joined a channel whose tracks begin with these. Returns which key frames are to be asked for.
    pub(crate) fn begin(&mut self, beginnings: &[Beginning], now: Instant) -> Vec<KeyframeWish> {
        let mut wanted = Vec::new();
        for beginning in beginnings {
            let wish = self.wish_for(&beginning.name);
            if !wish.is_of_frames() {
                continue;
            }
            let is_low = wish == TrackWish::Small || self.quality.is_low();
            let at = self.playback(beginning.id, &beginning.name, TrackKind::Pictures);
            let (sent, asked) = self.playbacks[at].begin(beginning, is_low, now);
            wanted.extend(asked);
            for (about, frame) in sent {
                self.pictures.push(about, frame, now);
            }
            if self.pictures.bytes() > PICTURE_BYTES {
                self.pictures.give_up(|id| id == beginning.id);
                self.playbacks[at].stop();
            }
        }
        wanted
    }

    /// It has left a channel: what waits of it is given up.
    pub(crate) fn leave(&mut self, channel: &ChannelName) {
        self.wishes.retain(|wishes| wishes.channel != *channel);
        self.stop(|playback| playback.name.channel == *channel);
        self.playbacks.retain(|playback| playback.name.channel != *channel);
    }

    /// Some tracks need a key frame to go on, and what waits of them is given up.
    fn stop(&mut self, is_concerned: impl Fn(&Playback) -> bool) {
        let mut stopped = Vec::new();
        for playback in self.playbacks.iter_mut().filter(|playback| is_concerned(playback)) {
            playback.stop();
            stopped.push(playback.id);
        }
        self.pictures.give_up(|id| stopped.contains(&id));
        self.sounds.give_up(|id| stopped.contains(&id));
    }

    /// From now on it wants this of a channel, or of one of its tracks. Where that is something else than before, tracks begin
    /// anew, with these beginnings of the channel; all others go on. Returns which key frames are to be asked for.
    ///
    /// # Errors
    /// If it wants too much that is particular.
    pub(crate) fn want(
        &mut self,
        channel: &ChannelName,
        of: Option<TrackRequest>,
        wish: TrackWish,
        beginnings: impl FnOnce() -> Vec<Beginning>,
        now: Instant,
    ) -> Result<Vec<KeyframeWish>, InvalidWish> {
        let in_all = self.wishes.iter().map(ChannelWishes::named).sum();
        let before = self.wishes_of(channel).cloned().unwrap_or_else(|| ChannelWishes::of(channel));
        let mut after = before.clone();
        after.set(of, wish, in_all)?;
        self.stop(|Playback { name, kind, .. }| {
            name.channel == *channel && before.differs(&after, name, *kind)
        });
        let mut begun = if before == after { Vec::new() } else { beginnings() };
        begun.retain(|beginning| before.differs(&after, &beginning.name, TrackKind::Pictures));
        match self.wishes.iter_mut().find(|wishes| wishes.channel == *channel) {
            Some(wishes) => *wishes = after,
            None => self.wishes.push(after),
        }
        Ok(self.begin(&begun, now))
    }

    /// Its decoder has failed on a track: on the pictures, where sound has the same name. Returns whether a key frame is to be
    /// asked for.
    pub(crate) fn fail(
        &mut self,
        channel: &ChannelName,
        of: &TrackRequest,
        now: Instant,
    ) -> Option<KeyframeWish> {
        let is_of = |name: &TrackName| name.channel == *channel && of.is_of(name);
        let named = self.playbacks.iter().filter(|playback| is_of(&playback.name));
        let id = named.max_by_key(|playback| playback.kind == TrackKind::Pictures)?.id;
        self.stop(|playback| playback.id == id);
        let is_low = self.quality.is_low();
        let playback = self.playbacks.iter_mut().find(|playback| playback.id == id)?;
        let rendition = playback.target(now, is_low);
        playback.fail(now).then_some(KeyframeWish { id, rendition })
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
        let at = self.playback(about.id, &about.name, TrackKind::Sound);
        let line = LineState { behind: Duration::ZERO, behind_with_queue: Duration::ZERO, is_low: false };
        if !is_wanted || self.playbacks[at].step(about, line, now) != FrameStep::Send {
            return FrameFates::default();
        }
        self.sounds.push(about, frame, now);
        let mut cut = 0;
        while self.sounds.bytes() > SOUND_BYTES
            || self.sounds.oldest().is_some_and(|since| since + SOUND_TIME <= now)
        {
            cut += self.give_up_sound();
        }
        FrameFates { queued: 1, cut, ..FrameFates::default() }
    }

    /// Gives up the oldest piece that waits, and what needs it: no piece is sent to who was not sent its configuration. Returns
    /// how many were given up.
    fn give_up_sound(&mut self) -> u64 {
        let Some(GivenUp { id, pieces, has_no_beginning }) = self.sounds.give_up_oldest() else { return 0 };
        if has_no_beginning {
            self.stop(|playback| playback.id == id);
        }
        pieces
    }

    fn offer_picture(&mut self, about: &TrackFrame, frame: &Frame, now: Instant) -> FrameFates {
        let mut fates = FrameFates::default();
        let behind = self.positions.behind(now);
        let behind_with_queue = self.waits(now).max(behind);
        match self.quality.judge(behind_with_queue, now) {
            Some(QualityChange::Down) => fates.moved_down = 1,
            Some(QualityChange::Up) => fates.moved_up = 1,
            None => {}
        }
        let wish = self.wish_for(&about.name);
        let is_low = wish == TrackWish::Small || self.quality.is_low();
        let at = self.playback(about.id, &about.name, TrackKind::Pictures);
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
                let waiting = self.pictures.bytes();
                if waiting + frame.websocket().len() > PICTURE_BYTES && waiting > 0 {
                    self.playbacks[at].stop();
                    fates.cut += 1 + self.pictures.give_up(|id| id == about.id);
                } else {
                    self.pictures.push(about, frame, now);
                    fates.queued = 1;
                }
            }
        }
        fates
    }

    /// For how long the oldest picture has waited here.
    fn waits(&self, now: Instant) -> Duration {
        self.pictures.oldest().map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// How late it is sent what it sees of a channel; none if nothing of that has come.
    pub(crate) fn lag(&self, channel: &ChannelName, now: Instant) -> Option<ViewerLag> {
        let of_channel =
            |playback: &&Playback| playback.kind == TrackKind::Pictures && playback.name.channel == *channel;
        let mut playbacks = self.playbacks.iter().filter(of_channel).peekable();
        playbacks.peek()?;
        let wants_some = playbacks.clone().any(|playback| self.wish_for(&playback.name).is_of_frames());
        let state = match playbacks.filter_map(Playback::live_in).min_by_key(|live| *live as usize) {
            _ if !wants_some => ViewerState::Still,
            Some(Rendition::Full) => ViewerState::Full,
            Some(Rendition::Small) => ViewerState::Small,
            None => ViewerState::Waiting,
        };
        let late = self.waits(now).max(self.positions.behind(now));
        Some(ViewerLag { late, waiting_bytes: self.waiting_bytes(), state })
    }

    /// Hands out what is to be sent next, sound before pictures, until that has so many bytes: to a line that took all that was
    /// handed out before. Before the first picture goes a ping, which says how long the line is, and behind pictures one that
    /// says how late they arrive.
    pub(crate) fn hand_out(&mut self, now: Instant, most_bytes: usize, mut send: impl FnMut(ForViewer)) {
        let ping = |payload: String| ForViewer::Ping(Frame::ping_with(payload.as_bytes()));
        let mut bytes = 0;
        while bytes < most_bytes {
            let frame = if let Some(piece) = self.sounds.pop() {
                piece
            } else if let Some(picture) = self.pictures.pop() {
                self.positions.first_ping(now).map(ping).into_iter().for_each(&mut send);
                self.positions.picture_sent(picture.websocket().len(), now);
                picture
            } else {
                break;
            };
            bytes += frame.websocket().len();
            send(ForViewer::Message(frame));
        }
        self.positions.ping(now).map(ping).into_iter().for_each(&mut send);
    }

    /// Whether something waits.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.sounds.is_empty() || !self.pictures.is_empty()
    }

    /// Bytes that wait.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.sounds.bytes() + self.pictures.bytes()
    }

    /// It returns no pings: what waits here is all that is known of how late it is.
    pub(crate) fn returns_no_pings(&mut self) {
        self.positions.be_mute();
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

    /// The place of what it has of a track. One of the same name and kind that was there before has gone; what waits of that is
    /// whole.
    fn playback(&mut self, id: u64, name: &Arc<TrackName>, kind: TrackKind) -> usize {
        if let Some(at) = self.playbacks.iter().position(|playback| playback.id == id) {
            return at;
        }
        let new = Playback::new(id, name, kind);
        let is_before = |playback: &Playback| playback.kind == kind && playback.name == *name;
        if let Some(at) = self.playbacks.iter().position(is_before) {
            self.playbacks[at] = new;
            return at;
        }
        if self.playbacks.len() >= MOST_PLAYBACKS {
            let oldest = (0..self.playbacks.len()).min_by_key(|at| self.playbacks[*at].last_came());
            if let Some(gone) = oldest.map(|at| self.playbacks.swap_remove(at)) {
                self.pictures.give_up(|id| id == gone.id);
                self.sounds.give_up(|id| id == gone.id);
            }
        }
        self.playbacks.push(new);
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
