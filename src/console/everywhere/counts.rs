//! Adds up what several nodes have counted, of things that are the same on all of them.

use serde_json::{Map, Number, Value};

/// What tells the things of a list apart: these members of each, written so that what differs is written otherwise.
pub(super) fn key(one: &Value, members: &[&str]) -> String {
    members.iter().map(|member| one[*member].to_string()).collect::<Vec<_>>().join(",")
}

/// Adds to members that are counts what another node has of them; of members that are objects, all that are numbers in both.
/// Where there is nothing so far, it is what the other node has. Whatever is something else stays as it is.
pub(super) fn add(sum: &mut Value, more: &Value, counts: &[&str]) {
    let (Some(sum), Some(more)) = (sum.as_object_mut(), more.as_object()) else { return };
    for (name, value) in sum.iter_mut().filter(|(name, _)| counts.contains(&name.as_str())) {
        if let Some(more) = more.get(name) {
            add_deeply(value, more);
        }
    }
}

fn add_deeply(sum: &mut Value, more: &Value) {
    match (sum, more) {
        (Value::Number(sum), Value::Number(more)) => {
            if let Some(both) = added(sum, more) {
                *sum = both;
            }
        }
        (Value::Object(sum), Value::Object(more)) => add_members(sum, more),
        (nothing @ Value::Null, Value::Number(more)) => *nothing = more.clone().into(),
        (nothing @ Value::Null, Value::Object(more)) => {
            let numbers = more.iter().filter(|(_, value)| value.is_number());
            *nothing = Value::Object(numbers.map(|(name, value)| (name.clone(), value.clone())).collect());
        }
        _ => {}
    }
}

fn add_members(sum: &mut Map<String, Value>, more: &Map<String, Value>) {
    for (name, value) in sum {
        if let (Value::Number(one), Some(Value::Number(other))) = (&*value, more.get(name))
            && let Some(both) = added(one, other)
        {
            *value = both.into();
        }
    }
}

fn added(one: &Number, other: &Number) -> Option<Number> {
    match (one.as_u64(), other.as_u64()) {
        (Some(one), Some(other)) => Some(one.saturating_add(other).into()),
        _ => Number::from_f64(one.as_f64()? + other.as_f64()?),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_counted_is_added_and_nothing_else() {
        let mut sum = json!({ "sent": 1, "rate": 0.5, "index": 7, "dropped": { "a": 1, "b": "x" }, "none": null, "yet": null });
        let more = json!({ "sent": 2, "rate": 1, "index": 7, "dropped": { "a": 2, "b": 3, "c": 4 }, "none": 3, "yet": { "a": 1, "b": "x" } });
        add(&mut sum, &more, &["sent", "rate", "dropped", "none", "yet", "nothing"]);
        assert_eq!(
            sum,
            json!({ "sent": 3, "rate": 1.5, "index": 7, "dropped": { "a": 3, "b": "x" }, "none": 3, "yet": { "a": 1 } })
        );
        for nonsense in [json!(null), json!([]), json!({ "sent": "many", "dropped": [1] })] {
            let before = sum.clone();
            add(&mut sum, &nonsense, &["sent", "dropped"]);
            assert_eq!(sum, before);
        }
        assert_eq!(key(&json!({ "a": "x\",\"", "b": 1 }), &["a", "b", "c"]), r#""x\",\"",1,null"#);
        assert_eq!(key(&json!(5), &["a"]), "null");
        let mut most = json!({ "sent": u64::MAX });
        add(&mut most, &json!({ "sent": 1 }), &["sent"]);
        assert_eq!(most["sent"], u64::MAX);
    }
}
