//! What whoever mistyped a name may have meant.

use crate::config::nearest;

/// What is wrong with JSON, and which of the names that were expected, or of `others`, is nearest to one that is unknown.
pub(super) fn explained(error: &serde_json::Error, others: &[&str]) -> String {
    let said = error.to_string();
    let meant = meant(&said, others);
    with_meant(said, meant)
}

/// A sentence, and what was meant, if that is known.
pub(super) fn with_meant(said: String, meant: Option<String>) -> String {
    match meant {
        Some(meant) => format!("{said}; did you mean {meant:?}?"),
        None => said,
    }
}

/// An error that names what is unknown also names, in the same way, what it expected.
fn meant(said: &str, others: &[&str]) -> Option<String> {
    let unknown =
        ["unknown field `", "unknown variant `"].iter().find_map(|begin| said.strip_prefix(begin))?;
    let (name, expected) = unknown.split_once("`, ")?;
    let expected = expected.split('`').skip(1).step_by(2);
    nearest(name, expected.chain(others.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        Frames,
        IgnorePings,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Named {
        channel: Option<String>,
        #[serde(rename = "type")]
        word: Option<Word>,
    }

    fn read(text: &str) -> String {
        match serde_json::from_str::<Named>(text) {
            Ok(named) => panic!("{:?} {:?}", named.channel, named.word),
            Err(error) => explained(&error, &["count"]),
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest() {
        for (text, meant) in [
            (r#"{"chanel":"room"}"#, "channel"),
            (r#"{"type":"ignore_ping"}"#, "ignore_pings"),
            (r#"{"type":"frame"}"#, "frames"),
            (r#"{"cuont":1}"#, "count"),
        ] {
            let said = read(text);
            assert!(said.ends_with(&format!("; did you mean {meant:?}?")), "{said}");
        }
        for text in [r#"{"zzz":1}"#, r#"{"channel":1}"#, r#"{"type":"zzz"}"#, "["] {
            let said = read(text);
            assert!(!said.contains("did you mean"), "{said}");
        }
    }
}
