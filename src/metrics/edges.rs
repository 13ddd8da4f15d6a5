//! What is at the edges of the node: sockets, HTTP, the admin listener, the fallbacks, webhooks, pipes and the log.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::feed::FeedFigures;
use crate::hub::Apps;
use crate::net::slots::ConnectionSlots;
use crate::pipe::wire::{OutgoingFigures, PipeWire};
use crate::pipe::{HookFigures, PipeCounts, RuleBook, RuleDrop, RuleTotals};
use crate::relay::RelayFigures;
use crate::telemetry::{self, LogCounts};
use crate::usage::UsageFigures;
use crate::webhook::WebhookFigures;

use super::MetricSources;
use super::apps::MOST_APPS;
use super::catalogue as is;
use super::snapshot::Snapshot;

/// Tells of everything that touches the world outside.
pub(super) fn collect(sources: &MetricSources, snapshot: &mut Snapshot) {
    http(sources, snapshot);
    snapshot.tell(is::GUESSING_ADDRESSES, sources.guesses.len(Instant::now()));
    snapshot.tell(is::UNSEEN_GUESSES, sources.guesses.unseen());
    let FeedFigures { viewers, nodes, bytes, entries, left_out } = sources.feed.figures();
    snapshot.tell(is::CONSOLE_VIEWERS, viewers);
    snapshot.tell(is::CONSOLE_NODES, nodes);
    snapshot.tell(is::CONSOLE_BYTES, bytes);
    snapshot.tell(is::CONSOLE_ENTRIES, entries);
    snapshot.tell(is::CONSOLE_LEFT_OUT, left_out);
    sockets(&sources.slots, snapshot);
    snapshot.tell(is::FALLBACK_SESSIONS, sources.sessions.len());
    snapshot.tell(is::IMPATIENT_SENDS, sources.sessions.impatient());
    let most_connections = sources.hub.sockets().limit();
    if most_connections > 0 {
        snapshot.tell_of(is::LIMIT, ["connections".into()], most_connections);
    }
    if let Some(certificates) = &sources.certificates {
        for certificate in certificates.status() {
            let file = certificate.certificate.to_string_lossy().into_owned();
            snapshot.tell_of(is::CERTIFICATE_EXPIRY, [file.into()], certificate.not_after as f64);
        }
        snapshot.tell(is::CERTIFICATE_FAILURES, certificates.failed_reloads());
    }
    webhooks(sources.webhooks.figures(), snapshot);
    relays(sources.relays.figures(), snapshot);
    backends(&sources.hub.apps(), &sources.wire, snapshot);
    rules(&sources.rules, snapshot);
    hooks(&sources.hooks, snapshot);
    if let Some(usage) = &sources.usage {
        let UsageFigures { rows, failures } = usage.figures();
        snapshot.tell(is::USAGE_ROWS, rows);
        snapshot.tell(is::USAGE_FAILURES, failures);
    }
    log(telemetry::counts(), snapshot);
}

fn http(sources: &MetricSources, snapshot: &mut Snapshot) {
    let (answered, times) = sources.requests.read();
    for ((route, method, status), count) in answered {
        let labels = [route.into(), method.into(), status.to_string().into()];
        snapshot.tell_of(is::HTTP_REQUESTS, labels, count);
    }
    for (route, durations) in times {
        snapshot.tell_of(is::HTTP_DURATION, [route.into()], durations);
    }
    snapshot.tell(is::HTTP_UNFINISHED, sources.unfinished.bytes());
}

fn sockets(slots: &ConnectionSlots, snapshot: &mut Snapshot) {
    let figures = slots.figures();
    snapshot.tell(is::SOCKETS, figures.open);
    snapshot.tell(is::SOCKETS_IDLE, figures.idle);
    snapshot.tell(is::SOCKETS_HTTP, figures.http);
    snapshot.tell(is::TLS_HANDSHAKES_UNDER_WAY, figures.handshakes);
    snapshot.tell_of(is::LIMIT, ["sockets".into()], figures.most_open);
    if figures.most_http > 0 {
        snapshot.tell_of(is::LIMIT, ["http_sockets".into()], figures.most_http);
    }
    let counters = slots.counters();
    snapshot.tell(is::SOCKETS_ACCEPTED, counters.accepted.get());
    snapshot.tell(is::SOCKETS_REFUSED, counters.refused.get());
    snapshot.tell(is::SOCKETS_EVICTED, counters.evicted.get());
    snapshot.tell(is::SOCKETS_TIMED_OUT, counters.timed_out.get());
    snapshot.tell(is::PROXY_HEADERS_REFUSED, counters.headers_refused.get());
    snapshot.tell_of(is::TLS_HANDSHAKES, ["completed".into()], counters.handshakes_completed.get());
    snapshot.tell_of(is::TLS_HANDSHAKES, ["failed".into()], counters.handshakes_failed.get());
}

