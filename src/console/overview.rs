//! An hour of figures, kept by the broker itself: a sample for each ten seconds, of all apps together and of each of the first.
//!
//! A sample has its place in time: ten seconds that end at a whole multiple of ten seconds of Unix time. Figures are read when a place
//! has ended, or later where the machine is busy. What was counted between two readings is spread evenly over the time that has passed
//! between them, so a place has what was counted in its ten seconds, however late it was read.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use crate::hub::{AppCounts, AppState, Hub, unix_ms};
use crate::webhook::{WebhookFigures, Webhooks};

/// The milliseconds that a sample is of, and how many samples are kept: an hour of them.
const PLACE_MS: u64 = 10_000;
const SAMPLES: u16 = 360;

/// Apps of which samples are kept. Those beyond them count in the sum alone.
const SAMPLED_APPS: usize = 32;

/// What is in a sample, in this order, behind the time of its end: levels first, then what was counted in its time.
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

/// How long it is until a place in time ends.
pub(super) fn until_next_place(now_ms: u64) -> Duration {
    Duration::from_millis(PLACE_MS - now_ms % PLACE_MS)
}

/// The end of the last place that has ended by then.
fn last_end(ms: u64) -> u64 {
    ms - ms % PLACE_MS
}

/// When figures were read: by the time of day, which may be set, and by a clock that goes on evenly.
#[derive(Clone, Copy, Debug)]
struct ReadingTime {
    unix_ms: u64,
    steady: Instant,
}

impl ReadingTime {
    fn now() -> Self {
        ReadingTime { unix_ms: unix_ms(), steady: Instant::now() }
    }

    /// When the reading before was, by the time of day as it is now; an hour ago at the earliest.
    fn last(self, before: ReadingTime) -> u64 {
        let passed = super::millis(self.steady.saturating_duration_since(before.steady));
        let last = self.unix_ms.saturating_sub(passed.min(PLACE_MS * u64::from(SAMPLES)));
        // The two clocks differ by what is no setting.
        if self.unix_ms < before.unix_ms { last } else { last.max(before.unix_ms) }
    }
}

/// The samples of one app, or of all.
#[derive(Debug, Default)]
struct SampleRing {
    /// Each with the time of its end.
    samples: VecDeque<(u64, Figures)>,
    /// What was counted so far in the place that has not ended.
    begun: Figures,
    /// The figures as they were read last.
    last: Option<Figures>,
}

impl SampleRing {
    /// Figures are read at `to` that were read before at `from`.
    fn add(&mut self, from: u64, to: u64, now: Figures) {
        let Some(before) = self.last.replace(now) else {
            // Nothing was counted yet, and the levels hardly were others in the place that has just ended.
            return self.end_place(last_end(to), &now);
        };
        self.set_clock(last_end(from), &before);
        let mut left = now;
        // A sum of apps may become less when one goes.
        left.iter_mut().zip(before).for_each(|(value, before)| *value = value.saturating_sub(before));
        let mut at = from;
        while last_end(at) + PLACE_MS <= to {
            let end = last_end(at) + PLACE_MS;
            for (begun, left) in self.begun.iter_mut().zip(&mut left) {
                let part = u128::from(*left) * u128::from(end - at) / u128::from(to - at);
                let part = u64::try_from(part).unwrap_or(*left);
                (*begun, *left) = (begun.saturating_add(part), *left - part);
            }
            self.end_place(end, if end == last_end(to) { &now } else { &before });
            at = end;
        }
        self.begun.iter_mut().zip(left).for_each(|(begun, left)| *begun = begun.saturating_add(left));
    }

    /// Has the place that has begun be the one behind `end`, which it is unless the time of day was set.
    fn set_clock(&mut self, end: u64, levels: &Figures) {
        let newest = self.samples.back().map_or(end, |(newest, _)| *newest);
        if newest < end {
            self.end_place(newest + PLACE_MS, levels);
        }
        let ahead = newest.saturating_sub(end);
        self.samples.iter_mut().for_each(|(at, _)| *at = at.saturating_sub(ahead));
    }

    /// The place that has begun ends.
    fn end_place(&mut self, end: u64, levels: &Figures) {
        let mut sample = std::mem::take(&mut self.begun);
        sample[..LEVELS].copy_from_slice(&levels[..LEVELS]);
        if self.samples.len() >= usize::from(SAMPLES) {
            self.samples.pop_front();
        }
        self.samples.push_back((end, sample));
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
    /// When figures were read last.
    last: Option<ReadingTime>,
}

impl Overview {
    /// Reads figures. It walks through the channels of all apps: not to be called on a worker's thread.
    pub(super) fn sample(&self, hub: &Hub, webhooks: &Webhooks) {
        let at = ReadingTime::now();
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
        self.add(at, all, figures);
    }

