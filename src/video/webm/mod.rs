//! A live WebM of one track of pictures, and of its sound: VP8, VP9 or AV1, and Opus.
//!
//! It begins with a key frame and never ends by itself: the lengths of its segment and of its clusters are unknown, a cluster
//! begins with each key frame, and blocks are in the order of their times. Players take another size of the pictures from the
//! key frame with which it comes; another codec would need another file, and ends this one. It knows no viewers: what it is
//! given can be decoded, and it loses nothing of that.

mod blocks;
mod codec;
mod ebml;
#[cfg(test)]
mod tests;
mod timeline;

use std::time::{Duration, Instant};

use crate::protocol::{BinaryMessage, TrackKind, TrackMessage};

use super::wishes::TrackRequest;
use blocks::{BlockQueues, WaitingBlock};
use codec::{PictureConfig, PicturePose, SoundConfig};
use ebml::{begin_master, push_bytes, push_float, push_length, push_master, push_text, push_unsigned};
use timeline::Timeline;

/// How long the beginning waits for the configuration of the sound, which comes each second.
const SOUND_WAIT: Duration = Duration::from_millis(1200);

/// Bytes that wait, with which nothing is waited for any longer.
const WAITING_BYTES: usize = 4 * 1024 * 1024;

/// Milliseconds after which a cluster ends without a key frame: a block's time in it has 16 bits.
const CLUSTER_MS: u64 = 30_000;

/// Nanoseconds of a unit of time.
const UNIT_NS: u64 = 1_000_000;

/// Nanoseconds for which an Opus decoder must run before what it gives is right.
const OPUS_PREROLL_NS: u64 = 80_000_000;

const PICTURES_NUMBER: u8 = 1;
const SOUND_NUMBER: u8 = 2;

/// Which tracks of a channel are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WebmTracks {
    pub(crate) pictures: WebmPictures,
    /// Their sound.
    pub(crate) sound: WebmSound,
}

/// Which pictures are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum WebmPictures {
    /// Those of which a key frame comes first.
    #[default]
    First,
    /// The same, among the tracks of this name.
    Named(Box<str>),
    /// This track.
    Of(TrackRequest),
}

/// Which sound is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum WebmSound {
    /// None.
    #[default]
    Silent,
    /// Any of the same track's name that is there when the pictures begin.
    Any,
    /// This track.
    Of(TrackRequest),
}

/// Why nothing more is written. The text is for who reads the stream, or the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WebmEnd {
    /// No WebM carries what the track is in.
    #[error("expected a track in vp8, vp9 or av01, got one in {0:?}")]
    Codec(String),
    /// The pictures are in another codec now.
    #[error("the track is in another codec now")]
    CodecChanged,
    /// A reload has made another kind of channel of it.
    #[error("the channel carries no tracks any more")]
    NoTracks,
}

/// What is written at present.
#[derive(Debug)]
enum WriterStage {
    /// No key frame has come.
    Waiting,
    /// One has, at this time; the sound has not.
    Gathering(PictureConfig, Instant),
    Writing(PictureConfig),
    Over(WebmEnd),
}

/// The sound that is written.
#[derive(Debug)]
struct WrittenSound {
    of: TrackRequest,
    config: SoundConfig,
    /// What comes of it at present is what the file says that it is.
    fits: bool,
}

/// Writes it.
#[derive(Debug)]
pub(crate) struct WebmWriter {
    tracks: WebmTracks,
    stage: WriterStage,
    sound: Option<WrittenSound>,
    timeline: Timeline,
    queues: BlockQueues,
    /// Where the cluster begins, in milliseconds.
    cluster: Option<u64>,
    ready: Vec<u8>,
}

impl WebmWriter {
    /// Writes these.
    pub(crate) fn new(tracks: WebmTracks) -> Self {
        WebmWriter {
            tracks,
            stage: WriterStage::Waiting,
            sound: None,
            timeline: Timeline::default(),
            queues: BlockQueues::default(),
            cluster: None,
            ready: Vec::new(),
        }
    }

