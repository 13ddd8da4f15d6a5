//! Hooks: pipes in Rust that may take their time.
//!
//! Each hook has a bounded queue and a thread of its own. The sender of an event has long been answered when the hook
//! hears it, and a hook that is slow, fails, panics or blocks holds up nothing but itself.

mod queue;
mod runner;

pub(crate) use runner::{Hook, HookFigures, RunningHook};

use std::error::Error;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::event::{AcceptedEvent, Source};
use crate::protocol::ChannelName;
use crate::protocol::json::Data;

use super::Context;

/// Why a hook could not do its work: any error. It is logged and counted.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Hears events of one app, in its own time, and may send others.
///
/// ```
/// use heliostat::pipe::{Context, Data, Failure, OwnedMessage, Pipe, Source};
///
/// /// Answers whoever says `hello` on its back channel, and nobody else.
/// struct Polite;
///
/// impl Pipe for Polite {
///     fn listens(&self, channel: Option<&str>, event: &str) -> bool {
///         channel.is_none() && event == "hello"
///     }
///
///     async fn hear(&self, message: OwnedMessage, context: Context<'static>) -> Result<(), Failure> {
///         let Source::Client { socket_id, .. } = message.source else { return Ok(()) };
///         let name: String = message.json()?;
///         if !context.send_to_socket(socket_id, "welcome", &Data::of_text(&format!("Hello {name}"))) {
///             return Err("they have gone already".into());
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait Pipe: Send + Sync + 'static {
    /// Whether it wants an event of this name on this channel, or on none, from a client. If some pipe does,
    /// clients that are subscribed to the channel may send the event even though its name does not begin with
    /// `client-`; nobody but the pipes hears it then. Events with the prefix are broadcast as well, as usual.
    ///
    /// It is asked on the threads that serve clients, and must answer at once.
    fn listens(&self, channel: Option<&str>, event: &str) -> bool;

    /// Whether it hears an event that was accepted, from a client or over HTTP. As it stands: what clients send and
    /// it [listens](Pipe::listens) to. It is asked on the same threads.
    fn hears(&self, source: &Source, channel: Option<&str>, event: &str) -> bool {
        matches!(source, Source::Client { .. }) && self.listens(channel, event)
    }

    /// How much may wait for it, and what becomes of the rest. Asked once.
    fn settings(&self) -> PipeSettings {
        PipeSettings::default()
    }

    /// Hears an event. It is called with one event after the other, in the order of each sender's events, on a thread
    /// that no other pipe uses.
    ///
    /// # Errors
    /// Whatever kept it from its work. The error is logged and counted, and so is a panic; the next event comes
    /// nevertheless.
    fn hear(
        &self,
        message: OwnedMessage,
        context: Context<'static>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// How much may wait for a hook, and what becomes of the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PipeSettings {
    /// Events that may wait.
    pub queue_messages: usize,
    /// Bytes of waiting events. A single event always fits, however large.
    pub queue_bytes: usize,
    /// What becomes of an event that does not fit.
    pub when_full: WhenFull,
    /// How long one event may take, from when the hook hears it. Then it is given up, and counted, at the next point at
    /// which the hook waits; a hook that blocks its thread cannot be stopped.
    pub timeout: Duration,
}

impl Default for PipeSettings {
    fn default() -> Self {
        PipeSettings {
            queue_messages: 1024,
            queue_bytes: 16 * 1024 * 1024,
            when_full: WhenFull::DropNewest,
            timeout: Duration::from_secs(30),
        }
    }
}

/// What becomes of events when a hook's queue is full. Each event that is lost is counted, and the log tells when that
/// begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// The new event is dropped: what waits is heard without a gap.
    #[default]
    DropNewest,
    /// The events that have waited longest are dropped.
    DropOldest,
    /// The new event takes the place of one that waits with the same name on the same channel, or else that of those
    /// that have waited longest. For pictures, and whatever else is worth something only while it is new.
    KeepLatest,
}

/// An event as a hook hears it.
#[derive(Clone, Debug)]
pub struct OwnedMessage {
    /// Where it came from.
    pub source: Source,
    /// The channel; none for an event that a client sent on no channel.
    pub channel: Option<ChannelName>,
    /// Its name.
    pub event: String,
    /// The payload as subscribers are sent it. Sending it on costs no parsing.
    pub data: Data<'static>,
}

impl OwnedMessage {
    /// A copy of an event that is announced.
    fn of(event: &AcceptedEvent<'_>) -> Self {
        OwnedMessage {
            source: event.source.clone(),
            channel: event.channel().cloned(),
            event: event.name.as_ref().to_owned(),
            data: event.data.clone().into_owned(),
        }
    }

    /// The payload, read as JSON. A payload that was sent as a plain string is read as such where it is not JSON.
    ///
    /// # Errors
    /// If it is not what `T` needs.
    pub fn json<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(&self.data.text())
            .or_else(|error| serde_json::from_str(self.data.literal()).map_err(|_| error))
    }

    /// What it counts as while it waits.
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.event.len() + self.data.literal().len()
    }
}

/// What became of the events that a hook was to hear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PipeCounts {
    /// Heard to the end.
    pub heard: u64,
    /// Lost because the queue was full.
    pub dropped: u64,
    /// Ended with an error.
    pub failed: u64,
    /// Ended with a panic; and questions that were answered with one.
    pub panicked: u64,
    /// Given up because they took too long.
    pub timed_out: u64,
}

#[cfg(test)]
mod tests;
