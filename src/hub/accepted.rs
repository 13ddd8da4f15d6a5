//! What the log tells of an accepted event, for whoever asks why no events arrive.

use tracing::debug;
use tracing::field::display;

use super::{AppState, Heard, Publication, Source};

/// Logs an event that was accepted, with the number of subscriptions in the channel's entry that it goes to.
pub(super) fn tell(app: &AppState, publication: Option<&Publication<'_>>, heard: &Heard<'_>) {
    let subscriptions = publication.map_or(0, |publication| {
        app.channels.get(publication.channel).map_or(0, |entry| {
            let subscribers = entry.subscribers();
            let excluded = publication.except.is_some_and(|except| subscribers.contains(except));
            subscribers.len() - usize::from(excluded)
        })
    });
    let (source, socket_id) = match &heard.source {
        Source::Http => ("http", None),
        Source::Client { socket_id, .. } => ("client", Some(*socket_id)),
    };
    let (channel, event, bytes) = (heard.channel.map(display), heard.event, heard.data.bytes());
    let socket_id = socket_id.map(display);
    debug!(app = app.id(), channel, event, bytes, source, socket_id, subscriptions, "event accepted");
}