    /// A message has come. What is of no track that is written is passed over.
    pub(crate) fn take(&mut self, message: &BinaryMessage<'_>, now: Instant) {
        if matches!(self.stage, WriterStage::Over(_)) {
            return;
        }
        let Ok(Some(about)) = TrackMessage::read(&message.payload) else { return };
        match about.kind {
            TrackKind::Pictures => self.take_picture(message, &about, now),
            TrackKind::Sound => self.take_sound(message, &about, now),
        }
        self.pass(now);
    }

    /// Time has passed: what waited long enough is written.
    pub(crate) fn pass(&mut self, now: Instant) {
        self.begin_if_possible(now);
        self.write_blocks(Some(now));
    }

    fn take_picture(&mut self, message: &BinaryMessage<'_>, about: &TrackMessage, now: Instant) {
        let is_wanted = match &self.tracks.pictures {
            WebmPictures::First => true,
            WebmPictures::Named(track) => *track == about.track,
            WebmPictures::Of(wanted) => is_of(wanted, message, about),
        };
        let content = message.payload.content();
        // Nothing is no picture, and no decoder can begin with it.
        if !is_wanted || content.is_empty() {
            return;
        }
        if about.is_key {
            match (PictureConfig::read(message.payload.members(), content), &self.stage) {
                (Err(codec), WriterStage::Waiting) => return self.end(WebmEnd::Codec(codec)),
                (Err(_), _) => return self.end(WebmEnd::CodecChanged),
                (Ok(config), WriterStage::Waiting) => {
                    self.tracks.pictures = WebmPictures::Of(named(message, about));
                    if self.tracks.sound == WebmSound::Any {
                        self.sound.take_if(|sound| sound.of.track != about.track);
                    }
                    self.stage = WriterStage::Gathering(config, now);
                }
                (Ok(config), WriterStage::Gathering(begun, _) | WriterStage::Writing(begun)) => {
                    if config.codec != begun.codec {
                        return self.end(WebmEnd::CodecChanged);
                    }
                }
                (Ok(_), WriterStage::Over(_)) => return,
            }
        }
        if !matches!(self.stage, WriterStage::Waiting) {
            self.queue(about, content, now);
        }
    }

    fn take_sound(&mut self, message: &BinaryMessage<'_>, about: &TrackMessage, now: Instant) {
        let is_waiting = matches!(self.stage, WriterStage::Waiting);
        let is_wanted = match &self.sound {
            Some(sound) => is_of(&sound.of, message, about),
            None => !matches!(self.stage, WriterStage::Writing(_)) && self.wants_sound(message, about),
        };
        if !is_wanted {
            return;
        }
        if about.is_key {
            let config = SoundConfig::read(message.payload.members());
            match (&mut self.sound, config) {
                (Some(sound), config) if !is_waiting => {
                    sound.fits = config.is_some_and(|config| config.is_decoded_as(&sound.config));
                }
                (sound, Some(config)) => {
                    *sound = Some(WrittenSound { of: named(message, about), config, fits: true });
                }
                (_, None) => return,
            }
        }
        let content = message.payload.content();
        if self.sound.as_ref().is_some_and(|sound| sound.fits) && !is_waiting && !content.is_empty() {
            self.queue(about, content, now);
        }
    }

    /// Whether it is sound that was asked for, where none has been chosen.
    fn wants_sound(&self, message: &BinaryMessage<'_>, about: &TrackMessage) -> bool {
        match (&self.tracks.sound, &self.tracks.pictures) {
            (WebmSound::Silent, _) => false,
            (WebmSound::Of(wanted), _) => is_of(wanted, message, about),
            (WebmSound::Any, WebmPictures::First) => true,
            (WebmSound::Any, WebmPictures::Named(track)) => *track == about.track,
            (WebmSound::Any, WebmPictures::Of(pictures)) => pictures.track == about.track,
        }
    }

