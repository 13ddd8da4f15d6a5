//! The webhooks of an app under test: they go into its log, fail on demand, and wait by its clock.

use std::sync::Arc;

use serde::Deserialize;
use tokio::sync::watch;

use crate::webhook::{AdvancedClock, AttemptOutcome, InjectedOutcome, Observer, SendAttempt};

use super::app::AppUnderTest;
use super::entry::{Details, Kind};

/// What the log says of an event that a webhook tells. The rest of it is its payload.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LoggedEvent {
    name: Option<Arc<str>>,
    channel: Option<Arc<str>>,
    user_id: Option<Arc<str>>,
    socket_id: Option<Arc<str>>,
}

impl Observer for AppUnderTest {
    fn injected_outcome(&self, _: &SendAttempt<'_>) -> Option<InjectedOutcome> {
        let (fault, status) = self.faults.webhook(self.now())?;
        let outcome = match status {
            Some(status) => AttemptOutcome::Status(status),
            None => AttemptOutcome::Failure("a fault: nobody listens".to_owned()),
        };
        Some(InjectedOutcome { fault, outcome })
    }

    fn sent(&self, attempt: &SendAttempt<'_>, outcome: &AttemptOutcome, fault: Option<u64>) {
        let (status, reason): (_, Option<Arc<str>>) = match (outcome, fault) {
            (AttemptOutcome::Status(status), Some(_)) => {
                (Some(*status), Some("a fault: it was not sent".into()))
            }
            (AttemptOutcome::Status(status), None) => (Some(*status), None),
            (AttemptOutcome::Failure(reason), _) => (None, Some(reason.as_str().into())),
        };
        let kind = if outcome.is_delivered() { Kind::Webhook } else { Kind::WebhookFailed };
        let path: Option<Arc<str>> = Some(attempt.endpoint.url.as_str().into());
        for event in attempt.events {
            let LoggedEvent { name, channel, user_id, socket_id } =
                serde_json::from_str(event).unwrap_or_default();
            self.log.write(
                kind,
                Details {
                    socket_id,
                    user_id,
                    channel,
                    name,
                    data: Some(Arc::clone(event)),
                    status,
                    reason: reason.clone(),
                    path: path.clone(),
                    fault,
                    attempt: Some(attempt.number),
                    ..Details::default()
                },
            );
        }
    }

    fn clock(&self) -> AdvancedClock {
        AdvancedClock { ahead: self.ahead.subscribe(), agenda: Arc::clone(&self.agenda) }
    }

    fn test_ended(&self) -> watch::Receiver<bool> {
        AppUnderTest::over(self)
    }
}