/// Apps that have webhooks are those that a configuration has given some: they are always told one by one.
fn webhooks(apps: BTreeMap<String, WebhookFigures>, snapshot: &mut Snapshot) {
    if apps.len() > MOST_APPS {
        return;
    }
    for (id, figures) in apps {
        let id = || id.clone().into();
        for (result, count) in ["delivered", "failed"].into_iter().zip(figures.requests) {
            snapshot.tell_of(is::WEBHOOK_REQUESTS, [id(), result.into()], count);
        }
        let results = ["delivered", "given_up", "dropped", "lost", "elsewhere"];
        for (result, count) in results.into_iter().zip(figures.events) {
            snapshot.tell_of(is::WEBHOOK_EVENTS, [id(), result.into()], count);
        }
        snapshot.tell_of(is::WEBHOOK_WAITING, [id()], figures.waiting);
        snapshot.tell_of(is::WEBHOOK_WAITING_BYTES, [id()], figures.waiting_bytes);
        snapshot.tell_of(is::WEBHOOK_AGE, [id()], figures.oldest.as_secs_f64());
        snapshot.tell_of(is::WEBHOOK_UNSORTED, [id()], figures.unsorted);
        snapshot.tell_of(is::WEBHOOK_HELD, [id()], figures.held);
    }
}

/// Apps that have relays are told one by one, for the same reason.
fn relays(apps: BTreeMap<String, RelayFigures>, snapshot: &mut Snapshot) {
    if apps.len() > MOST_APPS {
        return;
    }
    const RESULTS: [&str; 6] = ["sent", "refused", "unknown", "dropped", "given_up", "not_relayed"];
    for (id, figures) in apps {
        let id = || id.clone().into();
        for (result, count) in RESULTS.into_iter().zip(figures.events) {
            snapshot.tell_of(is::RELAY_EVENTS, [id(), result.into()], count);
        }
        snapshot.tell_of(is::RELAY_RETRIES, [id()], figures.retries);
        snapshot.tell_of(is::RELAY_WAITING, [id()], figures.waiting);
        snapshot.tell_of(is::RELAY_WAITING_BYTES, [id()], figures.waiting_bytes);
        snapshot.tell_of(is::RELAY_AGE, [id()], figures.oldest.as_secs_f64());
    }
}

fn backends(apps: &Apps, wire: &PipeWire, snapshot: &mut Snapshot) {
    let mut ids: Vec<&str> = apps.iter().map(|app| app.id()).collect();
    ids.sort_unstable();
    if ids.len() > MOST_APPS {
        return;
    }
    for id in ids {
        let (backends, figures) = wire.figures_of(id);
        let OutgoingFigures { answer_bytes, notifications, notification_bytes, missed } = figures;
        let id = || id.to_owned().into();
        snapshot.tell_of(is::PIPE_BACKENDS, [id()], backends);
        snapshot.tell_of(is::PIPE_WAITING, [id()], notifications);
        snapshot.tell_of(is::PIPE_WAITING_BYTES, [id()], notification_bytes);
        snapshot.tell_of(is::PIPE_ANSWER_BYTES, [id()], answer_bytes);
        snapshot.tell_of(is::PIPE_MISSED, [id()], missed);
    }
}

/// Rules that are told one by one. Where there are more, only their sums are told, app by app.
const MOST_RULES: usize = 1000;

fn rules(rules: &RuleBook, snapshot: &mut Snapshot) {
    for (id, rules) in rules.all(MOST_RULES) {
        for (number, rule) in rules.iter().enumerate() {
            let RuleTotals { matched, sent, dropped } = rule.counts.totals();
            let dropped = RuleDrop::ALL.map(RuleDrop::name).into_iter().zip(dropped);
            for (result, count) in [("heard", matched), ("sent", sent)].into_iter().chain(dropped) {
                let labels = [id.clone().into(), number.to_string().into(), result.into()];
                snapshot.tell_of(is::RULE_EVENTS, labels, count);
            }
        }
    }
}

fn hooks(hooks: &[(String, HookFigures)], snapshot: &mut Snapshot) {
    for (number, (id, figures)) in hooks.iter().enumerate() {
        let labels = || [id.clone().into(), number.to_string().into()];
        let PipeCounts { heard, dropped, failed, panicked, timed_out } = figures.counts();
        let results = [
            ("heard", heard),
            ("dropped", dropped),
            ("failed", failed),
            ("panicked", panicked),
            ("timed_out", timed_out),
        ];
        for (result, count) in results {
            let [id, hook] = labels();
            snapshot.tell_of(is::HOOK_EVENTS, [id, hook, result.into()], count);
        }
        let (events, bytes) = figures.waiting();
        snapshot.tell_of(is::HOOK_WAITING, labels(), events);
        snapshot.tell_of(is::HOOK_WAITING_BYTES, labels(), bytes);
    }
}

fn log(counts: LogCounts, snapshot: &mut Snapshot) {
    let LogCounts { dropped, left_out, waiting_bytes } = counts;
    snapshot.tell_of(is::LOG_LINES, ["dropped".into()], dropped);
    snapshot.tell_of(is::LOG_LINES, ["left_out".into()], left_out);
    snapshot.tell(is::LOG_WAITING, waiting_bytes);
}
