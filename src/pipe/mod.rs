//! The pipe: server-side code that hears what clients say and sends events itself.
//!
//! Anything that implements [`Pipe`] can be one. The rules of the configuration are: a [`Rule`] hears an event on
//! one channel and sends it on to another. What a pipe sends is heard by no pipe, so that no loop can arise.
//!
//! ```
//! use heliostat::pipe::{Context, Message, Pipe};
//! use heliostat::protocol::ChannelName;
//!
//! /// Sends every camera frame on to the channel `mirror`, as it came.
//! struct Mirror;
//!
//! impl Pipe for Mirror {
//!     fn listens(&self, channel: Option<&str>, event: &str) -> bool {
//!         channel == Some("stream") && event == "frame"
//!     }
//!
//!     fn hear(&self, message: &Message<'_>, context: &Context<'_>) {
//!         if self.listens(message.channel.map(ChannelName::as_str), message.event) {
//!             if let Ok(mirror) = context.channel("mirror") {
//!                 context.trigger(&mirror, "frame", message.data);
//!             }
//!         }
//!     }
//! }
//!
//! let mut config = heliostat::config::Config::development();
//! config.server.port = 0;
//! let broker = heliostat::testing::Broker::builder(config).pipe("1001", Mirror).start().unwrap();
//! assert!(broker.url().starts_with("http://127.0.0.1:"));
//! ```

mod pattern;
mod rule;
mod spec;

pub use pattern::{BadPattern, Pattern};
pub use rule::Rule;
pub use spec::{BadRule, RuleSpec};

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::value::RawValue;
use tracing::error;

use crate::app::App;
use crate::hub::{AppState, Current, Heard, Hub, Listener, Notice, Publication, Source};
use crate::protocol::json::Data;
use crate::protocol::{ChannelName, InvalidChannelName};

/// Hears events of one app and may send others.
pub trait Pipe: Send + Sync + 'static {
    /// Whether it wants an event of this name on this channel, or on none, from a client. If some pipe does,
    /// clients that are subscribed to the channel may send the event even though its name does not begin with
    /// `client-`; nobody but the pipes hears it then. Events with the prefix are broadcast as well, as usual.
    fn listens(&self, channel: Option<&str>, event: &str) -> bool;

    /// Hears an event that was accepted: one that a client sent, or that a backend published over HTTP. All events
    /// of the app come here, also those it does not listen to.
    ///
    /// It is called on the thread that accepted the event, in the order of each sender's events, and must not
    /// block. What takes time belongs in a bounded queue and a task of its own. A panic is logged and hurts nobody.
    fn hear(&self, message: &Message<'_>, context: &Context<'_>);
}

/// An event as a pipe hears it.
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

/// What a pipe can do.
#[derive(Debug)]
pub struct Context<'a> {
    hub: &'a Hub,
    app: &'a AppState,
}

impl Context<'_> {
    /// The app whose events are heard, as it is now.
    #[must_use]
    pub fn app(&self) -> Current<App> {
        self.app.app()
    }

    /// A channel of the app.
    ///
    /// # Errors
    /// If the name is not a valid one.
    pub fn channel(&self, name: &str) -> Result<ChannelName, InvalidChannelName> {
        ChannelName::parse(name, self.app().limits.channel_name_chars)
    }

    /// Sends an event to every subscriber of a channel. The limits on the payload and the rate of events do not
    /// apply, and no pipe hears it. A cache channel remembers it.
    pub fn trigger(&self, channel: &ChannelName, event: &str, data: &Data<'_>) {
        let publication = Publication { channel, event, data, user_id: None, except: None, remember: true };
        self.hub.publish(self.app, &publication);
    }
}

/// A pipe as the hub knows it.
pub(crate) struct PipeListener(pub(crate) Arc<dyn Pipe>);

impl Listener for PipeListener {
    fn listens(&self, channel: Option<&str>, event: &str) -> bool {
        self.0.listens(channel, event)
    }

    fn notice(&self, hub: &Arc<Hub>, app: &Arc<AppState>, notice: &Notice<'_>) {
        let Notice::Event(Heard { source, channel, event, raw, data }) = notice else { return };
        let message = Message { source: source.clone(), channel: *channel, event, data, raw: *raw };
        // The event has been accepted, and whoever sent it is not to blame for a pipe that fails.
        let hear = AssertUnwindSafe(|| self.0.hear(&message, &Context { hub, app }));
        if catch_unwind(hear).is_err() {
            error!(app = app.id(), event, "a pipe panicked; the event is lost to it");
        }
    }
}
