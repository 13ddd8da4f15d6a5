//! An hour of figures, kept by the broker itself: a sample every ten seconds, of all apps together and of each of the first.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::hub::{AppCounts, AppState, Hub, unix_ms};
use crate::webhook::{WebhookFigures, Webhooks};

/// The time between two samples, and how many are kept: an hour of them.
pub(super) const SAMPLE_EVERY: Duration = Duration::from_secs(10);
const SAMPLES: usize = 360;

/// Apps of which samples are kept. Those beyond them count in the sum alone.
const SAMPLED_APPS: usize = 32;

/// What is in a sample, in this order, behind the time: levels first, then what was counted since the sample before.
const COLUMNS: [&str; 12] = [
    "connections",
    "subscriptions",
    "channels",
    "webhooks_waiting",
    "messages_in",
    "messages_out",
    "bytes_in",
    "bytes_out",
    "events",
    "refusals",
    "webhooks_delivered",
    "webhooks_failed",
];

/// Columns that are levels and no counts.
const LEVELS: usize = 4;

/// The figures of one moment: levels, and counts since the start.
type Figures = [u64; COLUMNS.len()];

/// The samples of one app, or of all.
#[derive(Debug, Default)]
struct SampleRing {
    samples: VecDeque<(u64, Figures)>,
    /// The counts at the last sample.
    last: Option<Figures>,
}

impl SampleRing {
    fn add(&mut self, at: u64, now: Figures) {
        let before = self.last.replace(now).unwrap_or(now);
        let mut sample = now;
        for (column, value) in sample.iter_mut().enumerate().skip(LEVELS) {
            // A sum of apps may become less when one goes.
            *value = now[column].saturating_sub(before[column]);
        }
        if self.samples.len() >= SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back((at, sample));
    }

    fn to_json(&self) -> Vec<Value> {
        let row = |(at, sample): &(u64, Figures)| [*at].iter().chain(sample).copied().collect::<Vec<u64>>();
        self.samples.iter().map(|sample| json!(row(sample))).collect()
    }
}

/// An hour of figures.
#[derive(Debug, Default)]
pub(super) struct Overview {
    state: Mutex<OverviewState>,
}

#[derive(Debug, Default)]
struct OverviewState {
    all: SampleRing,
    apps: BTreeMap<String, SampleRing>,
    /// Apps beyond those.
    left_out: usize,
}

impl Overview {
    /// Takes a sample. It walks through the channels of all apps: not to be called on a worker's thread.
    pub(super) fn sample(&self, hub: &Hub, webhooks: &Webhooks) {
        let of_webhooks = webhooks.figures();
        let apps = hub.apps();
        let figures: Vec<(String, Figures)> = apps
            .iter()
            .map(|app| (app.id().to_owned(), figures_of(hub, app, of_webhooks.get(app.id()))))
            .collect();
        let mut all = counts(&hub.departed_counts(&apps));
        for (_, of_app) in &figures {
            all.iter_mut().zip(of_app).for_each(|(sum, value)| *sum += value);
        }
        all[9] = hub.refusals().values().sum();
        self.add(unix_ms(), all, figures);
    }

    fn add(&self, at: u64, all: Figures, figures: Vec<(String, Figures)>) {
        let mut state = self.state.lock();
        state.all.add(at, all);
        state.apps.retain(|id, _| figures.iter().any(|(known, _)| known == id));
        state.left_out = 0;
        for (id, of_app) in figures {
            if state.apps.len() < SAMPLED_APPS || state.apps.contains_key(&id) {
                state.apps.entry(id).or_default().add(at, of_app);
            } else {
                state.left_out += 1;
            }
        }
    }

