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

/// How many connections an event is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventReach {
    pub(crate) here: usize,
    /// On other nodes, as far as this one knows. The one that is excluded may be among them: only its node knows whether it
    /// is subscribed.
    pub(crate) elsewhere: usize,
}

impl AppState {
    /// The subscribers, on all nodes, that an event is for: those in the channel's entry, less the one that is excluded.
    pub(crate) fn receivers(&self, to: &Destination) -> usize {
        let EventReach { here, elsewhere } = self.reach(to);
        here + elsewhere
    }

    /// The same, here and on other nodes.
    pub(crate) fn reach(&self, to: &Destination) -> EventReach {
        let Destination::Subscribers { channel, except } = to else { return EventReach::default() };
        let reach = self.channels.get(channel).map(|entry| {
            let excluded = except.is_some_and(|except| entry.subscribers().contains(except));
            let elsewhere = entry.subscribed_elsewhere();
            EventReach { here: entry.subscription_count() - elsewhere - usize::from(excluded), elsewhere }
        });
        reach.unwrap_or_default()
    }
}
