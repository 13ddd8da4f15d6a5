//! Webhooks: an app's backend is told over HTTP what happens in its channels.
//!
//! [`Webhooks`] makes a listener for each app that has endpoints. The listener puts events into a bounded queue; from
//! there on everything happens on one thread of its own: removals are held back for a moment ([`suppress`]), and each
//! endpoint has a queue ([`batch`]) and a sender, so that a slow one delays neither another nor the broker. What was
//! not taken is sent again ([`retry`]), and [`log`] remembers what became of it.
//!
//! [`event`], [`suppress`], [`batch`] and [`retry`] are pure: the time is an argument.

pub mod batch;
pub mod client;
mod clock;
mod config;
mod dispatch;
pub mod event;
pub mod id;
mod intake;
mod lane;
pub mod log;
mod observer;
pub mod retry;
pub mod sample;
mod service;
pub mod suppress;

pub(crate) use clock::Advanced;
pub use config::{BadEndpoint, Config, Delivery, Endpoint, EndpointUrl, Header};
pub use event::{Event, EventType, EventTypes};
pub use id::Occasion;
pub use log::{Attempt, DeliveryLog, Outcome, Tally};
pub(crate) use observer::{Instead, Observer, Sending};
pub(crate) use service::check;
pub use service::{EndpointLog, Webhooks};

/// How far the broker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It serves.
    Running,
    /// It is ending its connections: nothing is held back any more, and no request waits for another event.
    Hurrying,
    /// Everything has happened that will.
    Ending,
}

#[cfg(test)]
mod tests;
