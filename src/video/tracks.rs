//! The tracks of one channel at the broker: who holds each, and what is kept of it for those who join.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::protocol::{
    ChannelName, Frame, Rendition, SocketId, TrackFrame, TrackKind, TrackMessage, TrackName,
};

use super::claim::FilmingClaim;
use super::figures::{HolderFigures, TrackFigures};
use super::holder::{Filmer, FilmingClient, HoldClaim, HolderPlace, OtherNode, Rivalry, TrackHolder};
use super::playback::{Beginning, KeyframeWish, RenditionGroup};
use super::sequence::{FrameSequence, ReceiptStep};
use super::to_filmer::{FilmerNews, ToFilmer};
use super::wishes::TrackRequest;

/// Tracks that a channel may have.
const MOST_TRACKS: usize = 16;

/// Bytes that a track counts as besides what is kept of it.
const TRACK_BYTES: usize = 1024;

/// The least time between two questions to all nodes for the tracks of a channel.
const LOOKS_APART: Duration = Duration::from_millis(500);

/// The tracks of a channel.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChannelTracks {
    tracks: Vec<HeldTrack>,
    /// When all nodes were asked for them, lately.
    looked_at: Option<Instant>,
}

/// A track that somebody holds.
#[derive(Clone, Debug)]
struct HeldTrack {
    id: u64,
    name: Arc<TrackName>,
    kind: TrackKind,
    holder: TrackHolder,
    /// Of both renditions.
    sequences: [FrameSequence; 2],
}

/// What an app may keep beyond what it keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrackRoom {
    pub(crate) bytes: usize,
    /// There may be another track.
    pub(crate) has_track: bool,
}

/// How a message is taken.
pub(crate) struct TakingTerms<'a> {
    /// A number larger than any before: that of the message, and what a track that begins with it is known by.
    pub(crate) version: u64,
    pub(crate) now: Instant,
    /// Bytes that may be kept of the channel.
    pub(crate) cache_bytes: usize,
    /// What the app may keep beyond what it keeps.
    pub(crate) room: TrackRoom,
    /// Whether a connection is there.
    pub(crate) is_connected: &'a dyn Fn(SocketId) -> bool,
}

/// A message of a track was taken.
#[derive(Debug, Default)]
pub(crate) struct TakenMessage {
    /// What it is to viewers; none if none of them could make anything of it.
    pub(crate) frame: Option<Arc<TrackFrame>>,
    /// What its publisher is to be told.
    pub(crate) told: Vec<ToFilmer>,
    /// When [`ChannelTracks::receipt`] is to be asked for this track.
    pub(crate) receipt_at: Option<(Instant, KeyframeWish)>,
}

/// Why a message of a track was not taken. The text is part of the `pusher:error` that it is answered with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    /// Somebody else films.
    #[error("the track {0:?} is held by another publisher until five seconds after that one has gone")]
    Held(Box<str>),
    /// The channel has all the tracks that it may have.
    #[error("there are {MOST_TRACKS} tracks on the channel already")]
    TooMany,
    /// The app has all the tracks that it may have at present.
    #[error("the app has as many tracks as it may have while others have theirs")]
    NoRoom,
}

impl ChannelTracks {
    /// Whether there is nothing to be known of them.
    pub(crate) fn is_empty(&self) -> bool {
        self.tracks.is_empty() && self.looked_at.is_none()
    }

    /// A viewer has come. Whether all nodes are to be asked for the tracks of the channel, as none is known.
    pub(crate) fn look_elsewhere(&mut self, now: Instant) -> bool {
        let is_due =
            self.tracks.is_empty() && self.looked_at.is_none_or(|looked_at| looked_at + LOOKS_APART <= now);
        if is_due {
            self.looked_at = Some(now);
        }
        is_due
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.tracks.len()
    }

    /// Bytes that they count as.
    pub(crate) fn bytes(&self) -> usize {
        self.tracks.iter().map(HeldTrack::bytes).sum()
    }

