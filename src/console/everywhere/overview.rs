//! An hour of figures of all nodes: their samples added up, each where it is in time by how long ago it was.
//!
//! The clocks of nodes may differ. So a sample is known by how many samples the node has taken since, and by how long ago the last one was
//! when the node told of it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde_json::{Value, json};

use super::super::merged::NodeTag;
use super::counts::{add, key};

/// Samples that are shown.
const SAMPLES: usize = 360;

/// Apps that are shown, and kinds of refusals.
const NAMED: usize = 256;

/// The newest places in time that are left out at the most, until all nodes have taken their samples of them. A node that is later
/// than that counts as none there.
const UNFINISHED: usize = 3;

/// The samples of a node by their age, the latest first: none where it has taken none.
type Rows = Vec<Option<Vec<u64>>>;

/// What a node has told.
struct ToldOverview {
    interval_ms: u64,
    columns: Vec<String>,
    rows: Rows,
}

impl ToldOverview {
    /// `None` if it is no overview.
    fn read(told: &Value) -> Option<Self> {
        let interval_ms = told["interval_ms"].as_u64().filter(|interval| *interval > 0)?;
        let column = |name: &Value| name.as_str().map(str::to_owned);
        let columns: Vec<String> = told["columns"].as_array()?.iter().map(column).collect::<Option<_>>()?;
        let number = |value: &Value| value.as_u64();
        let sample = |row: &Value| row.as_array()?.iter().map(number).collect::<Option<Vec<u64>>>();
        let samples: Vec<Vec<u64>> = told["samples"].as_array()?.iter().map(sample).collect::<Option<_>>()?;
        if columns.is_empty() || samples.iter().any(|sample| sample.len() != columns.len()) {
            return None;
        }
        let now = told["now"].as_u64()?;
        Some(ToldOverview { interval_ms, rows: by_age(&samples, now, interval_ms, levels(told)), columns })
    }
}

/// How many of the columns behind the time are levels.
fn levels(told: &Value) -> usize {
    told["levels"].as_array().map_or(0, Vec::len)
}

/// The samples by how many intervals ago they were. Of two in one place, counts are added. Where one was taken late, the
/// levels stay what they were before.
fn by_age(samples: &[Vec<u64>], now: u64, interval: u64, levels: usize) -> Rows {
    let mut rows: Rows = Vec::new();
    let Some(latest) = samples.last().map(|sample| sample[0]) else { return rows };
    let since = now.saturating_sub(latest) / interval;
    for sample in samples.iter().rev() {
        let age =
            since.saturating_add(latest.saturating_sub(sample[0]).saturating_add(interval / 2) / interval);
        let Some(age) = usize::try_from(age).ok().filter(|age| *age < SAMPLES) else { break };
        if rows.len() <= age {
            rows.resize(age + 1, None);
        }
        match &mut rows[age] {
            Some(row) => {
                row.iter_mut()
                    .zip(sample)
                    .skip(1 + levels)
                    .for_each(|(sum, more)| *sum = sum.saturating_add(*more));
            }
            empty => *empty = Some(sample.clone()),
        }
    }
    let mut before: Option<Vec<u64>> = None;
    for row in rows.iter_mut().skip(usize::try_from(since).unwrap_or(SAMPLES)).rev() {
        match row {
            Some(row) => before = Some(row.clone()),
            missing => {
                *missing = before.clone().map(|mut row| {
                    row.iter_mut().skip(1 + levels).for_each(|count| *count = 0);
                    row
                });
            }
        }
    }
    rows
}

/// What all nodes have told, the first of which is this one; and those whose words are no overview.
pub(super) fn overview(told: Vec<(NodeTag, Value)>) -> (Value, Vec<NodeTag>) {
    let mut told = told.into_iter();
    let Some((this, mut sum)) = told.next() else { return (json!({}), Vec::new()) };
    let mut nodes = vec![this.put_on(latest(&sum))];
    let Some(mut own) = ToldOverview::read(&sum) else { return (sum, vec![this]) };
    let mut unfinished = unfinished_rows(&own.rows);
    let mut unread = Vec::new();
    for (node, more) in told {
        match ToldOverview::read(&more) {
            Some(read) if read.interval_ms == own.interval_ms && read.columns == own.columns => {
                unfinished = unfinished.max(unfinished_rows(&read.rows));
                add_rows(&mut own.rows, read.rows);
            }
            _ => {
                unread.push(node);
                continue;
            }
        }
        nodes.push(node.put_on(latest(&more)));
        let columns: Vec<&str> = own.columns.iter().map(String::as_str).collect();
        add(&mut sum["totals"], &more["totals"], &columns);
        add_named(&mut sum["apps"], &more["apps"], &["id"], &columns);
        add_named(&mut sum["refusals"], &more["refusals"], &["what", "code"], &["count"]);
    }
    // Shown as if they were whole, they would be less than what was before and what comes.
    own.rows.iter_mut().take(unfinished).for_each(|row| *row = None);
    sum["samples"] = rows_as_samples(own.rows, sum["now"].as_u64().unwrap_or_default(), own.interval_ms);
    sum["scope"] = "cluster".into();
    sum["nodes"] = nodes.into();
    (sum, unread)
}

/// How many of the newest places a node has taken no sample for yet, though it is about to.
fn unfinished_rows(rows: &Rows) -> usize {
    rows.iter().take(UNFINISHED + 1).position(Option::is_some).unwrap_or_default()
}

