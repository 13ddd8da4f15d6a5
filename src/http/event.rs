//! What a publish request asks for: read and checked as a whole, before anything is sent.

use std::borrow::Cow;
use std::sync::Arc;

use indexmap::IndexSet;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::app::Limits;
use crate::auth::request::Query;
use crate::event::{AcceptedEvent, Destination, PublishedEvent, Source};
use crate::hub::{AppState, Hub, Receipts};
use crate::protocol::json::{self, Data};
use crate::protocol::{ChannelName, SocketId, WrittenSocketId, event_name, quote};

use super::ApiError;
use super::info::Info;

/// An event that may be published, to one channel after the other.
#[derive(Debug)]
pub(super) struct Publication<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) data: Data<'a>,
    pub(super) channels: IndexSet<ChannelName>,
    pub(super) except: Option<SocketId>,
    /// The same as it was written: it may be a connection of another server.
    written_except: Option<Cow<'a, str>>,
    pub(super) info: Option<Info>,
}

/// The parameters of an event as they came, from a JSON body or from a query.
#[derive(Debug, Default)]
pub(super) struct EventParameters<'a> {
    pub(super) name: Option<Cow<'a, str>>,
    pub(super) data: Option<Data<'a>>,
    pub(super) channels: Vec<Cow<'a, str>>,
    pub(super) socket_id: Option<Cow<'a, str>>,
    pub(super) info: Option<Cow<'a, str>>,
    /// An id of the publisher's own.
    pub(super) id: Option<Cow<'a, str>>,
}

/// Whether an event may name several channels.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Channels {
    /// `channels` or `channel`.
    Several,
    /// `channel` only.
    One,
}

impl<'a> EventParameters<'a> {
    /// Those of a JSON object.
    pub(super) fn of_json(text: &'a str, accepts: Channels) -> Result<Self, ApiError> {
        let names = ["name", "data", "channels", "channel", "socket_id", "info", "id"];
        let members = json::members(text, names).map_err(|error| ApiError::InvalidJson(error.to_string()))?;
        let [name, data, channels, channel, socket_id, info, id] =
            members.map(|m| m.filter(|v| !json::is_null(v)));
        let channels = match (accepts, channels, channel) {
            (Channels::Several, Some(channels), _) => list("channels", channels)?,
            (_, _, Some(channel)) => vec![string("channel", channel)?],
            (_, _, None) => Vec::new(),
        };
        let name = match name {
            Some(name) => Some(json::as_string(name).ok_or(event_name::InvalidEventName::NotAString)?),
            None => None,
        };
        Ok(EventParameters {
            name,
            data: data.map(Data::relay).transpose()?,
            channels,
            socket_id: socket_id.map(|value| string("socket_id", value)).transpose()?,
            info: info.map(|value| string("info", value)).transpose()?,
            id: id.and_then(text_id),
        })
    }

    /// Those of a query.
    pub(super) fn of_query(query: &'a Query) -> Self {
        let text = |name| query.get(name).map(Cow::Borrowed);
        let mut channels: Vec<_> =
            query.all("channels[]").chain(query.all("channels")).map(Cow::Borrowed).collect();
        if channels.is_empty() {
            channels.extend(text("channel"));
        }
        let data = query.get("data").map(Data::of_text);
        EventParameters {
            name: text("name"),
            data,
            channels,
            socket_id: text("socket_id"),
            info: text("info"),
            id: text("id"),
        }
    }

    /// What they ask for, if it may be published.
    pub(super) fn check(self, limits: &Limits) -> Result<Publication<'a>, ApiError> {
        let name = self.name.ok_or(event_name::InvalidEventName::NotAString)?;
        event_name::check_published(&name, limits.event_name_chars)?;
        let data = self.data.ok_or(ApiError::Missing("data"))?;
        let bytes = data.bytes();
        let limit = limits.event_payload_bytes;
        if bytes > limit {
            return Err(ApiError::DataTooLarge { limit, bytes });
        }
        if self.channels.is_empty() {
            return Err(ApiError::Missing("channel"));
        }
        let got = self.channels.len();
        let limit = limits.channels_per_event;
        if got > limit {
            return Err(ApiError::TooManyChannels { got, limit });
        }
        let parsed = self.channels.iter().map(|name| channel_name(name, limits));
        let channels = parsed.collect::<Result<_, _>>()?;
        let except = match &self.socket_id {
            Some(text) => WrittenSocketId::parse(text)
                .map_err(|error| ApiError::SocketId { error, got: quote(text).into_owned() })?
                .ours(),
            None => None,
        };
        let info = self.info.map(|text| Info::of_event(&text)).transpose()?;
        let written_except = self.socket_id;
        Ok(Publication { name, data, channels, except, written_except, info })
    }
}

impl Publication<'_> {
    /// Hands the hub its events: one for each channel.
    pub(super) fn publish(&self, hub: &Arc<Hub>, app: &Arc<AppState>, receipts: &mut Receipts) {
        for channel in &self.channels {
            let to = Destination::Subscribers { channel: channel.clone(), except: self.except };
            let (name, data) = (Cow::Borrowed(&*self.name), self.data.borrowed());
            let event = AcceptedEvent { source: Source::Http, to, name, data, raw: None };
            hub.accept_for_receipt(app, &event, receipts);
        }
    }

    /// The whole of it, for whoever hands it on.
    pub(super) fn as_published(&self) -> PublishedEvent<'_> {
        let Publication { name, data, channels, written_except, .. } = self;
        PublishedEvent { name, data, channels, except: written_except.as_deref() }
    }

    /// What `info` asks for, channel by channel.
    pub(super) fn attributes<'e>(
        &'e self,
        app: &'e AppState,
    ) -> impl Iterator<Item = (&'e ChannelName, Value)> {
        let info = self.info.unwrap_or_default();
        self.channels.iter().map(move |name| (name, info.of_published(app, name)))
    }
}

/// Parses a name that came in a request.
pub(crate) fn channel_name(name: &str, limits: &Limits) -> Result<ChannelName, ApiError> {
    ChannelName::parse(name, limits.channel_name_chars)
        .map_err(|reason| ApiError::ChannelName { name: on_one_line(name), reason })
}

/// A name as it is quoted in a text of one line.
fn on_one_line(name: &str) -> String {
    let name = quote(name);
    if name.chars().any(char::is_control) { name.escape_debug().to_string() } else { name.into_owned() }
}

/// What `id` says in a body. It is an id only as text: of another type it is passed over, as all were before there were ids.
pub(super) fn text_id(value: &RawValue) -> Option<Cow<'_, str>> {
    json::as_string(value)
}

fn string<'a>(parameter: &'static str, value: &'a RawValue) -> Result<Cow<'a, str>, ApiError> {
    json::as_string(value).ok_or(ApiError::WrongType { parameter, expected: "a string" })
}

fn list<'a>(parameter: &'static str, value: &'a RawValue) -> Result<Vec<Cow<'a, str>>, ApiError> {
    let wrong = || ApiError::WrongType { parameter, expected: "an array of strings" };
    let items: Vec<&RawValue> = serde_json::from_str(value.get()).map_err(|_| wrong())?;
    items.into_iter().map(|item| json::as_string(item).ok_or_else(wrong)).collect()
}
