//! Taps: pipes that are called on the spot, on the thread that accepted the event.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tracing::error;

use crate::event::AcceptedEvent;
use crate::hub::{AppState, Hub, Listener, Notice};
use crate::protocol::ChannelName;

use super::Context;

/// Hears events of one app at once, without a queue and without copying them. The rules of the configuration are
/// taps. For anything that takes time there is [`Pipe`](super::Pipe).
pub trait Tap: Send + Sync + 'static {
    /// Whether it wants an event of this name on this channel, or on none, from a client. If some pipe does,
    /// clients that are subscribed to the channel may send the event even though its name does not begin with
    /// `client-`; nobody but the pipes hears it then. Events with the prefix are broadcast as well, as usual.
    fn listens(&self, channel: Option<&str>, event: &str) -> bool;

    /// Whether what it hears in an event goes on to one of such channels. Messages of tracks that go to a video channel may come
    /// as often as on the channel itself.
    fn leads_to(&self, _event: &AcceptedEvent<'_>, _is_such: &dyn Fn(&ChannelName) -> bool) -> bool {
        false
    }

    /// Whether what a client sends on this channel under this name may go on to that channel under that name, whatever else is in
    /// it. Who films behind a pipe keeps its track there for as long as the pipe may lead it on.
    fn may_lead(&self, _from: (&ChannelName, &str), _to: (&ChannelName, &str)) -> bool {
        false
    }

    /// Hears an event that was accepted: one that a client sent, or that a backend published over HTTP. All events
    /// of the app come here, also those it does not listen to.
    ///
    /// It is called on the thread that accepted the event, in the order of each sender's events, and must not
    /// block. A panic is logged and hurts nobody.
    fn hear(&self, event: &AcceptedEvent<'_>, context: &Context<'_>);
}

/// A tap as the hub knows it.
pub(crate) struct TapListener(pub(crate) Arc<dyn Tap>);

impl Listener for TapListener {
    fn listens(&self, channel: Option<&str>, event: &str) -> bool {
        self.0.listens(channel, event)
    }

    fn listens_to_clients(&self) -> bool {
        true
    }

    fn leads_to(&self, event: &AcceptedEvent<'_>, is_such: &dyn Fn(&ChannelName) -> bool) -> bool {
        self.0.leads_to(event, is_such)
    }

    fn may_lead(&self, from: (&ChannelName, &str), to: (&ChannelName, &str)) -> bool {
        self.0.may_lead(from, to)
    }

    fn notice(&self, hub: &Arc<Hub>, app: &Arc<AppState>, notice: &Notice<'_>) {
        let Notice::Event(event) = notice else { return };
        // The event has been accepted, and whoever sent it is not to blame for a pipe that fails.
        let hear = AssertUnwindSafe(|| self.0.hear(event, &Context::borrowed(hub, app)));
        if catch_unwind(hear).is_err() {
            error!(app = app.id(), event = &*event.name, "a pipe panicked; the event is lost to it");
        }
    }
}
