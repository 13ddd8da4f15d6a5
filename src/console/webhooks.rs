//! The webhooks of an app: what was sent to each endpoint, and what an operator may have sent.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::http::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::ConsoleError;
use super::asked::text;
use super::{Console, millis};
use crate::hub::AppState;
use crate::webhook::{AttemptOutcome, EventType, NotSent, OperatorAttempt, SentWebhook, ShownEndpoint};

/// The member of what another node asks and is answered: the number of a change.
pub(super) const NUMBER: &str = "number";

/// Bytes of a request that are shown.
const BODY_SHOWN: usize = 64 * 1024;

/// Attempts that are shown of all endpoints together, so that other nodes can be told them.
const ATTEMPTS: usize = 1000;

impl Console {
    /// The endpoints of an app, with the latest attempts of each.
    pub(super) fn webhooks(&self, app: &AppState) -> Value {
        let mut endpoints = self.webhooks.shown(app.id());
        let each = ATTEMPTS / endpoints.len().max(1);
        endpoints.iter_mut().for_each(|endpoint| endpoint.sent.truncate(each.max(1)));
        let endpoints: Vec<Value> = endpoints.iter().enumerate().map(endpoint).collect();
        json!({ "endpoints": endpoints, "node": self.node(), "scope": "node" })
    }

    /// One attempt, with what was sent and answered.
    pub(super) fn webhook_attempt(
        &self,
        app: &AppState,
        index: &str,
        id: &str,
    ) -> Result<Value, ConsoleError> {
        let (index, id) = (number("endpoint", index)?, number("attempt", id)?);
        let nothing = |_| ConsoleError::Nothing { what: "attempt", name: format!("{index}/{id}") };
        let (url, sent) = self.webhooks.sent(app.id(), index, id as u64).map_err(nothing)?;
        let body = sent.body();
        let cut = body.floor_char_boundary(BODY_SHOWN);
        let mut shown = attempt(&sent);
        shown["request"] = json!({
            "url": url.to_string(),
            "body": body[..cut],
            "body_cut": cut < body.len(),
        });
        shown["answer"] = match (&sent.attempt.outcome, &sent.answer) {
            (AttemptOutcome::Status(status), answer) => json!({ "status": status, "body": answer }),
            (AttemptOutcome::Failure(_), _) => Value::Null,
        };
        Ok(shown)
    }

    /// Does to an endpoint what an operator asks for.
    pub(super) async fn act_on_webhooks(
        &self,
        app: &Arc<AppState>,
        path: &[&str],
        asked: &Map<String, Value>,
    ) -> Result<Option<Value>, ConsoleError> {
        let [index, rest @ ..] = path else { return Ok(None) };
        let index = number("endpoint", index)?;
        Ok(Some(match rest {
            ["pause"] | ["resume"] => {
                let is_paused = rest == ["pause"];
                let numbered = asked.get(NUMBER).and_then(Value::as_u64).unwrap_or_default();
                let change = self.webhooks.pause(app.id(), index, is_paused, numbered).map_err(not_sent)?;
                json!({ "paused": is_paused, NUMBER: change.number })
            }
            ["sample"] => {
                let wanted = text(asked, "event")?.map(event_type).transpose()?;
                let settings = app.app().share();
                told(&self.webhooks.send_sample(settings, index, wanted).await.map_err(not_sent)?)
            }
            ["attempts", id, "replay"] => {
                let id = number("attempt", id)? as u64;
                told(&self.webhooks.replay(app.id(), index, id).await.map_err(not_sent)?)
            }
            _ => return Ok(None),
        }))
    }
}

pub(super) fn number(name: &'static str, text: &str) -> Result<usize, ConsoleError> {
    text.parse().map_err(|_| ConsoleError::parameter(name, "a number", format_args!("{text:?}")))
}

fn event_type(name: &str) -> Result<EventType, ConsoleError> {
    let known = EventType::ALL.into_iter().find(|known| known.name() == name);
    known.ok_or_else(|| {
        let expected = format!("one of {}", EventType::ALL.map(EventType::name).join(", "));
        ConsoleError::parameter("event", expected, format_args!("{name:?}"))
    })
}

pub(super) fn not_sent(why: NotSent) -> ConsoleError {
    let status = match why {
        NotSent::NoEndpoint | NotSent::NoAttempt => StatusCode::NOT_FOUND,
        NotSent::Nothing => StatusCode::SERVICE_UNAVAILABLE,
    };
    ConsoleError::Refused(status, why.to_string())
}

fn told(sent: &OperatorAttempt) -> Value {
    let (status, error) = ended(&sent.outcome);
    json!({ "status": status, "error": error, "answer": sent.answer, "duration_ms": millis(sent.duration) })
}

fn ended(outcome: &AttemptOutcome) -> (Option<u16>, Option<&str>) {
    match outcome {
        AttemptOutcome::Status(status) => (Some(*status), None),
        AttemptOutcome::Failure(reason) => (None, Some(reason)),
    }
}

fn endpoint((index, shown): (usize, &ShownEndpoint)) -> Value {
    let ShownEndpoint { endpoint, counts, waiting, waiting_bytes, oldest, pause, sent } = shown;
    let failed = sent.iter().filter(|sent| !sent.attempt.outcome.is_delivered()).count();
    json!({
        "index": index,
        "url": endpoint.url.to_string(),
        "events": endpoint.events.iter().map(EventType::name).collect::<Vec<_>>(),
        "channels": endpoint.channels.as_ref().map(ToString::to_string),
        "paused": pause.is_paused(),
        "waiting": waiting,
        "waiting_bytes": waiting_bytes,
        "oldest_ms": millis(*oldest),
        "delivered": counts.delivered,
        "dropped": counts.dropped,
        "given_up": counts.given_up,
        "failed_of_latest": failed,
        "attempts": sent.iter().map(attempt).collect::<Vec<_>>(),
    })
}

fn attempt(sent: &SentWebhook) -> Value {
    let (status, error) = ended(&sent.attempt.outcome);
    json!({
        "id": sent.id,
        "request": sent.request,
        "at": unix(sent.attempt.at),
        "number": sent.attempt.number,
        "events": sent.attempt.events,
        "body_bytes": sent.attempt.body_bytes,
        "duration_ms": millis(sent.attempt.duration),
        "status": status,
        "error": error,
        "next_at": sent.next_at.map(unix),
        "replay": sent.is_replay,
    })
}

fn unix(time: SystemTime) -> u64 {
    millis(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}
