//! What the holder of a track is told: that a key frame is wanted, and what has come.

use crate::protocol::json::{Data, push_string};
use crate::protocol::{ChannelName, Frame, Rendition, SocketId, TrackKind, server_message};

use super::holder::FilmingClient;

/// Something to be told to the client that holds a track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToFilmer {
    /// The client.
    pub(crate) socket: SocketId,
    channel: ChannelName,
    event: Box<str>,
    track: Box<str>,
    /// None of sound, which has but one.
    rendition: Option<Rendition>,
    what: FilmerNews,
}

/// What it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FilmerNews {
    /// The next frame should be a key frame.
    KeyframeWanted,
    /// This one has come, and nothing newer.
    Received { sequence: u64, timestamp: i64 },
}

impl ToFilmer {
    pub(super) fn new(
        holder: &FilmingClient,
        track: &str,
        (kind, rendition): (TrackKind, Rendition),
        what: FilmerNews,
    ) -> Self {
        ToFilmer {
            socket: holder.socket,
            channel: holder.channel.clone(),
            event: holder.event.clone(),
            track: track.into(),
            rendition: (kind == TrackKind::Pictures).then_some(rendition),
            what,
        }
    }

    /// Whether it asks for a key frame.
    pub(crate) fn is_request(&self) -> bool {
        self.what == FilmerNews::KeyframeWanted
    }

    /// The event that says it.
    pub(crate) fn frame(&self) -> Frame {
        let ToFilmer { channel, event, track, rendition, what, .. } = self;
        let mut text = String::from("{\"event\":");
        push_string(event, &mut text);
        if !track.is_empty() {
            text.push_str(",\"track\":");
            push_string(track, &mut text);
        }
        if let Some(rendition) = rendition {
            text.push_str(",\"rendition\":");
            push_string(rendition.name(), &mut text);
        }
        let name = match what {
            FilmerNews::KeyframeWanted => "pusher:keyframe_wanted",
            FilmerNews::Received { sequence, timestamp } => {
                text.push_str(&format!(",\"sequence\":{sequence},\"timestamp\":{timestamp}"));
                "pusher:frame_received"
            }
        };
        text.push('}');
        server_message::channel_event(name, &Data::of_text(&text), channel, None)
    }
}