    fn add(&self, at: ReadingTime, all: Figures, figures: Vec<(String, Figures)>) {
        let mut state = self.state.lock();
        let last = state.last.replace(at).unwrap_or(at);
        let (from, to) = (at.last(last), at.unix_ms);
        state.all.add(from, to, all);
        state.apps.retain(|id, _| figures.iter().any(|(known, _)| known == id));
        state.left_out = 0;
        for (id, of_app) in figures {
            if state.apps.len() < SAMPLED_APPS || state.apps.contains_key(&id) {
                state.apps.entry(id).or_default().add(from, to, of_app);
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
            ("interval_ms".to_owned(), PLACE_MS.into()),
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

    /// An overview, and a clock that is moved by hand.
    struct ReadByHand {
        overview: Overview,
        now: ReadingTime,
    }

    impl ReadByHand {
        fn new(unix_ms: u64) -> Self {
            ReadByHand { overview: Overview::default(), now: ReadingTime { unix_ms, steady: Instant::now() } }
        }

        /// So many milliseconds later, figures are read.
        fn read(&mut self, later_ms: u64, connections: u64, events: u64) {
            self.now.unix_ms += later_ms;
            self.now.steady += Duration::from_millis(later_ms);
            let of_app = figures(connections, events);
            self.overview.add(self.now, of_app, vec![("1".to_owned(), of_app)]);
        }

        /// When each sample ends, with its connections and events.
        fn told(&self) -> Vec<[u64; 3]> {
            let shown = self.overview.show(Some("1")).unwrap();
            let number = |value: &Value| value.as_u64().unwrap();
            let rows = shown["samples"].as_array().unwrap().iter();
            rows.map(|row| [number(&row[0]), number(&row[1]), number(&row[9])]).collect()
        }
    }

    #[test]
    fn levels_are_told_as_they_are_and_counts_as_what_has_come() {
        let mut read = ReadByHand::new(10_000);
        for (connections, events) in [(5, 100), (7, 130), (6, 130)] {
            read.read(10_000, connections, events);
        }
        assert_eq!(read.told(), [[20_000, 5, 0], [30_000, 7, 30], [40_000, 6, 0]]);
        let shown = read.overview.show(Some("1")).unwrap();
        assert_eq!((&shown["columns"][9], &shown["totals"]["events"]), (&json!("events"), &json!(130)));
        assert!(read.overview.show(Some("2")).is_none());
        read.overview.add(read.now, figures(0, 0), Vec::new());
        assert!(read.overview.show(Some("1")).is_none(), "the app is gone");
    }

    #[test]
    fn what_is_read_late_is_of_the_time_that_has_passed_and_places_stay_where_they_are() {
        let mut read = ReadByHand::new(1_000_003);
        read.read(0, 1, 0);
        assert_eq!(until_next_place(1_000_003), Duration::from_millis(9_997));
        // A hundred events a second throughout: on time, late by 4 s, on time again, late by more than two places, on time.
        for later in [9_997, 14_000, 6_000, 25_000, 5_000] {
            let events = (read.now.unix_ms + later - 1_000_003) / 10;
            read.read(later, 1, events);
        }
        let counted: Vec<u64> = read.told().iter().map(|sample| sample[2]).collect();
        assert_eq!(counted, [0, 999, 1000, 1000, 1000, 1000, 1000]);
        assert_eq!(read.told()[6][0], 1_060_000);
        assert!(read.told().windows(2).all(|pair| pair[1][0] - pair[0][0] == PLACE_MS));
        // Nothing is lost by the spreading, and levels are those that were read.
        read.read(17_000, 9, 6_004);
        read.read(3_000, 9, 6_007);
        let [.., one, other] = read.told()[..] else { panic!("there are samples") };
        assert_eq!([one[1], other[1]], [9, 9]);
        assert_eq!(read.told().iter().map(|sample| sample[2]).sum::<u64>(), 6_007);
    }

    #[test]
    fn a_time_of_day_that_is_set_neither_loses_nor_repeats_anything() {
        for set_to in [2_005_000, 1_500_000, 1_015_000_u64] {
            let mut read = ReadByHand::new(2_000_000);
            read.read(0, 1, 0);
            read.read(10_000, 1, 10);
            read.read(4_000, 1, 14);
            read.now.unix_ms = set_to;
            read.read(10_000, 1, 24);
            read.read(10_000, 1, 34);
            let told = read.told();
            assert!(told.is_sorted_by(|one, other| one[0] < other[0]), "{set_to}: {told:?}");
            assert!(told.last().unwrap()[0] <= read.now.unix_ms, "{set_to}: {told:?}");
            let counted: u64 = told.iter().map(|sample| sample[2]).sum();
            assert_eq!(34 - counted, (set_to % PLACE_MS) / 1000, "{set_to}: {told:?}");
        }
        let mut read = ReadByHand::new(2_000_000);
        read.read(0, 1, 0);
        read.read(10_000, 1, 10);
        // Forward by an hour, as after a night of a machine that slept.
        read.now.unix_ms += 3_600_000;
        read.read(10_000, 1, 20);
        assert_eq!(read.told().last(), Some(&[5_620_000, 1, 10]));
        assert_eq!(read.told()[1], [2_010_000, 1, 10]);
    }

    #[test]
    fn an_hour_is_kept_and_of_so_many_apps() {
        let overview = Overview::default();
        let start = Instant::now();
        for number in 0..u64::from(SAMPLES) + 5 {
            let apps = (0..SAMPLED_APPS + 3).map(|app| (format!("{app:02}"), figures(1, number))).collect();
            let at =
                ReadingTime { unix_ms: number * PLACE_MS, steady: start + Duration::from_secs(number * 10) };
            overview.add(at, figures(35, number), apps);
        }
        let shown = overview.show(None).unwrap();
        assert_eq!(shown["samples"].as_array().unwrap().len(), usize::from(SAMPLES));
        assert_eq!((&shown["samples"][0][0], &shown["apps_left_out"]), (&json!(50_000), &json!(3)));
        assert_eq!(shown["apps"].as_array().unwrap().len(), SAMPLED_APPS);
        // A process that was stopped for days makes no more of it than an hour.
        let days = Duration::from_secs(3 * 24 * 3600);
        let at = ReadingTime { unix_ms: super::super::millis(days), steady: start + days };
        overview.add(at, figures(35, 1_000), Vec::new());
        assert_eq!(overview.show(None).unwrap()["samples"].as_array().unwrap().len(), usize::from(SAMPLES));
    }
}
