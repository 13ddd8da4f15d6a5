//! Matches payloads against a rule's `where`. Only the members that it names are looked at; the others are passed over
//! without being made values.

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::protocol::json;

/// Whether `text` is a JSON object that has every member of `wanted` with an equal value. Of a name that is repeated the
/// last one counts. Numbers are equal if their values are, to the last digit and however they are written.
pub(super) fn matches(text: &str, wanted: &Map<String, Value>) -> bool {
    // Far most often it is an object, or text that does not even begin like one.
    if !text.trim_start().starts_with('{') {
        return false;
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let found = WantedMembers(wanted).deserialize(&mut deserializer);
    found.is_ok_and(|all| all) && deserializer.end().is_ok()
}

/// The members that a payload must have, while it is read.
struct WantedMembers<'w>(&'w Map<String, Value>);

impl<'de> DeserializeSeed<'de> for WantedMembers<'_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for WantedMembers<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut found = vec![false; self.0.len()];
        while let Some(index) = map.next_key_seed(MemberIndex(self.0))? {
            match index.and_then(|index| Some((index, self.0.values().nth(index)?))) {
                Some((index, wanted)) => found[index] = json::equals(map.next_value::<&RawValue>()?, wanted),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found.into_iter().all(|equal| equal))
    }
}

/// Finds a key among the wanted names without keeping it.
struct MemberIndex<'w>(&'w Map<String, Value>);

impl<'de> DeserializeSeed<'de> for MemberIndex<'_> {
    type Value = Option<usize>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for MemberIndex<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.keys().position(|name| name == key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_named_member_must_be_there_and_equal() {
        let wanted = json!({ "kind": "camera", "n": 1, "on": true });
        let Value::Object(wanted) = wanted else { unreachable!() };
        for text in [
            r#"{"kind":"camera","n":1,"on":true}"#,
            r#" {"x":[1,{"kind":"no"}],"on":true,"n":1.0,"kind":"c\u0061mera"}"#,
            r#"{"kind":"other","kind":"camera","n":10e-1,"on":true}"#,
            r#"{"kind":"camera","n":1,"on":true,"huge":1e400}"#,
        ] {
            assert!(matches(text, &wanted), "{text}");
        }
        for text in [
            r#"{"kind":"camera","n":1}"#,
            r#"{"kind":"Camera","n":1,"on":true}"#,
            r#"{"kind":"camera","n":"1","on":true}"#,
            r#"{"kind":"camera","n":1,"on":null}"#,
            r#"{"kind":"camera","kind":"other","n":1,"on":true}"#,
            r#"{"kind":"camera","n":1e400,"on":true}"#,
            r#"[{"kind":"camera","n":1,"on":true}]"#,
            r#"{"kind":"camera","n":1,"on":true"#,
            r#"{"kind":"camera","n":1,"on":true} x"#,
            "camera",
            "",
        ] {
            assert!(!matches(text, &wanted), "{text}");
        }
        assert!(matches("{}", &Map::new()));
    }

    #[test]
    fn large_numbers_are_compared_to_the_last_digit() {
        let Value::Object(wanted) = json!({ "id": 175_928_847_299_117_063_u64 }) else { unreachable!() };
        assert!(matches(r#"{"id":175928847299117063}"#, &wanted));
        assert!(!matches(r#"{"id":175928847299117062}"#, &wanted));
        let Value::Object(wanted) = json!({ "a": [{ "id": -9_007_199_254_740_993_i64 }] }) else {
            unreachable!()
        };
        assert!(matches(r#"{"a":[{"id":-9007199254740993.0}]}"#, &wanted));
        assert!(!matches(r#"{"a":[{"id":-9007199254740992}]}"#, &wanted));
    }

    #[test]
    fn deep_values_are_compared_whole() {
        let Value::Object(wanted) = json!({ "a": { "b": [1, { "c": 2 }] } }) else { unreachable!() };
        assert!(matches(r#"{"a":{"b":[1.0,{"c":2}]}}"#, &wanted));
        assert!(!matches(r#"{"a":{"b":[1,{"c":2}],"d":0}}"#, &wanted));
        assert!(!matches(r#"{"a":{"b":[1]}}"#, &wanted));
    }
}
