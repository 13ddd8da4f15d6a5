//! What the holder of a track is told: that a key frame is wanted, and what has come.

use crate::protocol::json::{Data, push_string};
use crate::protocol::{ChannelName, Frame, Rendition, SocketId, TrackKind, TrackName, server_message};

use super::claim::FilmingClaim;
use super::holder::{FilmingClient, HolderPlace, OtherNode};
use super::wishes::TrackRequest;

/// Something to be told to the holder of a track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ToFilmer {
    /// To a client of this node.
    Client(ToClient),
    /// To the node that it is on.
    Node(OtherNode, KeyframesWanted),
    /// To a node where somebody else films: a client of this node does already. Or to all nodes: it does from now on.
    Claim(Option<OtherNode>, Box<FilmingClaim>),
}

/// Something to be told to the client that holds a track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToClient {
    /// The client.
    pub(crate) socket: SocketId,
    channel: ChannelName,
    event: Box<str>,
    track: Box<str>,
    /// None of sound, which has but one.
    rendition: Option<Rendition>,
    what: FilmerNews,
}

/// Key frames that viewers of a channel want who are on another node than the publisher: the nodes tell each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyframesWanted {
    /// The channel.
    pub(crate) channel: ChannelName,
    /// The track and the rendition; none if a node has viewers that knows of no track at all.
    pub(crate) of: Option<(TrackRequest, Rendition)>,
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
    /// It is for whoever is there. None if that one hears nothing of this: hooks and backends do not, and what has come of a track
    /// its publisher is told by its own node.
    pub(super) fn new(
        place: &HolderPlace,
        name: &TrackName,
        part: (TrackKind, Rendition),
        what: FilmerNews,
    ) -> Option<Self> {
        match (place, what) {
            (HolderPlace::Client(client), _) => {
                Some(ToFilmer::Client(ToClient::new(client, &name.track, part, what)))
            }
            (HolderPlace::Elsewhere(node), FilmerNews::KeyframeWanted) => {
                let of = Some((TrackRequest::of(name), part.1));
                Some(ToFilmer::Node(*node, KeyframesWanted { channel: name.channel.clone(), of }))
            }
            (HolderPlace::Elsewhere(_), FilmerNews::Received { .. }) | (HolderPlace::Backend, _) => None,
        }
    }
}

impl ToClient {
    fn new(
        holder: &FilmingClient,
        track: &str,
        (kind, rendition): (TrackKind, Rendition),
        what: FilmerNews,
    ) -> Self {
        ToClient {
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
        let ToClient { channel, event, track, rendition, what, .. } = self;
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
