//! The pipe of an app: its rules, tried against an event without sending anything, and its backends.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::Console;
use super::answer::ConsoleError;
use super::channels::name;
use crate::hub::AppState;
use crate::pipe::wire::OutgoingFigures;
use crate::pipe::{Rule, RuleSpec, RuleTrial, TriedEvent};

impl Console {
    /// The rules of an app, and what waits for its backends.
    pub(super) fn pipe(&self, app: &AppState) -> Value {
        let rules = self.rules(app);
        let (backends, figures) = self.wire.figures_of(app.id());
        let OutgoingFigures { notifications, notification_bytes, missed, .. } = figures;
        json!({
            "rules": rules.iter().enumerate().map(rule).collect::<Vec<_>>(),
            "paced_out": app.counts().paced_out,
            "sent": app.counts().events[2],
            "backends": {
                "connected": backends,
                "waiting": notifications,
                "waiting_bytes": notification_bytes,
                "missed": missed,
            },
            "node": self.node(),
            "scope": "node",
        })
    }

    /// What each rule would make of an event. Nothing is sent, and no pace is looked at.
    pub(super) fn try_pipe(
        &self,
        app: &Arc<AppState>,
        asked: &Map<String, Value>,
    ) -> Result<Value, ConsoleError> {
        let text = |member: &'static str| asked.get(member).and_then(Value::as_str);
        let missing = |name, expected: &str| ConsoleError::Parameter {
            name,
            expected: expected.to_owned(),
            got: asked.get(name).map_or_else(|| "nothing".to_owned(), ToString::to_string),
        };
        let channel = name(app, text("channel").ok_or_else(|| missing("channel", "the name of a channel"))?)?;
        let event = text("event").ok_or_else(|| missing("event", "the name of an event"))?;
        let from_client = match text("source") {
            None | Some("client") => true,
            Some("http") => false,
            Some(_) => return Err(missing("source", "client or http")),
        };
        let data = match asked.get("data") {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let tried = TriedEvent { channel: &channel, event, data: &data, from_client };
        let limits = &app.app().limits;
        let rules = self.rules(app);
        let rules = rules.into_iter().enumerate().map(|(index, spec)| {
            let trial = match Rule::new(spec, limits) {
                Ok(rule) => rule.try_on(&tried),
                Err(error) => RuleTrial { matches: false, why: error.to_string(), sends: Vec::new() },
            };
            let RuleTrial { matches, why, sends } = trial;
            let sends = sends
                .into_iter()
                .map(|(channel, event, data)| json!({ "channel": channel, "event": event, "data": data }));
            json!({ "index": index, "matches": matches, "why": why, "sends": sends.collect::<Vec<_>>() })
        });
        Ok(json!({ "rules": rules.collect::<Vec<_>>() }))
    }

    fn rules(&self, app: &AppState) -> Vec<RuleSpec> {
        self.running.configured(app.id()).map(|configured| configured.pipe).unwrap_or_default()
    }
}

fn rule((index, spec): (usize, &RuleSpec)) -> Value {
    let RuleSpec {
        from, event, to, rename, add, pick, hears_clients, hears_http, filter, min_interval, ..
    } = spec;
    json!({
        "index": index,
        "from": from.to_string(),
        "event": event,
        "to": to.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "rename": rename,
        "add": add,
        "pick": pick,
        "filter": filter,
        "hears_clients": hears_clients,
        "hears_http": hears_http,
        "min_interval_ms": min_interval.map(super::millis),
        "paced": spec.rate.is_some() || min_interval.is_some(),
        "keep_latest": spec.keep_latest,
    })
}
