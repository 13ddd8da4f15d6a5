//! What all senders of one app need to send: the key that signs, the HTTP client, the settings and the clock.

use std::sync::Arc;

use crate::app::Key;
use crate::feed::Feed;
use crate::outbound::HttpClient;

use super::clock::WebhookClock;
use super::config::DeliverySettings;
use super::counts::WebhookCounts;
use super::observer::Observer;

/// What the senders of one app share.
#[derive(Debug)]
pub(super) struct SendContext {
    pub(super) app_id: String,
    /// The key that signs.
    pub(super) key: Key,
    pub(super) delivery: DeliverySettings,
    pub(super) client: HttpClient,
    pub(super) clock: WebhookClock,
    pub(super) counts: Arc<WebhookCounts>,
    /// What those watch who want to know what happens.
    pub(super) feed: Arc<Feed>,
    /// The observer of the webhooks; there is none in production.
    pub(super) observer: Option<Arc<dyn Observer>>,
}

impl SendContext {
    /// Ready when the test that observes the webhooks has ended.
    pub(super) async fn test_ended(&self) {
        let Some(observer) = &self.observer else { return std::future::pending().await };
        // An error means that the observer is gone.
        let _ = observer.test_ended().wait_for(|test_ended| *test_ended).await;
    }
}
