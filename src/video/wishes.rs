//! What a viewer has said that it wants to be sent: `pusher:track_wanted`, and `pusher:keyframe_wanted`.

use serde_json::value::RawValue;

use crate::protocol::{ChannelName, TRACK_NAME_BYTES, TrackKind, TrackName, json, quote};

/// Tracks of one channel of which a viewer may want something else than of the channel.
const MOST_NAMED: usize = 16;

/// The same of all channels together.
const MOST_NAMED_IN_ALL: usize = 64;

/// What a viewer wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrackWish {
    /// The best that its line takes.
    #[default]
    Full,
    /// Never more than the small rendition.
    Small,
    /// A picture now and then, and no frames.
    Stills,
    /// Nothing.
    Nothing,
}

impl TrackWish {
    const NAMES: [(&str, TrackWish); 4] = [
        ("full", TrackWish::Full),
        ("small", TrackWish::Small),
        ("stills", TrackWish::Stills),
        ("none", TrackWish::Nothing),
    ];

    /// Whether it wants frames.
    pub(super) fn is_of_frames(self) -> bool {
        matches!(self, TrackWish::Full | TrackWish::Small)
    }
}

/// A track that a viewer names: the name of its events, and its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackRequest {
    /// The name of its events.
    pub event: Box<str>,
    /// Its own name; empty if it has none.
    pub track: Box<str>,
}

/// What a viewer has said cannot be understood. The text is part of the `pusher:error` that it is answered with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidWish {
    /// There is no object in it.
    #[error("expected data to be an object")]
    NoObject,
    /// A member is not what it should be.
    #[error("expected {0} to be {1}, got {2}")]
    Member(&'static str, &'static str, String),
    /// It wants too much that is particular.
    #[error(
        "expected wishes for at most {MOST_NAMED} tracks of a channel, and {MOST_NAMED_IN_ALL} in all, got another one"
    )]
    TooMany,
}

impl TrackRequest {
    /// The track that is named in the data of a message; none if it names none. Names of events have so many characters at most.
    ///
    /// # Errors
    /// If it is no name, or none that there can be.
    pub(crate) fn read(data: Option<&RawValue>, event_chars: usize) -> Result<Option<Self>, InvalidWish> {
        let [event, track] = read_members(data, ["event", "track"])?;
        let name = |member, value: Option<&RawValue>| match value {
            None => Ok(None),
            Some(value) => match json::as_string(value) {
                Some(name) => Ok(Some(Box::<str>::from(name))),
                None => Err(wrong(member, "a text", Some(value))),
            },
        };
        let (event, track) = (name("event", event)?, name("track", track)?);
        if let Some(event) = event.as_deref().filter(|event| event.chars().count() > event_chars) {
            let got = format!("{} characters", event.chars().count());
            return Err(InvalidWish::Member("event", "the name of an event", got));
        }
        if let Some(track) = track.as_deref().filter(|track| track.len() > TRACK_NAME_BYTES) {
            let got = format!("{} bytes", track.len());
            return Err(InvalidWish::Member("track", "at most 64 bytes", got));
        }
        match (event, track) {
            (Some(event), track) => Ok(Some(TrackRequest { event, track: track.unwrap_or_default() })),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(wrong("event", "the name of the track's events", None)),
        }
    }

    /// What names this track.
    pub(crate) fn of(name: &TrackName) -> Self {
        TrackRequest { event: name.event.clone(), track: name.track.clone() }
    }

    /// Whether it is this track that is named.
    pub(super) fn is_of(&self, name: &TrackName) -> bool {
        *self.event == *name.event && *self.track == *name.track
    }
}

impl TrackWish {
    /// What is wanted, by the data of a message.
    ///
    /// # Errors
    /// If it does not say that.
    pub(crate) fn read(data: Option<&RawValue>) -> Result<Self, InvalidWish> {
        let [wanted] = read_members(data, ["wanted"])?;
        let name = wanted.and_then(json::as_string);
        let wish = Self::NAMES.into_iter().find(|(known, _)| name.as_deref() == Some(known));
        let wish = wish.map(|(_, wish)| wish);
        wish.ok_or_else(|| wrong("wanted", "\"full\", \"small\", \"stills\" or \"none\"", wanted))
    }
}

fn read_members<'m, const N: usize>(
    data: Option<&'m RawValue>,
    names: [&str; N],
) -> Result<[Option<&'m RawValue>; N], InvalidWish> {
    json::members(data.ok_or(InvalidWish::NoObject)?.get(), names).map_err(|_| InvalidWish::NoObject)
}

fn wrong(member: &'static str, expected: &'static str, got: Option<&RawValue>) -> InvalidWish {
    let got = got.map_or("none".into(), |got| quote(got.get()).into_owned());
    InvalidWish::Member(member, expected, got)
}

/// What a viewer wants of one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChannelWishes {
    pub(super) channel: ChannelName,
    of_all: TrackWish,
    named: Vec<(TrackRequest, TrackWish)>,
}

impl ChannelWishes {
    /// All of it.
    pub(super) fn of(channel: &ChannelName) -> Self {
        ChannelWishes { channel: channel.clone(), of_all: TrackWish::Full, named: Vec::new() }
    }

    /// Tracks of which it wants something of their own.
    pub(super) fn named(&self) -> usize {
        self.named.len()
    }

    /// From now on it wants this. Of so many tracks of all channels together it wants something of their own.
    ///
    /// # Errors
    /// If that is one too many.
    pub(super) fn set(
        &mut self,
        of: Option<TrackRequest>,
        wish: TrackWish,
        in_all: usize,
    ) -> Result<(), InvalidWish> {
        let Some(of) = of else {
            self.of_all = wish;
            return Ok(());
        };
        match self.named.iter().position(|(known, _)| *known == of) {
            Some(at) => self.named[at].1 = wish,
            None if self.named.len() < MOST_NAMED && in_all < MOST_NAMED_IN_ALL => {
                self.named.push((of, wish));
            }
            None => return Err(InvalidWish::TooMany),
        }
        Ok(())
    }

    /// What it wants of the channel.
    pub(super) fn of_all(&self) -> TrackWish {
        self.of_all
    }

    /// What it wants of a track of pictures.
    pub(super) fn of_pictures(&self, name: &TrackName) -> TrackWish {
        self.of_named(name).unwrap_or(self.of_all)
    }

    /// Whether it wants a track of sound.
    pub(super) fn is_of_sound(&self, name: &TrackName) -> bool {
        self.of_named(name) != Some(TrackWish::Nothing)
    }

    /// Whether others want something else of a track.
    pub(super) fn differs(&self, others: &ChannelWishes, name: &TrackName, kind: TrackKind) -> bool {
        match kind {
            TrackKind::Pictures => self.of_pictures(name) != others.of_pictures(name),
            TrackKind::Sound => self.is_of_sound(name) != others.is_of_sound(name),
        }
    }

    fn of_named(&self, name: &TrackName) -> Option<TrackWish> {
        self.named.iter().find(|(named, _)| named.is_of(name)).map(|(_, wish)| *wish)
    }
}