fn add_rows(sum: &mut Rows, more: Rows) {
    sum.resize(sum.len().max(more.len()), None);
    for (sum, more) in sum.iter_mut().zip(more) {
        match (sum, more) {
            (Some(sum), Some(more)) => {
                sum.iter_mut().zip(more).for_each(|(sum, more)| *sum = sum.saturating_add(more));
            }
            (empty @ None, more) => *empty = more,
            (Some(_), None) => {}
        }
    }
}

/// The samples in the order of time, at the times at which they would be here: the ends of places in time.
fn rows_as_samples(rows: Rows, now: u64, interval: u64) -> Value {
    let timed = rows.into_iter().zip(0_u64..).filter_map(|(row, age)| {
        let mut row = row?;
        row[0] = (now - now % interval).saturating_sub(age * interval);
        Some(row)
    });
    let mut samples: Vec<Vec<u64>> = timed.collect();
    samples.reverse();
    json!(samples)
}

/// Adds what is told of things that have a name each.
fn add_named(sum: &mut Value, more: &Value, name: &[&str], counts: &[&str]) {
    let Some(all) = sum.as_array_mut() else { return };
    let mut places: HashMap<String, usize> = all.iter().map(|one| key(one, name)).zip(0..).collect();
    for one in more.as_array().into_iter().flatten().filter(|one| one.is_object()) {
        match places.entry(key(one, name)) {
            Entry::Occupied(known) => add(&mut all[*known.get()], one, counts),
            Entry::Vacant(new) if all.len() < NAMED => {
                new.insert(all.len());
                all.push(one.clone());
            }
            Entry::Vacant(_) => {}
        }
    }
}

/// The latest sample of a node by the names of its columns.
fn latest(told: &Value) -> Value {
    let sample = told["samples"].as_array().and_then(|samples| samples.last()?.as_array());
    let columns = told["columns"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let named =
        columns.zip(sample.into_iter().flatten()).map(|(name, value)| (name.to_owned(), value.clone()));
    Value::Object(named.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeTag {
        NodeTag { id: name.to_uppercase(), name: name.to_owned() }
    }

    /// Of these samples: when, connections, events.
    fn told(now: u64, samples: &[[u64; 3]], refused: u64) -> Value {
        json!({
            "interval_ms": 10_000, "now": now, "columns": ["at", "connections", "events"], "levels": ["connections"],
            "samples": samples, "totals": { "connections": 1, "events": 9 },
            "apps": [{ "id": "1", "connections": 1, "events": 2 }],
            "refusals": [{ "what": "message", "code": 4009, "count": refused }],
        })
    }

    #[test]
    fn samples_of_all_nodes_are_added_up_by_their_age() {
        let own = told(105_000, &[[80_000, 1, 5], [90_000, 2, 6], [100_000, 3, 7]], 1);
        // The clock of this one is another, it has missed a moment, and it has been there for longer.
        let other = told(9_998_000, &[[9_960_100, 10, 1], [9_970_000, 20, 2], [9_990_000, 40, 4]], 2);
        let (all, unread) = overview(vec![(node("a"), own), (node("b"), other), (node("c"), json!([]))]);
        assert_eq!(unread, [node("c")]);
        assert_eq!(
            all["samples"],
            json!([[70_000, 10, 1], [80_000, 21, 7], [90_000, 22, 6], [100_000, 43, 11]])
        );
        assert_eq!((&all["totals"]["events"], &all["apps"][0]["events"]), (&json!(18), &json!(4)));
        assert_eq!(all["refusals"], json!([{ "what": "message", "code": 4009, "count": 3 }]));
        let nodes = all["nodes"].as_array().unwrap();
        assert_eq!(nodes.len(), 2);
        assert_eq!((&nodes[1]["node"], &nodes[1]["connections"]), (&json!("B"), &json!(40)));
    }

    #[test]
    fn what_not_all_nodes_have_sampled_yet_is_not_shown_as_if_it_were_whole() {
        let taken = told(105_000, &[[80_000, 1, 5], [90_000, 1, 5], [100_000, 1, 5]], 0);
        let samples = |other: Value| {
            let (all, _) = overview(vec![(node("a"), taken.clone()), (node("b"), other)]);
            let samples = all["samples"].as_array().unwrap().clone();
            samples.iter().map(|row| row[2].as_u64().unwrap()).collect::<Vec<_>>()
        };
        // It is about to take its own: of the last ten seconds nobody knows all.
        assert_eq!(samples(told(510_100, &[[490_000, 1, 5], [500_000, 1, 5]], 0)), [10, 10]);
        assert_eq!(
            samples(told(510_200, &[[490_000, 1, 5], [500_000, 1, 5], [510_100, 1, 5]], 0)),
            [10, 10, 10]
        );
        // One that is stuck holds nothing up, and one that has just come has nothing to tell.
        assert_eq!(samples(told(600_000, &[[490_000, 1, 5], [500_000, 1, 5]], 0)).last(), Some(&5));
        assert_eq!(samples(told(600_000, &[], 0)), [5, 5, 5]);
    }

    #[test]
    fn nothing_is_lost_of_what_was_counted_however_samples_are_spaced() {
        let samples = [[0, 1, 1], [9_000, 1, 2], [14_000, 1, 4], [40_000, 1, 8], [49_000, 1, 16]];
        let rows = by_age(&samples.map(Vec::from), 50_000, 10_000, 1);
        let events: u64 = rows.iter().flatten().map(|row| row[2]).sum();
        assert_eq!(events, 31);
        assert!(rows.iter().all(|row| row.as_ref().is_some_and(|row| row[1] == 1)), "{rows:?}");
        assert!(by_age(&[], 5, 10, 1).is_empty());
        assert!(by_age(&[vec![5, 0, 0]], u64::MAX, 1, 1).is_empty(), "of long ago");
    }
}
