//! Strings.

use tracing_subscriber::EnvFilter;

use super::{InputValue, ValueType, quote};
use crate::telemetry::LEVELS;

/// How much is logged.
#[derive(Clone)]
pub(in crate::config) struct LogLevel;

impl ValueType for LogLevel {
    type Value = String;

    fn read(&self, given: &InputValue<'_>) -> Option<String> {
        let text = given.text()?.trim();
        // The filter's own parser takes any lone word for the name of a crate, and so would take "inof".
        let is_directive = |part: &str| LEVELS.contains(&part) || part.contains(['=', '[', ':']);
        let plausible = text.contains('[') || text.split(',').map(str::trim).all(is_directive);
        (plausible && EnvFilter::try_new(text).is_ok()).then(|| text.to_owned())
    }

    fn expected(&self) -> String {
        "off, error, warn, info, debug or trace, or a filter such as \"info,heliostat::pipe=debug\""
            .to_owned()
    }

    fn write(&self, value: &String) -> String {
        quote(value)
    }
}

/// A string of any kind.
#[derive(Clone)]
pub(in crate::config) struct AnyText;

impl ValueType for AnyText {
    type Value = String;

    fn read(&self, given: &InputValue<'_>) -> Option<String> {
        given.text().map(str::to_owned)
    }

    fn expected(&self) -> String {
        "a string".to_owned()
    }

    fn write(&self, value: &String) -> String {
        quote(value)
    }
}

/// What the names of metrics begin with, or nothing.
#[derive(Clone)]
pub(in crate::config) struct MetricsPrefix;

impl MetricsPrefix {
    /// The longest. Every sample repeats it.
    const MOST_CHARS: usize = 64;
}

impl ValueType for MetricsPrefix {
    type Value = String;

    fn read(&self, given: &InputValue<'_>) -> Option<String> {
        let text = given.text()?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let is_one = !text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(allowed);
        (is_one && text.len() <= Self::MOST_CHARS).then(|| text.to_owned())
    }

    fn expected(&self) -> String {
        format!(
            "at most {} letters, digits, _ and :, of which the first is no digit, such as \"soketi_\", or empty",
            Self::MOST_CHARS
        )
    }

    fn write(&self, value: &String) -> String {
        quote(value)
    }
}

/// An app's id, or one of its keys.
#[derive(Clone)]
pub(in crate::config) struct Name {
    /// What it may hold besides letters and digits.
    pub(in crate::config) punctuation: &'static str,
}

/// An app's id. It stands in paths.
pub(in crate::config) const APP_ID: Name = Name { punctuation: "-_" };
/// An app's key. It stands in paths, and before the `:` of a signature.
pub(in crate::config) const APP_KEY: Name = Name { punctuation: "-_.~" };

impl Name {
    /// The longest. Metrics, the log and paths repeat it.
    const MOST_CHARS: usize = 200;
}

impl ValueType for Name {
    type Value = Option<String>;

    fn read(&self, given: &InputValue<'_>) -> Option<Option<String>> {
        let text = given.text()?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || self.punctuation.contains(c);
        // Programs leave `.` and `..` out of paths.
        let is_name = !text.is_empty() && text.len() <= Self::MOST_CHARS && !matches!(text, "." | "..");
        (is_name && text.chars().all(allowed)).then(|| Some(text.to_owned()))
    }

    fn expected(&self) -> String {
        let marks: Vec<_> = self.punctuation.chars().map(String::from).collect();
        let except = if self.punctuation.contains('.') { ", and neither . nor .." } else { "" };
        format!("a string of at most {} letters, digits and {}{except}", Self::MOST_CHARS, marks.join(" "))
    }

    fn write(&self, value: &Option<String>) -> String {
        quote(value.as_deref().unwrap_or_default())
    }
}
