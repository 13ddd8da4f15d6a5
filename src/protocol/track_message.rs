//! What a binary message of a track says of itself, on a video channel: `docs/video.md` is the specification.
//!
//! A track is a camera's pictures or its sound. The broker looks into neither; all that it has to know is here.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use indexmap::IndexMap;
use serde_json::value::RawValue;

use super::json::push_string;
use super::{BinaryPayload, ChannelName, json, quote};

/// The largest integer that every JavaScript engine holds exactly.
const MOST: i64 = (1 << 53) - 1;

/// Bytes of a name of a track, and of what a publisher calls itself.
pub(crate) const TRACK_NAME_BYTES: usize = 64;

/// Bytes of a codec's name.
const CODEC_BYTES: usize = 127;

/// Bytes of the base64 of a decoder's description: real ones have some dozens.
const DESCRIPTION_BYTES: usize = 16 * 1024;

/// The member that proves who films. Viewers are not told it.
const PUBLISHER: &str = "publisher";

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrackKind {
    /// Frames, most of which need those before them.
    Pictures,
    /// Pieces, each of which can be decoded by itself.
    Sound,
}

impl TrackKind {
    /// The kind that messages of this media type are of; none if they are ordinary events.
    pub fn of(media_type: &str) -> Option<Self> {
        let (kind, _) = media_type.split_once('/')?;
        if kind.eq_ignore_ascii_case("video") {
            Some(TrackKind::Pictures)
        } else {
            kind.eq_ignore_ascii_case("audio").then_some(TrackKind::Sound)
        }
    }
}

/// Which of the sequences of a track, that show the same in two sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rendition {
    /// As large as the publisher makes it. Sound has no other.
    #[default]
    Full,
    /// For those whose line takes no more.
    Small,
}

impl Rendition {
    /// Both.
    pub const ALL: [Rendition; 2] = [Rendition::Full, Rendition::Small];

    /// What messages call it.
    pub const fn name(self) -> &'static str {
        match self {
            Rendition::Full => "full",
            Rendition::Small => "small",
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Rendition {
        match self {
            Rendition::Full => Rendition::Small,
            Rendition::Small => Rendition::Full,
        }
    }
}

/// What tells a track from others of the app.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TrackName {
    /// Its channel.
    pub channel: ChannelName,
    /// The name of its events.
    pub event: Box<str>,
    /// Its own name; empty where there is only one of those events, as a rule.
    pub track: Box<str>,
}

/// A message of a track, as far as the broker has to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackMessage {
    /// What is in it.
    pub kind: TrackKind,
    /// Which message of its track and rendition it is.
    pub sequence: u64,
    /// Microseconds of the publisher's clock.
    pub timestamp: i64,
    /// A decoder can begin with it.
    pub is_key: bool,
    /// Which of the track's sequences it belongs to.
    pub rendition: Rendition,
    /// No other frame refers to it.
    pub is_upper_layer: bool,
    /// The track's own name; empty if it has none.
    pub track: Box<str>,
    /// What the publisher calls itself.
    pub publisher: Option<Box<str>>,
}

/// A message that is on its way to viewers: which track of the node it is of, and where in that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackFrame {
    /// What tells the track from all that there were on this node, also from one of the same name before it.
    pub id: u64,
    /// Which message of the node it is, of all tracks: later ones have larger numbers.
    pub version: u64,
    /// The track's name.
    pub name: Arc<TrackName>,
    /// What is in it.
    pub kind: TrackKind,
    /// Which message of its track and rendition it is.
    pub sequence: u64,
    /// A decoder can begin with it.
    pub is_key: bool,
    /// Which of the track's sequences it belongs to.
    pub rendition: Rendition,
    /// No other frame refers to it.
    pub is_upper_layer: bool,
}

/// A message that is none of a track although it says so. The text is part of the `pusher:error` that it is answered with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTrackMessage {
    /// A member is missing.
    #[error("expected the member \"{0}\", got none")]
    Missing(&'static str),
    /// A member is not what it should be.
    #[error("expected the member \"{member}\" to be {expected}, got {got}")]
    Member {
        /// Which one.
        member: &'static str,
        /// What it should be.
        expected: &'static str,
        /// Its beginning.
        got: String,
    },
    /// Its members cannot be read.
    #[error("expected members, a JSON object, got something else")]
    Unreadable,
}