    fn queue(&mut self, about: &TrackMessage, content: &[u8], now: Instant) {
        if let Some(ms) = self.timeline.place(about.kind, about.timestamp) {
            let is_key = about.is_key && about.kind == TrackKind::Pictures;
            let block = WaitingBlock { ms, is_key, content: content.into(), came: now };
            self.queues.push(about.kind, block);
        }
    }

    /// Writes the beginning, if all is known that it says.
    fn begin_if_possible(&mut self, now: Instant) {
        let WriterStage::Gathering(_, since) = &self.stage else { return };
        let is_silent = self.tracks.sound == WebmSound::Silent;
        let is_late = *since + SOUND_WAIT <= now || self.queues.bytes() > WAITING_BYTES;
        if self.sound.is_some() || is_silent || is_late {
            self.begin();
        }
    }

    /// Writes the beginning, if a key frame has come and it has not been written.
    fn begin(&mut self) {
        let WriterStage::Gathering(pictures, _) = &self.stage else { return };
        let pictures = pictures.clone();
        let sound = self.sound.as_ref().map(|sound| &sound.config);
        write_beginning(&pictures, sound, &mut self.ready);
        self.stage = WriterStage::Writing(pictures);
    }

    /// Writes the blocks whose turn it is; all of them where there is no time, because nothing more will come.
    fn write_blocks(&mut self, now: Option<Instant>) {
        if !matches!(self.stage, WriterStage::Writing(_)) {
            return;
        }
        loop {
            let now = now.filter(|_| self.queues.bytes() <= WAITING_BYTES);
            let Some((kind, block)) = self.queues.next(self.sound.is_some(), now) else { return };
            let cluster = self.cluster.filter(|begin| !block.is_key && block.ms - begin <= CLUSTER_MS);
            let begin = cluster.unwrap_or_else(|| {
                begin_master(0x1f43_b675, &mut self.ready);
                push_unsigned(0xe7, block.ms, &mut self.ready);
                block.ms
            });
            self.cluster = Some(begin);
            write_block(kind, &block, block.ms - begin, &mut self.ready);
        }
    }

    /// Nothing more will come: writes what waits.
    pub(crate) fn finish(&mut self) {
        self.write_blocks(None);
    }

    /// The channel carries no tracks any more, and what comes on it need not be one that can be decoded.
    pub(crate) fn lose_channel(&mut self) {
        if self.over().is_none() {
            self.end(WebmEnd::NoTracks);
        }
    }

    fn end(&mut self, end: WebmEnd) {
        // What has come so far is a file, also if its sound was still waited for.
        self.begin();
        self.finish();
        self.stage = WriterStage::Over(end);
    }

    /// Whether its beginning has been written.
    pub(crate) fn has_begun(&self) -> bool {
        matches!(self.stage, WriterStage::Writing(_)) || !self.ready.is_empty()
    }

    /// Why nothing more is written, if it is so.
    pub(crate) fn over(&self) -> Option<&WebmEnd> {
        match &self.stage {
            WriterStage::Over(end) => Some(end),
            _ => None,
        }
    }

    /// Bytes that have been written and not taken.
    pub(crate) fn ready_bytes(&self) -> usize {
        self.ready.len()
    }

    /// Takes them, if there are any.
    pub(crate) fn take_ready(&mut self) -> Option<Vec<u8>> {
        (!self.ready.is_empty()).then(|| std::mem::take(&mut self.ready))
    }

    /// Something that says nothing, where it may stand.
    pub(crate) fn nothing(&self) -> Option<&'static [u8]> {
        self.cluster.map(|_| &[0xec, 0x80][..])
    }
}

/// The track that a message is of.
fn named(message: &BinaryMessage<'_>, about: &TrackMessage) -> TrackRequest {
    TrackRequest { event: message.event.into(), track: about.track.clone() }
}