    /// A message has come, which viewers are sent as this frame.
    ///
    /// # Errors
    /// If the track is somebody else's, or it would be one too many.
    pub(crate) fn take(
        &mut self,
        (channel, event): (&ChannelName, &str),
        filmer: &Filmer<'_>,
        message: &TrackMessage,
        frame: &Frame,
        terms: &TakingTerms<'_>,
    ) -> Result<TakenMessage, NotTaken> {
        let room = terms.room.bytes.min(terms.cache_bytes.saturating_sub(self.bytes()));
        let is_same = |track: &HeldTrack| {
            let name = &track.name;
            track.kind == message.kind && *name.event == *event && name.track == message.track
        };
        let track = match self.tracks.iter_mut().position(|track| is_same(track)) {
            Some(at) => &mut self.tracks[at],
            None if self.tracks.len() >= MOST_TRACKS => return Err(NotTaken::TooMany),
            None if !terms.room.has_track => return Err(NotTaken::NoRoom),
            None => {
                let name =
                    TrackName { channel: channel.clone(), event: event.into(), track: message.track.clone() };
                self.tracks.push(HeldTrack::new(Arc::new(name), filmer, message, terms));
                let last = self.tracks.len() - 1;
                &mut self.tracks[last]
            }
        };
        track.take(filmer, message, frame, terms, room)
    }

    /// What those who join now can begin with. `version` is larger than that of any message before.
    pub(crate) fn beginnings(&self, version: u64, now: Instant) -> Vec<Beginning> {
        let pictures = self.tracks.iter().filter(|track| track.kind == TrackKind::Pictures);
        pictures.map(|track| track.beginning(version, now)).collect()
    }

    /// Their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = (TrackKind, Arc<TrackName>)> {
        self.tracks.iter().map(|track| (track.kind, Arc::clone(&track.name)))
    }

    /// What there is of them, for whoever looks.
    pub(crate) fn figures(&self, now: Instant) -> Vec<TrackFigures> {
        self.tracks.iter().map(|track| track.figures(now)).collect()
    }

    /// Somebody wants a key frame. Returns what its publisher is to be told now, if that is due.
    pub(crate) fn want_key_frame(&mut self, wish: KeyframeWish, now: Instant) -> Option<ToFilmer> {
        let track = self.tracks.iter_mut().find(|track| track.id == wish.id)?;
        track.want(wish.rendition, now)
    }

    /// Viewers on another node want key frames: of this track and rendition, or of all tracks. Only clients of this node are told, so
    /// that no nodes go on asking each other.
    pub(crate) fn wanted_elsewhere(
        &mut self,
        of: Option<&(TrackRequest, Rendition)>,
        now: Instant,
    ) -> Vec<ToFilmer> {
        let is_own =
            |track: &&mut HeldTrack| track.kind == TrackKind::Pictures && track.holder.client().is_some();
        let own = self.tracks.iter_mut().filter(is_own);
        match of {
            Some((of, rendition)) => own
                .filter(|track| of.is_of(&track.name))
                .filter_map(|track| track.want(*rendition, now))
                .collect(),
            None => own.filter_map(|track| track.want(track.best(now), now)).collect(),
        }
    }

    /// The time has come at which a publisher was to be told what has come of this. Returns what it is told.
    pub(crate) fn receipt(&mut self, of: KeyframeWish, now: Instant) -> Option<ToFilmer> {
        let track = self.tracks.iter_mut().find(|track| track.id == of.id)?;
        let step = track.sequences[of.rendition as usize].receipt_came_due(now);
        track.tell_receipt(of.rendition, step).0
    }

    /// A client of another node films, as far as is known there; this node is `own`. Returns what is told because of it.
    pub(crate) fn claimed_elsewhere(
        &mut self,
        (node, own): (OtherNode, OtherNode),
        claim: &FilmingClaim,
        now: Instant,
        is_connected: &dyn Fn(SocketId) -> bool,
    ) -> Option<ToFilmer> {
        let is_same = |track: &&mut HeldTrack| track.kind == claim.kind && claim.of.is_of(&track.name);
        let track = self.tracks.iter_mut().find(is_same)?;
        if track.holder.has_gone(now, is_connected) {
            return None;
        }
        match track.holder.stays(claim, (node, own), now) {
            Rivalry::Stays => {
                track.holder.hear_of_moves(node, claim);
                None
            }
            Rivalry::StaysAndSays => {
                let own = track.holder.claim_against(&track.name, track.kind, true, now);
                Some(ToFilmer::Claim(Some(node), own))
            }
            Rivalry::Yields => {
                track.holder.yield_to(node, claim, now);
                track.sequences.iter_mut().for_each(FrameSequence::begin_anew);
                // What came from there before was refused here.
                let is_of_pictures = track.kind == TrackKind::Pictures;
                if is_of_pictures { track.want(track.best(now), now) } else { None }
            }
        }
    }

    /// What has come from another node was refused, as a client of this one holds the track. Where they have not heard of each other
    /// for want of an engine, the one on the node with the lower id goes on. Returns what that node is told.
    pub(crate) fn refused_elsewhere(
        &mut self,
        (node, own): (OtherNode, OtherNode),
        (kind, of): (TrackKind, &TrackRequest),
        now: Instant,
    ) -> Option<ToFilmer> {
        let is_same = |track: &&mut HeldTrack| track.kind == kind && of.is_of(&track.name);
        let track = self.tracks.iter_mut().find(is_same)?;
        let claim = track.holder.has_to_be_told_again(now);
        claim.then(|| {
            let claim = track.holder.claim_against(&track.name, kind, own < node, now);
            ToFilmer::Claim(Some(node), claim)
        })
    }

    /// A subscription of a connection to this channel has ended.
    pub(crate) fn left(&mut self, channel: &ChannelName, socket: SocketId, now: Instant) {
        self.tracks.iter_mut().for_each(|track| track.holder.left(socket, channel, now));
    }

    /// The settings have changed: clients of which this says so, by the channel on which they send and what, and by the track, may
    /// film no longer, as far as is known. What they film is theirs for as long as that of holders that have gone, unless more of it
    /// comes.
    pub(crate) fn doubt(
        &mut self,
        may_be_refused: &dyn Fn((&ChannelName, &str), &TrackName) -> bool,
        now: Instant,
    ) {
        for track in &mut self.tracks {
            let is_refused =
                |client: &FilmingClient| may_be_refused((&client.channel, &client.event), &track.name);
            if track.holder.client().is_some_and(is_refused) {
                track.holder.doubt(now);
            }
        }
    }

    /// Forgets the tracks whose holders have gone.
    pub(crate) fn sweep(&mut self, now: Instant, is_connected: &dyn Fn(SocketId) -> bool) {
        self.tracks.retain_mut(|track| !track.holder.has_gone(now, is_connected));
        self.looked_at = self.looked_at.filter(|looked_at| *looked_at + LOOKS_APART > now);
    }
}