impl TrackMessage {
    /// Reads what a binary message says of itself. `None` if it is of no track.
    ///
    /// # Errors
    /// If it is of one and does not say what it must.
    pub fn read(payload: &BinaryPayload<'_>) -> Result<Option<Self>, InvalidTrackMessage> {
        TrackKind::of(payload.media_type())
            .map(|kind| Self::read_members(kind, payload.members()))
            .transpose()
    }

    fn read_members(kind: TrackKind, members: &str) -> Result<Self, InvalidTrackMessage> {
        let names =
            ["sequence", "timestamp", "key", "config", "duration", "rendition", "layer", "track", PUBLISHER];
        let members = if members.is_empty() { "{}" } else { members };
        let found = json::members(members, names).map_err(|_| InvalidTrackMessage::Unreadable)?;
        let [sequence, timestamp, key, config, duration, rendition, layer, track, publisher] = found;
        let sequence = required("sequence", sequence)?;
        let sequence = integer("sequence", sequence, 0..=MOST, "an integer from 0 to 2^53 - 1")?;
        let timestamp = required("timestamp", timestamp)?;
        let timestamp = integer("timestamp", timestamp, -MOST..=MOST, "an integer, microseconds")?;
        if let Some(duration) = duration {
            integer("duration", duration, 0..=MOST, "an integer, microseconds")?;
        }
        let is_key = key.map_or(Ok(false), |key| boolean("key", key))?;
        if is_key {
            check_config(kind, required("config", config)?)?;
        }
        let has_pictures = kind == TrackKind::Pictures;
        let rendition = rendition.filter(|_| has_pictures).map_or(Ok(Rendition::Full), read_rendition)?;
        let layer = layer.filter(|_| has_pictures);
        let is_upper_layer = layer.map_or(Ok(false), |layer| read_layer(layer, is_key))?;
        let track = track.map_or(Ok(Box::default()), |track| name("track", track))?;
        // An empty one is nobody's own.
        let publisher = publisher.map(|publisher| name(PUBLISHER, publisher)).transpose()?;
        let publisher = publisher.filter(|publisher| !publisher.is_empty());
        // It is none below 0.
        let sequence = sequence.unsigned_abs();
        Ok(TrackMessage { kind, sequence, timestamp, is_key, rendition, is_upper_layer, track, publisher })
    }
}

/// The same payload without what proves who films; none if there is nothing of that in it.
pub(crate) fn without_publisher<'p>(payload: &'p BinaryPayload<'_>) -> Option<BinaryPayload<'p>> {
    let members = payload.members();
    let [publisher] = json::members(members, [PUBLISHER]).ok()?;
    publisher?;
    let mut members = serde_json::from_str::<IndexMap<Cow<'_, str>, &RawValue>>(members).ok()?;
    members.shift_remove(PUBLISHER);
    let mut text = String::from("{");
    for (name, value) in members {
        if text.len() > 1 {
            text.push(',');
        }
        push_string(&name, &mut text);
        text.push(':');
        text.push_str(value.get());
    }
    text.push('}');
    Some(payload.with_members(text))
}

fn required<'m>(
    member: &'static str,
    value: Option<&'m RawValue>,
) -> Result<&'m RawValue, InvalidTrackMessage> {
    value.ok_or(InvalidTrackMessage::Missing(member))
}

fn wrong(member: &'static str, expected: &'static str, got: &RawValue) -> InvalidTrackMessage {
    InvalidTrackMessage::Member { member, expected, got: quote(got.get()).into_owned() }
}

fn integer(
    member: &'static str,
    value: &RawValue,
    range: RangeInclusive<i64>,
    expected: &'static str,
) -> Result<i64, InvalidTrackMessage> {
    let read = value.get().parse::<i64>().ok().filter(|number| range.contains(number));
    read.ok_or_else(|| wrong(member, expected, value))
}

fn boolean(member: &'static str, value: &RawValue) -> Result<bool, InvalidTrackMessage> {
    match value.get() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(wrong(member, "true or false", value)),
    }
}

fn text<'m>(
    member: &'static str,
    value: &'m RawValue,
    bytes: RangeInclusive<usize>,
    expected: &'static str,
) -> Result<Cow<'m, str>, InvalidTrackMessage> {
    let text = json::as_string(value).filter(|text| bytes.contains(&text.len()));
    text.ok_or_else(|| wrong(member, expected, value))
}

