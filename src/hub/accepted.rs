//! What the log tells of an accepted event, for whoever asks why no events arrive.

use tracing::debug;
use tracing::field::display;

use crate::protocol::json::Data;
use crate::protocol::{ChannelName, SocketId};

use super::{AppState, Heard, Publication, Source};

/// An event as the log tells it.
struct Accepted<'a> {
    channel: Option<&'a ChannelName>,
    event: &'a str,
    bytes: usize,
    source: &'static str,
    /// The client that sent it.
    socket_id: Option<SocketId>,
    /// The connection that it is for, if it is for one and on no channel.
    to: Option<SocketId>,
    /// Subscriptions that it goes to.
    subscriptions: usize,
}

/// Logs an event that a client or a backend sent, with the number of subscriptions that it goes to.
pub(super) fn tell(app: &AppState, publication: Option<&Publication<'_>>, heard: &Heard<'_>) {
    let (source, socket_id) = match &heard.source {
        Source::Http => ("http", None),
        Source::Client { socket_id, .. } => ("client", Some(*socket_id)),
    };
    let subscriptions = publication.map_or(0, |publication| subscriptions(app, publication));
    let (channel, event, bytes) = (heard.channel, heard.event, heard.data.bytes());
    log(app, &Accepted { channel, event, bytes, source, socket_id, to: None, subscriptions });
}

/// Logs an event that is announced to nobody.
pub(super) fn tell_unannounced(app: &AppState, publication: &Publication<'_>, source: &'static str) {
    let Publication { channel, event, data, .. } = *publication;
    let (bytes, subscriptions) = (data.bytes(), subscriptions(app, publication));
    let channel = Some(channel);
    log(app, &Accepted { channel, event, bytes, source, socket_id: None, to: None, subscriptions });
}

/// Logs an event that goes to one connection, on no channel.
pub(super) fn tell_of_one(
    app: &AppState,
    to: SocketId,
    (event, data): (&str, &Data<'_>),
    source: &'static str,
) {
    let (channel, bytes, to) = (None, data.bytes(), Some(to));
    log(app, &Accepted { channel, event, bytes, source, socket_id: None, to, subscriptions: 0 });
}

fn log(app: &AppState, accepted: &Accepted<'_>) {
    let Accepted { channel, event, bytes, source, socket_id, to, subscriptions } = *accepted;
    let (channel, socket_id, to) = (channel.map(display), socket_id.map(display), to.map(display));
    debug!(app = app.id(), channel, event, bytes, source, socket_id, to, subscriptions, "event accepted");
}

/// Those in the channel's entry, less the one that is excluded.
fn subscriptions(app: &AppState, publication: &Publication<'_>) -> usize {
    app.channels.get(publication.channel).map_or(0, |entry| {
        let subscribers = entry.subscribers();
        let excluded = publication.except.is_some_and(|except| subscribers.contains(except));
        subscribers.count() - usize::from(excluded)
    })
}
