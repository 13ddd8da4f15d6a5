//! What commands print for people: lines, columns of names and values, and what is missing.

use serde_json::Value as Json;

use super::remote::{harmless, json_line};

/// The nodes that have told nothing, so that what is missing is not taken for what is not there.
pub(super) fn silent_lines(silent: &[Json]) -> String {
    let lines = silent.iter().map(|node| {
        let name = node["name"].as_str().map_or_else(|| "another node".to_owned(), harmless);
        format!("without {name}: {}\n", harmless(node["why"].as_str().unwrap_or("it does not answer")))
    });
    lines.collect()
}

/// What a list tells of that cannot be understood: how many there are, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NotUnderstood {
    pub(super) number: u64,
    first: Option<String>,
}

impl NotUnderstood {
    pub(super) fn add(&mut self, told: &Json) {
        self.number += 1;
        self.first.get_or_insert_with(|| as_it_came(told));
    }

    /// In words, if there is anything.
    pub(super) fn line(&self) -> Option<String> {
        let first = self.first.as_ref()?;
        Some(match self.number {
            1 => format!("(1 is not understood: {first})"),
            number => format!("({number} are not understood, such as {first})"),
        })
    }
}

/// The beginning of what a server tells, as it came.
pub(super) fn as_it_came(told: &Json) -> String {
    beginning(&json_line(told))
}

/// The members of an object, a line each.
pub(super) fn members_of(object: &Json) -> String {
    let members = object.as_object().into_iter().flatten();
    let shown = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    facts(&members.map(|(name, value)| (name.as_str(), shown(value))).collect::<Vec<_>>())
}

/// Names with values, a line each. What others say in them is made harmless.
pub(super) fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let lines = facts.iter().map(|(name, value)| format!("{:width$}  {}", harmless(name), harmless(value)));
    lines_or(lines.collect(), "")
}

/// Names that are told of one by one, and characters of a payload.
const NAMED: usize = 20;
const PAYLOAD_CHARS: usize = 200;

/// The first of these names, and how many more there are: those behind them, and so many that are not among them.
pub(super) fn first_of(names: &[String], left_out: u64) -> String {
    let shown = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = (names.len().saturating_sub(NAMED) as u64).saturating_add(left_out);
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// The beginning of a payload.
pub(super) fn beginning(text: &str) -> String {
    let shown: String = text.chars().take(PAYLOAD_CHARS).collect();
    if text.chars().nth(PAYLOAD_CHARS).is_some() { shown + "…" } else { shown }
}

/// A time in words.
pub(super) fn lasting(millis: u64) -> String {
    match millis / 1000 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

/// The lines, or what is said where there are none.
pub(super) fn lines_or(lines: Vec<String>, nothing: &str) -> String {
    if lines.is_empty() { format!("{nothing}\n") } else { lines.join("\n") + "\n" }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_stand_in_a_column_and_nothing_moves_the_cursor() {
        let node = json!({ "name": "b\u{7}", "why": "it is slow" });
        assert_eq!(silent_lines(&[node]), "without b\u{fffd}: it is slow\n");
        assert_eq!(members_of(&json!({ "a": "x", "long": 1 })), "a     x\nlong  1\n");
        assert_eq!(facts(&[("a", "\u{1b}[2J".to_owned())]), "a  \u{fffd}[2J\n");
        assert_eq!(lines_or(Vec::new(), "nobody"), "nobody\n");
    }

    #[test]
    fn what_is_long_is_told_in_short() {
        let names = |number: usize| (0..number).map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(first_of(&names(2), 0), "0, 1");
        assert!(first_of(&names(23), 100).ends_with("18, 19 and 103 more"));
        assert_eq!(beginning(&"é".repeat(PAYLOAD_CHARS)), "é".repeat(PAYLOAD_CHARS));
        assert_eq!(beginning(&"é".repeat(PAYLOAD_CHARS + 1)), "é".repeat(PAYLOAD_CHARS) + "…");
        assert_eq!(
            [0, 119_999, 120_000, 7_199_999, 7_200_000].map(lasting),
            ["0 s", "119 s", "2 min", "119 min", "2 h"]
        );
    }
}