fn name(member: &'static str, value: &RawValue) -> Result<Box<str>, InvalidTrackMessage> {
    text(member, value, 0..=TRACK_NAME_BYTES, "a text of at most 64 bytes").map(Into::into)
}

fn read_rendition(value: &RawValue) -> Result<Rendition, InvalidTrackMessage> {
    let name = json::as_string(value);
    let named = Rendition::ALL.into_iter().find(|rendition| name.as_deref() == Some(rendition.name()));
    named.ok_or_else(|| wrong("rendition", "\"full\" or \"small\"", value))
}

fn read_layer(value: &RawValue, is_key: bool) -> Result<bool, InvalidTrackMessage> {
    match (value.get(), is_key) {
        ("0", _) => Ok(false),
        ("1", false) => Ok(true),
        ("1", true) => Err(wrong("layer", "0, as this is a key frame", value)),
        _ => Err(wrong("layer", "0 or 1", value)),
    }
}

/// Checks a decoder's configuration.
fn check_config(kind: TrackKind, config: &RawValue) -> Result<(), InvalidTrackMessage> {
    let names = ["codec", "description", "rotation", "flip"];
    let object = json::members(config.get(), names);
    let [codec, description, rotation, flip] =
        object.map_err(|_| wrong("config", "an object, the decoder's configuration", config))?;
    text("config.codec", required("config.codec", codec)?, 1..=CODEC_BYTES, "a text of 1 to 127 bytes")?;
    // They have been read once.
    let sizes = |names| json::members(config.get(), names).map_err(|_| InvalidTrackMessage::Unreadable);
    match kind {
        TrackKind::Pictures => {
            let [width, height] = sizes(["codedWidth", "codedHeight"])?;
            for (name, size) in [("config.codedWidth", width), ("config.codedHeight", height)] {
                integer(name, required(name, size)?, 1..=16_384, "an integer from 1 to 16384")?;
            }
        }
        TrackKind::Sound => {
            let [rate, channels] = sizes(["sampleRate", "numberOfChannels"])?;
            let rate = required("config.sampleRate", rate)?;
            integer("config.sampleRate", rate, 1..=768_000, "an integer from 1 to 768000")?;
            let channels = required("config.numberOfChannels", channels)?;
            integer("config.numberOfChannels", channels, 1..=255, "an integer from 1 to 255")?;
        }
    }
    if let Some(description) = description {
        const EXPECTED: &str = "base64, at most 16 KiB of it";
        let base64 = text("config.description", description, 0..=DESCRIPTION_BYTES, EXPECTED)?;
        if STANDARD.decode(base64.as_bytes()).is_err() {
            return Err(wrong("config.description", EXPECTED, description));
        }
    }
    if let Some(rotation) = rotation
        && !["0", "90", "180", "270"].contains(&rotation.get())
    {
        return Err(wrong("config.rotation", "0, 90, 180 or 270", rotation));
    }
    flip.map_or(Ok(false), |flip| boolean("config.flip", flip)).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(media_type: &str, members: &str) -> Result<Option<TrackMessage>, String> {
        let payload = BinaryPayload::new(media_type, members, b"content").unwrap();
        TrackMessage::read(&payload).map_err(|fault| fault.to_string())
    }

    const KEY: &str = r#"{"sequence":7,"timestamp":-3,"key":true,"track":"left","publisher":"p","rendition":"small","duration":1,
        "config":{"codec":"avc1.640028","codedWidth":640,"codedHeight":360,"description":"AWQ=","rotation":90,"flip":true}}"#;

    #[test]
    fn a_message_of_a_track_says_what_it_is() {
        let key = read("video/webcodecs", KEY).unwrap().unwrap();
        let expected = TrackMessage {
            kind: TrackKind::Pictures,
            sequence: 7,
            timestamp: -3,
            is_key: true,
            rendition: Rendition::Small,
            is_upper_layer: false,
            track: "left".into(),
            publisher: Some("p".into()),
        };
        assert_eq!(key, expected);
        let delta = read("VIDEO/vp8", r#"{"sequence":8,"timestamp":1,"layer":1}"#).unwrap().unwrap();
        assert_eq!((delta.is_key, delta.is_upper_layer, delta.rendition), (false, true, Rendition::Full));
        let sound = r#"{"sequence":0,"timestamp":0,"key":true,"layer":"ignored",
            "config":{"codec":"opus","sampleRate":48000,"numberOfChannels":2}}"#;
        assert_eq!(read("audio/webcodecs", sound).unwrap().unwrap().kind, TrackKind::Sound);
        assert_eq!(read("image/jpeg", "{}"), Ok(None), "an ordinary event");
        assert_eq!(read("image/video", ""), Ok(None));
    }

    #[test]
    fn what_proves_who_films_is_taken_out_whatever_it_is_written_like() {
        let without = |members| {
            let payload = BinaryPayload::new("video/x", members, b"content").unwrap();
            without_publisher(&payload).map(|payload| {
                assert_eq!((payload.media_type(), payload.content()), ("video/x", &b"content"[..]));
                payload.members().to_owned()
            })
        };
        assert_eq!(without(r#"{"sequence":1,"track":"a"}"#), None);
        assert_eq!(without(""), None);
        for members in [
            r#"{"sequence":1,"publisher":"secret","note":{"publisher": 1}}"#,
            r#"{"sequence":1,"publisher":"x","\u0070ublisher":"secret","note":{"publisher": 1}}"#,
            r#"{ "publisher" : null, "sequence":1, "note":{"publisher": 1}, "publisher":"secret"}"#,
        ] {
            let stripped = without(members);
            assert_eq!(stripped.as_deref(), Some(r#"{"sequence":1,"note":{"publisher": 1}}"#), "{members}");
        }
    }

    #[test]
    fn a_fault_names_the_member_and_what_came() {
        let faults = [
            ("", "expected the member \"sequence\", got none"),
            (
                r#"{"sequence":-1}"#,
                "expected the member \"sequence\" to be an integer from 0 to 2^53 - 1, got -1",
            ),
            (r#"{"sequence":9007199254740992}"#, "2^53 - 1, got 9007199254740992"),
            (r#"{"sequence":1}"#, "expected the member \"timestamp\", got none"),
            (r#"{"sequence":1,"timestamp":1.5}"#, "an integer, microseconds, got 1.5"),
            (r#"{"sequence":1,"timestamp":1,"key":1}"#, "\"key\" to be true or false, got 1"),
            (r#"{"sequence":1,"timestamp":1,"key":true}"#, "expected the member \"config\", got none"),
            (r#"{"sequence":1,"timestamp":1,"key":true,"config":[]}"#, "\"config\" to be an object"),
            (r#"{"sequence":1,"timestamp":1,"key":true,"config":{}}"#, "\"config.codec\", got none"),
            (
                r#"{"sequence":1,"timestamp":1,"key":true,"config":{"codec":"vp8","codedWidth":0,"codedHeight":1}}"#,
                "\"config.codedWidth\" to be an integer from 1 to 16384, got 0",
            ),
            (r#"{"sequence":1,"timestamp":1,"layer":2}"#, "\"layer\" to be 0 or 1, got 2"),
            (r#"{"sequence":1,"timestamp":1,"rendition":"huge"}"#, "\"full\" or \"small\", got \"huge\""),
            (
                r#"{"sequence":1,"timestamp":1,"track":7}"#,
                "\"track\" to be a text of at most 64 bytes, got 7",
            ),
        ];
        for (members, expected) in faults {
            let fault = read("video/webcodecs", members).unwrap_err();
            assert!(fault.contains(expected), "{members}: {fault}");
        }
        let wrong =
            |change: (&str, &str)| read("video/webcodecs", &KEY.replace(change.0, change.1)).unwrap_err();
        assert!(wrong(("AWQ=", "?")).contains("config.description"));
        assert!(wrong((":90", ":45")).contains("config.rotation"));
        assert!(wrong((":true}}", ":0}}")).contains("config.flip"));
        assert!(wrong(("\"duration\":1", "\"layer\":1")).contains("0, as this is a key frame, got 1"));
        assert!(
            read("audio/x", r#"{"sequence":1,"timestamp":1,"key":true,"config":{"codec":"opus"}}"#)
                .unwrap_err()
                .contains("config.sampleRate")
        );
    }
}
