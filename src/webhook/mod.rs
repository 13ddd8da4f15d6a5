//! Webhooks: an app's backend is told over HTTP what happens in its channels.
//!
//! [`Webhooks`] makes a listener for each app that has endpoints. The listener puts events into a bounded queue; from
//! there on everything happens on one thread of its own: removals are held back for a moment (`suppress`), and each
//! endpoint has a queue (`batch_queue`) and a sender, so that a slow one delays neither another nor the broker. What
//! was not taken is sent again (`retry`), and `log` remembers what became of it.
//!
//! Where several nodes are one broker, all hear the same, and `sorter` leaves to another node what is not this one's to
//! tell.
//!
//! `event`, `suppress`, `batch_queue`, `pause` and `retry` are pure: the time is an argument.

pub(crate) mod batch_queue;
mod clock;
mod config;
mod counts;
mod decision;
mod dispatch;
mod endpoint;
mod endpoint_sender;
pub(crate) mod event;
pub(crate) mod event_id;
pub(crate) mod event_type;
mod left_events;
mod listener;
pub(crate) mod log;
mod observer;
mod operator;
mod pause;
pub(crate) mod retry;
pub(crate) mod sample;
mod send_context;
mod sent;
mod service;
mod signed;
mod sorter;
pub(crate) mod suppress;

pub(crate) use clock::AdvancedClock;
pub use config::{DeliverySettings, WebhookConfig};
pub(crate) use counts::WebhookFigures;
pub use endpoint::{BadEndpoint, EndpointUrl, WebhookEndpoint, WebhookHeader};
pub use event::WebhookEvent;
pub use event_type::{EventType, EventTypes};
pub use log::{Attempt, AttemptOutcome, DeliveryCounts, DeliveryLog};
pub(crate) use observer::{InjectedOutcome, Observer, SendAttempt};
pub(crate) use operator::{NotSent, OperatorAttempt, ShownEndpoint};
pub(crate) use pause::PauseChange;
pub(crate) use sent::SentWebhook;
pub use service::{EndpointLog, Webhooks};
pub(crate) use service::{check, trusted_file};

/// How far the broker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BrokerStage {
    /// It serves.
    Running,
    /// It is ending its connections: nothing is held back any more, and no request waits for another event.
    Flushing,
    /// Everything has happened that will.
    Ending,
}

#[cfg(test)]
mod tests;
