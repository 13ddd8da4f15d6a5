//! A video channel on all nodes: each track where it is filmed, and the viewers of all, added up.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::super::merged::NodeTag;
use super::counts::{add, key};

/// Viewers that are named: those who are latest.
const NAMED: usize = 20;

/// What is added up of viewers, and what they see.
const OF_VIEWERS: [&str; 2] = ["count", "without_frames"];
const SEEN: [&str; 4] = ["full", "small", "waiting", "still"];

/// What all nodes have told, the first of which is this one.
pub(super) fn film(told: &[(NodeTag, Value)]) -> Value {
    json!({ "tracks": tracks(told), "cache": fullest_cache(told), "viewers": viewers(told) })
}

/// Recoveries of all nodes, so many, the latest first.
pub(super) fn recoveries(told: &[(NodeTag, Value)], most: usize) -> Vec<Value> {
    let mut all = listed(told, |told| &told["items"]);
    all.sort_by_key(|item| std::cmp::Reverse(item["at"].as_u64()));
    all.truncate(most);
    all
}

/// What nodes have listed there, each with its node.
fn listed<'t>(told: &'t [(NodeTag, Value)], of: impl Fn(&'t Value) -> &'t Value) -> Vec<Value> {
    let of_node = |(node, told): &'t (NodeTag, Value)| {
        of(told).as_array().into_iter().flatten().map(|item| node.put_on(item.clone()))
    };
    told.iter().flat_map(of_node).collect()
}

/// Each track as the node tells it where it is filmed. What other nodes have of it is shown only if that one has told nothing.
fn tracks(told: &[(NodeTag, Value)]) -> Vec<Value> {
    let all = listed(told, |told| &told["tracks"]);
    let (copies, mut shown): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|track| track["holder"]["kind"] == "node");
    let of = |track: &Value| key(track, &["event", "track", "kind"]);
    let mut known: HashSet<String> = shown.iter().map(of).collect();
    shown.extend(copies.into_iter().filter(|copy| known.insert(of(copy))));
    shown
}

/// The cache of the node that keeps the most.
fn fullest_cache(told: &[(NodeTag, Value)]) -> Option<&Value> {
    told.iter().map(|(_, told)| &told["cache"]).max_by_key(|cache| cache["bytes"].as_u64())
}

fn viewers(told: &[(NodeTag, Value)]) -> Value {
    let Some(((_, first), others)) = told.split_first() else { return Value::Null };
    let mut sum = first["viewers"].clone();
    for (_, more) in others {
        let more = &more["viewers"];
        add(&mut sum, more, &OF_VIEWERS);
        add(&mut sum["see"], &more["see"], &SEEN);
        let bands = sum["bands"].as_array_mut().into_iter().flatten();
        for (band, more) in bands.zip(more["bands"].as_array().into_iter().flatten()) {
            add(band, more, &["viewers"]);
        }
        if more["whole"] != true {
            sum["whole"] = false.into();
        }
    }
    let mut latest = listed(told, |told| &told["viewers"]["latest"]);
    latest.sort_by_key(|viewer| std::cmp::Reverse(viewer["late_ms"].as_u64()));
    latest.truncate(NAMED);
    sum["latest"] = latest.into();
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeTag {
        NodeTag { id: format!("{name}{name}"), name: name.to_owned() }
    }

    fn track(event: &str, holder: &str) -> Value {
        json!({ "event": event, "track": "", "kind": "pictures", "holder": { "kind": holder } })
    }

    fn told(tracks: &[Value], late: &[u64], bytes: u64) -> Value {
        let latest: Vec<Value> = late.iter().map(|late| json!({ "late_ms": late })).collect();
        json!({
            "tracks": tracks,
            "cache": { "bytes": bytes, "bytes_limit": 100 },
            "viewers": {
                "count": late.len(), "without_frames": 1, "whole": true, "latest": latest,
                "see": { "full": late.len(), "small": 0, "waiting": 0, "still": 0 },
                "bands": [{ "until_ms": 50, "viewers": late.len() }, { "until_ms": null, "viewers": 0 }],
            },
        })
    }

    #[test]
    fn a_track_is_shown_where_it_is_filmed_and_viewers_are_added_up() {
        let here = told(&[track("a", "node"), track("b", "client"), track("c", "node")], &[40, 3], 10);
        let there = told(&[track("a", "client"), track("b", "node")], &[9], 20);
        let shown = film(&[(node("x"), here), (node("y"), there)]);
        let tracks = shown["tracks"].as_array().unwrap().iter();
        let tracks: Vec<_> = tracks.map(|track| (&track["event"], &track["node_name"])).collect();
        let [a, b, c, x, y] = ["a", "b", "c", "x", "y"].map(|text| json!(text));
        assert_eq!(tracks, [(&b, &x), (&a, &y), (&c, &x)]);
        assert_eq!(shown["cache"]["bytes"], json!(20));
        let viewers = &shown["viewers"];
        assert_eq!((&viewers["count"], &viewers["without_frames"]), (&json!(3), &json!(2)));
        assert_eq!((&viewers["see"]["full"], &viewers["bands"][0]["viewers"]), (&json!(3), &json!(3)));
        let latest = viewers["latest"].as_array().unwrap().iter();
        let latest: Vec<_> = latest.map(|one| (one["late_ms"].as_u64(), &one["node_name"])).collect();
        assert_eq!(latest, [(Some(40), &x), (Some(9), &y), (Some(3), &x)]);
    }

    #[test]
    fn the_latest_recoveries_of_all_nodes_come_first() {
        let told =
            |at: &[u64]| json!({ "items": at.iter().map(|at| json!({ "at": at })).collect::<Vec<_>>() });
        let all = recoveries(&[(node("x"), told(&[9, 4])), (node("y"), told(&[7]))], 2);
        assert_eq!(all.iter().map(|item| item["at"].as_u64()).collect::<Vec<_>>(), [Some(9), Some(7)]);
    }
}
