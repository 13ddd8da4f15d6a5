//! Whether JSON text stands for a value.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::as_string;
use super::number::Decimal;

/// Whether the text stands for the value. Numbers are equal if their values are, to the last digit and however they are
/// written; of a name that is repeated the last one counts. Only as much of the text is looked at as the value has.
pub fn equals(text: &RawValue, wanted: &Value) -> bool {
    let json = text.get();
    match wanted {
        Value::Null => json == "null",
        Value::Bool(wanted) => json == if *wanted { "true" } else { "false" },
        Value::String(wanted) => as_string(text).is_some_and(|text| text == *wanted),
        Value::Number(wanted) => {
            let wanted = wanted.to_string();
            Decimal::read(json).is_some_and(|number| Decimal::read(&wanted) == Some(number))
        }
        Value::Array(wanted) => serde_json::from_str::<Vec<&RawValue>>(json).is_ok_and(|items| {
            items.len() == wanted.len() && items.iter().zip(wanted).all(|(item, wanted)| equals(item, wanted))
        }),
        Value::Object(wanted) => {
            serde_json::from_str::<HashMap<Cow<'_, str>, &RawValue>>(json).is_ok_and(|members| {
                let found = |name: &str, wanted| members.get(name).is_some_and(|found| equals(found, wanted));
                members.len() == wanted.len() && wanted.iter().all(|(name, wanted)| found(name, wanted))
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn is(text: &str, wanted: &Value) -> bool {
        equals(serde_json::from_str(text).unwrap(), wanted)
    }

    #[test]
    fn numbers_are_compared_to_the_last_digit_at_every_depth() {
        let id = 175_928_847_299_117_063_u64;
        for wrap in ["{}", "[1,{}]", r#"{"a":{"b":[{}]}}"#] {
            let text = |number: &str| wrap.replacen("{}", number, 1);
            let wanted: Value = serde_json::from_str(&text(&id.to_string())).unwrap();
            for equal in ["175928847299117063", "175928847299117063.0", "1759288472991170630e-1"] {
                assert!(is(&text(equal), &wanted), "{wrap} {equal}");
            }
            for other in
                ["175928847299117062", "175928847299117064", "175928847299117063.5", "1.75928847299117063e18"]
            {
                assert!(!is(&text(other), &wanted), "{wrap} {other}");
            }
        }
        assert!(
            is("18446744073709551615", &json!(u64::MAX)) && !is("18446744073709551616", &json!(u64::MAX))
        );
        assert!(
            is("-9223372036854775808.0", &json!(i64::MIN)) && !is("-9223372036854775809", &json!(i64::MIN))
        );
        assert!(is("1e-1", &json!(0.1)) && !is("0.10000000000000001", &json!(0.1)));
        assert!(!is("9007199254740993", &json!(9_007_199_254_740_992.0)));
    }

    #[test]
    fn nothing_is_equal_to_a_value_of_another_type() {
        let values = ["null", "true", "false", "1", "\"1\"", "\"\"", "[]", "{}", "[1]", r#"{"a":1}"#];
        for (n, text) in values.iter().enumerate() {
            for (m, wanted) in values.iter().enumerate() {
                assert_eq!(is(text, &serde_json::from_str(wanted).unwrap()), n == m, "{text} {wanted}");
            }
        }
        assert!(is(r#"{"a":2,"a":1}"#, &json!({ "a": 1 })) && is(r#""\u0061""#, &json!("a")));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(".{0,2}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// The same value with its first number, at whatever depth, one larger in its last digit.
    fn nudged(value: &Value) -> Option<Value> {
        match value {
            Value::Number(number) => {
                let next = number.as_u64().and_then(|n| n.checked_add(1)).map(Value::from);
                next.or_else(|| number.as_i64().and_then(|n| n.checked_add(1)).map(Value::from))
            }
            Value::Array(items) => items.iter().enumerate().find_map(|(at, item)| {
                let mut items = items.clone();
                items[at] = nudged(item)?;
                Some(items.into())
            }),
            Value::Object(members) => members.iter().find_map(|(name, member)| {
                let mut members = members.clone();
                members.insert(name.clone(), nudged(member)?);
                Some(Value::Object(members))
            }),
            Value::Null | Value::Bool(_) | Value::String(_) => None,
        }
    }

    proptest! {
        #[test]
        fn a_value_is_equal_to_its_own_text_and_to_no_neighbour(value in value()) {
            let text = value.to_string();
            prop_assert!(is(&text, &value), "{}", text);
            if let Some(other) = nudged(&value) {
                prop_assert!(!is(&text, &other), "{} {}", text, other);
            }
        }
    }
}
