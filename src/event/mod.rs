//! An event on its way: where it came from, what it says, whom it is for, and which backends want to hear of it.
//!
//! Whoever accepts an event (a connection, the HTTP API, a pipe) makes an [`AcceptedEvent`] of it when it has been checked
//! in every part, and hands it to the hub. Everybody behind that is given the same value. It is pure.

mod backend_demand;
mod consumer_group;
mod notification_filter;
mod notification_kind;
mod publish_id;
mod published;
mod source;

pub(crate) use backend_demand::{BackendDemand, BackendWish};
pub(crate) use consumer_group::{ConsumerGroup, GroupBy, rendezvous_weight};
pub(crate) use notification_filter::{Glob, NotificationFilter};
pub(crate) use notification_kind::NotificationKind;
pub(crate) use publish_id::{InvalidPublishId, PublishFingerprint, PublishId};
pub(crate) use published::{BackendCall, PublishedEvent};
pub(crate) use source::ForwardedFrom;
pub use source::Source;

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::protocol::json::Data;
use crate::protocol::{ChannelName, Frame, SocketId, TrackKind, server_message};

/// An event that was accepted: it is going to be sent, and nothing about it is in doubt any more.
#[derive(Clone, Debug)]
pub struct AcceptedEvent<'a> {
    /// Where it came from.
    pub source: Source,
    /// Whom it is for.
    pub to: Destination,
    /// The `event` of the message that subscribers are sent.
    pub name: Cow<'a, str>,
    /// The payload as subscribers are sent it. Sending it on costs no parsing.
    pub data: Data<'a>,
    /// The payload as a client sent it: any JSON value. `None` for a binary message, and for what no client sent: its
    /// payload is text.
    pub raw: Option<&'a RawValue>,
}

/// Whom an event is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The subscribers of a channel.
    Subscribers {
        /// Whose subscribers are sent the event.
        channel: ChannelName,
        /// The connection that is not sent it.
        except: Option<SocketId>,
    },
    /// The app's listeners alone: no client is sent it.
    Listeners {
        /// The channel that its sender named, and is subscribed to.
        channel: Option<ChannelName>,
    },
    /// One connection, on no channel.
    Connection(SocketId),
}

impl<'a> AcceptedEvent<'a> {
    /// An event that a pipe sends.
    pub fn of_pipe(to: Destination, name: &'a str, data: Data<'a>) -> Self {
        AcceptedEvent { source: Source::Pipe, to, name: Cow::Borrowed(name), data, raw: None }
    }

    /// The channel that it is on; none if it is for one connection, or if a client sent it on none.
    pub fn channel(&self) -> Option<&ChannelName> {
        self.to.channel()
    }

    /// Whether it came as a message of a track, by its media type.
    pub(crate) fn is_of_track(&self) -> bool {
        self.data.as_binary().is_some_and(|binary| TrackKind::of(binary.media_type()).is_some())
    }

    /// The frame that subscribers of `channel` are sent: a binary message if it came as one.
    pub fn frame_on(&self, channel: &ChannelName) -> Frame {
        let user_id = self.source.user_id().map(|user_id| &**user_id);
        match self.data.as_binary() {
            None => server_message::channel_event(&self.name, &self.data, channel, user_id),
            Some(payload) => server_message::binary_event(&self.name, payload, channel, user_id),
        }
    }

    /// The same, for keeping. The payload as a client sent it is given up.
    pub fn into_owned(self) -> AcceptedEvent<'static> {
        let AcceptedEvent { source, to, name, data, raw: _ } = self;
        AcceptedEvent { source, to, name: Cow::Owned(name.into_owned()), data: data.into_owned(), raw: None }
    }
}

impl Destination {
    /// The channel that the event is on, or that the user's events come by.
    pub fn channel(&self) -> Option<&ChannelName> {
        match self {
            Destination::Subscribers { channel, .. } => Some(channel),
            Destination::Listeners { channel } => channel.as_ref(),
            Destination::Connection(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::BinaryPayload;

    fn channel() -> ChannelName {
        ChannelName::parse("room", 164).unwrap()
    }

    fn event(source: Source, data: Data<'_>) -> AcceptedEvent<'_> {
        let to = Destination::Subscribers { channel: channel(), except: None };
        AcceptedEvent { source, to, name: "e".into(), data, raw: None }
    }

    #[test]
    fn subscribers_are_told_the_member_that_sent_it_and_nobody_else() {
        let text = |source| {
            let frame = event(source, Data::of_text("x")).frame_on(&channel());
            String::from_utf8(frame.json().to_vec()).unwrap()
        };
        let client = |user_id| Source::Client { socket_id: SocketId::new(1, 1), user_id };
        assert!(text(client(Some("ann".into()))).contains(r#""user_id":"ann""#));
        for source in [client(None), Source::Http, Source::Pipe] {
            assert!(!text(source).contains("user_id"));
        }
    }

    #[test]
    fn what_came_as_a_binary_message_goes_as_one() {
        let binary = BinaryPayload::new("image/png", "", b"picture").unwrap();
        assert!(event(Source::Pipe, Data::of_binary(binary)).frame_on(&channel()).is_binary());
        assert!(!event(Source::Pipe, Data::of_text("x")).frame_on(&channel()).is_binary());
    }
}
