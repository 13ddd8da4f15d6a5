//! The settings of an app's webhooks: `[[apps.webhooks]]` and `[apps.webhook_delivery]`.

use std::path::PathBuf;
use std::time::Duration;

use super::batch_queue::{BatchQueueBounds, Batching};
use super::endpoint::WebhookEndpoint;
use super::retry::Retry;

/// The settings of an app's webhooks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WebhookConfig {
    /// Where they go: `[[apps.webhooks]]`, in the order of the file.
    pub endpoints: Vec<WebhookEndpoint>,
    /// How they are sent: `[apps.webhook_delivery]`.
    pub delivery: DeliverySettings,
}

/// The settings of how webhooks are sent.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliverySettings {
    /// On: the events of a short window share a request. Off: each event has its own.
    pub batching: bool,
    /// How long the first event of a request waits for others.
    pub batch_window: Duration,
    /// Events in one request, at most.
    pub batch_events: usize,
    /// How long `channel_vacated` and `member_removed` are held back, for the case that they are taken back.
    pub removal_delay: Duration,
    /// How long an endpoint may take for the whole of one answer.
    pub timeout: Duration,
    /// When a request that was not taken is sent again.
    pub retry: Retry,
    /// Requests to one endpoint under way at once, those that wait to be sent again included.
    pub requests_at_once: usize,
    /// Events that may wait for one endpoint, those under way included. Over it: they are dropped, counted and logged.
    /// As many may wait to be looked at, and as many removals may be held back.
    pub queue_events: usize,
    /// Bytes of such events.
    pub queue_bytes: usize,
    /// Attempts that are remembered for each endpoint.
    pub log_attempts: usize,
    /// Certificates to trust besides the public ones, a PEM file.
    pub ca_file: Option<PathBuf>,
}

impl Default for DeliverySettings {
    fn default() -> Self {
        DeliverySettings {
            batching: false,
            batch_window: Duration::from_secs(1),
            batch_events: 100,
            removal_delay: Duration::from_secs(3),
            timeout: Duration::from_secs(10),
            retry: Retry {
                first: Duration::from_secs(1),
                longest: Duration::from_secs(64),
                give_up_after: Duration::from_secs(300),
            },
            requests_at_once: 8,
            queue_events: 10_000,
            queue_bytes: 16 * 1024 * 1024,
            log_attempts: 100,
            ca_file: None,
        }
    }
}

impl DeliverySettings {
    /// How events are put together.
    pub fn batches(&self) -> Batching {
        if !self.batching {
            return Batching::OFF;
        }
        Batching { window: self.batch_window, most: self.batch_events }
    }

    /// What may wait for one endpoint.
    pub fn bounds(&self) -> BatchQueueBounds {
        BatchQueueBounds { events: self.queue_events, bytes: self.queue_bytes }
    }
}
