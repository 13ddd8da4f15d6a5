//! Taps: pipes that are called on the spot, on the thread that accepted the event.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::value::RawValue;
use tracing::error;

use crate::hub::{AppState, Heard, Hub, Listener, Notice, Source};
use crate::protocol::ChannelName;
use crate::protocol::json::Data;

use super::Context;

/// Hears events of one app at once, without a queue and without copying them. The rules of the configuration are
/// taps. For anything that takes time there is [`Pipe`](super::Pipe).
pub trait Tap: Send + Sync + 'static {
    /// Whether it wants an event of this name on this channel, or on none, from a client. If some pipe does,
    /// clients that are subscribed to the channel may send the event even though its name does not begin with
    /// `client-`; nobody but the pipes hears it then. Events with the prefix are broadcast as well, as usual.
    fn listens(&self, channel: Option<&str>, event: &str) -> bool;

    /// Hears an event that was accepted: one that a client sent, or that a backend published over HTTP. All events
    /// of the app come here, also those it does not listen to.
    ///
    /// It is called on the thread that accepted the event, in the order of each sender's events, and must not
    /// block. A panic is logged and hurts nobody.
    fn hear(&self, message: &Message<'_>, context: &Context<'_>);
}

/// An event as a tap hears it.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// Where it came from.
    pub source: Source,
    /// The channel; none for an event that a client sent on no channel.
    pub channel: Option<&'a ChannelName>,
    /// Its name.
    pub event: &'a str,
    /// The payload as subscribers are sent it. Sending it on costs no parsing.
    pub data: &'a Data<'a>,
    /// The payload as a client sent it: any JSON value. `None` for an event published over HTTP, whose payload is
    /// text.
    pub raw: Option<&'a RawValue>,
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

    fn notice(&self, hub: &Arc<Hub>, app: &Arc<AppState>, notice: &Notice<'_>) {
        let Notice::Event(Heard { source, channel, event, raw, data }) = notice else { return };
        let message = Message { source: source.clone(), channel: *channel, event, data, raw: *raw };
        // The event has been accepted, and whoever sent it is not to blame for a pipe that fails.
        let hear = AssertUnwindSafe(|| self.0.hear(&message, &Context::borrowed(hub, app)));
        if catch_unwind(hear).is_err() {
            error!(app = app.id(), event, "a pipe panicked; the event is lost to it");
        }
    }
}
