//! JSON as it passes through, with `serde_json` as the judge: the same texts are accepted, and the same values found.

use heliostat::tools::fuzzing::pipe;
use heliostat::tools::protocol::json::{self, Data, MAX_DEPTH, Unrelayable};
use heliostat::tools::protocol::quoted::push_quoted;
use serde_json::Value;
use serde_json::value::RawValue;

pub(crate) fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    strings_are_read_as_they_were_written(text);
    let members = json::members(text, ["event", "data", "a"]);
    let raw = serde_json::from_str::<&RawValue>(text);
    let Ok(raw) = raw else {
        assert!(members.is_err(), "{text:?}");
        return;
    };
    let value = serde_json::from_str::<Value>(text);
    match (&members, &value) {
        (Ok(found), Ok(value)) => members_are_the_last_ones(found, value, text),
        (Ok(_), Err(_)) => assert!(raw.get().starts_with('{')),
        (Err(_), Ok(value)) => assert!(!value.is_object(), "{text:?}"),
        (Err(_), Err(_)) => {}
    }
    assert_eq!(json::is_null(raw), value.as_ref().is_ok_and(Value::is_null));
    let string = serde_json::from_str::<String>(text).ok();
    assert_eq!(json::as_string(raw).as_deref(), string.as_deref(), "{text:?}");
    is_relayed(raw, value.as_ref().ok(), string.as_deref());
    if let Ok(value) = value {
        is_equal_to_its_value(raw, &value);
    }
}

fn strings_are_read_as_they_were_written(text: &str) {
    let literal = json::string_literal(text);
    assert_eq!(serde_json::from_str::<String>(&literal).ok().as_deref(), Some(text));
    let data = Data::of_text(text);
    assert_eq!((data.text().as_ref(), data.bytes()), (text, text.len()));
    let mut quoted = String::new();
    push_quoted(text, &mut quoted);
    assert_eq!(serde_json::from_str::<String>(&quoted).ok().as_deref(), Some(text));
    assert!(!quoted.contains(['\u{2028}', '\u{2029}', '\n', '\r']));
}

fn members_are_the_last_ones(found: &[Option<&RawValue>; 3], value: &Value, text: &str) {
    for (name, found) in ["event", "data", "a"].into_iter().zip(found) {
        let found = found.and_then(|found| serde_json::from_str::<Value>(found.get()).ok());
        assert_eq!(found.as_ref(), value.get(name), "{name} of {text:?}");
    }
}

fn is_relayed(raw: &RawValue, value: Option<&Value>, string: Option<&str>) {
    let mut compact = String::new();
    let compacted = json::push_compact(raw, &mut compact);
    match Data::relay(raw) {
        Ok(data) => {
            let literal = serde_json::from_str::<String>(data.literal()).expect("data is a JSON string");
            let text = data.text();
            assert_eq!((literal.as_str(), literal.len()), (text.as_ref(), data.bytes()), "{raw}");
            assert_eq!(text, string.unwrap_or(&compact), "{raw}");
            if let (Some(value), None) = (value, string) {
                assert_eq!(serde_json::from_str::<Value>(&text).ok().as_ref(), Some(value), "{raw}");
            }
        }
        Err(Unrelayable::LoneSurrogate) => assert!(raw.get().starts_with('"') && string.is_none(), "{raw}"),
        Err(Unrelayable::TooDeep) => assert!(depth(raw.get()) > MAX_DEPTH && compacted.is_err(), "{raw}"),
    }
}

/// How deep JSON text is nested.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut within, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = within,
            b'"' => within = !within,
            b'{' | b'[' if !within => depth += 1,
            b'}' | b']' if !within => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn is_equal_to_its_value(raw: &RawValue, value: &Value) {
    let rounded = json::first_rounded(raw.get());
    match rounded {
        None => assert!(json::equals(raw, value), "{raw}"),
        Some(number) => assert!(!json::is_held_exactly(number), "{number}"),
    }
    assert!(!json::equals(raw, &Value::from(vec![value.clone()])), "{raw}");
    // A rule's `where` that wants these members takes them, and one that wants another value of one does not.
    let Value::Object(members) = value else { return };
    if rounded.is_none() {
        assert!(pipe::takes(raw.get(), members), "{raw}");
    }
    if let Some((name, member)) = members.iter().next() {
        let mut others = members.clone();
        others.insert(name.clone(), Value::from(vec![member.clone()]));
        assert!(!pipe::takes(raw.get(), &others), "{raw}");
    }
}
