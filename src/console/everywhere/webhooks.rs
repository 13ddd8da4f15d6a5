//! The webhooks of an app on all nodes: what each has sent to an endpoint, as one list.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde_json::{Value, json};

use super::super::merged::NodeTag;
use super::counts::{add, key};

/// Attempts that are shown of an endpoint, the latest of all nodes.
const ATTEMPTS: usize = 100;

/// What is added up of an endpoint.
const COUNTS: [&str; 6] =
    ["waiting", "waiting_bytes", "delivered", "dropped", "given_up", "failed_of_latest"];

/// The endpoints of all nodes. Those of one place and one address are one.
pub(super) fn endpoints(told: &[(NodeTag, Value)]) -> Vec<Value> {
    let (mut all, mut places) = (Vec::<Value>::new(), HashMap::new());
    for (node, told) in told {
        for endpoint in told["endpoints"].as_array().into_iter().flatten().filter(|one| one.is_object()) {
            let of_node = node.put_on(json!({
                "paused": endpoint["paused"],
                "waiting": endpoint["waiting"],
                "delivered": endpoint["delivered"],
            }));
            let attempts = endpoint["attempts"].as_array().into_iter().flatten();
            let attempts: Vec<Value> = attempts.map(|attempt| node.put_on(attempt.clone())).collect();
            match places.entry(key(endpoint, &["index", "url"])) {
                Entry::Occupied(known) => merge(&mut all[*known.get()], endpoint, of_node, attempts),
                Entry::Vacant(new) => {
                    new.insert(all.len());
                    let mut first = endpoint.clone();
                    (first["attempts"], first["nodes"]) = (attempts.into(), json!([of_node]));
                    all.push(first);
                }
            }
        }
    }
    all.sort_by_key(|endpoint| endpoint["index"].as_u64());
    for endpoint in &mut all {
        if let Some(attempts) = endpoint["attempts"].as_array_mut() {
            attempts.sort_by_key(|attempt| Reverse(attempt["at"].as_u64()));
            attempts.truncate(ATTEMPTS);
        }
    }
    all
}

/// Adds what one more node has of an endpoint.
fn merge(sum: &mut Value, endpoint: &Value, of_node: Value, attempts: Vec<Value>) {
    add(sum, endpoint, &COUNTS);
    sum["oldest_ms"] = sum["oldest_ms"].as_u64().max(endpoint["oldest_ms"].as_u64()).into();
    sum["paused"] = (sum["paused"] == true || endpoint["paused"] == true).into();
    if let Some(nodes) = sum["nodes"].as_array_mut() {
        nodes.push(of_node);
    }
    if let Some(all) = sum["attempts"].as_array_mut() {
        all.extend(attempts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compared with each other, they would be a thousand million pairs.
    #[test]
    fn very_many_endpoints_of_a_forger_are_put_together_at_once() {
        let node = |name: &str| NodeTag { id: name.to_uppercase(), name: name.to_owned() };
        let many = |from: usize| {
            let one = |index: usize| json!({ "index": index, "url": "http://a/" });
            json!({ "endpoints": (from..from + 30_000).map(one).collect::<Vec<_>>() })
        };
        let began = std::time::Instant::now();
        assert_eq!(endpoints(&[(node("a"), many(0)), (node("b"), many(10_000))]).len(), 40_000);
        let took = began.elapsed();
        assert!(took < std::time::Duration::from_secs(20), "{took:?}");
    }

    #[test]
    fn an_endpoint_has_the_attempts_of_all_nodes_the_latest_first() {
        let node = |name: &str| NodeTag { id: name.to_uppercase(), name: name.to_owned() };
        let told = |waiting: u64, paused: bool, attempts: &[u64]| {
            let attempts: Vec<Value> = attempts.iter().map(|at| json!({ "id": 1, "at": at })).collect();
            json!({ "endpoints": [{
                "index": 0, "url": "http://a/", "paused": paused, "waiting": waiting, "delivered": 2, "oldest_ms": waiting,
                "attempts": attempts,
            }] })
        };
        let other = json!({ "endpoints": [{ "index": 0, "url": "http://b/", "attempts": [] }, 5] });
        let all = endpoints(&[
            (node("a"), told(1, false, &[10, 30])),
            (node("b"), told(2, true, &[20])),
            (node("c"), other),
            (node("d"), json!("nonsense")),
        ]);
        assert_eq!(all.len(), 2, "one that is configured otherwise is another one");
        let one = &all[0];
        assert_eq!(
            (&one["waiting"], &one["delivered"], &one["oldest_ms"]),
            (&json!(3), &json!(4), &json!(2))
        );
        assert_eq!((&one["paused"], &one["nodes"][1]["paused"]), (&json!(true), &json!(true)));
        let attempts: Vec<_> =
            one["attempts"].as_array().unwrap().iter().map(|of| (&of["at"], &of["node"])).collect();
        let expected = [(30, "A"), (20, "B"), (10, "A")].map(|(at, node)| (json!(at), json!(node)));
        assert_eq!(attempts, expected.iter().map(|(at, node)| (at, node)).collect::<Vec<_>>());
    }
}
