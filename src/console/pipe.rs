//! The pipe of an app: its rules, tried against an event without sending anything, and its backends.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::answer::ConsoleError;
use super::channels::name;
use super::{Console, asked};
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
        let channel = name(app, asked::required(asked, "channel", "the name of a channel")?)?;
        let event = asked::required(asked, "event", "the name of an event")?;
        let from_client = match asked.get("source") {
            None | Some(Value::Null) => true,
            Some(source) if *source == "client" => true,
            Some(source) if *source == "http" => false,
            Some(other) => return Err(ConsoleError::parameter("source", "client or http", other)),
        };
        let data = asked.get("data").map(asked::data).unwrap_or_default();
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
