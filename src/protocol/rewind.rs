//! How much of a channel's history a subscription asks for by itself.

use serde_json::Value;

use super::quote;

/// The last events of a channel, by their number or by their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewind {
    /// So many of them.
    Events(u32),
    /// Those of the last so many seconds.
    Seconds(u32),
}

/// What was to say how much is none of the two.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRewind {
    /// Of a subscription.
    #[error(
        "Expected parameter data.rewind to be {{\"events\":n}} or {{\"seconds\":n}} with a whole number from 1 to {}, \
         got {got}",
        u32::MAX
    )]
    Object {
        /// What came, shortened.
        got: String,
    },
    /// Of a query.
    #[error("Expected {parameter} parameter to be a whole number from 1 to {}, got {got:?}", u32::MAX)]
    Parameter {
        /// Its name.
        parameter: &'static str,
        /// What came, shortened.
        got: String,
    },
    /// A query has both.
    #[error("Expected one of the parameters rewind_events and rewind_seconds, got both")]
    Both,
}

impl Rewind {
    /// Reads it from JSON: an object with one member, `events` or `seconds`, which is a whole number and not zero.
    ///
    /// # Errors
    /// If the text is anything else.
    pub fn parse(text: &str) -> Result<Self, BadRewind> {
        let object = match serde_json::from_str(text) {
            Ok(Value::Object(object)) if object.len() == 1 => object,
            _ => return Err(BadRewind::Object { got: quote(text).into_owned() }),
        };
        let count = |name: &str| {
            let count = object.get(name).and_then(Value::as_u64)?;
            u32::try_from(count).ok().filter(|count| *count > 0)
        };
        let events = count("events").map(Rewind::Events);
        let rewind = events.or_else(|| count("seconds").map(Rewind::Seconds));
        rewind.ok_or_else(|| BadRewind::Object { got: quote(text).into_owned() })
    }

    /// Reads it from the parameters `rewind_events` and `rewind_seconds` of a query. `None` if there is neither.
    ///
    /// # Errors
    /// If there are both, or the one is no such number.
    pub fn of_query(events: Option<&str>, seconds: Option<&str>) -> Result<Option<Self>, BadRewind> {
        let count = |parameter, text: &str| {
            let is_whole = text.bytes().all(|byte| byte.is_ascii_digit());
            let count = text.parse().ok().filter(|count| is_whole && *count > 0);
            count.ok_or_else(|| BadRewind::Parameter { parameter, got: quote(text).into_owned() })
        };
        match (events, seconds) {
            (None, None) => Ok(None),
            (Some(events), None) => count("rewind_events", events).map(|count| Some(Rewind::Events(count))),
            (None, Some(seconds)) => {
                count("rewind_seconds", seconds).map(|count| Some(Rewind::Seconds(count)))
            }
            (Some(_), Some(_)) => Err(BadRewind::Both),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_number_of_events_or_of_seconds() {
        assert_eq!(Rewind::parse(r#"{"events":20}"#), Ok(Rewind::Events(20)));
        assert_eq!(Rewind::parse(r#" { "seconds" : 30 } "#), Ok(Rewind::Seconds(30)));
        assert_eq!(Rewind::parse(r#"{"events":4294967295}"#), Ok(Rewind::Events(u32::MAX)));
    }

    #[test]
    fn whatever_else_it_is_is_told() {
        for text in [
            "",
            "{",
            "20",
            "\"20\"",
            "true",
            "{}",
            "[]",
            "[20]",
            r#"{"events":0}"#,
            r#"{"events":-1}"#,
            r#"{"events":1.5}"#,
            r#"{"events":1e2}"#,
            r#"{"events":"20"}"#,
            r#"{"events":null}"#,
            r#"{"events":4294967296}"#,
            r#"{"seconds":0}"#,
            r#"{"minutes":1}"#,
            r#"{"events":1,"seconds":1}"#,
            r#"{"events":1,"more":true}"#,
        ] {
            let told = Rewind::parse(text).unwrap_err().to_string();
            assert!(told.ends_with(&format!(", got {text}")), "{told}");
        }
        let long = Rewind::parse(&"[".repeat(1000)).unwrap_err().to_string();
        assert!(long.chars().count() < 350, "{long}");
        assert_eq!(
            Rewind::parse("1").unwrap_err().to_string(),
            "Expected parameter data.rewind to be {\"events\":n} or {\"seconds\":n} with a whole number from 1 to \
             4294967295, got 1"
        );
    }

    #[test]
    fn a_query_names_one_of_them() {
        assert_eq!(Rewind::of_query(None, None), Ok(None));
        assert_eq!(Rewind::of_query(Some("20"), None), Ok(Some(Rewind::Events(20))));
        assert_eq!(Rewind::of_query(None, Some("30")), Ok(Some(Rewind::Seconds(30))));
        assert_eq!(Rewind::of_query(Some("20"), Some("30")), Err(BadRewind::Both));
        for bad in ["", "0", "+1", "-1", "1.5", " 1", "many", "4294967296"] {
            let told = Rewind::of_query(Some(bad), None).unwrap_err().to_string();
            let expected = "Expected rewind_events parameter to be a whole number from 1 to 4294967295";
            assert_eq!(told, format!("{expected}, got {bad:?}"));
            assert!(Rewind::of_query(None, Some(bad)).is_err(), "{bad}");
        }
    }
}
