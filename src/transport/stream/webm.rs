//! A track of a video channel as a live WebM, for `<video src>`, video players and `curl > clip.webm`. What slow readers are
//! spared is decided as for every viewer, before it comes here.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use actix_web::web::Bytes;

use crate::auth::request::Query;
use crate::http::ApiError;
use crate::hub::{AppState, Outbox, Transport, Written};
use crate::protocol::{BinaryMessage, ChannelName, Form, TrackKind, TrackName};
use crate::video::{TrackRequest, WebmEnd, WebmPictures, WebmSound, WebmTracks, WebmWriter};

use super::body::{Opening, StreamEncoder};

/// Bytes with which a chunk is long enough.
const CHUNK_BYTES: usize = 16 * 1024;

/// Writes the tracks that were asked for.
pub(super) struct Webm {
    app: Arc<AppState>,
    channel: ChannelName,
    writer: RefCell<WebmWriter>,
}

impl Webm {
    pub(super) fn new(app: &Arc<AppState>, channel: &ChannelName, tracks: WebmTracks) -> Self {
        let (app, channel) = (Arc::clone(app), channel.clone());
        Webm { app, channel, writer: RefCell::new(WebmWriter::new(tracks)) }
    }

    /// Whether the channel carries tracks, as it did in the beginning. Where it does not what comes is no film any more.
    fn has_tracks(&self) -> bool {
        self.app.app().video(&self.channel).is_some()
    }
}

/// What a request asks for of the tracks that there are: `event` and `track` name the pictures, `sound` the event of their
/// sound, or that it is not wanted.
pub(super) fn wanted(query: &Query, there_are: &[(TrackKind, Arc<TrackName>)]) -> WebmTracks {
    let track: Option<Box<str>> = query.get("track").map(Into::into);
    let of_kind =
        |kind: TrackKind| there_are.iter().filter(move |(known, _)| *known == kind).map(|(_, name)| name);
    let has_track = |name: &TrackName| track.as_ref().is_none_or(|track| *track == name.track);
    let known = of_kind(TrackKind::Pictures).find(|name| has_track(name));
    let pictures = match (query.get("event"), known, track) {
        (Some(event), _, track) => {
            WebmPictures::Of(TrackRequest { event: event.into(), track: track.unwrap_or_default() })
        }
        (None, Some(known), _) => WebmPictures::Of(TrackRequest::of(known)),
        (None, None, Some(track)) => WebmPictures::Named(track),
        (None, None, None) => WebmPictures::First,
    };
    let sound = match (query.get("sound"), &pictures) {
        (Some("none"), _) => WebmSound::Silent,
        (Some(event), _) => {
            let track = query.get("track").unwrap_or_default();
            WebmSound::Of(TrackRequest { event: event.into(), track: track.into() })
        }
        (None, WebmPictures::Of(pictures)) => {
            let is_beside = |name: &&Arc<TrackName>| name.track == pictures.track;
            let beside = || of_kind(TrackKind::Sound).filter(is_beside);
            let sound = beside().find(|name| name.event == pictures.event).or_else(|| beside().next());
            match sound {
                Some(name) => WebmSound::Of(TrackRequest::of(name)),
                // Nothing has come so far, and what will cannot be known.
                None if there_are.is_empty() => WebmSound::Any,
                None => WebmSound::Silent,
            }
        }
        (None, WebmPictures::First | WebmPictures::Named(_)) => WebmSound::Any,
    };
    WebmTracks { pictures, sound }
}

impl Transport for Webm {
    fn form(&self) -> Form {
        Form::Binary
    }

    fn is_stream(&self) -> bool {
        true
    }

    fn write(&self, outbox: &mut Outbox, context: &mut Context<'_>) -> io::Result<Written> {
        let mut writer = self.writer.borrow_mut();
        if !self.has_tracks() {
            writer.lose_channel();
        }
        while writer.ready_bytes() < CHUNK_BYTES && writer.over().is_none() {
            let Some(frame) = outbox.pop() else { break };
            if frame.is_binary()
                && let Ok(message) = BinaryMessage::parse(frame.payload())
            {
                writer.take(&message, self.app.clock().now());
            }
        }
        if writer.ready_bytes() == 0 && writer.over().is_none() {
            return Ok(Written::Everything);
        }
        context.waker().wake_by_ref();
        Ok(Written::Blocked)
    }
}

impl StreamEncoder for Webm {
    fn content_type(&self) -> &'static str {
        "video/webm"
    }

    fn opening(&self, _: &ChannelName) -> Bytes {
        Bytes::new()
    }

    fn begins(&self) -> Opening {
        let writer = self.writer.borrow();
        match writer.over() {
            _ if writer.has_begun() => Opening::Now,
            Some(WebmEnd::Codec(codec)) => Opening::Never(ApiError::TrackCodec(codec.clone())),
            _ if !self.has_tracks() => Opening::Never(ApiError::NoVideoChannel),
            _ => Opening::Later,
        }
    }

    fn pass(&self, now: Instant) {
        let mut writer = self.writer.borrow_mut();
        writer.pass(now);
        if !self.has_tracks() {
            writer.lose_channel();
        }
    }

    fn next(&self) -> Option<Bytes> {
        self.writer.borrow_mut().take_ready().map(Bytes::from)
    }

    fn is_over(&self) -> Option<String> {
        self.writer.borrow().over().map(WebmEnd::to_string)
    }

    fn heartbeat(&self) -> Option<Bytes> {
        self.writer.borrow().nothing().map(Bytes::from_static)
    }

    fn ending(&self, _: u16, _: &str) -> Option<Bytes> {
        let mut writer = self.writer.borrow_mut();
        writer.finish();
        writer.take_ready().map(Bytes::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(kind: TrackKind, event: &str, track: &str) -> (TrackKind, Arc<TrackName>) {
        let channel = ChannelName::parse("camera", 164).unwrap();
        (kind, Arc::new(TrackName { channel, event: event.into(), track: track.into() }))
    }

    #[test]
    fn pictures_come_with_the_sound_that_belongs_to_them() {
        use TrackKind::{Pictures, Sound};
        let there_are = [
            name(Sound, "voice", ""),
            name(Pictures, "video", ""),
            name(Sound, "video", ""),
            name(Pictures, "video", "left"),
            name(Sound, "music", "left"),
            name(Pictures, "screen", "right"),
        ];
        let request =
            |(event, track): (&str, &str)| TrackRequest { event: event.into(), track: track.into() };
        let of = |named| WebmPictures::Of(request(named));
        for (query, pictures, sound) in [
            ("", ("video", ""), Some(("video", ""))),
            ("event=screen", ("screen", ""), Some(("voice", ""))),
            ("track=left", ("video", "left"), Some(("music", "left"))),
            ("event=screen&track=right", ("screen", "right"), None),
            ("event=video&sound=voice", ("video", ""), Some(("voice", ""))),
            ("sound=none", ("video", ""), None),
            ("event=new", ("new", ""), Some(("voice", ""))),
        ] {
            let sound = sound.map_or(WebmSound::Silent, |sound| WebmSound::Of(request(sound)));
            let expected = WebmTracks { pictures: of(pictures), sound };
            assert_eq!(wanted(&Query::parse(query), &there_are), expected, "{query}");
        }
        let any = |pictures| WebmTracks { pictures, sound: WebmSound::Any };
        assert_eq!(wanted(&Query::parse(""), &[]), any(WebmPictures::First));
        let right = any(WebmPictures::Named("right".into()));
        assert_eq!(wanted(&Query::parse("track=right"), &there_are[..3]), right, "it is waited for");
    }
}
