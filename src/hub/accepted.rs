//! What the log tells of an accepted event, for whoever asks why no events arrive.

use tracing::{debug, trace};

use crate::event::{AcceptedEvent, Destination};

use super::AppState;

/// Logs an event, with the number of subscriptions that it goes to.
pub(super) fn tell(app: &AppState, event: &AcceptedEvent<'_>) {
    if app.is_filmed(event) {
        return trace!(
            app = app.id(),
            channel = event.channel().map(display),
            "frame on its way through the pipe"
        );
    }
    let to = match event.to {
        Destination::Connection(socket) => Some(socket),
        Destination::Subscribers { .. } | Destination::Listeners { .. } => None,
    };
    debug!(
        app = app.id(),
        channel = event.channel().map(display),
        event = &*event.name,
        bytes = event.data.bytes(),
        source = event.source.name(),
        socket_id = event.source.socket_id().map(display),
        to = to.map(display),
        subscriptions = app.receivers(&event.to),
        "event accepted"
    );
}

impl AppState {
    /// The connections, on all nodes, that an event is for: those in the channel's entry, less the one that is excluded.
    pub(crate) fn receivers(&self, to: &Destination) -> usize {
        let Destination::Subscribers { channel, except } = to else { return 0 };
        self.channels.get(channel).map_or(0, |entry| {
            let excluded = except.is_some_and(|except| entry.subscribers().contains(except));
            entry.subscription_count() - usize::from(excluded)
        })
    }
}
