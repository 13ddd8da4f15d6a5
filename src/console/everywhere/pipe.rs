//! The pipe of an app on all nodes: what its rules and backends have done, added up.

use serde_json::{Value, json};

use super::super::merged::NodeTag;
use super::counts::add;

/// What is added up of all of it, of a rule, and of what waits somewhere.
const OF_APP: [&str; 2] = ["paced_out", "sent"];
const OF_RULE: [&str; 4] = ["matched", "sent", "dropped", "per_second"];
const OF_QUEUE: [&str; 12] = [
    "connected",
    "waiting",
    "waiting_bytes",
    "answer_bytes",
    "missed",
    "left_out",
    "heard",
    "dropped",
    "failed",
    "panicked",
    "timed_out",
    "delivered",
];

/// What a rule is.
const RULE: [&str; 10] = [
    "from",
    "event",
    "to",
    "rename",
    "add",
    "pick",
    "filter",
    "hears_clients",
    "hears_http",
    "min_interval_ms",
];

/// Backends that are shown one by one.
const BACKENDS: usize = 100;

/// What all nodes have told, the first of which is this one: its rules, with what all have done by them.
pub(super) fn pipe(told: &[(NodeTag, Value)]) -> Value {
    let Some(((this, first), others)) = told.split_first() else { return json!({}) };
    let mut sum = first.clone();
    tell_of(&mut sum, this);
    for (node, more) in others {
        let mut more = more.clone();
        tell_of(&mut more, node);
        add(&mut sum, &more, &OF_APP);
        for name in ["backends", "webhooks"] {
            if let Some(queue) = sum.get_mut(name) {
                add(queue, &more[name], &OF_QUEUE);
            }
        }
        each_with(&mut sum, "hooks", &more, |hook, more| add(hook, more, &OF_QUEUE));
        each_with(&mut sum, "rules", &more, add_rule);
        let each = more["backends"]["each"].as_array().into_iter().flatten();
        if let Some(backends) = sum["backends"]["each"].as_array_mut() {
            backends.extend(each.cloned());
            let cut = backends.len().saturating_sub(BACKENDS);
            backends.truncate(BACKENDS);
            add(&mut sum["backends"], &json!({ "left_out": cut }), &["left_out"]);
        }
    }
    sum["nodes"] = told.iter().map(|(node, told)| node.put_on(of_node(first, told))).collect();
    sum
}

/// Has what is told of single backends, and what rules did last, say where that was.
fn tell_of(told: &mut Value, node: &NodeTag) {
    let list = |value: Option<&mut Value>| value.and_then(Value::as_array_mut).map(std::mem::take);
    if let Some(backends) = told.get_mut("backends")
        && let Some(each) = list(backends.get_mut("each"))
    {
        backends["each"] = each.into_iter().map(|backend| node.put_on(backend)).collect();
    }
    for rule in told.get_mut("rules").and_then(Value::as_array_mut).into_iter().flatten() {
        for name in ["last_match", "last_drop"] {
            if let Some(note) = rule.get_mut(name) {
                *note = node.put_on(note.take());
            }
        }
    }
}

/// Does something with each item of a list and what another node has in its place.
fn each_with(sum: &mut Value, list: &str, more: &Value, work: impl Fn(&mut Value, &Value)) {
    let items = sum.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
    items.zip(more[list].as_array().into_iter().flatten()).for_each(|(item, more)| work(item, more));
}

fn is_same(rule: &Value, other: &Value) -> bool {
    RULE.iter().all(|name| rule[name] == other[name])
}

/// Adds what another node has done by a rule, if it is the same there; and shows what was last anywhere.
fn add_rule(rule: &mut Value, more: &Value) {
    if !is_same(rule, more) {
        return;
    }
    add(rule, more, &OF_RULE);
    for name in ["last_match", "last_drop"] {
        if more[name]["at"].as_u64() > rule[name]["at"].as_u64() {
            rule[name] = more[name].clone();
        }
    }
}

/// What one node has done, in short; and whether it has other rules than this one.
fn of_node(first: &Value, told: &Value) -> Value {
    let rules = |value: &Value| value["rules"].as_array().cloned().unwrap_or_default();
    let (own, its) = (rules(first), rules(told));
    let differs = own.len() != its.len() || own.iter().zip(&its).any(|(own, its)| !is_same(own, its));
    let counted = its.iter().map(|rule| json!({ "matched": rule["matched"], "sent": rule["sent"] }));
    json!({
        "sent": told["sent"],
        "paced_out": told["paced_out"],
        "backends": told["backends"]["connected"],
        "rules": counted.collect::<Vec<_>>(),
        "differs": differs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_rules_of_all_nodes_did_is_added_up_and_told_by_node() {
        let node = |name: &str| NodeTag { id: name.to_uppercase(), name: name.to_owned() };
        let told = |from: &str, matched: u64, at: Option<u64>, backend: &str| {
            json!({
                "rules": [{ "from": from, "event": "e", "matched": matched, "sent": 1, "dropped": { "pace": 2 },
                    // The first node has been there for too short a time.
                    "per_second": (matched != 3).then_some(json!({ "matched": 0.5, "sent": 2.0 })),
                    "last_match": at.map(|at| json!({ "at": at })) }],
                "sent": matched, "paced_out": 0,
                "backends": { "connected": 1, "waiting": 5, "each": [{ "socket_id": backend }] },
            })
        };
        let all = pipe(&[
            (node("a"), told("cam-*", 3, Some(10), "1.1")),
            (node("b"), told("cam-*", 4, Some(20), "2.1")),
            (node("c"), told("other", 100, Some(30), "3.1")),
            (node("d"), json!(7)),
        ]);
        let rule = &all["rules"][0];
        assert_eq!((&rule["matched"], &rule["dropped"]["pace"]), (&json!(7), &json!(4)));
        assert_eq!(rule["per_second"], json!({ "matched": 0.5, "sent": 2.0 }), "it is that of the other");
        assert_eq!(rule["last_match"], json!({ "at": 20, "node": "B", "node_name": "b" }));
        assert_eq!((&all["sent"], &all["backends"]["waiting"]), (&json!(107), &json!(15)));
        let each = all["backends"]["each"].as_array().unwrap();
        assert_eq!(each.iter().map(|one| &one["node"]).collect::<Vec<_>>(), ["A", "B", "C"]);
        let differ: Vec<_> = all["nodes"].as_array().unwrap().iter().map(|of| &of["differs"]).collect();
        assert_eq!(differ, [&json!(false), &json!(false), &json!(true), &json!(true)]);
        assert_eq!(all["nodes"][1]["rules"][0]["matched"], 4);
    }
}