fn is_of(wanted: &TrackRequest, message: &BinaryMessage<'_>, about: &TrackMessage) -> bool {
    *wanted.event == *message.event && wanted.track == about.track
}

/// The head of the file, and the beginning of its segment, up to the first cluster.
fn write_beginning(pictures: &PictureConfig, sound: Option<&SoundConfig>, out: &mut Vec<u8>) {
    push_master(0x1a45_dfa3, out, |out| {
        push_unsigned(0x4286, 1, out);
        push_unsigned(0x42f7, 1, out);
        push_unsigned(0x42f2, 4, out);
        push_unsigned(0x42f3, 8, out);
        push_text(0x4282, "webm", out);
        push_unsigned(0x4287, 4, out);
        push_unsigned(0x4285, 2, out);
    });
    begin_master(0x1853_8067, out);
    push_master(0x1549_a966, out, |out| {
        push_unsigned(0x2a_d7b1, UNIT_NS, out);
        push_text(0x4d80, "heliostat", out);
        push_text(0x5741, concat!("heliostat ", env!("CARGO_PKG_VERSION")), out);
    });
    push_master(0x1654_ae6b, out, |out| {
        push_master(0xae, out, |out| {
            write_track(PICTURES_NUMBER, (1, pictures.codec.id(), &pictures.private), out);
            push_master(0xe0, out, |out| {
                push_unsigned(0xb0, pictures.width, out);
                push_unsigned(0xba, pictures.height, out);
                write_pose(pictures.pose, out);
            });
        });
        if let Some(sound) = sound {
            push_master(0xae, out, |out| {
                write_track(SOUND_NUMBER, (2, "A_OPUS", &sound.private), out);
                push_unsigned(0x56bb, OPUS_PREROLL_NS, out);
                push_master(0xe1, out, |out| {
                    push_float(0xb5, 48_000.0, out);
                    push_unsigned(0x9f, sound.channels.into(), out);
                });
            });
        }
    });
}

/// What both kinds of tracks say: their number, also as what nothing else is called by, their kind and their codec.
fn write_track(number: u8, (kind, codec, private): (u64, &str, &[u8]), out: &mut Vec<u8>) {
    push_unsigned(0xd7, number.into(), out);
    push_unsigned(0x73c5, number.into(), out);
    push_unsigned(0x83, kind, out);
    // Blocks hold one frame each, and nobody knows the language.
    push_unsigned(0x9c, 0, out);
    push_text(0x22_b59c, "und", out);
    push_text(0x86, codec, out);
    if !private.is_empty() {
        push_bytes(0x63a2, private, out);
    }
}

/// How pictures are to be shown, where it is not as they are: a plane that is turned.
fn write_pose(pose: PicturePose, out: &mut Vec<u8>) {
    if pose == PicturePose::default() {
        return;
    }
    let (yaw, roll) = pose.yaw_and_roll();
    push_master(0x7670, out, |out| {
        push_unsigned(0x7671, 0, out);
        push_float(0x7673, yaw, out);
        push_float(0x7674, 0.0, out);
        push_float(0x7675, roll, out);
    });
}

/// A block, so many milliseconds behind the beginning of its cluster.
fn write_block(kind: TrackKind, block: &WaitingBlock, ms: u64, out: &mut Vec<u8>) {
    let number = match kind {
        TrackKind::Pictures => PICTURES_NUMBER,
        TrackKind::Sound => SOUND_NUMBER,
    };
    let is_key = block.is_key || kind == TrackKind::Sound;
    // A cluster lasts no longer than that.
    let ms = u16::try_from(ms).unwrap_or(u16::MAX).to_be_bytes();
    out.push(0xa3);
    push_length(4 + block.content.len(), out);
    out.extend([0x80 | number, ms[0], ms[1], if is_key { 0x80 } else { 0 }]);
    out.extend(&*block.content);
}
