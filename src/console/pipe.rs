//! The pipe of an app: its rules, what they have done and would do, its backends, and those who hear it here.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::answer::ConsoleError;
use super::channels::name;
use super::{Console, asked};
use crate::hub::AppState;
use crate::pipe::wire::{BackendFigures, OutgoingFigures};
use crate::pipe::{
    CountedRule, HookFigures, PipeCounts, Rule, RuleDrop, RuleNote, RuleRates, RuleSpec, RuleTotals,
};
use crate::pipe::{RuleTrial, TriedEvent};
use crate::webhook::WebhookFigures;

/// Backends that are shown one by one.
const BACKENDS: usize = 100;

impl Console {
    /// The rules of an app and what they have done, and what waits for its backends and for those who hear it here.
    pub(super) fn pipe(&self, app: &AppState) -> Value {
        let rules = self.rules.of_app(app.id());
        // From now on all is noted, for a while.
        rules.iter().for_each(|rule| rule.counts.look());
        let (connected, figures) = self.wire.figures_of(app.id());
        let mut backends = outgoing(&figures);
        backends["connected"] = connected.into();
        let each = self.wire.backends_of(app.id(), BACKENDS);
        backends["each"] = each.iter().map(backend).collect();
        backends["left_out"] = connected.saturating_sub(each.len()).into();
        let hooks = self.hooks.iter().enumerate().filter(|(_, (app_id, _))| app_id == app.id());
        json!({
            "rules": rules.iter().enumerate().map(counted).collect::<Vec<_>>(),
            "paced_out": app.counts().paced_out,
            "sent": app.counts().events[2],
            "backends": backends,
            "hooks": hooks.map(|(number, (_, figures))| hook(number, figures)).collect::<Vec<_>>(),
            "webhooks": self.webhooks.figures().get(app.id()).map(webhooks),
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
        let rules = self.rules.of_app(app.id());
        let rules = rules.into_iter().enumerate().map(|(index, counted)| {
            let trial = match Rule::new(counted.spec, limits) {
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
}

fn counted((index, counted): (usize, &CountedRule)) -> Value {
    let CountedRule { spec, counts } = counted;
    let RuleTotals { matched, sent, dropped } = counts.totals();
    let rates = counts.rates(Instant::now());
    let rates = rates.map(|RuleRates { matched, sent, dropped }| json!({ "matched": matched, "sent": sent, "dropped": dropped }));
    let dropped: Map<String, Value> = RuleDrop::ALL
        .into_iter()
        .zip(dropped)
        .map(|(why, count)| (why.name().to_owned(), count.into()))
        .collect();
    let mut shown = rule(index, spec);
    shown["matched"] = matched.into();
    shown["sent"] = sent.into();
    shown["dropped"] = dropped.into();
    shown["per_second"] = rates.into();
    shown["last_match"] = counts.last_match().as_ref().map(note).into();
    shown["last_drop"] = counts
        .last_drop()
        .map(|(why, dropped)| {
            let mut shown = note(&dropped);
            shown["why"] = why.sentence().into();
            shown["reason"] = why.name().into();
            shown
        })
        .into();
    shown
}

fn note(note: &RuleNote) -> Value {
    let RuleNote { at, channel, event, to, number } = note;
    json!({ "at": at, "channel": channel, "event": event, "to": to, "number": number })
}

fn outgoing(figures: &OutgoingFigures) -> Value {
    let OutgoingFigures { answer_bytes, notifications, notification_bytes, missed } = figures;
    json!({
        "waiting": notifications,
        "waiting_bytes": notification_bytes,
        "answer_bytes": answer_bytes,
        "missed": missed,
    })
}

fn backend(figures: &BackendFigures) -> Value {
    let mut shown = outgoing(&figures.outgoing);
    shown["socket_id"] = figures.socket_id.to_string().into();
    shown["version"] = figures.dialect.version().into();
    shown
}

fn hook(number: usize, figures: &HookFigures) -> Value {
    let PipeCounts { heard, dropped, failed, panicked, timed_out } = figures.counts();
    let (waiting, waiting_bytes) = figures.waiting();
    json!({
        "index": number,
        "waiting": waiting,
        "waiting_bytes": waiting_bytes,
        "heard": heard,
        "dropped": dropped,
        "failed": failed,
        "panicked": panicked,
        "timed_out": timed_out,
    })
}

fn webhooks(figures: &WebhookFigures) -> Value {
    let WebhookFigures { events: [delivered, given_up, dropped, lost, _], waiting, waiting_bytes, .. } =
        figures;
    json!({
        "waiting": waiting,
        "waiting_bytes": waiting_bytes,
        "delivered": delivered,
        "missed": given_up + dropped + lost,
    })
}

fn rule(index: usize, spec: &RuleSpec) -> Value {
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