    /// All samples of an app, or of all apps; `None` if there are none of this one.
    pub(super) fn show(&self, app: Option<&str>) -> Option<Map<String, Value>> {
        let state = self.state.lock();
        let ring = match app {
            None => &state.all,
            Some(id) => state.apps.get(id)?,
        };
        let columns = ["at"].into_iter().chain(COLUMNS).collect::<Vec<_>>();
        let named = |figures: &Figures| {
            COLUMNS.iter().zip(figures).map(|(name, value)| ((*name).to_owned(), (*value).into())).collect()
        };
        let apps = state.apps.iter().map(|(id, ring)| {
            let mut row: Map<String, Value> =
                ring.samples.back().map_or_else(Map::new, |(_, last)| named(last));
            row.insert("id".into(), id.clone().into());
            Value::Object(row)
        });
        Some(Map::from_iter([
            ("scope".to_owned(), "node".into()),
            ("interval_ms".to_owned(), json!(super::millis(SAMPLE_EVERY))),
            ("columns".to_owned(), json!(columns)),
            ("levels".to_owned(), json!(COLUMNS[..LEVELS])),
            ("samples".to_owned(), ring.to_json().into()),
            ("totals".to_owned(), ring.last.as_ref().map_or(Value::Null, |last| Value::Object(named(last)))),
            ("apps".to_owned(), apps.collect::<Vec<_>>().into()),
            ("apps_left_out".to_owned(), state.left_out.into()),
        ]))
    }
}

/// What is counted, with no levels.
fn counts(counts: &AppCounts) -> Figures {
    let AppCounts { events, messages_received, messages_sent, bytes_received, bytes_sent, .. } = counts;
    let events = events.iter().sum();
    [0, 0, 0, 0, *messages_received, *messages_sent, *bytes_received, *bytes_sent, events, 0, 0, 0]
}

fn figures_of(hub: &Hub, app: &AppState, webhooks: Option<&WebhookFigures>) -> Figures {
    let held = hub.figures_of(app);
    let mut figures = counts(&app.counts());
    figures[0] = held.connections as u64;
    figures[1] = held.subscriptions as u64;
    figures[2] = held.channels().map(|(_, count)| count as u64).sum();
    if let Some(webhooks) = webhooks {
        figures[3] = webhooks.waiting as u64;
        [figures[10], figures[11]] = webhooks.requests;
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(connections: u64, events: u64) -> Figures {
        let mut figures = [0; COLUMNS.len()];
        (figures[0], figures[8]) = (connections, events);
        figures
    }

    #[test]
    fn levels_are_told_as_they_are_and_counts_as_what_has_come() {
        let overview = Overview::default();
        for (at, connections, events) in [(1, 5, 100), (2, 7, 130), (3, 6, 130)] {
            let of_app = figures(connections, events);
            overview.add(at, of_app, vec![("1".to_owned(), of_app)]);
        }
        let shown = overview.show(Some("1")).unwrap();
        let told = |row: usize| {
            let row = &shown["samples"][row];
            [row[0].as_u64().unwrap(), row[1].as_u64().unwrap(), row[9].as_u64().unwrap()]
        };
        assert_eq!([told(0), told(1), told(2)], [[1, 5, 0], [2, 7, 30], [3, 6, 0]]);
        assert_eq!((&shown["columns"][9], &shown["totals"]["events"]), (&json!("events"), &json!(130)));
        assert!(overview.show(Some("2")).is_none());
        overview.add(4, figures(0, 0), Vec::new());
        assert!(overview.show(Some("1")).is_none(), "the app is gone");
    }

    #[test]
    fn an_hour_is_kept_and_of_so_many_apps() {
        let overview = Overview::default();
        for at in 0..SAMPLES as u64 + 5 {
            let apps = (0..SAMPLED_APPS + 3).map(|app| (format!("{app:02}"), figures(1, at))).collect();
            overview.add(at, figures(35, at), apps);
        }
        let shown = overview.show(None).unwrap();
        assert_eq!(shown["samples"].as_array().unwrap().len(), SAMPLES);
        assert_eq!((&shown["samples"][0][0], &shown["apps_left_out"]), (&json!(5), &json!(3)));
        assert_eq!(shown["apps"].as_array().unwrap().len(), SAMPLED_APPS);
    }
}
