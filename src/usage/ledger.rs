//! What each app has used on each day: a table that is bounded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::day::Day;
use crate::hub::AppUsage;

/// Days that are kept. The oldest is forgotten.
pub(super) const MOST_DAYS: usize = 400;

/// Apps that are told apart on one day. What others use is one sum, under an id that no app has.
const MOST_APPS: usize = 10_000;

/// Apps of all days together: about 40 MB, and as much of a file. The oldest days are forgotten. A long id counts for
/// several.
const MOST_ROWS: usize = 200_000;

/// Bytes of an id that count for one more.
const LONG_ID: usize = 200;

/// The id that stands for all apps beyond the bound.
const OTHER_APPS: &str = "";

/// The days, each with the apps that have used something, by their ids.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct UsageLedger {
    days: BTreeMap<Day, BTreeMap<String, AppUsage>>,
}

impl UsageLedger {
    /// Adds what an app has used on a day. Returns whether that changes anything.
    pub(super) fn add(&mut self, day: &Day, id: &str, usage: &AppUsage) -> bool {
        let apps = match self.days.get_mut(day) {
            Some(apps) => apps,
            None => self.days.entry(day.clone()).or_default(),
        };
        let known = apps.len() < MOST_APPS || apps.contains_key(id);
        let id = if known { id } else { OTHER_APPS };
        let sum = match apps.get_mut(id) {
            Some(sum) => sum,
            None => apps.entry(id.to_owned()).or_default(),
        };
        let before = *sum;
        sum.add(usage);
        *sum != before
    }

    /// Adds all that another has.
    pub(super) fn merge(&mut self, other: &UsageLedger) {
        for (day, apps) in &other.days {
            for (id, usage) in apps {
                self.add(day, id, usage);
            }
        }
    }

    /// Forgets what is beyond the bounds, the oldest days first; never `today`.
    pub(super) fn prune(&mut self, today: &Day) {
        self.prune_to(today, MOST_DAYS, MOST_ROWS);
    }

    fn prune_to(&mut self, today: &Day, most_days: usize, most_rows: usize) {
        let weight = |apps: &BTreeMap<String, AppUsage>| -> usize {
            apps.keys().map(|id| 1 + id.len() / LONG_ID).sum()
        };
        let mut rows: usize = self.days.values().map(weight).sum();
        while self.days.len() > most_days || rows > most_rows {
            let Some(oldest) = self.days.keys().find(|day| *day != today).cloned() else { break };
            rows -= self.days.remove(&oldest).as_ref().map_or(0, weight);
        }
    }

    /// Days and apps: how many figures of apps it holds.
    pub(super) fn rows(&self) -> usize {
        self.days.values().map(BTreeMap::len).sum()
    }

    /// The last days on which something was used, no more than `most`, of one app or all.
    pub(super) fn last(&self, most: usize, app: Option<&str>) -> UsageLedger {
        let days = self.days.iter().filter_map(|(day, apps)| {
            let apps: BTreeMap<_, _> = match app {
                Some(id) => {
                    apps.get_key_value(id).map(|(id, usage)| (id.clone(), *usage)).into_iter().collect()
                }
                None => apps.clone(),
            };
            (!apps.is_empty()).then(|| (day.clone(), apps))
        });
        UsageLedger { days: days.rev().take(most).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        Day::try_from(text.to_owned()).unwrap()
    }

    fn sent(messages: u64) -> AppUsage {
        AppUsage { messages_sent: messages, peak_connections: messages, ..AppUsage::default() }
    }

    #[test]
    fn sums_grow_and_peaks_are_the_highest() {
        let mut ledger = UsageLedger::default();
        let today = day("2026-11-29");
        assert!(ledger.add(&today, "a", &sent(5)));
        assert!(ledger.add(&today, "a", &sent(3)));
        let peak = AppUsage { peak_connections: 4, ..AppUsage::default() };
        assert!(!ledger.add(&today, "a", &peak), "a lower peak changes nothing");
        let expected = AppUsage { peak_connections: 5, ..sent(8) };
        assert_eq!(ledger.last(1, Some("a")).days[&today]["a"], expected);
        let mut other = UsageLedger::default();
        other.add(&today, "a", &sent(10));
        other.add(&day("2026-11-28"), "b", &sent(1));
        ledger.merge(&other);
        assert_eq!(ledger.last(1, None).days[&today]["a"], sent(18).with_peak(10));
        assert_eq!(ledger.rows(), 2);
        assert_eq!(ledger.last(9, Some("b")).days.len(), 1);
        assert_eq!(ledger.last(0, None), UsageLedger::default());
    }

    impl AppUsage {
        fn with_peak(self, peak_connections: u64) -> Self {
            AppUsage { peak_connections, ..self }
        }
    }

    #[test]
    fn the_oldest_days_are_forgotten_and_today_never() {
        let days: Vec<Day> = (1..=9).map(|n| day(&format!("2026-11-0{n}"))).collect();
        let mut ledger = UsageLedger::default();
        days.iter().for_each(|day| assert!(ledger.add(day, "a", &sent(1)) && ledger.add(day, "b", &sent(1))));
        let kept = |ledger: &UsageLedger| ledger.days.keys().map(ToString::to_string).collect::<Vec<_>>();
        ledger.prune_to(&days[8], 5, 100);
        assert_eq!(kept(&ledger)[0], "2026-11-05");
        ledger.prune_to(&days[8], 5, 5);
        assert_eq!(kept(&ledger), ["2026-11-08", "2026-11-09"]);
        // A clock that was set back makes today the oldest.
        ledger.prune_to(&days[7], 5, 1);
        assert_eq!(kept(&ledger), ["2026-11-08"]);
    }

    #[test]
    fn apps_beyond_the_bound_are_one_sum() {
        let (mut ledger, today) = (UsageLedger::default(), day("2026-11-29"));
        (0..MOST_APPS + 50).for_each(|n| assert!(ledger.add(&today, &n.to_string(), &sent(1))));
        assert_eq!(ledger.rows(), MOST_APPS + 1);
        assert_eq!(ledger.last(1, Some("")).days[&today][""], sent(50).with_peak(1));
        ledger.add(&today, "7", &sent(1));
        assert_eq!(ledger.last(1, Some("7")).days[&today]["7"], sent(2).with_peak(1));
    }
}
