//! The members of what is asked for in a body.

use serde_json::{Map, Value};

use super::answer::ConsoleError;

/// The text of a member; none if it is left out or empty.
///
/// # Errors
/// If it is something else.
pub(super) fn text<'a>(
    asked: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a str>, ConsoleError> {
    match asked.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(other) => Err(ConsoleError::parameter(name, "a text", other)),
    }
}

/// The text of a member that must be there.
///
/// # Errors
/// If it is not, or is something else.
pub(super) fn required<'a>(
    asked: &'a Map<String, Value>,
    name: &'static str,
    expected: &'static str,
) -> Result<&'a str, ConsoleError> {
    match asked.get(name) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(ConsoleError::parameter(name, expected, other)),
        None => Err(ConsoleError::parameter(name, expected, "nothing")),
    }
}

/// A payload as subscribers are sent it: a text as it is, anything else as JSON.
pub(super) fn data(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_member_of_another_type_is_not_taken_as_left_out() {
        let asked = json!({ "a": "x", "empty": "", "null": null, "number": 5 });
        let asked = asked.as_object().unwrap();
        assert_eq!(text(asked, "a"), Ok(Some("x")));
        for absent in ["empty", "null", "nothing"] {
            assert_eq!(text(asked, absent), Ok(None), "{absent}");
        }
        let refused = |found: Result<(), ConsoleError>| found.unwrap_err().to_string();
        assert_eq!(refused(text(asked, "number").map(drop)), "number must be a text, got 5");
        assert_eq!(required(asked, "empty", "a name"), Ok(""));
        let needed = |name| refused(required(asked, name, "a name").map(drop));
        assert_eq!(needed("number"), "number must be a name, got 5");
        assert_eq!(needed("nothing"), "nothing must be a name, got nothing");
    }
}