impl HeldTrack {
    fn new(
        name: Arc<TrackName>,
        filmer: &Filmer<'_>,
        message: &TrackMessage,
        terms: &TakingTerms<'_>,
    ) -> Self {
        let holder = TrackHolder::new(filmer, message, terms.now);
        HeldTrack { id: terms.version, name, kind: message.kind, holder, sequences: Default::default() }
    }

    fn bytes(&self) -> usize {
        TRACK_BYTES + self.sequences.iter().map(FrameSequence::bytes).sum::<usize>()
    }

    fn take(
        &mut self,
        filmer: &Filmer<'_>,
        message: &TrackMessage,
        frame: &Frame,
        terms: &TakingTerms<'_>,
        room: usize,
    ) -> Result<TakenMessage, NotTaken> {
        let now = terms.now;
        match self.holder.claim(filmer, message, now, terms.is_connected) {
            HoldClaim::Own => {}
            HoldClaim::Held => return Err(NotTaken::Held(self.name.event.clone())),
            // It takes the track over with a frame that viewers can go on with.
            HoldClaim::Returns | HoldClaim::Succeeds if !message.is_key => {
                let told = self.ask_for_first(filmer, message, now).into_iter().collect();
                return Ok(TakenMessage { told, ..TakenMessage::default() });
            }
            HoldClaim::Returns => {
                self.holder.move_to(filmer, message, now);
                self.sequences.iter_mut().for_each(FrameSequence::begin_anew);
            }
            HoldClaim::Succeeds => {
                self.holder.give_up_to(filmer, message, now);
                self.sequences.iter_mut().for_each(FrameSequence::begin_anew);
            }
            HoldClaim::Free => *self = HeldTrack::new(Arc::clone(&self.name), filmer, message, terms),
        }
        let rendition = message.rendition;
        let sequence = &mut self.sequences[rendition as usize];
        let before = sequence.bytes();
        let frame = sequence.come(message, now).then(|| {
            let TrackMessage { kind, sequence: number, is_key, is_upper_layer, .. } = *message;
            let (id, version, name) = (self.id, terms.version, Arc::clone(&self.name));
            let about =
                TrackFrame { id, version, name, kind, sequence: number, is_key, rendition, is_upper_layer };
            let about = Arc::new(about);
            // A key frame takes the room of what it ends.
            let room = if is_key { room.saturating_add(before) } else { room };
            sequence.keep(&about, frame, now, room);
            about
        });
        if frame.is_none() {
            sequence.forget();
        }
        let (receipt, receipt_at) = self.receipt(rendition, now);
        let is_new = self.holder.has_to_be_told();
        let claim = is_new.then(|| ToFilmer::Claim(None, self.holder.claim_of(&self.name, self.kind, false)));
        let told = receipt.into_iter().chain(self.request(rendition, now)).chain(claim).collect();
        let receipt_at = receipt_at.map(|at| (at, KeyframeWish { id: self.id, rendition }));
        Ok(TakenMessage { frame, told, receipt_at })
    }

