//! What an operator may ask of the webhooks of an app: what was sent to each endpoint, to have it sent once more, a sample, and a
//! pause.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::app::App;

use super::EventType;
use super::clock::{system_now, system_time, unix_millis};
use super::endpoint::{EndpointUrl, WebhookEndpoint};
use super::endpoint_sender::EndpointSender;
use super::log::{Attempt, AttemptOutcome, DeliveryCounts};
use super::pause::{EndpointPause, PauseChange};
use super::sample;
use super::sent::{SentWebhook, ended};
use super::service::Webhooks;
use super::signed::SignedWebhook;

/// Marks what is sent once more by an operator.
const REPLAY_HEADER: &str = "x-heliostat-replay";

/// One endpoint of an app, as an operator sees it.
#[derive(Clone, Debug)]
pub(crate) struct ShownEndpoint {
    pub(crate) endpoint: WebhookEndpoint,
    pub(crate) counts: DeliveryCounts,
    /// Events that wait or are under way, their bytes, and for how long the oldest has waited.
    pub(crate) waiting: usize,
    pub(crate) waiting_bytes: usize,
    pub(crate) oldest: Duration,
    pub(crate) pause: EndpointPause,
    /// The latest attempts, the newest first.
    pub(crate) sent: Vec<SentWebhook>,
}

/// What came of a request that an operator had sent.
#[derive(Clone, Debug)]
pub(crate) struct OperatorAttempt {
    pub(crate) outcome: AttemptOutcome,
    pub(crate) duration: Duration,
    pub(crate) answer: Option<Box<str>>,
}

/// What an operator has waited for in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotSent {
    /// There is no such endpoint.
    #[error("there is no such endpoint")]
    NoEndpoint,
    /// The attempt has been forgotten, or there never was one.
    #[error("the attempt is not remembered any more")]
    NoAttempt,
    /// The endpoint could not be told of it, or there is no key.
    #[error("nothing could be sent")]
    Nothing,
}

impl Webhooks {
    /// The endpoints of an app, in the order of its configuration.
    pub(crate) fn shown(&self, app_id: &str) -> Vec<ShownEndpoint> {
        let shown = |sender: Arc<EndpointSender>| {
            let (waiting_bytes, oldest) = sender.backlog();
            ShownEndpoint {
                endpoint: sender.endpoint.clone(),
                counts: sender.log.counts(),
                waiting: sender.waiting(),
                waiting_bytes,
                oldest,
                pause: sender.pause(),
                sent: sender.sent(),
            }
        };
        self.senders_of(app_id).into_iter().map(shown).collect()
    }

    /// One of the latest attempts at an endpoint, and where it went.
    ///
    /// # Errors
    /// If there is no such endpoint, or the attempt is not remembered.
    pub(crate) fn sent(
        &self,
        app_id: &str,
        index: usize,
        id: u64,
    ) -> Result<(EndpointUrl, SentWebhook), NotSent> {
        let sender = self.sender(app_id, index)?;
        let sent = sender.find_sent(id).ok_or(NotSent::NoAttempt)?;
        Ok((sender.endpoint.url.clone(), sent))
    }

    /// Has an endpoint sent nothing from now on, or goes on, as an operator says, here or on a node that has numbered it. What comes
    /// meanwhile waits within the bounds of the queue.
    ///
    /// # Errors
    /// If there is no such endpoint.
    pub(crate) fn pause(
        &self,
        app_id: &str,
        index: usize,
        is_paused: bool,
        numbered: u64,
    ) -> Result<PauseChange, NotSent> {
        Ok(self.sender(app_id, index)?.change_pause(is_paused, numbered))
    }

    /// Does with an endpoint as another node has heard, if that is later than what is known here, unless it is another one. Whether it
    /// differs from before.
    pub(crate) fn learn_pause(&self, app_id: &str, index: usize, url: &str, change: PauseChange) -> bool {
        let sender = self.sender(app_id, index).ok();
        sender.is_some_and(|sender| sender.endpoint.url.to_string() == url && sender.learn_pause(change))
    }

    /// What an operator has said last of the endpoints of an app, each with its place and its address.
    pub(crate) fn pause_changes(&self, app_id: &str) -> Vec<(usize, String, PauseChange)> {
        let senders = self.senders_of(app_id).into_iter().enumerate();
        let said = |(index, sender): (usize, Arc<EndpointSender>)| {
            Some((index, sender.endpoint.url.to_string(), sender.pause().last()?))
        };
        senders.filter_map(said).collect()
    }

    /// Sends once more what an attempt sent, signed anew and marked; the queue and its attempts are not touched.
    ///
    /// # Errors
    /// See [`NotSent`].
    pub(crate) async fn replay(
        &self,
        app_id: &str,
        index: usize,
        id: u64,
    ) -> Result<OperatorAttempt, NotSent> {
        let sender = self.sender(app_id, index)?;
        let sent = sender.find_sent(id).ok_or(NotSent::NoAttempt)?;
        self.carried_out(async move { sender.send_again(sent).await }).await
    }

    /// Sends a sample to an endpoint, of this type, or of the first one that it wants.
    ///
    /// # Errors
    /// See [`NotSent`].
    pub(crate) async fn send_sample(
        &self,
        app: Arc<App>,
        index: usize,
        event_type: Option<EventType>,
    ) -> Result<OperatorAttempt, NotSent> {
        let sender = self.sender(&app.id, index)?;
        let sending = async move {
            let (client, delivery) = sender.means();
            let event_type = event_type.unwrap_or_else(|| sample::usual_type(&sender.endpoint));
            let result = sample::send(client, &app, delivery, &sender.endpoint, event_type).await?;
            let (outcome, answer) = ended(result.reply);
            Some(OperatorAttempt { outcome, duration: result.duration, answer })
        };
        self.carried_out(sending).await
    }

    /// What comes of a request that is sent on the thread of the webhooks, whether whoever asked waits for it or not.
    async fn carried_out(
        &self,
        sending: impl Future<Output = Option<OperatorAttempt>> + Send + 'static,
    ) -> Result<OperatorAttempt, NotSent> {
        let (tell, told) = oneshot::channel();
        self.spawn(async move {
            // Whoever asked may have gone.
            let _ = tell.send(sending.await);
        });
        told.await.ok().flatten().ok_or(NotSent::Nothing)
    }

    fn sender(&self, app_id: &str, index: usize) -> Result<Arc<EndpointSender>, NotSent> {
        self.senders_of(app_id).into_iter().nth(index).ok_or(NotSent::NoEndpoint)
    }
}

impl EndpointSender {
    /// Makes one attempt to send the same events, apart from those in the queue.
    async fn send_again(&self, sent: SentWebhook) -> Option<OperatorAttempt> {
        let (at, begun) = (system_time(), system_now());
        let again = SentWebhook { time_ms: unix_millis(), next_at: None, is_replay: true, ..sent };
        let signed = SignedWebhook::new(again.body(), self.key(), &self.endpoint)?.marked(REPLAY_HEADER);
        let body_bytes = signed.body_bytes();
        let (outcome, answer) = self.send(&signed, 1).await;
        let duration = system_now().duration_since(begun);
        let attempt = Attempt {
            at,
            number: 1,
            events: again.events.len(),
            body_bytes,
            duration,
            outcome: outcome.clone(),
        };
        self.remember(SentWebhook { attempt, answer: answer.clone(), ..again });
        Some(OperatorAttempt { outcome, duration, answer })
    }
}