    /// A publisher has come back, and its viewers can go on with a key frame. What it is told, if it is time to say so.
    fn ask_for_first(
        &mut self,
        filmer: &Filmer<'_>,
        message: &TrackMessage,
        now: Instant,
    ) -> Option<ToFilmer> {
        let sequence = &mut self.sequences[message.rendition as usize];
        sequence.want_key_frame();
        let part = (self.kind, message.rendition);
        let is_due = self.kind == TrackKind::Pictures && sequence.ask(now);
        is_due
            .then(|| ToFilmer::new(&HolderPlace::of(filmer), &self.name, part, FilmerNews::KeyframeWanted))?
    }

    /// A key frame is wanted. What the publisher is told, if it is time to say so.
    fn want(&mut self, rendition: Rendition, now: Instant) -> Option<ToFilmer> {
        self.sequences[rendition as usize].want_key_frame();
        self.request(rendition, now)
    }

    /// The rendition that who comes is sent, where the line does not say otherwise.
    fn best(&self, now: Instant) -> Rendition {
        let [full, small] = &self.sequences;
        if !full.is_alive(now) && small.is_alive(now) { Rendition::Small } else { Rendition::Full }
    }

    /// What the publisher is told if a key frame is wanted, and it is time to say so.
    fn request(&mut self, rendition: Rendition, now: Instant) -> Option<ToFilmer> {
        let is_due = self.sequences[rendition as usize].ask(now);
        if is_due { self.tell(rendition, FilmerNews::KeyframeWanted) } else { None }
    }

    /// What the publisher is told now of what has come, or when to look again.
    fn receipt(&mut self, rendition: Rendition, now: Instant) -> (Option<ToFilmer>, Option<Instant>) {
        if self.holder.client().is_none() {
            return (None, None);
        }
        let step = self.sequences[rendition as usize].receipt(now);
        self.tell_receipt(rendition, step)
    }

    fn tell_receipt(&self, rendition: Rendition, step: ReceiptStep) -> (Option<ToFilmer>, Option<Instant>) {
        match step {
            ReceiptStep::Now(sequence, timestamp) => {
                (self.tell(rendition, FilmerNews::Received { sequence, timestamp }), None)
            }
            ReceiptStep::At(again) => (None, Some(again)),
            ReceiptStep::No => (None, None),
        }
    }

    fn tell(&self, rendition: Rendition, what: FilmerNews) -> Option<ToFilmer> {
        ToFilmer::new(self.holder.place(), &self.name, (self.kind, rendition), what)
    }

    fn figures(&self, now: Instant) -> TrackFigures {
        let (place, user_id, since) = self.holder.held_by(now);
        let of = |rendition: Rendition| self.sequences[rendition as usize].figures(rendition, now);
        TrackFigures {
            name: Arc::clone(&self.name),
            kind: self.kind,
            holder: HolderFigures { place, user_id, since },
            renditions: Rendition::ALL.into_iter().filter_map(of).collect(),
            bytes: self.bytes(),
        }
    }

    fn beginning(&self, version: u64, now: Instant) -> Beginning {
        let group = |sequence: &FrameSequence| RenditionGroup {
            frames: sequence
                .group()
                .iter()
                .map(|kept| (Arc::clone(&kept.about), kept.frame.clone()))
                .collect(),
            lasts: sequence.lasts(),
            bytes: sequence.bytes(),
            is_alive: sequence.is_alive(now),
        };
        Beginning {
            id: self.id,
            version,
            name: Arc::clone(&self.name),
            groups: self.sequences.each_ref().map(group),
        }
    }
}
